//! Reading a key component back: a value that is equal to the one that was encoded, in canonical form.

use std::sync::Arc;

use crate::key::skip_key;
use crate::output::{element_type, field_type, interval_of_span};
use crate::{Array, EnumLabel, Numeric, Type, Value};

/// The value of the first component of an ascending key, and its length.
///
/// What is not part of equality is gone: a numeric's trailing zeros, a bpchar's padding, the sign of zero, an interval's
/// division into months, days and time. `None` where the bytes are no key of this type.
#[must_use]
pub fn decode_key(bytes: &[u8], ty: &Type) -> Option<(Value, usize)> {
    let length = skip_key(bytes)?;
    let body = bytes.get(1..length)?;
    let tag = *bytes.first()?;
    let word = |b: &[u8]| -> Option<[u8; 8]> { b.try_into().ok() };
    let moment = || {
        let mut b = word(body)?;
        b[0] ^= 0x80;
        Some(i64::from_be_bytes(b))
    };
    if tag == 0x7E {
        return Some((Value::Null, length));
    }
    let value = match ty.base() {
        Type::Bool => Value::Bool(tag == 0x09),
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Value::Int(int(tag, body)?),
        Type::Float4 => {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "it was a float4 before it was widened"
            )]
            let narrow = float(body)? as f32;
            Value::Float4(narrow)
        }
        Type::Float8 => Value::Float8(float(body)?),
        Type::Numeric => Value::Numeric(numeric(body)?),
        Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Unknown | Type::Other(_) => {
            Value::Text(text(body)?)
        }
        Type::Bytea => Value::Bytea(unescaped(body)?.into()),
        Type::Date => {
            let mut b: [u8; 4] = body.try_into().ok()?;
            b[0] ^= 0x80;
            Value::Date(i32::from_be_bytes(b))
        }
        Type::Time => Value::Time(moment()?),
        Type::Timestamp => Value::Timestamp(moment()?),
        Type::TimestampTz => Value::TimestampTz(moment()?),
        Type::Uuid => Value::Uuid(body.try_into().ok()?),
        Type::Json => Value::Json(text(body)?),
        Type::Jsonb => Value::Jsonb(text(body)?),
        Type::Enum(definition) => {
            let ordinal = u32::from_be_bytes(body.try_into().ok()?);
            let label = definition.labels.get(usize::try_from(ordinal).ok()?)?;
            Value::Enum(EnumLabel {
                ordinal,
                label: Arc::clone(label),
            })
        }
        Type::Array(_) => Value::Array(Arc::new(array(body, element_type(ty))?)),
        Type::Interval => {
            let mut b: [u8; 16] = body.try_into().ok()?;
            b[0] ^= 0x80;
            Value::Interval(interval_of_span(i128::from_be_bytes(b)))
        }
        Type::Record(_) => Value::Record(record(body, ty)?),
        // A domain's base is no domain.
        Type::Domain(_) => return None,
    };
    Some((value, length))
}

fn int(tag: u8, body: &[u8]) -> Option<i64> {
    let negative = tag < 0x18;
    let mut magnitude: u64 = 0;
    for byte in body {
        magnitude = magnitude << 8 | u64::from(if negative { !byte } else { *byte });
    }
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

fn float(body: &[u8]) -> Option<f64> {
    let bits = u64::from_be_bytes(body.try_into().ok()?);
    Some(f64::from_bits(if bits >> 63 == 1 {
        bits & !(1 << 63)
    } else {
        !bits
    }))
}

fn numeric(body: &[u8]) -> Option<Numeric> {
    let (class, rest) = body.split_first()?;
    let parse = |s: &str| s.parse::<Numeric>().ok();
    match class {
        1 => return parse("-Infinity"),
        3 => return parse("0"),
        5 => return parse("Infinity"),
        6 => return parse("NaN"),
        _ => {}
    }
    let flip = if *class == 2 { 0xFF } else { 0 };
    let plain: Vec<u8> = rest.iter().map(|b| b ^ flip).collect();
    let (exponent, pairs) = plain.split_first_chunk::<4>()?;
    let mut exponent = *exponent;
    exponent[0] ^= 0x80;
    let exponent = i32::from_be_bytes(exponent);
    let mut digits = String::new();
    for pair in pairs.strip_suffix(&[0])? {
        let pair = pair.checked_sub(1)?;
        digits.push(char::from(b'0' + pair / 10));
        digits.push(char::from(b'0' + pair % 10));
    }
    let digits = digits.trim_end_matches('0');
    let count = i32::try_from(digits.len()).ok()?;
    let sign = if *class == 2 { "-" } else { "" };
    parse(&format!("{sign}{digits}e{}", exponent - count))
}

fn unescaped(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut bytes = body.strip_suffix(&[0])?.iter();
    while let Some(byte) = bytes.next() {
        out.push(if *byte == 1 {
            bytes.next()?.checked_sub(1)?
        } else {
            *byte
        });
    }
    Some(out)
}

fn text(body: &[u8]) -> Option<Arc<str>> {
    String::from_utf8(unescaped(body)?).ok().map(Arc::from)
}

fn record(body: &[u8], ty: &Type) -> Option<Arc<[Value]>> {
    let mut at = 0;
    let mut fields = Vec::new();
    while *body.get(at)? != 0 {
        let (value, length) = decode_key(body.get(at..)?, field_type(ty, fields.len()))?;
        fields.push(value);
        at += length;
    }
    Some(fields.into())
}

fn array(body: &[u8], element: &Type) -> Option<Array> {
    let mut at = 0;
    let mut elements = Vec::new();
    while *body.get(at)? != 0 {
        let (value, length) = decode_key(body.get(at..)?, element)?;
        elements.push(value);
        at += length;
    }
    let count = usize::from(*body.get(at + 1)?);
    let mut dimensions = Vec::new();
    let base = at + 2;
    for i in 0..count {
        let word = |at: usize| -> Option<[u8; 4]> { body.get(at..at + 4)?.try_into().ok() };
        let length = usize::try_from(u32::from_be_bytes(word(base + 4 * i)?)).ok()?;
        let mut lower = word(base + 4 * (count + i))?;
        lower[0] ^= 0x80;
        dimensions.push((i32::from_be_bytes(lower), length));
    }
    Some(Array {
        dimensions,
        elements,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode_key, parse_value};

    #[test]
    fn decoded_keys_encode_to_the_same_bytes() {
        let array = Type::Array(Arc::new(Type::Text));
        for (ty, texts) in [
            (
                Type::Int4,
                vec!["0", "-1", "255", "256", "-256", "2147483647", "-2147483648"],
            ),
            (
                Type::Int8,
                vec!["9223372036854775807", "-9223372036854775808"],
            ),
            (
                Type::Numeric,
                vec![
                    "0",
                    "1.50",
                    "-1.5",
                    "1000",
                    "0.00012",
                    "-12345.678900",
                    "NaN",
                    "Infinity",
                    "-Infinity",
                ],
            ),
            (Type::Text, vec!["", "a", "ä\u{1}b", "x y"]),
            (
                Type::Float8,
                vec!["0", "-0", "1.5", "-1e300", "NaN", "Infinity"],
            ),
            (Type::Float4, vec!["0.1", "-3.25"]),
            (Type::Bool, vec!["t", "f"]),
            (Type::Uuid, vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
            (Type::Date, vec!["2024-02-29", "0044-03-15 BC", "infinity"]),
            (
                Type::TimestampTz,
                vec!["2024-02-29 10:00:00.5+00", "-infinity"],
            ),
            (Type::Bytea, vec!["\\x", "\\x0001ff"]),
            (
                Type::Interval,
                vec![
                    "00:00:00",
                    "1 mon 2 days -03:04:05.000006",
                    "-24:00:00",
                    "178000000 years",
                ],
            ),
            (
                Type::Array(Arc::new(Type::Interval)),
                vec!["{1 day,24:00:00,NULL}"],
            ),
            (array, vec!["{}", "{a,NULL,\"b c\"}", "[0:1]={x,y}"]),
        ] {
            for text in texts {
                let value = parse_value(&ty, text).expect(text);
                let mut key = Vec::new();
                encode_key(&mut key, &value, &ty);
                key.push(9);
                let (decoded, length) = decode_key(&key, &ty).expect(text);
                assert_eq!(length, key.len() - 1, "{text}");
                let mut again = Vec::new();
                encode_key(&mut again, &decoded, &ty);
                assert_eq!(again, key[..length], "{text}");
            }
        }
    }
}

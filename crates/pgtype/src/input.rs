//! Text to values: the server's output, and the wider forms that casts from text accept.
//!
//! Always: errors have Postgres' SQLSTATE and message; no input panics.

use std::sync::Arc;

use crate::datetime;
use crate::nested::{parse_array, parse_record};
use crate::{EnumLabel, EnumType, Numeric, ParseError, Type, Value, ValueError};

/// What C's `isspace` accepts.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// A value from the server's text output.
///
/// # Errors
/// As [`parse_input`]; text that the server printed for this type never fails.
pub fn parse_value(ty: &Type, text: &str) -> Result<Value, ParseError> {
    match ty {
        // Printed by the server: taken as it stands.
        Type::Jsonb => Ok(Value::Jsonb(text.into())),
        Type::Json => Ok(Value::Json(text.into())),
        Type::Domain(domain) => parse_value(&domain.base, text),
        Type::Array(element) => parse_array(element, text, &mut parse_value),
        Type::Record(record) => parse_record(record, text, &mut parse_value),
        _ => parse_input(ty, -1, text),
    }
}

/// A value from text as `text::type(modifier)` reads it.
///
/// # Errors
/// 22P02 (syntax), 22003 (out of range), 22007 and 22008 (dates), 22001 (too long, never on an explicit cast), …
pub fn parse_input(ty: &Type, typmod: i32, text: &str) -> Result<Value, ParseError> {
    Ok(match ty {
        Type::Bool => Value::Bool(parse_bool(text)?),
        Type::Int2 => Value::Int(parse_integer(text, "smallint", -32_768, 32_767)?),
        Type::Int4 => Value::Int(parse_integer(
            text,
            "integer",
            i32::MIN.into(),
            i32::MAX.into(),
        )?),
        Type::Int8 => Value::Int(parse_integer(text, "bigint", i64::MIN, i64::MAX)?),
        Type::Oid => Value::Int(parse_oid(text)?),
        Type::Float4 => Value::Float4(crate::float::parse_float4(text)?),
        Type::Float8 => Value::Float8(crate::float::parse_float8(text)?),
        Type::Numeric => Value::Numeric(text.parse::<Numeric>()?.apply_typmod(typmod)?),
        Type::Text | Type::Unknown | Type::Other(_) => Value::text(text),
        Type::Varchar => Value::text(truncate_chars(text, typmod)),
        Type::Bpchar => Value::Text(pad_bpchar(text, typmod)),
        Type::Name => Value::text(truncate_bytes(text, 63)),
        Type::Bytea => Value::Bytea(parse_bytea(text)?),
        Type::Date => Value::Date(datetime::parse_date(text)?),
        Type::Time => Value::Time(datetime::parse_time(text, typmod)?),
        Type::Timestamp => Value::Timestamp(datetime::parse_timestamp(text, typmod)?),
        Type::TimestampTz => Value::TimestampTz(datetime::parse_timestamptz(text, typmod)?),
        Type::Interval => Value::Interval(datetime::parse_interval(text, typmod)?),
        Type::Uuid => Value::Uuid(parse_uuid(text)?),
        Type::Json => {
            crate::jsonb::check_json(text)?;
            Value::Json(text.into())
        }
        Type::Jsonb => Value::Jsonb(crate::jsonb::canonical_jsonb(text)?),
        Type::Enum(e) => Value::Enum(parse_enum(e, text)?),
        Type::Domain(domain) => parse_input(&domain.base, domain.typmod, text)?,
        Type::Array(element) => parse_array(element, text, &mut |ty: &Type, text: &str| {
            parse_input(ty, typmod, text)
        })?,
        Type::Record(record) => parse_record(record, text, &mut |ty: &Type, text: &str| {
            parse_input(ty, -1, text)
        })?,
    })
}

fn parse_bool(text: &str) -> Result<bool, ParseError> {
    let trimmed = text.trim_matches(is_space).to_ascii_lowercase();
    let is_prefix = |word: &str, least: usize| trimmed.len() >= least && word.starts_with(&trimmed);
    if is_prefix("true", 1) || is_prefix("yes", 1) || trimmed == "on" || trimmed == "1" {
        Ok(true)
    } else if is_prefix("false", 1) || is_prefix("no", 1) || is_prefix("off", 2) || trimmed == "0" {
        Ok(false)
    } else {
        Err(ValueError::syntax("boolean", text))
    }
}

fn parse_integer(text: &str, type_name: &str, min: i64, max: i64) -> Result<i64, ParseError> {
    let trimmed = text.trim_matches(is_space);
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ValueError::syntax(type_name, text));
    }
    trimmed
        .parse::<i64>()
        .ok()
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| ValueError::value_out_of_range(type_name, text))
}

fn parse_oid(text: &str) -> Result<i64, ParseError> {
    let n = parse_integer(text, "oid", i64::MIN, i64::MAX)?;
    // strtoul wraps small negative numbers.
    match n {
        0..=0xFFFF_FFFF => Ok(n),
        -0x8000_0000..=-1 => Ok(n + 0x1_0000_0000),
        _ => Err(ValueError::value_out_of_range("oid", text)),
    }
}

/// The first `typmod - 4` characters: an explicit cast truncates silently.
fn truncate_chars(text: &str, typmod: i32) -> &str {
    match usize::try_from(typmod - 4) {
        Ok(limit) if typmod >= 4 => match text.char_indices().nth(limit) {
            Some((end, _)) => &text[..end],
            None => text,
        },
        _ => text,
    }
}

/// `character(n)`: truncated or padded with blanks to its length; unchanged without a modifier.
#[must_use]
pub fn pad_bpchar(text: &str, typmod: i32) -> Arc<str> {
    let cut = truncate_chars(text, typmod);
    let Ok(length) = usize::try_from(typmod - 4) else {
        return text.into();
    };
    let missing = length.saturating_sub(cut.chars().count());
    if missing == 0 {
        return cut.into();
    }
    let mut padded = cut.to_owned();
    padded.extend(std::iter::repeat_n(' ', missing));
    padded.into()
}

fn truncate_bytes(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn hex_digit(b: u8) -> Option<u8> {
    char::from(b)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

fn parse_bytea(text: &str) -> Result<Arc<[u8]>, ParseError> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let mut bytes = Vec::with_capacity(hex.len() / 2);
        let mut pending: Option<u8> = None;
        for c in hex.chars() {
            if is_space(c) && pending.is_none() {
                continue;
            }
            let digit = u8::try_from(c).ok().and_then(hex_digit).ok_or_else(|| {
                ValueError::new("22023", format!("invalid hexadecimal digit: \"{c}\""))
            })?;
            match pending.take() {
                None => pending = Some(digit),
                Some(high) => bytes.push(high << 4 | digit),
            }
        }
        if pending.is_some() {
            return Err(ValueError::new(
                "22023",
                "invalid hexadecimal data: odd number of digits",
            ));
        }
        return Ok(bytes.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b != b'\\' {
            bytes.push(b);
            continue;
        }
        match after {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                return Err(ValueError::new(
                    "22P02",
                    "invalid input syntax for type bytea",
                ));
            }
        }
    }
    Ok(bytes.into())
}

fn parse_uuid(text: &str) -> Result<[u8; 16], ParseError> {
    let fail = || ValueError::syntax("uuid", text);
    let body = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}').ok_or_else(fail)?,
        None => text,
    };
    let mut bytes = [0u8; 16];
    let mut rest = body.as_bytes();
    for (i, byte) in bytes.iter_mut().enumerate() {
        // A dash may stand after every second byte.
        if i > 0 && i % 2 == 0 && rest.first() == Some(&b'-') {
            rest = &rest[1..];
        }
        let [high, low, tail @ ..] = rest else {
            return Err(fail());
        };
        let (high, low) = (
            hex_digit(*high).ok_or_else(fail)?,
            hex_digit(*low).ok_or_else(fail)?,
        );
        *byte = high << 4 | low;
        rest = tail;
    }
    if rest.is_empty() {
        Ok(bytes)
    } else {
        Err(fail())
    }
}

fn parse_enum(e: &EnumType, text: &str) -> Result<EnumLabel, ParseError> {
    e.labels
        .iter()
        .position(|l| **l == *text)
        .and_then(|at| {
            Some(EnumLabel {
                ordinal: u32::try_from(at).ok()?,
                label: Arc::clone(e.labels.get(at)?),
            })
        })
        .ok_or_else(|| {
            ValueError::new(
                "22P02",
                format!("invalid input value for enum {}: \"{text}\"", e.name),
            )
        })
}

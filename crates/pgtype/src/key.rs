//! Keys: bytes that are equal where Postgres' equality says so, and ordered as Postgres orders.
//!
//! One component, ascending; a descending one is the bitwise complement of it:
//!
//! | first byte | value | then |
//! | --- | --- | --- |
//! | `08` `09` | false, true | – |
//! | `10`–`20` | integer: `18` is 0, `18 + n` positive of n bytes, `18 - n` negative | n bytes, big-endian (negative: complement of the magnitude) |
//! | `24` | float | 8 bytes, big-endian, sign flipped (negative: all bits flipped) |
//! | `28` | numeric | class byte; for numbers exponent and digit pairs, see below |
//! | `30` | text | bytes, `00` and `01` escaped as `01 01` and `01 02`, end `00` |
//! | `32` | bytea | as text |
//! | `34` | date | 4 bytes, sign flipped |
//! | `36` `38` `3A` | time, timestamp, timestamptz | 8 bytes, sign flipped |
//! | `3C` | interval | 16 bytes, sign flipped, its span |
//! | `3E` | uuid | 16 bytes |
//! | `40` `42` | json, jsonb | as text; jsonb with its numbers in shortest form |
//! | `44` | enum | ordinal, 4 bytes |
//! | `48` | array | element components, `00`, number of dimensions, length and lower bound of each |
//! | `4C` | row | field components, `00` |
//! | `7E` | NULL | – |
//!
//! A numeric's class is `01` -Infinity, `02` negative, `03` zero, `04` positive, `05` Infinity, `06` NaN. `02` and `04` go on with
//! the exponent E of `0.d1d2… × 10^E` (4 bytes, sign flipped), pairs of digits as 1 + pair, and `00`; all complemented for `02`.
//!
//! Always: self-delimiting, no component is a prefix of another; [`skip_key`] never panics.

use crate::output::{element_type, field_type};
use crate::{Array, Numeric, Type, Value};

const FALSE: u8 = 0x08;
const INT_ZERO: u8 = 0x18;
const FLOAT: u8 = 0x24;
const NUMERIC: u8 = 0x28;
const TEXT: u8 = 0x30;
const BYTEA: u8 = 0x32;
const DATE: u8 = 0x34;
const TIME: u8 = 0x36;
const TIMESTAMP: u8 = 0x38;
const TIMESTAMPTZ: u8 = 0x3A;
const INTERVAL: u8 = 0x3C;
const UUID: u8 = 0x3E;
const JSON: u8 = 0x40;
const JSONB: u8 = 0x42;
const ENUM: u8 = 0x44;
const ARRAY: u8 = 0x48;
const RECORD: u8 = 0x4C;
const NULL: u8 = 0x7E;
const END: u8 = 0;

const DEPTH_MAX: usize = 64;

/// Appends the key component of a value (NULL included, above everything).
///
/// Equal bytes iff equal under the type's equality operator; byte order is the type's order, except for jsonb and what contains it,
/// where only equality is promised.
pub fn encode_key(out: &mut Vec<u8>, value: &Value, ty: &Type) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(b) => out.push(FALSE + u8::from(*b)),
        Value::Int(n) => put_int(out, *n),
        Value::Float4(x) => put_float(out, (*x).into()),
        Value::Float8(x) => put_float(out, *x),
        Value::Numeric(n) => put_numeric(out, n),
        Value::Text(s) if *ty.base() == Type::Bpchar => {
            put_bytes(out, TEXT, s.trim_end_matches(' ').as_bytes());
        }
        Value::Text(s) => put_bytes(out, TEXT, s.as_bytes()),
        Value::Bytea(bytes) => put_bytes(out, BYTEA, bytes),
        Value::Date(d) => {
            out.push(DATE);
            put_i32(out, *d);
        }
        Value::Time(t) => put_moment(out, TIME, *t),
        Value::Timestamp(t) => put_moment(out, TIMESTAMP, *t),
        Value::TimestampTz(t) => put_moment(out, TIMESTAMPTZ, *t),
        Value::Interval(i) => {
            out.push(INTERVAL);
            let mut bytes = i.span().to_be_bytes();
            bytes[0] ^= 0x80;
            out.extend_from_slice(&bytes);
        }
        Value::Uuid(bytes) => {
            out.push(UUID);
            out.extend_from_slice(bytes);
        }
        Value::Json(s) => put_bytes(out, JSON, s.as_bytes()),
        Value::Jsonb(s) => put_bytes(out, JSONB, crate::jsonb::canonical_numbers(s).as_bytes()),
        Value::Enum(label) => {
            out.push(ENUM);
            out.extend_from_slice(&label.ordinal.to_be_bytes());
        }
        Value::Array(array) => put_array(out, array, element_type(ty)),
        Value::Record(fields) => {
            out.push(RECORD);
            for (i, field) in fields.iter().enumerate() {
                encode_key(out, field, field_type(ty, i));
            }
            out.push(END);
        }
    }
}

/// Appends the bitwise complement of [`encode_key`]'s component: the order is reversed, NULL comes first.
pub fn encode_key_desc(out: &mut Vec<u8>, value: &Value, ty: &Type) {
    let start = out.len();
    encode_key(out, value, ty);
    for byte in &mut out[start..] {
        *byte = !*byte;
    }
}

fn put_int(out: &mut Vec<u8>, n: i64) {
    let magnitude = n.unsigned_abs().to_be_bytes();
    let zeros = magnitude.iter().take_while(|b| **b == 0).count();
    let bytes = &magnitude[zeros..];
    let length = u8::try_from(bytes.len()).unwrap_or(8);
    if n < 0 {
        out.push(INT_ZERO - length);
        out.extend(bytes.iter().map(|b| !b));
    } else {
        out.push(INT_ZERO + length);
        out.extend_from_slice(bytes);
    }
}

fn put_float(out: &mut Vec<u8>, x: f64) {
    let canonical = if x == 0.0 {
        0.0
    } else if x.is_nan() {
        f64::NAN.copysign(1.0)
    } else {
        x
    };
    let bits = canonical.to_bits();
    let ordered = if bits >> 63 == 1 {
        !bits
    } else {
        bits | (1 << 63)
    };
    out.push(FLOAT);
    out.extend_from_slice(&ordered.to_be_bytes());
}

fn put_numeric(out: &mut Vec<u8>, n: &Numeric) {
    out.push(NUMERIC);
    let negative = n.signum() < 0;
    if n.is_nan() {
        out.push(6);
    } else if n.is_infinite() {
        out.push(if negative { 1 } else { 5 });
    } else if n.is_zero() {
        out.push(3);
    } else {
        out.push(if negative { 2 } else { 4 });
        let start = out.len();
        let (digits, exponent) = n.significant_digits();
        put_i32(out, i32::try_from(exponent).unwrap_or(i32::MAX));
        for pair in digits.as_bytes().chunks(2) {
            let high = pair[0] - b'0';
            let low = pair.get(1).map_or(0, |b| b - b'0');
            out.push(1 + high * 10 + low);
        }
        out.push(END);
        if negative {
            for byte in &mut out[start..] {
                *byte = !*byte;
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    for &b in bytes {
        if b <= 1 {
            out.push(1);
            out.push(b + 1);
        } else {
            out.push(b);
        }
    }
    out.push(END);
}

fn put_i32(out: &mut Vec<u8>, n: i32) {
    let mut bytes = n.to_be_bytes();
    bytes[0] ^= 0x80;
    out.extend_from_slice(&bytes);
}

fn put_moment(out: &mut Vec<u8>, tag: u8, micros: i64) {
    out.push(tag);
    let mut bytes = micros.to_be_bytes();
    bytes[0] ^= 0x80;
    out.extend_from_slice(&bytes);
}

fn put_array(out: &mut Vec<u8>, array: &Array, element: &Type) {
    out.push(ARRAY);
    for value in &array.elements {
        encode_key(out, value, element);
    }
    out.push(END);
    out.push(u8::try_from(array.dimensions.len()).unwrap_or(u8::MAX));
    for (_, length) in &array.dimensions {
        out.extend_from_slice(&u32::try_from(*length).unwrap_or(u32::MAX).to_be_bytes());
    }
    for (lower, _) in &array.dimensions {
        put_i32(out, *lower);
    }
}

/// The length of the first component, ascending or descending; `None` where the bytes are not a key.
#[must_use]
pub fn skip_key(bytes: &[u8]) -> Option<usize> {
    let flip = if *bytes.first()? & 0x80 == 0 { 0 } else { 0xFF };
    let length = skip(bytes, flip, 0)?;
    (length <= bytes.len()).then_some(length)
}

fn skip(bytes: &[u8], flip: u8, depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    let at = |i: usize| bytes.get(i).map(|b| b ^ flip);
    // Where a terminated sequence that starts at `from` ends.
    let terminated = |from: usize, end: u8| {
        bytes
            .get(from..)?
            .iter()
            .position(|b| b ^ flip == end)
            .map(|p| from + p + 1)
    };
    let tag = at(0)?;
    match tag {
        NULL => Some(1),
        t if t == FALSE || t == FALSE + 1 => Some(1),
        t if t.abs_diff(INT_ZERO) <= 8 => Some(1 + usize::from(t.abs_diff(INT_ZERO))),
        DATE | ENUM => Some(5),
        FLOAT | TIME | TIMESTAMP | TIMESTAMPTZ => Some(9),
        INTERVAL | UUID => Some(17),
        NUMERIC => match at(1)? {
            2 => terminated(6, 0xFF),
            4 => terminated(6, END),
            _ => Some(2),
        },
        TEXT | BYTEA | JSON | JSONB => terminated(1, END),
        ARRAY | RECORD => {
            let mut end = 1;
            while at(end)? != END {
                end += skip(bytes.get(end..)?, flip, depth + 1)?;
            }
            if tag == ARRAY {
                let dimensions = usize::from(at(end + 1)?);
                Some(end + 2 + dimensions * 8)
            } else {
                Some(end + 1)
            }
        }
        _ => None,
    }
}

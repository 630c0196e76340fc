//! The btree order of values of one type.

use std::cmp::Ordering;

use crate::output::{element_type, field_type};
use crate::{Array, Type, Value};

/// The order of two values of one type; NULL after everything. Text is compared bytewise.
///
/// Trailing blanks of `character(n)` count here: use [`compare_typed`] where the type may be or contain one.
#[must_use]
pub fn compare(a: &Value, b: &Value) -> Ordering {
    compare_typed(a, b, &Type::Unknown)
}

/// As [`compare`], knowing the type: trailing blanks of `character(n)` don't count.
#[must_use]
pub fn compare_typed(a: &Value, b: &Value, ty: &Type) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float4(a), Value::Float4(b)) => compare_floats((*a).into(), (*b).into()),
        (Value::Float8(a), Value::Float8(b)) => compare_floats(*a, *b),
        (Value::Numeric(a), Value::Numeric(b)) => a.compare(b),
        (Value::Text(a), Value::Text(b)) if *ty.base() == Type::Bpchar => {
            a.trim_end_matches(' ').cmp(b.trim_end_matches(' '))
        }
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a.cmp(b),
        (Value::Bytea(a), Value::Bytea(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::TimestampTz(a), Value::TimestampTz(b)) => a.cmp(b),
        (Value::Interval(a), Value::Interval(b)) => a.compare(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Jsonb(a), Value::Jsonb(b)) => compare_jsonb_text(a, b),
        (Value::Enum(a), Value::Enum(b)) => a.ordinal.cmp(&b.ordinal),
        (Value::Array(a), Value::Array(b)) => compare_arrays(a, b, element_type(ty)),
        (Value::Record(a), Value::Record(b)) => a
            .iter()
            .zip(b.iter())
            .enumerate()
            .map(|(i, (a, b))| compare_typed(a, b, field_type(ty, i)))
            .find(|o| o.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        // Not values of one type: any total order will do.
        _ => rank(a).cmp(&rank(b)),
    }
}

/// NaN equals itself and is above everything; -0 equals 0.
pub(crate) fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn compare_jsonb_text(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (crate::jsonb::parse_json(a), crate::jsonb::parse_json(b)) {
        (Ok(a), Ok(b)) => crate::jsonb::compare_jsonb(&a, &b),
        _ => a.cmp(b),
    }
}

/// Elements first, then their number, then dimensions, lengths and lower bounds.
fn compare_arrays(a: &Array, b: &Array, element: &Type) -> Ordering {
    let shape = |array: &Array| {
        let (lower, lengths): (Vec<i32>, Vec<usize>) = array.dimensions.iter().copied().unzip();
        (array.dimensions.len(), lengths, lower)
    };
    a.elements
        .iter()
        .zip(&b.elements)
        .map(|(a, b)| compare_typed(a, b, element))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| {
            a.elements
                .len()
                .cmp(&b.elements.len())
                .then_with(|| shape(a).cmp(&shape(b)))
        })
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 0,
        Value::Int(_) => 1,
        Value::Float4(_) => 2,
        Value::Float8(_) => 3,
        Value::Numeric(_) => 4,
        Value::Text(_) => 5,
        Value::Bytea(_) => 6,
        Value::Date(_) => 7,
        Value::Time(_) => 8,
        Value::Timestamp(_) => 9,
        Value::TimestampTz(_) => 10,
        Value::Interval(_) => 11,
        Value::Uuid(_) => 12,
        Value::Json(_) => 13,
        Value::Jsonb(_) => 14,
        Value::Enum(_) => 15,
        Value::Array(_) => 16,
        Value::Record(_) => 17,
        Value::Null => 18,
    }
}

//! jsonb's equality and btree order.

use std::cmp::Ordering;
use std::sync::Arc;

use super::parse::parse_json;
use super::tree::Json;

/// Object > Array > Boolean > Number > String > Null.
fn rank(value: &Json) -> u8 {
    match value {
        Json::Null => 0,
        Json::String(_) => 1,
        Json::Number(_) => 2,
        Json::Bool(_) => 3,
        Json::Array(_) => 4,
        Json::Object(_) => 5,
    }
}

/// The order of jsonb's btree operators, strings compared bytewise.
#[must_use]
pub fn compare_jsonb(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        // A scalar at the top level is an array of one element to Postgres, but below a real array of one.
        (Json::Array(elements), b) if b.is_scalar() => match elements.len() {
            0 => Ordering::Less,
            _ => Ordering::Greater,
        },
        (a, Json::Array(elements)) if a.is_scalar() => match elements.len() {
            0 => Ordering::Greater,
            _ => Ordering::Less,
        },
        _ => compare_nested(a, b),
    }
}

fn compare_nested(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (Json::Number(a), Json::Number(b)) => a.compare(b),
        (Json::String(a), Json::String(b)) => a.cmp(b),
        (Json::Array(a), Json::Array(b)) => a.len().cmp(&b.len()).then_with(|| {
            a.iter()
                .zip(b)
                .map(|(a, b)| compare_nested(a, b))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        (Json::Object(a), Json::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
            a.iter()
                .zip(b)
                .map(|((ka, va), (kb, vb))| ka.cmp(kb).then_with(|| compare_nested(va, vb)))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// The same jsonb with numbers in their shortest form (1.0 as 1): equal values have equal texts.
#[must_use]
pub fn canonical_numbers(text: &Arc<str>) -> Arc<str> {
    // Only a number with decimals can change.
    if !text.contains('.') {
        return Arc::clone(text);
    }
    match parse_json(text) {
        Ok(mut value) => {
            trim_numbers(&mut value);
            value.to_string().into()
        }
        Err(_) => Arc::clone(text),
    }
}

fn trim_numbers(value: &mut Json) {
    match value {
        Json::Number(n) => *n = n.trim_scale(),
        Json::Array(elements) => elements.iter_mut().for_each(trim_numbers),
        Json::Object(pairs) => pairs.iter_mut().for_each(|(_, v)| trim_numbers(v)),
        _ => {}
    }
}

//! jsonb operators and functions on parsed values.

use std::cmp::Ordering;

use super::order::compare_jsonb;
use super::tree::{Json, key_order};
use crate::ValueError;

fn invalid(message: &str) -> ValueError {
    ValueError::new("22023", message)
}

fn scalars_equal(a: &Json, b: &Json) -> bool {
    a.is_scalar() && b.is_scalar() && compare_jsonb(a, b) == Ordering::Equal
}

/// `a @> b`
#[must_use]
pub fn contains(a: &Json, b: &Json) -> bool {
    match (a, b) {
        // An array contains a scalar at the top level, as an exception.
        (Json::Array(elements), b) if b.is_scalar() => elements.iter().any(|e| scalars_equal(e, b)),
        _ => contains_nested(a, b),
    }
}

fn contains_nested(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(_), Json::Object(pairs)) => pairs
            .iter()
            .all(|(key, value)| a.get(key).is_some_and(|own| contains_nested(own, value))),
        (Json::Array(own), Json::Array(wanted)) => wanted
            .iter()
            .all(|w| own.iter().any(|o| contains_nested(o, w))),
        _ => scalars_equal(a, b),
    }
}

/// `value ? key`: a key of an object, a string of an array, or the string itself.
#[must_use]
pub fn exists(value: &Json, key: &str) -> bool {
    match value {
        Json::Object(_) => value.get(key).is_some(),
        Json::Array(elements) => elements
            .iter()
            .any(|e| matches!(e, Json::String(s) if s == key)),
        Json::String(s) => s == key,
        _ => false,
    }
}

/// `a || b`: objects merge, everything else becomes arrays and is joined.
#[must_use]
pub fn concat(a: Json, b: Json) -> Json {
    match (a, b) {
        (Json::Object(mut pairs), Json::Object(more)) => {
            pairs.extend(more);
            Json::object(pairs)
        }
        (a, b) => {
            let list = |v: Json| match v {
                Json::Array(elements) => elements,
                other => vec![other],
            };
            let mut elements = list(a);
            elements.extend(list(b));
            Json::Array(elements)
        }
    }
}

/// `value - key`: the key of an object, or the equal strings of an array.
///
/// # Errors
/// 22023 for a scalar.
pub fn delete_key(value: Json, key: &str) -> Result<Json, ValueError> {
    match value {
        Json::Object(mut pairs) => {
            pairs.retain(|(k, _)| k != key);
            Ok(Json::Object(pairs))
        }
        Json::Array(mut elements) => {
            elements.retain(|e| !matches!(e, Json::String(s) if s == key));
            Ok(Json::Array(elements))
        }
        _ => Err(invalid("cannot delete from scalar")),
    }
}

fn position(length: usize, index: i64) -> Option<usize> {
    let at = if index < 0 {
        i64::try_from(length).ok()? + index
    } else {
        index
    };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// `value - index`: an array's element.
///
/// # Errors
/// 22023 for anything but an array.
pub fn delete_index(value: Json, index: i64) -> Result<Json, ValueError> {
    match value {
        Json::Array(mut elements) => {
            if let Some(at) = position(elements.len(), index) {
                elements.remove(at);
            }
            Ok(Json::Array(elements))
        }
        Json::Object(_) => Err(invalid("cannot delete from object using integer index")),
        _ => Err(invalid("cannot delete from scalar")),
    }
}

fn path_index(step: &str, at: usize) -> Result<i64, ValueError> {
    step.trim_start_matches(crate::input::is_space)
        .parse::<i32>()
        .map(i64::from)
        .map_err(|_| {
            ValueError::new(
                "22P02",
                format!(
                    "path element at position {} is not an integer: \"{step}\"",
                    at + 1
                ),
            )
        })
}

fn is_empty(value: &Json) -> bool {
    matches!(value, Json::Array(e) if e.is_empty())
        || matches!(value, Json::Object(p) if p.is_empty())
}

/// `value #- path`
///
/// # Errors
/// 22023 for a scalar, 22P02 where a step into an array is not an integer.
pub fn delete_path(mut value: Json, path: &[&str]) -> Result<Json, ValueError> {
    if value.is_scalar() {
        return Err(invalid("cannot delete path in scalar"));
    }
    if is_empty(&value) {
        return Ok(value);
    }
    edit(&mut value, path, 0, None, false)?;
    Ok(value)
}

/// `jsonb_set(value, path, replacement, create_missing)`
///
/// # Errors
/// 22023 for a scalar, 22P02 where a step into an array is not an integer.
pub fn set_path(
    mut value: Json,
    path: &[&str],
    replacement: &Json,
    create_missing: bool,
) -> Result<Json, ValueError> {
    if value.is_scalar() {
        return Err(invalid("cannot set path in scalar"));
    }
    if is_empty(&value) && !create_missing {
        return Ok(value);
    }
    edit(&mut value, path, 0, Some(replacement), create_missing)?;
    Ok(value)
}

/// Replaces, or deletes where there is no replacement, what the path from step `at` on leads to.
fn edit(
    value: &mut Json,
    path: &[&str],
    at: usize,
    replacement: Option<&Json>,
    create: bool,
) -> Result<(), ValueError> {
    let Some(step) = path.get(at) else {
        return Ok(());
    };
    let is_last = at + 1 == path.len();
    match value {
        Json::Object(pairs) => match pairs.binary_search_by(|(k, _)| key_order(k, step)) {
            Ok(found) if !is_last => {
                return edit(&mut pairs[found].1, path, at + 1, replacement, create);
            }
            Ok(found) => match replacement {
                Some(new) => pairs[found].1 = new.clone(),
                None => {
                    pairs.remove(found);
                }
            },
            Err(place) => {
                if let (true, true, Some(new)) = (is_last, create, replacement) {
                    pairs.insert(place, ((*step).to_owned(), new.clone()));
                }
            }
        },
        Json::Array(elements) => {
            let index = path_index(step, at)?;
            match position(elements.len(), index) {
                Some(found) if !is_last => {
                    return edit(&mut elements[found], path, at + 1, replacement, create);
                }
                Some(found) => match replacement {
                    Some(new) => elements[found] = new.clone(),
                    None => {
                        elements.remove(found);
                    }
                },
                None => {
                    if let (true, true, Some(new)) = (is_last, create, replacement) {
                        let place = if index < 0 { 0 } else { elements.len() };
                        elements.insert(place, new.clone());
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// `jsonb_strip_nulls`: object fields that are null go, at every depth; array elements stay.
#[must_use]
pub fn strip_nulls(value: Json) -> Json {
    match value {
        Json::Object(pairs) => Json::Object(
            pairs
                .into_iter()
                .filter(|(_, v)| *v != Json::Null)
                .map(|(k, v)| (k, strip_nulls(v)))
                .collect(),
        ),
        Json::Array(elements) => Json::Array(elements.into_iter().map(strip_nulls).collect()),
        scalar => scalar,
    }
}

//! Functions of arrays.

use std::sync::Arc;

use readside_pgtype::{Array, Type, Value, write_output};

use super::{Result, array_arg, compare, error, int, mistyped, text};
use crate::{ArrayFunction, Comparison};

fn array(elements: Vec<Value>) -> Result {
    Ok(Value::Array(Arc::new(Array::one_dimensional(elements))))
}

fn number(n: impl TryInto<i64>) -> Result {
    Ok(n.try_into().map_or(Value::Null, Value::Int))
}

/// One dimension, or none.
fn flat(a: &Array, what: &str) -> Result<i64> {
    match a.dimensions[..] {
        [] => Ok(1),
        [(lower, _)] => Ok(lower.into()),
        _ => Err(error(
            "0A000",
            format!("{what} is not supported for multidimensional arrays"),
        )),
    }
}

/// Equal, or both NULL.
fn same(a: &Value, b: &Value, element: &Type) -> bool {
    match (a.is_null(), b.is_null()) {
        (false, false) => compare(Comparison::Equal, a, b, element),
        (a, b) => a && b,
    }
}

fn with_lower(lower: i64, elements: Vec<Value>) -> Result {
    let length = elements.len();
    let lower = i32::try_from(lower).map_err(|_| error("54000", "array lower bound is too low"))?;
    Ok(Value::Array(Arc::new(Array {
        dimensions: if length == 0 {
            Vec::new()
        } else {
            vec![(lower, length)]
        },
        elements,
    })))
}

pub(super) fn apply(function: ArrayFunction, element: &Type, args: &[Value]) -> Result {
    use ArrayFunction as F;
    let null = Value::Null;
    let (first, second) = (args.first().unwrap_or(&null), args.get(1).unwrap_or(&null));
    match function {
        F::Append => match first {
            Value::Array(a) => {
                if a.dimensions.len() > 1 {
                    return Err(error(
                        "22000",
                        "argument must be empty or one-dimensional array",
                    ));
                }
                let mut elements = a.elements.clone();
                elements.push(second.clone());
                with_lower(flat(a, "array_append")?, elements)
            }
            _ => array(vec![second.clone()]),
        },
        F::Prepend => match second {
            Value::Array(a) => {
                if a.dimensions.len() > 1 {
                    return Err(error(
                        "22000",
                        "argument must be empty or one-dimensional array",
                    ));
                }
                let mut elements = vec![first.clone()];
                elements.extend(a.elements.iter().cloned());
                // The lower bound stays.
                with_lower(flat(a, "array_prepend")?, elements)
            }
            _ => array(vec![first.clone()]),
        },
        F::Concat => match (first, second) {
            (Value::Array(a), Value::Array(b)) => {
                if b.elements.is_empty() {
                    return Ok(first.clone());
                }
                if a.elements.is_empty() {
                    return Ok(second.clone());
                }
                let lower = flat(a, "array_cat")?;
                flat(b, "array_cat")?;
                with_lower(
                    lower,
                    a.elements.iter().chain(&b.elements).cloned().collect(),
                )
            }
            (Value::Array(_), _) => Ok(first.clone()),
            (_, b) => Ok(b.clone()),
        },
        F::Length | F::Lower | F::Upper => {
            let a = array_arg(args, 0)?;
            let dimension = usize::try_from(int(args, 1)? - 1).ok();
            match dimension.and_then(|d| a.dimensions.get(d)) {
                None => Ok(Value::Null),
                Some((lower, length)) => match function {
                    F::Length => number(*length),
                    F::Lower => number(*lower),
                    _ => number(i64::from(*lower) + i64::try_from(*length).unwrap_or(0) - 1),
                },
            }
        }
        F::Cardinality => number(array_arg(args, 0)?.elements.len()),
        F::Ndims => match array_arg(args, 0)?.dimensions.len() {
            0 => Ok(Value::Null),
            n => number(n),
        },
        F::Position | F::PositionFrom => {
            let Value::Array(a) = first else {
                return Ok(Value::Null);
            };
            let lower = flat(a, "searching for elements")?;
            let from = match args.get(2) {
                None => lower,
                Some(Value::Int(n)) => *n,
                Some(_) => return Err(error("22004", "initial position must not be null")),
            };
            let found = a
                .elements
                .iter()
                .zip(lower..)
                .find(|(e, at)| *at >= from && same(e, second, element));
            Ok(found.map_or(Value::Null, |(_, at)| Value::Int(at)))
        }
        F::Positions => {
            let Value::Array(a) = first else {
                return Ok(Value::Null);
            };
            let lower = flat(a, "searching for elements")?;
            array(
                a.elements
                    .iter()
                    .zip(lower..)
                    .filter(|(e, _)| same(e, second, element))
                    .map(|(_, at)| Value::Int(at))
                    .collect(),
            )
        }
        F::Remove => {
            let Value::Array(a) = first else {
                return Ok(Value::Null);
            };
            if a.dimensions.len() > 1 {
                return Err(error(
                    "0A000",
                    "removing elements from multidimensional arrays is not supported",
                ));
            }
            let kept: Vec<Value> = a
                .elements
                .iter()
                .filter(|e| !same(e, second, element))
                .cloned()
                .collect();
            if kept.len() == a.elements.len() {
                return Ok(first.clone());
            }
            with_lower(flat(a, "array_remove")?, kept)
        }
        F::Replace => {
            let Value::Array(a) = first else {
                return Ok(Value::Null);
            };
            let new = args.get(2).unwrap_or(&null);
            Ok(Value::Array(Arc::new(Array {
                dimensions: a.dimensions.clone(),
                elements: a
                    .elements
                    .iter()
                    .map(|e| {
                        if same(e, second, element) {
                            new.clone()
                        } else {
                            e.clone()
                        }
                    })
                    .collect(),
            })))
        }
        F::ToText => {
            let (Value::Array(a), Value::Text(separator)) = (first, second) else {
                return Ok(Value::Null);
            };
            let null_text = match args.get(2) {
                Some(Value::Text(_)) => Some(text(args, 2)?),
                _ => None,
            };
            let parts: Vec<String> = a
                .elements
                .iter()
                .filter_map(|e| {
                    if e.is_null() {
                        return null_text.map(str::to_owned);
                    }
                    let mut out = String::new();
                    write_output(&mut out, e, element);
                    Some(out)
                })
                .collect();
            Ok(Value::text(parts.join(separator)))
        }
        F::Contains => Ok(Value::Bool(contains(
            array_arg(args, 0)?,
            array_arg(args, 1)?,
            element,
        ))),
        F::Contained => Ok(Value::Bool(contains(
            array_arg(args, 1)?,
            array_arg(args, 0)?,
            element,
        ))),
        F::Overlaps => {
            let (a, b) = (array_arg(args, 0)?, array_arg(args, 1)?);
            Ok(Value::Bool(a.elements.iter().any(|x| {
                !x.is_null()
                    && b.elements
                        .iter()
                        .any(|y| !y.is_null() && same(x, y, element))
            })))
        }
        F::TrimArray => {
            let a = array_arg(args, 0)?;
            let n = int(args, 1)?;
            let total = a.elements.len();
            let drop = usize::try_from(n)
                .ok()
                .filter(|n| *n <= total)
                .ok_or_else(|| {
                    error(
                        "2202E",
                        format!("number of elements to trim must be between 0 and {total}"),
                    )
                })?;
            flat(a, "trim_array")?;
            array(a.elements[..total - drop].to_vec())
        }
    }
}

/// Every element of `b` is in `a`; NULL is equal to nothing.
fn contains(a: &Array, b: &Array, element: &Type) -> bool {
    b.elements.iter().all(|y| {
        !y.is_null()
            && a.elements
                .iter()
                .any(|x| !x.is_null() && same(x, y, element))
    })
}

/// `array[index]`: NULL outside the bounds.
pub(super) fn subscript(args: &[Value]) -> Result {
    let [Value::Array(a), Value::Int(index)] = args else {
        return Err(mistyped("subscript"));
    };
    let [(lower, _)] = a.dimensions[..] else {
        return Ok(Value::Null);
    };
    Ok(usize::try_from(index - i64::from(lower))
        .ok()
        .and_then(|at| a.elements.get(at))
        .cloned()
        .unwrap_or(Value::Null))
}

//! An aggregate over a list of rows: what Postgres gives for these rows in this order.
//!
//! In: argument values, already filtered, and sorted and de-duplicated where the call says so. Out: the value.

use std::cmp::Ordering;

use readside_expr::EvalError;
use readside_pgtype::{
    Array, Type, Value, check_jsonb, compare_typed, jsonb, write_json, write_jsonb,
};

use crate::accumulator::{Accumulator, float_overflow, mistyped, raise};
use crate::{AggFunc, ordered_set};

/// The value of an aggregate over rows of argument values.
///
/// Float sums are taken in the order of the rows, rounding at each step, as Postgres does.
///
/// # Errors
/// What Postgres would raise.
pub fn collect(
    func: &AggFunc,
    arg_types: &[Type],
    rows: &mut dyn Iterator<Item = &[Value]>,
) -> Result<Value, EvalError> {
    let ty = arg_types.first().unwrap_or(&Type::Unknown);
    match func {
        AggFunc::Min => Ok(extreme(ty, rows, Ordering::Less)),
        AggFunc::Max => Ok(extreme(ty, rows, Ordering::Greater)),
        AggFunc::StringAgg => string_agg(rows),
        AggFunc::ByteaAgg => bytea_agg(rows),
        AggFunc::ArrayAgg => Ok(array_agg(rows)),
        AggFunc::ArrayAggArrays => array_agg_arrays(rows),
        AggFunc::JsonAgg => Ok(json_agg(ty, rows)),
        AggFunc::JsonbAgg => jsonb_agg(ty, rows),
        AggFunc::JsonObjectAgg => json_object_agg(arg_types, rows),
        AggFunc::JsonbObjectAgg => jsonb_object_agg(arg_types, rows),
        AggFunc::JsonAggStrict => Ok(json_agg(ty, &mut without_null(rows, 0))),
        AggFunc::JsonbAggStrict => jsonb_agg(ty, &mut without_null(rows, 0)),
        AggFunc::JsonObjectAggStrict => json_object_agg(arg_types, &mut without_null(rows, 1)),
        AggFunc::JsonbObjectAggStrict => jsonb_object_agg(arg_types, &mut without_null(rows, 1)),
        AggFunc::Mode => Ok(ordered_set::mode(ty, rows)),
        AggFunc::PercentileDisc => ordered_set::percentile_disc(rows),
        AggFunc::PercentileCont => ordered_set::percentile_cont(rows),
        AggFunc::SumFloat4 => sum_floats(rows, *func),
        AggFunc::SumFloat8 | AggFunc::AvgFloat => sum_floats(rows, *func),
        _ => {
            let mut accumulator = Accumulator::new(func);
            for row in rows {
                accumulator.add(row);
            }
            accumulator.value()
        }
    }
}

fn first(row: &[Value]) -> &Value {
    row.first().unwrap_or(&Value::Null)
}

/// The rows whose argument at this place is not NULL.
fn without_null<'a>(
    rows: &mut dyn Iterator<Item = &'a [Value]>,
    at: usize,
) -> impl Iterator<Item = &'a [Value]> {
    rows.filter(move |row| !row.get(at).is_none_or(Value::is_null))
}

/// The first of the equal least (or greatest) values, as Postgres keeps it.
fn extreme(ty: &Type, rows: &mut dyn Iterator<Item = &[Value]>, wanted: Ordering) -> Value {
    let mut best = Value::Null;
    for row in rows {
        let value = first(row);
        if value.is_null() {
            continue;
        }
        if best.is_null() || compare_typed(value, &best, ty) == wanted {
            best = value.clone();
        }
    }
    best
}

fn sum_floats(rows: &mut dyn Iterator<Item = &[Value]>, func: AggFunc) -> Result<Value, EvalError> {
    let narrow = func == AggFunc::SumFloat4;
    let mut sum4: Option<f32> = None;
    let mut sum8: Option<f64> = None;
    let mut count = 0i64;
    for row in rows {
        let x = match first(row) {
            Value::Null => continue,
            Value::Float4(x) if narrow => {
                let next = sum4.map_or(*x, |sum| sum + x);
                if next.is_infinite() && x.is_finite() && sum4.is_some_and(f32::is_finite) {
                    return Err(float_overflow());
                }
                sum4 = Some(next);
                continue;
            }
            Value::Float4(x) => f64::from(*x),
            Value::Float8(x) => *x,
            other => return Err(mistyped(func, other)),
        };
        count += 1;
        // The average starts from 0, the sum from the first value, which matters for -0 alone.
        let start = if func == AggFunc::AvgFloat {
            Some(0.0)
        } else {
            None
        };
        let before = sum8.or(start);
        let next = before.map_or(x, |sum| sum + x);
        if next.is_infinite() && x.is_finite() && before.is_some_and(f64::is_finite) {
            return Err(float_overflow());
        }
        sum8 = Some(next);
    }
    Ok(match (func, sum4, sum8) {
        (AggFunc::SumFloat4, Some(sum), _) => Value::Float4(sum),
        (AggFunc::SumFloat8, _, Some(sum)) => Value::Float8(sum),
        (AggFunc::AvgFloat, _, Some(sum)) => {
            Value::Float8(sum / crate::accumulator::count_as_f64(count))
        }
        _ => Value::Null,
    })
}

/// The delimiter of the first value is not used; values that are NULL are left out, delimiters that are NULL are empty.
fn string_agg(rows: &mut dyn Iterator<Item = &[Value]>) -> Result<Value, EvalError> {
    let mut out: Option<String> = None;
    for row in rows {
        let text = match first(row) {
            Value::Null => continue,
            Value::Text(text) => text,
            other => return Err(mistyped(AggFunc::StringAgg, other)),
        };
        match &mut out {
            None => out = Some(text.to_string()),
            Some(out) => {
                if let Some(Value::Text(delimiter)) = row.get(1) {
                    out.push_str(delimiter);
                }
                out.push_str(text);
            }
        }
    }
    Ok(out.map_or(Value::Null, Value::text))
}

fn bytea_agg(rows: &mut dyn Iterator<Item = &[Value]>) -> Result<Value, EvalError> {
    let mut out: Option<Vec<u8>> = None;
    for row in rows {
        let bytes = match first(row) {
            Value::Null => continue,
            Value::Bytea(bytes) => bytes,
            other => return Err(mistyped(AggFunc::ByteaAgg, other)),
        };
        match &mut out {
            None => out = Some(bytes.to_vec()),
            Some(out) => {
                if let Some(Value::Bytea(delimiter)) = row.get(1) {
                    out.extend_from_slice(delimiter);
                }
                out.extend_from_slice(bytes);
            }
        }
    }
    Ok(out.map_or(Value::Null, |bytes| Value::Bytea(bytes.into())))
}

fn array_agg(rows: &mut dyn Iterator<Item = &[Value]>) -> Value {
    let elements: Vec<Value> = rows.map(|row| first(row).clone()).collect();
    if elements.is_empty() {
        return Value::Null;
    }
    Value::Array(Array::one_dimensional(elements).into())
}

fn array_agg_arrays(rows: &mut dyn Iterator<Item = &[Value]>) -> Result<Value, EvalError> {
    let refuse = |sqlstate, message: &str| EvalError {
        sqlstate,
        message: message.to_owned(),
    };
    let mut shape: Option<Vec<usize>> = None;
    let mut elements = Vec::new();
    let mut count = 0usize;
    for row in rows {
        let array = match first(row) {
            Value::Null => return Err(refuse("22004", "cannot accumulate null arrays")),
            Value::Array(array) => array,
            other => return Err(mistyped(AggFunc::ArrayAggArrays, other)),
        };
        let lengths: Vec<usize> = array.dimensions.iter().map(|(_, l)| *l).collect();
        if shape.as_ref().is_some_and(|shape| *shape != lengths) {
            return Err(refuse(
                "2202E",
                "cannot accumulate arrays of different dimensionality",
            ));
        }
        if lengths.is_empty() {
            return Err(refuse("2202E", "cannot accumulate empty arrays"));
        }
        shape = Some(lengths);
        elements.extend(array.elements.iter().cloned());
        count += 1;
    }
    Ok(match shape {
        None => Value::Null,
        Some(lengths) => {
            let dimensions = std::iter::once(count)
                .chain(lengths)
                .map(|length| (1, length))
                .collect();
            Value::Array(
                Array {
                    dimensions,
                    elements,
                }
                .into(),
            )
        }
    })
}

fn json_agg(ty: &Type, rows: &mut dyn Iterator<Item = &[Value]>) -> Value {
    let structured = matches!(ty.base(), Type::Array(_) | Type::Record(_));
    let mut out = String::new();
    for row in rows {
        let value = first(row);
        if out.is_empty() {
            out.push('[');
        } else {
            out.push_str(", ");
            if structured && !value.is_null() {
                out.push_str("\n ");
            }
        }
        write_json(&mut out, value, ty);
    }
    if out.is_empty() {
        return Value::Null;
    }
    out.push(']');
    Value::Json(out.into())
}

fn jsonb_agg(ty: &Type, rows: &mut dyn Iterator<Item = &[Value]>) -> Result<Value, EvalError> {
    let mut out = String::new();
    for row in rows {
        out.push_str(if out.is_empty() { "[" } else { ", " });
        check_jsonb(first(row)).map_err(raise)?;
        write_jsonb(&mut out, first(row), ty);
    }
    if out.is_empty() {
        return Ok(Value::Null);
    }
    out.push(']');
    Ok(Value::Jsonb(out.into()))
}

/// Key (refused when NULL) and value of one row of an object aggregate.
fn pair<'a>(
    arg_types: &'a [Type],
    row: &'a [Value],
) -> Result<(String, &'a Value, &'a Type), EvalError> {
    let key_type = arg_types.first().unwrap_or(&Type::Unknown);
    let value_type = arg_types.get(1).unwrap_or(&Type::Unknown);
    let key = first(row);
    if key.is_null() {
        return Err(EvalError {
            sqlstate: "22023",
            message: "field name must not be null".to_owned(),
        });
    }
    let key = jsonb::json_key(key, key_type).map_err(raise)?;
    Ok((key, row.get(1).unwrap_or(&Value::Null), value_type))
}

fn json_object_agg(
    arg_types: &[Type],
    rows: &mut dyn Iterator<Item = &[Value]>,
) -> Result<Value, EvalError> {
    let mut out = String::new();
    for row in rows {
        let (key, value, ty) = pair(arg_types, row)?;
        out.push_str(if out.is_empty() { "{ " } else { ", " });
        jsonb::write_json_string(&mut out, &key);
        out.push_str(" : ");
        write_json(&mut out, value, ty);
    }
    if out.is_empty() {
        return Ok(Value::Null);
    }
    out.push_str(" }");
    Ok(Value::Json(out.into()))
}

fn jsonb_object_agg(
    arg_types: &[Type],
    rows: &mut dyn Iterator<Item = &[Value]>,
) -> Result<Value, EvalError> {
    let mut pairs = Vec::new();
    for row in rows {
        let (key, value, ty) = pair(arg_types, row)?;
        let mut text = String::new();
        check_jsonb(value).map_err(raise)?;
        write_jsonb(&mut text, value, ty);
        pairs.push((key, text));
    }
    if pairs.is_empty() {
        return Ok(Value::Null);
    }
    Ok(Value::Jsonb(jsonb::jsonb_object_text(pairs).into()))
}

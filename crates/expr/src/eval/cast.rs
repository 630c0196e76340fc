//! Casts of values.

use std::sync::Arc;

use readside_pgtype::{
    Array, Interval, Json, Numeric, Type, Value, ValueError, canonical_jsonb, datetime, pad_bpchar,
    parse_input, write_output, write_text,
};

use super::{Result, error, mistyped};

/// A value of one type as another.
pub(super) fn cast(value: &Value, from: &Type, to: &Type, typmod: i32, explicit: bool) -> Result {
    let converted = convert(value, from, to)?;
    if typmod < 0 && *to != Type::Bpchar {
        return Ok(converted);
    }
    modify(converted, to, typmod, explicit)
}

/// Applies a type modifier.
fn modify(value: Value, ty: &Type, typmod: i32, explicit: bool) -> Result {
    if typmod < 0 {
        return Ok(value);
    }
    Ok(match (ty.base(), value) {
        (Type::Varchar, Value::Text(s)) => {
            Value::Text(fit(&s, typmod, explicit, "character varying")?)
        }
        (Type::Bpchar, Value::Text(s)) => {
            let cut = fit(&s, typmod, explicit, "character")?;
            Value::Text(pad_bpchar(&cut, typmod))
        }
        (Type::Numeric, Value::Numeric(n)) => Value::Numeric(n.apply_typmod(typmod)?),
        (Type::Timestamp, Value::Timestamp(t)) => Value::Timestamp(rounded(t, typmod)),
        (Type::TimestampTz, Value::TimestampTz(t)) => Value::TimestampTz(rounded(t, typmod)),
        (Type::Time, Value::Time(t)) => Value::Time(datetime::round_micros(t, typmod)),
        (Type::Interval, Value::Interval(i)) => {
            Value::Interval(datetime::round_interval(&i, typmod))
        }
        (Type::Array(element), Value::Array(array)) => {
            let elements = array
                .elements
                .iter()
                .map(|v| modify(v.clone(), element, typmod, explicit))
                .collect::<Result<Vec<_>>>()?;
            Value::Array(Arc::new(Array {
                dimensions: array.dimensions.clone(),
                elements,
            }))
        }
        (_, value) => value,
    })
}

fn rounded(micros: i64, typmod: i32) -> i64 {
    if micros == i64::MAX || micros == i64::MIN {
        micros
    } else {
        datetime::round_micros(micros, typmod)
    }
}

/// Text of at most the modifier's length: blanks beyond it go, anything else only by an explicit cast.
fn fit(s: &Arc<str>, typmod: i32, explicit: bool, name: &str) -> Result<Arc<str>> {
    let limit = usize::try_from(typmod - 4).unwrap_or(0);
    let Some((end, _)) = s.char_indices().nth(limit) else {
        return Ok(Arc::clone(s));
    };
    if explicit || s[end..].bytes().all(|b| b == b' ') {
        return Ok(s[..end].into());
    }
    Err(error(
        "22001",
        format!("value too long for type {name}({limit})"),
    ))
}

fn integer(n: i64, to: &Type) -> Result {
    let (name, min, max) = bounds(to);
    if (min..=max).contains(&n) {
        Ok(Value::Int(n))
    } else {
        Err(ValueError::out_of_range(name).into())
    }
}

fn bounds(to: &Type) -> (&'static str, i64, i64) {
    match to {
        Type::Int2 => ("smallint", i16::MIN.into(), i16::MAX.into()),
        Type::Int4 => ("integer", i32::MIN.into(), i32::MAX.into()),
        Type::Oid => ("OID", 0, u32::MAX.into()),
        _ => ("bigint", i64::MIN, i64::MAX),
    }
}

/// A float as an integer type: rounded half to even.
fn float_to_integer(x: f64, to: &Type) -> Result {
    let (name, ..) = bounds(to);
    let rounded = x.round_ties_even();
    // 2^63 and beyond don't fit; the comparison is false for NaN.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        return Err(ValueError::out_of_range(name).into());
    }
    let n = super::datetime::exact_integer(rounded)
        .or_else(|| (rounded == -9_223_372_036_854_775_808.0).then_some(i64::MIN));
    integer(
        n.ok_or_else(|| super::EvalError::from(ValueError::out_of_range(name)))?,
        to,
    )
}

/// An integer as a `real`, rounded once.
fn int_to_f32(n: i64) -> Result<f32> {
    n.to_string().parse().map_err(|_| mistyped("real"))
}

fn int_to_f64(n: i64) -> Result<f64> {
    n.to_string()
        .parse()
        .map_err(|_| mistyped("double precision"))
}

fn float8_to_float4(x: f64) -> Result {
    // Rounding to nearest is what the conversion does; `as` is the only way to say it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest `real` is meant"
    )]
    let narrow = x as f32;
    if narrow.is_infinite() && !x.is_infinite() {
        return Err(error("22003", "value out of range: overflow"));
    }
    if narrow == 0.0 && x != 0.0 {
        return Err(error("22003", "value out of range: underflow"));
    }
    Ok(Value::Float4(narrow))
}

fn convert(value: &Value, from: &Type, to: &Type) -> Result {
    if from == to {
        return Ok(value.clone());
    }
    Ok(match (value, to) {
        (Value::Array(array), Type::Array(target)) => {
            let source = match from {
                Type::Array(e) => e.base(),
                _ => return Err(mistyped("array cast")),
            };
            let elements = array
                .elements
                .iter()
                .map(|v| {
                    if v.is_null() {
                        Ok(Value::Null)
                    } else {
                        convert(v, source, target.base())
                    }
                })
                .collect::<Result<Vec<_>>>()?;
            Value::Array(Arc::new(Array {
                dimensions: array.dimensions.clone(),
                elements,
            }))
        }
        // Strings among themselves.
        (Value::Text(s), Type::Text | Type::Varchar) if *from == Type::Bpchar => {
            Value::text(s.trim_end_matches(' '))
        }
        (Value::Text(s), Type::Text | Type::Varchar | Type::Bpchar) if is_text(from) => {
            Value::Text(Arc::clone(s))
        }
        (Value::Text(s), Type::Name) if *from == Type::Bpchar => {
            parse_input(&Type::Name, -1, s.trim_end_matches(' '))?
        }
        (Value::Text(s), _) if is_text(from) || matches!(from, Type::Other(_)) => {
            // `character(n)` shows its blanks to input functions.
            return Ok(parse_input(to, -1, s)?);
        }
        (_, Type::Text | Type::Varchar | Type::Bpchar | Type::Name) => {
            let mut shown = String::new();
            if *to == Type::Name {
                write_output(&mut shown, value, from);
            } else {
                write_text(&mut shown, value, from);
            }
            return Ok(parse_input(to, -1, &shown)?);
        }
        // Numbers.
        (Value::Int(n), Type::Bool) => Value::Bool(*n != 0),
        (Value::Bool(b), Type::Int4) => Value::Int(i64::from(*b)),
        (Value::Int(n), Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid) => {
            return integer(*n, to);
        }
        (Value::Int(n), Type::Float8) => Value::Float8(int_to_f64(*n)?),
        (Value::Int(n), Type::Float4) => Value::Float4(int_to_f32(*n)?),
        (Value::Int(n), Type::Numeric) => Value::Numeric(Numeric::from_bigint((*n).into())),
        (Value::Float8(x), Type::Int2 | Type::Int4 | Type::Int8) => {
            return float_to_integer(*x, to);
        }
        (Value::Float4(x), Type::Int2 | Type::Int4 | Type::Int8) => {
            return float_to_integer(f64::from(*x), to);
        }
        (Value::Float8(x), Type::Numeric) => Value::Numeric(Numeric::from_f64(*x)),
        (Value::Float4(x), Type::Numeric) => Value::Numeric(Numeric::from_f32(*x)),
        (Value::Float8(x), Type::Float4) => return float8_to_float4(*x),
        (Value::Float4(x), Type::Float8) => Value::Float8(f64::from(*x)),
        (Value::Numeric(n), Type::Int2 | Type::Int4 | Type::Int8) => {
            let (name, min, max) = bounds(to);
            Value::Int(n.to_integer(name, min, max)?)
        }
        (Value::Numeric(n), Type::Float8) => Value::Float8(n.to_f64()?),
        (Value::Numeric(n), Type::Float4) => Value::Float4(n.to_f32()?),
        // Dates and times; the session's zone is UTC.
        (Value::Date(d), Type::Timestamp) => Value::Timestamp(datetime::date_to_timestamp(*d)?),
        (Value::Date(d), Type::TimestampTz) => Value::TimestampTz(datetime::date_to_timestamp(*d)?),
        (Value::Timestamp(t) | Value::TimestampTz(t), Type::Date) => {
            Value::Date(datetime::timestamp_to_date(*t))
        }
        (Value::Timestamp(t) | Value::TimestampTz(t), Type::Time) => {
            datetime::timestamp_to_time(*t).map_or(Value::Null, Value::Time)
        }
        (Value::Timestamp(t), Type::TimestampTz) => Value::TimestampTz(*t),
        (Value::TimestampTz(t), Type::Timestamp) => Value::Timestamp(*t),
        (Value::Time(t), Type::Interval) => Value::Interval(Interval {
            months: 0,
            days: 0,
            micros: *t,
        }),
        (Value::Interval(i), Type::Time) => {
            Value::Time(i.micros.rem_euclid(datetime::MICROS_PER_DAY))
        }
        // JSON.
        (Value::Json(s), Type::Jsonb) => Value::Jsonb(canonical_jsonb(s)?),
        (Value::Jsonb(s), Type::Json) => Value::Json(Arc::clone(s)),
        (Value::Jsonb(s), _) => return jsonb_scalar(s, to),
        _ => {
            return Err(error(
                "0A000",
                format!(
                    "casting {} to {} is not supported",
                    crate::catalog::type_name(from),
                    crate::catalog::type_name(to)
                ),
            ));
        }
    })
}

fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Varchar | Type::Bpchar | Type::Name)
}

/// `jsonb` to `boolean` and the number types.
fn jsonb_scalar(text: &str, to: &Type) -> Result {
    let json = readside_pgtype::jsonb::parse_json(text)?;
    let cannot = |what: &str| {
        error(
            "22023",
            format!(
                "cannot cast jsonb {what} to type {}",
                crate::catalog::type_name(to)
            ),
        )
    };
    match (&json, to) {
        (Json::Bool(b), Type::Bool) => Ok(Value::Bool(*b)),
        (Json::Number(n), Type::Numeric) => Ok(Value::Numeric(n.clone())),
        (Json::Number(n), _) if *to != Type::Bool => {
            convert(&Value::Numeric(n.clone()), &Type::Numeric, to)
        }
        (Json::Array(_), _) => Err(cannot("array")),
        (Json::Object(_), _) => Err(cannot("object")),
        (Json::Null, _) => Err(cannot("null")),
        (Json::String(_), _) => Err(cannot("string")),
        (Json::Bool(_), _) => Err(cannot("boolean")),
        (Json::Number(_), _) => Err(cannot("numeric")),
    }
}

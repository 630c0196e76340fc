//! Functions of `json` and `jsonb`.

use std::sync::Arc;

use readside_pgtype::jsonb::{self, Json, Kind};
use readside_pgtype::{Type, Value, write_json, write_jsonb};

use super::{Result, array_arg, error, int, mistyped, text};
use crate::JsonFunction;

/// A piece of JSON of the same type as an argument.
fn piece(args: &[Value], found: Option<&str>) -> Value {
    match (found, args.first()) {
        (None, _) => Value::Null,
        (Some(s), Some(Value::Json(_))) => Value::Json(s.into()),
        (Some(s), _) => Value::Jsonb(s.into()),
    }
}

fn scalar(found: Option<&str>) -> Value {
    found
        .and_then(jsonb::scalar_text)
        .map_or(Value::Null, Value::text)
}

fn tree(args: &[Value], at: usize) -> Result<Json> {
    Ok(jsonb::parse_json(text(args, at)?)?)
}

fn built(json: &Json) -> Result {
    Ok(Value::Jsonb(json.to_string().into()))
}

/// The texts of a text array; NULL elements are `None`.
fn texts(args: &[Value], at: usize) -> Result<Vec<Option<&str>>> {
    array_arg(args, at)?
        .elements
        .iter()
        .map(|v| match v {
            Value::Text(s) => Ok(Some(&**s)),
            Value::Null => Ok(None),
            _ => Err(mistyped("text array")),
        })
        .collect()
}

/// An element of an array, or of a jsonb scalar, which is an array of itself.
fn element(args: &[Value]) -> Result<Option<&str>> {
    let (array, index) = (text(args, 0)?, int(args, 1)?);
    Ok(match args.first() {
        Some(Value::Jsonb(_)) => jsonb::get_jsonb_element(array, index),
        _ => jsonb::get_element(array, index),
    })
}

/// A path without NULLs, or none.
fn path(args: &[Value], at: usize) -> Result<Option<Vec<&str>>> {
    Ok(texts(args, at)?.into_iter().collect())
}

/// A path for a function that refuses NULLs in it.
fn strict_path(args: &[Value], at: usize) -> Result<Vec<&str>> {
    texts(args, at)?
        .into_iter()
        .enumerate()
        .map(|(i, step)| {
            step.ok_or_else(|| {
                error(
                    "22004",
                    format!("path element at position {} is null", i + 1),
                )
            })
        })
        .collect()
}

pub(super) fn apply(function: JsonFunction, types: &[Type], args: &[Value]) -> Result {
    use JsonFunction as F;
    Ok(match function {
        F::Field => piece(args, jsonb::get_field(text(args, 0)?, text(args, 1)?)),
        F::FieldText => scalar(jsonb::get_field(text(args, 0)?, text(args, 1)?)),
        F::Element => piece(args, element(args)?),
        F::ElementText => scalar(element(args)?),
        F::Path | F::PathText => {
            let json = text(args, 0)?;
            // The variadic form passes the steps one by one.
            let steps = match args.get(1) {
                Some(Value::Array(_)) => path(args, 1)?,
                _ => Some(
                    (1..args.len())
                        .map(|i| text(args, i))
                        .collect::<Result<Vec<_>>>()?,
                ),
            };
            let found = steps.and_then(|steps| jsonb::get_path(json, &steps));
            if function == F::Path {
                piece(args, found)
            } else {
                scalar(found)
            }
        }
        F::Contains => Value::Bool(jsonb::contains(&tree(args, 0)?, &tree(args, 1)?)),
        F::Contained => Value::Bool(jsonb::contains(&tree(args, 1)?, &tree(args, 0)?)),
        F::Exists => Value::Bool(jsonb::exists(&tree(args, 0)?, text(args, 1)?)),
        F::ExistsAny | F::ExistsAll => {
            let json = tree(args, 0)?;
            let mut keys = texts(args, 1)?.into_iter().flatten();
            Value::Bool(if function == F::ExistsAny {
                keys.any(|k| jsonb::exists(&json, k))
            } else {
                keys.all(|k| jsonb::exists(&json, k))
            })
        }
        F::Concat => return built(&jsonb::concat(tree(args, 0)?, tree(args, 1)?)),
        F::Delete => return built(&jsonb::delete_key(tree(args, 0)?, text(args, 1)?)?),
        F::DeleteIndex => return built(&jsonb::delete_index(tree(args, 0)?, int(args, 1)?)?),
        F::DeleteKeys => {
            let mut json = tree(args, 0)?;
            if json.is_scalar() {
                return Err(error("22023", "cannot delete from scalar"));
            }
            for key in texts(args, 1)?.into_iter().flatten() {
                json = jsonb::delete_key(json, key)?;
            }
            return built(&json);
        }
        F::DeletePath => {
            let steps = strict_path(args, 1)?;
            return built(&jsonb::delete_path(tree(args, 0)?, &steps)?);
        }
        F::Set => {
            let steps = strict_path(args, 1)?;
            let create = !matches!(args.get(3), Some(Value::Bool(false)));
            return built(&jsonb::set_path(
                tree(args, 0)?,
                &steps,
                &tree(args, 2)?,
                create,
            )?);
        }
        F::BuildObject => Value::Jsonb(jsonb::jsonb_object_text(pairs(types, args, true)?).into()),
        F::JsonBuildObject => {
            Value::Json(jsonb::json_object_text(&pairs(types, args, false)?).into())
        }
        F::BuildArray => {
            let elements: Vec<String> = args
                .iter()
                .zip(types)
                .map(|(v, t)| binary(v, t))
                .collect::<Result<_>>()?;
            Value::Jsonb(jsonb::array_text(&elements).into())
        }
        F::JsonBuildArray => {
            let elements: Vec<String> = args
                .iter()
                .zip(types)
                .map(|(v, t)| verbatim(v, t))
                .collect();
            Value::Json(jsonb::array_text(&elements).into())
        }
        F::ToJsonb => match (args, types) {
            ([v, ..], [t, ..]) => Value::Jsonb(binary(v, t)?.into()),
            _ => return Err(mistyped("to_jsonb")),
        },
        F::ToJson => match (args, types) {
            ([v, ..], [t, ..]) => Value::Json(verbatim(v, t).into()),
            _ => return Err(mistyped("to_json")),
        },
        F::StripNulls => return built(&jsonb::strip_nulls(tree(args, 0)?)),
        F::Typeof => Value::text(jsonb::kind(text(args, 0)?).name()),
        F::ArrayLength => {
            let json = text(args, 0)?;
            match jsonb::array_length(json) {
                Some(n) => Value::Int(i64::try_from(n).unwrap_or(i64::MAX)),
                None => {
                    let what = if jsonb::kind(json) == Kind::Object {
                        "cannot get array length of a non-array"
                    } else {
                        "cannot get array length of a scalar"
                    };
                    return Err(error("22023", what));
                }
            }
        }
        F::ObjectOfPairs
        | F::ObjectOfKeysAndValues
        | F::JsonObjectOfPairs
        | F::JsonObjectOfKeysAndValues => {
            return object_of_texts(function, args);
        }
    })
}

/// A value as an element of a `jsonb`.
fn binary(value: &Value, ty: &Type) -> Result<String> {
    if value.is_null() {
        return Ok("null".to_owned());
    }
    if let Value::Json(text) = value {
        return Ok(jsonb::canonical_jsonb(text)?.to_string());
    }
    let mut out = String::new();
    write_jsonb(&mut out, value, ty);
    Ok(out)
}

/// A value as an element of a `json`.
fn verbatim(value: &Value, ty: &Type) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    let mut out = String::new();
    write_json(&mut out, value, ty);
    out
}

/// The pairs of `jsonb_build_object` and `json_build_object`.
fn pairs(types: &[Type], args: &[Value], is_binary: bool) -> Result<Vec<(String, String)>> {
    let (args, types): (&[Value], &[Type]) = (args, types);
    if args.len() % 2 == 1 {
        return Err(error(
            "22023",
            "argument list must have even number of elements",
        ));
    }
    let mut pairs = Vec::with_capacity(args.len() / 2);
    for (i, (pair, pair_types)) in args.chunks_exact(2).zip(types.chunks_exact(2)).enumerate() {
        let ([key, value], [key_type, value_type]) = (pair, pair_types) else {
            return Err(mistyped("object"));
        };
        if key.is_null() {
            let message = if is_binary {
                format!("argument {}: key must not be null", i * 2 + 1)
            } else {
                format!("argument {} cannot be null", i * 2 + 1)
            };
            return Err(error("22023", message));
        }
        let shown = if is_binary {
            binary(value, value_type)?
        } else {
            verbatim(value, value_type)
        };
        pairs.push((jsonb::json_key(key, key_type)?, shown));
    }
    Ok(pairs)
}

/// `jsonb_object(text[])`, `jsonb_object(keys, values)` and the same for `json`.
fn object_of_texts(function: JsonFunction, args: &[Value]) -> Result {
    let first = texts(args, 0)?;
    let flat: Vec<(Option<&str>, Option<&str>)> = match function {
        JsonFunction::ObjectOfPairs | JsonFunction::JsonObjectOfPairs => {
            match array_arg(args, 0)?.dimensions[..] {
                [] | [_] => {
                    if first.len() % 2 == 1 {
                        return Err(error("2202E", "array must have even number of elements"));
                    }
                }
                [_, (_, 2)] => {}
                [_, _] => return Err(error("2202E", "array must have two columns")),
                _ => return Err(error("2202E", "wrong number of array subscripts")),
            }
            first.chunks_exact(2).map(|c| (c[0], c[1])).collect()
        }
        _ => {
            let second = texts(args, 1)?;
            if first.len() != second.len() {
                return Err(error("2202E", "mismatched array dimensions"));
            }
            first.into_iter().zip(second).collect()
        }
    };
    let pairs = flat
        .into_iter()
        .map(|(key, value)| {
            let key = key.ok_or_else(|| error("22004", "null value not allowed for object key"))?;
            let shown = match value {
                None => "null".to_owned(),
                Some(s) => Json::String(s.to_owned()).to_string(),
            };
            Ok((key.to_owned(), shown))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(match function {
        JsonFunction::ObjectOfPairs | JsonFunction::ObjectOfKeysAndValues => {
            Value::Jsonb(Arc::from(jsonb::jsonb_object_text(pairs)))
        }
        _ => {
            // `json_object` writes `"k" : v`.
            let body: Vec<String> = pairs
                .iter()
                .map(|(k, v)| format!("{} : {v}", Json::String(k.clone())))
                .collect();
            Value::Json(format!("{{{}}}", body.join(", ")).into())
        }
    })
}

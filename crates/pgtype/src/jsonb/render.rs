//! SQL values as JSON: `to_json` and `to_jsonb`.

use std::fmt::Write;

use super::builder::jsonb_object_text;
use super::parse::canonical_jsonb;
use crate::output::{element_type, field_type, write_output};
use crate::{Array, Numeric, Type, Value, ValueError};

/// Appends a JSON string, escaped as Postgres does.
pub fn write_json_string(out: &mut String, s: &str) {
    out.push('"');
    let mut rest = s;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        out.push_str(&rest[..at]);
        let b = rest.as_bytes()[at];
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b => {
                let _ = write!(out, "\\u{b:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends `to_json(value)::text`; `null` for NULL.
pub fn write_json(out: &mut String, value: &Value, ty: &Type) {
    match value {
        Value::Json(text) => out.push_str(text),
        Value::Array(array) => write_array(out, array, ty, ",", write_json),
        Value::Record(fields) => {
            out.push('{');
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(out, &field_name(ty, i));
                out.push(':');
                write_json(out, field, field_type(ty, i));
            }
            out.push('}');
        }
        scalar => write_scalar(out, scalar, ty),
    }
}

/// Whether `to_jsonb(value)` raises: a `json` inside may hold what `jsonb` cannot.
///
/// # Errors
/// 22P05 for `\u0000`, 22P02 for a broken surrogate pair, 22003 for a number with too many digits, 54001 for too deep nesting.
pub fn check_jsonb(value: &Value) -> Result<(), ValueError> {
    match value {
        Value::Json(text) => canonical_jsonb(text).map(|_| ()),
        Value::Array(array) => array.elements.iter().try_for_each(check_jsonb),
        Value::Record(fields) => fields.iter().try_for_each(check_jsonb),
        _ => Ok(()),
    }
}

/// Appends `to_jsonb(value)::text`; `null` for NULL.
///
/// A `json` that `jsonb` cannot hold is appended as it stands: ask [`check_jsonb`] first where values of that type may come.
pub fn write_jsonb(out: &mut String, value: &Value, ty: &Type) {
    match value {
        Value::Json(text) => match canonical_jsonb(text) {
            Ok(canonical) => out.push_str(&canonical),
            Err(_) => out.push_str(text),
        },
        Value::Float4(_) | Value::Float8(_) => {
            let start = out.len();
            write_scalar(out, value, ty);
            // Numbers of jsonb are numeric: no exponent, no negative zero.
            let text = &out[start..];
            if (text.contains('e') || text == "-0")
                && let Ok(number) = text.parse::<Numeric>()
            {
                out.truncate(start);
                let _ = write!(out, "{number}");
            }
        }
        Value::Array(array) => write_array(out, array, ty, ", ", write_jsonb),
        Value::Record(fields) => {
            let pairs = fields
                .iter()
                .enumerate()
                .map(|(i, field)| {
                    let mut text = String::new();
                    write_jsonb(&mut text, field, field_type(ty, i));
                    (field_name(ty, i), text)
                })
                .collect();
            out.push_str(&jsonb_object_text(pairs));
        }
        scalar => write_scalar(out, scalar, ty),
    }
}

fn field_name(ty: &Type, at: usize) -> String {
    if let Type::Record(record) = ty.base()
        && let Some((name, _)) = record.fields.get(at)
    {
        return (**name).to_owned();
    }
    format!("f{}", at + 1)
}

fn write_scalar(out: &mut String, value: &Value, ty: &Type) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Jsonb(text) => out.push_str(text),
        // An oid is not a number to JSON.
        Value::Int(n) if *ty.base() != Type::Oid => {
            let _ = write!(out, "{n}");
        }
        Value::Numeric(n) if n.is_finite() => {
            let _ = write!(out, "{n}");
        }
        Value::Float4(x) if x.is_finite() => crate::float::write_float4(out, *x),
        Value::Float8(x) if x.is_finite() => crate::float::write_float8(out, *x),
        other => write_json_string(out, &scalar_string(other, ty)),
    }
}

/// A scalar as the content of a JSON string.
fn scalar_string(value: &Value, ty: &Type) -> String {
    let mut text = String::new();
    match value {
        Value::Timestamp(t) => crate::datetime::write_timestamp(&mut text, *t, 'T'),
        Value::TimestampTz(t) => crate::datetime::write_timestamptz(&mut text, *t, 'T'),
        Value::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
        other => write_output(&mut text, other, ty),
    }
    text
}

/// The key that a value makes in `json_build_object`, `jsonb_build_object` and the object aggregates (before escaping).
///
/// # Errors
/// 22023 for arrays, rows and json. NULL is the caller's to refuse, in the words of the function.
pub fn json_key(value: &Value, ty: &Type) -> Result<String, ValueError> {
    match value {
        Value::Array(_) | Value::Record(_) | Value::Json(_) | Value::Jsonb(_) => {
            Err(ValueError::new(
                "22023",
                "key value must be scalar, not array, composite, or json",
            ))
        }
        scalar => Ok(scalar_string(scalar, ty)),
    }
}

fn write_array(
    out: &mut String,
    array: &Array,
    ty: &Type,
    separator: &str,
    write: fn(&mut String, &Value, &Type),
) {
    let element = element_type(ty);
    let lengths: Vec<usize> = array.dimensions.iter().map(|(_, l)| *l).collect();
    if array.elements.is_empty() {
        out.push_str("[]");
        return;
    }
    let mut elements = array.elements.iter();
    write_dimension(
        out,
        &lengths,
        &mut elements,
        &mut |out, value| {
            write(out, value, element);
        },
        separator,
    );
}

fn write_dimension<'a>(
    out: &mut String,
    lengths: &[usize],
    elements: &mut impl Iterator<Item = &'a Value>,
    write: &mut dyn FnMut(&mut String, &Value),
    separator: &str,
) {
    let Some((length, inner)) = lengths.split_first() else {
        return;
    };
    out.push('[');
    for i in 0..*length {
        if i > 0 {
            out.push_str(separator);
        }
        if inner.is_empty() {
            write(out, elements.next().unwrap_or(&Value::Null));
        } else {
            write_dimension(out, inner, elements, write, separator);
        }
    }
    out.push(']');
}

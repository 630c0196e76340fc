//! Values to text: a type's output function, and `value::text`.

use crate::datetime;
use crate::{Array, Type, Value};

/// Appends `value::text`; nothing for NULL.
///
/// As the output function, but for booleans (`true`), and `character(n)` loses its trailing blanks.
pub fn write_text(out: &mut String, value: &Value, ty: &Type) {
    match value {
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Text(s) if *ty.base() == Type::Bpchar => out.push_str(s.trim_end_matches(' ')),
        _ => write_output(out, value, ty),
    }
}

/// Appends what the type's output function prints (as in COPY, and inside arrays and rows); nothing for NULL.
pub fn write_output(out: &mut String, value: &Value, ty: &Type) {
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(if *b { 't' } else { 'f' }),
        Value::Int(n) => write_display(out, n),
        Value::Float4(x) => crate::float::write_float4(out, *x),
        Value::Float8(x) => crate::float::write_float8(out, *x),
        Value::Numeric(n) => write_display(out, n),
        Value::Text(s) | Value::Json(s) | Value::Jsonb(s) => out.push_str(s),
        Value::Bytea(bytes) => {
            out.push_str("\\x");
            write_hex(out, bytes);
        }
        Value::Date(d) => datetime::write_date(out, *d),
        Value::Time(t) => datetime::write_time(out, *t),
        Value::Timestamp(t) => datetime::write_timestamp(out, *t, ' '),
        Value::TimestampTz(t) => datetime::write_timestamptz(out, *t, ' '),
        Value::Interval(i) => datetime::write_interval(out, i),
        Value::Uuid(bytes) => {
            for (i, byte) in bytes.iter().enumerate() {
                if matches!(i, 4 | 6 | 8 | 10) {
                    out.push('-');
                }
                write_hex(out, &[*byte]);
            }
        }
        Value::Enum(label) => out.push_str(&label.label),
        Value::Array(array) => write_array(out, array, element_type(ty)),
        Value::Record(fields) => write_record(out, fields, ty),
    }
}

fn write_display(out: &mut String, value: &dyn std::fmt::Display) {
    use std::fmt::Write;
    let _ = write!(out, "{value}");
}

fn write_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
}

/// The element type of an array type; unknown for anything else.
pub(crate) fn element_type(ty: &Type) -> &Type {
    match ty.base() {
        Type::Array(element) => element,
        _ => &Type::Unknown,
    }
}

/// The type of a row's field; unknown where the type is not a row.
pub(crate) fn field_type(ty: &Type, at: usize) -> &Type {
    match ty.base() {
        Type::Record(record) => record.fields.get(at).map_or(&Type::Unknown, |(_, t)| t),
        _ => &Type::Unknown,
    }
}

fn write_array(out: &mut String, array: &Array, element: &Type) {
    if array.elements.is_empty() {
        out.push_str("{}");
        return;
    }
    if array.dimensions.iter().any(|(lower, _)| *lower != 1) {
        for (lower, length) in &array.dimensions {
            let upper = i64::from(*lower) + i64::try_from(*length).unwrap_or(0) - 1;
            write_display(out, &format_args!("[{lower}:{upper}]"));
        }
        out.push('=');
    }
    let lengths: Vec<usize> = array.dimensions.iter().map(|(_, l)| *l).collect();
    let mut elements = array.elements.iter();
    write_dimension(out, &lengths, &mut elements, element);
}

fn write_dimension<'a>(
    out: &mut String,
    lengths: &[usize],
    elements: &mut impl Iterator<Item = &'a Value>,
    element: &Type,
) {
    let Some((length, inner)) = lengths.split_first() else {
        return;
    };
    out.push('{');
    for i in 0..*length {
        if i > 0 {
            out.push(',');
        }
        if inner.is_empty() {
            match elements.next() {
                None | Some(Value::Null) => out.push_str("NULL"),
                Some(value) => write_array_element(out, value, element),
            }
        } else {
            write_dimension(out, inner, elements, element);
        }
    }
    out.push('}');
}

fn write_array_element(out: &mut String, value: &Value, element: &Type) {
    let start = out.len();
    write_output(out, value, element);
    let text = &out[start..];
    let needs_quotes = text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text
            .chars()
            .any(|c| matches!(c, '"' | '\\' | '{' | '}' | ',') || crate::input::is_space(c));
    if !needs_quotes {
        return;
    }
    let text = out.split_off(start);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

fn write_record(out: &mut String, fields: &[Value], ty: &Type) {
    out.push('(');
    for (i, value) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if value.is_null() {
            continue;
        }
        let start = out.len();
        write_output(out, value, field_type(ty, i));
        let text = &out[start..];
        let needs_quotes = text.is_empty()
            || text
                .chars()
                .any(|c| matches!(c, '"' | '\\' | '(' | ')' | ',') || crate::input::is_space(c));
        if needs_quotes {
            let text = out.split_off(start);
            out.push('"');
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    out.push(c);
                }
                out.push(c);
            }
            out.push('"');
        }
    }
    out.push(')');
}

/// `value::text` in the canonical form of the type's equality, for sink keys: numeric without trailing zeros, `character(n)`
/// without trailing blanks, -0 as 0, intervals by their length, recursively.
///
/// Values that Postgres calls equal have equal key texts. NULL gives an empty text; callers tag it themselves.
#[must_use]
pub fn key_text(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    match canonical(value, ty) {
        Value::Bool(b) => out.push_str(if b { "true" } else { "false" }),
        canonical => write_output(&mut out, &canonical, ty),
    }
    out
}

/// The representative of all values that are equal to this one.
pub(crate) fn canonical(value: &Value, ty: &Type) -> Value {
    match value {
        Value::Numeric(n) => Value::Numeric(n.trim_scale()),
        Value::Float4(x) if *x == 0.0 => Value::Float4(0.0),
        Value::Float8(x) if *x == 0.0 => Value::Float8(0.0),
        Value::Text(s) if *ty.base() == Type::Bpchar => Value::text(s.trim_end_matches(' ')),
        Value::Interval(i) => Value::Interval(interval_of_span(i.span())),
        Value::Jsonb(s) => Value::Jsonb(crate::jsonb::canonical_numbers(s)),
        Value::Array(array) => {
            let element = element_type(ty);
            Value::Array(
                Array {
                    dimensions: array.dimensions.clone(),
                    elements: array
                        .elements
                        .iter()
                        .map(|v| canonical(v, element))
                        .collect(),
                }
                .into(),
            )
        }
        Value::Record(fields) => Value::Record(
            fields
                .iter()
                .enumerate()
                .map(|(i, v)| canonical(v, field_type(ty, i)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The interval of this length in days and time; in months only where days alone do not hold it.
pub(crate) fn interval_of_span(span: i128) -> datetime::Interval {
    let day = i128::from(datetime::MICROS_PER_DAY);
    let (days, micros) = (span / day, span % day);
    let micros = i64::try_from(micros).unwrap_or(0);
    match i32::try_from(days) {
        Ok(days) => datetime::Interval::new(0, days, micros),
        Err(_) => datetime::Interval::new(
            i32::try_from(days / 30).unwrap_or(i32::MAX),
            i32::try_from(days % 30).unwrap_or(0),
            micros,
        ),
    }
}

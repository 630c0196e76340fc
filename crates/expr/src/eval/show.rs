//! Functions that show values of any type by its output function.

use readside_pgtype::{Type, Value, write_output};

use super::text::{quote_ident, quote_literal};
use super::{Result, error};
use crate::ShowFunction;

fn shown(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    write_output(&mut out, value, ty);
    out
}

pub(super) fn apply(function: ShowFunction, types: &[Type], args: &[Value]) -> Result {
    let each = || args.iter().zip(types).filter(|(v, _)| !v.is_null());
    match function {
        ShowFunction::Concat => Ok(Value::text(
            each().map(|(v, t)| shown(v, t)).collect::<String>(),
        )),
        ShowFunction::ConcatWs => {
            let Some(Value::Text(separator)) = args.first() else {
                return Ok(Value::Null);
            };
            let parts: Vec<String> = args
                .iter()
                .zip(types)
                .skip(1)
                .filter(|(v, _)| !v.is_null())
                .map(|(v, t)| shown(v, t))
                .collect();
            Ok(Value::text(parts.join(separator)))
        }
        ShowFunction::QuoteNullable => Ok(Value::text(match (args.first(), types.first()) {
            (Some(v), Some(t)) if !v.is_null() => quote_literal(&shown(v, t)),
            _ => "NULL".to_owned(),
        })),
        ShowFunction::Format => format(types, args),
    }
}

/// `format`: `%[position$][flags][width]type`.
fn format(types: &[Type], args: &[Value]) -> Result {
    let Some(Value::Text(template)) = args.first() else {
        return Ok(Value::Null);
    };
    let unterminated = || error("22023", "unterminated format() type specifier");
    let too_few = || error("22023", "too few arguments for format()");
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    let mut next_arg = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let number =
            |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Result<Option<usize>> {
                let mut digits = String::new();
                while let Some(d) = chars.next_if(char::is_ascii_digit) {
                    digits.push(d);
                }
                if digits.is_empty() {
                    return Ok(None);
                }
                digits
                    .parse::<i32>()
                    .ok()
                    .and_then(|n| usize::try_from(n).ok())
                    .map(Some)
                    .ok_or_else(|| error("22003", "number is out of range"))
            };
        let mut position = None;
        let mut width = None;
        let mut left = false;
        if let Some(n) = number(&mut chars)? {
            if chars.peek() == Some(&'$') {
                chars.next();
                if n == 0 {
                    return Err(error(
                        "22023",
                        "format specifies argument 0, but arguments are numbered from 1",
                    ));
                }
                position = Some(n);
            } else {
                width = Some(n);
            }
        }
        if width.is_none() {
            while chars.next_if(|c| *c == '-').is_some() {
                left = true;
            }
            if chars.peek() == Some(&'*') {
                return Err(error(
                    "0A000",
                    "`format` with a width argument is not computed",
                ));
            }
            width = number(&mut chars)?;
        }
        let kind = chars.next().ok_or_else(unterminated)?;
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(error(
                "22023",
                format!("unrecognized format() type specifier \"{kind}\""),
            ));
        }
        let at = position.unwrap_or(next_arg);
        next_arg = at + 1;
        let (value, ty) = match (args.get(at), types.get(at)) {
            (Some(v), Some(t)) => (v, t),
            _ => return Err(too_few()),
        };
        let piece = match (kind, value.is_null()) {
            ('s', true) => String::new(),
            ('I', true) => {
                return Err(error(
                    "22004",
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            (_, true) => "NULL".to_owned(),
            ('s', _) => shown(value, ty),
            ('I', _) => quote_ident(&shown(value, ty)),
            _ => quote_literal(&shown(value, ty)),
        };
        let fill = width.unwrap_or(0).saturating_sub(piece.chars().count());
        let blanks = " ".repeat(fill);
        if left {
            out.push_str(&piece);
            out.push_str(&blanks);
        } else {
            out.push_str(&blanks);
            out.push_str(&piece);
        }
    }
    Ok(Value::text(out))
}

//! Functions of text and bytes. Positions and lengths count characters.

use std::sync::Arc;

use base64::Engine as _;
use readside_pgtype::{Array, Value, ValueError};

use super::{Result, error, int, like, mistyped, text, to_char};
use crate::TextFunction;

/// Postgres' limit for one value.
const BYTES_MAX: usize = 0x3fff_ffff;

fn bytes(args: &[Value], at: usize) -> Result<&[u8]> {
    match args.get(at) {
        Some(Value::Bytea(b)) => Ok(b),
        _ => Err(mistyped("bytea")),
    }
}

fn count(n: usize) -> Result {
    Ok(Value::Int(i64::try_from(n).map_err(|_| {
        super::EvalError::from(ValueError::out_of_range("integer"))
    })?))
}

fn shown(s: impl Into<Arc<str>>) -> Result {
    Ok(Value::Text(s.into()))
}

pub(super) fn apply(function: TextFunction, args: &[Value]) -> Result {
    match function {
        TextFunction::Length => count(text(args, 0)?.chars().count()),
        TextFunction::LengthBpchar => count(text(args, 0)?.trim_end_matches(' ').chars().count()),
        TextFunction::OctetLength => count(text(args, 0)?.len()),
        TextFunction::OctetLengthBytea => count(bytes(args, 0)?.len()),
        TextFunction::BitLength => match args.first() {
            Some(Value::Bytea(b)) => count(b.len() * 8),
            _ => count(text(args, 0)?.len() * 8),
        },
        TextFunction::Concat => shown([text(args, 0)?, text(args, 1)?].concat()),
        TextFunction::ConcatBytea => Ok(Value::Bytea(
            [bytes(args, 0)?, bytes(args, 1)?].concat().into(),
        )),
        TextFunction::Substring => {
            let length = optional_int(args, 2)?;
            let all: Vec<char> = text(args, 0)?.chars().collect();
            let range = slice(all.len(), int(args, 1)?, length)?;
            shown(all[range].iter().collect::<String>())
        }
        TextFunction::SubstringBytea => {
            let all = bytes(args, 0)?;
            let range = slice(all.len(), int(args, 1)?, optional_int(args, 2)?)?;
            Ok(Value::Bytea(all[range].into()))
        }
        TextFunction::Left => {
            let s = text(args, 0)?;
            let n = int(args, 1)?;
            let keep = kept(s, n);
            shown(s.chars().take(keep).collect::<String>())
        }
        TextFunction::Right => {
            let s = text(args, 0)?;
            let keep = kept(s, int(args, 1)?);
            let skip = s.chars().count() - keep;
            shown(s.chars().skip(skip).collect::<String>())
        }
        TextFunction::Replace => {
            let (s, from) = (text(args, 0)?, text(args, 1)?);
            if from.is_empty() {
                return shown(s);
            }
            shown(s.replace(from, text(args, 2)?))
        }
        TextFunction::SplitPart => split_part(text(args, 0)?, text(args, 1)?, int(args, 2)?),
        TextFunction::Lpad | TextFunction::Rpad => pad(
            text(args, 0)?,
            int(args, 1)?,
            text(args, 2)?,
            function == TextFunction::Lpad,
        ),
        TextFunction::Repeat => {
            let s = text(args, 0)?;
            let n = usize::try_from(int(args, 1)?).unwrap_or(0);
            if s.len().saturating_mul(n) > BYTES_MAX {
                return Err(error("54000", "requested length too large"));
            }
            shown(s.repeat(n))
        }
        TextFunction::Reverse => shown(text(args, 0)?.chars().rev().collect::<String>()),
        TextFunction::Position => {
            let (s, part) = (text(args, 0)?, text(args, 1)?);
            match s.find(part) {
                Some(at) => count(s[..at].chars().count() + 1),
                None => Ok(Value::Int(0)),
            }
        }
        TextFunction::PositionBytea => {
            let (s, part) = (bytes(args, 0)?, bytes(args, 1)?);
            if part.is_empty() {
                return Ok(Value::Int(1));
            }
            match s.windows(part.len()).position(|w| w == part) {
                Some(at) => count(at + 1),
                None => Ok(Value::Int(0)),
            }
        }
        TextFunction::Btrim | TextFunction::Ltrim | TextFunction::Rtrim => {
            let s = text(args, 0)?;
            let set = if args.len() > 1 { text(args, 1)? } else { " " };
            let in_set = |c: char| set.contains(c);
            shown(match function {
                TextFunction::Btrim => s.trim_matches(in_set),
                TextFunction::Ltrim => s.trim_start_matches(in_set),
                _ => s.trim_end_matches(in_set),
            })
        }
        TextFunction::Translate => {
            let from: Vec<char> = text(args, 1)?.chars().collect();
            let to: Vec<char> = text(args, 2)?.chars().collect();
            shown(
                text(args, 0)?
                    .chars()
                    .filter_map(|c| match from.iter().position(|f| *f == c) {
                        None => Some(c),
                        Some(at) => to.get(at).copied(),
                    })
                    .collect::<String>(),
            )
        }
        TextFunction::Ascii => Ok(Value::Int(
            text(args, 0)?
                .chars()
                .next()
                .map_or(0, |c| i64::from(u32::from(c))),
        )),
        TextFunction::Chr => chr(int(args, 0)?),
        TextFunction::StartsWith => Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?))),
        TextFunction::Md5 => shown(super::md5::hex(text(args, 0)?.as_bytes())),
        TextFunction::Md5Bytea => shown(super::md5::hex(bytes(args, 0)?)),
        TextFunction::Encode => encode(bytes(args, 0)?, text(args, 1)?),
        TextFunction::Decode => decode(text(args, 0)?, text(args, 1)?),
        TextFunction::ToHex32 => shown(format!("{:x}", int(args, 0)? & 0xffff_ffff)),
        TextFunction::ToHex64 => shown(format!("{:x}", int(args, 0)?)),
        TextFunction::QuoteIdent => shown(quote_ident(text(args, 0)?)),
        TextFunction::QuoteLiteral => shown(quote_literal(text(args, 0)?)),
        TextFunction::Overlay => overlay(args),
        TextFunction::LikeEscape => shown(like::escape(text(args, 0)?, text(args, 1)?)?),
        TextFunction::ToCharNumber => to_char::number(args),
        TextFunction::StringToArray => string_to_array(args),
    }
}

fn optional_int(args: &[Value], at: usize) -> Result<Option<i64>> {
    if args.len() > at {
        Ok(Some(int(args, at)?))
    } else {
        Ok(None)
    }
}

/// The characters that `substring(… from start for length)` takes; it may start before the text.
fn slice(total: usize, start: i64, length: Option<i64>) -> Result<std::ops::Range<usize>> {
    let end = match length {
        None => i64::MAX,
        Some(length) if length < 0 => {
            return Err(error("22011", "negative substring length not allowed"));
        }
        Some(length) => start.saturating_add(length),
    };
    let at = |n: i64| usize::try_from(n.saturating_sub(1)).unwrap_or(0).min(total);
    Ok(at(start)..at(end).max(at(start)))
}

/// How many characters `left` and `right` keep: a negative number counts those to drop.
fn kept(s: &str, n: i64) -> usize {
    let total = s.chars().count();
    match usize::try_from(n) {
        Ok(n) => n.min(total),
        Err(_) => total.saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

fn split_part(s: &str, separator: &str, field: i64) -> Result {
    if field == 0 {
        return Err(error("22023", "field position must not be zero"));
    }
    let parts: Vec<&str> = if s.is_empty() {
        Vec::new()
    } else if separator.is_empty() {
        vec![s]
    } else {
        s.split(separator).collect()
    };
    let at = if field > 0 {
        usize::try_from(field - 1).ok()
    } else {
        usize::try_from(field.unsigned_abs())
            .ok()
            .and_then(|back| parts.len().checked_sub(back))
    };
    shown(at.and_then(|at| parts.get(at)).copied().unwrap_or(""))
}

fn pad(s: &str, length: i64, fill: &str, left: bool) -> Result {
    let length = usize::try_from(length).unwrap_or(0);
    let total = s.chars().count();
    if length.saturating_mul(4) > BYTES_MAX {
        return Err(error("54000", "requested length too large"));
    }
    if total >= length || fill.is_empty() {
        return shown(s.chars().take(length).collect::<String>());
    }
    let padding: String = fill.chars().cycle().take(length - total).collect();
    shown(if left {
        padding + s
    } else {
        s.to_owned() + &padding
    })
}

fn chr(n: i64) -> Result {
    if n == 0 {
        return Err(error("54000", "null character not permitted"));
    }
    if n < 0 {
        return Err(error("54000", "character number must be positive"));
    }
    if n > 0x0010_FFFF {
        return Err(error(
            "54000",
            format!("requested character too large for encoding: {n}"),
        ));
    }
    match u32::try_from(n).ok().and_then(char::from_u32) {
        Some(c) => shown(c.to_string()),
        None => Err(error(
            "54000",
            format!("requested character not valid for encoding: {n}"),
        )),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encode(bytes: &[u8], format: &str) -> Result {
    match format.to_ascii_lowercase().as_str() {
        "hex" => shown(hex(bytes)),
        "base64" => {
            let flat = base64::engine::general_purpose::STANDARD.encode(bytes);
            // Lines of 76 characters.
            let mut out = String::with_capacity(flat.len() + flat.len() / 76 + 1);
            for (i, c) in flat.chars().enumerate() {
                if i > 0 && i % 76 == 0 {
                    out.push('\n');
                }
                out.push(c);
            }
            if !flat.is_empty() && flat.len().is_multiple_of(76) && bytes.len().is_multiple_of(3) {
                out.push('\n');
            }
            shown(out)
        }
        "escape" => {
            let mut out = String::new();
            for b in bytes {
                match b {
                    0 | 0x80.. => out.push_str(&format!("\\{b:03o}")),
                    b'\\' => out.push_str("\\\\"),
                    _ => out.push(char::from(*b)),
                }
            }
            shown(out)
        }
        _ => Err(error(
            "22023",
            format!("unrecognized encoding: \"{format}\""),
        )),
    }
}

fn decode(s: &str, format: &str) -> Result {
    let done = |bytes: Vec<u8>| Ok(Value::Bytea(bytes.into()));
    match format.to_ascii_lowercase().as_str() {
        "hex" => {
            let mut digits = s.chars().filter(|c| !matches!(c, ' ' | '\n' | '\t' | '\r'));
            let mut out = Vec::new();
            let digit = |c: char| {
                c.to_digit(16)
                    .ok_or_else(|| error("22023", format!("invalid hexadecimal digit: \"{c}\"")))
            };
            while let Some(high) = digits.next() {
                let high = digit(high)?;
                let low = digits.next().ok_or_else(|| {
                    error("22023", "invalid hexadecimal data: odd number of digits")
                })?;
                out.push(u8::try_from(high * 16 + digit(low)?).unwrap_or(0));
            }
            done(out)
        }
        "base64" => decode_base64(s).and_then(done),
        "escape" => {
            let mut out = Vec::new();
            let mut rest = s.as_bytes();
            let invalid = || error("22P02", "invalid input syntax for type bytea");
            while let Some((first, tail)) = rest.split_first() {
                match (first, tail) {
                    (b'\\', [b'\\', ..]) => {
                        out.push(b'\\');
                        rest = &tail[1..];
                    }
                    (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                        out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                        rest = &tail[3..];
                    }
                    (b'\\', _) => return Err(invalid()),
                    _ => {
                        out.push(*first);
                        rest = tail;
                    }
                }
            }
            done(out)
        }
        _ => Err(error(
            "22023",
            format!("unrecognized encoding: \"{format}\""),
        )),
    }
}

fn decode_base64(s: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let (mut buffer, mut held, mut end) = (0_u32, 0, 0);
    for c in s.chars() {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        let bits = match c {
            'A'..='Z' => u32::from(c) - u32::from('A'),
            'a'..='z' => u32::from(c) - u32::from('a') + 26,
            '0'..='9' => u32::from(c) - u32::from('0') + 52,
            '+' => 62,
            '/' => 63,
            '=' => {
                if end == 0 {
                    end = match held {
                        2 => 1,
                        3 => 2,
                        _ => {
                            return Err(error(
                                "22023",
                                "unexpected \"=\" while decoding base64 sequence",
                            ));
                        }
                    };
                }
                0
            }
            _ => {
                return Err(error(
                    "22023",
                    format!("invalid symbol \"{c}\" found while decoding base64 sequence"),
                ));
            }
        };
        buffer = (buffer << 6) | bits;
        held += 1;
        if held == 4 {
            let [_, a, b, c] = buffer.to_be_bytes();
            out.push(a);
            if end == 0 || end > 1 {
                out.push(b);
            }
            if end == 0 || end > 2 {
                out.push(c);
            }
            (buffer, held) = (0, 0);
        }
    }
    if held != 0 {
        return Err(error("22023", "invalid base64 end sequence"));
    }
    Ok(out)
}

/// Words that `quote_ident` quotes although their form doesn't need it.
const KEYWORDS: &str = include_str!("keywords.txt");

pub(super) fn quote_ident(s: &str) -> String {
    let plain = s
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && s.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !KEYWORDS.lines().any(|k| k == s) {
        s.to_owned()
    } else {
        format!("\"{}\"", s.replace('"', "\"\""))
    }
}

pub(super) fn quote_literal(s: &str) -> String {
    let quoted = s.replace('\\', "\\\\").replace('\'', "''");
    if s.contains('\\') {
        format!("E'{quoted}'")
    } else {
        format!("'{quoted}'")
    }
}

/// `overlay(s placing new from start for length)`
fn overlay(args: &[Value]) -> Result {
    let (s, new) = (text(args, 0)?, text(args, 1)?);
    let start = int(args, 2)?;
    let length = match optional_int(args, 3)? {
        Some(n) => n,
        None => i64::try_from(new.chars().count()).unwrap_or(i64::MAX),
    };
    if start <= 0 {
        return Err(error("22011", "negative substring length not allowed"));
    }
    let after = start.saturating_add(length);
    if after > i64::from(i32::MAX) {
        return Err(ValueError::out_of_range("integer").into());
    }
    let all: Vec<char> = s.chars().collect();
    let head = slice(all.len(), 1, Some(start - 1))?;
    let tail = slice(all.len(), after, None)?;
    shown(
        all[head]
            .iter()
            .copied()
            .chain(new.chars())
            .chain(all[tail].iter().copied())
            .collect::<String>(),
    )
}

/// `string_to_array(s, separator, null_text)`: a NULL separator splits into characters.
fn string_to_array(args: &[Value]) -> Result {
    if args.first().is_none_or(Value::is_null) {
        return Ok(Value::Null);
    }
    let s = text(args, 0)?;
    let null_text = match args.get(2) {
        None | Some(Value::Null) => None,
        Some(_) => Some(text(args, 2)?),
    };
    let parts: Vec<String> = if s.is_empty() {
        Vec::new()
    } else {
        match args.get(1) {
            None | Some(Value::Null) => s.chars().map(String::from).collect(),
            Some(_) => match text(args, 1)? {
                "" => vec![s.to_owned()],
                separator => s.split(separator).map(str::to_owned).collect(),
            },
        }
    };
    let elements = parts
        .into_iter()
        .map(|p| {
            if Some(p.as_str()) == null_text {
                Value::Null
            } else {
                Value::text(p)
            }
        })
        .collect();
    Ok(Value::Array(Arc::new(Array::one_dimensional(elements))))
}

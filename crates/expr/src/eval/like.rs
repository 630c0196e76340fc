//! LIKE and ILIKE.

use readside_pgtype::Value;

use super::{Result, case, error, mistyped};
use crate::CaseMapping;

pub(super) fn like(args: &[Value], insensitive: Option<CaseMapping>) -> Result {
    match args {
        [Value::Text(text), Value::Text(pattern)] => {
            let fold = |s: &str| -> Vec<char> {
                match insensitive {
                    Some(mapping) => s.chars().map(|c| case::lower(c, mapping)).collect(),
                    None => s.chars().collect(),
                }
            };
            let matched = matches(&fold(text), &fold(pattern))?;
            Ok(Value::Bool(matched == Match::Yes))
        }
        _ => Err(mistyped("LIKE")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// The text ended first: no later start can match either.
    Abort,
}

fn trailing_escape<T>() -> Result<T> {
    Err(error(
        "22025",
        "LIKE pattern must not end with escape character",
    ))
}

fn matches(mut text: &[char], mut pattern: &[char]) -> Result<Match> {
    while let (Some(t), Some(p)) = (text.first(), pattern.first()) {
        match p {
            '\\' => {
                let Some(literal) = pattern.get(1) else {
                    return trailing_escape();
                };
                if literal != t {
                    return Ok(Match::No);
                }
                pattern = &pattern[1..];
            }
            '%' => {
                // A run of wildcards: each `_` takes one character.
                pattern = &pattern[1..];
                loop {
                    match pattern.first() {
                        Some('%') => pattern = &pattern[1..],
                        Some('_') => {
                            if text.is_empty() {
                                return Ok(Match::Abort);
                            }
                            text = &text[1..];
                            pattern = &pattern[1..];
                        }
                        _ => break,
                    }
                }
                let first = match pattern {
                    [] => return Ok(Match::Yes),
                    ['\\'] => return trailing_escape(),
                    ['\\', literal, ..] => *literal,
                    [literal, ..] => *literal,
                };
                while let Some(t) = text.first() {
                    if *t == first {
                        let matched = matches(text, pattern)?;
                        if matched != Match::No {
                            return Ok(matched);
                        }
                    }
                    text = &text[1..];
                }
                return Ok(Match::Abort);
            }
            '_' => {}
            literal if literal != t => return Ok(Match::No),
            _ => {}
        }
        text = &text[1..];
        pattern = &pattern[1..];
    }
    if !text.is_empty() {
        return Ok(Match::No);
    }
    while let Some('%') = pattern.first() {
        pattern = &pattern[1..];
    }
    Ok(if pattern.is_empty() {
        Match::Yes
    } else {
        Match::Abort
    })
}

/// `like_escape`: the pattern with the given escape character replaced by a backslash.
pub(super) fn escape(pattern: &str, escape: &str) -> Result<String> {
    let mut escape_chars = escape.chars();
    let mut out = String::with_capacity(pattern.len());
    let Some(escape) = escape_chars.next() else {
        for c in pattern.chars() {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
        return Ok(out);
    };
    if escape_chars.next().is_some() {
        return Err(error("22025", "invalid escape string"));
    }
    if escape == '\\' {
        return Ok(pattern.to_owned());
    }
    let mut after_escape = false;
    for c in pattern.chars() {
        if c == escape && !after_escape {
            out.push('\\');
            after_escape = true;
        } else {
            if c == '\\' && !after_escape {
                out.push('\\');
            }
            out.push(c);
            after_escape = false;
        }
    }
    Ok(out)
}

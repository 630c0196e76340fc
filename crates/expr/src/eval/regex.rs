//! Regular expressions: a subset whose meaning is the same in Postgres' engine and in this one.
//!
//! In: constant patterns of literals, `.`, brackets, `\d`, groups, `|`, `* + ? {m,n}`, `^` and `$`. For replacing, where it matters
//! *which* match is found, only sequences whose last atom alone is repeated.
//!
//! Always: anything else is refused when the expression is built.

use std::cell::RefCell;
use std::collections::HashMap;

use readside_pgtype::Value;
use regex::Regex;

use super::{Result, error, text};
use crate::RegexFunction;

type Refusal<T> = std::result::Result<T, String>;

/// Translates a pattern, or says why it isn't supported.
struct Translator<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    out: String,
    insensitive: bool,
    /// Groups, alternatives, or a repeated atom before the last one.
    ambiguous: bool,
    repeated: bool,
    /// Whether an atom that must be there has been seen.
    never_empty: bool,
}

fn translate(pattern: &str, insensitive: bool) -> Refusal<(String, bool)> {
    if pattern.starts_with("***") {
        return Err("regular expressions that begin with `***` are not supported".to_owned());
    }
    let mut t = Translator {
        chars: pattern.chars().peekable(),
        out: String::from("(?s)"),
        insensitive,
        ambiguous: false,
        repeated: false,
        never_empty: false,
    };
    t.alternatives(0)?;
    if t.chars.next().is_some() {
        return refuse("an unmatched `)`");
    }
    let simple = !t.ambiguous && t.never_empty;
    Ok((t.out, simple))
}

fn refuse<T>(what: &str) -> Refusal<T> {
    Err(format!("this regular expression is not supported: {what}"))
}

impl Translator<'_> {
    fn alternatives(&mut self, depth: usize) -> Refusal<()> {
        if depth > 50 {
            return refuse("it is nested too deeply");
        }
        loop {
            self.branch(depth)?;
            if self.chars.peek() == Some(&'|') {
                self.chars.next();
                self.ambiguous = true;
                self.out.push('|');
            } else {
                return Ok(());
            }
        }
    }

    fn branch(&mut self, depth: usize) -> Refusal<()> {
        let mut atoms = 0;
        while let Some(c) = self.chars.peek().copied() {
            match c {
                '|' | ')' => break,
                '^' => {
                    self.chars.next();
                    self.out.push('^');
                }
                '$' => {
                    self.chars.next();
                    self.out.push('$');
                }
                '*' | '+' | '?' | '{' => return refuse("a repetition of nothing"),
                _ => {
                    if self.repeated {
                        self.ambiguous = true;
                    }
                    self.atom(depth)?;
                    let optional = self.repetition()?;
                    self.never_empty |= !optional;
                    atoms += 1;
                    continue;
                }
            }
            if matches!(self.chars.peek(), Some('*' | '+' | '?' | '{')) {
                return refuse("a repeated anchor");
            }
        }
        if atoms == 0 {
            return refuse("an empty branch");
        }
        Ok(())
    }

    fn atom(&mut self, depth: usize) -> Refusal<()> {
        match self.chars.next() {
            Some('(') => {
                self.ambiguous = true;
                if self.chars.peek() == Some(&'?') {
                    self.chars.next();
                    if self.chars.next() != Some(':') {
                        return refuse("groups other than `(…)` and `(?:…)`");
                    }
                }
                self.out.push_str("(?:");
                self.alternatives(depth + 1)?;
                if self.chars.next() != Some(')') {
                    return refuse("an unmatched `(`");
                }
                self.out.push(')');
            }
            Some('[') => self.bracket()?,
            Some('.') => self.out.push('.'),
            Some('\\') => match self.chars.next() {
                Some('d') => self.out.push_str("[0-9]"),
                Some(c) if c.is_ascii_punctuation() => self.literal(c),
                _ => return refuse("escapes other than `\\d` and of punctuation"),
            },
            Some(c) if self.insensitive && !c.is_ascii() => {
                return refuse("letters beyond ASCII without regard to case");
            }
            Some(c) => self.literal(c),
            None => return refuse("it ends too early"),
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        if self.insensitive && c.is_ascii_alphabetic() {
            self.out.push('[');
            self.out.push(c.to_ascii_lowercase());
            self.out.push(c.to_ascii_uppercase());
            self.out.push(']');
        } else {
            self.out.push_str(&regex::escape(&c.to_string()));
        }
    }

    /// `[…]` of single characters and ranges.
    fn bracket(&mut self) -> Refusal<()> {
        let mut body = String::from("[");
        if self.chars.peek() == Some(&'^') {
            self.chars.next();
            body.push('^');
        }
        let mut first = true;
        loop {
            let c = match self.chars.next() {
                None => return refuse("an unmatched `[`"),
                Some(']') if !first => break,
                Some('[') => return refuse("`[` inside brackets"),
                Some('\\') => match self.chars.next() {
                    Some('d') => {
                        body.push_str("0-9");
                        first = false;
                        if self.chars.peek() == Some(&'-') {
                            return refuse("a range from a class");
                        }
                        continue;
                    }
                    Some(c) if c.is_ascii_punctuation() => c,
                    _ => return refuse("escapes other than `\\d` and of punctuation"),
                },
                Some(c) => c,
            };
            first = false;
            let mut end = c;
            if self.chars.peek() == Some(&'-') {
                let mut ahead = self.chars.clone();
                ahead.next();
                match ahead.next() {
                    Some(']') => {}
                    Some('\\' | '[') | None => return refuse("this range"),
                    Some(last) => {
                        if last < c {
                            return refuse("a range that runs backwards");
                        }
                        self.chars = ahead;
                        end = last;
                    }
                }
            }
            if self.insensitive && !(c.is_ascii() && end.is_ascii()) {
                return refuse("letters beyond ASCII without regard to case");
            }
            for n in u32::from(c)..=u32::from(end) {
                // Ranges are written out where case doesn't count, so that only ASCII letters have two.
                if !self.insensitive {
                    break;
                }
                if let Some(each) = char::from_u32(n) {
                    body.push_str(&escaped(each.to_ascii_lowercase()));
                    body.push_str(&escaped(each.to_ascii_uppercase()));
                }
            }
            if !self.insensitive {
                body.push_str(&escaped(c));
                if end != c {
                    body.push('-');
                    body.push_str(&escaped(end));
                }
            }
        }
        body.push(']');
        self.out.push_str(&body);
        Ok(())
    }

    /// A repetition after an atom; whether the atom may be missing.
    fn repetition(&mut self) -> Refusal<bool> {
        let (written, optional) = match self.chars.peek() {
            Some('*') => ("*".to_owned(), true),
            Some('+') => ("+".to_owned(), false),
            Some('?') => ("?".to_owned(), true),
            Some('{') => {
                let mut bound = String::new();
                let mut ahead = self.chars.clone();
                for c in ahead.by_ref() {
                    bound.push(c);
                    if c == '}' {
                        break;
                    }
                }
                let inner = bound.trim_start_matches('{').trim_end_matches('}');
                let (low, high) = inner.split_once(',').unwrap_or((inner, inner));
                let number = |s: &str| {
                    s.parse::<u8>()
                        .ok()
                        .filter(|_| s.bytes().all(|b| b.is_ascii_digit()))
                };
                let valid = match (number(low), high.is_empty(), number(high)) {
                    (Some(_), true, _) => true,
                    (Some(low), _, Some(high)) => low <= high,
                    _ => false,
                };
                if !valid || !bound.ends_with('}') {
                    return refuse("this bound");
                }
                for _ in 1..bound.chars().count() {
                    self.chars.next();
                }
                let optional = number(low) == Some(0);
                (bound, optional)
            }
            _ => return Ok(false),
        };
        self.chars.next();
        if matches!(self.chars.peek(), Some('*' | '+' | '?' | '{')) {
            return refuse("a repetition of a repetition, or one that isn't greedy");
        }
        self.repeated = true;
        self.out.push_str(&written);
        Ok(optional)
    }
}

/// A character inside brackets.
fn escaped(c: char) -> String {
    if c.is_ascii_punctuation() {
        format!("\\{c}")
    } else {
        c.to_string()
    }
}

/// Refuses a pattern that isn't in the subset.
pub(crate) fn check(pattern: &str, function: RegexFunction) -> Refusal<()> {
    let (translated, simple) = translate(pattern, is_insensitive(function))?;
    if function == RegexFunction::Replace && !simple {
        return refuse(
            "for replacing, only the last of several atoms may be repeated, and it has to match something",
        );
    }
    Regex::new(&translated).map_err(|_| "this regular expression is not supported".to_owned())?;
    Ok(())
}

/// Refuses a replacement with references to groups.
pub(crate) fn check_replacement(replacement: &str) -> Refusal<()> {
    if replacement.contains('\\') {
        return Err("a backslash in the replacement is not supported".to_owned());
    }
    Ok(())
}

/// Refuses flags other than `g`.
pub(crate) fn check_flags(flags: &str) -> Refusal<()> {
    if flags.is_empty() || flags == "g" {
        return Ok(());
    }
    Err(format!("the flags `{flags}` are not supported"))
}

fn is_insensitive(function: RegexFunction) -> bool {
    matches!(
        function,
        RegexFunction::MatchesAnyCase | RegexFunction::NotMatchesAnyCase
    )
}

thread_local! {
    /// Patterns are constants, so there are as many as the views have.
    static COMPILED: RefCell<HashMap<(String, bool), Regex>> = RefCell::new(HashMap::new());
}

fn compiled(pattern: &str, insensitive: bool) -> Result<Regex> {
    COMPILED.with_borrow_mut(|cache| {
        if let Some(regex) = cache.get(&(pattern.to_owned(), insensitive)) {
            return Ok(regex.clone());
        }
        let unsupported = |e: String| error("0A000", e);
        let (translated, _) = translate(pattern, insensitive).map_err(unsupported)?;
        let regex = Regex::new(&translated).map_err(|e| unsupported(e.to_string()))?;
        cache.insert((pattern.to_owned(), insensitive), regex.clone());
        Ok(regex)
    })
}

pub(super) fn apply(function: RegexFunction, args: &[Value]) -> Result {
    let source = text(args, 0)?;
    let regex = compiled(text(args, 1)?, is_insensitive(function))?;
    Ok(match function {
        RegexFunction::Matches | RegexFunction::MatchesAnyCase => {
            Value::Bool(regex.is_match(source))
        }
        RegexFunction::NotMatches | RegexFunction::NotMatchesAnyCase => {
            Value::Bool(!regex.is_match(source))
        }
        RegexFunction::Replace => {
            let replacement = regex::NoExpand(text(args, 2)?);
            let all = args.len() > 3 && text(args, 3)? == "g";
            Value::text(
                if all {
                    regex.replace_all(source, replacement)
                } else {
                    regex.replace(source, replacement)
                }
                .into_owned(),
            )
        }
    })
}

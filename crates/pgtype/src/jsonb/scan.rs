//! Navigation on JSON text without parsing all of it: what `->`, `->>`, `#>` and `#>>` give are slices of the input.
//!
//! Always: the input is valid JSON (it came from a `json` or `jsonb` value); on anything else the answers are empty, never a panic.

use super::parse::parse_json;
use super::tree::Json;

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// `json_typeof`, `jsonb_typeof`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// The type of the value that this text is.
#[must_use]
pub fn kind(text: &str) -> Kind {
    match trim(text).as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') | None => Kind::Null,
        _ => Kind::Number,
    }
}

/// Where the value that starts at `at` ends.
fn value_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut i = at;
    while let Some(&b) = bytes.get(i) {
        match b {
            b'"' => {
                i = string_end(bytes, i);
                if depth == 0 {
                    return i;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    return i;
                }
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' | b':' if depth == 0 => return i,
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while let Some(&b) = bytes.get(i) {
        match b {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    bytes.len()
}

fn skip(text: &str, mut at: usize) -> usize {
    while matches!(
        text.as_bytes().get(at),
        Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')
    ) {
        at += 1;
    }
    at
}

struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Elements<'a> {
    /// Of an array or an object, whose keys and values alternate.
    fn of(text: &'a str, open: char) -> Elements<'a> {
        let text = trim(text);
        match text.strip_prefix(open) {
            Some(inner) => Elements {
                text: inner.get(..inner.len().saturating_sub(1)).unwrap_or(""),
                at: 0,
            },
            None => Elements { text: "", at: 0 },
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = skip(self.text, self.at);
        if start >= self.text.len() {
            return None;
        }
        let end = value_end(self.text, start).max(start + 1);
        self.at = end;
        self.text.get(start..end)
    }
}

/// The elements of an array, as text; none for anything else.
pub fn elements(text: &str) -> impl Iterator<Item = &str> {
    Elements::of(text, '[')
}

/// Keys (unescaped) and values (as text) of an object, in the text's order; none for anything else.
pub fn entries(text: &str) -> impl Iterator<Item = (String, &str)> {
    let mut tokens = Elements::of(text, '{');
    std::iter::from_fn(move || {
        let key = tokens.next()?;
        Some((unescape(key), tokens.next()?))
    })
}

fn unescape(string: &str) -> String {
    if !string.contains('\\') {
        let inner = string.strip_prefix('"').unwrap_or(string);
        return inner.strip_suffix('"').unwrap_or(inner).to_owned();
    }
    match parse_json(string) {
        Ok(Json::String(s)) => s,
        _ => String::new(),
    }
}

/// `object -> 'key'`: the value's text; the last of duplicate keys counts.
#[must_use]
pub fn get_field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut tokens = Elements::of(text, '{');
    let mut found = None;
    while let (Some(name), Some(value)) = (tokens.next(), tokens.next()) {
        let same = if name.contains('\\') {
            unescape(name) == key
        } else {
            name.len() == key.len() + 2 && name.get(1..=key.len()) == Some(key)
        };
        if same {
            found = Some(value);
        }
    }
    found
}

/// `array -> index`: the element's text; negative indices count from the end.
#[must_use]
pub fn get_element(text: &str, index: i64) -> Option<&str> {
    if let Ok(at) = usize::try_from(index) {
        return elements(text).nth(at);
    }
    let length = elements(text).count();
    let back = usize::try_from(index.unsigned_abs()).ok()?;
    elements(text).nth(length.checked_sub(back)?)
}

/// `jsonb -> index`: as [`get_element`], but a scalar is an array of itself, as jsonb stores it.
#[must_use]
pub fn get_jsonb_element(text: &str, index: i64) -> Option<&str> {
    match kind(text) {
        Kind::Array => get_element(text, index),
        Kind::Object => None,
        _ => (index == 0 || index == -1).then_some(text),
    }
}

/// `value #> path`: keys of objects, indices of arrays; `None` when there is nothing.
#[must_use]
pub fn get_path<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let mut current = trim(text);
    for step in path {
        current = match kind(current) {
            Kind::Object => get_field(current, step)?,
            Kind::Array => {
                let index = step.trim_start_matches(crate::input::is_space);
                get_element(current, index.parse::<i32>().ok()?.into())?
            }
            _ => return None,
        };
    }
    Some(current)
}

/// The length of an array; `None` for anything else.
#[must_use]
pub fn array_length(text: &str) -> Option<usize> {
    (kind(text) == Kind::Array).then(|| elements(text).count())
}

/// What `->>` makes of a value's text: strings unescaped, `null` to NULL, all else as it stands.
#[must_use]
pub fn scalar_text(text: &str) -> Option<String> {
    match kind(text) {
        Kind::Null => None,
        Kind::String => Some(unescape(trim(text))),
        _ => Some(trim(text).to_owned()),
    }
}

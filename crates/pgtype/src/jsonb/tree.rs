//! A parsed JSON value as jsonb holds it.

use std::fmt;

use super::render::write_json_string;
use crate::Numeric;

/// A JSON value. It prints as `jsonb_out` does.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number with its scale.
    Number(Numeric),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object: unique keys in jsonb order (length, then bytes).
    Object(Vec<(String, Json)>),
}

/// jsonb's key order.
pub(super) fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Sorts pairs by key and keeps the last of each.
pub(super) fn sort_pairs<T>(pairs: &mut Vec<(String, T)>) {
    // Stable, so the last duplicate stands last.
    pairs.sort_by(|(a, _), (b, _)| key_order(a, b));
    pairs.reverse();
    pairs.dedup_by(|(a, _), (b, _)| a == b);
    pairs.reverse();
}

impl Json {
    /// An object of these pairs; the last of duplicate keys wins.
    #[must_use]
    pub fn object(mut pairs: Vec<(String, Json)>) -> Json {
        sort_pairs(&mut pairs);
        Json::Object(pairs)
    }

    /// The value of an object's key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs
                .binary_search_by(|(k, _)| key_order(k, key))
                .ok()
                .map(|at| &pairs[at].1),
            _ => None,
        }
    }

    /// Neither array nor object.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Json::Array(_) | Json::Object(_))
    }

    /// `jsonb_typeof`
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// Appends the canonical text.
    pub fn write(&self, out: &mut String) {
        use std::fmt::Write;
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Json::Number(n) => {
                let _ = write!(out, "{n}");
            }
            Json::String(s) => write_json_string(out, s),
            Json::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    element.write(out);
                }
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    write_json_string(out, key);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// `jsonb_pretty`
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write_pretty(&mut out, 0);
        out
    }

    fn write_pretty(&self, out: &mut String, level: usize) {
        let line = |out: &mut String, level: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("    ", level));
        };
        match self {
            Json::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, level + 1);
                    element.write_pretty(out, level + 1);
                }
                line(out, level);
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, level + 1);
                    write_json_string(out, key);
                    out.push_str(": ");
                    value.write_pretty(out, level + 1);
                }
                line(out, level);
                out.push('}');
            }
            scalar => scalar.write(out),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

//! What a sink receives: keys and documents.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// One component of a sink key, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// A value's canonical text.
    Text(String),
    /// SQL NULL.
    Null,
    /// The side of an outer join that is not there.
    Absent,
}

/// The identity of a view row in a sink.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkKey {
    /// The key text: parts joined by `:`; see [`encode_key_text`].
    pub text: std::sync::Arc<str>,
}

/// Which form of a document a sink wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentForm {
    /// `to_jsonb(row)::text`, byte for byte.
    Json,
    /// The columns' texts, in output order (COPY's text values, unescaped; `None` is NULL).
    Columns,
}

/// A view row, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its form.
    pub body: Body,
}

/// The rendered row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `to_jsonb(row)::text`
    Json(Bytes),
    /// One text per output column.
    Columns(Vec<Option<Bytes>>),
}

const KEY_TEXT_BYTES_MAX: usize = 400;

/// The key text: `%` and `:` inside a part percent-encoded, parts joined by `:`; NULL is `%N`, an absent side `%X`, an empty
/// text `%Z`, no parts at all (a global aggregate) `%G`; above 400 bytes `%H` and a SHA-256 in hex of the whole.
#[must_use]
pub fn encode_key_text(parts: &[KeyPart]) -> String {
    if parts.is_empty() {
        return "%G".to_owned();
    }
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push(':');
        }
        match part {
            KeyPart::Null => out.push_str("%N"),
            KeyPart::Absent => out.push_str("%X"),
            KeyPart::Text(text) if text.is_empty() => out.push_str("%Z"),
            KeyPart::Text(text) => {
                for c in text.chars() {
                    match c {
                        '%' => out.push_str("%25"),
                        ':' => out.push_str("%3A"),
                        c => out.push(c),
                    }
                }
            }
        }
    }
    if out.len() > KEY_TEXT_BYTES_MAX {
        let digest = Sha256::digest(out.as_bytes());
        out = "%H".to_owned();
        for byte in digest {
            use std::fmt::Write;
            let _ = write!(out, "{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_text_is_injective_over_separators_nulls_and_empties() {
        let text = |s: &str| KeyPart::Text(s.to_owned());
        assert_eq!(encode_key_text(&[]), "%G");
        assert_eq!(
            encode_key_text(&[text("a:b%"), KeyPart::Null, text(""), KeyPart::Absent]),
            "a%3Ab%25:%N:%Z:%X"
        );
        assert_ne!(
            encode_key_text(&[text("%N")]),
            encode_key_text(&[KeyPart::Null])
        );
        let long = encode_key_text(&[text(&"x".repeat(401))]);
        assert!(long.starts_with("%H") && long.len() == 66, "{long}");
    }
}

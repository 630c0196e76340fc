//! JSON text to trees, checked as Postgres' lexer checks it.

use std::sync::Arc;

use super::tree::Json;
use crate::{Numeric, ParseError, ValueError};

/// Deeper nesting is refused, as Postgres refuses it at its stack limit.
const DEPTH_MAX: usize = 512;

fn syntax() -> ValueError {
    ValueError::new("22P02", "invalid input syntax for type json")
}

fn too_deep() -> ValueError {
    ValueError::new("54001", "stack depth limit exceeded")
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Build the tree (and refuse what jsonb cannot hold), or only check.
    build: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, b: u8) -> Result<(), ParseError> {
        if self.peek() == Some(b) {
            self.at += 1;
            Ok(())
        } else {
            Err(syntax())
        }
    }

    fn value(&mut self) -> Result<Json, ParseError> {
        self.skip_spaces();
        match self.peek() {
            Some(b'{') => self.nested(Parser::object),
            Some(b'[') => self.nested(Parser::array),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(syntax()),
        }
    }

    fn nested(
        &mut self,
        parse: fn(&mut Self) -> Result<Json, ParseError>,
    ) -> Result<Json, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep());
        }
        self.at += 1;
        let value = parse(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, ParseError> {
        let rest = self.text.get(self.at..).unwrap_or("");
        if !rest.starts_with(word) {
            return Err(syntax());
        }
        self.at += word.len();
        match self.peek() {
            Some(b) if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => Err(syntax()),
            _ => Ok(value),
        }
    }

    fn array(&mut self) -> Result<Json, ParseError> {
        let mut elements = Vec::new();
        self.skip_spaces();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            self.skip_spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return Err(syntax()),
            }
        }
    }

    fn object(&mut self) -> Result<Json, ParseError> {
        let mut pairs = Vec::new();
        self.skip_spaces();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(pairs));
        }
        loop {
            self.skip_spaces();
            if self.peek() != Some(b'"') {
                return Err(syntax());
            }
            let key = self.string()?;
            self.skip_spaces();
            self.expect(b':')?;
            let value = self.value()?;
            if self.build {
                pairs.push((key, value));
            }
            self.skip_spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::object(pairs));
                }
                _ => return Err(syntax()),
            }
        }
    }

    fn number(&mut self) -> Result<Json, ParseError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = |p: &mut Self| {
            let from = p.at;
            while p.peek().is_some_and(|b| b.is_ascii_digit()) {
                p.at += 1;
            }
            p.at - from
        };
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else if digits(self) == 0 {
            return Err(syntax());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return Err(syntax());
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(syntax());
            }
        }
        // Trailing garbage belongs to the token and spoils it.
        if self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80)
        {
            return Err(syntax());
        }
        if !self.build {
            return Ok(Json::Null);
        }
        let number: Numeric = self.text[start..self.at].parse()?;
        Ok(Json::Number(number))
    }

    fn hex4(&mut self) -> Result<u32, ParseError> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or_else(syntax)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| syntax())
    }

    fn string(&mut self) -> Result<String, ParseError> {
        self.at += 1;
        let mut value = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or("");
            let plain = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .ok_or_else(syntax)?;
            value.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut value)?;
                }
                _ => return Err(syntax()),
            }
        }
    }

    fn escape(&mut self, value: &mut String) -> Result<(), ParseError> {
        let b = self.peek().ok_or_else(syntax)?;
        self.at += 1;
        value.push(match b {
            b'"' | b'\\' | b'/' => char::from(b),
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex4()?;
                if !self.build {
                    // `json` keeps the escape as written, whatever it stands for.
                    return Ok(());
                }
                self.unicode(unit)?
            }
            _ => return Err(syntax()),
        });
        Ok(())
    }

    fn unicode(&mut self, unit: u32) -> Result<char, ParseError> {
        match unit {
            0 => Err(ValueError::new(
                "22P05",
                "unsupported Unicode escape sequence",
            )),
            0xD800..=0xDBFF => {
                let low = if self.text.get(self.at..self.at + 2) == Some("\\u") {
                    self.at += 2;
                    self.hex4()?
                } else {
                    0
                };
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(syntax());
                }
                char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
                    .ok_or_else(syntax)
            }
            unit => char::from_u32(unit).ok_or_else(syntax),
        }
    }
}

fn run(text: &str, build: bool) -> Result<Json, ParseError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        build,
    };
    let value = parser.value()?;
    parser.skip_spaces();
    if parser.at == text.len() {
        Ok(value)
    } else {
        Err(syntax())
    }
}

/// Parses JSON text as `jsonb_in` does.
///
/// # Errors
/// 22P02 for bad syntax, 22P05 for `\u0000`.
pub fn parse_json(text: &str) -> Result<Json, ParseError> {
    run(text, true)
}

/// Checks JSON text as `json_in` does.
///
/// # Errors
/// 22P02 for bad syntax.
pub fn check_json(text: &str) -> Result<(), ParseError> {
    run(text, false).map(|_| ())
}

/// JSON text to the text of the same `jsonb`.
///
/// # Errors
/// As [`parse_json`].
pub fn canonical_jsonb(text: &str) -> Result<Arc<str>, ParseError> {
    Ok(parse_json(text)?.to_string().into())
}

//! The Redis key of a view row, and back.
//!
//! In: a template such as `order:{id}` and the view's key, checked when the configuration is loaded.
//! Out: for each key text its Redis key, and for a Redis key the key text that it stands for.
//!
//! Always: injective, so that no two rows of a view share a Redis key, and a key that is none of the template's is told apart.
//! A piece of the key text has no `:`, and `%` only as an escape; that is what the separators are checked against.
//! A key text above its limit is a hash (`%H…`) and has no pieces: it stands where the first placeholder is, the others are empty.

use std::fmt::Write;

use readside_pgtype::Type;
use readside_sink::TargetColumn;

/// A parsed key template.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyTemplate {
    tokens: Vec<Token>,
    /// How many pieces the key has; 0 for a global aggregate.
    pieces: usize,
    /// The shown column of each key piece, if it is shown.
    types: Vec<Option<Type>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Literal(String),
    /// One piece of the key.
    Piece(usize),
    /// The whole key text.
    Whole,
}

/// A template that cannot be used, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key template `{template}`: {reason}\n  hint: {hint}")]
pub struct KeyTemplateError {
    /// The template.
    pub template: String,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub hint: String,
}

const RESERVED: &str = "readside:";
const HASH_HEX_LENGTH: usize = 64;
const KEY_TEXT_BYTES_MAX: usize = 400;

impl KeyTemplate {
    /// The default: `<view>:` and the key text.
    ///
    /// # Errors
    /// For a view whose keys would lie among readside's own.
    pub fn default_for(
        view: &str,
        columns: &[TargetColumn],
        key: &[Option<usize>],
    ) -> Result<KeyTemplate, KeyTemplateError> {
        let template = KeyTemplate {
            tokens: vec![Token::Literal(format!("{view}:")), Token::Whole],
            pieces: key.len(),
            types: types(columns, key),
        };
        template.check_reserved(&format!("{view}:"))?;
        Ok(template)
    }

    /// Parses `template`, which has to name exactly the columns of the key: `{column}`; `{{` and `}}` stand for braces.
    /// Empty, or `<view>:` alone for a view that has key columns, is the default.
    ///
    /// # Errors
    /// Says what is wrong and what to write instead.
    pub fn parse(
        template: &str,
        view: &str,
        columns: &[TargetColumn],
        key: &[Option<usize>],
    ) -> Result<KeyTemplate, KeyTemplateError> {
        if template.is_empty() || (!key.is_empty() && template == format!("{view}:")) {
            return KeyTemplate::default_for(view, columns, key);
        }
        let error = |reason: String, hint: String| KeyTemplateError {
            template: template.to_owned(),
            reason,
            hint,
        };
        let names: Vec<Option<&str>> = key
            .iter()
            .map(|piece| piece.and_then(|i| columns.get(i)).map(|c| c.name.as_str()))
            .collect();
        if names.contains(&None) {
            return Err(error(
                "the view does not show all columns of its key".to_owned(),
                "add the key's columns to the SELECT list, or leave the template out: the keys are then \
                 the view's name and the key text"
                    .to_owned(),
            ));
        }
        let suggestion = || {
            let mut text = view.to_owned();
            for name in names.iter().flatten() {
                let _ = write!(text, ":{{{name}}}");
            }
            format!("for example `{text}`")
        };
        let tokens = tokens(template, &names).map_err(|reason| error(reason, suggestion()))?;
        for (piece, name) in names.iter().enumerate() {
            let uses = tokens.iter().filter(|t| **t == Token::Piece(piece)).count();
            let name = name.unwrap_or_default();
            if uses == 0 {
                return Err(error(
                    format!(
                        "column `{name}` of the view's key is not in it, so rows would overwrite each other"
                    ),
                    suggestion(),
                ));
            }
            if uses > 1 {
                return Err(error(
                    format!("column `{name}` is in it twice"),
                    suggestion(),
                ));
            }
        }
        let parsed = KeyTemplate {
            tokens,
            pieces: key.len(),
            types: types(columns, key),
        };
        parsed
            .check_separators()
            .map_err(|reason| error(reason, suggestion()))?;
        parsed.check_reserved(template)?;
        Ok(parsed)
    }

    /// Between two pieces something must stand that the first can't contain.
    fn check_separators(&self) -> Result<(), String> {
        let mut last: Option<usize> = None;
        let mut between = "";
        for token in &self.tokens {
            match token {
                Token::Literal(text) => between = text,
                Token::Whole => {}
                Token::Piece(piece) => {
                    if let Some(before) = last {
                        let ty = self.types.get(before).and_then(Option::as_ref);
                        if !between.chars().any(|c| separates(c, ty)) {
                            return Err(format!(
                                "`{between}` between two columns may also occur in the first, so two rows could get one key"
                            ));
                        }
                    }
                    last = Some(*piece);
                    between = "";
                }
            }
        }
        Ok(())
    }

    fn check_reserved(&self, template: &str) -> Result<(), KeyTemplateError> {
        let marker = ["readside", "", "marker"].map(|text| Segment {
            prefix: text.to_owned(),
            open: text.is_empty(),
            suffix: String::new(),
        });
        let collides = self.shapes().iter().any(|shape| {
            shape.len() == marker.len() && shape.iter().zip(&marker).all(|(a, b)| a.may_equal(b))
        });
        if self.prefix().starts_with(RESERVED) || collides {
            return Err(KeyTemplateError {
                template: template.to_owned(),
                reason: "keys that begin with `readside:` are readside's own".to_owned(),
                hint: "begin the template with another word and `:`".to_owned(),
            });
        }
        Ok(())
    }

    /// What every key of this template begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.tokens.first() {
            Some(Token::Literal(text)) => text,
            _ => "",
        }
    }

    /// A `SCAN` pattern that every key of this template matches. Others may match it too: see [`parse_key`](Self::parse_key).
    #[must_use]
    pub fn scan_pattern(&self) -> String {
        let mut out = String::new();
        for token in &self.tokens {
            match token {
                Token::Literal(text) => {
                    for c in text.chars() {
                        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                            out.push('\\');
                        }
                        out.push(c);
                    }
                }
                Token::Piece(_) | Token::Whole => out.push('*'),
            }
        }
        out
    }

    /// The Redis key of a row. `key_text` has this view's number of pieces.
    #[must_use]
    pub fn render(&self, key_text: &str) -> String {
        let pieces: Vec<&str> = key_text.split(':').collect();
        let hashed = is_hash(key_text);
        let mut out = String::with_capacity(self.prefix().len() + key_text.len());
        let mut first = true;
        for token in &self.tokens {
            match token {
                Token::Literal(text) => out.push_str(text),
                Token::Whole => out.push_str(key_text),
                Token::Piece(_) if hashed => {
                    if std::mem::take(&mut first) {
                        out.push_str(key_text);
                    }
                }
                Token::Piece(piece) => out.push_str(pieces.get(*piece).copied().unwrap_or("")),
            }
        }
        out
    }

    /// The key text that `key` stands for, if it is one of this template's and of the key's types.
    #[must_use]
    pub fn parse_key(&self, key: &str) -> Option<String> {
        let mut pieces: Vec<&str> = vec![""; self.pieces];
        let mut rest = key;
        let mut order = Vec::new();
        for (i, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
                Token::Whole => {
                    let whole = std::mem::take(&mut rest);
                    if is_hash(whole) || (self.pieces == 0 && whole == "%G") {
                        return Some(whole.to_owned());
                    }
                    pieces = whole.split(':').collect();
                    if self.pieces == 0 || pieces.len() != self.pieces {
                        return None;
                    }
                    order.extend(0..self.pieces);
                }
                Token::Piece(piece) => {
                    let last = i + 1 == self.tokens.len();
                    let end = if last {
                        rest.len()
                    } else {
                        match self.tokens.get(i + 1) {
                            Some(Token::Literal(text)) if i + 2 == self.tokens.len() => {
                                rest.len().checked_sub(text.len())?
                            }
                            Some(Token::Literal(text)) => self.end_of_piece(rest, *piece, text)?,
                            _ => return None,
                        }
                    };
                    let (value, remainder) = rest.split_at_checked(end)?;
                    *pieces.get_mut(*piece)? = value;
                    order.push(*piece);
                    rest = remainder;
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        if self.pieces == 0 {
            return Some("%G".to_owned());
        }
        if let Some((first, others)) = order.split_first()
            && let Some(hash) = pieces.get(*first)
            && is_hash(hash)
        {
            let alone = others
                .iter()
                .all(|p| pieces.get(*p).is_some_and(|text| text.is_empty()));
            return alone.then(|| (*hash).to_owned());
        }
        for (piece, text) in pieces.iter().enumerate() {
            let ty = self.types.get(piece).and_then(Option::as_ref);
            if !is_piece(text, ty) {
                return None;
            }
        }
        let text = pieces.join(":");
        (text.len() <= KEY_TEXT_BYTES_MAX).then_some(text)
    }

    /// Where the piece ends that `separator` follows: by its first character that the piece can't contain.
    fn end_of_piece(&self, rest: &str, piece: usize, separator: &str) -> Option<usize> {
        let ty = self.types.get(piece).and_then(Option::as_ref);
        let (offset, c) = separator.char_indices().find(|(_, c)| separates(*c, ty))?;
        rest.find(c)?.checked_sub(offset)
    }

    /// Whether a key of this template may also be one of `other`'s. May say yes where there is none.
    #[must_use]
    pub fn may_collide(&self, other: &KeyTemplate) -> bool {
        self.shapes().iter().any(|mine| {
            other.shapes().iter().any(|theirs| {
                mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(a, b)| a.may_equal(b))
            })
        })
    }

    /// The keys' parts between `:`, as patterns: for pieces, and for a hash.
    fn shapes(&self) -> Vec<Vec<Segment>> {
        let pieces = |hashed: bool| {
            let mut segments = vec![Segment::default()];
            let mut first = true;
            for token in &self.tokens {
                match token {
                    Token::Literal(text) => {
                        for (i, part) in text.split(':').enumerate() {
                            if i > 0 {
                                segments.push(Segment::default());
                            }
                            if let Some(segment) = segments.last_mut() {
                                segment.literal(part);
                            }
                        }
                    }
                    Token::Whole => {
                        let count = if hashed { 1 } else { self.pieces.max(1) };
                        for i in 0..count {
                            if i > 0 {
                                segments.push(Segment::default());
                            }
                            if let Some(segment) = segments.last_mut() {
                                segment.open = true;
                            }
                        }
                    }
                    Token::Piece(_) => {
                        if (!hashed || std::mem::take(&mut first))
                            && let Some(segment) = segments.last_mut()
                        {
                            segment.open = true;
                        }
                    }
                }
            }
            segments
        };
        vec![pieces(false), pieces(true)]
    }
}

/// A key's part between `:`: literal, or with something open between a prefix and a suffix.
#[derive(Debug, Default)]
struct Segment {
    prefix: String,
    open: bool,
    suffix: String,
}

impl Segment {
    fn literal(&mut self, text: &str) {
        if self.open {
            self.suffix.push_str(text);
        } else {
            self.prefix.push_str(text);
        }
    }

    fn may_equal(&self, other: &Segment) -> bool {
        let (a, b) = (self, other);
        match (a.open, b.open) {
            (false, false) => a.prefix == b.prefix,
            (true, false) => b.prefix.starts_with(&a.prefix),
            (false, true) => a.prefix.starts_with(&b.prefix),
            (true, true) => a.prefix.starts_with(&b.prefix) || b.prefix.starts_with(&a.prefix),
        }
    }
}

fn types(columns: &[TargetColumn], key: &[Option<usize>]) -> Vec<Option<Type>> {
    key.iter()
        .map(|piece| piece.and_then(|i| columns.get(i)).map(|c| c.ty.clone()))
        .collect()
}

fn tokens(template: &str, names: &[Option<&str>]) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut literal = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.peek() == Some(&'{') => {
                chars.next();
                literal.push('{');
            }
            '}' if chars.peek() == Some(&'}') => {
                chars.next();
                literal.push('}');
            }
            '}' => return Err("`}` without `{`".to_owned()),
            '{' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) => name.push(c),
                        None => return Err("`{` without `}`".to_owned()),
                    }
                }
                let piece = names
                    .iter()
                    .position(|n| *n == Some(name.as_str()))
                    .ok_or_else(|| {
                        if names.is_empty() {
                            format!(
                                "the view has one row and no key, so `{{{name}}}` cannot be in it"
                            )
                        } else {
                            format!("`{name}` is not a column of the view's key")
                        }
                    })?;
                if !literal.is_empty() {
                    out.push(Token::Literal(std::mem::take(&mut literal)));
                }
                out.push(Token::Piece(piece));
            }
            c => literal.push(c),
        }
    }
    if !literal.is_empty() {
        out.push(Token::Literal(literal));
    }
    Ok(out)
}

/// Whether a piece of this type can't contain `c`. NULL, absent, empty and hashes are `%` and a letter.
fn separates(c: char, ty: Option<&Type>) -> bool {
    if c == ':' {
        return true;
    }
    if matches!(c, '%' | 'N' | 'X' | 'Z' | 'H' | 'a'..='f' | '0'..='9' | '-') {
        return false;
    }
    matches!(
        ty.map(Type::base),
        Some(Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid | Type::Uuid)
    )
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix("%H").is_some_and(|hex| {
        hex.len() == HASH_HEX_LENGTH && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether this is an encoded piece of a key text, of this type if it is known.
fn is_piece(text: &str, ty: Option<&Type>) -> bool {
    if matches!(text, "%N" | "%X" | "%Z") {
        return true;
    }
    let mut after = text.split('%');
    let plain = after.next().unwrap_or_default();
    if text.is_empty() || plain.contains(':') {
        return false;
    }
    if !after.all(|t| (t.starts_with("25") || t.starts_with("3A")) && !t.contains(':')) {
        return false;
    }
    match ty.map(Type::base) {
        Some(Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        }
        Some(Type::Uuid) => {
            text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        }
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use readside_model::{KeyPart, encode_key_text};

    use super::*;

    fn columns(list: &[(&str, Type)]) -> (Vec<TargetColumn>, Vec<Option<usize>>) {
        let columns: Vec<TargetColumn> = list
            .iter()
            .map(|(name, ty)| TargetColumn {
                name: (*name).to_owned(),
                ty: ty.clone(),
                typmod: -1,
                not_null: true,
            })
            .collect();
        let key = (0..columns.len()).map(Some).collect();
        (columns, key)
    }

    fn parse(template: &str, list: &[(&str, Type)]) -> Result<KeyTemplate, KeyTemplateError> {
        let (columns, key) = columns(list);
        KeyTemplate::parse(template, "v", &columns, &key)
    }

    fn text(parts: &[&str]) -> String {
        let parts: Vec<KeyPart> = parts
            .iter()
            .map(|p| KeyPart::Text((*p).to_owned()))
            .collect();
        encode_key_text(&parts)
    }

    #[test]
    fn every_key_text_comes_back_from_its_redis_key() {
        let two = [("a", Type::Text), ("b", Type::Text)];
        let long = "x".repeat(500);
        let templates = ["v:{a}:{b}", "v:{b}/:/{a}:end", "{{{a}}}:{b}", ""];
        for template in templates {
            let template = parse(template, &two).unwrap();
            for parts in [
                ["1", "2"],
                ["a:b%", ""],
                ["ünï/:/code", "%N"],
                ["", ""],
                [long.as_str(), "x"],
            ] {
                let key_text = text(&parts);
                let key = template.render(&key_text);
                assert_eq!(
                    template.parse_key(&key),
                    Some(key_text),
                    "{template:?} {key}"
                );
            }
            let nulls = encode_key_text(&[KeyPart::Null, KeyPart::Absent]);
            assert_eq!(template.parse_key(&template.render(&nulls)), Some(nulls));
        }
    }

    #[test]
    fn pieces_stand_where_the_template_has_them() {
        let template = parse("order:{id}", &[("id", Type::Int8)]).unwrap();
        assert_eq!(template.render("42"), "order:42");
        let template = parse(
            "cart:{{{user}}}:{item}",
            &[("item", Type::Int4), ("user", Type::Text)],
        )
        .unwrap();
        assert_eq!(template.render("7:a%3Ab"), "cart:{a%3Ab}:7");
        let global = KeyTemplate::parse("totals", "v", &[], &[]).unwrap();
        assert_eq!(global.render("%G"), "totals");
        assert_eq!(global.parse_key("totals"), Some("%G".to_owned()));
        let (columns, key) = columns(&[("id", Type::Int8)]);
        let default = KeyTemplate::parse("", "orders", &columns, &key).unwrap();
        assert_eq!(default.render("42"), "orders:42");
    }

    #[test]
    fn a_key_of_the_application_under_the_same_prefix_is_told_apart() {
        let template = parse("order:{id}", &[("id", Type::Int8)]).unwrap();
        for other in [
            "order:42:lock",
            "order:",
            "order:next",
            "order:%N2",
            "order:4%",
            "orders:4",
            "order:%Hab",
        ] {
            assert_eq!(template.parse_key(other), None, "{other}");
        }
    }

    #[test]
    fn a_template_that_mixes_rows_up_is_refused_with_a_remedy() {
        let two = [("a", Type::Text), ("b", Type::Int4)];
        for (template, expected) in [
            ("v:{a}", "column `b` of the view's key is not in it"),
            ("v:{a}{b}", "may also occur"),
            ("v:{a}-{b}", "may also occur"),
            ("v:{a}:{b}:{c}", "`c` is not a column"),
            ("v:{a}:{b}:{a}", "twice"),
            ("v:{a:{b}", "is not a column"),
            ("v:a}:{b}", "without `{`"),
            ("readside:{a}:{b}", "readside's own"),
            ("{a}:{b}:marker", "readside's own"),
        ] {
            let error = parse(template, &two).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("hint: "),
                "{template}: {error}"
            );
        }
        assert!(parse("v:{b}/{a}", &two).is_ok());
        assert!(parse("v:{b}-{a}", &two).is_err());
    }

    #[test]
    fn templates_that_can_share_a_key_are_found() {
        let id = [("id", Type::Int8)];
        let order = parse("order:{id}", &id).unwrap();
        assert!(order.may_collide(&order));
        assert!(!order.may_collide(&parse("order:{id}:items", &id).unwrap()));
        assert!(!order.may_collide(&parse("product:{id}", &id).unwrap()));
        assert!(order.may_collide(&parse("order:a{id}", &id).unwrap()));
        let (columns, key) = columns(&[("id", Type::Int8)]);
        assert!(order.may_collide(&KeyTemplate::default_for("order", &columns, &key).unwrap()));
    }
}

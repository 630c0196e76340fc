//! The text of arrays and rows: `{1,"a b",NULL}`, `[0:1]={7,8}`, `(1,"a ""b""",)`.

use crate::input::is_space;
use crate::{Array, ParseError, RecordType, Type, Value, ValueError};

type ElementParser<'a> = dyn FnMut(&Type, &str) -> Result<Value, ParseError> + 'a;

/// Lower bound and length of each dimension.
type Dimensions = Vec<(i32, usize)>;

const DIMENSIONS_MAX: usize = 6;

fn malformed_array(text: &str) -> ValueError {
    ValueError::new("22P02", format!("malformed array literal: \"{text}\""))
}

fn skip_spaces(s: &str) -> &str {
    s.trim_start_matches(is_space)
}

/// `[lower:upper]…=` or `[length]…=` before the braces.
fn bounds<'a>(text: &str, rest: &'a str) -> Result<(Option<Dimensions>, &'a str), ParseError> {
    let mut rest = skip_spaces(rest);
    if !rest.starts_with('[') {
        return Ok((None, rest));
    }
    let fail = || malformed_array(text);
    let mut bounds = Vec::new();
    while let Some(after) = rest.strip_prefix('[') {
        let (inner, tail) = after.split_once(']').ok_or_else(fail)?;
        let (lower, upper) = match inner.split_once(':') {
            Some((l, u)) => (l.trim().parse().map_err(|_| fail())?, u),
            None => (1, inner),
        };
        let upper: i32 = upper.trim().parse().map_err(|_| fail())?;
        let length = i64::from(upper) - i64::from(lower) + 1;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length > 0)
            .ok_or_else(|| {
                ValueError::new("2202E", "upper bound cannot be less than lower bound")
            })?;
        bounds.push((lower, length));
        rest = skip_spaces(tail);
    }
    let rest = rest.strip_prefix('=').ok_or_else(fail)?;
    Ok((Some(bounds), skip_spaces(rest)))
}

struct Reader<'a, 'p> {
    text: &'a str,
    rest: &'a str,
    element: &'a Type,
    parse: &'a mut ElementParser<'p>,
    elements: Vec<Value>,
    /// Length of each dimension, known once its first list is closed.
    lengths: Vec<Option<usize>>,
    /// The depth at which elements stand, known from the first one.
    leaf_depth: Option<usize>,
}

impl Reader<'_, '_> {
    fn fail<T>(&self) -> Result<T, ParseError> {
        Err(malformed_array(self.text))
    }

    /// One `{…}`, whose brace has been taken.
    fn list(&mut self, depth: usize) -> Result<(), ParseError> {
        if depth >= DIMENSIONS_MAX {
            return Err(ValueError::new(
                "54000",
                format!(
                    "number of array dimensions ({}) exceeds the maximum allowed ({DIMENSIONS_MAX})",
                    depth + 1
                ),
            ));
        }
        if self.lengths.len() <= depth {
            self.lengths.push(None);
        }
        let mut count = 0usize;
        self.rest = skip_spaces(self.rest);
        if let Some(after) = self.rest.strip_prefix('}') {
            // Only the whole array may be empty.
            if depth > 0 {
                return self.fail();
            }
            self.rest = after;
        } else {
            loop {
                self.rest = skip_spaces(self.rest);
                if let Some(after) = self.rest.strip_prefix('{') {
                    if self.leaf_depth.is_some_and(|d| d <= depth) {
                        return self.fail();
                    }
                    self.rest = after;
                    self.list(depth + 1)?;
                } else {
                    if *self.leaf_depth.get_or_insert(depth) != depth {
                        return self.fail();
                    }
                    let value = self.item()?;
                    self.elements.push(value);
                }
                count += 1;
                self.rest = skip_spaces(self.rest);
                if let Some(after) = self.rest.strip_prefix(',') {
                    self.rest = after;
                } else if let Some(after) = self.rest.strip_prefix('}') {
                    self.rest = after;
                    break;
                } else {
                    return self.fail();
                }
            }
        }
        match self.lengths[depth] {
            Some(length) if length != count => self.fail(),
            _ => {
                self.lengths[depth] = Some(count);
                Ok(())
            }
        }
    }

    fn item(&mut self) -> Result<Value, ParseError> {
        let mut value = String::new();
        let mut quoted = false;
        let mut in_quotes = false;
        // After its closing quote an element is complete.
        let mut closed = false;
        let mut chars = self.rest.char_indices();
        // Blanks at the end of an unquoted element don't count.
        let mut significant = 0;
        loop {
            let Some((at, c)) = chars.next() else {
                return self.fail();
            };
            match c {
                c if closed && !is_space(c) && !matches!(c, ',' | '}') => return self.fail(),
                '\\' => match chars.next() {
                    Some((_, escaped)) => {
                        value.push(escaped);
                        significant = value.len();
                        quoted = true;
                    }
                    None => return self.fail(),
                },
                '"' if in_quotes => {
                    in_quotes = false;
                    closed = true;
                    significant = value.len();
                }
                '"' => {
                    if !value.is_empty() || quoted {
                        return self.fail();
                    }
                    in_quotes = true;
                    quoted = true;
                }
                ',' | '}' if !in_quotes => {
                    self.rest = &self.rest[at..];
                    break;
                }
                '{' if !in_quotes => return self.fail(),
                c => {
                    value.push(c);
                    if in_quotes || !is_space(c) {
                        significant = value.len();
                    }
                }
            }
        }
        value.truncate(significant);
        if !quoted {
            if value.is_empty() {
                return self.fail();
            }
            if value.eq_ignore_ascii_case("null") {
                return Ok(Value::Null);
            }
        }
        (self.parse)(self.element, &value)
    }
}

/// An array's text.
pub(crate) fn parse_array(
    element: &Type,
    text: &str,
    parse: &mut ElementParser<'_>,
) -> Result<Value, ParseError> {
    let (declared, rest) = bounds(text, text)?;
    let rest = rest
        .strip_prefix('{')
        .ok_or_else(|| malformed_array(text))?;
    let mut reader = Reader {
        text,
        rest,
        element,
        parse,
        elements: Vec::new(),
        lengths: Vec::new(),
        leaf_depth: None,
    };
    reader.list(0)?;
    if !skip_spaces(reader.rest).is_empty() {
        return reader.fail();
    }
    if reader.elements.is_empty() {
        return Ok(Value::Array(Array::one_dimensional(Vec::new()).into()));
    }
    let lengths: Vec<usize> = reader.lengths.iter().map(|l| l.unwrap_or(0)).collect();
    let dimensions = match declared {
        Some(declared) => {
            if declared.iter().map(|(_, l)| *l).ne(lengths.iter().copied()) {
                return reader.fail();
            }
            declared
        }
        None => lengths.into_iter().map(|l| (1, l)).collect(),
    };
    Ok(Value::Array(
        Array {
            dimensions,
            elements: reader.elements,
        }
        .into(),
    ))
}

/// A row's text.
pub(crate) fn parse_record(
    record: &RecordType,
    text: &str,
    parse: &mut ElementParser<'_>,
) -> Result<Value, ParseError> {
    let fail = || ValueError::new("22P02", format!("malformed record literal: \"{text}\""));
    let inner = skip_spaces(text).strip_prefix('(').ok_or_else(fail)?;
    let mut chars = inner.char_indices().peekable();
    let mut fields: Vec<Value> = Vec::with_capacity(record.fields.len());
    let mut end = None;
    if record.fields.is_empty() {
        end = inner.strip_prefix(')').map(|_| 1);
    }
    while end.is_none() {
        let (_, ty) = record.fields.get(fields.len()).ok_or_else(fail)?;
        let mut value = String::new();
        let mut is_null = true;
        let mut in_quotes = false;
        loop {
            let (at, c) = chars.next().ok_or_else(fail)?;
            match c {
                '\\' => value.push(chars.next().ok_or_else(fail)?.1),
                '"' if in_quotes && chars.peek().is_some_and(|(_, c)| *c == '"') => {
                    value.push('"');
                    chars.next();
                }
                '"' => in_quotes = !in_quotes,
                ',' if !in_quotes => break,
                ')' if !in_quotes => {
                    end = Some(at + 1);
                    break;
                }
                c => value.push(c),
            }
            is_null = false;
        }
        fields.push(if is_null {
            Value::Null
        } else {
            parse(ty, &value)?
        });
    }
    let rest = end.and_then(|e| inner.get(e..)).unwrap_or("");
    if fields.len() != record.fields.len() || !skip_spaces(rest).is_empty() {
        return Err(fail());
    }
    Ok(Value::Record(fields.into()))
}

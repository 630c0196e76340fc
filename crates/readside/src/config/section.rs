//! Reads one table of the file: known keys by type, the rest is an error.
//!
//! In: a parsed table with its place in the text. Out: values; whatever is of the wrong type, missing or unknown goes to [`Findings`].

use std::cell::RefCell;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::problem::Findings;

/// A table being read. Every key that is asked for counts as known.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    path: String,
    span: Option<Range<usize>>,
    table: &'a DeTable<'a>,
    known: RefCell<Vec<String>>,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
    pub(crate) path: String,
}

impl<T> Found<T> {
    /// Reports something about this value.
    pub(crate) fn refuse(
        &self,
        findings: &mut Findings<'_>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        findings.at(Some(self.span.clone()), self.path.clone(), message, hint);
    }
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        path: impl Into<String>,
        span: Option<Range<usize>>,
        table: &'a DeTable<'a>,
    ) -> Section<'a> {
        Section {
            path: path.into(),
            span,
            table,
            known: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn path_of(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = if !key.is_empty() && key.chars().all(bare) {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Reports something about this table as a whole.
    pub(crate) fn refuse(
        &self,
        findings: &mut Findings<'_>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        findings.at(self.span.clone(), self.path.clone(), message, hint);
    }

    /// The value of a key, of whatever type.
    pub(crate) fn value(&self, key: &str) -> Option<Found<&'a DeValue<'a>>> {
        self.known.borrow_mut().push(key.to_owned());
        let value = self.table.get(key)?;
        Some(Found {
            value: value.get_ref(),
            span: value.span(),
            path: self.path_of(key),
        })
    }

    /// A text.
    pub(crate) fn text(&self, findings: &mut Findings<'_>, key: &str) -> Option<Found<&'a str>> {
        let found = self.value(key)?;
        match found.value.as_str() {
            Some("") => {
                found.refuse(findings, "is empty", None);
                None
            }
            Some(text) => Some(Found {
                value: text,
                span: found.span,
                path: found.path,
            }),
            None => {
                let message = format!("wants a text, not {}", kind(found.value));
                found.refuse(findings, message, None);
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        hint: &str,
    ) -> Option<Found<&'a str>> {
        let found = self.text(findings, key);
        if found.is_none() && !self.table.contains_key(key) {
            findings.at(
                self.span.clone(),
                self.path_of(key),
                "is missing",
                Some(hint.to_owned()),
            );
        }
        found
    }

    /// A text that `parse` turns into a type of its own.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        hint: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let found = self.value(key)?;
        let Some(text) = found.value.as_str() else {
            let message = format!("wants a text, not {}", kind(found.value));
            found.refuse(findings, message, Some(hint.to_owned()));
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                found.refuse(findings, error.to_string(), Some(hint.to_owned()));
                None
            }
        }
    }

    /// A table inside this one.
    pub(crate) fn section(&self, findings: &mut Findings<'_>, key: &str) -> Option<Section<'a>> {
        let found = self.value(key)?;
        found.section(findings)
    }

    /// All entries, each of which must be a table: `[sinks.NAME]`.
    pub(crate) fn sections(&self, findings: &mut Findings<'_>) -> Vec<(String, Section<'a>)> {
        let mut out = Vec::new();
        let keys: Vec<String> = self.table.keys().map(|k| k.get_ref().to_string()).collect();
        for key in keys {
            if let Some(section) = self.value(&key).and_then(|found| found.section(findings)) {
                out.push((key, section));
            }
        }
        out
    }

    /// Whatever has not been asked for is unknown.
    pub(crate) fn finish(self, findings: &mut Findings<'_>) {
        let known = self.known.borrow();
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if known.iter().any(|k| k == name) {
                continue;
            }
            let mut list: Vec<&str> = known.iter().map(String::as_str).collect();
            list.sort_unstable();
            list.dedup();
            let hint = match nearest(name, &list) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", quoted(&list)),
            };
            findings.at(
                Some(key.span()),
                self.path_of(name),
                "is not a known key",
                Some(hint),
            );
        }
    }
}

impl<'a> Found<&'a DeValue<'a>> {
    /// This value as a table.
    pub(crate) fn section(&self, findings: &mut Findings<'_>) -> Option<Section<'a>> {
        if let Some(table) = self.value.as_table() {
            Some(Section::new(
                self.path.clone(),
                Some(self.span.clone()),
                table,
            ))
        } else {
            let message = format!("wants a table, not {}", kind(self.value));
            self.refuse(findings, message, None);
            None
        }
    }

    /// The elements of this array.
    pub(crate) fn elements(&self, findings: &mut Findings<'_>) -> Vec<Found<&'a DeValue<'a>>> {
        let Some(array) = self.value.as_array() else {
            let message = format!("wants a list, not {}", kind(self.value));
            self.refuse(findings, message, None);
            return Vec::new();
        };
        array
            .iter()
            .enumerate()
            .map(|(i, v)| Found {
                value: v.get_ref(),
                span: v.span(),
                path: format!("{}[{i}]", self.path),
            })
            .collect()
    }
}

pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `` `a`, `b` ``
pub(crate) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    names.join(", ")
}

/// The name that was probably meant: at most two letters away, and less than half of it.
pub(crate) fn nearest<'n>(wanted: &str, names: &[&'n str]) -> Option<&'n str> {
    names
        .iter()
        .map(|name| (distance(wanted, name), *name))
        .filter(|(d, name)| *d <= 2 && d * 2 < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance, with a swap of neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_recognised() {
        let names = ["publication", "slot", "url"];
        assert_eq!(nearest("pubilcation", &names), Some("publication"));
        assert_eq!(nearest("slott", &names), Some("slot"));
        assert_eq!(nearest("database", &names), None);
        assert_eq!(nearest("x", &names), None);
    }
}

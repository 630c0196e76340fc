//! What cannot be kept fresh, and why: a refusal that points into the view's SQL.
//!
//! In: a [`Problem`] found at a span of the parsed text. Out: a [`Refusal`] that prints position, reason, caret and hint.

use std::fmt;

use sqlparser::tokenizer::Span;

/// A view that is refused: where, why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The view's name.
    pub view: String,
    /// Line in the view's file, from 1.
    pub line: u64,
    /// Column in that line, in characters, from 1.
    pub column: u64,
    /// How many characters of that line are meant, at least 1.
    pub length: u64,
    /// The reason, in one sentence.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The line itself.
    pub source_line: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "view `{}`, line {}, column {}: {}",
            self.view, self.line, self.column, self.message
        )?;
        if !self.source_line.trim().is_empty() {
            let line = self.source_line.replace('\t', " ");
            let (mut text, mut skipped) = (line.as_str(), 0u64);
            while let Some(rest) = text.strip_prefix(' ') {
                if skipped + 1 >= self.column {
                    break;
                }
                text = rest;
                skipped += 1;
            }
            let blanks = usize::try_from(self.column.saturating_sub(skipped + 1)).unwrap_or(0);
            let carets = usize::try_from(self.length.max(1)).unwrap_or(1);
            write!(
                f,
                "\n    {}\n    {}{}",
                text.trim_end(),
                " ".repeat(blanks),
                "^".repeat(carets)
            )?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Something wrong at a place of the SQL, before the text itself is at hand.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// A result whose error is small to carry.
pub(crate) type Checked<T> = Result<T, Box<Problem>>;

impl Problem {
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Box<Problem> {
        Box::new(Problem {
            span,
            message: message.into(),
            hint: None,
        })
    }

    pub(crate) fn hinted(
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Box<Problem> {
        Box::new(Problem {
            span,
            message: message.into(),
            hint: Some(hint.into()),
        })
    }

    /// Points into the text. A span without a position points at the first word.
    pub(crate) fn into_refusal(self, view: &str, sql: &str) -> Refusal {
        let start = self.span.start;
        let (line, column) = if start.line == 0 {
            first_word(sql)
        } else {
            (start.line, start.column)
        };
        let source_line = usize::try_from(line)
            .ok()
            .and_then(|n| sql.lines().nth(n.saturating_sub(1)))
            .unwrap_or("")
            .to_owned();
        let width = u64::try_from(source_line.trim_end().chars().count()).unwrap_or(u64::MAX);
        let to_end = (width + 1).saturating_sub(column).max(1);
        let end = self.span.end;
        let length = if start.line == 0 || (end.line == line && end.column <= column) {
            1
        } else if end.line == line {
            (end.column - column).min(to_end)
        } else {
            to_end
        };
        Refusal {
            view: view.to_owned(),
            line,
            column,
            length: length.max(1),
            message: self.message,
            hint: self.hint,
            source_line,
        }
    }
}

fn first_word(sql: &str) -> (u64, u64) {
    let mut line = 0u64;
    for text in sql.lines() {
        line += 1;
        let trimmed = text.trim_start();
        if !trimmed.is_empty() && !trimmed.starts_with("--") {
            let column = text.chars().count() - trimmed.chars().count() + 1;
            return (line, u64::try_from(column).unwrap_or(1));
        }
    }
    (1, 1)
}

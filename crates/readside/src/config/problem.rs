//! What is wrong with a configuration: every problem, with its line, its path and the remedy.
//!
//! In: findings in any order. Out: [`Problems`], in the order of the file.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` where something is missing altogether.
    pub line: Option<usize>,
    /// `views.orders.into[0].sink`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, as a fragment.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Everything that is wrong with one file; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file, as it was named.
    pub file: String,
    /// The problems, by line.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file)?;
            if let Some(line) = problem.line {
                write!(f, ", line {line}")?;
            }
            write!(f, ": ")?;
            if !problem.path.is_empty() {
                write!(f, "`{}`: ", problem.path)?;
            }
            write!(f, "{}", problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// Gathers problems and warnings while a file is read.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(text: &'a str) -> Findings<'a> {
        Findings {
            text,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Something is wrong at this place of the file.
    pub(crate) fn at(
        &mut self,
        span: Option<Range<usize>>,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let line = span.map(|s| {
            let before = self.text.get(..s.start).unwrap_or(self.text);
            before.bytes().filter(|b| *b == b'\n').count() + 1
        });
        let mut message = message.into();
        let mut hint = hint;
        // An error of another crate brings its own hint.
        if let Some(at) = message.find("\n  hint: ") {
            let own = message.split_off(at);
            hint = Some(own.trim_start_matches("\n  hint: ").to_owned());
        }
        self.problems.push(Problem {
            line,
            path: path.into(),
            message,
            hint,
        });
    }

    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The warnings, if nothing is wrong.
    pub(crate) fn finish(mut self, file: &str) -> Result<Vec<String>, Problems> {
        if self.problems.is_empty() {
            return Ok(self.warnings);
        }
        self.problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        Err(Problems {
            file: file.to_owned(),
            list: self.problems,
        })
    }
}

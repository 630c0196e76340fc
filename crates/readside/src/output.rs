//! Where text goes: results to stdout, everything else to stderr.
//!
//! Always: a reader that has gone away (`readside status | head -1`) ends the output, not the program.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// The two streams, and how results are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Results as JSON.
    pub json: bool,
    /// Colours on stdout.
    pub colour: bool,
}

/// A colour that says how things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Less important.
    Dim,
}

impl Output {
    /// For this process: colours if stdout is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn new(json: bool) -> Output {
        Output {
            json,
            colour: colour_wanted() && std::io::stdout().is_terminal(),
        }
    }

    /// A result.
    pub fn result(&self, text: impl std::fmt::Display) {
        // Nobody is left to be told of a failure to write.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A result as one JSON document.
    pub fn json_result<T: Serialize>(&self, value: &T) {
        match serde_json::to_string(value) {
            Ok(text) => self.result(text),
            Err(error) => self.note(format_args!("error: an answer can't be printed: {error}")),
        }
    }

    /// Something to know beside the result.
    pub fn note(&self, text: impl std::fmt::Display) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// `text` in a colour, where colours are wanted.
    #[must_use]
    pub fn tint(&self, text: &str, tone: Tone) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Warn => 33,
            Tone::Bad => 31,
            Tone::Dim => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// `NO_COLOR` asks for none.
#[must_use]
pub fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Rows under headings, columns as wide as their widest cell. A cell may carry a tone, which does not count as width.
#[derive(Debug)]
pub struct Grid {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Option<Tone>)>>,
}

impl Grid {
    /// An empty one.
    #[must_use]
    pub fn new(headings: &[&'static str]) -> Grid {
        Grid {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<(String, Option<Tone>)>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text, without a final line break.
    #[must_use]
    pub fn render(&self, output: &Output) -> String {
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| text.chars().count())
                .chain(self.headings.get(column).map(|h| h.chars().count()))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let line = |cells: Vec<(String, Option<Tone>)>| {
            let mut out = String::new();
            let last = cells.len().saturating_sub(1);
            for (i, (text, tone)) in cells.into_iter().enumerate() {
                let pad = widths
                    .get(i)
                    .map_or(0, |w| w.saturating_sub(text.chars().count()));
                match tone {
                    Some(tone) => out.push_str(&output.tint(&text, tone)),
                    None => out.push_str(&text),
                }
                if i < last {
                    out.push_str(&" ".repeat(pad + 2));
                }
            }
            out.trim_end().to_owned()
        };
        let heading = self
            .headings
            .iter()
            .map(|h| ((*h).to_owned(), Some(Tone::Dim)))
            .collect();
        let mut lines = vec![line(heading)];
        lines.extend(self.rows.iter().map(|row| line(row.clone())));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_move_columns() {
        let mut grid = Grid::new(&["view", "state"]);
        grid.row(vec![
            ("orders".to_owned(), Some(Tone::Bad)),
            ("live".to_owned(), None),
        ]);
        grid.row(vec![("a".to_owned(), None), ("x".to_owned(), None)]);
        let plain = Output {
            json: false,
            colour: false,
        };
        assert_eq!(
            grid.render(&plain),
            "view    state\norders  live\na       x"
        );
        let coloured = Output {
            json: false,
            colour: true,
        };
        let text = grid.render(&coloured);
        assert!(text.contains("\u{1b}[31morders\u{1b}[0m  live"), "{text:?}");
    }
}

//! The demo's picture of a running pipeline.
//!
//! In: the JSON of `readside status`. Out: lines of text, drawn over the last ones on a terminal, else appended.

use std::io::{IsTerminal, Write};

use readside_shop::Seen;
use serde_json::Value;

/// Where the picture goes.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            drawn: 0,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Draws `lines` in place of what was drawn before.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.terminal && self.drawn > 0 {
            // Up over the last picture, and clear to the end of the screen.
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let mut out = std::io::stdout().lock();
        // Whoever closed the pipe doesn't want it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.drawn = lines.len();
    }
}

/// The picture; `whole` with what customers saw of each read model.
pub(crate) fn picture(status: &Value, seen: &Seen, whole: bool) -> Vec<String> {
    let source = &status["source"];
    let mut lines = if whole {
        seen.table()
    } else {
        vec![seen.summary()]
    };
    if whole {
        lines.push(String::new());
    }
    lines.extend([
        format!(
            "source    {}, {} transactions/s, {} changes/s, lag {}, WAL kept for the slot {}",
            if source["connected"] == true {
                "streaming"
            } else {
                "NOT CONNECTED"
            },
            number(&source["transactions_per_second"], 0),
            number(&source["changes_per_second"], 0),
            bytes(&source["lag_bytes"]),
            bytes(&source["slot_retained_bytes"]),
        ),
        format!(
            "readside  {}, changelog {}, state {}",
            text(&status["phase"]),
            bytes(&status["changelog"]["bytes"]),
            bytes(&status["projection"]["state_bytes"]),
        ),
        String::new(),
        format!(
            "{:<20} {:<10} {:<9} {:>9} {:>9} {:>10} {:>10} {:>5}",
            "view", "sink", "state", "lag", "pending", "writes/s", "written", "dead"
        ),
    ]);
    for view in status["views"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{:<20} {:<10} {:<9} {:>9} {:>9} {:>10} {:>10} {:>5}",
            text(&view["view"]),
            text(&view["sink"]),
            text(&view["state"]),
            view["lag_seconds"]
                .as_f64()
                .map_or("-".to_owned(), |lag| format!("{lag:.2} s")),
            number(&view["pending_keys"], 0),
            number(&view["writes_per_second"], 0),
            number(&view["writes_total"], 0),
            number(&view["dead_letters"], 0),
        ));
    }
    let errors = status["views"].as_array().into_iter().flatten();
    let errors = errors.chain(status["sinks"].as_array().into_iter().flatten());
    for part in errors.chain([source, status]) {
        if let Some(error) = part["error"].as_str() {
            lines.push(format!("! {}", error.lines().next().unwrap_or_default()));
        }
    }
    lines
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn number(value: &Value, digits: usize) -> String {
    value
        .as_f64()
        .map_or("-".to_owned(), |number| format!("{number:.digits$}"))
}

fn bytes(value: &Value) -> String {
    let Some(mut number) = value.as_f64() else {
        return "-".to_owned();
    };
    for unit in ["B", "kB", "MB"] {
        if number < 1000.0 {
            return format!("{number:.0} {unit}");
        }
        number /= 1000.0;
    }
    format!("{number:.1} GB")
}

//! `status`, and the words in which a status is told to people.

use readside_pipeline::{
    LoadStatus, Phase, SinkStatus, SourceStatus, Status, ViewState, ViewStatus,
};

use crate::client::Client;
use crate::config::ByteSize;
use crate::exit::{Ending, Failure};
use crate::output::{Grid, Output, Tone};

/// A piece of text and how it is meant.
pub(crate) type Cell = (String, Option<Tone>);

pub(crate) const VIEW_HEADINGS: &[&str] = &[
    "view",
    "sink",
    "place",
    "state",
    "lag",
    "behind",
    "pending",
    "writes/s",
    "dead letters",
    "watermark",
];
pub(crate) const SINK_HEADINGS: &[&str] = &["sink", "type", "state", "error"];
pub(crate) const LOAD_HEADINGS: &[&str] = &["table", "rows", "of about", "rows/s", "why"];

pub(crate) async fn status(client: &Client, output: &Output) -> Result<Ending, Failure> {
    let status: Status = client.get("/api/status", &()).await?;
    if output.json {
        output.json_result(&status);
    } else {
        output.result(render(&status, output));
    }
    Ok(Ending::Done)
}

pub(crate) fn render(status: &Status, output: &Output) -> String {
    let mut sections = Vec::new();
    let tone = match (status.phase, &status.error) {
        (Phase::Halted, _) | (_, Some(_)) => Tone::Bad,
        (Phase::Running, None) => Tone::Good,
        _ => Tone::Warn,
    };
    let mut head = format!(
        "readside {} {}, up {}, instance {}",
        status.version,
        output.tint(phase_name(status.phase), tone),
        lag(Some(status.uptime_seconds)),
        status.instance
    );
    if let Some(error) = &status.error {
        head.push('\n');
        head.push_str(&output.tint(error, Tone::Bad));
    }
    sections.push(head);
    let lines = source_lines(status);
    let width = lines
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(name, (text, tone))| {
            let text = tone.map_or(text.clone(), |tone| output.tint(&text, tone));
            let pad = " ".repeat(width - name.chars().count() + 2);
            format!("{}{pad}{text}", output.tint(name, Tone::Dim))
        })
        .collect();
    sections.push(lines.join("\n"));
    for (headings, rows) in [
        (
            LOAD_HEADINGS,
            status.loads.iter().map(load_cells).collect::<Vec<_>>(),
        ),
        (SINK_HEADINGS, status.sinks.iter().map(sink_cells).collect()),
        (VIEW_HEADINGS, status.views.iter().map(view_cells).collect()),
    ] {
        let mut grid = Grid::new(headings);
        for row in rows {
            grid.row(row);
        }
        if !grid.is_empty() {
            sections.push(grid.render(output));
        }
    }
    let errors: Vec<String> = status
        .views
        .iter()
        .filter_map(|v| {
            let error = v.error.as_ref()?;
            Some(format!(
                "{} in {}: {}",
                v.view,
                v.sink,
                output.tint(error, Tone::Bad)
            ))
        })
        .collect();
    if !errors.is_empty() {
        sections.push(errors.join("\n"));
    }
    sections.join("\n\n")
}

pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Loading => "loading",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        Phase::Halted => "halted",
    }
}

pub(crate) fn state_name(state: ViewState) -> &'static str {
    match state {
        ViewState::Loading => "loading",
        ViewState::Filling => "filling",
        ViewState::Live => "live",
        ViewState::Retrying => "retrying",
        ViewState::Paused => "paused",
        ViewState::Halted => "halted",
    }
}

fn state_cell(state: ViewState) -> Cell {
    let tone = match state {
        ViewState::Live => Tone::Good,
        ViewState::Loading | ViewState::Filling | ViewState::Paused => Tone::Warn,
        ViewState::Retrying | ViewState::Halted => Tone::Bad,
    };
    (state_name(state).to_owned(), Some(tone))
}

/// What there is to say of source, changelog and state, one line each.
pub(crate) fn source_lines(status: &Status) -> Vec<(&'static str, Cell)> {
    let source = &status.source;
    let mut lines = vec![
        ("source", source_cell(source)),
        ("slot", slot_cell(source)),
        (
            "arriving",
            (
                format!(
                    "{} transactions/s, {} changes/s",
                    rate(source.transactions_per_second),
                    rate(source.changes_per_second)
                ),
                None,
            ),
        ),
    ];
    let max = status
        .changelog
        .bytes_max
        .map_or_else(String::new, |max| format!(" of {}", ByteSize(max)));
    lines.push((
        "changelog",
        (
            format!(
                "{}{max}, durable to {}",
                ByteSize(status.changelog.bytes),
                status.changelog.durable_lsn
            ),
            None,
        ),
    ));
    lines.push((
        "state",
        (
            format!(
                "{}, {} behind, at {}",
                ByteSize(status.projection.state_bytes),
                ByteSize(status.projection.lag_bytes),
                status.projection.published_lsn
            ),
            None,
        ),
    ));
    lines
}

fn source_cell(source: &SourceStatus) -> Cell {
    if source.connected {
        let behind = bytes(source.lag_bytes);
        let lsn = source
            .lsn
            .map_or_else(String::new, |lsn| format!(" of {lsn}"));
        (
            format!("{} connected, {behind} behind{lsn}", source.database),
            Some(Tone::Good),
        )
    } else {
        let since = source
            .disconnected_seconds
            .map_or_else(String::new, |s| format!(" for {}", lag(Some(s))));
        let error = source
            .error
            .as_ref()
            .map_or_else(String::new, |e| format!(": {e}"));
        (
            format!("{} not connected{since}{error}", source.database),
            Some(Tone::Bad),
        )
    }
}

fn slot_cell(source: &SourceStatus) -> Cell {
    let mut text = source.slot.clone();
    let mut tone = None;
    if let Some(state) = &source.slot_state {
        text.push_str(&format!(" {state}"));
        if state == "lost" || state == "unreserved" {
            tone = Some(Tone::Bad);
        }
    }
    if let Some(retained) = source.slot_retained_bytes {
        text.push_str(&format!(", retains {}", ByteSize(retained)));
    }
    if let Some(safe) = source.slot_safe_bytes {
        text.push_str(&format!(", {} until it is in danger", ByteSize(safe)));
    }
    (text, tone)
}

pub(crate) fn view_cells(view: &ViewStatus) -> Vec<Cell> {
    let late = view
        .lag_seconds
        .is_some_and(|lag| lag > view.lag_max_seconds);
    let mut state = state_cell(view.state);
    if let Some(progress) = view.rebuild_progress {
        state.0.push_str(&format!(" {:.0} %", progress * 100.0));
    }
    vec![
        (view.view.clone(), None),
        (view.sink.clone(), None),
        (place(view), None),
        state,
        (lag(view.lag_seconds), late.then_some(Tone::Bad)),
        (bytes(view.lag_bytes), None),
        (view.pending_keys.to_string(), None),
        (rate(view.writes_per_second), None),
        (
            view.dead_letters.to_string(),
            (view.dead_letters > 0).then_some(Tone::Bad),
        ),
        (
            view.watermark
                .map_or_else(|| "-".to_owned(), |lsn| lsn.to_string()),
            Some(Tone::Dim),
        ),
    ]
}

/// A view without a key template is kept under its own name.
fn place(view: &ViewStatus) -> String {
    if view.location.is_empty() {
        format!("{}:…", view.view)
    } else {
        view.location.clone()
    }
}

pub(crate) fn sink_cells(sink: &SinkStatus) -> Vec<Cell> {
    let state = if !sink.up {
        let since = sink
            .down_seconds
            .map_or_else(String::new, |s| format!(" for {}", lag(Some(s))));
        (format!("down{since}"), Some(Tone::Bad))
    } else if sink.consistent {
        ("up".to_owned(), Some(Tone::Good))
    } else {
        ("up, catching up in pieces".to_owned(), Some(Tone::Warn))
    };
    vec![
        (sink.sink.clone(), None),
        (sink.kind.clone(), None),
        state,
        (sink.error.clone().unwrap_or_default(), Some(Tone::Bad)),
    ]
}

pub(crate) fn load_cells(load: &LoadStatus) -> Vec<Cell> {
    vec![
        (load.table.clone(), None),
        (load.rows.to_string(), None),
        (
            load.rows_estimated
                .map_or_else(|| "?".to_owned(), |n| n.to_string()),
            None,
        ),
        (rate(load.rows_per_second), None),
        (load.reason.clone(), Some(Tone::Dim)),
    ]
}

/// `0 s`, `140 ms`, `12 s`, `5 min`, `3 h 20 min`, `2 d 4 h`.
pub(crate) fn lag(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else {
        return "-".to_owned();
    };
    if seconds < 0.0005 {
        return "0 s".to_owned();
    }
    if seconds < 1.0 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    if seconds < 120.0 {
        return format!("{seconds:.0} s");
    }
    let minutes = seconds / 60.0;
    if minutes < 120.0 {
        return format!("{minutes:.0} min");
    }
    let hours = (minutes / 60.0).floor();
    if hours < 48.0 {
        return format!("{hours:.0} h {:.0} min", (minutes % 60.0).floor());
    }
    format!("{:.0} d {:.0} h", (hours / 24.0).floor(), hours % 24.0)
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |b| ByteSize(b).to_string())
}

fn rate(per_second: f64) -> String {
    if per_second == 0.0 {
        "0".to_owned()
    } else if per_second < 10.0 {
        format!("{per_second:.1}")
    } else {
        format!("{per_second:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_told_in_the_unit_that_fits() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.14, "140 ms"),
            (3.21, "3.2 s"),
            (42.4, "42 s"),
            (600.0, "10 min"),
            (12_000.0, "3 h 20 min"),
            (190_000.0, "2 d 4 h"),
        ] {
            assert_eq!(lag(Some(seconds)), text);
        }
        assert_eq!(lag(None), "-");
    }
}

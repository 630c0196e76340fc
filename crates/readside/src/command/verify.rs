//! `verify`: compare sinks with the source.

use readside_pipeline::{VerifiedView, VerifyReport, VerifyRequest};

use crate::cli::VerifyArgs;
use crate::client::{Client, Patience};
use crate::exit::{Ending, Failure};
use crate::output::{Grid, Output, Tone};

/// How many keys of each kind are named to people.
const KEYS_SHOWN: usize = 10;

pub(crate) async fn verify(
    client: &Client,
    args: VerifyArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let request = VerifyRequest {
        views: args.views,
        repair: args.repair,
    };
    let report: VerifyReport = client
        .post("/api/verify", &request, Patience::Endless)
        .await?;
    if output.json {
        output.json_result(&report);
    } else {
        output.result(render(&report, output));
        if args.repair && !report.clean() {
            output
                .note("what differs has been marked and is being written again; verify once more");
        }
    }
    Ok(Ending::when(report.clean()))
}

fn render(report: &VerifyReport, output: &Output) -> String {
    let mut grid = Grid::new(&["view", "sink", "missing", "stale", "ghost", "in doubt"]);
    let count = |keys: &[String]| {
        let tone = if keys.is_empty() {
            Tone::Good
        } else {
            Tone::Bad
        };
        (keys.len().to_string(), Some(tone))
    };
    for view in &report.views {
        grid.row(vec![
            (view.view.clone(), None),
            (view.sink.clone(), None),
            count(&view.missing),
            count(&view.stale),
            count(&view.ghost),
            count(&view.in_doubt),
        ]);
    }
    let mut out = grid.render(output);
    for view in &report.views {
        for (what, keys) in kinds(view) {
            if keys.is_empty() {
                continue;
            }
            let shown: Vec<&str> = keys.iter().take(KEYS_SHOWN).map(String::as_str).collect();
            let more = match keys.len().saturating_sub(KEYS_SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            out.push_str(&format!(
                "\n{} in {}, {what}: {}{more}",
                view.view,
                view.sink,
                shown.join(" ")
            ));
        }
    }
    out
}

fn kinds(view: &VerifiedView) -> [(&'static str, &[String]); 4] {
    [
        ("missing", &view.missing),
        ("stale", &view.stale),
        ("ghost", &view.ghost),
        ("in doubt", &view.in_doubt),
    ]
}

//! `rebuild`: fill views anew and watch.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use readside_pipeline::{RebuildAnswer, RebuildPhase, RebuildProgress, RebuildRequest};

use crate::cli::RebuildArgs;
use crate::client::{Client, Patience};
use crate::exit::{Ending, Failure};
use crate::output::Output;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks between two lines where there is no terminal.
const LINE_EVERY: u32 = 20;
const STEPS: u64 = 10_000;

pub(crate) async fn rebuild(
    client: &Client,
    args: RebuildArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let mut request = RebuildRequest {
        views: args.views,
        cancel: args.cancel,
        watch: false,
        rate: args.rate,
    };
    let mut answer = ask(client, &request).await?;
    request.cancel = false;
    request.watch = true;
    let screen = Screen::new(output);
    request.views.sort();
    request.views.dedup();
    let mut looks = 0;
    loop {
        screen.show(&answer, looks % LINE_EVERY == 0, output);
        let known = args.cancel || answer.rebuilds.len() >= request.views.len();
        if known && answer.rebuilds.iter().all(|r| r.phase.is_over()) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => {
                screen.clear();
                output.note("detached: the rebuild goes on; `readside status` shows it, `--cancel` ends it");
                return Ok(Ending::when(true));
            }
        }
        looks += 1;
        let before = std::mem::replace(&mut answer, ask(client, &request).await?);
        // Where the pipeline has started anew in between, what had ended is not told of any more.
        let is_told =
            |answer: &RebuildAnswer, view: &str| answer.rebuilds.iter().any(|r| r.view == view);
        let ended = before.rebuilds.into_iter().filter(|r| r.phase.is_over());
        for rebuild in ended {
            if !is_told(&answer, &rebuild.view) {
                answer.rebuilds.push(rebuild);
            }
        }
        let mut missing = request.views.clone();
        missing.retain(|view| !is_told(&answer, view));
        if !args.cancel && !missing.is_empty() {
            // What was begun goes on by itself, once that is possible again; what was not known to the state is begun here.
            let again = RebuildRequest {
                views: missing,
                watch: false,
                ..request.clone()
            };
            if let Ok(more) = ask(client, &again).await {
                answer.rebuilds.extend(more.rebuilds);
            }
        }
    }
    screen.clear();
    if output.json {
        output.json_result(&answer);
    } else {
        if answer.rebuilds.is_empty() {
            output.note("none of them is being rebuilt");
        }
        for rebuild in &answer.rebuilds {
            output.result(line(rebuild));
        }
    }
    let wanted = |r: &RebuildProgress| {
        r.phase == RebuildPhase::Done || (args.cancel && r.phase == RebuildPhase::Cancelled)
    };
    Ok(Ending::when(answer.rebuilds.iter().all(wanted)))
}

async fn ask(client: &Client, request: &RebuildRequest) -> Result<RebuildAnswer, Failure> {
    client.post("/api/rebuild", request, Patience::Quick).await
}

fn word(phase: RebuildPhase) -> &'static str {
    match phase {
        RebuildPhase::Filling => "filling",
        RebuildPhase::Writing => "writing",
        RebuildPhase::Done => "rebuilt",
        RebuildPhase::Cancelled => "cancelled",
        RebuildPhase::Failed => "failed",
    }
}

/// One rebuild in words.
fn line(rebuild: &RebuildProgress) -> String {
    let mut out = format!("{}: {}", rebuild.view, word(rebuild.phase));
    match rebuild.phase {
        RebuildPhase::Filling | RebuildPhase::Writing => {
            out.push_str(&format!(
                ", {:.0} % in all, {} of about {} rows, {:.0} rows/s",
                rebuild.progress * 100.0,
                rebuild.rows,
                rebuild.rows_total,
                rebuild.rows_per_second
            ));
            if let Some(eta) = rebuild.eta_seconds {
                out.push_str(&format!(", {eta:.0} s to go"));
            }
        }
        RebuildPhase::Done => out.push_str(&format!(", {} rows written again", rebuild.rows_total)),
        RebuildPhase::Cancelled => {}
        RebuildPhase::Failed => {
            if let Some(error) = &rebuild.error {
                out.push_str(&format!(": {error}"));
            }
        }
    }
    out
}

/// Bars on a terminal, lines elsewhere, nothing beside JSON.
struct Screen {
    bars: Option<MultiProgress>,
    known: std::cell::RefCell<BTreeMap<String, ProgressBar>>,
    lines: bool,
}

impl Screen {
    fn new(output: &Output) -> Screen {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Screen {
            bars: (terminal && !output.json).then(MultiProgress::new),
            known: std::cell::RefCell::default(),
            lines: !terminal && !output.json,
        }
    }

    fn show(&self, answer: &RebuildAnswer, line_is_due: bool, output: &Output) {
        for rebuild in &answer.rebuilds {
            if let Some(bars) = &self.bars {
                let mut known = self.known.borrow_mut();
                let bar = known.entry(rebuild.view.clone()).or_insert_with(|| {
                    let style = ProgressStyle::with_template("{bar:30} {msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_bar());
                    bars.add(ProgressBar::new(STEPS).with_style(style))
                });
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a bar's steps"
                )]
                bar.set_position((rebuild.progress * STEPS as f64) as u64);
                bar.set_message(line(rebuild));
            } else if self.lines && line_is_due && !rebuild.phase.is_over() {
                output.note(line(rebuild));
            }
        }
    }

    fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }
}

//! `wait`: read your own writes.

use std::time::{Duration, Instant};

use readside_pipeline::{WaitAnswer, WaitRequest, WaitedView};

use crate::cli::WaitArgs;
use crate::client::{Client, Patience};
use crate::exit::{Ending, Failure};
use crate::output::Output;

/// One request's share of the waiting; the server has a limit of its own.
const SLICE: Duration = Duration::from_secs(20);

pub(crate) async fn wait(
    client: &Client,
    args: WaitArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let deadline = args
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let mut request = WaitRequest {
        views: args.views,
        sinks: args.sinks,
        lsn: args.lsn.map(|wanted| wanted.lsn),
        timeline: args.lsn.and_then(|wanted| wanted.timeline),
        timeout_ms: None,
    };
    loop {
        let slice = deadline.map_or(SLICE, |d| {
            d.saturating_duration_since(Instant::now()).min(SLICE)
        });
        request.timeout_ms = Some(slice);
        let answer: WaitAnswer = client
            .post("/api/wait", &request, Patience::Beyond(slice))
            .await?;
        let late = deadline.is_some_and(|d| Instant::now() >= d);
        if answer.reached || late {
            tell(&answer, output);
            return Ok(Ending::when(answer.reached));
        }
        // What "now" meant was settled by the first answer.
        request.lsn = Some(answer.lsn);
        request.timeline = Some(answer.timeline);
    }
}

fn tell(answer: &WaitAnswer, output: &Output) {
    if output.json {
        output.json_result(answer);
    } else if answer.reached {
        output.result(answer.lsn);
    }
    let behind: Vec<&WaitedView> = answer.views.iter().filter(|v| !v.reached).collect();
    if !answer.reached {
        output.note(format_args!("{} has not been reached:", answer.lsn));
        for view in behind {
            let at = view
                .watermark
                .map_or_else(|| "not filled yet".to_owned(), |w| format!("at {w}"));
            output.note(format_args!(
                "  view `{}` in `{}`: {at}",
                view.view, view.sink
            ));
        }
    }
    for view in answer.views.iter().filter(|v| v.dead_letters > 0) {
        output.note(format_args!(
            "warning: view `{}` in `{}` has {} dead letters, whose rows are not there; see `readside dead-letters`",
            view.view, view.sink, view.dead_letters
        ));
    }
}

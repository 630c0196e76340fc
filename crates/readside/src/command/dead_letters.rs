//! `dead-letters`: the documents that sinks refused, and the rows that have no value.

use readside_pipeline::{DeadLetters, DeadLettersRequest};

use crate::cli::DeadLettersArgs;
use crate::client::Client;
use crate::exit::{Ending, Failure};
use crate::output::{Grid, Output, Tone};

pub(crate) async fn dead_letters(
    client: &Client,
    args: DeadLettersArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let request = DeadLettersRequest {
        view: args.view,
        sink: args.sink,
        limit: Some(args.limit),
    };
    let answer: DeadLetters = client.get("/api/dead-letters", &request).await?;
    if output.json {
        output.json_result(&answer);
        return Ok(Ending::Done);
    }
    let mut grid = Grid::new(&["view", "sink", "key", "at", "reason"]);
    for letter in &answer.dead_letters {
        grid.row(vec![
            (letter.view.clone(), None),
            (letter.sink.clone(), None),
            (letter.key.clone(), None),
            (letter.lsn.to_string(), Some(Tone::Dim)),
            (letter.reason.clone(), None),
        ]);
    }
    if grid.is_empty() {
        output.note("there are no dead letters");
    } else {
        output.result(grid.render(output));
    }
    let shown = u64::try_from(answer.dead_letters.len()).unwrap_or(u64::MAX);
    if answer.total > shown {
        output.note(format_args!(
            "{} more; --limit shows them",
            answer.total - shown
        ));
    }
    Ok(Ending::Done)
}

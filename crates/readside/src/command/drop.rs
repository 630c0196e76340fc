//! `drop`: removes what readside created on the source, and on sinks if asked.

use std::io::{BufRead, IsTerminal, Write};

use readside_sink::ViewTarget;
use readside_source::{PublicationError, SourceError};

use crate::cli::DropArgs;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::{Ending, Failure};
use crate::output::Output;
use crate::{sinks, view};

pub(crate) async fn drop(
    config: &Config,
    args: &DropArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    announce(config, args, output);
    if !args.yes && !confirmed(output)? {
        output.note("nothing has been removed");
        return Ok(Ending::NotSo);
    }
    let client = readside_source::connect_sql(&config.source.connection).await?;
    if args.sinks {
        let catalog = readside_source::load_catalog(&client).await?;
        drop_in_sinks(config, &catalog, output).await?;
    }
    readside_source::drop_publication_and_slot(
        &client,
        &config.source.publication,
        &config.source.slot,
    )
    .await
    .map_err(|error| match error {
        PublicationError::Source(SourceError::SlotBusy { slot, .. }) => Failure::stopped(
            format_args!("slot `{slot}` is in use\n  hint: stop `readside run` first"),
        ),
        PublicationError::Source(error) => error.into(),
        error => Failure::stopped(error),
    })?;
    output.result(format_args!(
        "removed slot `{}` and publication `{}`",
        config.source.slot, config.source.publication
    ));
    output.note(format_args!(
        "local data is still in `{}`",
        config.data.dir.display()
    ));
    Ok(Ending::Done)
}

fn announce(config: &Config, args: &DropArgs, output: &Output) {
    output.note(format_args!(
        "this removes from {}:\n  slot `{}`\n  publication `{}`",
        config.source.connection, config.source.slot, config.source.publication
    ));
    if !args.sinks {
        return;
    }
    for (name, sink) in &config.sinks {
        output.note(format_args!("and from sink `{name}` ({}):", sink.url));
        for view in config.views.values() {
            for into in view.into.iter().filter(|into| into.sink == *name) {
                let place = into.location();
                let place = if place.is_empty() {
                    format!("{}:…", view.name)
                } else {
                    place
                };
                output.note(format_args!("  view `{}`, {place}", view.name));
            }
        }
        output.note("  readside's marker");
    }
}

fn confirmed(output: &Output) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(
            "`drop` asks before it removes anything, and there is no terminal to ask on\n  \
             hint: add --yes",
        ));
    }
    let _ = write!(std::io::stderr(), "go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Failure::stopped)?;
    if answer.is_empty() {
        output.note("");
    }
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Sinks first: once the slot is gone, nothing would tell which sinks still hold something.
async fn drop_in_sinks(
    config: &Config,
    catalog: &readside_model::Catalog,
    output: &Output,
) -> Result<(), Failure> {
    let (plans, refusals) = view::compile_all(config, catalog);
    if !refusals.is_empty() {
        return Err(Failure::refused(format_args!(
            "{}\n  hint: what a view that is refused wrote can't be told apart; mend it, or take it out of the file",
            refusals.join("\n")
        )));
    }
    let data = DataDir::open_existing(&config.data.dir).map_err(Failure::stopped)?;
    for (name, sink_config) in &config.sinks {
        let targets: Vec<ViewTarget> = config
            .views
            .values()
            .flat_map(|view| view.into.iter().map(move |into| (view, into)))
            .filter(|(_, into)| into.sink == *name)
            .filter_map(|(view, into)| Some(view::target(view, into, plans.get(&view.name)?)))
            .collect();
        let sink = sinks::build(name, sink_config, &data.instance, &data.owner_epoch)?;
        sink.drop_all(&targets).await?;
        output.result(format_args!(
            "removed {} views from sink `{name}`",
            targets.len()
        ));
    }
    Ok(())
}

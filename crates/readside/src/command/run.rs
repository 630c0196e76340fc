//! `run`: the daemon. Admin server first, then the pipeline, until a signal or its own end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use readside_pipeline::{Limits, Pipeline, PipelineError, PipelineRemedy, RunConfig, RunOutcome};
use readside_source::PublicationError;
use readside_telemetry::Metrics;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::check;
use crate::admin::{self, Admin};
use crate::cli::RunArgs;
use crate::config::{Config, OnError, ViewConfig, format_duration};
use crate::data_dir::DataDir;
use crate::exit::{Ending, Failure};
use crate::output::Output;
use crate::sinks;

/// For running requests to end after the pipeline has.
const ADMIN_STOP_MAX: Duration = Duration::from_secs(2);
/// Between attempts at a source that has not answered since the start.
const SOURCE_PAUSE: Duration = Duration::from_secs(1);
const SOURCE_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A piece of work that does not look up is not waited for longer than this.
const STOP_MAX: Duration = Duration::from_secs(20);
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) async fn run(
    config: &Config,
    args: &RunArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let run_config = run_config(config, args)?;
    let _data = DataDir::open(&config.data.dir).map_err(Failure::stopped)?;
    let (stop, stopping) = watch::channel(false);
    stop_on_signals(stop).map_err(Failure::stopped)?;

    let metrics = Metrics::new(VERSION);
    metrics.watch_disk(&config.data.dir);
    let pipeline = Pipeline::new(run_config, metrics.clone());
    let listen = config.admin.listen;
    let listener = admin::bind(&config.admin).await.map_err(|error| {
        Failure::stopped(format_args!(
            "can't listen at `{listen}`: {error}\n  \
             hint: is another readside running? `--listen` or `admin.listen` names another address"
        ))
    })?;
    info!(%listen, "serving status, metrics and the API");
    let (close, closing) = watch::channel(false);
    let server = tokio::spawn(admin::serve(
        listener,
        Admin {
            control: pipeline.clone(),
            metrics,
            token: config.admin.token.clone(),
        },
        until_true(closing),
    ));

    let ended = run_patiently(&pipeline, args, stopping).await;

    let _ = close.send(true);
    if tokio::time::timeout(ADMIN_STOP_MAX, server).await.is_err() {
        warn!("requests were still running and have been cut off");
    }
    match ended {
        Ok(outcome) => {
            info!(
                "{}",
                match outcome {
                    RunOutcome::Stopped => "stopped cleanly",
                    RunOutcome::CaughtUp => "every view has caught up",
                }
            );
            Ok(Ending::Done)
        }
        Err(error) => Err(failure(config, error, output).await),
    }
}

/// A source that does not answer yet is waited for; a run that has an end of its own is not kept waiting.
async fn run_patiently(
    pipeline: &Arc<Pipeline>,
    args: &RunArgs,
    mut stopping: watch::Receiver<bool>,
) -> Result<RunOutcome, PipelineError> {
    let mut pause = SOURCE_PAUSE;
    loop {
        match pipeline.run(stopping.clone()).await {
            Err(error)
                if error.remedy() == PipelineRemedy::Unreachable && !args.until_caught_up =>
            {
                warn!("trying again in {}: {error}", format_duration(pause));
            }
            ended => return ended,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(RunOutcome::Stopped),
        }
        pause = (pause * 2).min(SOURCE_PAUSE_MAX);
    }
}

/// Everything resolved, for the pipeline.
fn run_config(config: &Config, args: &RunArgs) -> Result<RunConfig, Failure> {
    let mut sinks = BTreeMap::new();
    for (name, sink) in &config.sinks {
        sinks.insert(
            name.clone(),
            sinks::settings(name, sink).map_err(Failure::refused)?,
        );
    }
    let defaults = Limits::default();
    let data = &config.data;
    Ok(RunConfig {
        version: VERSION.to_owned(),
        source: config.source.connection.clone(),
        publication: config.source.publication.clone(),
        slot: config.source.slot.clone(),
        data_dir: data.dir.clone(),
        sinks,
        views: config.views.values().map(view_config).collect(),
        limits: Limits {
            changelog_bytes_max: data
                .changelog_bytes_max
                .map_or(defaults.changelog_bytes_max, |size| size.0),
            state_flush_bytes: data
                .state_flush_bytes
                .map_or(defaults.state_flush_bytes, |size| {
                    usize::try_from(size.0).unwrap_or(usize::MAX)
                }),
            state_flush_interval: data
                .state_flush_interval
                .unwrap_or(defaults.state_flush_interval),
        },
        until_caught_up: args.until_caught_up,
    })
}

fn view_config(view: &ViewConfig) -> readside_pipeline::ViewConfig {
    readside_pipeline::ViewConfig {
        name: view.name.clone(),
        sql: view.sql.clone(),
        lag_max: view.lag_max,
        keep_failed: view.on_error == OnError::Keep,
        into: view
            .into
            .iter()
            .map(|into| readside_pipeline::IntoConfig {
                sink: into.sink.clone(),
                location: into.location(),
                mapping: into.mapping.clone(),
            })
            .collect(),
    }
}

/// The first SIGTERM or SIGINT asks everybody to stop; a second one ends the process.
fn stop_on_signals(stop: watch::Sender<bool>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
        let _ = stop.send(true);
        // By a thread: whatever does not end may be what the runtime waits for.
        std::thread::spawn(|| {
            std::thread::sleep(STOP_MAX);
            warn!("ending in the middle of something; the next start goes on from what is durable");
            std::process::exit(i32::from(crate::exit::DONE));
        });
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        error!("a second signal: ending at once; the next start goes on from what is durable");
        std::process::exit(i32::from(crate::exit::STOPPED));
    });
    Ok(())
}

async fn until_true(mut flag: watch::Receiver<bool>) {
    // An error means that nobody can ask any more.
    let _ = flag.wait_for(|stop| *stop).await;
}

/// What ended the run, with the SQL for whoever may run it.
async fn failure(config: &Config, error: PipelineError, output: &Output) -> Failure {
    let of_source = matches!(
        error,
        PipelineError::Source(_) | PipelineError::Publication(_)
    );
    match error.remedy() {
        PipelineRemedy::Configuration => Failure::refused(error),
        PipelineRemedy::Unreachable => Failure::unreachable(error),
        PipelineRemedy::Restart | PipelineRemedy::Resynchronise | PipelineRemedy::Operator => {
            if of_source {
                let mut told = check::tell_source_obstacles(config, output).await;
                if let PipelineError::Publication(PublicationError::NotAllowed { sql, .. }) = &error
                    && !told
                {
                    output.result(sql);
                    told = true;
                }
                if told {
                    output.note("whoever may can run the SQL above; then start readside again");
                }
            }
            Failure::stopped(error)
        }
    }
}

//! `cargo xtask demo`: the shop's two sides, its read models in three stores between them, and the lag that readers see, live.
//!
//! In: nothing but this machine. Out: a picture of the pipeline, and with `--seconds` a verdict: exit code 0 only if every view
//! in every sink equals what its SQL returns on Postgres, every customer has read their own writes, and no query reached the write
//! database.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use readside_shop::{Traffic, TrafficRunning};
use readside_tests::oracle;
use readside_tests::readside::{Process, Project};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Receiver;

use crate::screen::{Screen, picture};
use crate::sides::Sides;
use crate::stage::Stage;

/// `demo`'s options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs so long, sends the customers away, waits until caught up, compares everything with Postgres, and ends
    #[arg(long)]
    seconds: Option<u64>,
    /// Requests per second of the shop's customers; 0 is as many as can be
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Queries for each command
    #[arg(long, default_value_t = 100)]
    reads_per_write: u32,
    /// Customers at a time
    #[arg(long, default_value_t = 16)]
    sessions: u32,
    /// How uneven their choices are: 1 is not at all, 3 gives the first tenth about half of them
    #[arg(long, default_value_t = 3.0)]
    skew: f64,
    /// The shop's size; 1 is 200 products, 400 customers and 1,000 orders
    #[arg(long, default_value_t = 5)]
    scale: u32,
}

/// How long the first load, and catching up at the end, may take.
const CAUGHT_UP_LIMIT: Duration = Duration::from_secs(300);

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = stop_signal()?;
    let opened = tokio::select! {
        opened = open(&options) => opened?,
        () = stopped(&mut stop) => return Ok(ExitCode::SUCCESS),
    };
    let Open {
        stage,
        project,
        mut process,
        mut sides,
        traffic,
    } = opened;
    let end = options.seconds.map(Duration::from_secs);
    let shown = watch(&project, &mut process, &mut sides, &traffic, end, &mut stop).await;
    let seen = traffic.stop().await;
    let code = match shown {
        Ok(()) if *stop.borrow() => {
            println!("\nstopping");
            Ok(ExitCode::SUCCESS)
        }
        Ok(()) => {
            let witness = sides.witness().await?;
            println!("\nthe customers have gone\n{}", seen.table().join("\n"));
            println!("{}", witness.line(&seen));
            let sound = witness.saw_no_query() && seen.own_missing == 0 && seen.done() > 0;
            tokio::select! {
                code = judge(&project) => code.map(|code| {
                    if sound { code } else {
                        println!("\nNOT as it should be: see the customers' queries above");
                        ExitCode::FAILURE
                    }
                }),
                () = stopped(&mut stop) => Ok(ExitCode::SUCCESS),
            }
        }
        Err(error) => Err(error),
    }?;
    sides.stop().await?;
    let exit = process.stop().await?;
    drop(stage);
    if exit != Some(0) {
        bail!("`readside run` ended with exit code {exit:?}");
    }
    Ok(code)
}

/// Everything that runs.
struct Open {
    project: Project,
    process: Process,
    sides: Sides,
    traffic: TrafficRunning,
    stage: Stage,
}

async fn open(options: &Options) -> Result<Open> {
    let (stage, _) = tokio::try_join!(Stage::start(), async {
        eprintln!("building readside and the shop");
        tokio::task::spawn_blocking(|| {
            readside_tests::readside::binary()?;
            readside_tests::shop::binary()
        })
        .await?
    })?;
    let shop = stage.create_shop(options.scale).await?;
    let project = stage.project(&shop).await?;
    eprintln!("starting `readside run`");
    let process = project.run().await?;
    project.wait_caught_up(CAUGHT_UP_LIMIT).await?;
    eprintln!("starting the shop's command service, query service and page");
    let sides = Sides::start(&stage, &project, &shop).await?;
    Screen::new().draw(&where_to_look(&stage, &project, &sides).await?);
    let traffic = Traffic {
        commands: sides.commands.url(),
        queries: sides.queries.url(),
        rate: options.rate,
        reads_per_write: options.reads_per_write,
        sessions: options.sessions,
        skew: options.skew,
        scale: options.scale,
        seed: 1,
    };
    Ok(Open {
        traffic: traffic.start().await?,
        stage,
        project,
        process,
        sides,
    })
}

/// Becomes true at the first SIGINT or SIGTERM.
fn stop_signal() -> Result<Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
        // Kept open, so that a receiver never sees it closed.
        sender.closed().await;
    });
    Ok(receiver)
}

async fn stopped(stop: &mut Receiver<bool>) {
    // It isn't closed before its receivers are gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Draws the picture until the end or a signal.
async fn watch(
    project: &Project,
    process: &mut Process,
    sides: &mut Sides,
    traffic: &TrafficRunning,
    end: Option<Duration>,
    stop: &mut Receiver<bool>,
) -> Result<()> {
    let start = Instant::now();
    let mut screen = Screen::new();
    while end.is_none_or(|end| start.elapsed() < end) {
        process.check_running()?;
        let status = status(project).await?;
        let seen = traffic.seen();
        let mut lines = picture(&status, &seen, screen.is_terminal());
        lines.push(sides.witness().await?.line(&seen));
        lines.push(String::new());
        if screen.is_terminal() {
            lines.push("Ctrl-C stops everything.".to_owned());
        }
        screen.draw(&lines);
        let tick = Duration::from_secs(if screen.is_terminal() { 1 } else { 5 });
        let left = end.map_or(Duration::MAX, |end| end.saturating_sub(start.elapsed()));
        tokio::select! {
            () = tokio::time::sleep(tick.min(left)) => {}
            () = stopped(stop) => break,
        }
    }
    Ok(())
}

async fn judge(project: &Project) -> Result<ExitCode> {
    let start = Instant::now();
    project.wait_caught_up(CAUGHT_UP_LIMIT).await?;
    println!("caught up after {:.1} s\n", start.elapsed().as_secs_f64());
    verdict(project).await
}

async fn status(project: &Project) -> Result<Value> {
    let output = project
        .command(&["status", "--json"], Duration::from_secs(30))
        .await?;
    if output.code != Some(0) {
        bail!("`readside status` failed: {}", output.stderr.trim());
    }
    serde_json::from_str(&output.stdout).context("read what `readside status` printed")
}

/// Where a person finds what, with a document from each sink.
async fn where_to_look(stage: &Stage, project: &Project, sides: &Sides) -> Result<Vec<String>> {
    let admin = project.admin_url();
    let search = stage.search.url();
    let redis_port = stage.redis.port();
    let reports = stage.reporting.url_of("reports");
    let first = |documents: Vec<String>| documents.into_iter().next().unwrap_or_default();
    let (order, product, day) = tokio::try_join!(
        oracle::redis_one(&stage.redis, "order:*"),
        oracle::search(search, "products"),
        oracle::table(&reports, "readside", "dashboard_metrics"),
    )?;
    let (order_key, order) = order.unwrap_or_default();
    Ok(vec![
        "where to look".to_owned(),
        format!("  the shop    {}/", sides.front.url()),
        format!("  commands    {}/commands/…", sides.commands.url()),
        format!("  queries     {}/queries/…", sides.queries.url()),
        format!("  status      {admin}/"),
        format!("  metrics     {admin}/metrics"),
        format!(
            "  readside    readside status --config {}",
            project.config().display()
        ),
        format!("  log         {}", project.log().display()),
        format!("  Postgres    psql {}", stage.source.url_of("shop")),
        format!("  OpenSearch  curl '{search}/products/_search?pretty&size=1'"),
        format!("              {}", first(product)),
        format!("  Redis       redis-cli -p {redis_port} get {order_key}"),
        format!("              {order}"),
        format!("  reporting   psql {reports} -c 'TABLE readside.dashboard_metrics'"),
        format!("              {}", first(day)),
        String::new(),
    ])
}

/// The table of what was compared; exit code 0 only if nothing differs.
pub(crate) async fn verdict(project: &Project) -> Result<ExitCode> {
    let compared = project.compare().await?;
    println!(
        "{:<20} {:<10} {:>9} {:>9} {:>8} {:>6} {:>6}",
        "view", "sink", "Postgres", "sink", "missing", "stale", "ghost"
    );
    let mut equal = true;
    for one in &compared {
        let found = &one.difference;
        println!(
            "{:<20} {:<10} {:>9} {:>9} {:>8} {:>6} {:>6}",
            one.view,
            one.sink,
            found.source_rows,
            found.sink_documents,
            found.missing.len(),
            found.stale.len(),
            found.ghosts.len()
        );
        equal &= found.is_none();
    }
    if equal {
        println!("\nevery view in every sink equals what its SQL returns on Postgres");
        return Ok(ExitCode::SUCCESS);
    }
    for one in compared.iter().filter(|one| !one.difference.is_none()) {
        println!(
            "\nview `{}` in `{}`: {}",
            one.view, one.sink, one.difference
        );
    }
    println!("\nNOT equal");
    Ok(ExitCode::FAILURE)
}

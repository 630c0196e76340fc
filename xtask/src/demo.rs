//! `cargo xtask demo`: the shop, its read models in three stores, and the lag between them, live.
//!
//! In: nothing but this machine. Out: a picture of the pipeline, and with `--seconds` a verdict: exit code 0 only if every view
//! in every sink equals what its SQL returns on Postgres.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use readside_shop::{Load, Running};
use readside_tests::oracle;
use readside_tests::readside::{Process, Project};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Receiver;

use crate::screen::{Screen, picture};
use crate::stage::Stage;

/// `demo`'s options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs so long, stops the load, waits until caught up, compares everything with Postgres, and ends
    #[arg(long)]
    seconds: Option<u64>,
    /// Transactions per second of the shop's customers; 0 is as many as can be
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Connections that make them
    #[arg(long, default_value_t = 4)]
    workers: u32,
    /// The shop's size; 1 is 200 products, 400 customers and 1,000 orders
    #[arg(long, default_value_t = 5)]
    scale: u32,
}

/// How long the first load, and catching up at the end, may take.
const CAUGHT_UP_LIMIT: Duration = Duration::from_secs(300);

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = stop_signal()?;
    let stage = tokio::select! {
        stage = prepare(&options) => stage?,
        () = stopped(&mut stop) => return Ok(ExitCode::SUCCESS),
    };
    let (stage, project, shop) = stage;
    eprintln!("starting `readside run`");
    let mut process = project.run().await?;
    let load = Load {
        url: shop,
        workers: options.workers,
        rate: options.rate,
        seed: 1,
    };
    let load = load.start().await?;
    let end = options.seconds.map(Duration::from_secs);
    let shown = watch(&stage, &project, &mut process, &load, end, &mut stop).await;
    let totals = load.stop().await;
    let code = match shown {
        Ok(_) if *stop.borrow() => {
            println!("\nstopping");
            Ok(ExitCode::SUCCESS)
        }
        Ok(shown) => {
            println!(
                "\nthe load has stopped after {} transactions; waiting until everything has arrived",
                totals.committed
            );
            tokio::select! {
                code = judge(&stage, &project, shown) => code,
                () = stopped(&mut stop) => Ok(ExitCode::SUCCESS),
            }
        }
        Err(error) => Err(error),
    }?;
    let exit = process.stop().await?;
    if exit != Some(0) {
        bail!("`readside run` ended with exit code {exit:?}");
    }
    Ok(code)
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

async fn prepare(options: &Options) -> Result<(Stage, Project, String)> {
    let (stage, _) = tokio::try_join!(Stage::start(), async {
        eprintln!("building readside");
        tokio::task::spawn_blocking(readside_tests::readside::binary).await?
    })?;
    let shop = stage.create_shop(options.scale).await?;
    let project = stage.project(&shop).await?;
    Ok((stage, project, shop))
}

/// Draws the picture until the end or a signal; answers whether it has said where to look.
async fn watch(
    stage: &Stage,
    project: &Project,
    process: &mut Process,
    load: &Running,
    end: Option<Duration>,
    stop: &mut Receiver<bool>,
) -> Result<bool> {
    let start = Instant::now();
    let mut screen = Screen::new();
    let mut shown = false;
    while end.is_none_or(|end| start.elapsed() < end) {
        process.check_running()?;
        let status = status(project).await?;
        if !shown && all_live(&status) {
            shown = true;
            screen.draw(&where_to_look(stage, project).await?);
            screen.keep();
        }
        let tick = Duration::from_secs(if screen.is_terminal() { 1 } else { 5 });
        draw(&mut screen, &status, load, start);
        let left = end.map_or(Duration::MAX, |end| end.saturating_sub(start.elapsed()));
        tokio::select! {
            () = tokio::time::sleep(tick.min(left)) => {}
            () = stopped(stop) => break,
        }
    }
    Ok(shown)
}

async fn judge(stage: &Stage, project: &Project, shown: bool) -> Result<ExitCode> {
    let start = Instant::now();
    project.wait_caught_up(CAUGHT_UP_LIMIT).await?;
    println!("caught up after {:.1} s\n", start.elapsed().as_secs_f64());
    if !shown {
        Screen::new().draw(&where_to_look(stage, project).await?);
    }
    verdict(project).await
}

fn draw(screen: &mut Screen, status: &Value, load: &Running, start: Instant) {
    let mut lines = picture(status, load.totals(), start.elapsed().as_secs());
    lines.push(String::new());
    if screen.is_terminal() {
        lines.push("Ctrl-C stops everything.".to_owned());
    }
    screen.draw(&lines);
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

fn all_live(status: &Value) -> bool {
    let views = status["views"].as_array();
    views.is_some_and(|views| !views.is_empty() && views.iter().all(|view| view["state"] == "live"))
}

/// Where a person finds what, with a document from each sink.
async fn where_to_look(stage: &Stage, project: &Project) -> Result<Vec<String>> {
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

//! `cargo xtask chaos`: the shop under load while everything around readside, and readside itself, is killed and restarted; then
//! the same verdict as the demo's.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use readside_shop::Load;
use readside_tests::readside::{Process, Project};

use crate::demo::verdict;
use crate::stage::Stage;

/// `chaos`' options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long things are broken
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Transactions per second of the shop's customers
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// For the choices [default: by the clock]
    #[arg(long)]
    seed: Option<u64>,
}

const CAUGHT_UP_LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy)]
enum Calamity {
    KillReadside,
    StopReadside,
    CrashRedis,
    HangRedis,
    CrashSearch,
    CrashReporting,
    CrashSource,
    RestartSource,
    HangSource,
}

const CALAMITIES: [Calamity; 9] = [
    Calamity::KillReadside,
    Calamity::StopReadside,
    Calamity::CrashRedis,
    Calamity::HangRedis,
    Calamity::CrashSearch,
    Calamity::CrashReporting,
    Calamity::CrashSource,
    Calamity::RestartSource,
    Calamity::HangSource,
];

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(readside_tests::workload::seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut stage = Stage::start().await?;
    let shop = stage.create_shop(2).await?;
    let project = stage.project(&shop).await?;
    let mut process = project.run().await?;
    let load = Load {
        url: shop,
        workers: 4,
        rate: options.rate,
        seed,
    };
    let load = load.start().await?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(options.seconds) {
        tokio::time::sleep(Duration::from_millis(rng.random_range(500..6000))).await;
        process.check_running()?;
        let calamity = CALAMITIES[rng.random_range(0..CALAMITIES.len())];
        let pause = Duration::from_millis(rng.random_range(0..4000));
        println!(
            "{:>5.1} s  {calamity:?} for {:.1} s",
            start.elapsed().as_secs_f64(),
            pause.as_secs_f64()
        );
        process = strike(calamity, pause, &mut stage, &project, process).await?;
    }
    let totals = load.stop().await;
    println!(
        "{} transactions committed, {} failed",
        totals.committed, totals.failed
    );
    project.wait_caught_up(CAUGHT_UP_LIMIT).await?;
    let code = verdict(&project).await?;
    process.stop().await?;
    if code != ExitCode::SUCCESS {
        println!("seed {seed}");
    }
    Ok(code)
}

/// Breaks something, waits, and mends it.
async fn strike(
    calamity: Calamity,
    pause: Duration,
    stage: &mut Stage,
    project: &Project,
    process: Process,
) -> Result<Process> {
    let pause = tokio::time::sleep(pause);
    match calamity {
        Calamity::KillReadside => {
            process.kill9().await?;
            pause.await;
            return project.run().await;
        }
        Calamity::StopReadside => {
            process.stop().await?;
            pause.await;
            return project.run().await;
        }
        Calamity::CrashRedis => {
            stage.redis.crash().await?;
            pause.await;
            stage.redis.restart().await?;
        }
        Calamity::HangRedis => {
            stage.redis.sigstop()?;
            pause.await;
            stage.redis.sigcont()?;
        }
        Calamity::CrashSearch => {
            stage.search.crash().await?;
            pause.await;
            stage.search.restart().await?;
        }
        Calamity::CrashReporting => {
            stage.reporting.crash().await?;
            pause.await;
            stage.reporting.restart().await?;
        }
        Calamity::CrashSource => {
            stage.source.crash().await?;
            pause.await;
            stage.source.restart().await?;
        }
        Calamity::RestartSource => {
            stage.source.stop_fast().await?;
            pause.await;
            stage.source.restart().await?;
        }
        Calamity::HangSource => {
            stage.source.sigstop()?;
            pause.await;
            stage.source.sigcont()?;
        }
    }
    Ok(process)
}

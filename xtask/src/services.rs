//! The servers alone, for trying things by hand.

use std::process::ExitCode;

use anyhow::Result;

use crate::stage::Stage;

pub(crate) async fn run() -> Result<ExitCode> {
    let stage = Stage::start().await?;
    println!("source     {}", stage.source.url());
    println!("reporting  {}", stage.reporting.url());
    println!("redis      {}", stage.redis.url());
    println!("opensearch {}", stage.search.url());
    println!("Ctrl-C stops them and removes their data.");
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

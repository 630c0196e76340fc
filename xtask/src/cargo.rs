//! Runs cargo.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args);
    command
}

/// Fetches the servers, builds the binary, and runs the workspace's tests.
pub(crate) fn test(filter: Option<&str>) -> Result<ExitCode> {
    let start = Instant::now();
    readside_tests::setup::fetch_all()?;
    readside_tests::readside::binary()?;
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.args(filter);
    let status = tests.status().context("run `cargo test`")?;
    println!(
        "tests {} after {} s",
        if status.success() { "passed" } else { "failed" },
        start.elapsed().as_secs()
    );
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

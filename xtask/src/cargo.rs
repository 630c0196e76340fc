//! Runs cargo.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

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

/// The binary as it is released, brought up to date.
pub(crate) fn release_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("READSIDE_BIN") {
        return Ok(path.into());
    }
    eprintln!("building readside as it is released");
    let status = cargo(&["build", "--quiet", "--release", "--package", "readside"])
        .status()
        .context("run `cargo build`")?;
    if !status.success() {
        bail!("`cargo build --release` failed");
    }
    let ours = std::env::current_exe().context("the path of this program")?;
    let target = ours.ancestors().nth(2).context("the target directory")?;
    Ok(target.join("release/readside"))
}

/// Runs the decoder's fuzz target.
pub(crate) fn fuzz(seconds: u32) -> Result<ExitCode> {
    // By rustup's proxy: the cargo that runs us has a fixed toolchain.
    let status = Command::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "run", "decode", "--"])
        .arg(format!("-max_total_time={seconds}"))
        .current_dir(readside_tests::workspace().join("crates/pgoutput"))
        .status()
        .context("run `rustup`")?;
    if !status.success() {
        bail!(
            "the fuzz target failed or can't be run\n  hint: rustup toolchain install nightly && cargo install cargo-fuzz"
        );
    }
    Ok(ExitCode::SUCCESS)
}

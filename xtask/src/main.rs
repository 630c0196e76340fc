//! What a person types: `cargo xtask demo`, `cargo xtask test` and the rest.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program prints"
)]

mod bench;
mod cargo;
mod chaos;
mod demo;
mod licences;
mod screen;
mod services;
mod sides;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests and shows readside with real servers on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Installs (as root) or names what is missing, and fetches the servers
    Setup,
    /// Runs all tests on real servers
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Shows the shop's two sides and the read models between them, live; Ctrl-C ends it
    Demo(demo::Options),
    /// Measures catching up and freshness, against Postgres' own tools in the same run
    Bench(bench::Options),
    /// Runs the shop while everything is killed and restarted, and compares
    Chaos(chaos::Options),
    /// Feeds the replication decoder random bytes (needs a nightly compiler and cargo-fuzz)
    Fuzz {
        /// For so long
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Starts Postgres, Redis and OpenSearch, and prints how to reach them; Ctrl-C stops them
    Services,
    /// Checks that every dependency's licence is allowed, and against advisories where they can be reached
    Licences,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Setup => {
            readside_tests::setup::fetch_all()?;
            println!(
                "everything is there; fetched servers are in `{}`",
                readside_tests::cache_dir().display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { filter } => cargo::test(filter.as_deref()),
        Command::Demo(options) => wait_for(demo::run(options)),
        Command::Bench(options) => wait_for(bench::run(options)),
        Command::Chaos(options) => wait_for(chaos::run(options)),
        Command::Fuzz { seconds } => cargo::fuzz(seconds),
        Command::Services => wait_for(services::run()),
        Command::Licences => licences::check(),
    }
}

fn wait_for(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

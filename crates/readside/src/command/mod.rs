//! The commands: from parsed arguments to an exit code.
//!
//! In: a command line and the environment. Out: results on stdout, everything else on stderr, one of the codes of [`crate::exit`].

mod check;
mod dead_letters;
mod drop;
mod explain;
mod preview;
mod rebuild;
mod run;
pub(crate) mod status;
mod verify;
mod wait;

use std::process::ExitCode;

use clap::Parser;
use readside_telemetry::{LogFormat, LogOptions, start_logging};

use crate::cli::{Cli, Command, Global};
use crate::client::Client;
use crate::config::{Config, Secret, Surroundings, load_admin};
use crate::exit::Failure;
use crate::output::{Output, colour_wanted};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    // Prints help and usage errors itself; the latter end with exit code 2.
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    match start(cli, &output) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output.note(format_args!("error: {failure}"));
            ExitCode::from(failure.code)
        }
    }
}

fn start(cli: Cli, output: &Output) -> Result<u8, Failure> {
    logging(&cli)?;
    crate::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::stopped)?;
    runtime.block_on(dispatch(cli, output))
}

fn logging(cli: &Cli) -> Result<(), Failure> {
    let default = match cli.command {
        Command::Run(_) => "info",
        _ => "warn",
    };
    let filter = cli
        .global
        .log
        .clone()
        .or_else(|| std::env::var("RUST_LOG").ok().filter(|f| !f.is_empty()))
        .unwrap_or_else(|| default.to_owned());
    let format = cli
        .global
        .log_format
        .parse::<LogFormat>()
        .map_err(Failure::refused)?;
    start_logging(&LogOptions {
        format,
        filter,
        colour: colour_wanted(),
    })
    .map_err(Failure::refused)
}

async fn dispatch(cli: Cli, output: &Output) -> Result<u8, Failure> {
    let global = cli.global;
    let ending = match cli.command {
        Command::Check(args) => return check::check(&global, &args, output).await,
        Command::Preview(args) => {
            preview::preview(&configuration(&global, output)?, &args, output).await
        }
        Command::Explain(args) => {
            explain::explain(&configuration(&global, output)?, &args, output).await
        }
        Command::Drop(args) => drop::drop(&configuration(&global, output)?, &args, output).await,
        Command::Status(_) => status::status(&client(&global)?, output).await,
        Command::Wait(args) => wait::wait(&client(&global)?, args, output).await,
        Command::Verify(args) => verify::verify(&client(&global)?, args, output).await,
        Command::Rebuild(args) => rebuild::rebuild(&client(&global)?, args, output).await,
        Command::DeadLetters(args) => {
            dead_letters::dead_letters(&client(&global)?, args, output).await
        }
        Command::Run(args) => run::run(&configuration(&global, output)?, &args, output).await,
    }?;
    Ok(ending.code())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn surroundings(global: &Global, resolve_secrets: bool) -> Surroundings<'static> {
    Surroundings {
        variable: &variable,
        resolve_secrets,
        listen: global.listen.clone(),
        token: global.token.clone().map(Secret::new),
    }
}

/// The whole configuration, its warnings told.
fn configuration(global: &Global, output: &Output) -> Result<Config, Failure> {
    let config = Config::load(&global.config_file(), &surroundings(global, true))?;
    for warning in &config.warnings {
        output.note(format_args!("warning: {warning}"));
    }
    Ok(config)
}

/// A client of the running process; the rest of the configuration may be broken.
fn client(global: &Global) -> Result<Client, Failure> {
    Client::new(load_admin(
        global.config.as_deref(),
        &surroundings(global, true),
    )?)
}

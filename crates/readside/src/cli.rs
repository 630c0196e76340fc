//! The command line: what can be asked for, each flag also an environment variable `READSIDE_<FLAG>`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use crate::config::{DEFAULT_FILE, parse_duration};
use crate::position::WantedLsn;

const EXAMPLES: &str = "\
Examples:
  readside check                          find everything that is wrong, before it matters
  readside explain order_search           see how a view is kept fresh
  readside run                            keep all views fresh until stopped
  readside wait --view order_search       read your own writes
  readside verify --json                  compare every sink with the source

Exit codes:
  0  done
  1  checked, and it is not so: behind, differs, findings
  2  command line, configuration or SQL refused
  3  source, sink or running readside not reachable
  4  stopped, the operator has to do something first

Every flag is also an environment variable: --config is READSIDE_CONFIG.";

/// The read side of CQRS as one program: SQL read models, kept fresh in Elasticsearch, Redis and Postgres.
#[derive(Debug, Parser)]
#[command(name = "readside", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The configuration file [default: readside.toml]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "READSIDE_CONFIG",
        hide_env = true
    )]
    pub config: Option<PathBuf>,
    /// Print results as JSON, for scripts
    #[arg(long, global = true, env = "READSIDE_JSON", hide_env = true, value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Where `run` serves and the other commands look for it [default: admin.listen, else 127.0.0.1:7377]
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "READSIDE_LISTEN",
        hide_env = true
    )]
    pub listen: Option<String>,
    /// What has to be shown to a server that is not on loopback [default: admin.token]
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "READSIDE_TOKEN",
        hide_env = true
    )]
    pub token: Option<String>,
    /// What to log, such as `info` or `warn,readside_source=debug` [default: RUST_LOG, else info for `run` and warn otherwise]
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "READSIDE_LOG",
        hide_env = true
    )]
    pub log: Option<String>,
    /// The form of log lines
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "READSIDE_LOG_FORMAT",
        hide_env = true,
        default_value = "text",
        value_parser = ["text", "json"]
    )]
    pub log_format: String,
}

impl Global {
    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check configuration, source, sinks and views: every problem at once, with the SQL that mends it
    Check(CheckArgs),
    /// Show some rows of a view, as each sink would get them
    Preview(PreviewArgs),
    /// Show a view's plan: key, stages, paths, indexes, and what a change costs
    Explain(ExplainArgs),
    /// Keep all views fresh, until stopped
    Run(RunArgs),
    /// Show source, slot, views and sinks: lag, pending keys, rates, state, errors
    Status(StatusArgs),
    /// Wait until views have reached an LSN, so that you read your own writes
    Wait(WaitArgs),
    /// Compare sinks with what the views' SQL returns on the source
    Verify(VerifyArgs),
    /// Fill views anew from local state and write every row again, while they stay current
    Rebuild(RebuildArgs),
    /// List the documents that sinks refused, and the rows that have no value
    DeadLetters(DeadLettersArgs),
    /// Remove what readside created on the source, and on sinks if asked
    Drop(DropArgs),
}

/// `check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside check                 source, sinks and views
  readside check --offline       configuration and SQL syntax only, without secrets or a database")]
pub struct CheckArgs {
    /// Without a database: configuration and SQL syntax only
    #[arg(long, env = "READSIDE_OFFLINE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub offline: bool,
}

/// `preview`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside preview order_search
  readside preview order_search --sink cache --limit 1")]
pub struct PreviewArgs {
    /// The view
    pub view: String,
    /// At most so many rows
    #[arg(
        long,
        value_name = "ROWS",
        default_value_t = 5,
        env = "READSIDE_LIMIT",
        hide_env = true
    )]
    pub limit: u32,
    /// In this sink's form only
    #[arg(long, value_name = "SINK", env = "READSIDE_SINK", hide_env = true)]
    pub sink: Option<String>,
}

/// `explain`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside explain order_search
  readside explain order_search --json")]
pub struct ExplainArgs {
    /// The view
    pub view: String,
}

/// `run`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside run
  readside run --until-caught-up          load, catch up with the source as it is now, and stop
  readside run --listen 127.0.0.1:9000    serve status, metrics and the API there

Publication and slot are created where they are missing and the role may; else the SQL for whoever
may is printed, and the exit code is 4. SIGTERM and SIGINT end it cleanly within seconds.")]
pub struct RunArgs {
    /// Stop once every view has reached where the source is now
    #[arg(long, env = "READSIDE_UNTIL_CAUGHT_UP", hide_env = true, value_parser = FalseyValueParser::new())]
    pub until_caught_up: bool,
}

/// `status`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside status
  readside status --json | jq '.views[] | {view, sink, lag_seconds}'")]
pub struct StatusArgs {}

/// `wait`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside wait                                        all views, to where the source is now
  readside wait --view orders --sink cache             one view in one sink
  readside wait --lsn 16/B374D848 --timeout 10s        to an LSN, exit code 1 after 10 seconds
  readside wait --lsn 1:16/B374D848                    to an LSN of time line 1")]
pub struct WaitArgs {
    /// Only this view (may be repeated)
    #[arg(
        long = "view",
        value_name = "VIEW",
        env = "READSIDE_VIEW",
        hide_env = true,
        value_delimiter = ','
    )]
    pub views: Vec<String>,
    /// Only in this sink (may be repeated)
    #[arg(
        long = "sink",
        value_name = "SINK",
        env = "READSIDE_SINK",
        hide_env = true,
        value_delimiter = ','
    )]
    pub sinks: Vec<String>,
    /// The LSN: `X/Y`, or `TLI:X/Y` with its time line [default: the source's pg_current_wal_insert_lsn()]
    #[arg(long, value_name = "LSN", env = "READSIDE_LSN", hide_env = true)]
    pub lsn: Option<WantedLsn>,
    /// Give up after this long, with exit code 1 [default: never]
    #[arg(long, value_name = "DURATION", env = "READSIDE_TIMEOUT", hide_env = true, value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `verify`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside verify                       every view in every sink
  readside verify order_search --json
  readside verify --repair              write what differs again")]
pub struct VerifyArgs {
    /// These views [default: all]
    #[arg(value_name = "VIEW")]
    pub views: Vec<String>,
    /// Mark what differs, so that it is written again
    #[arg(long, env = "READSIDE_REPAIR", hide_env = true, value_parser = FalseyValueParser::new())]
    pub repair: bool,
}

/// `rebuild`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside rebuild order_search                    returns when every row has been written again
  readside rebuild order_search --rate 5000        at most 5,000 rows per second
  readside rebuild order_search --cancel

Ctrl-C detaches: the rebuild goes on, `readside status` shows it, and the same command watches it
again. A restart goes on with it. The source is not asked for anything.")]
pub struct RebuildArgs {
    /// These views
    #[arg(value_name = "VIEW", required = true)]
    pub views: Vec<String>,
    /// Give their rebuilds up
    #[arg(long, env = "READSIDE_CANCEL", hide_env = true, value_parser = FalseyValueParser::new(), conflicts_with = "rate")]
    pub cancel: bool,
    /// At most so many rows per second
    #[arg(long, value_name = "ROWS", env = "READSIDE_RATE", hide_env = true)]
    pub rate: Option<u64>,
}

/// `dead-letters`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside dead-letters
  readside dead-letters --view order_search --limit 10 --json")]
pub struct DeadLettersArgs {
    /// Only of this view
    #[arg(long, value_name = "VIEW", env = "READSIDE_VIEW", hide_env = true)]
    pub view: Option<String>,
    /// Only in this sink
    #[arg(long, value_name = "SINK", env = "READSIDE_SINK", hide_env = true)]
    pub sink: Option<String>,
    /// At most so many
    #[arg(
        long,
        value_name = "KEYS",
        default_value_t = 100,
        env = "READSIDE_LIMIT",
        hide_env = true
    )]
    pub limit: usize,
}

/// `drop`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  readside drop                    publication and slot, after asking
  readside drop --sinks --yes      also what was written into the sinks, without asking")]
pub struct DropArgs {
    /// Also what readside wrote into the sinks
    #[arg(long, env = "READSIDE_SINKS", hide_env = true, value_parser = FalseyValueParser::new())]
    pub sinks: bool,
    /// Don't ask
    #[arg(long, env = "READSIDE_YES", hide_env = true, value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn commands() -> Vec<clap::Command> {
        let mut all = vec![Cli::command()];
        all.extend(Cli::command().get_subcommands().cloned());
        all
    }

    #[test]
    fn every_flag_is_an_environment_variable_of_its_name() {
        Cli::command().debug_assert();
        let mut seen = 0;
        for command in commands() {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long() else { continue };
                let expected = format!("READSIDE_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(
                    arg.get_env().and_then(|e| e.to_str()),
                    Some(expected.as_str()),
                    "--{long} of {}",
                    command.get_name()
                );
                seen += 1;
            }
        }
        assert!(seen > 15, "{seen}");
    }

    #[test]
    fn every_command_shows_examples() {
        for command in commands() {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|h| h.starts_with("Examples:")),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn flags_may_stand_after_the_command() {
        let cli = Cli::try_parse_from([
            "readside",
            "wait",
            "--config",
            "x.toml",
            "--lsn",
            "1:16/B374D848",
            "--timeout",
            "1m",
        ])
        .unwrap();
        assert_eq!(cli.global.config_file(), PathBuf::from("x.toml"));
        let Command::Wait(wait) = cli.command else {
            panic!("not wait");
        };
        assert_eq!(wait.timeout, Some(Duration::from_secs(60)));
        assert_eq!(wait.lsn.unwrap().timeline, Some(1));
    }
}

//! Tracing set-up: what is logged, in which form, to stderr.
//!
//! In: the options that the command line and the environment gave. Out: a global subscriber.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(LogError::Format(other.to_owned())),
        }
    }
}

/// What to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The form of a line.
    pub format: LogFormat,
    /// `target=level` directives, as `tracing` has them.
    pub filter: String,
    /// Colours where stderr is a terminal; `NO_COLOR` asks for `false`.
    pub colour: bool,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An unknown format.
    #[error("log format `{0}` is unknown\n  hint: use `text` or `json`")]
    Format(String),
    /// A filter that can't be read.
    #[error(
        "log filter `{filter}` can't be read: {source}\n  hint: a filter looks like `info,readside_source=debug`"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody was first.
    #[error("logging has been started already")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging to stderr for the whole process.
///
/// # Errors
/// A filter that can't be read, or a second start.
pub fn start_logging(options: &LogOptions) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::builder()
        .parse(&options.filter)
        .map_err(|source| LogError::Filter {
            filter: options.filter.clone(),
            source,
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match options.format {
        LogFormat::Text => builder
            .with_ansi(options.colour && std::io::stderr().is_terminal())
            .with_target(false)
            .finish()
            .try_init()?,
        LogFormat::Json => builder
            .with_ansi(false)
            .json()
            .flatten_event(true)
            .finish()
            .try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = start_logging(&LogOptions {
            format: LogFormat::Text,
            filter: "readside=loudly".to_owned(),
            colour: false,
        })
        .expect_err("refused");
        assert!(error.to_string().contains("`readside=loudly`"), "{error}");
        assert!("xml".parse::<LogFormat>().is_err());
    }
}

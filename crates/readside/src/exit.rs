//! How a command ends: exit codes that scripts may rely on, and what goes to stderr before them.

use std::fmt;

use readside_pipeline::ControlError;
use readside_sink::SinkError;
use readside_source::{Remedy, SourceError};

use crate::config::ConfigError;

/// Done.
pub const DONE: u8 = 0;
/// Checked, and it is not so: behind, differs, findings.
pub const NOT_SO: u8 = 1;
/// Command line, configuration or SQL refused.
pub const REFUSED: u8 = 2;
/// Source, sink or running `readside` not reachable.
pub const UNREACHABLE: u8 = 3;
/// Stopped: the operator has to do something first.
pub const STOPPED: u8 = 4;

/// How a command that did what it was asked to has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// [`DONE`]
    Done,
    /// [`NOT_SO`]
    NotSo,
}

impl Ending {
    /// [`Ending::Done`] if `so`.
    #[must_use]
    pub fn when(so: bool) -> Ending {
        if so { Ending::Done } else { Ending::NotSo }
    }

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Ending::Done => DONE,
            Ending::NotSo => NOT_SO,
        }
    }
}

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened, and what to do; several lines.
    pub message: String,
}

impl Failure {
    /// Configuration, command line or SQL that can't be used.
    #[must_use]
    pub fn refused(message: impl fmt::Display) -> Failure {
        Failure {
            code: REFUSED,
            message: message.to_string(),
        }
    }

    /// Somebody does not answer.
    #[must_use]
    pub fn unreachable(message: impl fmt::Display) -> Failure {
        Failure {
            code: UNREACHABLE,
            message: message.to_string(),
        }
    }

    /// The operator has to do something first.
    #[must_use]
    pub fn stopped(message: impl fmt::Display) -> Failure {
        Failure {
            code: STOPPED,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::refused(error)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        match error.remedy() {
            Remedy::Retry => Failure::unreachable(error),
            Remedy::Operator | Remedy::Resynchronise => Failure::stopped(error),
        }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Failure {
        match error {
            SinkError::Unavailable(_) => Failure::unreachable(error),
            SinkError::Fenced(_) | SinkError::Operator { .. } | SinkError::Lost(_) => {
                Failure::stopped(error)
            }
        }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        match error {
            ControlError::Unknown { .. } | ControlError::Refused(_) => Failure::refused(error),
            ControlError::Unavailable(_) => Failure::unreachable(error),
            ControlError::Failed(_) => Failure::stopped(error),
        }
    }
}

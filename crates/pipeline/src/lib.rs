//! Wiring: capture, projection, writers, loads, verify, shutdown. The only crate that spawns tasks.
//!
//! In: a [`RunConfig`]. Out: sinks that are kept up to date, and a [`Control`] to ask and command the whole.
//!
//! Always: data flows one way, source to changelog to state to sinks, and confirmations and acknowledgements the other way; each
//! hand-over is durable before the one behind it is let go.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod answers;
mod capture;
mod config;
mod control;
mod digest;
mod error;
mod facts;
mod failpoint;
mod horizon;
mod interrupt;
mod loader;
#[cfg(test)]
mod machine;
mod opening;
mod projector;
mod rebuild;
mod rendering;
mod repair;
mod run;
mod startup;
mod verify;
mod watchdog;
mod writer;

pub use config::{IntoConfig, Limits, RunConfig, ViewConfig};
pub use control::{
    ChangelogStatus, Control, ControlError, DeadLetter, DeadLetters, DeadLettersRequest,
    LoadStatus, Phase, ProjectionStatus, Readiness, RebuildAnswer, RebuildPhase, RebuildProgress,
    RebuildRequest, SinkStatus, SourceStatus, Status, VerifiedView, VerifyReport, VerifyRequest,
    ViewState, ViewStatus, WaitAnswer, WaitRequest, WaitedView, stream_lsn,
};
pub use error::{PipelineError, PipelineRemedy};
pub use failpoint::FAILPOINTS;
pub use run::{Pipeline, RunOutcome};
pub use startup::layout_of;

//! Wiring: capture, projection, writers, loads, verify, shutdown. The only crate that spawns tasks.

mod control;

pub use control::{
    ChangelogStatus, Control, ControlError, DeadLetter, DeadLetters, DeadLettersRequest,
    LoadStatus, Phase, ProjectionStatus, Readiness, SinkStatus, SourceStatus, Status, VerifiedView,
    VerifyReport, VerifyRequest, ViewState, ViewStatus, WaitAnswer, WaitRequest, WaitedView,
    stream_lsn,
};

//! What answers before there is a pipeline: alive, not ready, and why.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use readside_model::Lsn;
use readside_pipeline::{
    ChangelogStatus, Control, ControlError, DeadLetters, DeadLettersRequest, Phase,
    ProjectionStatus, Readiness, SourceStatus, Status, VerifyReport, VerifyRequest, WaitAnswer,
    WaitRequest,
};

use crate::config::Config;

/// Stands in until the pipeline takes over.
#[derive(Debug)]
pub(crate) struct Starting {
    since: Instant,
    database: String,
    publication: String,
    slot: String,
    error: Mutex<Option<String>>,
}

impl Starting {
    pub(crate) fn new(config: &Config) -> Starting {
        Starting {
            since: Instant::now(),
            database: config.source.connection.database.clone(),
            publication: config.source.publication.clone(),
            slot: config.source.slot.clone(),
            error: Mutex::new(None),
        }
    }

    fn error(&self) -> Option<String> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn not_yet(&self) -> ControlError {
        ControlError::Unavailable(match self.error() {
            Some(error) => format!("readside is still starting: {error}"),
            None => "readside is still starting\n  hint: try again in a moment".to_owned(),
        })
    }
}

#[async_trait]
impl Control for Starting {
    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: String::new(),
            uptime_seconds: self.since.elapsed().as_secs_f64(),
            phase: Phase::Starting,
            error: None,
            source: SourceStatus {
                connected: false,
                disconnected_seconds: Some(self.since.elapsed().as_secs_f64()),
                error: self.error(),
                database: self.database.clone(),
                system_id: None,
                timeline: None,
                publication: self.publication.clone(),
                slot: self.slot.clone(),
                slot_state: None,
                slot_retained_bytes: None,
                slot_safe_bytes: None,
                lsn: None,
                confirmed_lsn: None,
                lag_bytes: None,
                transactions_per_second: 0.0,
                changes_per_second: 0.0,
            },
            changelog: ChangelogStatus {
                durable_lsn: Lsn::ZERO,
                bytes: 0,
                bytes_max: None,
            },
            projection: ProjectionStatus {
                published_lsn: Lsn::ZERO,
                lag_bytes: 0,
                state_bytes: 0,
            },
            loads: Vec::new(),
            sinks: Vec::new(),
            views: Vec::new(),
        }
    }

    fn healthy(&self) -> bool {
        true
    }

    fn readiness(&self) -> Readiness {
        let mut reasons = vec!["readside is starting".to_owned()];
        reasons.extend(self.error());
        Readiness {
            ready: false,
            reasons,
        }
    }

    async fn wait(&self, _: WaitRequest) -> Result<WaitAnswer, ControlError> {
        Err(self.not_yet())
    }

    async fn verify(&self, _: VerifyRequest) -> Result<VerifyReport, ControlError> {
        Err(self.not_yet())
    }

    async fn dead_letters(&self, _: DeadLettersRequest) -> Result<DeadLetters, ControlError> {
        Err(self.not_yet())
    }
}

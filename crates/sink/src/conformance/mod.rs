//! What every sink has to keep, as a suite to be run against its real server.
//!
//! In: a [`Probe`], which makes sinks and looks into the server past them. Out: nothing, or the first promise that was broken.
//!
//! Each case uses views of its own, so one server serves the whole suite.

mod cases;
mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use readside_model::Body;

use crate::{Sink, SinkError, ViewTarget};

/// A server, seen past its sink.
#[async_trait]
pub trait Probe: Send + Sync {
    /// A new sink, as a process with this instance and owner epoch makes it.
    fn open(&self, instance: &str, owner_epoch: &str) -> Result<Arc<dyn Sink>, SinkError>;

    /// Where a view of this name goes; nothing is there yet.
    fn location(&self, view: &str) -> String;

    /// What readers see of a view: key text → document, without help from the sink.
    async fn content(&self, target: &ViewTarget) -> Result<BTreeMap<String, Body>, Violation>;

    /// Adds a row to a view's place that readside never wrote.
    async fn plant_ghost(
        &self,
        target: &ViewTarget,
        key: &str,
        body: &Body,
    ) -> Result<(), Violation>;

    /// Puts something of another owner next to a view's place, as near as can be.
    async fn plant_foreign(&self, target: &ViewTarget) -> Result<(), Violation>;

    /// Whether that is still there.
    async fn foreign_is_intact(&self, target: &ViewTarget) -> Result<bool, Violation>;

    /// Makes a place that [`Sink::prepare`] has to refuse, if there is such a thing; answers with its location.
    async fn occupy(&self, view: &str) -> Result<Option<String>, Violation>;

    /// Removes a view's place with all that is in it; false if this kind of sink has no such thing.
    async fn remove_place(&self, target: &ViewTarget) -> Result<bool, Violation>;

    /// Removes the marker of an instance.
    async fn remove_marker(&self, instance: &str) -> Result<(), Violation>;

    /// A row of `(id bigint, name text)` that the server refuses, if it refuses any.
    fn refused_body(&self, id: i64) -> Option<Body>;

    /// Whether a stale write after a newer one is not applied.
    fn keeps_versions(&self) -> bool;

    /// Stops and starts the server, keeping its data.
    async fn restart_server(&self) -> Result<(), Violation>;
}

/// A promise that was broken, or a server that could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// A promise of the contract does not hold.
    #[error("{case}: {what}")]
    Broken {
        /// Which.
        case: &'static str,
        /// How.
        what: String,
    },
    /// The sink failed where it must not.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The probe failed.
    #[error("probe: {0}")]
    Probe(String),
}

/// Runs the whole suite.
///
/// # Errors
/// The first broken promise.
pub async fn run(probe: &dyn Probe) -> Result<(), Violation> {
    cases::check_and_prepare_are_repeatable(probe).await?;
    cases::redelivery_changes_nothing(probe).await?;
    cases::deletes_of_absent_keys_succeed(probe).await?;
    cases::the_last_version_wins(probe).await?;
    cases::every_key_has_its_own_row(probe).await?;
    cases::a_global_aggregate_has_one_row(probe).await?;
    cases::a_refused_row_does_not_stop_the_rest(probe).await?;
    cases::a_write_may_be_larger_than_one_request(probe).await?;
    cases::an_empty_batch_is_applied(probe).await?;
    cases::reading_finds_every_row_and_ghosts(probe).await?;
    cases::the_marker_comes_back_and_fences(probe).await?;
    cases::a_place_that_was_lost_is_not_in_the_marker(probe).await?;
    cases::a_cancelled_write_cannot_take_effect_after_a_fence(probe).await?;
    cases::writing_goes_on_after_a_restart_of_the_server(probe).await?;
    cases::dropping_leaves_what_others_own(probe).await?;
    Ok(())
}

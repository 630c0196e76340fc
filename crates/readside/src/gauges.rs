//! What a status says, as gauges: read at each scrape, so that `/metrics` and `status` never tell different things.
//!
//! In: a status. Out: gauges set. What is not known is absent; the source's last words are kept while it does not answer, which
//! `readside_source_connected` tells.

use readside_pipeline::{Phase, Status, ViewState};
use readside_telemetry::{Metrics, Retained};

use crate::command::status::{phase_name, state_name};

const PHASES: [Phase; 5] = [
    Phase::Starting,
    Phase::Loading,
    Phase::Running,
    Phase::Stopping,
    Phase::Halted,
];
const STATES: [ViewState; 6] = [
    ViewState::Loading,
    ViewState::Filling,
    ViewState::Live,
    ViewState::Retrying,
    ViewState::Paused,
    ViewState::Halted,
];
const SLOT_STATES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

pub(crate) fn record(status: &Status, metrics: &Metrics) {
    let source = &status.source;
    metrics.set_phase(&PHASES.map(phase_name), phase_name(status.phase));
    metrics.set_source_connected(source.connected);
    if let Some(bytes) = source.lag_bytes {
        metrics.set_source_lag_bytes(bytes);
    }
    if let Some(seconds) = source.lag_seconds {
        metrics.set_source_lag_seconds(seconds);
    }
    metrics.set_slot_state(&SLOT_STATES, source.slot_state.as_deref());
    if source.slot_state.is_some() {
        metrics.set_slot_retained(Retained {
            bytes: source.slot_retained_bytes.unwrap_or(0),
            safe_bytes: source.slot_safe_bytes,
        });
    }
    metrics.set_changelog_bytes(status.changelog.bytes);
    if let Some(bytes) = status.changelog.bytes_max {
        metrics.set_changelog_bytes_max(bytes);
    }
    metrics.set_projection_lag_bytes(status.projection.lag_bytes);
    metrics.set_projection_lag_seconds(status.projection.lag_seconds);
    metrics.set_state_bytes(status.projection.state_bytes);
    if let Some(bytes) = status.projection.state_bytes_max {
        metrics.set_state_bytes_max(bytes);
    }
    for sink in &status.sinks {
        metrics.sink(&sink.sink).set_up(sink.up);
    }
    for view in &status.views {
        let gauges = metrics.view_sink(&view.view, &view.sink);
        gauges.set_state(&STATES.map(state_name), state_name(view.state));
        gauges.set_lag_seconds(view.lag_seconds);
        gauges.set_lag_max_seconds(view.lag_max_seconds);
        gauges.set_lag_bytes(view.lag_bytes);
        gauges.set_pending_keys(view.pending_keys);
        gauges.set_pending_seconds(view.pending_seconds);
        gauges.set_dead_letters(view.dead_letters);
        gauges.set_rebuild_progress(view.rebuild_progress);
    }
}

//! What a status says, as gauges: read at each scrape, so that `/metrics` and `status` never tell different things.
//!
//! In: a status. Out: gauges set; what is not known is left as it is.

use readside_pipeline::Status;
use readside_telemetry::{Metrics, Retained};

pub(crate) fn record(status: &Status, metrics: &Metrics) {
    let source = &status.source;
    metrics.set_source_connected(source.connected);
    if let Some(bytes) = source.lag_bytes {
        metrics.set_source_lag_bytes(bytes);
    }
    if let Some(bytes) = source.slot_retained_bytes {
        metrics.set_slot_retained(Retained {
            bytes,
            safe_bytes: source.slot_safe_bytes,
        });
    }
    metrics.set_changelog_bytes(status.changelog.bytes);
    metrics.set_projection_lag_bytes(status.projection.lag_bytes);
    metrics.set_state_bytes(status.projection.state_bytes);
    for sink in &status.sinks {
        metrics.sink(&sink.sink).set_up(sink.up);
    }
    for view in &status.views {
        let gauges = metrics.view_sink(&view.view, &view.sink);
        if let Some(seconds) = view.lag_seconds {
            gauges.set_lag_seconds(seconds);
        }
        if let Some(bytes) = view.lag_bytes {
            gauges.set_lag_bytes(bytes);
        }
        gauges.set_pending_keys(view.pending_keys);
        gauges.set_dead_letters(view.dead_letters);
        gauges.set_rebuild_progress(view.rebuild_progress);
    }
}

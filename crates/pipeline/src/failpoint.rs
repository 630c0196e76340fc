//! Places where a test kills the process: `READSIDE_FAILPOINT=name[:n]` ends it, without any clean-up, when it gets to `name` for the
//! n-th time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
static HITS: AtomicU64 = AtomicU64::new(0);

/// Every place, in the order in which a change gets to them.
pub const FAILPOINTS: [&str; 12] = [
    "changelog.appended",
    "changelog.synced",
    "load.copied",
    "load.adopted",
    "fill.done",
    "projection.applied",
    "projection.committed",
    "state.flushed",
    "writer.rendered",
    "writer.acknowledged",
    "writer.cleared",
    "marker.written",
];

/// Ends the process here if a test asked for it.
pub(crate) fn failpoint(name: &str) {
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("READSIDE_FAILPOINT").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), count.parse().ok()?))
    });
    if let Some((wanted, count)) = armed
        && wanted == name
        && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *count
    {
        std::process::abort();
    }
}

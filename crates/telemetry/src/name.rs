//! Every metric's name, in one place.
//!
//! Always: `readside_<subsystem>_<what>_<unit>[_total]`, labelled only from bounded sets (`view`, `sink`, `table`, `outcome`).
//! Dashboards and alert rules may use these names and no others.

/// Gauge: 1 while the replication connection streams, else 0.
pub const SOURCE_CONNECTED: &str = "readside_source_connected";
/// Gauge, bytes: the source's end of WAL minus what is durable in the changelog.
pub const SOURCE_LAG_BYTES: &str = "readside_source_lag_bytes";
/// Gauge, seconds: for how long the changelog has not had what the source is known to have written; a source that says nothing
/// counts as ahead. 0 while it is up to date.
pub const SOURCE_LAG_SECONDS: &str = "readside_source_lag_seconds";
/// Gauge, bytes: WAL that the source keeps because of our slot.
pub const SLOT_RETAINED_BYTES: &str = "readside_slot_retained_bytes";
/// Gauge, bytes: WAL that may still be written before the slot is in danger; `+Inf` where the source sets no limit.
pub const SLOT_SAFE_BYTES: &str = "readside_slot_safe_bytes";
/// Gauge by `state` (`reserved`, `extended`, `unreserved`, `lost`): 1 for the slot's `wal_status`, else 0; absent before it is known.
pub const SLOT_STATE: &str = "readside_slot_state";
/// Counter by `table`: row changes that were made durable.
pub const CHANGES_TOTAL: &str = "readside_changes_total";
/// Counter: transactions that were made durable.
pub const TRANSACTIONS_TOTAL: &str = "readside_transactions_total";
/// Gauge, bytes: the changelog on disk, side files of large transactions included.
pub const CHANGELOG_BYTES: &str = "readside_changelog_bytes";
/// Gauge, bytes: what the changelog may grow to.
pub const CHANGELOG_BYTES_MAX: &str = "readside_changelog_bytes_max";
/// Gauge, bytes of source WAL: durable end of the changelog minus the position that state has published.
pub const PROJECTION_LAG_BYTES: &str = "readside_projection_lag_bytes";
/// Gauge, seconds: age of the oldest transaction that is durable in the changelog and not in state; 0 while there is none.
pub const PROJECTION_LAG_SECONDS: &str = "readside_projection_lag_seconds";
/// Gauge by `view` and `sink`, seconds: now minus the commit time of the oldest change that is not yet visible in the sink.
/// It grows while the source is silent or disconnected: it is the largest of [`SOURCE_LAG_SECONDS`], [`PROJECTION_LAG_SECONDS`] and
/// [`VIEW_PENDING_SECONDS`]. Absent while the view is not filled.
pub const VIEW_LAG_SECONDS: &str = "readside_view_lag_seconds";
/// Gauge by `view` and `sink`, seconds: `lag_max` of the configuration, past which the view counts as late.
pub const VIEW_LAG_MAX_SECONDS: &str = "readside_view_lag_max_seconds";
/// Gauge by `view` and `sink`, bytes of source WAL: the source's end of WAL minus the watermark.
pub const VIEW_LAG_BYTES: &str = "readside_view_lag_bytes";
/// Gauge by `view` and `sink`: keys whose copy in the sink is out of date.
pub const VIEW_PENDING_KEYS: &str = "readside_view_pending_keys";
/// Gauge by `view` and `sink`, seconds: age of the oldest change that waits for the sink; 0 while none does.
pub const VIEW_PENDING_SECONDS: &str = "readside_view_pending_seconds";
/// Gauge by `view`, `sink` and `state` (`loading`, `filling`, `live`, `retrying`, `paused`, `halted`): 1 for the present one, else 0.
pub const VIEW_STATE: &str = "readside_view_state";
/// Histogram by `view` and `sink`, seconds: commit on the source → acknowledged by the sink.
pub const VIEW_FRESHNESS_SECONDS: &str = "readside_view_freshness_seconds";
/// Gauge by `sink`: 1 while the sink answers, else 0.
pub const SINK_UP: &str = "readside_sink_up";
/// Counter by `view`, `sink` and `outcome` (`applied`, `refused`, `newer`, `retry`): writes of single keys.
pub const SINK_WRITES_TOTAL: &str = "readside_sink_writes_total";
/// Histogram by `sink`, seconds: one write request, from sending to its answer.
pub const SINK_REQUEST_SECONDS: &str = "readside_sink_request_seconds";
/// Gauge by `view` and `sink`: keys that are dead letters now.
pub const DEAD_LETTERS: &str = "readside_dead_letters";
/// Counter by `table`: rows copied by loads.
pub const LOAD_ROWS_TOTAL: &str = "readside_load_rows_total";
/// Gauge by `view` and `sink`, 0 to 1: how far a rebuild has come; absent while none runs.
pub const REBUILD_PROGRESS_RATIO: &str = "readside_rebuild_progress_ratio";
/// Gauge by `view` and `sink`: keys that the last verify found missing, stale, ghost or in doubt; absent before the first.
pub const VERIFY_MISMATCHES: &str = "readside_verify_mismatches";
/// Gauge by `view` and `sink`, Unix seconds: when a verify last found nothing that differs or is in doubt.
pub const VERIFY_LAST_SUCCESS_TIMESTAMP_SECONDS: &str =
    "readside_verify_last_success_timestamp_seconds";
/// Gauge, bytes: local state on disk.
pub const STATE_BYTES: &str = "readside_state_bytes";
/// Gauge, bytes: what local state may grow to; absent without a limit.
pub const STATE_BYTES_MAX: &str = "readside_state_bytes_max";
/// Gauge, bytes: size of the file system that holds the data directory.
pub const DISK_BYTES: &str = "readside_disk_bytes";
/// Gauge, bytes: what is free for us on the file system that holds the data directory.
pub const DISK_FREE_BYTES: &str = "readside_disk_free_bytes";
/// Gauge by `phase` (`starting`, `loading`, `running`, `stopping`, `halted`): 1 for the present one, else 0.
pub const PHASE: &str = "readside_phase";
/// Gauge: always 1, with the program's `version` as its label.
pub const BUILD_INFO: &str = "readside_build_info";

/// Counter, seconds: CPU time of this process, user and system.
pub const PROCESS_CPU_SECONDS_TOTAL: &str = "process_cpu_seconds_total";
/// Gauge, bytes: resident memory of this process.
pub const PROCESS_RESIDENT_MEMORY_BYTES: &str = "process_resident_memory_bytes";
/// Gauge: open file descriptors of this process.
pub const PROCESS_OPEN_FDS: &str = "process_open_fds";
/// Gauge, Unix seconds: when the metrics of this process began.
pub const PROCESS_START_TIME_SECONDS: &str = "process_start_time_seconds";

/// All of them, for the check that dashboards and alerts use none that do not exist.
pub const ALL: &[&str] = &[
    SOURCE_CONNECTED,
    SOURCE_LAG_BYTES,
    SOURCE_LAG_SECONDS,
    SLOT_RETAINED_BYTES,
    SLOT_SAFE_BYTES,
    SLOT_STATE,
    CHANGES_TOTAL,
    TRANSACTIONS_TOTAL,
    CHANGELOG_BYTES,
    CHANGELOG_BYTES_MAX,
    PROJECTION_LAG_BYTES,
    PROJECTION_LAG_SECONDS,
    VIEW_LAG_SECONDS,
    VIEW_LAG_MAX_SECONDS,
    VIEW_LAG_BYTES,
    VIEW_PENDING_KEYS,
    VIEW_PENDING_SECONDS,
    VIEW_STATE,
    VIEW_FRESHNESS_SECONDS,
    SINK_UP,
    SINK_WRITES_TOTAL,
    SINK_REQUEST_SECONDS,
    DEAD_LETTERS,
    LOAD_ROWS_TOTAL,
    REBUILD_PROGRESS_RATIO,
    VERIFY_MISMATCHES,
    VERIFY_LAST_SUCCESS_TIMESTAMP_SECONDS,
    STATE_BYTES,
    STATE_BYTES_MAX,
    DISK_BYTES,
    DISK_FREE_BYTES,
    PHASE,
    BUILD_INFO,
    PROCESS_CPU_SECONDS_TOTAL,
    PROCESS_RESIDENT_MEMORY_BYTES,
    PROCESS_OPEN_FDS,
    PROCESS_START_TIME_SECONDS,
];

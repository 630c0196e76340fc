//! The metrics of one process, on a registry of its own.
//!
//! In: readings and events, by typed handles per table, per sink, and per view and sink. Out: Prometheus' text form.
//!
//! Always: a gauge that nobody has read yet is absent, never a reassuring zero; counters and histograms begin at zero.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, Opts, Registry, TextEncoder,
};

use crate::{disk, name, process};

/// All metrics; a clone is another handle on the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    source_connected: GaugeVec,
    source_lag_bytes: GaugeVec,
    source_lag_seconds: GaugeVec,
    slot_retained_bytes: GaugeVec,
    slot_safe_bytes: GaugeVec,
    slot_state: GaugeVec,
    changes_total: IntCounterVec,
    transactions_total: IntCounter,
    changelog_bytes: GaugeVec,
    changelog_bytes_max: GaugeVec,
    projection_lag_bytes: GaugeVec,
    projection_lag_seconds: GaugeVec,
    view_lag_seconds: GaugeVec,
    view_lag_max_seconds: GaugeVec,
    view_lag_bytes: GaugeVec,
    view_pending_keys: GaugeVec,
    view_pending_seconds: GaugeVec,
    view_state: GaugeVec,
    view_freshness_seconds: HistogramVec,
    sink_up: GaugeVec,
    sink_writes_total: IntCounterVec,
    sink_request_seconds: HistogramVec,
    dead_letters: GaugeVec,
    load_rows_total: IntCounterVec,
    rebuild_progress_ratio: GaugeVec,
    verify_mismatches: GaugeVec,
    verify_last_success: GaugeVec,
    state_bytes: GaugeVec,
    state_bytes_max: GaugeVec,
    disk_bytes: GaugeVec,
    disk_free_bytes: GaugeVec,
    phase: GaugeVec,
    data_dir: OnceLock<PathBuf>,
    process_cpu_seconds: Counter,
    process_resident_bytes: Gauge,
    process_open_fds: Gauge,
}

const VIEW_SINK: &[&str] = &["view", "sink"];

/// From half a millisecond (a quiet local chain) to ten minutes (an outage).
const FRESHNESS_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 600.0,
];

/// From a pipelined Redis write to a search server under load.
const REQUEST_BUCKETS: &[f64] = &[
    0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// WAL that the source keeps for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retained {
    /// Bytes kept because of our slot.
    pub bytes: u64,
    /// Bytes that may still be written before the slot is in danger; `None` where no limit is set.
    pub safe_bytes: Option<u64>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Acknowledged.
    Applied,
    /// The sink will never take it.
    Refused,
    /// The sink holds a version that we never issued.
    Newer,
    /// Sent again later.
    Retry,
}

impl WriteOutcome {
    /// All, as labels.
    pub const ALL: [WriteOutcome; 4] = [
        WriteOutcome::Applied,
        WriteOutcome::Refused,
        WriteOutcome::Newer,
        WriteOutcome::Retry,
    ];

    /// The value of the label `outcome`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            WriteOutcome::Applied => "applied",
            WriteOutcome::Refused => "refused",
            WriteOutcome::Newer => "newer",
            WriteOutcome::Retry => "retry",
        }
    }
}

/// What a verify found for one view in one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyResult {
    /// Keys that differ or are in doubt.
    pub mismatches: u64,
    /// When it ended.
    pub at: SystemTime,
}

/// Metrics of one table.
#[derive(Debug, Clone)]
pub struct TableMetrics {
    changes: IntCounter,
    load_rows: IntCounter,
}

/// Metrics of one sink.
#[derive(Debug, Clone)]
pub struct SinkMetrics {
    inner: Arc<Inner>,
    sink: String,
    request_seconds: Histogram,
}

/// Metrics of one view in one sink.
#[derive(Debug, Clone)]
pub struct ViewSinkMetrics {
    inner: Arc<Inner>,
    view: String,
    sink: String,
    freshness: Histogram,
    writes: [IntCounter; 4],
}

struct Builder(Registry);

impl Builder {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<C>,
    ) -> C {
        let metric = metric.expect("metric names and labels are constants that a test has built");
        self.0
            .register(Box::new(metric.clone()))
            .expect("metric names are distinct constants");
        metric
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.add(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        ))
    }
}

impl Metrics {
    /// Registers every metric on a new registry. `version` is the program's.
    #[must_use]
    pub fn new(version: &str) -> Metrics {
        let b = Builder(Registry::new());
        let inner = Inner {
            source_connected: b.gauge(
                name::SOURCE_CONNECTED,
                "1 while the replication connection streams.",
                &[],
            ),
            source_lag_bytes: b.gauge(
                name::SOURCE_LAG_BYTES,
                "The source's end of WAL minus what is durable in the changelog.",
                &[],
            ),
            source_lag_seconds: b.gauge(
                name::SOURCE_LAG_SECONDS,
                "For how long the changelog has not had what the source is known to have written.",
                &[],
            ),
            slot_retained_bytes: b.gauge(
                name::SLOT_RETAINED_BYTES,
                "WAL that the source keeps because of the replication slot.",
                &[],
            ),
            slot_safe_bytes: b.gauge(
                name::SLOT_SAFE_BYTES,
                "WAL that may still be written before the slot is in danger; +Inf without a limit.",
                &[],
            ),
            slot_state: b.gauge(
                name::SLOT_STATE,
                "1 for the slot's wal_status, else 0.",
                &["state"],
            ),
            changes_total: b.counter(name::CHANGES_TOTAL, "Row changes made durable.", &["table"]),
            transactions_total: b.add(IntCounter::new(
                name::TRANSACTIONS_TOTAL,
                "Transactions made durable.",
            )),
            changelog_bytes: b.gauge(name::CHANGELOG_BYTES, "The changelog on disk.", &[]),
            changelog_bytes_max: b.gauge(
                name::CHANGELOG_BYTES_MAX,
                "What the changelog may grow to.",
                &[],
            ),
            projection_lag_bytes: b.gauge(
                name::PROJECTION_LAG_BYTES,
                "Durable end of the changelog minus the position that state has published.",
                &[],
            ),
            projection_lag_seconds: b.gauge(
                name::PROJECTION_LAG_SECONDS,
                "Age of the oldest transaction that is durable in the changelog and not in state.",
                &[],
            ),
            view_lag_seconds: b.gauge(
                name::VIEW_LAG_SECONDS,
                "Age of the oldest change that is not visible in the sink.",
                VIEW_SINK,
            ),
            view_lag_max_seconds: b.gauge(
                name::VIEW_LAG_MAX_SECONDS,
                "The age past which the view counts as late, as configured.",
                VIEW_SINK,
            ),
            view_lag_bytes: b.gauge(
                name::VIEW_LAG_BYTES,
                "The source's end of WAL minus the view's watermark in the sink.",
                VIEW_SINK,
            ),
            view_pending_keys: b.gauge(
                name::VIEW_PENDING_KEYS,
                "Keys whose copy in the sink is out of date.",
                VIEW_SINK,
            ),
            view_pending_seconds: b.gauge(
                name::VIEW_PENDING_SECONDS,
                "Age of the oldest change that waits for the sink.",
                VIEW_SINK,
            ),
            view_state: b.gauge(
                name::VIEW_STATE,
                "1 for the present state of the view in the sink, else 0.",
                &["view", "sink", "state"],
            ),
            view_freshness_seconds: b.histogram(
                name::VIEW_FRESHNESS_SECONDS,
                "Commit on the source to acknowledged by the sink.",
                VIEW_SINK,
                FRESHNESS_BUCKETS,
            ),
            sink_up: b.gauge(name::SINK_UP, "1 while the sink answers.", &["sink"]),
            sink_writes_total: b.counter(
                name::SINK_WRITES_TOTAL,
                "Writes of single keys, by outcome.",
                &["view", "sink", "outcome"],
            ),
            sink_request_seconds: b.histogram(
                name::SINK_REQUEST_SECONDS,
                "One write request, from sending to its answer.",
                &["sink"],
                REQUEST_BUCKETS,
            ),
            dead_letters: b.gauge(
                name::DEAD_LETTERS,
                "Keys that are dead letters now.",
                VIEW_SINK,
            ),
            load_rows_total: b.counter(name::LOAD_ROWS_TOTAL, "Rows copied by loads.", &["table"]),
            rebuild_progress_ratio: b.gauge(
                name::REBUILD_PROGRESS_RATIO,
                "How far a running rebuild has come, 0 to 1.",
                VIEW_SINK,
            ),
            verify_mismatches: b.gauge(
                name::VERIFY_MISMATCHES,
                "Keys that the last verify found differing or in doubt.",
                VIEW_SINK,
            ),
            verify_last_success: b.gauge(
                name::VERIFY_LAST_SUCCESS_TIMESTAMP_SECONDS,
                "When a verify last found nothing that differs or is in doubt.",
                VIEW_SINK,
            ),
            state_bytes: b.gauge(name::STATE_BYTES, "Local state on disk.", &[]),
            state_bytes_max: b.gauge(name::STATE_BYTES_MAX, "What local state may grow to.", &[]),
            disk_bytes: b.gauge(
                name::DISK_BYTES,
                "Size of the file system that holds the data directory.",
                &[],
            ),
            disk_free_bytes: b.gauge(
                name::DISK_FREE_BYTES,
                "Free for us on the file system that holds the data directory.",
                &[],
            ),
            phase: b.gauge(
                name::PHASE,
                "1 for what the pipeline is doing as a whole, else 0.",
                &["phase"],
            ),
            data_dir: OnceLock::new(),
            process_cpu_seconds: b.add(Counter::new(
                name::PROCESS_CPU_SECONDS_TOTAL,
                "CPU time of this process, user and system.",
            )),
            process_resident_bytes: b.add(Gauge::new(
                name::PROCESS_RESIDENT_MEMORY_BYTES,
                "Resident memory of this process.",
            )),
            process_open_fds: b.add(Gauge::new(
                name::PROCESS_OPEN_FDS,
                "Open file descriptors of this process.",
            )),
            registry: b.0.clone(),
        };
        b.gauge(name::BUILD_INFO, "The version that runs.", &["version"])
            .with_label_values(&[version])
            .set(1.0);
        b.gauge(
            name::PROCESS_START_TIME_SECONDS,
            "When the metrics of this process began.",
            &[],
        )
        .with_label_values::<&str>(&[])
        .set(unix_seconds(SystemTime::now()));
        Metrics(Arc::new(inner))
    }

    /// The replication connection streams, or does not.
    pub fn set_source_connected(&self, connected: bool) {
        set(&self.0.source_connected, u64::from(connected));
    }

    /// See [`name::SOURCE_LAG_BYTES`].
    pub fn set_source_lag_bytes(&self, bytes: u64) {
        set(&self.0.source_lag_bytes, bytes);
    }

    /// See [`name::SOURCE_LAG_SECONDS`].
    pub fn set_source_lag_seconds(&self, seconds: f64) {
        self.0
            .source_lag_seconds
            .with_label_values::<&str>(&[])
            .set(seconds);
    }

    /// What the source keeps for our slot.
    pub fn set_slot_retained(&self, retained: Retained) {
        set(&self.0.slot_retained_bytes, retained.bytes);
        self.0
            .slot_safe_bytes
            .with_label_values::<&str>(&[])
            .set(retained.safe_bytes.map_or(f64::INFINITY, as_f64));
    }

    /// The slot's `wal_status`, out of `all`; `None` while it is not known.
    pub fn set_slot_state(&self, all: &[&str], state: Option<&str>) {
        for name in all {
            match state {
                Some(state) => self
                    .0
                    .slot_state
                    .with_label_values(&[*name])
                    .set(one_if(*name == state)),
                None => absent(&self.0.slot_state, &[*name]),
            }
        }
    }

    /// What the pipeline is doing, out of `all`.
    pub fn set_phase(&self, all: &[&str], phase: &str) {
        for name in all {
            self.0
                .phase
                .with_label_values(&[*name])
                .set(one_if(*name == phase));
        }
    }

    /// From now on each reading of the metrics says how full the file system of this directory is.
    pub fn watch_disk(&self, data_dir: &Path) {
        // The first one stays; there is one data directory in a process.
        let _ = self.0.data_dir.set(data_dir.to_path_buf());
    }

    /// So many transactions have become durable.
    pub fn add_transactions(&self, count: u64) {
        self.0.transactions_total.inc_by(count);
    }

    /// Transactions made durable since the start.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.0.transactions_total.get()
    }

    /// See [`name::CHANGELOG_BYTES`].
    pub fn set_changelog_bytes(&self, bytes: u64) {
        set(&self.0.changelog_bytes, bytes);
    }

    /// See [`name::CHANGELOG_BYTES_MAX`].
    pub fn set_changelog_bytes_max(&self, bytes: u64) {
        set(&self.0.changelog_bytes_max, bytes);
    }

    /// See [`name::PROJECTION_LAG_SECONDS`].
    pub fn set_projection_lag_seconds(&self, seconds: f64) {
        self.0
            .projection_lag_seconds
            .with_label_values::<&str>(&[])
            .set(seconds);
    }

    /// See [`name::STATE_BYTES_MAX`].
    pub fn set_state_bytes_max(&self, bytes: u64) {
        set(&self.0.state_bytes_max, bytes);
    }

    /// See [`name::PROJECTION_LAG_BYTES`].
    pub fn set_projection_lag_bytes(&self, bytes: u64) {
        set(&self.0.projection_lag_bytes, bytes);
    }

    /// See [`name::STATE_BYTES`].
    pub fn set_state_bytes(&self, bytes: u64) {
        set(&self.0.state_bytes, bytes);
    }

    /// The handle of a table, `schema.name`.
    #[must_use]
    pub fn table(&self, table: &str) -> TableMetrics {
        TableMetrics {
            changes: self.0.changes_total.with_label_values(&[table]),
            load_rows: self.0.load_rows_total.with_label_values(&[table]),
        }
    }

    /// The handle of a sink.
    #[must_use]
    pub fn sink(&self, sink: &str) -> SinkMetrics {
        SinkMetrics {
            inner: Arc::clone(&self.0),
            sink: sink.to_owned(),
            request_seconds: self.0.sink_request_seconds.with_label_values(&[sink]),
        }
    }

    /// The handle of a view in a sink.
    #[must_use]
    pub fn view_sink(&self, view: &str, sink: &str) -> ViewSinkMetrics {
        let writes = WriteOutcome::ALL.map(|outcome| {
            self.0
                .sink_writes_total
                .with_label_values(&[view, sink, outcome.label()])
        });
        ViewSinkMetrics {
            inner: Arc::clone(&self.0),
            view: view.to_owned(),
            sink: sink.to_owned(),
            freshness: self
                .0
                .view_freshness_seconds
                .with_label_values(&[view, sink]),
            writes,
        }
    }

    /// Prometheus' text form, process metrics read afresh.
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(usage) = process::read() {
            let spent = usage.cpu_seconds - self.0.process_cpu_seconds.get();
            if spent > 0.0 {
                self.0.process_cpu_seconds.inc_by(spent);
            }
            self.0.process_resident_bytes.set(usage.resident_bytes);
            self.0.process_open_fds.set(usage.open_fds);
        }
        if let Some(room) = self.0.data_dir.get().and_then(|dir| disk::read(dir)) {
            set(&self.0.disk_bytes, room.bytes);
            set(&self.0.disk_free_bytes, room.free_bytes);
        }
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics can't be encoded");
        }
        // The encoder prints infinity as Rust does; strict readers of the format want `+Inf`.
        String::from_utf8_lossy(&out).replace(" inf\n", " +Inf\n")
    }
}

impl TableMetrics {
    /// So many of its row changes have become durable.
    pub fn add_changes(&self, count: u64) {
        self.changes.inc_by(count);
    }

    /// So many of its rows have been copied.
    pub fn add_load_rows(&self, count: u64) {
        self.load_rows.inc_by(count);
    }
}

impl SinkMetrics {
    /// The sink answers, or does not.
    pub fn set_up(&self, up: bool) {
        self.inner
            .sink_up
            .with_label_values(&[&self.sink])
            .set(one_if(up));
    }

    /// One write request took so long.
    pub fn observe_request(&self, took: Duration) {
        self.request_seconds.observe(took.as_secs_f64());
    }
}

impl ViewSinkMetrics {
    fn set(&self, gauge: &GaugeVec, value: f64) {
        gauge
            .with_label_values(&[&self.view, &self.sink])
            .set(value);
    }

    /// Sets the gauge, or takes it away: the last value of something that is not known any more would reassure.
    fn set_known(&self, gauge: &GaugeVec, value: Option<f64>) {
        match value {
            Some(value) => self.set(gauge, value),
            None => absent(gauge, &[&self.view, &self.sink]),
        }
    }

    /// See [`name::VIEW_LAG_SECONDS`]; `None` while it is not filled.
    pub fn set_lag_seconds(&self, seconds: Option<f64>) {
        self.set_known(&self.inner.view_lag_seconds, seconds);
    }

    /// See [`name::VIEW_LAG_MAX_SECONDS`].
    pub fn set_lag_max_seconds(&self, seconds: f64) {
        self.set(&self.inner.view_lag_max_seconds, seconds);
    }

    /// See [`name::VIEW_LAG_BYTES`]; `None` while it is not filled.
    pub fn set_lag_bytes(&self, bytes: Option<u64>) {
        self.set_known(&self.inner.view_lag_bytes, bytes.map(as_f64));
    }

    /// See [`name::VIEW_PENDING_KEYS`].
    pub fn set_pending_keys(&self, keys: u64) {
        self.set(&self.inner.view_pending_keys, as_f64(keys));
    }

    /// See [`name::VIEW_PENDING_SECONDS`].
    pub fn set_pending_seconds(&self, seconds: f64) {
        self.set(&self.inner.view_pending_seconds, seconds);
    }

    /// What it is doing, out of `all`.
    pub fn set_state(&self, all: &[&str], state: &str) {
        for name in all {
            self.inner
                .view_state
                .with_label_values(&[self.view.as_str(), self.sink.as_str(), *name])
                .set(one_if(*name == state));
        }
    }

    /// Changes that were committed so many seconds ago have been acknowledged. A clock that ran backwards counts as zero.
    pub fn observe_freshness(&self, seconds: impl IntoIterator<Item = f64>) {
        let local = self.freshness.local();
        for seconds in seconds {
            local.observe(seconds.max(0.0));
        }
        local.flush();
    }

    /// So many writes had this outcome.
    pub fn add_writes(&self, outcome: WriteOutcome, count: u64) {
        let [applied, refused, newer, retry] = &self.writes;
        match outcome {
            WriteOutcome::Applied => applied,
            WriteOutcome::Refused => refused,
            WriteOutcome::Newer => newer,
            WriteOutcome::Retry => retry,
        }
        .inc_by(count);
    }

    /// Writes that the sink has acknowledged since the start.
    #[must_use]
    pub fn applied(&self) -> u64 {
        let [applied, ..] = &self.writes;
        applied.get()
    }

    /// See [`name::DEAD_LETTERS`].
    pub fn set_dead_letters(&self, keys: u64) {
        self.set(&self.inner.dead_letters, as_f64(keys));
    }

    /// How far a rebuild has come; `None` when none runs any more.
    pub fn set_rebuild_progress(&self, ratio: Option<f64>) {
        self.set_known(&self.inner.rebuild_progress_ratio, ratio);
    }

    /// A verify has ended.
    pub fn set_verified(&self, result: VerifyResult) {
        self.set(&self.inner.verify_mismatches, as_f64(result.mismatches));
        if result.mismatches == 0 {
            self.set(&self.inner.verify_last_success, unix_seconds(result.at));
        }
    }
}

fn set(gauge: &GaugeVec, value: u64) {
    gauge.with_label_values::<&str>(&[]).set(as_f64(value));
}

/// Takes a series away.
fn absent(gauge: &GaugeVec, labels: &[&str]) {
    // It fails only where the series is absent, which is what is wanted.
    let _ = gauge.remove_label_values(labels);
}

fn one_if(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge of bytes or keys may lose its last digits past 2^53"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}

fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch_everything(metrics: &Metrics) {
        metrics.set_source_connected(true);
        metrics.set_source_lag_bytes(1);
        metrics.set_source_lag_seconds(0.0);
        metrics.set_slot_retained(Retained {
            bytes: 5,
            safe_bytes: None,
        });
        metrics.set_slot_state(&["reserved", "lost"], Some("reserved"));
        metrics.set_phase(&["starting", "running"], "running");
        metrics.watch_disk(Path::new("/"));
        metrics.add_transactions(3);
        metrics.set_changelog_bytes(1);
        metrics.set_changelog_bytes_max(2);
        metrics.set_projection_lag_bytes(1);
        metrics.set_projection_lag_seconds(0.0);
        metrics.set_state_bytes(1);
        metrics.set_state_bytes_max(2);
        let table = metrics.table("public.orders");
        table.add_changes(7);
        table.add_load_rows(9);
        let sink = metrics.sink("cache");
        sink.set_up(false);
        sink.observe_request(Duration::from_millis(3));
        let view = metrics.view_sink("orders", "cache");
        view.set_lag_seconds(Some(0.5));
        view.set_lag_max_seconds(60.0);
        view.set_lag_bytes(Some(1));
        view.set_pending_keys(1);
        view.set_pending_seconds(0.5);
        view.set_state(&["filling", "live"], "live");
        view.observe_freshness([-1.0, 700.0]);
        view.add_writes(WriteOutcome::Refused, 2);
        view.set_dead_letters(2);
        view.set_rebuild_progress(Some(0.25));
        view.set_verified(VerifyResult {
            mismatches: 0,
            at: UNIX_EPOCH + Duration::from_secs(1000),
        });
    }

    #[test]
    fn every_named_metric_is_exported_once_it_has_been_read() {
        let metrics = Metrics::new("1.2.3");
        touch_everything(&metrics);
        let text = metrics.render();
        for name in name::ALL {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}\n{text}");
        }
        for line in [
            "readside_source_connected 1",
            "readside_slot_safe_bytes +Inf",
            "readside_transactions_total 3",
            r#"readside_changes_total{table="public.orders"} 7"#,
            r#"readside_sink_up{sink="cache"} 0"#,
            r#"readside_sink_writes_total{outcome="refused",sink="cache",view="orders"} 2"#,
            r#"readside_sink_writes_total{outcome="applied",sink="cache",view="orders"} 0"#,
            r#"readside_view_freshness_seconds_bucket{sink="cache",view="orders",le="0.0005"} 1"#,
            r#"readside_view_freshness_seconds_count{sink="cache",view="orders"} 2"#,
            r#"readside_view_state{sink="cache",state="live",view="orders"} 1"#,
            r#"readside_view_state{sink="cache",state="filling",view="orders"} 0"#,
            r#"readside_slot_state{state="reserved"} 1"#,
            r#"readside_slot_state{state="lost"} 0"#,
            r#"readside_phase{phase="running"} 1"#,
            r#"readside_verify_last_success_timestamp_seconds{sink="cache",view="orders"} 1000"#,
            r#"readside_build_info{version="1.2.3"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_gauge_that_nobody_has_read_is_absent() {
        let metrics = Metrics::new("1.2.3");
        let view = metrics.view_sink("orders", "cache");
        let text = metrics.render();
        for absent in [
            name::SOURCE_CONNECTED,
            name::VIEW_LAG_SECONDS,
            name::VIEW_PENDING_KEYS,
            name::VERIFY_MISMATCHES,
        ] {
            assert!(!text.contains(absent), "{absent}\n{text}");
        }
        view.set_rebuild_progress(Some(0.5));
        view.set_rebuild_progress(None);
        view.set_rebuild_progress(None);
        assert!(!metrics.render().contains(name::REBUILD_PROGRESS_RATIO));
    }

    #[test]
    fn what_is_not_known_any_more_is_taken_away() {
        let metrics = Metrics::new("1.2.3");
        touch_everything(&metrics);
        let view = metrics.view_sink("orders", "cache");
        view.set_lag_seconds(None);
        view.set_lag_bytes(None);
        metrics.set_slot_state(&["reserved", "lost"], None);
        let text = metrics.render();
        for gone in [
            name::VIEW_LAG_SECONDS,
            name::VIEW_LAG_BYTES,
            name::SLOT_STATE,
        ] {
            assert!(!text.contains(&format!("{gone}{{")), "{gone}\n{text}");
        }
        assert!(text.contains(&format!("{}{{", name::VIEW_LAG_MAX_SECONDS)));
    }

    #[test]
    fn a_failed_verify_does_not_move_the_last_success() {
        let metrics = Metrics::new("1.2.3");
        let view = metrics.view_sink("orders", "cache");
        view.set_verified(VerifyResult {
            mismatches: 0,
            at: UNIX_EPOCH + Duration::from_secs(1),
        });
        view.set_verified(VerifyResult {
            mismatches: 4,
            at: UNIX_EPOCH + Duration::from_secs(2),
        });
        let text = metrics.render();
        assert!(text.contains("timestamp_seconds{sink=\"cache\",view=\"orders\"} 1\n"));
        assert!(text.contains("mismatches{sink=\"cache\",view=\"orders\"} 4\n"));
    }
}

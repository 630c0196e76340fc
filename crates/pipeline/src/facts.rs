//! What the parts of a pipeline know of themselves, for `status`, metrics and `wait`.
//!
//! Always: every fact has one writer; readers never block one for longer than a copy.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use readside_model::{Lsn, Timestamp};
use readside_projection::TargetId;
use readside_telemetry::{Metrics, SinkMetrics, ViewSinkMetrics};
use tokio::sync::watch;

use crate::horizon::Horizon;
use crate::{LoadStatus, Phase, ViewState};

/// The facts.
pub(crate) struct Facts {
    inner: Mutex<Inner>,
    /// Raised whenever a watermark moves.
    pub(crate) moved: watch::Sender<u64>,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
}

/// The facts themselves.
pub(crate) struct Inner {
    pub(crate) phase: Phase,
    pub(crate) error: Option<String>,
    pub(crate) instance: String,
    pub(crate) source: SourceFacts,
    pub(crate) durable: Lsn,
    pub(crate) changelog_bytes: u64,
    pub(crate) published: Lsn,
    /// See [`readside_projection::Engine::generation`].
    pub(crate) generation: u64,
    /// When the oldest transaction that is durable and not in state was committed.
    pub(crate) unapplied_since: Option<Timestamp>,
    pub(crate) state_bytes: u64,
    pub(crate) state_bytes_max: Option<u64>,
    pub(crate) loads: BTreeMap<u32, LoadStatus>,
    pub(crate) sinks: BTreeMap<String, SinkFacts>,
    pub(crate) targets: BTreeMap<TargetId, TargetFacts>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SourceFacts {
    pub(crate) connected: bool,
    pub(crate) disconnected_since: Option<Instant>,
    pub(crate) error: Option<String>,
    pub(crate) database: String,
    pub(crate) system_id: Option<String>,
    pub(crate) timeline: Option<u32>,
    pub(crate) publication: String,
    pub(crate) publication_oid: Option<u32>,
    pub(crate) slot: String,
    pub(crate) slot_state: Option<String>,
    pub(crate) slot_retained_bytes: Option<u64>,
    pub(crate) slot_safe_bytes: Option<u64>,
    pub(crate) lsn: Option<Lsn>,
    pub(crate) confirmed: Option<Lsn>,
    pub(crate) transactions: u64,
    pub(crate) changes: u64,
    /// The smallest seen local receive time minus server send time, in microseconds.
    pub(crate) clock_offset_micros: Option<i64>,
    pub(crate) last_heard: Option<Instant>,
    /// Ends of WAL that were heard of and are not durable here.
    pub(crate) horizon: Horizon,
}

#[derive(Debug, Clone)]
pub(crate) struct SinkFacts {
    pub(crate) kind: String,
    pub(crate) up: bool,
    pub(crate) down_since: Option<Instant>,
    pub(crate) error: Option<String>,
    pub(crate) consistent: bool,
    pub(crate) metrics: SinkMetrics,
}

#[derive(Debug, Clone)]
pub(crate) struct TargetFacts {
    pub(crate) view: String,
    pub(crate) sink: String,
    pub(crate) location: String,
    pub(crate) lag_max: Duration,
    pub(crate) state: ViewState,
    /// Everything up to here has been acknowledged.
    pub(crate) acknowledged: Lsn,
    /// Everything up to here is visible.
    pub(crate) watermark: Lsn,
    /// How often its keys were marked again, so that both went back.
    pub(crate) refills: u64,
    /// Acknowledged means visible; else the watermark follows after a refresh.
    pub(crate) immediate: bool,
    pub(crate) since: Option<Timestamp>,
    pub(crate) pending: u64,
    pub(crate) dead: u64,
    pub(crate) writes: u64,
    pub(crate) error: Option<String>,
    /// How far a rebuild has come, 0 to 1, while one runs.
    pub(crate) rebuild: Option<f64>,
    pub(crate) metrics: ViewSinkMetrics,
    pub(crate) rate: Rate,
}

/// Events per second over the last seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    at: Instant,
    count: u64,
    per_second: f64,
}

impl Rate {
    pub(crate) fn new() -> Rate {
        Rate {
            at: Instant::now(),
            count: 0,
            per_second: 0.0,
        }
    }

    /// Takes note of a total and gives the rate since the last second or so.
    pub(crate) fn of(&mut self, total: u64) -> f64 {
        let passed = self.at.elapsed().as_secs_f64();
        if passed >= 1.0 {
            #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
            let delta = total.saturating_sub(self.count) as f64;
            self.per_second = delta / passed;
            self.count = total;
            self.at = Instant::now();
        }
        self.per_second
    }
}

impl Facts {
    pub(crate) fn new(metrics: Metrics, source: SourceFacts) -> Facts {
        Facts {
            inner: Mutex::new(Inner {
                phase: Phase::Starting,
                error: None,
                instance: String::new(),
                source,
                durable: Lsn::ZERO,
                changelog_bytes: 0,
                published: Lsn::ZERO,
                generation: 0,
                unapplied_since: None,
                state_bytes: 0,
                state_bytes_max: None,
                loads: BTreeMap::new(),
                sinks: BTreeMap::new(),
                targets: BTreeMap::new(),
            }),
            moved: watch::channel(0).0,
            metrics,
            started: Instant::now(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// A watermark may have moved.
    pub(crate) fn notify(&self) {
        self.moved.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn source_connected(&self, connected: bool, error: Option<String>) {
        let mut inner = self.lock();
        if connected {
            inner.source.disconnected_since = None;
        } else if inner.source.disconnected_since.is_none() {
            inner.source.disconnected_since = Some(Instant::now());
        }
        inner.source.connected = connected;
        inner.source.error = error;
        self.metrics.set_source_connected(connected);
    }

    pub(crate) fn sink_up(&self, sink: &str, error: Option<String>) {
        let mut inner = self.lock();
        let up = error.is_none();
        if let Some(facts) = inner.sinks.get_mut(sink) {
            facts.down_since = if up {
                None
            } else {
                facts.down_since.or_else(|| Some(Instant::now()))
            };
            facts.up = up;
            facts.error.clone_from(&error);
            facts.metrics.set_up(up);
        }
        for target in inner.targets.values_mut().filter(|t| t.sink == sink) {
            if up && target.state == ViewState::Retrying {
                target.state = ViewState::Live;
            } else if !up && target.state == ViewState::Live {
                target.state = ViewState::Retrying;
            }
        }
    }
}

/// Microseconds since Postgres' epoch, by the local clock.
pub(crate) fn local_now() -> Timestamp {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros();
    Timestamp(i64::try_from(unix).unwrap_or(i64::MAX) - Timestamp::UNIX_OFFSET_MICROS)
}

/// Seconds from a commit on the source until now, corrected by the smallest seen clock offset.
pub(crate) fn seconds_since(commit: Timestamp, offset: Option<i64>) -> f64 {
    let micros = local_now()
        .0
        .saturating_sub(commit.0)
        .saturating_sub(offset.unwrap_or(0))
        .max(0);
    #[allow(clippy::cast_precision_loss, reason = "seconds for people and metrics")]
    let micros = micros as f64;
    micros / 1e6
}

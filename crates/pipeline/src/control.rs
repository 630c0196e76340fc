//! What can be asked of a running pipeline, and in which words it answers.
//!
//! In: requests of the admin API. Out: facts, as serde types whose JSON scripts may rely on.
//!
//! Always: positions are printed as Postgres prints them (`16/B374D848`); a number that is not known is `null`, never zero;
//! keys appear in answers to `verify` and `dead_letters` only, row values nowhere.

use std::time::Duration;

use async_trait::async_trait;
use readside_model::Lsn;
use serde::{Deserialize, Serialize};

/// A running pipeline, as the admin API sees it. Cheap calls (`status`, `healthy`, `readiness`) read counters and never block.
///
/// Dropping the future of a long call gives it up: nothing half-done remains.
#[async_trait]
pub trait Control: Send + Sync {
    /// Everything that is known now.
    fn status(&self) -> Status;

    /// Whether the process does its work: false only if a task that must never stop has stopped or makes no progress though it could.
    /// A sink or a source that is down does not make it unhealthy.
    fn healthy(&self) -> bool;

    /// Whether readers should be sent here: streaming, and every view within its `lag_max`.
    fn readiness(&self) -> Readiness;

    /// Waits until the views have reached the LSN, at most for the request's time-out. Search sinks are refreshed, and an idle
    /// source is asked for its position, so that waiting never hangs on silence alone.
    async fn wait(&self, request: WaitRequest) -> Result<WaitAnswer, ControlError>;

    /// Compares sinks with what the views' SQL returns on the source.
    async fn verify(&self, request: VerifyRequest) -> Result<VerifyReport, ControlError>;

    /// Begins or cancels rebuilds, and says how they stand. A rebuild goes on whoever asked for it; ask again to see how far it is.
    async fn rebuild(&self, request: RebuildRequest) -> Result<RebuildAnswer, ControlError>;

    /// The documents that sinks refused, and the rows that have no value.
    async fn dead_letters(&self, request: DeadLettersRequest) -> Result<DeadLetters, ControlError>;
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The request names what is not configured.
    #[error("{what} `{name}` is not configured\n  hint: there is {known}")]
    Unknown {
        /// `view` or `sink`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is, for the message.
        known: String,
    },
    /// The request can't be answered by this source: a time line that it never had, an LSN that it can't reach.
    #[error("{0}")]
    Refused(String),
    /// Something that the answer needs is not reachable now.
    #[error("{0}")]
    Unavailable(String),
    /// It went wrong, or the pipeline is stopping.
    #[error("{0}")]
    Failed(String),
}

/// Everything that a running pipeline says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// This data directory's name in markers.
    pub instance: String,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// What it is doing.
    pub phase: Phase,
    /// What stops the whole pipeline, if something does.
    pub error: Option<String>,
    /// The source and its slot.
    pub source: SourceStatus,
    /// The durable log.
    pub changelog: ChangelogStatus,
    /// Local state.
    pub projection: ProjectionStatus,
    /// Tables that are being loaded.
    pub loads: Vec<LoadStatus>,
    /// Each sink, by name.
    pub sinks: Vec<SinkStatus>,
    /// Each view in each of its sinks.
    pub views: Vec<ViewStatus>,
}

/// What a pipeline is doing as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Opening what it has on disk, connecting.
    Starting,
    /// Copying tables, or replaying the changelog into state; sinks are not written yet.
    Loading,
    /// Streaming into the sinks.
    Running,
    /// Ending cleanly.
    Stopping,
    /// Stopped by something that the operator has to mend.
    Halted,
}

/// The source and its slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The replication connection streams.
    pub connected: bool,
    /// Since when it does not, in seconds.
    pub disconnected_seconds: Option<f64>,
    /// The last error of the connection, while there is one.
    pub error: Option<String>,
    /// The database.
    pub database: String,
    /// `IDENTIFY_SYSTEM`'s system identifier.
    pub system_id: Option<String>,
    /// Its time line.
    pub timeline: Option<u32>,
    /// The publication.
    pub publication: String,
    /// The slot.
    pub slot: String,
    /// `pg_replication_slots.wal_status`
    pub slot_state: Option<String>,
    /// WAL that the source keeps for the slot.
    pub slot_retained_bytes: Option<u64>,
    /// WAL that may still be written before the slot is in danger; `null` where no limit is set.
    pub slot_safe_bytes: Option<u64>,
    /// The end of WAL that the source last told.
    #[serde(with = "lsn_text::option")]
    pub lsn: Option<Lsn>,
    /// What we confirmed last.
    #[serde(with = "lsn_text::option")]
    pub confirmed_lsn: Option<Lsn>,
    /// Source's end of WAL minus the durable end of the changelog.
    pub lag_bytes: Option<u64>,
    /// For how long the changelog has not had what the source is known to have written; silence counts. `null` before it was heard.
    pub lag_seconds: Option<f64>,
    /// Transactions per second that arrive.
    pub transactions_per_second: f64,
    /// Row changes per second that arrive.
    pub changes_per_second: f64,
}

/// The durable log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangelogStatus {
    /// The fsynced end.
    #[serde(with = "lsn_text")]
    pub durable_lsn: Lsn,
    /// On disk, side files included.
    pub bytes: u64,
    /// Its limit.
    pub bytes_max: Option<u64>,
}

/// Local state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectionStatus {
    /// The transaction boundary that sinks may compute from.
    #[serde(with = "lsn_text")]
    pub published_lsn: Lsn,
    /// Durable end of the changelog minus it.
    pub lag_bytes: u64,
    /// Age of the oldest transaction that is durable and not applied; 0 if there is none.
    pub lag_seconds: f64,
    /// On disk.
    pub state_bytes: u64,
    /// Its limit.
    pub state_bytes_max: Option<u64>,
}

/// A table that is being loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadStatus {
    /// `schema.name`
    pub table: String,
    /// Rows copied so far.
    pub rows: u64,
    /// What the catalog estimates.
    pub rows_estimated: Option<u64>,
    /// Rows per second.
    pub rows_per_second: f64,
    /// Why it was started: `first start`, `new table`, `new column`, `truncate`, `rewritten`, `repair`, …
    pub reason: String,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its name.
    pub sink: String,
    /// Its type as configured.
    pub kind: String,
    /// It answers.
    pub up: bool,
    /// Since when it does not, in seconds.
    pub down_seconds: Option<f64>,
    /// Its last error, while there is one.
    pub error: Option<String>,
    /// False while a sink that shows one moment of all its views is catching up in pieces.
    pub consistent: bool,
}

/// A view in a sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewStatus {
    /// The view.
    pub view: String,
    /// The sink.
    pub sink: String,
    /// The index, the key template or the table.
    pub location: String,
    /// What is going on.
    pub state: ViewState,
    /// The generation that readers see.
    pub generation: u64,
    /// Everything up to here is visible; `null` before the first fill.
    #[serde(with = "lsn_text::option")]
    pub watermark: Option<Lsn>,
    /// Keys whose copy is out of date.
    pub pending_keys: u64,
    /// Age of the oldest change that waits for the sink; 0 if none does.
    pub pending_seconds: f64,
    /// Age of the oldest change that is not visible: the largest of the source's, the projection's and the sink's part.
    pub lag_seconds: Option<f64>,
    /// Source's end of WAL minus the watermark.
    pub lag_bytes: Option<u64>,
    /// What `lag_seconds` may be before the view counts as late.
    pub lag_max_seconds: f64,
    /// Writes per second that the sink acknowledged lately.
    pub writes_per_second: f64,
    /// Writes that the sink has acknowledged since the start.
    pub writes_total: u64,
    /// Keys that are dead letters.
    pub dead_letters: u64,
    /// How far a rebuild has come, 0 to 1, while one runs.
    pub rebuild_progress: Option<f64>,
    /// The last error, while there is one.
    pub error: Option<String>,
}

impl ViewStatus {
    /// Whether it is filled, and as fresh as its `lag_max` asks.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.watermark.is_some()
            && self
                .lag_seconds
                .is_some_and(|lag| lag <= self.lag_max_seconds)
    }
}

/// What a view is doing in a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewState {
    /// Its tables are being copied.
    Loading,
    /// It is written for the first time, or anew.
    Filling,
    /// Changes go through.
    Live,
    /// The sink does not answer; retried for ever.
    Retrying,
    /// Stopped on command.
    Paused,
    /// Stopped until the operator has mended something.
    Halted,
}

/// Whether readers should be sent here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Streaming, and every view is within its `lag_max`.
    pub ready: bool,
    /// What is missing, one sentence each.
    pub reasons: Vec<String>,
}

/// Wait until these views have reached an LSN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    /// These views; empty means all.
    #[serde(default)]
    pub views: Vec<String>,
    /// In these sinks; empty means all.
    #[serde(default)]
    pub sinks: Vec<String>,
    /// The LSN as the user wrote it; `None` asks the source for `pg_current_wal_insert_lsn()`.
    #[serde(default, with = "lsn_text::option")]
    pub lsn: Option<Lsn>,
    /// The time line that the LSN belongs to; `None` means the source's present one.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// Give up after this long, with `reached: false`.
    #[serde(default, with = "millis::option")]
    pub timeout_ms: Option<Duration>,
}

/// How far the views have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitAnswer {
    /// All of them have reached it.
    pub reached: bool,
    /// What was waited for; ask again with it.
    #[serde(with = "lsn_text")]
    pub lsn: Lsn,
    /// Its time line.
    pub timeline: u32,
    /// Each view in each sink that was waited for.
    pub views: Vec<WaitedView>,
}

/// How far one view has come in one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitedView {
    /// The view.
    pub view: String,
    /// The sink.
    pub sink: String,
    /// It has reached the LSN.
    pub reached: bool,
    /// Where it is.
    #[serde(with = "lsn_text::option")]
    pub watermark: Option<Lsn>,
    /// Keys that are dead letters, and so not visible whatever the watermark says.
    pub dead_letters: u64,
}

/// Compare these views with the source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// These views; empty means all.
    #[serde(default)]
    pub views: Vec<String>,
    /// Mark what differs, so that it is written again.
    #[serde(default)]
    pub repair: bool,
}

/// What a verify found. Keys are key texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Each view in each of its sinks.
    pub views: Vec<VerifiedView>,
}

/// What a verify found for one view in one sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifiedView {
    /// The view.
    pub view: String,
    /// The sink.
    pub sink: String,
    /// Rows that the query returns and the sink does not have.
    pub missing: Vec<String>,
    /// Rows that the sink has with other content.
    pub stale: Vec<String>,
    /// Rows that the sink has and the query does not return.
    pub ghost: Vec<String>,
    /// Keys that changed in every round, so that nothing can be said.
    pub in_doubt: Vec<String>,
}

impl VerifiedView {
    /// How many keys differ or are in doubt.
    #[must_use]
    pub fn mismatches(&self) -> usize {
        self.missing.len() + self.stale.len() + self.ghost.len() + self.in_doubt.len()
    }
}

impl VerifyReport {
    /// Nothing differs or is in doubt.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.views.iter().all(|v| v.mismatches() == 0)
    }
}

/// Fill these views anew from local state, and write every row of them again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildRequest {
    /// These views.
    pub views: Vec<String>,
    /// Give their rebuilds up instead.
    #[serde(default)]
    pub cancel: bool,
    /// Only say how their rebuilds stand.
    #[serde(default)]
    pub watch: bool,
    /// At most so many rows per second.
    #[serde(default)]
    pub rate: Option<u64>,
}

/// How the rebuilds that were asked for stand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RebuildAnswer {
    /// Each of them, by view.
    pub rebuilds: Vec<RebuildProgress>,
}

/// How a rebuild stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebuildProgress {
    /// The view.
    pub view: String,
    /// What it is doing.
    pub phase: RebuildPhase,
    /// How far it has come as a whole, 0 to 1.
    pub progress: f64,
    /// Rows of this phase that are done.
    pub rows: u64,
    /// Of about so many.
    pub rows_total: u64,
    /// How fast.
    pub rows_per_second: f64,
    /// Seconds until this phase ends, at this rate.
    pub eta_seconds: Option<f64>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildPhase {
    /// Filling internal tables anew from local state; readers see the live ones.
    Filling,
    /// Writing every row again, behind what is out of date.
    Writing,
    /// It has ended.
    Done,
    /// It was given up.
    Cancelled,
    /// It went wrong.
    Failed,
}

impl RebuildPhase {
    /// Nothing more will come.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, RebuildPhase::Filling | RebuildPhase::Writing)
    }
}

/// Which dead letters to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLettersRequest {
    /// Of this view.
    #[serde(default)]
    pub view: Option<String>,
    /// In this sink.
    #[serde(default)]
    pub sink: Option<String>,
    /// At most so many; `None` leaves it to the pipeline.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// Dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeadLetters {
    /// The first ones, by view, sink and key.
    pub dead_letters: Vec<DeadLetter>,
    /// How many there are.
    pub total: u64,
}

/// A key without a copy that the sink would take, or without a value at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The view.
    pub view: String,
    /// The sink.
    pub sink: String,
    /// The key text.
    pub key: String,
    /// Why, in the sink's or Postgres' own words.
    pub reason: String,
    /// The state that the refused document was computed from.
    #[serde(with = "lsn_text")]
    pub lsn: Lsn,
    /// Since when, in seconds of Unix time.
    pub since: i64,
}

/// The same place under the name that the stream gives it.
///
/// `pg_current_wal_insert_lsn()` names the byte where the next record will start. At the end of a page that is just past the next
/// page's header, while the stream calls the same place the start of the page; a watermark would never reach the former on an idle source.
/// A record can't end at offset 24 of a page, nor at offset 40 of a segment, so nothing else is renamed.
#[must_use]
pub fn stream_lsn(lsn: Lsn, segment_bytes: u64) -> Lsn {
    const PAGE: u64 = 8192;
    const SHORT_HEADER: u64 = 24;
    const LONG_HEADER: u64 = 40;
    if segment_bytes >= PAGE && lsn.0 % segment_bytes == LONG_HEADER {
        Lsn(lsn.0 - LONG_HEADER)
    } else if lsn.0 % PAGE == SHORT_HEADER {
        Lsn(lsn.0 - SHORT_HEADER)
    } else {
        lsn
    }
}

/// LSNs as text.
mod lsn_text {
    use super::Lsn;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(lsn: &Lsn, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(lsn)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Lsn, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }

    pub(super) mod option {
        use super::{Deserialize, Deserializer, Error, Lsn, Serializer};

        #[allow(
            clippy::ref_option,
            reason = "serde calls it with a reference to the field"
        )]
        pub(in super::super) fn serialize<S: Serializer>(
            lsn: &Option<Lsn>,
            s: S,
        ) -> Result<S::Ok, S::Error> {
            match lsn {
                Some(lsn) => s.collect_str(lsn),
                None => s.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            d: D,
        ) -> Result<Option<Lsn>, D::Error> {
            Option::<String>::deserialize(d)?
                .map(|text| text.parse().map_err(D::Error::custom))
                .transpose()
        }
    }
}

/// Durations as whole milliseconds.
mod millis {
    pub(super) mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use std::time::Duration;

        #[allow(
            clippy::ref_option,
            reason = "serde calls it with a reference to the field"
        )]
        pub(in super::super) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            s: S,
        ) -> Result<S::Ok, S::Error> {
            duration
                .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
                .serialize(s)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            d: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    #[test]
    fn a_place_just_after_a_page_header_is_the_start_of_the_page() {
        let page = 0x16_B374_0000;
        assert_eq!(stream_lsn(Lsn(page + 24), SEGMENT), Lsn(page));
        assert_eq!(stream_lsn(Lsn(page + 40), SEGMENT), Lsn(page + 40));
        assert_eq!(stream_lsn(Lsn(page + 32), SEGMENT), Lsn(page + 32));
        let segment = 3 * SEGMENT;
        assert_eq!(stream_lsn(Lsn(segment + 40), SEGMENT), Lsn(segment));
        assert_eq!(
            stream_lsn(Lsn(segment + (1 << 20) + 40), SEGMENT),
            Lsn(segment + (1 << 20) + 40)
        );
    }

    #[test]
    fn requests_and_answers_carry_lsns_as_postgres_prints_them() {
        let request: WaitRequest =
            serde_json::from_str(r#"{"lsn": "16/B374D848", "timeout_ms": 1500}"#).expect("read");
        assert_eq!(request.lsn, Some(Lsn(0x16_B374_D848)));
        assert_eq!(request.timeout_ms, Some(Duration::from_millis(1500)));
        assert_eq!(
            serde_json::to_string(&request).expect("written"),
            r#"{"views":[],"sinks":[],"lsn":"16/B374D848","timeline":null,"timeout_ms":1500}"#
        );
        assert!(serde_json::from_str::<WaitRequest>(r#"{"lsn": "nonsense"}"#).is_err());
        assert!(serde_json::from_str::<WaitRequest>(r#"{"veiws": []}"#).is_err());
    }

    #[test]
    fn a_verify_report_has_exactly_the_promised_fields() {
        let report = VerifyReport {
            views: vec![VerifiedView {
                view: "orders".to_owned(),
                sink: "cache".to_owned(),
                stale: vec!["7".to_owned()],
                ..VerifiedView::default()
            }],
        };
        assert_eq!(
            serde_json::to_string(&report).expect("written"),
            r#"{"views":[{"view":"orders","sink":"cache","missing":[],"stale":["7"],"ghost":[],"in_doubt":[]}]}"#
        );
        assert!(!report.clean());
    }
}

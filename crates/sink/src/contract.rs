//! What every sink promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use readside_model::{Body, DocumentForm, Lsn, Version};
use readside_pgtype::Type;
use serde::{Deserialize, Serialize};

/// How one view is laid out in one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewTarget {
    /// The view.
    pub view: String,
    /// The index, the table, or the key template (`order:{id}`), by the sink's type. Empty: the view's name, or `<view>:`
    /// and the key text.
    pub location: String,
    /// Output columns in order: name, type, modifier, proven NOT NULL.
    pub columns: Vec<TargetColumn>,
    /// Key pieces: the output column that shows each, or `None` for a hidden one. Empty for a global aggregate.
    pub key: Vec<Option<usize>>,
    /// Whether any key piece can be NULL, absent or is hidden: then a table's primary key is the hidden `_key`.
    pub key_nullable: bool,
    /// A mapping that overrides the derived one (Elasticsearch), as JSON text.
    pub mapping: Option<String>,
    /// The generation that is being written; part of index and alias names.
    pub generation: u64,
}

/// A column of a [`ViewTarget`].
#[derive(Debug, Clone, PartialEq)]
pub struct TargetColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// Modifier, -1 for none.
    pub typmod: i32,
    /// Proven NOT NULL.
    pub not_null: bool,
}

/// One write to one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The key text (`readside_model::encode_key_text`): `_id`, the suffix of a Redis key, or the hidden `_key`.
    pub key: Arc<str>,
    /// Texts of the key pieces, for a table whose primary key is made of its own columns; `None` is NULL or absent.
    pub key_parts: Vec<Option<Arc<str>>>,
    /// The row, or `None` to delete it.
    pub body: Option<Body>,
}

/// The writes for one view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewWrites {
    /// Index into the targets that were given to [`Sink::prepare`].
    pub target: usize,
    /// Distinct keys, in any order.
    pub writes: Vec<Write>,
}

/// Writes that were all computed from one snapshot of state at a transaction boundary.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The boundary: everything that ended at or before it is in the values.
    pub position: Lsn,
    /// The version of every write: `position` plus the offset. Never below one that was given before for the same key.
    pub version: Version,
    /// By view. A sink with [`WriterScope::PerView`] gets one view only.
    pub views: Vec<ViewWrites>,
    /// [`WriterScope::PerSink`] only: what the marker says once this is applied, written in the same transaction.
    pub marker: Option<Marker>,
}

/// What became of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, or already superseded by a version that we issued, or a delete of what was not there.
    Applied,
    /// The sink will never take this document; it goes to the dead letters.
    Refused(DeadReason),
    /// The sink holds a higher version than we ever issued: it went its own way.
    Newer(Version),
    /// Not taken this time (429, 503, a closing shard): send it again.
    Retry(String),
}

/// Why a document was refused, in the sink's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadReason(pub String);

/// A sink-wide failure: none of the batch is known to have been applied, or it is unknown which.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Not reachable, timed out, or answered with a status that says "later". Retried for ever with back-off; ambiguous, so fence first.
    #[error("{0}")]
    Unavailable(String),
    /// Another instance owns this place in the sink.
    #[error("{0}")]
    Fenced(String),
    /// Something that the operator has to mend (credentials, permissions, a wrong mapping, a table that is not ours).
    #[error("{message}\n  hint: {hint}")]
    Operator {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The place that we write to is gone (an index or a table was dropped): prepare again and refill.
    #[error("{0}")]
    Lost(String),
}

/// What readside keeps in a sink to recognise itself and the sink's state. Never inside a view's index, key space or table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Random, made with the data directory.
    pub instance: String,
    /// Random, made at each opening of the data directory.
    pub owner_epoch: String,
    /// What is added to an end LSN to give a version; only grows.
    pub offset: u64,
    /// The highest version ever issued.
    pub version_max: u64,
    /// The sink's name in the configuration: two names for one place are told apart by it.
    #[serde(default)]
    pub sink: String,
    /// How much of `offset` comes from what state durably knows of; the rest was raised against this sink alone.
    #[serde(default)]
    pub raised: u64,
    /// Rises with every batch that the marker was written with ([`WriterScope::PerSink`]).
    #[serde(default)]
    pub sequence: u64,
    /// By view.
    pub views: BTreeMap<String, ViewWatermark>,
}

/// How far a sink has taken the writes of a view, in its own count.
///
/// What was remembered with an acknowledgement is compared with what the sink says later: a sink that was set back to an earlier
/// moment, by however little, says less or speaks of another history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The sink's own name for the course of events that it counts in; empty where it has but one.
    pub history: String,
    /// Grows with what is acknowledged.
    pub count: u64,
}

impl Receipt {
    /// Whether everything that `known` stands for is there.
    #[must_use]
    pub fn covers(&self, known: &Receipt) -> bool {
        self.history == known.history && self.count >= known.count
    }
}

/// A view's state as its marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewWatermark {
    /// The generation that readers see.
    pub generation: u64,
    /// Everything up to here is visible.
    pub watermark: Lsn,
}

/// Whether acknowledged writes are visible at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Acknowledged means visible.
    Immediate,
    /// Visible after [`Sink::refresh`].
    AfterRefresh,
}

/// How many writers a sink wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterScope {
    /// One per view; batches of different views go their own way.
    PerView,
    /// One for all views: every batch holds everything pending at one position and is applied in one transaction.
    PerSink,
}

/// Proof that requests of earlier connections or lives can no longer take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(());

impl Fence {
    /// Only a sink that has done what its kind of fencing takes may say so.
    #[must_use]
    pub fn established() -> Fence {
        Fence(())
    }
}

/// A row as the sink has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its key text.
    pub key: Arc<str>,
    /// Its content, in the sink's form.
    pub body: Body,
}

/// A page of a sink's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Rows, in the order of the sink's own paging.
    pub rows: Vec<Row>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<String>,
}

/// A place where read models are kept.
///
/// - **Order**: the caller has at most one request in flight per key; between requests for one key it awaits the answer or a fence.
/// - **Duplicates**: every write is the whole value and versioned, so a repeated batch changes nothing.
/// - **Durability**: `Ok` from [`Sink::write`] means that the sink has acknowledged; nothing else moves a watermark.
/// - **Cancellation**: dropping a future leaves the outcome unknown; [`Sink::fence`] comes before the next write.
/// - **Deletes** of absent keys succeed.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The form of the documents that it takes.
    fn form(&self) -> DocumentForm;

    /// When writes are visible.
    fn visibility(&self) -> Visibility;

    /// How many writers it wants.
    fn writer_scope(&self) -> WriterScope;

    /// How many bytes of documents one batch should hold at most.
    fn batch_bytes_max(&self) -> usize;

    /// Checks reachability, rights and settings; warnings that do not stop it are returned.
    async fn check(&self) -> Result<Vec<String>, SinkError>;

    /// Creates what is missing for these views (index and alias, table, schema) and nothing else. Idempotent.
    /// Refuses a place that holds somebody else's data. A view whose place had been there and has to be created again is taken
    /// out of the stored marker first: what its watermark said is gone.
    async fn prepare(&self, targets: &[ViewTarget]) -> Result<(), SinkError>;

    /// Makes this target's generation the one that readers see, at once; idempotent. A sink without generations has nothing to do.
    async fn switch(&self, target: usize) -> Result<(), SinkError> {
        let _ = target;
        Ok(())
    }

    /// Makes sure that no request of an earlier connection or process life can take effect any more.
    async fn fence(&self) -> Result<Fence, SinkError>;

    /// This instance's marker, if the sink has one.
    async fn read_marker(&self) -> Result<Option<Marker>, SinkError>;

    /// Replaces the marker. The first write in the life of this object takes it over, unless it was read before and has
    /// changed since. Later ones are refused with [`SinkError::Fenced`] where another owner epoch has taken over, and with
    /// [`SinkError::Lost`] where the marker is gone or older than what we wrote: read it and act on it, then write.
    async fn write_marker(&self, marker: &Marker) -> Result<(), SinkError>;

    /// What the sink has taken of each prepared target, by target; what it says is accepted, and counted on from. `None` for
    /// a target of which it has no record. A sink with [`WriterScope::PerSink`] has its marker for this.
    async fn read_receipts(&self) -> Result<Vec<Option<Receipt>>, SinkError> {
        Ok(Vec::new())
    }

    /// What stands for everything of this target that was acknowledged since the receipts were read.
    fn receipt(&self, target: usize) -> Option<Receipt> {
        let _ = target;
        None
    }

    /// Looks whether everything acknowledged in the life of this object is still there, as far as that can be told cheaply:
    /// [`SinkError::Lost`] where a place is gone or the sink was set back.
    async fn audit(&self) -> Result<(), SinkError>;

    /// Applies a batch. The outcomes are by view and write, in the batch's order. [`SinkError::Lost`] where the sink was found
    /// to have been set back.
    async fn write(&self, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError>;

    /// Makes everything acknowledged for this target visible.
    async fn refresh(&self, target: usize) -> Result<(), SinkError>;

    /// Everything the sink holds for this view, page by page (`after` is a page's `next`). Not a snapshot: a row that was there
    /// all along comes at least once. A page may be empty before the end. After an error start again from the first page.
    async fn read_page(
        &self,
        target: usize,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page, SinkError>;

    /// These keys as the sink has them now, in any order; absent ones are left out.
    async fn read_keys(&self, target: usize, keys: &[Arc<str>]) -> Result<Vec<Row>, SinkError>;

    /// Removes what readside created here for these views (all generations), and the marker. What others own stays.
    async fn drop_all(&self, targets: &[ViewTarget]) -> Result<(), SinkError>;
}

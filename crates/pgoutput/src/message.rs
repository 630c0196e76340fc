//! The messages of the pgoutput plugin, versions 1 to 4.
//!
//! `xid` is `Some` exactly on messages inside a stream block, where it names the (sub)transaction that the change is of.

use bytes::Bytes;
use readside_model::{Lsn, Timestamp, Xid};

use crate::TupleData;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `B`: the transaction that follows, whole, up to its `C`.
    Begin(Begin),
    /// `C`
    Commit(Commit),
    /// `O`: the transaction came from elsewhere.
    Origin(Origin),
    /// `R`: what a relation looks like from here on; comes before its first change, and again when something changed.
    Relation(Relation),
    /// `Y`: the name of a user-defined type.
    Type(TypeName),
    /// `I`
    Insert(Insert),
    /// `U`
    Update(Update),
    /// `D`
    Delete(Delete),
    /// `T`
    Truncate(Truncate),
    /// `M`: `pg_logical_emit_message`.
    Logical(LogicalMessage),
    /// `S`: a piece of a transaction that is still open.
    StreamStart(StreamStart),
    /// `E`: the end of that piece.
    StreamStop,
    /// `c`: a streamed transaction committed.
    StreamCommit(StreamCommit),
    /// `A`: a streamed transaction, or a subtransaction of it, rolled back.
    StreamAbort(StreamAbort),
    /// `b`: a prepared transaction follows (only with `two_phase`).
    BeginPrepare(BeginPrepare),
    /// `P`: its end.
    Prepare(Prepare),
    /// `p`: a streamed transaction was prepared.
    StreamPrepare(Prepare),
    /// `K`
    CommitPrepared(CommitPrepared),
    /// `r`
    RollbackPrepared(RollbackPrepared),
}

/// The start of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Its commit record's LSN.
    pub final_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
    /// Its id.
    pub xid: Xid,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The commit record's LSN, as in [`Begin::final_lsn`].
    pub commit_lsn: Lsn,
    /// The LSN behind the commit record.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
}

/// Where a replicated transaction came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its commit LSN there.
    pub lsn: Lsn,
    /// The origin's name.
    pub name: String,
}

/// A relation's description: a hint that something may have changed, and how the tuples that follow are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// `pg_class.oid`
    pub oid: u32,
    /// Its schema (sent empty for `pg_catalog`, given in full here).
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relreplident`
    pub replica_identity: ReplicaIdentityKind,
    /// The columns in the order in which tuples carry them.
    pub columns: Vec<RelationColumn>,
}

/// `pg_class.relreplident`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentityKind {
    /// `d`: the primary key.
    Default,
    /// `n`: updates and deletes fail while it is published.
    Nothing,
    /// `f`: the whole old row is sent.
    Full,
    /// `i`: a unique index.
    Index,
}

/// A column as `R` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Part of the replica identity.
    pub key: bool,
    /// Its name.
    pub name: String,
    /// `pg_attribute.atttypid`
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`
    pub typmod: i32,
}

/// A user-defined type's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// `pg_type.oid`
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

/// A new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// `pg_class.oid`, of the leaf unless the publication publishes via the root.
    pub relation: u32,
    /// The row.
    pub new: TupleData,
}

/// A changed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// `pg_class.oid`
    pub relation: u32,
    /// The old key if the key changed or is toasted, the old row under FULL, else nothing.
    pub old: Option<OldRow>,
    /// The row as it is now; unchanged TOAST values are not in it.
    pub new: TupleData,
}

/// A row that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// `pg_class.oid`
    pub relation: u32,
    /// Its key, or all of it under FULL.
    pub old: OldRow,
}

/// What is sent of a row as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldRow {
    /// How much of it.
    pub kind: OldKind,
    /// All columns; under [`OldKind::Key`] those outside the key are `Null` whatever they were.
    pub tuple: TupleData,
}

/// How much of an old row was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKind {
    /// `K`: the replica identity's columns.
    Key,
    /// `O`: all columns.
    Full,
}

/// Tables that were emptied together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// The published ones among them.
    pub relations: Vec<u32>,
    /// CASCADE was given.
    pub cascade: bool,
    /// RESTART IDENTITY was given.
    pub restart_identity: bool,
}

/// What `pg_logical_emit_message` sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// Inside a stream block.
    pub xid: Option<Xid>,
    /// Part of the transaction around it, as against sent at once.
    pub transactional: bool,
    /// Its own LSN.
    pub lsn: Lsn,
    /// Its prefix.
    pub prefix: String,
    /// Its content.
    pub content: Bytes,
}

/// The start of a piece of an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction.
    pub xid: Xid,
    /// The first piece of it.
    pub first_segment: bool,
}

/// A streamed transaction committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction.
    pub xid: Xid,
    /// Its commit.
    pub commit: Commit,
}

/// A streamed transaction or a part of it rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: Xid,
    /// What rolled back: the same as `xid` for all of it.
    pub subxid: Xid,
    /// Where and when; version 4 with `streaming = parallel` only.
    pub at: Option<(Lsn, Timestamp)>,
}

/// The start of a prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginPrepare {
    /// The PREPARE record's LSN.
    pub prepare_lsn: Lsn,
    /// The LSN behind it.
    pub end_lsn: Lsn,
    /// When.
    pub prepare_time: Timestamp,
    /// The transaction.
    pub xid: Xid,
    /// Its global name.
    pub gid: String,
}

/// The end of a prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// The PREPARE record's LSN.
    pub prepare_lsn: Lsn,
    /// The LSN behind it.
    pub end_lsn: Lsn,
    /// When.
    pub prepare_time: Timestamp,
    /// The transaction.
    pub xid: Xid,
    /// Its global name.
    pub gid: String,
}

/// COMMIT PREPARED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPrepared {
    /// The commit record's LSN.
    pub commit_lsn: Lsn,
    /// The LSN behind it.
    pub end_lsn: Lsn,
    /// When.
    pub commit_time: Timestamp,
    /// The transaction.
    pub xid: Xid,
    /// Its global name.
    pub gid: String,
}

/// ROLLBACK PREPARED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPrepared {
    /// The LSN behind the PREPARE record.
    pub prepare_end_lsn: Lsn,
    /// The LSN behind the rollback record.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// When it was rolled back.
    pub rollback_time: Timestamp,
    /// The transaction.
    pub xid: Xid,
    /// Its global name.
    pub gid: String,
}

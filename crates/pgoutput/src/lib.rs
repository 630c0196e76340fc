//! Bytes of the pgoutput plugin to messages; sans-I/O.
//!
//! In: the payload of one `w` frame of a replication stream, protocol versions 1 to 4.
//! Out: one [`Message`], whose row values are slices of the buffer that came in.
//!
//! Always: no bytes whatever make it panic, and no value is copied.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod cursor;
mod decode;
#[cfg(test)]
mod encode;
mod error;
mod message;
#[cfg(test)]
mod properties;
mod tuple;

pub use decode::{Decoder, decode};
pub use error::DecodeError;
pub use message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldKind,
    OldRow, Origin, Prepare, Relation, RelationColumn, ReplicaIdentityKind, RollbackPrepared,
    StreamAbort, StreamCommit, StreamStart, Truncate, TypeName, Update,
};
pub use tuple::{Column, ColumnRef, Columns, SharedColumns, TupleData};

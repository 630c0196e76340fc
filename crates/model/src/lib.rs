//! The shared nouns: positions, relations, transactions, documents. No I/O.

mod catalog;
mod document;
mod position;

pub use catalog::{
    Catalog, Column, Generated, RelationKind, ReplicaIdentity, SchemaName, Table, UniqueIndex,
};
pub use document::{Body, Document, DocumentForm, KeyPart, SinkKey, encode_key_text};
pub use position::{
    Lsn, LsnParseError, Position, SourceIdentity, TableEpoch, Timestamp, Version, Xid,
};

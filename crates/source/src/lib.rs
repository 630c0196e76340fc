//! The Postgres source: replication connection, publication, slot, snapshot copy, catalog, checks.
//!
//! In: a connection string, the tables that views read, the names of one publication and one slot.
//! Out: the catalog, exact copies at a known position, the stream of changes, and what is wrong with the source.
//!
//! Always: nothing here alters the application's schema, blocks it for longer than a stated time, or makes its writes fail;
//! no position is confirmed that this server did not send.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod authentication;
mod blocking;
mod catalog;
mod check;
mod config;
mod copy_text;
mod described;
mod error;
mod identity;
mod publication;
mod quote;
mod replication;
mod slot;
mod snapshot;
mod socket;
mod sql;
mod stream;
pub mod tls;
mod wire;

pub use blocking::{Blocked, blocked_by, cancel_backend};
pub use catalog::{
    AttributeFingerprint, TableChange, TableFingerprint, enum_labels, load_catalog,
    table_fingerprints,
};
pub use check::{Finding, Severity, check};
pub use config::{
    ChannelBindingMode, ConfigError, Environment, Host, RootCertificates, Secret, SourceConfig,
    SslMode,
};
pub use copy_text::Row;
pub use described::column_difference;
pub use error::{Remedy, ServerError, SourceError};
pub use identity::{IdentityProblem, RelationIdentity};
pub use publication::{
    Publication, PublicationError, PublicationOutcome, PublicationState, PublishedTable,
    broken_identities, drop_publication_and_slot, ensure_publication, publication, publication_sql,
    publication_state, withdraw_tables,
};
pub use replication::{
    ReplicationClient, SlotCreated, SlotKind, StreamOptions, Streaming, SystemIdentity,
    TimelineSwitch,
};
pub use slot::{SlotStatus, WalStatus, current_wal_lsn, ping, slot_status};
pub use snapshot::{CopyStream, ExportedSnapshot, PageRange, SnapshotReader};
pub use sql::{SqlClient, cancel, connect_sql};
pub use stream::{Event, Hangup, ReplicationStream};

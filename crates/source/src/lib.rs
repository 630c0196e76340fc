//! The Postgres source: replication connection, publication, slot, snapshot copy, catalog, checks.
//!
//! In: a connection string, the tables that views read, the names of one publication and one slot.
//! Out: the catalog, exact copies at a known position, the stream of changes, and what is wrong with the source.
//!
//! Always: nothing here alters the application's schema, blocks it for longer than a stated time, or makes its writes fail;
//! no position is confirmed that this server did not send.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod authentication;
mod catalog;
mod config;
mod error;
mod identity;
mod quote;
mod replication;
mod socket;
mod sql;
mod stream;
pub mod tls;
mod wire;

pub use catalog::{
    AttributeFingerprint, TableChange, TableFingerprint, enum_labels, load_catalog, table_fingerprints,
};
pub use config::{
    ConfigError, Environment, Host, RootCertificates, Secret, SourceConfig, SslMode,
};
pub use error::{Remedy, ServerError, SourceError};
pub use identity::{IdentityProblem, RelationIdentity};
pub use replication::{
    ReplicationClient, SlotCreated, SlotKind, StreamOptions, Streaming, SystemIdentity, TimelineSwitch,
};
pub use stream::{Event, ReplicationStream};
pub use sql::{SqlClient, cancel, connect_sql};

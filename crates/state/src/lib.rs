//! Local state: one ordered key-value space with one atomic commit per group of transactions, and snapshots.
//!
//! In: `put`, `delete` and `commit(position)` from a single writer. Out: reads over everything written so far
//! ([`State`]), and over the last commit ([`Snapshot`]), both through [`Read`].
//!
//! Always: what a crash leaves behind is exactly one earlier commit, with its position; the changelog is replayed from
//! there. A key is not empty and does not start with `0xFF`.
//!
//! ```text
//!   put, delete ─▶ active ──commit + flush──▶ frozen ──background──▶ base (LMDB)
//!   get, scan  ◀── active, else frozen, else base
//! ```

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod base;
mod committed;
mod error;
mod flush;
mod key;
mod large;
mod layer;
mod lmdb;
mod loader;
mod lock;
mod read;
mod scan;
pub mod sim;
mod snapshot;
mod state;
mod trace;

pub use base::{Base, Entries, Entry, View};
pub use committed::Committed;
pub use error::StateError;
pub use flush::FlushMode;
pub use lmdb::LmdbBase;
pub use loader::Loader;
pub use read::Read;
pub use scan::Scan;
pub use snapshot::Snapshot;
pub use state::{Options, Sizes, State};

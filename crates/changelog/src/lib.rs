//! The durable log of committed transactions.
//!
//! In: transactions and keepalives in commit order, as the source sends them. Out: the same, whole and once, to any
//! number of readers, across crashes; and the durable end, which is all that may be confirmed to the source.
//!
//! Always: a reader sees only what is durable. A transaction that is sent again is dropped. What was once durable is
//! never cut: damage below the confirmed position is an error, not a shorter log.
//!
//! ```text
//!   Spool ──commit──▶ Changelog ──sync──▶ segments ──▶ Reader
//!     └──large──▶ side file ◀──────refers──┘
//! ```
//!
//! Everything blocks; there is no runtime in here. The bytes are drawn in `format.rs` and `side.rs`.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod changelog;
mod disk;
mod durable;
mod error;
mod format;
mod frames;
mod reader;
mod recovery;
mod side;
pub mod sim;
mod spool;
mod transaction;

pub use changelog::{Appended, Changelog, Options};
pub use disk::{Disk, DiskFile, RealDisk};
pub use durable::{Durable, Holder};
pub use error::ChangelogError;
pub use reader::{Reader, Record};
pub use spool::Spool;
pub use transaction::{Messages, Transaction, TransactionHead};

//! Plans and transactions and state to touched keys, accumulators and documents; pure but for state.
//!
//! In: a view's plan, and committed transactions as the changelog has them. Out: state, pending keys, and rendered rows.
//!
//! Always: the one delta rule. A result row that exists only before a batch contains a changed row whose old image leads to it in
//! the snapshot before; one that exists only after, in the state after. Nothing is derived from the difference of two look-ups.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod access;
mod block_key;
pub mod dead;
mod engine;
mod error;
mod eval;
mod explain;
mod group;
mod index;
mod ingest;
mod keyspace;
mod level;
mod lift;
mod load;
mod nested;
mod opening;
pub mod pending;
mod rebuild;
mod registry;
mod row;
mod stage;
mod table;
mod topn;
mod touch;
mod view;
pub mod written;

pub use engine::{Batch, BatchOutcome, Engine, GeneratedColumns, Needs, ViewSpec};
pub use error::ProjectionError;
pub use explain::explain_paths;
pub use ingest::TransactionHeader;
pub use keyspace::RelationId;
pub use load::{columns_to_load, load_prefix, loaded_row, row_key};
pub use pending::TargetId;
pub use rebuild::{Rebuild, RebuildTarget, RebuiltRows};
pub use registry::{IndexRecord, RebuildRecord, Registry, TableRecord, ViewRecord};
pub use stage::Progress;
pub use table::{Incoming, TableExec};
pub use view::{Rendered, RenderedKey, ViewExec};

/// Named facts in state, beside the registry.
pub mod facts {
    use readside_state::{Read, State};

    use crate::{ProjectionError, keyspace};

    /// A fact's bytes.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn get(read: &dyn Read, name: &str) -> Result<Option<Vec<u8>>, ProjectionError> {
        Ok(read
            .get(&keyspace::meta(&format!("fact/{name}")))?
            .map(<[u8]>::to_vec))
    }

    /// Replaces a fact, and commits.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn put(state: &mut State, name: &str, bytes: &[u8]) -> Result<(), ProjectionError> {
        state.put(&keyspace::meta(&format!("fact/{name}")), bytes)?;
        state.commit(state.committed());
        Ok(())
    }
}

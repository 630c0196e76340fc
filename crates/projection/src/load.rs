//! Copies of tables: what they bring, where they lie, and how they become what views read.
//!
//! Always: a table that is live is copied into a shadow, and becomes what the copy says by one difference, deletions included.

use std::collections::BTreeSet;

use bytes::Bytes;
use readside_model::{Lsn, Timestamp};
use readside_state::{Read, Snapshot, State};

use crate::engine::Span;
use crate::index::build_index;
use crate::ingest::Touched;
use crate::keyspace::{self, RelationId};
use crate::opening::stored_names;
use crate::registry::TableRecord;
use crate::table::TableExec;
use crate::{BatchOutcome, Engine, ProjectionError};

impl Engine {
    /// A table has been loaded: its rows (of a copy at `x`) lie in state, or in the shadow if it was live before.
    /// Emits the difference for a table that was live, and builds its indexes.
    pub fn adopt_table(
        &mut self,
        state: &mut State,
        oid: u32,
        x: Lsn,
    ) -> Result<(), ProjectionError> {
        let Some(table) = self.tables.get(&oid) else {
            return Ok(());
        };
        let indexes = table.indexes.clone();
        let relation = RelationId::Table(oid);
        let was_live = self
            .registry
            .tables
            .get(&oid)
            .is_some_and(|t| t.valid_from.is_some());
        let record = TableRecord {
            name: table.table.display_name(),
            columns: TableExec::layout(&table.table),
            key: table.key.clone(),
            stored: stored_names(table),
            valid_from: Some(x),
        };
        self.registry.tables.insert(oid, record);
        if was_live {
            let before = state.snapshot()?;
            let mut touched = Touched::new();
            let keys = swap_shadow(state, &before, oid)?;
            touched.insert(relation, keys);
            // The difference came about somewhere between where state was and the copy.
            let span = Span {
                first: Lsn(state.committed().published.0 + 1).min(x),
                last: x,
                since: Timestamp::default(),
            };
            let mut outcome = BatchOutcome::default();
            self.propagate(state, &before, touched, span, &mut outcome)?;
        } else {
            for (id, parts) in &indexes {
                build_index(state, *id, parts, relation)?;
            }
            let ids: BTreeSet<u32> = indexes.iter().map(|(id, _)| *id).collect();
            for record in self.registry.indexes.values_mut() {
                record.built |= ids.contains(&record.id);
            }
        }
        self.registry.save(state)?;
        state.commit(state.committed());
        Ok(())
    }

    /// Whether a table has live rows that a new copy has to be compared with.
    #[must_use]
    pub fn is_live(&self, oid: u32) -> bool {
        self.registry
            .tables
            .get(&oid)
            .is_some_and(|t| t.valid_from.is_some())
    }

    /// The state key and row of a row of a table copy: into the shadow if the table is live, else in place.
    ///
    /// # Errors
    /// If the row does not fit the table.
    pub fn loaded_row(
        &self,
        oid: u32,
        leaf: u32,
        columns: &[Option<Bytes>],
    ) -> Result<(Vec<u8>, Vec<u8>), ProjectionError> {
        let table = self
            .tables
            .get(&oid)
            .ok_or_else(|| ProjectionError::Corrupt(format!("table {oid} is not read")))?;
        loaded_row(table, self.is_live(oid), leaf, columns)
    }

    /// The columns of a table that a copy has to bring, in order; the row takes them by [`Engine::loaded_row`].
    #[must_use]
    pub fn columns_to_load(&self, oid: u32) -> Vec<String> {
        self.tables
            .get(&oid)
            .map(columns_to_load)
            .unwrap_or_default()
    }

    pub(crate) fn build_missing_indexes(
        &mut self,
        state: &mut State,
        to_load: &[u32],
    ) -> Result<(), ProjectionError> {
        let mut built = BTreeSet::new();
        for (oid, table) in &self.tables {
            if to_load.contains(oid) && !self.is_live(*oid) {
                continue;
            }
            for (id, parts) in &table.indexes {
                if self
                    .registry
                    .indexes
                    .values()
                    .any(|r| r.id == *id && !r.built)
                {
                    build_index(state, *id, parts, RelationId::Table(*oid))?;
                    built.insert(*id);
                }
            }
        }
        if built.is_empty() {
            return Ok(());
        }
        for record in self.registry.indexes.values_mut() {
            record.built |= built.contains(&record.id);
        }
        self.registry.save(state)?;
        state.commit(state.committed());
        Ok(())
    }
}

/// The columns of a table that a copy has to bring.
#[must_use]
pub fn columns_to_load(table: &TableExec) -> Vec<String> {
    (0..table.table.columns.len())
        .filter(|i| table.stored[*i] && !table.generated.contains_key(i))
        .map(|i| table.table.columns[i].name.clone())
        .collect()
}

/// State key and row of a copied row.
///
/// # Errors
/// If the row does not fit the table.
pub fn loaded_row(
    table: &TableExec,
    shadow: bool,
    leaf: u32,
    columns: &[Option<Bytes>],
) -> Result<(Vec<u8>, Vec<u8>), ProjectionError> {
    use crate::table::Incoming;
    let mut places = vec![None; table.table.columns.len()];
    let brought = (0..table.table.columns.len())
        .filter(|i| table.stored[*i] && !table.generated.contains_key(i));
    for (at, i) in brought.enumerate() {
        places[i] = Some(at);
    }
    let incoming = |i: usize| match places[i].map(|at| columns.get(at)) {
        Some(Some(Some(text))) => Incoming::Text(text),
        Some(Some(None)) => Incoming::Null,
        _ => Incoming::Missing,
    };
    let (key, row) = table
        .row(leaf, &incoming, None)
        .map_err(|reason| ProjectionError::Input {
            table: table.table.display_name(),
            lsn: Lsn::ZERO,
            reason,
        })?;
    let mut at = load_prefix(table.table.oid, shadow);
    at.extend_from_slice(&key);
    Ok((at, row))
}

/// Under which prefix a copy is written: the shadow of a live table, else its own rows, which nothing reads yet.
#[must_use]
pub fn load_prefix(oid: u32, shadow: bool) -> Vec<u8> {
    keyspace::prefix(
        if shadow {
            keyspace::SHADOW
        } else {
            keyspace::ROW
        },
        oid,
    )
}

/// Makes the rows of a live table those of its shadow; gives the keys of rows that differ.
fn swap_shadow(
    state: &mut State,
    before: &Snapshot,
    oid: u32,
) -> Result<BTreeSet<Vec<u8>>, ProjectionError> {
    let live = keyspace::prefix(keyspace::ROW, oid);
    let shadow = keyspace::prefix(keyspace::SHADOW, oid);
    let mut changed = BTreeSet::new();
    for entry in before.scan(&live, None)? {
        let (key, _) = entry?;
        let key = &key[live.len()..];
        let mut at = shadow.clone();
        at.extend_from_slice(key);
        if before.get(&at)?.is_none() {
            state.delete(&keyspace::row(RelationId::Table(oid), key))?;
            changed.insert(key.to_vec());
        }
    }
    for entry in before.scan(&shadow, None)? {
        let (key, row) = entry?;
        let key = &key[shadow.len()..];
        let at = keyspace::row(RelationId::Table(oid), key);
        if before.get(&at)? != Some(row) {
            state.put(&at, row)?;
            changed.insert(key.to_vec());
        }
    }
    state.delete_prefix(&shadow)?;
    Ok(changed)
}

/// The columns by which state tells a table's rows apart: its replica identity, else its primary key.
#[must_use]
pub fn row_key(table: &readside_model::Table) -> Option<Vec<usize>> {
    if !table.identity.is_empty() && table.replica_identity != readside_model::ReplicaIdentity::Full
    {
        return Some(table.identity.clone());
    }
    let unique = |u: &&readside_model::UniqueIndex| {
        u.immediate && u.columns.iter().all(|c| table.columns[*c].not_null)
    };
    table
        .unique
        .iter()
        .find(|u| u.primary)
        .or_else(|| table.unique.iter().find(unique))
        .map(|u| u.columns.clone())
}

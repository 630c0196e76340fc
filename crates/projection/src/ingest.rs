//! Changes of the stream to changes of rows in state.
//!
//! In: `pgoutput` messages of whole transactions. Out: rows put and deleted, and the set of row keys that were touched per table;
//! the net change of a row is what it was in the snapshot before the batch against what it is now.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use readside_model::{Lsn, Timestamp};
use readside_pgoutput::{ColumnRef, Message, OldKind, TupleData, decode};
use readside_state::{Read, State};

use crate::keyspace::{self, RelationId};
use crate::row::Row;
use crate::table::{Incoming, TableExec};
use crate::{ProjectionError, Registry};

/// What is known of a relation of the stream.
#[derive(Debug, Clone)]
struct StreamRelation {
    /// The table whose rows it holds (its root, for a leaf); `None` if no view reads it.
    table: Option<u32>,
    /// For each column of the table, its place in the stream's tuples.
    places: Vec<Option<usize>>,
}

/// The stream's relations as last described, and the tables they belong to.
#[derive(Debug, Default)]
pub(crate) struct Ingest {
    relations: BTreeMap<u32, StreamRelation>,
    /// Leaf oid → table oid.
    leaves: BTreeMap<u32, u32>,
}

/// A transaction's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionHeader {
    /// Its commit record.
    pub commit_lsn: Lsn,
    /// Behind it.
    pub end_lsn: Lsn,
    /// When.
    pub commit_time: Timestamp,
}

/// Row keys that a batch has touched, by relation.
pub(crate) type Touched = BTreeMap<RelationId, BTreeSet<Vec<u8>>>;

impl Ingest {
    pub(crate) fn new(
        tables: &BTreeMap<u32, TableExec>,
        state: &State,
    ) -> Result<Ingest, ProjectionError> {
        let mut ingest = Ingest::default();
        for table in tables.values() {
            for leaf in &table.table.leaves {
                ingest.leaves.insert(*leaf, table.table.oid);
            }
        }
        let prefix = keyspace::meta("relation/");
        let mut stored = Vec::new();
        for entry in state.scan(&prefix, None)? {
            stored.push(Bytes::copy_from_slice(entry?.1));
        }
        for bytes in stored {
            ingest.describe(&bytes, tables)?;
        }
        Ok(ingest)
    }

    fn describe(
        &mut self,
        bytes: &Bytes,
        tables: &BTreeMap<u32, TableExec>,
    ) -> Result<u32, ProjectionError> {
        let Message::Relation(relation) =
            decode(bytes, false).map_err(|e| ProjectionError::Message(e.to_string()))?
        else {
            return Err(ProjectionError::Corrupt("a stored relation".to_owned()));
        };
        let oid = relation.oid;
        let table_oid = self.leaves.get(&oid).copied().unwrap_or(oid);
        let (table, places) = match tables.get(&table_oid) {
            None => (None, Vec::new()),
            Some(exec) => {
                let places = exec
                    .table
                    .columns
                    .iter()
                    .map(|column| relation.columns.iter().position(|c| c.name == column.name))
                    .collect();
                (Some(table_oid), places)
            }
        };
        self.relations.insert(oid, StreamRelation { table, places });
        Ok(oid)
    }

    /// Takes note of a relation's description; says whether the message was one.
    pub(crate) fn describe_and_keep(
        &mut self,
        state: &mut State,
        tables: &BTreeMap<u32, TableExec>,
        message: &Bytes,
    ) -> Result<bool, ProjectionError> {
        if message.first() != Some(&b'R') {
            return Ok(false);
        }
        let oid = self.describe(message, tables)?;
        state.put(&keyspace::meta(&format!("relation/{oid}")), message)?;
        Ok(true)
    }

    /// Applies one message; gives the stream relation's table if it was a change of one that views read. Changes of tables that are
    /// not valid yet at this commit are passed over.
    pub(crate) fn apply(
        &mut self,
        state: &mut State,
        tables: &BTreeMap<u32, TableExec>,
        registry: &Registry,
        transaction: &TransactionHeader,
        message: &Bytes,
        touched: &mut Touched,
    ) -> Result<Option<u32>, ProjectionError> {
        if self.describe_and_keep(state, tables, message)? {
            return Ok(None);
        }
        let message =
            decode(message, false).map_err(|e| ProjectionError::Message(e.to_string()))?;
        let mut change = Change {
            ingest: self,
            state,
            tables,
            registry,
            transaction,
            touched,
        };
        let relation = match message {
            Message::Insert(insert) => {
                change.insert(insert.relation, &insert.new)?;
                insert.relation
            }
            Message::Update(update) => {
                let old = update.old.as_ref().map(|old| (&old.tuple, old.kind));
                change.update(update.relation, old, &update.new)?;
                update.relation
            }
            Message::Delete(delete) => {
                change.delete(delete.relation, &delete.old.tuple)?;
                delete.relation
            }
            Message::Truncate(truncate) => {
                for relation in &truncate.relations {
                    change.truncate(*relation)?;
                }
                truncate.relations.first().copied().unwrap_or_default()
            }
            _ => return Ok(None),
        };
        Ok(self.relations.get(&relation).and_then(|known| known.table))
    }
}

struct Change<'a> {
    ingest: &'a Ingest,
    state: &'a mut State,
    tables: &'a BTreeMap<u32, TableExec>,
    registry: &'a Registry,
    transaction: &'a TransactionHeader,
    touched: &'a mut Touched,
}

impl<'a> Change<'a> {
    /// The table of a stream relation, if its changes are to be applied now.
    fn table(
        &self,
        relation: u32,
    ) -> Result<Option<(&'a TableExec, &'a StreamRelation)>, ProjectionError> {
        let Some(known) = self.ingest.relations.get(&relation) else {
            return Err(ProjectionError::Message(format!(
                "a change of relation {relation}, which was not described before"
            )));
        };
        let Some(oid) = known.table else {
            return Ok(None);
        };
        let valid_from = self.registry.tables.get(&oid).and_then(|t| t.valid_from);
        let applies = valid_from.is_some_and(|x| self.transaction.commit_lsn >= x);
        Ok(if applies {
            self.tables.get(&oid).map(|exec| (exec, known))
        } else {
            None
        })
    }

    fn insert(&mut self, relation: u32, new: &TupleData) -> Result<(), ProjectionError> {
        let Some((table, known)) = self.table(relation)? else {
            return Ok(());
        };
        let columns: Vec<ColumnRef<'_>> = new.iter().collect();
        let (key, row) = table
            .row(relation, &|i| place(known, &columns, i), None)
            .map_err(|reason| self.refused(table, reason))?;
        self.put(table, key, &row)
    }

    fn update(
        &mut self,
        relation: u32,
        old: Option<(&TupleData, OldKind)>,
        new: &TupleData,
    ) -> Result<(), ProjectionError> {
        let Some((table, known)) = self.table(relation)? else {
            return Ok(());
        };
        let columns: Vec<ColumnRef<'_>> = new.iter().collect();
        let old_columns: Option<(Vec<ColumnRef<'_>>, OldKind)> =
            old.map(|(tuple, kind)| (tuple.iter().collect(), kind));
        // An unchanged TOAST value comes from the old row as sent (all of it under FULL, its key under DEFAULT), else from state.
        let incoming = |i: usize| match (place(known, &columns, i), &old_columns) {
            (Incoming::Unchanged, Some((old, kind)))
                if *kind == OldKind::Full || table.key.contains(&i) =>
            {
                place(known, old, i)
            }
            (incoming, _) => incoming,
        };
        let old_key = match &old_columns {
            Some((old, _)) => table.old_key(&|i| place(known, old, i)),
            None => table.old_key(&incoming),
        }
        .map_err(|reason| self.refused(table, reason))?;
        let id = RelationId::Table(table.table.oid);
        let old_row = self.state.get(&keyspace::row(id, &old_key))?.map(Row);
        let (key, row) = table
            .row(relation, &incoming, old_row)
            .map_err(|reason| self.refused(table, reason))?;
        if key != old_key {
            self.remove(table, old_key)?;
        }
        self.put(table, key, &row)
    }

    fn delete(&mut self, relation: u32, old: &TupleData) -> Result<(), ProjectionError> {
        let Some((table, known)) = self.table(relation)? else {
            return Ok(());
        };
        let columns: Vec<ColumnRef<'_>> = old.iter().collect();
        let key = table
            .old_key(&|i| place(known, &columns, i))
            .map_err(|reason| self.refused(table, reason))?;
        self.remove(table, key)
    }

    fn truncate(&mut self, relation: u32) -> Result<(), ProjectionError> {
        let Some((table, _)) = self.table(relation)? else {
            return Ok(());
        };
        let prefix = keyspace::rows(RelationId::Table(table.table.oid));
        let only_leaf = (relation != table.table.oid).then_some(relation);
        let mut keys = Vec::new();
        for entry in self.state.scan(&prefix, None)? {
            let (key, row) = entry?;
            if only_leaf.is_none_or(|leaf| table.leaf_of(Row(row)) == Some(leaf)) {
                keys.push(key[prefix.len()..].to_vec());
            }
        }
        for key in keys {
            self.remove(table, key)?;
        }
        Ok(())
    }

    fn put(&mut self, table: &TableExec, key: Vec<u8>, row: &[u8]) -> Result<(), ProjectionError> {
        let id = RelationId::Table(table.table.oid);
        self.state.put(&keyspace::row(id, &key), row)?;
        self.touched.entry(id).or_default().insert(key);
        Ok(())
    }

    fn remove(&mut self, table: &TableExec, key: Vec<u8>) -> Result<(), ProjectionError> {
        let id = RelationId::Table(table.table.oid);
        self.state.delete(&keyspace::row(id, &key))?;
        self.touched.entry(id).or_default().insert(key);
        Ok(())
    }

    fn refused(&self, table: &TableExec, reason: String) -> ProjectionError {
        ProjectionError::Input {
            table: table.table.display_name(),
            lsn: self.transaction.commit_lsn,
            reason,
        }
    }
}

fn place<'t>(known: &StreamRelation, columns: &[ColumnRef<'t>], column: usize) -> Incoming<'t> {
    match known
        .places
        .get(column)
        .copied()
        .flatten()
        .and_then(|at| columns.get(at))
    {
        None => Incoming::Missing,
        Some(ColumnRef::Null) => Incoming::Null,
        Some(ColumnRef::Unchanged) => Incoming::Unchanged,
        Some(ColumnRef::Text(bytes)) => Incoming::Text(bytes),
        Some(ColumnRef::Binary(_)) => Incoming::Missing,
    }
}

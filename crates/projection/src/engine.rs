//! The engine: applies batches of transactions to state by the one delta rule, and fills what is new.
//!
//! In: plans, and whole transactions in commit order. Out: state, accumulators and pending keys, committed with the position.
//!
//! Always: within a batch base rows come first, then indexes, then stages in topological order (touch in the snapshot before and
//! in the state after, evaluate in both, head), then pending, then one commit. Pure but for state, so that a replay gives the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use readside_expr::Expr;
use readside_model::{Catalog, Lsn, Position, Timestamp};
use readside_pgtype::Type;
use readside_plan::{Plan, Relation};
use readside_state::{Committed, Read, Snapshot, State};

use crate::access::{IndexDef, Parts};
use crate::ingest::{Ingest, Touched, TransactionHeader};
use crate::keyspace::{self, RelationId};
use crate::registry::{IndexRecord, Registry, TableRecord, ViewRecord};
use crate::row::Row;
use crate::stage::run_stage;
use crate::table::{TableExec, index_key};
use crate::view::{Known, ViewExec, stage_key};
use crate::{ProjectionError, TargetId, pending};

/// A view as it is configured.
#[derive(Debug, Clone)]
pub struct ViewSpec {
    /// Its plan.
    pub plan: Arc<Plan>,
    /// Its targets by a name that tells sink and place.
    pub targets: Vec<String>,
}

/// Stored generated columns, compiled, by table oid and column index.
pub type GeneratedColumns = BTreeMap<u32, BTreeMap<usize, Expr>>;

/// State and plans, brought together.
#[derive(Debug)]
pub struct Engine {
    registry: Registry,
    /// By oid.
    tables: BTreeMap<u32, TableExec>,
    views: Vec<Arc<ViewExec>>,
    ingest: Ingest,
    /// Indexes over internal tables, by stage id.
    stage_indexes: BTreeMap<u32, Vec<(u32, Parts)>>,
}

/// What a start has to do before the stream can be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tables that have to be loaded (for the first time, or anew since columns are missing or changed).
    pub tables: Vec<u32>,
    /// Views whose stages have to be filled.
    pub views: Vec<String>,
}

/// A batch in the making.
pub struct Batch {
    before: Snapshot,
    touched: Touched,
    first: Option<TransactionHeader>,
    last: Option<TransactionHeader>,
    /// Changes applied so far.
    pub changes: u64,
    /// The same by table.
    tables: BTreeMap<u32, u64>,
    /// Transactions applied so far.
    pub transactions: u64,
}

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Row changes.
    pub changes: u64,
    /// Row changes by table oid.
    pub tables: BTreeMap<u32, u64>,
    /// Transactions.
    pub transactions: u64,
    /// How many keys became pending, by target; every target that had a key marked is in it.
    pub newly_pending: BTreeMap<TargetId, u64>,
}

impl Engine {
    /// Brings plans and state together. What is no longer configured is removed from state; what is new is registered, not filled.
    /// `stale` tables are to be copied anew though their rows could be used.
    pub fn open(
        state: &mut State,
        catalog: &Catalog,
        generated: &GeneratedColumns,
        views: &[ViewSpec],
        stale: &BTreeSet<u32>,
    ) -> Result<(Engine, Needs), ProjectionError> {
        let mut registry = Registry::load(state)?;
        let mut tables: BTreeMap<u32, TableExec> = BTreeMap::new();
        let mut read: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for spec in views {
            for stage in &spec.plan.stages {
                columns_read(stage, &mut read);
            }
        }
        for (oid, columns) in &read {
            let Some(table) = catalog.tables.get(oid) else {
                return Err(ProjectionError::Plan {
                    view: views
                        .first()
                        .map(|v| v.plan.view.clone())
                        .unwrap_or_default(),
                    reason: format!("table {oid} is not in the catalog any more"),
                });
            };
            let key = row_key(table).ok_or_else(|| ProjectionError::Plan {
                view: table.display_name(),
                reason: "the table has no key by which its rows can be told apart".to_owned(),
            })?;
            let generated = generated.get(oid).cloned().unwrap_or_default();
            let stored = TableExec::closure(table, &generated, &key, columns);
            tables.insert(
                *oid,
                TableExec {
                    table: table.clone(),
                    stored,
                    key,
                    generated,
                    indexes: Vec::new(),
                },
            );
        }
        let mut needs = Needs::default();
        let mut relaid = BTreeSet::new();
        for (oid, exec) in &mut tables {
            let layout = TableExec::layout(&exec.table);
            let wanted = stored_names(exec);
            let record = registry
                .tables
                .get_mut(oid)
                .filter(|r| r.valid_from.is_some());
            // A column that was not stored cannot be made up for changes that come before the new copy.
            let fits = record.as_ref().is_some_and(|r| {
                layout.starts_with(&r.columns) && r.key == exec.key && r.stored.is_superset(&wanted)
            });
            match record {
                Some(record) if fits && !stale.contains(oid) => {
                    record.columns = layout;
                    exec.stored = exec
                        .table
                        .columns
                        .iter()
                        .map(|c| record.stored.contains(&c.name))
                        .collect();
                }
                // Its rows can be read as they are, and a new copy be compared with them.
                Some(record) if fits => {
                    exec.stored = exec
                        .table
                        .columns
                        .iter()
                        .map(|c| record.stored.contains(&c.name))
                        .collect();
                    needs.tables.push(*oid);
                }
                known => {
                    if known.is_some() {
                        relaid.insert(*oid);
                    }
                    // The loader clears what rows there are, beneath the overlay.
                    registry.tables.remove(oid);
                    needs.tables.push(*oid);
                }
            }
        }
        retire(state, &mut registry, views, &relaid, stale)?;
        registry.tables.retain(|oid, _| tables.contains_key(oid));
        let mut execs = Vec::new();
        let mut stage_indexes: BTreeMap<u32, Vec<(u32, Parts)>> = BTreeMap::new();
        let mut defs: Vec<(u32, IndexDef)> = Vec::new();
        for spec in views {
            let plan = &spec.plan;
            if !registry.views.contains_key(&plan.view) {
                let stages = plan.stages.iter().map(|_| registry.next_id()).collect();
                registry.views.insert(
                    plan.view.clone(),
                    ViewRecord {
                        fingerprint: plan.fingerprint.clone(),
                        stages,
                        filled: false,
                        targets: BTreeMap::new(),
                        marked: BTreeSet::new(),
                        accounted: BTreeSet::new(),
                    },
                );
            }
            let mut record = registry.views[&plan.view].clone();
            let mut targets = Vec::new();
            for name in &spec.targets {
                let id = match record.targets.get(name) {
                    Some(id) => *id,
                    None => registry.next_id(),
                };
                record.targets.insert(name.clone(), id);
                targets.push(TargetId(id));
            }
            let stages = plan.stages.iter().zip(&record.stages).map(|(s, id)| {
                let (key, single) = stage_key(s);
                (*id, key, single)
            });
            let mut index = |def: IndexDef| -> u32 {
                let signature = format!("{def:?}");
                let id = match registry.indexes.get(&signature) {
                    Some(record) => record.id,
                    None => {
                        let id = registry.next_id();
                        registry
                            .indexes
                            .insert(signature, IndexRecord { id, built: false });
                        id
                    }
                };
                if !defs.iter().any(|(known, _)| *known == id) {
                    defs.push((id, def));
                }
                id
            };
            let mut known = Known {
                table_keys: &|oid| {
                    tables.get(&oid).map_or_else(Vec::new, |t| {
                        t.key
                            .iter()
                            .map(|k| {
                                (
                                    u16::try_from(*k).unwrap_or(u16::MAX),
                                    t.table.columns[*k].ty.clone(),
                                )
                            })
                            .collect()
                    })
                },
                table_columns: &|oid| tables.get(&oid).map_or(0, |t| t.table.columns.len()),
                table_not_null: &|oid, column| {
                    tables
                        .get(&oid)
                        .and_then(|t| t.table.columns.get(usize::from(column)))
                        .is_some_and(|c| c.not_null)
                },
                stages: stages.collect(),
                indexes: &mut index,
            };
            let exec = ViewExec::new(Arc::clone(plan), &record.stages, targets, &mut known)?;
            if !record.filled {
                needs.views.push(plan.view.clone());
            }
            registry.views.insert(plan.view.clone(), record);
            execs.push(Arc::new(exec));
        }
        let used: BTreeSet<u32> = defs.iter().map(|(id, _)| *id).collect();
        let unused: Vec<(String, u32)> = registry
            .indexes
            .iter()
            .filter(|(_, r)| !used.contains(&r.id))
            .map(|(s, r)| (s.clone(), r.id))
            .collect();
        for (signature, id) in unused {
            state.delete_prefix(&keyspace::prefix(keyspace::INDEX, id))?;
            registry.indexes.remove(&signature);
        }
        for (id, def) in defs {
            match def.relation {
                RelationId::Table(oid) => {
                    if let Some(table) = tables.get_mut(&oid) {
                        table.indexes.push((id, def.parts));
                    }
                }
                RelationId::Stage(stage) => stage_indexes
                    .entry(stage)
                    .or_default()
                    .push((id, def.parts)),
            }
        }
        registry.save(state)?;
        let ingest = Ingest::new(&tables, state)?;
        state.commit(state.committed());
        let mut engine = Engine {
            registry,
            tables,
            views: execs,
            ingest,
            stage_indexes,
        };
        engine.build_missing_indexes(state, &needs.tables)?;
        Ok((engine, needs))
    }

    /// The views.
    #[must_use]
    pub fn views(&self) -> &[Arc<ViewExec>] {
        &self.views
    }

    /// The tables that views read, by oid.
    #[must_use]
    pub fn tables(&self) -> &BTreeMap<u32, TableExec> {
        &self.tables
    }

    /// What state holds.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Starts a batch.
    pub fn begin(&self, state: &State) -> Result<Batch, ProjectionError> {
        Ok(Batch {
            before: state.snapshot()?,
            touched: Touched::new(),
            first: None,
            last: None,
            changes: 0,
            tables: BTreeMap::new(),
            transactions: 0,
        })
    }

    /// Applies a whole transaction's messages to base rows.
    pub fn apply(
        &mut self,
        state: &mut State,
        batch: &mut Batch,
        transaction: TransactionHeader,
        messages: &mut dyn Iterator<Item = Bytes>,
    ) -> Result<(), ProjectionError> {
        for message in messages {
            if let Some(table) = self.ingest.apply(
                state,
                &self.tables,
                &self.registry,
                &transaction,
                &message,
                &mut batch.touched,
            )? {
                batch.changes += 1;
                *batch.tables.entry(table).or_default() += 1;
                if state.is_large() && batch.changes.is_multiple_of(LARGE_PIECE) {
                    state.maybe_flush()?;
                }
            }
        }
        batch.transactions += 1;
        batch.first.get_or_insert(transaction);
        batch.last = Some(transaction);
        Ok(())
    }

    /// Takes note of the relations that a transaction describes, and of nothing else in it: for a transaction that tables which were
    /// copied later already show. A relation is described once per connection, wherever that happens to be.
    pub fn describe(
        &mut self,
        state: &mut State,
        messages: &mut dyn Iterator<Item = Bytes>,
    ) -> Result<(), ProjectionError> {
        for message in messages {
            self.ingest
                .describe_and_keep(state, &self.tables, &message)?;
        }
        Ok(())
    }

    /// Moves the position without changes (a keepalive). Nothing may be in the batch behind it.
    pub fn keepalive(&mut self, state: &mut State, lsn: Lsn) {
        let committed = state.committed();
        if lsn > committed.published {
            state.commit(Committed {
                applied: Position {
                    commit: lsn,
                    ordinal: 0,
                },
                published: lsn,
            });
        }
    }

    /// Runs the stages over what the batch touched, marks pending keys, and commits.
    pub fn finish(
        &mut self,
        state: &mut State,
        batch: Batch,
    ) -> Result<BatchOutcome, ProjectionError> {
        let (Some(first), Some(last)) = (batch.first, batch.last) else {
            return Ok(BatchOutcome::default());
        };
        let mut outcome = BatchOutcome {
            changes: batch.changes,
            tables: batch.tables,
            transactions: batch.transactions,
            newly_pending: BTreeMap::new(),
        };
        let span = Span {
            first: first.end_lsn,
            last: last.end_lsn,
            since: first.commit_time,
        };
        self.propagate(state, &batch.before, batch.touched, span, &mut outcome)?;
        drop(batch.before);
        state.commit(Committed {
            applied: Position {
                commit: last.end_lsn,
                ordinal: 0,
            },
            published: last.end_lsn,
        });
        Ok(outcome)
    }

    /// The delta rule over everything that `touched` names.
    fn propagate(
        &mut self,
        state: &mut State,
        before: &Snapshot,
        mut touched: Touched,
        span: Span,
        outcome: &mut BatchOutcome,
    ) -> Result<(), ProjectionError> {
        // A row that is as it was is not a change.
        for (relation, keys) in &mut touched {
            let mut same = Vec::new();
            for key in keys.iter() {
                let at = keyspace::row(*relation, key);
                if before.get(&at)? == state.get(&at)? {
                    same.push(key.clone());
                }
            }
            for key in same {
                keys.remove(&key);
            }
        }
        touched.retain(|_, keys| !keys.is_empty());
        for (relation, keys) in &touched {
            if let RelationId::Table(oid) = relation
                && let Some(table) = self.tables.get(oid)
            {
                update_indexes(state, before, *relation, &table.indexes, keys)?;
            }
        }
        for view in &self.views {
            if !self
                .registry
                .views
                .get(&view.plan.view)
                .is_some_and(|r| r.filled)
            {
                continue;
            }
            let mut internal: Touched = Touched::new();
            for stage in &view.stages {
                let changed = run_stage(
                    state,
                    before,
                    stage,
                    &touched,
                    &internal,
                    &mut |state, key| {
                        for target in &view.targets {
                            let new = pending::mark(
                                state, *target, key, span.first, span.last, span.since,
                            )?;
                            *outcome.newly_pending.entry(*target).or_default() += u64::from(new);
                        }
                        Ok(())
                    },
                )
                .map_err(|e| e.in_view(&view.plan.view))?;
                if !changed.is_empty() {
                    let relation = RelationId::Stage(stage.id);
                    if let Some(indexes) = self.stage_indexes.get(&stage.id) {
                        update_indexes(state, before, relation, indexes, &changed)?;
                    }
                    internal.insert(relation, changed);
                }
            }
        }
        Ok(())
    }

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

    /// Fills the stages of a view that is new from the tables in state, and marks all its keys. The view is live afterwards.
    pub fn fill(
        &mut self,
        state: &mut State,
        view: &str,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ProjectionError> {
        let Some(exec) = self.views.iter().find(|v| v.plan.view == view) else {
            return Ok(());
        };
        for stage in &exec.stages {
            clear_stage(state, stage.id)?;
            for (id, _) in self.stage_indexes.get(&stage.id).into_iter().flatten() {
                state.delete_prefix(&keyspace::prefix(keyspace::INDEX, *id))?;
            }
            state.commit(state.committed());
            crate::stage::fill_stage(state, stage, &exec.targets, progress)
                .map_err(|e| e.in_view(view))?;
            for (id, parts) in self.stage_indexes.get(&stage.id).into_iter().flatten() {
                build_index(state, *id, parts, RelationId::Stage(stage.id))?;
            }
            state.commit(state.committed());
            state.maybe_flush()?;
        }
        for target in &exec.targets {
            crate::written::mark_orphans(state, exec, *target)?;
            state.commit(state.committed());
            state.maybe_flush()?;
        }
        let targets: BTreeSet<u32> = exec.targets.iter().map(|t| t.0).collect();
        if let Some(record) = self.registry.views.get_mut(view) {
            record.filled = true;
            record.marked = targets;
        }
        self.registry.save(state)?;
        state.commit(state.committed());
        Ok(())
    }

    /// Marks every key of a view for one target, as after a sink lost its data.
    pub fn mark_all(
        &mut self,
        state: &mut State,
        view: &str,
        target: TargetId,
    ) -> Result<u64, ProjectionError> {
        let Some(exec) = self.views.iter().find(|v| v.plan.view == view) else {
            return Ok(0);
        };
        let Some(stage) = exec.stages.last() else {
            return Ok(0);
        };
        let marked = crate::stage::mark_stage(state, stage, &[target], &mut |_| {})?;
        if let Some(record) = self.registry.views.get_mut(view) {
            record.marked.insert(target.0);
        }
        self.registry.save(state)?;
        state.commit(state.committed());
        Ok(marked)
    }

    /// Whether `written` names everything that the sink of a target holds.
    #[must_use]
    pub fn is_accounted(&self, view: &str, target: TargetId) -> bool {
        self.registry
            .views
            .get(view)
            .is_some_and(|record| record.accounted.contains(&target.0))
    }

    /// From now on it does.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn set_accounted(
        &mut self,
        state: &mut State,
        view: &str,
        target: TargetId,
    ) -> Result<(), ProjectionError> {
        if let Some(record) = self.registry.views.get_mut(view) {
            record.accounted.insert(target.0);
        }
        self.registry.save(state)?;
        state.commit(state.committed());
        Ok(())
    }

    /// Targets of filled views whose keys were never marked: a sink was added to a view.
    #[must_use]
    pub fn unmarked_targets(&self) -> Vec<(String, TargetId)> {
        let mut out = Vec::new();
        for view in &self.views {
            if let Some(record) = self
                .registry
                .views
                .get(&view.plan.view)
                .filter(|r| r.filled)
            {
                out.extend(
                    view.targets
                        .iter()
                        .filter(|t| !record.marked.contains(&t.0))
                        .map(|t| (view.plan.view.clone(), *t)),
                );
            }
        }
        out
    }

    fn build_missing_indexes(
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

/// From where to where a batch reaches.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: Lsn,
    last: Lsn,
    since: Timestamp,
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

fn columns_read(stage: &readside_plan::Stage, read: &mut BTreeMap<u32, BTreeSet<usize>>) {
    let mut of_occ: BTreeMap<u16, u32> = BTreeMap::new();
    for (i, occurrence) in stage.block.occurrences.iter().enumerate() {
        if let Relation::Table(oid) = occurrence.relation {
            of_occ.insert(u16::try_from(i).unwrap_or(u16::MAX), oid);
            read.entry(oid).or_default();
        }
    }
    crate::level::every_expr(stage, &mut |expr| {
        expr.walk(&mut |e| {
            if let Expr::Column(c) = e
                && let Some(oid) = of_occ.get(&c.occ.0)
            {
                read.entry(*oid).or_default().insert(usize::from(c.column));
            }
        });
    });
}

fn stored_names(table: &TableExec) -> BTreeSet<String> {
    table
        .table
        .columns
        .iter()
        .zip(&table.stored)
        .filter(|(_, s)| **s)
        .map(|(c, _)| c.name.clone())
        .collect()
}

/// Removes from state what is no longer configured. A view that is configured otherwise, or whose tables' rows had to go, keeps its
/// targets and what they hold in the sink, and is to be filled anew.
fn retire(
    state: &mut State,
    registry: &mut Registry,
    views: &[ViewSpec],
    relaid: &BTreeSet<u32>,
    stale: &BTreeSet<u32>,
) -> Result<(), ProjectionError> {
    let gone: Vec<String> = registry
        .views
        .keys()
        .filter(|name| !views.iter().any(|v| v.plan.view == **name))
        .cloned()
        .collect();
    for name in gone {
        let Some(record) = registry.views.remove(&name) else {
            continue;
        };
        for stage in record.stages {
            clear_stage(state, stage)?;
        }
        for target in record.targets.into_values() {
            clear_target(state, target)?;
            state.delete_prefix(&keyspace::prefix(keyspace::WRITTEN, target))?;
        }
    }
    for spec in views {
        let mut reads = BTreeMap::new();
        for stage in &spec.plan.stages {
            columns_read(stage, &mut reads);
        }
        let Some(mut record) = registry.views.remove(&spec.plan.view) else {
            continue;
        };
        if record.fingerprint != spec.plan.fingerprint
            || reads.keys().any(|oid| relaid.contains(oid))
        {
            for stage in &record.stages {
                clear_stage(state, *stage)?;
            }
            for target in record.targets.values() {
                clear_target(state, *target)?;
            }
            record.fingerprint.clone_from(&spec.plan.fingerprint);
            record.stages = spec
                .plan
                .stages
                .iter()
                .map(|_| registry.next_id())
                .collect();
            record.filled = false;
            record.marked.clear();
            record.accounted.clear();
        }
        if reads.keys().any(|oid| stale.contains(oid)) {
            record.accounted.clear();
        }
        let dropped: Vec<String> = record
            .targets
            .keys()
            .filter(|t| !spec.targets.contains(t))
            .cloned()
            .collect();
        for name in dropped {
            if let Some(id) = record.targets.remove(&name) {
                record.marked.remove(&id);
                record.accounted.remove(&id);
                clear_target(state, id)?;
                state.delete_prefix(&keyspace::prefix(keyspace::WRITTEN, id))?;
            }
        }
        registry.views.insert(spec.plan.view.clone(), record);
    }
    Ok(())
}

fn clear_stage(state: &mut State, stage: u32) -> Result<(), ProjectionError> {
    for tag in [
        keyspace::STAGE_ROW,
        keyspace::ACCUMULATOR,
        keyspace::CONTRIBUTION,
        keyspace::DISTINCT,
        keyspace::CANDIDATE,
        keyspace::DEAD,
    ] {
        state.delete_prefix(&keyspace::prefix(tag, stage))?;
    }
    Ok(())
}

fn clear_target(state: &mut State, target: u32) -> Result<(), ProjectionError> {
    for tag in [keyspace::PENDING, keyspace::QUEUE, keyspace::DEAD] {
        state.delete_prefix(&keyspace::prefix(tag, target))?;
    }
    Ok(())
}

fn update_indexes(
    state: &mut State,
    before: &dyn Read,
    relation: RelationId,
    indexes: &[(u32, Vec<(Expr, Type)>)],
    keys: &BTreeSet<Vec<u8>>,
) -> Result<(), ProjectionError> {
    for (id, parts) in indexes {
        for key in keys {
            let at = keyspace::row(relation, key);
            let entry = |row: Option<&[u8]>| {
                let mut out = keyspace::prefix(keyspace::INDEX, *id);
                let has = row.is_some_and(|row| index_key(parts, Row(row), &mut out));
                has.then(|| {
                    out.extend_from_slice(key);
                    out
                })
            };
            let old = entry(before.get(&at)?);
            let new = entry(state.get(&at)?);
            if old != new {
                if let Some(old) = old {
                    state.delete(&old)?;
                }
                if let Some(new) = new {
                    state.put(&new, &[])?;
                }
            }
        }
    }
    Ok(())
}

/// Changes of a transaction larger than memory between two looks at how much memory it has taken.
const LARGE_PIECE: u64 = 4_096;

/// How many entries one piece of a long piece of work writes before it lets the state flush.
const PIECE: usize = 20_000;

fn build_index(
    state: &mut State,
    id: u32,
    parts: &[(Expr, Type)],
    relation: RelationId,
) -> Result<(), ProjectionError> {
    state.delete_prefix(&keyspace::prefix(keyspace::INDEX, id))?;
    state.commit(state.committed());
    let snapshot = state.snapshot()?;
    let prefix = keyspace::rows(relation);
    let mut written = 0;
    for entry in snapshot.scan(&prefix, None)? {
        let (key, row) = entry?;
        let mut out = keyspace::prefix(keyspace::INDEX, id);
        if index_key(parts, Row(row), &mut out) {
            out.extend_from_slice(&key[prefix.len()..]);
            state.put(&out, &[])?;
            written += 1;
            if written % PIECE == 0 {
                state.commit(state.committed());
                state.maybe_flush()?;
            }
        }
    }
    Ok(())
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

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
use readside_model::{Lsn, Position, Timestamp};
use readside_plan::Plan;
use readside_state::{Committed, Read, Snapshot, State};

use crate::access::Parts;
use crate::index::update_indexes;
use crate::ingest::{Ingest, Touched, TransactionHeader};
use crate::keyspace::{self, RelationId};
use crate::opening::clear_stage;
use crate::registry::Registry;
use crate::stage::{Progress, run_stage};
use crate::table::TableExec;
use crate::view::ViewExec;
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
    pub(crate) registry: Registry,
    /// By oid.
    pub(crate) tables: BTreeMap<u32, TableExec>,
    pub(crate) views: Vec<Arc<ViewExec>>,
    pub(crate) ingest: Ingest,
    /// Indexes over internal tables, by stage id.
    pub(crate) stage_indexes: BTreeMap<u32, Vec<(u32, Parts)>>,
    /// Raised by each switch to other stages: what was computed from the former ones says nothing of the present ones.
    pub(crate) generation: u64,
    /// Rows of a view's tables that changed since its rebuild began, by view.
    pub(crate) watched: BTreeMap<String, Touched>,
}

/// What a start has to do before the stream can be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tables that have to be loaded (for the first time, or anew since columns are missing or changed).
    pub tables: Vec<u32>,
    /// Views whose stages have to be filled.
    pub views: Vec<String>,
    /// Views whose rebuild was interrupted.
    pub rebuilds: Vec<String>,
    /// Views whose rebuild was interrupted again and again, and is not begun any more.
    pub given_up: Vec<String>,
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
    /// The views.
    #[must_use]
    pub fn views(&self) -> &[Arc<ViewExec>] {
        &self.views
    }

    /// The view of a target.
    #[must_use]
    pub fn view_of(&self, target: TargetId) -> Option<Arc<ViewExec>> {
        let has = |view: &&Arc<ViewExec>| view.targets.contains(&target);
        self.views.iter().find(has).cloned()
    }

    /// How often views have been switched to other stages in this life.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The view of each target.
    #[must_use]
    pub fn views_by_target(&self) -> BTreeMap<TargetId, Arc<ViewExec>> {
        let of = |view: &Arc<ViewExec>| {
            let view = Arc::clone(view);
            let targets = view.targets.clone();
            targets
                .into_iter()
                .map(move |target| (target, Arc::clone(&view)))
        };
        self.views.iter().flat_map(of).collect()
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
    pub(crate) fn propagate(
        &mut self,
        state: &mut State,
        before: &dyn Read,
        mut touched: Touched,
        span: Span,
        outcome: &mut BatchOutcome,
    ) -> Result<(), ProjectionError> {
        net(before, state, &mut touched)?;
        for watched in self.watched.values_mut() {
            for (relation, keys) in &touched {
                if let Some(changed) = watched.get_mut(relation) {
                    changed.extend(keys.iter().cloned());
                }
            }
        }
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

    /// Fills the stages of a view that is new from the tables in state, and marks all its keys. The view is live afterwards.
    pub fn fill(
        &mut self,
        state: &mut State,
        view: &str,
        progress: Progress<'_>,
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
            let indexes = self.stage_indexes.get(&stage.id).map_or(&[][..], |i| i);
            crate::stage::fill_stage(state, stage, indexes, &exec.targets, progress)
                .map_err(|e| e.in_view(view))?;
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
        let mut marked = crate::stage::mark_stage(state, stage, &[target], &mut |_| Ok(()))?;
        let returned = self.registry.views.get(view).map(|r| &r.returned);
        if returned.is_some_and(|returned| returned.contains(&target.0)) {
            marked += crate::written::mark_orphans(state, exec, target)?;
        }
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

    /// Whether a target was retired, has come back, and has not been read through since.
    #[must_use]
    pub fn has_returned(&self, view: &str, target: TargetId) -> bool {
        self.registry
            .views
            .get(view)
            .is_some_and(|record| record.returned.contains(&target.0))
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
            record.returned.remove(&target.0);
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
}

/// Drops what is as it was: that is no change.
pub(crate) fn net(
    before: &dyn Read,
    state: &State,
    touched: &mut Touched,
) -> Result<(), ProjectionError> {
    for (relation, keys) in &mut *touched {
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
    Ok(())
}

/// From where to where a batch reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) since: Timestamp,
}

/// Changes of a transaction larger than memory between two looks at how much memory it has taken.
const LARGE_PIECE: u64 = 4_096;

//! Filling a view's stages anew beside the live ones, from one moment of state, while changes go on.
//!
//! In: a view. Out: new stages that hold what the moment's rows make of them, then one delta from the moment to the present, then a switch.
//!
//! Always: nobody reads the new stages before the switch, nor the old ones after it; both happen at one transaction boundary. Block keys
//! are made of row keys, which are the same in both, so what is pending stays right.

use std::collections::BTreeSet;
use std::sync::Arc;

use readside_model::{Lsn, Timestamp};
use readside_state::{Read, Scan, Snapshot, State, StateError};

use crate::access::Parts;
use crate::engine::net;
use crate::index::update_indexes;
use crate::ingest::Touched;
use crate::keyspace::{self, RelationId};
use crate::opening::view_exec;
use crate::registry::RebuildRecord;
use crate::stage::{self, Piece, run_stage};
use crate::view::{HeadExec, ViewExec};
use crate::{Engine, ProjectionError, TargetId, pending};

/// A view's new stages in the making. Evaluating rows needs no access to the live state.
pub struct Rebuild {
    exec: Arc<ViewExec>,
    moment: Moment,
}

/// Tables as of one moment, with the new stages as far as they have been filled from it.
struct Moment {
    tables: Snapshot,
    stages: Option<Snapshot>,
    /// What of the key space belongs to the new stages.
    own: BTreeSet<Vec<u8>>,
}

impl Moment {
    fn of(&self, key: &[u8]) -> &Snapshot {
        match &self.stages {
            Some(stages)
                if key
                    .get(..keyspace::PREFIX_LEN)
                    .is_some_and(|prefix| self.own.contains(prefix)) =>
            {
                stages
            }
            _ => &self.tables,
        }
    }
}

impl Read for Moment {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        self.of(key).get(key)
    }

    fn scan<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        self.of(prefix).scan(prefix, from)
    }

    fn scan_back<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        self.of(prefix).scan_back(prefix, from)
    }
}

/// Rows of a stage that were evaluated, for [`Engine::take_rows`].
pub struct RebuiltRows {
    stage: usize,
    piece: Piece,
}

impl RebuiltRows {
    /// How many rows they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.piece.len()).unwrap_or(u64::MAX)
    }
}

impl Rebuild {
    /// How many stages have to be filled, one after the other.
    #[must_use]
    pub fn stages(&self) -> usize {
        self.exec
            .stages
            .iter()
            .filter(|stage| !matches!(stage.head, HeadExec::Sink))
            .count()
    }

    /// Evaluates the rows of one stage, piece by piece. All stages before it have been taken in and are in `stages`, a snapshot.
    ///
    /// # Errors
    /// When state cannot be read, or `f` gives up.
    pub fn each(
        &mut self,
        stage: usize,
        stages: Snapshot,
        f: &mut dyn FnMut(RebuiltRows) -> Result<(), ProjectionError>,
    ) -> Result<(), ProjectionError> {
        self.moment.stages = Some(stages);
        let Some(exec) = self.exec.stages.get(stage) else {
            return Ok(());
        };
        stage::each_piece(&self.moment, exec, &mut |piece| {
            f(RebuiltRows { stage, piece })
        })
        .map_err(|e| e.in_view(&self.exec.plan.view))
    }

    /// How many rows there are to evaluate, roughly: those of each stage's largest table.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn estimate(&self) -> Result<u64, ProjectionError> {
        let mut total = 0;
        for stage in &self.exec.stages {
            let mut largest = 0;
            for occ in &stage.block.occs {
                if let Some(relation @ RelationId::Table(_)) = occ.relation {
                    let rows = self.moment.tables.scan(&keyspace::rows(relation), None)?;
                    largest = largest.max(rows.count());
                }
            }
            total += u64::try_from(largest).unwrap_or(u64::MAX);
        }
        Ok(total)
    }
}

impl Engine {
    /// Begins a rebuild of a view that is live; durable with the next flush. `None` if it is not live, or is being rebuilt.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn begin_rebuild(
        &mut self,
        state: &mut State,
        view: &str,
    ) -> Result<Option<Rebuild>, ProjectionError> {
        let Some(live) = self.views.iter().find(|v| v.plan.view == view).cloned() else {
            return Ok(None);
        };
        let is_live = self.registry.views.get(view).is_some_and(|r| r.filled);
        if !is_live || self.watched.contains_key(view) {
            return Ok(None);
        }
        let stages: Vec<u32> = live
            .plan
            .stages
            .iter()
            .map(|_| self.registry.next_id())
            .collect();
        let mut defs = Vec::new();
        let exec = view_exec(
            &live.plan,
            &stages,
            live.targets.clone(),
            &self.tables,
            &mut self.registry,
            &mut defs,
        )?;
        let mut own: BTreeSet<Vec<u8>> = BTreeSet::new();
        for stage in &stages {
            own.insert(keyspace::prefix(keyspace::STAGE_ROW, *stage));
        }
        for (id, def) in defs {
            if let RelationId::Stage(stage) = def.relation {
                own.insert(keyspace::prefix(keyspace::INDEX, id));
                self.stage_indexes
                    .entry(stage)
                    .or_default()
                    .push((id, def.parts));
            }
        }
        for record in self.registry.indexes.values_mut() {
            // They are kept as their stage is filled.
            record.built |= own.contains(&keyspace::prefix(keyspace::INDEX, record.id));
        }
        let tries = self
            .registry
            .views
            .get(view)
            .and_then(|record| record.rebuild.as_ref())
            .map_or(0, |rebuild| rebuild.tries);
        self.note_rebuild(
            state,
            view,
            Some(RebuildRecord {
                stages,
                switched: false,
                tries: tries + 1,
            }),
        )?;
        let occurrences = exec.stages.iter().flat_map(|stage| &stage.block.occs);
        let tables = occurrences
            .filter_map(|occ| occ.relation)
            .filter(|relation| matches!(relation, RelationId::Table(_)))
            .map(|relation| (relation, BTreeSet::new()));
        self.watched.insert(view.to_owned(), tables.collect());
        Ok(Some(Rebuild {
            exec: Arc::new(exec),
            moment: Moment {
                tables: state.snapshot()?,
                stages: None,
                own,
            },
        }))
    }

    /// Takes rows that were evaluated into the new stages, and commits.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn take_rows(
        &mut self,
        state: &mut State,
        exec: &RebuildTarget,
        rows: &RebuiltRows,
    ) -> Result<(), ProjectionError> {
        let Some(stage) = exec.0.stages.get(rows.stage) else {
            return Ok(());
        };
        let indexes = self.stage_indexes.get(&stage.id).map_or(&[][..], |i| i);
        stage::take_piece(state, stage, indexes, &rows.piece)
            .map_err(|e| e.in_view(&exec.0.plan.view))
    }

    /// Brings the new stages from their moment to the present by one delta, and makes them the live ones.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn switch(&mut self, state: &mut State, rebuild: Rebuild) -> Result<(), ProjectionError> {
        let Rebuild { exec, mut moment } = rebuild;
        let view = exec.plan.view.clone();
        let mut touched = self.watched.remove(&view).unwrap_or_default();
        moment.stages = Some(state.snapshot()?);
        net(&moment, state, &mut touched)?;
        let mut internal = Touched::new();
        for stage in &exec.stages {
            if matches!(stage.head, HeadExec::Sink) {
                continue;
            }
            let changed = run_stage(state, &moment, stage, &touched, &internal, &mut |_, _| {
                Ok(())
            })
            .map_err(|e| e.in_view(&view))?;
            let relation = RelationId::Stage(stage.id);
            let indexes: &[(u32, Parts)] = self.stage_indexes.get(&stage.id).map_or(&[][..], |i| i);
            update_indexes(state, &moment, relation, indexes, &changed)?;
            internal.insert(relation, changed);
        }
        drop(moment);
        let old = self.registry.views.get_mut(&view).map(|record| {
            std::mem::replace(
                &mut record.stages,
                exec.stages.iter().map(|stage| stage.id).collect(),
            )
        });
        if let Some(live) = self.views.iter_mut().find(|v| v.plan.view == view) {
            *live = exec;
        }
        self.generation += 1;
        self.note_rebuild(
            state,
            &view,
            Some(RebuildRecord {
                stages: old.unwrap_or_default(),
                switched: true,
                tries: 0,
            }),
        )
    }

    /// Marks keys of the view, as [`ViewExec::keys`] gave them, to be written again. Gives how many became pending per target.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn mark_again(
        &mut self,
        state: &mut State,
        targets: &[TargetId],
        keys: &[Vec<u8>],
    ) -> Result<Vec<u64>, ProjectionError> {
        let published = state.committed().published.max(Lsn(1));
        let mut out = Vec::with_capacity(targets.len());
        for target in targets {
            let mut marked = 0;
            for key in keys {
                marked += u64::from(pending::mark(
                    state,
                    *target,
                    key,
                    pending::AGAIN,
                    published,
                    Timestamp::default(),
                )?);
            }
            out.push(marked);
        }
        state.commit(state.committed());
        Ok(out)
    }

    /// Removes some of what a rebuild that was switched or given up has left; false when nothing is left.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn clear_rebuilt(
        &mut self,
        state: &mut State,
        view: &str,
        limit: usize,
    ) -> Result<bool, ProjectionError> {
        let Some(record) = self
            .registry
            .views
            .get(view)
            .and_then(|r| r.rebuild.clone())
        else {
            return Ok(false);
        };
        for stage in &record.stages {
            let indexes = self.stage_indexes.get(stage).into_iter().flatten();
            let prefixes = crate::opening::STAGE_TAGS
                .iter()
                .map(|tag| keyspace::prefix(*tag, *stage))
                .chain(indexes.map(|(id, _)| keyspace::prefix(keyspace::INDEX, *id)))
                .collect::<Vec<_>>();
            for prefix in prefixes {
                let keys = state
                    .scan(&prefix, None)?
                    .take(limit)
                    .map(|entry| entry.map(|(key, _)| key.to_vec()))
                    .collect::<Result<Vec<_>, _>>()?;
                if !keys.is_empty() {
                    for key in keys {
                        state.delete(&key)?;
                    }
                    state.commit(state.committed());
                    return Ok(true);
                }
            }
        }
        for stage in &record.stages {
            for (id, _) in self.stage_indexes.remove(stage).into_iter().flatten() {
                self.registry.indexes.retain(|_, record| record.id != id);
            }
        }
        self.note_rebuild(
            state,
            view,
            Some(RebuildRecord {
                stages: Vec::new(),
                ..record
            }),
        )?;
        Ok(false)
    }

    /// Gives a rebuild up before it has been switched: what it filled is nobody's.
    pub fn abandon_rebuild(&mut self, view: &str) {
        self.watched.remove(view);
    }

    /// The rebuild has ended, one way or the other.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn end_rebuild(&mut self, state: &mut State, view: &str) -> Result<(), ProjectionError> {
        self.note_rebuild(state, view, None)
    }

    fn note_rebuild(
        &mut self,
        state: &mut State,
        view: &str,
        rebuild: Option<RebuildRecord>,
    ) -> Result<(), ProjectionError> {
        if let Some(record) = self.registry.views.get_mut(view) {
            record.rebuild = rebuild;
        }
        self.registry.save(state)?;
        state.commit(state.committed());
        Ok(())
    }
}

/// The view that a rebuild makes, to be taken along while its rows are evaluated elsewhere.
#[derive(Clone)]
pub struct RebuildTarget(Arc<ViewExec>);

impl Rebuild {
    /// What [`Engine::take_rows`] fills.
    #[must_use]
    pub fn target(&self) -> RebuildTarget {
        RebuildTarget(Arc::clone(&self.exec))
    }
}

impl ViewExec {
    /// Every key of the view in a snapshot.
    ///
    /// # Errors
    /// When state cannot be read, or `each` gives up.
    pub fn keys(
        &self,
        read: &dyn Read,
        each: &mut dyn FnMut(Vec<u8>) -> Result<(), ProjectionError>,
    ) -> Result<(), ProjectionError> {
        match self.stages.last() {
            Some(stage) => {
                stage::each_key(read, stage, each).map_err(|e| e.in_view(&self.plan.view))
            }
            None => Ok(()),
        }
    }
}

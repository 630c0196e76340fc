//! Bringing plans and state together at a start.
//!
//! In: the catalog, compiled views, and what state remembers of earlier starts. Out: an engine, and what has to be loaded or filled.
//!
//! Always: what is no longer configured is gone from state; what is new is registered, and not filled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use readside_expr::Expr;
use readside_model::Catalog;
use readside_pgtype::Type;
use readside_plan::{Plan, Relation};
use readside_state::State;

use crate::access::{IndexDef, Parts};
use crate::ingest::Ingest;
use crate::keyspace::{self, RelationId};
use crate::load::row_key;
use crate::registry::{IndexRecord, Registry, ViewRecord};
use crate::table::TableExec;
use crate::view::{Known, ViewExec, stage_key};
use crate::{Engine, GeneratedColumns, Needs, ProjectionError, TargetId, ViewSpec};

/// How often a rebuild is begun that never comes to its switch: what ends it may be what it does.
const REBUILD_TRIES: u32 = 3;

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
        retire(state, &mut registry, views, &relaid)?;
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
                        returned: BTreeSet::new(),
                        rebuild: None,
                    },
                );
            }
            let mut record = registry.views[&plan.view].clone();
            let mut targets = Vec::new();
            for name in &spec.targets {
                let retired = registry.retired.get_mut(&plan.view);
                let id = match record.targets.get(name) {
                    Some(id) => *id,
                    None => match retired.and_then(|names| names.remove(name)) {
                        Some(id) => {
                            record.returned.insert(id);
                            id
                        }
                        None => registry.next_id(),
                    },
                };
                record.targets.insert(name.clone(), id);
                targets.push(TargetId(id));
            }
            let exec = view_exec(
                plan,
                &record.stages,
                targets,
                &tables,
                &mut registry,
                &mut defs,
            )?;
            if let Some(rebuild) = &mut record.rebuild {
                for stage in std::mem::take(&mut rebuild.stages) {
                    clear_stage(state, stage)?;
                }
                if rebuild.switched || rebuild.tries < REBUILD_TRIES {
                    needs.rebuilds.push(plan.view.clone());
                } else {
                    record.rebuild = None;
                    needs.given_up.push(plan.view.clone());
                }
            }
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
            generation: 0,
            watched: BTreeMap::new(),
        };
        engine.build_missing_indexes(state, &needs.tables)?;
        Ok((engine, needs))
    }
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

pub(crate) fn stored_names(table: &TableExec) -> BTreeSet<String> {
    table
        .table
        .columns
        .iter()
        .zip(&table.stored)
        .filter(|(_, s)| **s)
        .map(|(c, _)| c.name.clone())
        .collect()
}

/// A view's plan over these stages, ready to run. Indexes that it needs are added to `defs`, and registered if they are new.
pub(crate) fn view_exec(
    plan: &Arc<Plan>,
    stages: &[u32],
    targets: Vec<TargetId>,
    tables: &BTreeMap<u32, TableExec>,
    registry: &mut Registry,
    defs: &mut Vec<(u32, IndexDef)>,
) -> Result<ViewExec, ProjectionError> {
    let ids = plan.stages.iter().zip(stages).map(|(stage, id)| {
        let (key, single) = stage_key(stage);
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
    let key_of = |table: &TableExec| -> Vec<(u16, Type)> {
        let place = |column: usize| u16::try_from(column).unwrap_or(u16::MAX);
        table
            .key
            .iter()
            .map(|k| (place(*k), table.table.columns[*k].ty.clone()))
            .collect()
    };
    let mut known = Known {
        table_keys: &|oid| tables.get(&oid).map_or_else(Vec::new, key_of),
        table_columns: &|oid| tables.get(&oid).map_or(0, |t| t.table.columns.len()),
        table_not_null: &|oid, column| {
            tables
                .get(&oid)
                .and_then(|t| t.table.columns.get(usize::from(column)))
                .is_some_and(|c| c.not_null)
        },
        stages: ids.collect(),
        indexes: &mut index,
    };
    ViewExec::new(Arc::clone(plan), stages, targets, &mut known)
}

/// Removes from state what is no longer configured, but for what was written to sinks. A view that is configured otherwise, or whose
/// tables' rows had to go, keeps its targets and what they hold in the sink, and is to be filled anew.
fn retire(
    state: &mut State,
    registry: &mut Registry,
    views: &[ViewSpec],
    relaid: &BTreeSet<u32>,
) -> Result<(), ProjectionError> {
    let gone: Vec<String> = registry
        .views
        .keys()
        .filter(|name| !views.iter().any(|v| v.plan.view == **name))
        .cloned()
        .collect();
    for name in gone {
        let Some(mut record) = registry.views.remove(&name) else {
            continue;
        };
        let rebuilt = record.rebuild.take().map(|rebuild| rebuild.stages);
        for stage in record.stages.iter().chain(rebuilt.iter().flatten()) {
            clear_stage(state, *stage)?;
        }
        for target in record.targets.values() {
            clear_target(state, *target)?;
        }
        registry
            .retired
            .entry(name)
            .or_default()
            .extend(record.targets);
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
            if let Some(rebuild) = record.rebuild.take() {
                for stage in rebuild.stages {
                    clear_stage(state, stage)?;
                }
            }
            record.marked.clear();
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
                record.returned.remove(&id);
                clear_target(state, id)?;
                let retired = registry.retired.entry(spec.plan.view.clone()).or_default();
                retired.insert(name, id);
            }
        }
        registry.views.insert(spec.plan.view.clone(), record);
    }
    Ok(())
}

/// What of a stage lies in state under its id.
pub(crate) const STAGE_TAGS: [u8; 6] = [
    keyspace::STAGE_ROW,
    keyspace::ACCUMULATOR,
    keyspace::CONTRIBUTION,
    keyspace::DISTINCT,
    keyspace::CANDIDATE,
    keyspace::DEAD,
];

pub(crate) fn clear_stage(state: &mut State, stage: u32) -> Result<(), ProjectionError> {
    for tag in STAGE_TAGS {
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

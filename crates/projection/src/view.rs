//! One view, ready to run: its stages, its key, and how its rows are rendered.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use readside_expr::{EvalError, OccId};
use readside_model::{Body, DocumentForm, KeyPart as TextPart, encode_key_text};
use readside_pgtype::{Type, Value, decode_key, key_text, write_jsonb, write_output};
use readside_plan::{Head, Plan, Relation, StageId};
use readside_state::Read;

use crate::access::{BlockExec, IndexDef, KeyColumns, Relations, block_exec};
use crate::block_key::decode_block_key;
use crate::eval::{Evaluated, Evaluator, KeyPart, Slot};
use crate::group::GroupExec;
use crate::keyspace::RelationId;
use crate::topn::TopNExec;
use crate::{ProjectionError, TargetId};

/// A stage, ready to run.
#[derive(Debug)]
pub(crate) struct StageExec {
    pub(crate) id: u32,
    pub(crate) block: BlockExec,
    pub(crate) head: HeadExec,
}

/// A head, ready to run.
#[derive(Debug)]
pub(crate) enum HeadExec {
    Sink,
    Group(GroupExec),
    TopN(TopNExec),
}

/// A view, ready to run.
#[derive(Debug)]
pub struct ViewExec {
    /// Its plan.
    pub plan: Arc<Plan>,
    pub(crate) stages: Vec<StageExec>,
    /// Its targets.
    pub targets: Vec<TargetId>,
    /// Output columns in the order of a jsonb object's keys; of equal names the last one.
    json_order: Vec<usize>,
    /// Types of the row key's columns of each key occurrence of the last stage, with their places in the relation.
    key_columns: Vec<(OccId, KeyColumns, usize)>,
}

/// A view row as a sink gets it.
#[derive(Debug, Clone, PartialEq)]
pub enum Rendered {
    /// The view has no such row.
    Absent,
    /// It has.
    Row(Body),
    /// The query raises an error on it.
    Failed(EvalError),
}

/// A sink key in all its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedKey {
    /// The key text.
    pub text: Arc<str>,
    /// The text of each piece; `None` for NULL and absent.
    pub parts: Vec<Option<Arc<str>>>,
}

impl ViewExec {
    pub(crate) fn new(
        plan: Arc<Plan>,
        stage_ids: &[u32],
        targets: Vec<TargetId>,
        relations: &mut dyn Relations,
    ) -> Result<ViewExec, ProjectionError> {
        let mut stages = Vec::new();
        for (stage, id) in plan.stages.iter().zip(stage_ids) {
            let block = block_exec(&plan.view, stage, relations)?;
            let types: Vec<Type> = stage.columns.iter().map(|c| c.ty.clone()).collect();
            let head = match &stage.head {
                Head::Sink => HeadExec::Sink,
                Head::Group { keys, aggregates } => HeadExec::Group(GroupExec::new(
                    *id,
                    keys,
                    types.into_iter().take(keys.len()).collect(),
                    aggregates,
                )),
                Head::TopN {
                    partition,
                    order,
                    limit,
                    ranking,
                } => HeadExec::TopN(TopNExec::new(
                    *id,
                    partition,
                    types.into_iter().take(partition.len()).collect(),
                    order,
                    &stage.block.query.select,
                    *limit,
                    *ranking,
                )),
            };
            stages.push(StageExec {
                id: *id,
                block,
                head,
            });
        }
        let Some(last) = plan.stages.last() else {
            return Err(ProjectionError::Plan {
                view: plan.view.clone(),
                reason: "it has no stages".to_owned(),
            });
        };
        let mut key_columns = Vec::new();
        for occ in &last.block.key {
            let (relation, count) = match &last.block.occurrences[usize::from(occ.0)].relation {
                Relation::Table(oid) => (
                    RelationId::Table(*oid),
                    relations.column_count(RelationId::Table(*oid)),
                ),
                Relation::Stage(stage) => (
                    relations.stage(*stage),
                    plan.stages
                        .get(usize::from(stage.0))
                        .map_or(0, |s| s.columns.len()),
                ),
                Relation::Query(_) | Relation::Grouping => {
                    return Err(ProjectionError::Plan {
                        view: plan.view.clone(),
                        reason: "a nested query cannot identify rows".to_owned(),
                    });
                }
            };
            key_columns.push((*occ, relations.key_columns(relation), count));
        }
        let mut json_order: Vec<usize> = (0..plan.columns.len()).collect();
        json_order.sort_by(|a, b| {
            let (a, b) = (&plan.columns[*a].name, &plan.columns[*b].name);
            a.len()
                .cmp(&b.len())
                .then_with(|| a.as_bytes().cmp(b.as_bytes()))
        });
        let mut seen = BTreeSet::new();
        json_order.reverse();
        json_order.retain(|i| seen.insert(plan.columns[*i].name.clone()));
        json_order.reverse();
        Ok(ViewExec {
            plan,
            stages,
            targets,
            json_order,
            key_columns,
        })
    }

    /// Occurrences from which no look-up leads to the view's keys: a change there touches every row. By stage and alias.
    #[must_use]
    pub fn global_lifts(&self) -> Vec<(usize, String)> {
        let mut out = Vec::new();
        for (i, stage) in self.stages.iter().enumerate() {
            for occ in &stage.block.occs {
                if occ.lift.as_ref().is_some_and(|lift| lift.global) {
                    out.push((i, occ.alias.clone()));
                }
            }
        }
        out
    }

    /// The last stage's evaluator over a snapshot.
    fn evaluator<'s>(&self, read: &'s dyn Read) -> Result<Evaluator<'s, '_>, ProjectionError> {
        let stage = self.stages.last().ok_or_else(|| ProjectionError::Plan {
            view: self.plan.view.clone(),
            reason: "it has no stages".to_owned(),
        })?;
        Ok(Evaluator::new(&stage.block, read))
    }

    /// The row of a block key.
    pub fn render(
        &self,
        read: &dyn Read,
        key: &[u8],
        form: DocumentForm,
    ) -> Result<Rendered, ProjectionError> {
        if crate::written::orphan(key).is_some() {
            return Ok(Rendered::Absent);
        }
        let parts = decode_block_key(key)?;
        let evaluator = self.evaluator(read)?;
        let select = &self.plan.stages[self.plan.stages.len() - 1]
            .block
            .query
            .select;
        let found = evaluator.by_key(&parts, &mut |at| {
            let mut values = Vec::with_capacity(select.len());
            for expr in select {
                match at.value(expr)? {
                    Ok(value) => values.push(value),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(values))
        });
        Ok(match found.map_err(|e| e.in_view(&self.plan.view))? {
            Evaluated::Absent => Rendered::Absent,
            Evaluated::Failed(error) | Evaluated::Row(Err(error)) => Rendered::Failed(error),
            Evaluated::Row(Ok(values)) => match (
                form,
                values
                    .iter()
                    .try_for_each(readside_pgtype::jsonb::check_jsonb),
            ) {
                (DocumentForm::Json, Err(error)) => Rendered::Failed(error.into()),
                _ => Rendered::Row(self.body(&values, form)),
            },
        })
    }

    fn body(&self, values: &[Value], form: DocumentForm) -> Body {
        match form {
            DocumentForm::Json => {
                let mut out = String::with_capacity(256);
                out.push('{');
                for (n, i) in self.json_order.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    readside_pgtype::jsonb::write_json_string(
                        &mut out,
                        &self.plan.columns[*i].name,
                    );
                    out.push_str(": ");
                    write_jsonb(&mut out, &values[*i], &self.plan.columns[*i].ty);
                }
                out.push('}');
                Body::Json(out.into())
            }
            DocumentForm::Columns => Body::Columns(
                values
                    .iter()
                    .zip(&self.plan.columns)
                    .map(|(value, column)| {
                        if value.is_null() {
                            return None;
                        }
                        let mut out = String::new();
                        write_output(&mut out, value, &column.ty);
                        Some(out.into())
                    })
                    .collect(),
            ),
        }
    }

    /// The sink key of a block key; it needs no row.
    pub fn sink_key(&self, read: &dyn Read, key: &[u8]) -> Result<RenderedKey, ProjectionError> {
        if let Some(orphan) = crate::written::orphan(key) {
            return orphan;
        }
        let parts = decode_block_key(key)?;
        let evaluator = self.evaluator(read)?;
        for ((occ, columns, count), part) in self.key_columns.iter().zip(&parts) {
            match part {
                KeyPart::Absent => evaluator.bind(*occ, Slot::Absent),
                KeyPart::Row(bytes) => {
                    let mut values: Vec<Result<Value, EvalError>> = vec![Ok(Value::Null); *count];
                    let mut rest: &[u8] = bytes;
                    for (column, ty) in columns {
                        let (value, length) = decode_key(rest, ty).ok_or_else(|| {
                            ProjectionError::Corrupt(format!("a key of view `{}`", self.plan.view))
                        })?;
                        rest = &rest[length..];
                        if let Some(place) = values.get_mut(usize::from(*column)) {
                            *place = Ok(value);
                        }
                    }
                    evaluator.bind(*occ, Slot::Values(Rc::from(values)));
                }
            }
        }
        let mut texts = Vec::new();
        let mut columns = Vec::new();
        for piece in &self.plan.key.pieces {
            if piece
                .nullable_side
                .is_some_and(|occ| matches!(evaluator.slot(occ), Slot::Absent))
            {
                texts.push(TextPart::Absent);
                columns.push(None);
                continue;
            }
            match evaluator.value(&piece.expr)? {
                Ok(Value::Null) => {
                    texts.push(TextPart::Null);
                    columns.push(None);
                }
                Ok(value) => {
                    let text = key_text(&value, &piece.ty);
                    columns.push(Some(Arc::from(text.as_str())));
                    texts.push(TextPart::Text(text));
                }
                Err(error) => {
                    return Err(ProjectionError::Plan {
                        view: self.plan.view.clone(),
                        reason: format!("key piece `{}` raises: {error}", piece.name),
                    });
                }
            }
        }
        Ok(RenderedKey {
            text: encode_key_text(&texts).into(),
            parts: columns,
        })
    }
}

/// Relations as the planner of accesses sees them, while an engine is being built.
pub(crate) struct Known<'a> {
    pub(crate) table_keys: &'a dyn Fn(u32) -> Vec<(u16, Type)>,
    pub(crate) table_columns: &'a dyn Fn(u32) -> usize,
    pub(crate) table_not_null: &'a dyn Fn(u32, u16) -> bool,
    /// The plan's own stages: id, key columns, whether it has one row at most.
    pub(crate) stages: Vec<(u32, KeyColumns, bool)>,
    pub(crate) indexes: &'a mut dyn FnMut(IndexDef) -> u32,
}

impl Relations for Known<'_> {
    fn key_columns(&self, relation: RelationId) -> Vec<(u16, Type)> {
        match relation {
            RelationId::Table(oid) => (self.table_keys)(oid),
            RelationId::Stage(id) => self
                .stages
                .iter()
                .find(|s| s.0 == id)
                .map(|s| s.1.clone())
                .unwrap_or_default(),
        }
    }

    fn column_count(&self, relation: RelationId) -> usize {
        match relation {
            RelationId::Table(oid) => (self.table_columns)(oid),
            RelationId::Stage(_) => 0,
        }
    }

    fn is_not_null(&self, relation: RelationId, column: u16) -> bool {
        matches!(relation, RelationId::Table(oid) if (self.table_not_null)(oid, column))
    }

    fn single_row(&self, relation: RelationId) -> bool {
        matches!(relation, RelationId::Stage(id) if self.stages.iter().any(|s| s.0 == id && s.2))
    }

    fn index(&mut self, def: IndexDef) -> u32 {
        (self.indexes)(def)
    }

    fn stage(&self, stage: StageId) -> RelationId {
        RelationId::Stage(
            self.stages
                .get(usize::from(stage.0))
                .map_or(u32::MAX, |s| s.0),
        )
    }
}

/// The key columns of a stage's internal table, and whether it has one row at most.
pub(crate) fn stage_key(stage: &readside_plan::Stage) -> (Vec<(u16, Type)>, bool) {
    let columns = |n: usize| {
        stage
            .columns
            .iter()
            .take(n)
            .enumerate()
            .map(|(i, c)| (u16::try_from(i).unwrap_or(u16::MAX), c.ty.clone()))
            .collect::<Vec<_>>()
    };
    match &stage.head {
        Head::Sink => (Vec::new(), false),
        Head::Group { keys, .. } => (columns(keys.len()), keys.is_empty()),
        Head::TopN {
            partition,
            limit: 1,
            ..
        } => (columns(partition.len()), partition.is_empty()),
        // Several rows of one partition: the row key holds more than columns.
        Head::TopN { .. } => (Vec::new(), false),
    }
}

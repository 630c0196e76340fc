//! ORDER BY … LIMIT n as a stage: an ordered index keeps the first rows of each partition, and the query goes on over them.
//!
//! Always: ties are broken by the key of the rows, here as in what `verify` asks Postgres.

use std::sync::Arc;

use readside_aggregate::SortKey;
use readside_expr::{ColumnRef, Comparison, Expr, Func, OccId, Ranking, Typed, resolve_operator};
use readside_pgtype::{RecordType, Type};
use readside_plan::{Distinct, FromItem, Head, Query, Relation, Stage, StageColumn, StageId};
use sqlparser::tokenizer::{Location, Span};

use super::Planner;
use super::facts::{candidate_keys, covering, shown_key};
use crate::arena::NamedColumn;
use crate::bind::rewrite;
use crate::refusal::{Checked, Problem};

/// What is read of the rows that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Their values: nothing else identifies them.
    Values,
    /// Which they are: the tables are read again, so that their keys still tell the rows apart.
    Keys,
}

impl Planner<'_> {
    /// A query with ORDER BY … LIMIT, as one without: over a stage that keeps the first rows per value of what it is tied to.
    /// `None` if it refers outwards by anything but equalities.
    pub(super) fn limited_as_stage(
        &mut self,
        query: &Query,
        keep: Keep,
        site: Option<Location>,
        span: Span,
    ) -> Checked<Option<Query>> {
        let Some(limit) = query.limit.filter(|n| *n > 0) else {
            return Ok(None);
        };
        let keep = if limit == 1 { Keep::Values } else { keep };
        if query.offset > 0 || !matches!(query.distinct, Distinct::No) || query.from.is_none() {
            return Ok(None);
        }
        let Some(loose) = self.cut_loose(query) else {
            return Ok(None);
        };
        let ties_left = !self.is_ordered_ignoring_limit(query);
        let (mut query, ties) = (loose.query, loose.ties);
        let group_texts = site
            .and_then(|s| self.texts.get(&s))
            .map(|t| t.group.clone())
            .filter(|_| query.group.is_some());
        let mut partition: Vec<(Expr, Type)> = ties
            .iter()
            .map(|(_, inner, ty)| (inner.clone(), ty.clone()))
            .collect();
        if query.group.is_some() {
            let Some(occ) = shift_keys(&mut query, &partition)? else {
                return Ok(None);
            };
            query = self.degroup(query, false)?;
            self.subqueries(&mut query)?;
            for (i, (e, _)) in partition.iter_mut().enumerate() {
                *e = self.arena.resolve(&Expr::Column(ColumnRef {
                    occ,
                    column: super::column(i)?,
                }));
            }
        }
        if ties_left {
            let texts = group_texts.or_else(|| {
                let key = covering(&self.arena, &query)?;
                self.key_texts(&key, site)
            });
            self.note_tie(site, texts);
        }
        let (stage, columns) = self.write_top_n(&query, &partition, limit, keep, None, span)?;
        let shown = |i: usize| -> Checked<Expr> {
            Ok(Expr::Column(ColumnRef {
                occ: stage,
                column: super::column(i)?,
            }))
        };
        let count = partition.len();
        let mut tied = Vec::new();
        for (i, (whole, inner, _)) in ties.iter().enumerate() {
            let key = shown(i)?;
            tied.push(rewrite(whole, &mut |part| {
                (part == inner).then(|| key.clone())
            }));
        }
        query.limit = None;
        match keep {
            Keep::Values => {
                let mut order = std::mem::take(&mut query.order);
                for (k, key) in order.iter_mut().enumerate() {
                    key.expr = shown(count + query.select.len() + k)?;
                }
                let select = (0..query.select.len())
                    .map(|j| shown(count + j))
                    .collect::<Checked<Vec<_>>>()?;
                Ok(Some(Query {
                    from: Some(FromItem::Occurrence(stage)),
                    filter: tied,
                    select,
                    types: query.types,
                    order: if limit == 1 { Vec::new() } else { order },
                    ..Query::over(None)
                }))
            }
            Keep::Keys => {
                let mut on = Vec::new();
                for (i, (e, ty)) in partition.iter().enumerate() {
                    let there = Typed::new(shown(i)?, ty.clone());
                    on.push(equal(there, Typed::new(e.clone(), ty.clone()), span)?);
                }
                for (k, column) in columns.iter().enumerate() {
                    on.push(self.same_key(&query, stage, count + k, column)?);
                }
                let from = query.from.take().map(|inner| FromItem::Inner {
                    left: Box::new(inner),
                    right: Box::new(FromItem::Occurrence(stage)),
                    on,
                });
                query.from = from;
                query
                    .filter
                    .extend(ties.iter().enumerate().map(|(i, (whole, inner, _))| {
                        let own = &partition[i].0;
                        rewrite(whole, &mut |part| (part == inner).then(|| own.clone()))
                    }));
                Ok(Some(query))
            }
        }
    }

    /// SELECT DISTINCT ON, as a query over the first row of each partition.
    pub(super) fn distinct_on_as_stage(
        &mut self,
        mut query: Query,
        site: Option<Location>,
        span: Span,
    ) -> Checked<Query> {
        let Distinct::On(partition) = std::mem::replace(&mut query.distinct, Distinct::No) else {
            return Ok(query);
        };
        if query.order.is_empty() {
            return Err(Problem::hinted(
                span,
                "DISTINCT ON without ORDER BY shows any one row",
                "add ORDER BY: the ON columns first, then what decides",
            ));
        }
        query.limit = Some(1);
        if !self.is_ordered_ignoring_limit(&query) {
            let texts = covering(&self.arena, &query).and_then(|key| self.key_texts(&key, site));
            self.note_tie(site, texts);
        }
        let (stage, _) = self.write_top_n(&query, &partition, 1, Keep::Values, None, span)?;
        let mut select = Vec::new();
        for (j, e) in query.select.iter().enumerate() {
            // What is shown of the partition is its key.
            let column = partition
                .iter()
                .position(|(p, _)| p == e)
                .unwrap_or(partition.len() + j);
            select.push(Expr::Column(ColumnRef {
                occ: stage,
                column: super::column(column)?,
            }));
        }
        Ok(Query {
            from: Some(FromItem::Occurrence(stage)),
            select,
            types: query.types,
            ..Query::over(None)
        })
    }

    /// That a stage's column is this key column of `query`'s rows, which may be NULL.
    pub(super) fn same_key(
        &self,
        query: &Query,
        stage: OccId,
        column: usize,
        key: &Typed,
    ) -> Checked<Expr> {
        let mut there = key.clone();
        there.expr = Expr::Column(ColumnRef {
            occ: stage,
            column: super::column(column)?,
        });
        if self.is_not_null(query, &key.expr) {
            equal(there, key.clone(), Span::empty())
        } else {
            Ok(not_distinct(there, key.clone()))
        }
    }

    /// Writes the stage; gives its occurrence and, for [`Keep::Keys`], the key columns that it shows.
    pub(super) fn write_top_n(
        &mut self,
        query: &Query,
        partition: &[(Expr, Type)],
        limit: u64,
        keep: Keep,
        ranking: Option<Ranking>,
        span: Span,
    ) -> Checked<(OccId, Vec<Typed>)> {
        let mut keys = Vec::new();
        let outputs: Vec<(Expr, Type)> = match keep {
            Keep::Values => query
                .select
                .iter()
                .cloned()
                .zip(query.types.iter().cloned())
                .chain(query.order.iter().map(|k| (k.expr.clone(), k.ty.clone())))
                .collect(),
            Keep::Keys => {
                for occ in covering(&self.arena, query).unwrap_or_default() {
                    for column in candidate_keys(&self.arena, occ)
                        .into_iter()
                        .next()
                        .unwrap_or_default()
                    {
                        let mut typed = self.arena.occ(occ).columns[usize::from(column)]
                            .typed
                            .clone();
                        typed.expr = Expr::Column(ColumnRef { occ, column });
                        keys.push(typed);
                    }
                }
                keys.iter()
                    .map(|k| (k.expr.clone(), k.ty.clone()))
                    .collect()
            }
        };
        let mut columns = Vec::new();
        let mut named = Vec::new();
        let id = StageId(super::column(self.arena.stages.len())?);
        let occ = self.arena.add_occ(Relation::Stage(id), "first", span)?;
        for (i, (e, ty)) in partition.iter().chain(&outputs).enumerate() {
            let name = self.expr_name(e);
            let not_null = self.is_not_null(query, e);
            let mut typed = self.typed_of(e, ty);
            typed.expr = Expr::Column(ColumnRef {
                occ,
                column: super::column(i)?,
            });
            typed.not_null = not_null;
            columns.push(StageColumn {
                name: name.clone(),
                ty: typed.ty.clone(),
                not_null,
            });
            named.push(NamedColumn { name, typed });
        }
        if ranking.is_some() {
            let rank = Expr::Column(ColumnRef {
                occ,
                column: super::column(columns.len())?,
            });
            let mut typed = Typed::new(rank, Type::Int8);
            typed.not_null = true;
            columns.push(StageColumn {
                name: "rank".to_owned(),
                ty: Type::Int8,
                not_null: true,
            });
            named.push(NamedColumn {
                name: "rank".to_owned(),
                typed,
            });
        }
        self.arena.occ_mut(occ).columns = named;
        let by = partition
            .iter()
            .map(|(e, _)| self.expr_name(e))
            .collect::<Vec<_>>()
            .join(", ");
        let label = match (limit, by.as_str()) {
            (u64::MAX, "") => "ranked rows".to_owned(),
            (u64::MAX, by) => format!("ranked rows per {by}"),
            (1, "") => "first row".to_owned(),
            (1, by) => format!("first row per {by}"),
            (n, "") => format!("first {n} rows"),
            (n, by) => format!("first {n} rows per {by}"),
        };
        self.arena.occ_mut(occ).alias.clone_from(&label);
        if limit > 1 || keep == Keep::Keys {
            let key = match keep {
                Keep::Keys => Some((0..keys.len()).collect::<Vec<usize>>()),
                Keep::Values => shown_key(&self.arena, query)
                    .map(|key| key.into_iter().map(usize::from).collect()),
            };
            if let Some(key) = key {
                let key = key
                    .into_iter()
                    .map(|i| super::column(partition.len() + i))
                    .collect::<Checked<Vec<u16>>>()?;
                self.arena.stage_keys.insert(id, key);
            }
        }
        let shown = Query {
            select: outputs.iter().map(|(e, _)| e.clone()).collect(),
            ..query.clone()
        };
        let unordered = self.unordered_columns(&shown);
        let inexact = self.inexact_columns(&shown);
        let flags: Vec<(bool, bool)> = (0..outputs.len())
            .map(|i| {
                (
                    unordered.iter().any(|u| u.column == i),
                    inexact.contains(&i),
                )
            })
            .collect();
        self.note_columns(id.0, partition.len(), &flags);
        let whole = Query {
            from: query.from.clone(),
            filter: query.filter.clone(),
            select: outputs
                .iter()
                .chain(partition)
                .map(|(e, _)| e.clone())
                .chain(query.order.iter().map(|k| k.expr.clone()))
                .collect(),
            types: outputs.iter().map(|(_, ty)| ty.clone()).collect(),
            ..Query::over(None)
        };
        let (mut block, _) = self.block(whole, span)?;
        let mut rest = block.query.select.split_off(outputs.len()).into_iter();
        let partition = rest.by_ref().take(partition.len()).collect();
        let order = query
            .order
            .iter()
            .zip(rest)
            .map(|(k, expr)| SortKey { expr, ..k.clone() })
            .collect();
        self.arena.stages.push(Stage {
            block,
            head: Head::TopN {
                partition,
                order,
                limit,
                ranking,
            },
            columns,
            label,
        });
        Ok((occ, keys))
    }
}

/// Puts what a grouped query is tied to before its keys; `None` if a subquery reads the grouping.
fn shift_keys(query: &mut Query, partition: &[(Expr, Type)]) -> Checked<Option<OccId>> {
    let Some(group) = &mut query.group else {
        return Ok(None);
    };
    let occ = group.occ;
    let shift = super::column(partition.len())?;
    let mut keys: Vec<Expr> = partition.iter().map(|(e, _)| e.clone()).collect();
    keys.append(&mut group.keys);
    group.keys = keys;
    let mut types: Vec<Type> = partition.iter().map(|(_, ty)| ty.clone()).collect();
    types.append(&mut group.key_types);
    group.key_types = types;
    let mut nested = false;
    crate::arena::map_after_grouping(query, &mut |e| {
        nested |= !readside_plan::subqueries_of(e).is_empty();
        e.map_leaves(&mut |leaf| match leaf {
            Expr::Column(c) if c.occ == occ => Some(Expr::Column(ColumnRef {
                occ,
                column: c.column + shift,
            })),
            _ => None,
        })
    });
    Ok((!nested).then_some(occ))
}

/// Equality by which NULL equals NULL: that of rows.
fn not_distinct(left: Typed, right: Typed) -> Expr {
    let ty = Type::Record(Arc::new(RecordType {
        oid: 2249,
        fields: vec![(Arc::from("key"), left.ty)],
    }));
    Expr::Call {
        func: Func::Compare {
            op: Comparison::Equal,
            ty,
        },
        args: vec![
            Expr::Record(vec![left.expr]),
            Expr::Record(vec![right.expr]),
        ],
    }
}

fn equal(left: Typed, right: Typed, span: Span) -> Checked<Expr> {
    resolve_operator("=", Some(left), right)
        .map(|t| t.expr)
        .map_err(|e| Problem::at(span, e.message))
}

//! Subqueries whose value many rows come down to: an aggregate or EXISTS, correlated by equalities, becomes a stage that is grouped
//! by the inner sides and joined on them. So a customer with a million orders costs no more than one with ten.

use std::collections::BTreeSet;

use readside_aggregate::{AggCall, AggFunc};
use readside_expr::{ColumnRef, Expr, OccId, Typed, as_equality, resolve_operator};
use readside_pgtype::{Type, Value};
use readside_plan::{Distinct, FromItem, Grouping, Query, Relation, Subquery, SubqueryKind};
use sqlparser::tokenizer::{Location, Span};

use super::Planner;
use super::top_n::Keep;
use crate::aggregates::{is_accumulator, is_count};
use crate::arena::{from_occs, subqueries_in};
use crate::bind::rewrite;
use crate::refusal::Checked;

/// A query cut loose from what is around it.
pub(super) struct Loose {
    /// Without the conjuncts that tied it.
    pub(super) query: Query,
    /// Those conjuncts: the whole, its inner side, the type that they are compared as.
    pub(super) ties: Vec<(Expr, Expr, Type)>,
}

/// A stage to be joined, and the values of the select list read from it.
pub(super) struct Joined {
    pub(super) tree: FromItem,
    pub(super) on: Vec<Expr>,
    pub(super) select: Vec<Expr>,
}

impl Planner<'_> {
    /// The value of a subquery, read from a stage that is joined to `outer`; `None` if it has to be computed row by row.
    pub(super) fn answered_by_stage(
        &mut self,
        subquery: &Subquery,
        outer: &mut Query,
        site: Option<Location>,
    ) -> Checked<Option<Expr>> {
        match &subquery.kind {
            SubqueryKind::Scalar => {
                let joined = match self.aggregate_as_stage(&subquery.query)? {
                    Some(joined) => joined,
                    None if subquery.query.limit == Some(1) && outer.from.is_some() => {
                        let first = self.limited_as_stage(
                            &subquery.query,
                            Keep::Values,
                            site,
                            Span::empty(),
                        )?;
                        match first {
                            Some(Query {
                                from: Some(tree),
                                filter: on,
                                select,
                                ..
                            }) => {
                                let value = select.first().cloned();
                                attach_first(outer, tree, on);
                                return Ok(value);
                            }
                            _ => return Ok(None),
                        }
                    }
                    None => return Ok(None),
                };
                let value = joined.select.first().cloned();
                Ok(value.filter(|_| attach(outer, joined)))
            }
            SubqueryKind::Exists => self.exists_as_stage(&subquery.query, outer),
            SubqueryKind::In { equals, output } => {
                // Where NULL and false mean the same, IN is EXISTS.
                let in_where = outer.filter.iter().any(|c| {
                    matches!(c, Expr::Subquery(id)
                        if self.arena.subquery(*id).is_none())
                });
                if !in_where || !super::simplify::is_simple(&subquery.query) {
                    return Ok(None);
                }
                let mut query = subquery.query.clone();
                let select = query.select.clone();
                let tied = equals.map_leaves(&mut |leaf| match leaf {
                    Expr::Column(c) if c.occ == *output => {
                        select.get(usize::from(c.column)).cloned()
                    }
                    _ => None,
                });
                crate::arena::conjuncts(tied, &mut query.filter);
                self.exists_as_stage(&query, outer)
            }
            SubqueryKind::Array => Ok(None),
        }
    }

    /// An aggregate over all rows, as a stage.
    pub(super) fn aggregate_as_stage(&mut self, query: &Query) -> Checked<Option<Joined>> {
        let Some(group) = &query.group else {
            return Ok(None);
        };
        let plain = group.keys.is_empty()
            && query.having.is_empty()
            && query.limit != Some(0)
            && query.offset == 0
            && !matches!(query.distinct, Distinct::On(_))
            && group.aggregates.iter().all(|a| is_accumulator(&a.func))
            && query
                .select
                .iter()
                .all(|e| readside_plan::subqueries_of(e).is_empty());
        if !plain {
            return Ok(None);
        }
        let Some(mut loose) = self.cut_loose(query) else {
            return Ok(None);
        };
        let occ = group.occ;
        let shift = loose.ties.len();
        let tied = !loose.ties.is_empty();
        let mut counted = Vec::new();
        for (j, call) in group.aggregates.iter().enumerate() {
            let column = Expr::Column(ColumnRef {
                occ,
                column: super::column(shift + j)?,
            });
            // A group that is missing is an empty one: its count is 0, every other aggregate of it NULL.
            counted.push(if tied && is_count(&call.func) {
                Expr::Coalesce(vec![column, Expr::Const(Value::Int(0))])
            } else {
                column
            });
        }
        loose.query.limit = None;
        loose.query.order.clear();
        loose.query.distinct = Distinct::No;
        let select: Vec<Expr> = loose
            .query
            .select
            .iter()
            .map(|e| {
                rewrite(e, &mut |part| match part {
                    Expr::Column(c) if c.occ == occ => counted.get(usize::from(c.column)).cloned(),
                    _ => None,
                })
            })
            .collect();
        loose.query.select = select;
        if let Some(group) = &mut loose.query.group {
            group.keys = loose
                .ties
                .iter()
                .map(|(_, inner, _)| inner.clone())
                .collect();
            group.key_types = loose.ties.iter().map(|(_, _, ty)| ty.clone()).collect();
        }
        self.joined(loose, occ).map(Some)
    }

    /// EXISTS, as the presence of a group.
    fn exists_as_stage(&mut self, query: &Query, outer: &mut Query) -> Checked<Option<Expr>> {
        let plain = query.group.is_none()
            && query.having.is_empty()
            && query.limit != Some(0)
            && query.offset == 0
            && query.from.is_some()
            && outer.from.is_some();
        if !plain {
            return Ok(None);
        }
        let Some(mut loose) = self.cut_loose(query) else {
            return Ok(None);
        };
        let occ = self
            .arena
            .add_occ(Relation::Grouping, "exists", Span::empty())?;
        let tied = !loose.ties.is_empty();
        loose.query.select.clear();
        loose.query.types.clear();
        loose.query.order.clear();
        loose.query.limit = None;
        loose.query.distinct = Distinct::No;
        loose.query.group = Some(Grouping {
            occ,
            keys: loose
                .ties
                .iter()
                .map(|(_, inner, _)| inner.clone())
                .collect(),
            key_types: loose.ties.iter().map(|(_, _, ty)| ty.clone()).collect(),
            aggregates: if tied { Vec::new() } else { vec![count_all()] },
        });
        if tied {
            let joined = self.joined(loose, occ)?;
            let stage = joined.tree.occurrences().first().copied();
            Ok(stage.map(Expr::Present).filter(|_| attach(outer, joined)))
        } else {
            let count = Typed::new(Expr::Column(ColumnRef { occ, column: 0 }), Type::Int8);
            let zero = Typed::constant(Value::Int(0), Type::Int8);
            let some = resolve_operator(">", Some(count), zero)
                .map_err(|e| crate::refusal::Problem::at(Span::empty(), e.message))?;
            loose.query.select = vec![some.expr];
            let joined = self.joined(loose, occ)?;
            let value = joined.select.first().cloned();
            Ok(value.filter(|_| attach(outer, joined)))
        }
    }

    fn joined(&mut self, loose: Loose, occ: OccId) -> Checked<Joined> {
        let mut on = Vec::new();
        for (i, (whole, inner, _)) in loose.ties.iter().enumerate() {
            let key = Expr::Column(ColumnRef {
                occ,
                column: super::column(i)?,
            });
            on.push(rewrite(whole, &mut |part| {
                (part == inner).then(|| key.clone())
            }));
        }
        let query = self.degroup(loose.query, true)?;
        let on = on.iter().map(|e| self.arena.resolve(e)).collect();
        Ok(Joined {
            tree: query.from.unwrap_or(FromItem::Occurrence(occ)),
            on,
            select: query.select,
        })
    }

    /// Takes out the conjuncts `inner = outer`; `None` if the query refers outwards in any other way.
    pub(super) fn cut_loose(&self, query: &Query) -> Option<Loose> {
        let local: BTreeSet<OccId> = from_occs(query).into_iter().collect();
        let mut rest = query.clone();
        let mut ties: Vec<(Expr, Expr, Type)> = Vec::new();
        rest.filter.retain(|conjunct| {
            let outer = |e: &Expr| {
                let used = self.arena.free_occs_of_expr(e);
                !used.is_empty()
                    && used.iter().all(|o| !local.contains(o))
                    && readside_plan::subqueries_of(e).is_empty()
            };
            let inner = |e: &Expr| {
                let used = self.arena.free_occs_of_expr(e);
                !used.is_empty()
                    && used.iter().all(|o| local.contains(o))
                    && readside_plan::subqueries_of(e).is_empty()
            };
            let Some((l, r, ty)) = as_equality(conjunct) else {
                return true;
            };
            let side = if inner(l) && outer(r) {
                l
            } else if outer(l) && inner(r) {
                r
            } else {
                return true;
            };
            if ties.iter().any(|(_, known, _)| known == side) {
                return true;
            }
            ties.push((conjunct.clone(), side.clone(), ty));
            false
        });
        // What is tied inside an outer join's null-supplying side means something else after the join.
        let free = self.arena.free_occs(&rest);
        let subqueries_stand_alone = subqueries_in(&rest)
            .iter()
            .all(|id| self.arena.subquery(*id).is_some());
        (free.is_empty() && subqueries_stand_alone).then_some(Loose { query: rest, ties })
    }
}

/// Joins the first rows to `outer`, where there is one.
fn attach_first(outer: &mut Query, tree: FromItem, on: Vec<Expr>) {
    outer.from = outer.from.take().map(|from| FromItem::Left {
        left: Box::new(from),
        right: Box::new(tree),
        on,
    });
}

/// Joins a stage to `outer`: at most one row of it for each of `outer`'s.
fn attach(outer: &mut Query, joined: Joined) -> bool {
    outer.from = Some(match outer.from.take() {
        None if joined.on.is_empty() => joined.tree,
        None => return false,
        Some(from) if joined.on.is_empty() => FromItem::Inner {
            left: Box::new(from),
            right: Box::new(joined.tree),
            on: Vec::new(),
        },
        Some(from) => FromItem::Left {
            left: Box::new(from),
            right: Box::new(joined.tree),
            on: joined.on,
        },
    });
    true
}

fn count_all() -> AggCall {
    AggCall {
        func: AggFunc::CountStar,
        args: Vec::new(),
        arg_types: Vec::new(),
        distinct: false,
        order: Vec::new(),
        filter: None,
    }
}

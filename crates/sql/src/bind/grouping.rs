//! What GROUP BY makes of the expressions that come after it.

use std::collections::BTreeSet;

use readside_expr::{ColumnRef, Expr, OccId, Typed};
use readside_pgtype::Type;
use readside_plan::{Grouping, Query, Relation, SubqueryKind};

use super::Binder;
use crate::arena::{Arena, from_occs, map_after_grouping, map_exprs, subqueries_in};
use crate::refusal::{Checked, Problem};
use crate::scope::{FIRST_AGGREGATE, Level};

impl Binder<'_> {
    /// Gives `query` its grouping: every expression after it reads keys and aggregates only.
    pub(super) fn group(
        &mut self,
        query: &mut Query,
        keys: Vec<Typed>,
        level: &Level,
    ) -> Checked<()> {
        let occ = level.grouping;
        let local: BTreeSet<OccId> = from_occs(query).into_iter().collect();
        let mut key_exprs: Vec<Expr> = keys.iter().map(|k| k.expr.clone()).collect();
        let mut key_types: Vec<Type> = keys.into_iter().map(|k| k.ty).collect();
        let written = key_exprs.clone();
        let whole = self.wholly_grouped(&local, &written);
        let mut ungrouped = None;
        // Inside a subquery Postgres recognises group columns only, no longer expressions.
        let inside = std::cell::Cell::new(false);
        let arena = &self.arena;
        let mut extra: Vec<(Expr, Type)> = Vec::new();
        let mut replace = |e: &Expr| {
            if let Some(i) = written.iter().position(|k| k == e)
                && !matches!(e, Expr::Const(_))
                && (!inside.get() || matches!(e, Expr::Column(_)))
            {
                return Some(key_column(occ, i));
            }
            let (of, ty) = match e {
                Expr::Column(c) if local.contains(&c.occ) => (
                    c.occ,
                    arena.occ(c.occ).columns[usize::from(c.column)]
                        .typed
                        .ty
                        .clone(),
                ),
                Expr::Present(o) if local.contains(o) => (*o, Type::Bool),
                _ => return None,
            };
            if !whole.contains(&of) {
                if let Expr::Column(c) = e {
                    ungrouped.get_or_insert((*c, inside.get()));
                }
                return None;
            }
            let i = extra.iter().position(|(x, _)| x == e).unwrap_or_else(|| {
                extra.push((e.clone(), ty));
                extra.len() - 1
            });
            Some(key_column(occ, written.len() + i))
        };
        let mut after = std::mem::replace(query, Query::over(None));
        let mut nested = Vec::new();
        map_after_grouping(&mut after, &mut |e| {
            nested.extend(readside_plan::subqueries_of(e));
            rewrite(e, &mut replace)
        });
        inside.set(true);
        let mut replaced = Vec::new();
        for id in nested {
            if let Some(subquery) = arena.subquery(id) {
                let mut subquery = subquery.clone();
                replaced.extend(rewrite_deep(arena, &mut subquery.query, &mut replace));
                if let SubqueryKind::In { equals, .. } = &mut subquery.kind {
                    **equals = rewrite(equals, &mut replace);
                }
                replaced.push(Replaced::Subquery(id, Box::new(subquery)));
            }
        }
        if let Some((column, in_subquery)) = ungrouped {
            return Err(self.ungrouped(column, in_subquery, level));
        }
        for one in replaced {
            match one {
                Replaced::Subquery(id, subquery) => self.arena.put_subquery(id, *subquery),
                Replaced::Derived(occ, query) => {
                    self.arena.occ_mut(occ).relation = Relation::Query(query);
                }
            }
        }
        for (e, ty) in extra {
            key_exprs.push(e);
            key_types.push(ty);
        }
        let count = key_exprs.len();
        let mut shift = |e: &Expr| match e {
            Expr::Column(c) if c.occ == occ && c.column >= FIRST_AGGREGATE => Some(key_column(
                occ,
                count + usize::from(c.column - FIRST_AGGREGATE),
            )),
            _ => None,
        };
        map_after_grouping(&mut after, &mut |e| rewrite(e, &mut shift));
        self.shift_deep(&after, &mut shift);
        after.group = Some(Grouping {
            occ,
            keys: key_exprs,
            key_types,
            aggregates: level.aggregates.take(),
        });
        *query = after;
        Ok(())
    }

    /// Applies `f` to the subqueries that are evaluated after the grouping of `query`.
    fn shift_deep(&mut self, query: &Query, f: &mut dyn FnMut(&Expr) -> Option<Expr>) {
        let mut ids = Vec::new();
        let mut after = query.clone();
        map_after_grouping(&mut after, &mut |e| {
            ids.extend(readside_plan::subqueries_of(e));
            e.clone()
        });
        for id in ids {
            let Some(mut subquery) = self.arena.subquery(id).cloned() else {
                continue;
            };
            let replaced = rewrite_deep(&self.arena, &mut subquery.query, f);
            if let SubqueryKind::In { equals, .. } = &mut subquery.kind {
                **equals = rewrite(equals, f);
            }
            self.arena.put_subquery(id, subquery);
            for one in replaced {
                match one {
                    Replaced::Subquery(id, subquery) => self.arena.put_subquery(id, *subquery),
                    Replaced::Derived(occ, query) => {
                        self.arena.occ_mut(occ).relation = Relation::Query(query);
                    }
                }
            }
        }
    }

    /// The tables whose whole primary key is grouped by: their other columns have one value per group.
    fn wholly_grouped(&self, local: &BTreeSet<OccId>, keys: &[Expr]) -> BTreeSet<OccId> {
        let grouped: BTreeSet<ColumnRef> = keys
            .iter()
            .filter_map(|k| match k {
                Expr::Column(c) => Some(*c),
                _ => None,
            })
            .collect();
        local
            .iter()
            .copied()
            .filter(|occ| {
                self.arena.table(*occ).is_some_and(|table| {
                    table.unique.iter().filter(|u| u.primary).any(|u| {
                        u.columns.iter().all(|i| {
                            u16::try_from(*i).is_ok_and(|column| {
                                grouped.contains(&ColumnRef { occ: *occ, column })
                            })
                        })
                    })
                })
            })
            .collect()
    }

    fn ungrouped(&self, column: ColumnRef, in_subquery: bool, level: &Level) -> Box<Problem> {
        let occ = self.arena.occ(column.occ);
        let name = occ
            .columns
            .get(usize::from(column.column))
            .map_or("?", |c| c.name.as_str());
        let shown = format!("{}.{name}", occ.alias);
        let reads = level.reads.borrow();
        let span = reads
            .get(&(column, in_subquery))
            .copied()
            .unwrap_or_else(sqlparser::tokenizer::Span::empty);
        Problem::hinted(
            span,
            if in_subquery {
                format!("subquery uses ungrouped column \"{shown}\" from outer query")
            } else {
                format!(
                    "column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function"
                )
            },
            format!("add `{shown}` to GROUP BY"),
        )
    }
}

enum Replaced {
    Subquery(readside_expr::SubqueryId, Box<readside_plan::Subquery>),
    Derived(OccId, Box<Query>),
}

/// Applies `f` to everything in `query`; what is nested in it is returned, to be put back.
fn rewrite_deep(
    arena: &Arena<'_>,
    query: &mut Query,
    f: &mut dyn FnMut(&Expr) -> Option<Expr>,
) -> Vec<Replaced> {
    let mut out = Vec::new();
    map_exprs(query, &mut |e| rewrite(e, f));
    for occ in from_occs(query) {
        if let Relation::Query(inner) = &arena.occ(occ).relation {
            let mut inner = inner.clone();
            out.extend(rewrite_deep(arena, &mut inner, f));
            out.push(Replaced::Derived(occ, inner));
        }
    }
    for id in subqueries_in(query) {
        if let Some(subquery) = arena.subquery(id) {
            let mut subquery = subquery.clone();
            out.extend(rewrite_deep(arena, &mut subquery.query, f));
            if let SubqueryKind::In { equals, .. } = &mut subquery.kind {
                **equals = rewrite(equals, f);
            }
            out.push(Replaced::Subquery(id, Box::new(subquery)));
        }
    }
    out
}

fn key_column(occ: OccId, index: usize) -> Expr {
    Expr::Column(ColumnRef {
        occ,
        column: u16::try_from(index).unwrap_or(FIRST_AGGREGATE - 1),
    })
}

/// `e` with every largest part for which `f` has a replacement replaced. Subqueries are not entered.
pub(crate) fn rewrite(e: &Expr, f: &mut dyn FnMut(&Expr) -> Option<Expr>) -> Expr {
    if let Some(replacement) = f(e) {
        return replacement;
    }
    let mut list = |l: &[Expr]| l.iter().map(|e| rewrite(e, f)).collect::<Vec<_>>();
    match e {
        Expr::Const(_) | Expr::Column(_) | Expr::Present(_) | Expr::Subquery(_) => e.clone(),
        Expr::Call { func, args } => Expr::Call {
            func: func.clone(),
            args: list(args),
        },
        Expr::And(l) => Expr::And(list(l)),
        Expr::Or(l) => Expr::Or(list(l)),
        Expr::Coalesce(l) => Expr::Coalesce(list(l)),
        Expr::Record(l) => Expr::Record(list(l)),
        Expr::Array { elements, element } => Expr::Array {
            elements: list(elements),
            element: element.clone(),
        },
        Expr::Not(x) => Expr::Not(Box::new(rewrite(x, f))),
        Expr::IsNull(x) => Expr::IsNull(Box::new(rewrite(x, f))),
        Expr::IsNotNull(x) => Expr::IsNotNull(Box::new(rewrite(x, f))),
        Expr::Case {
            branches,
            otherwise,
        } => Expr::Case {
            branches: branches
                .iter()
                .map(|(c, r)| (rewrite(c, f), rewrite(r, f)))
                .collect(),
            otherwise: Box::new(rewrite(otherwise, f)),
        },
    }
}

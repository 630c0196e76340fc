//! row_number, rank and dense_rank as a stage: an ordered index keeps each row's place in its partition, and the query reads it there.
//!
//! Always: a row's rank is looked up by the row's key, so the query keeps its rows and what they are keyed by.

use std::sync::Arc;

use readside_aggregate::SortKey;
use readside_expr::{ColumnRef, Comparison, Expr, Func, OccId, RankOver, Ranking};
use readside_pgtype::{Type, Value};
use readside_plan::{Distinct, FromItem, Query, Relation};
use sqlparser::tokenizer::Span;

use super::Planner;
use super::facts::before_grouping;
use super::simplify::reduce_outer_joins;
use super::top_n::Keep;
use crate::arena::{each_expr, from_occs};
use crate::bind::{is_ranked, rewrite};
use crate::refusal::{Checked, Problem};

/// A ranking, as a call.
struct Call {
    whole: Expr,
    over: Arc<RankOver>,
    partition: Vec<(Expr, Type)>,
    order: Vec<SortKey>,
}

impl Planner<'_> {
    /// Remembers which rows of nested queries conditions on their row numbers leave: `WHERE n <= 3`.
    pub(super) fn note_rank_limits(&mut self, query: &Query) {
        let mut found = Vec::new();
        let mut note = |occs: &[OccId], conjuncts: &[Expr]| {
            for conjunct in conjuncts {
                if let Some((column, limit)) = upper_bound(conjunct)
                    && occs.contains(&column.occ)
                    && matches!(self.arena.occ(column.occ).relation, Relation::Query(_))
                {
                    found.push((column, limit));
                }
            }
        };
        note(&from_occs(query), &query.filter);
        if let Some(from) = &query.from {
            each_condition(from, &mut note);
        }
        self.rank_limits.extend(found);
    }

    /// `query` with its rankings read from stages. `limits` are those of its output columns.
    pub(super) fn ranked(&mut self, mut query: Query, limits: &[(u16, u64)]) -> Checked<Query> {
        let mut any = false;
        each_expr(&query, &mut |e| any |= is_ranked(e));
        if !any {
            return Ok(query);
        }
        let refuse = |reason: &str, hint: &str| Err(Problem::hinted(Span::empty(), reason, hint));
        if query.group.is_some() {
            if !self.arena.free_occs(&query).is_empty() {
                return refuse(
                    "a window function over groups that depend on a query further out is not supported",
                    "rank in a derived table that stands on its own",
                );
            }
            query = self.degroup(query, false)?;
            self.subqueries(&mut query)?;
            self.arena.resolve_query(&mut query);
            reduce_outer_joins(&mut query);
        }
        if query.from.is_none() {
            return refuse("a window function without FROM is not supported", "write 1");
        }
        // What LIMIT and DISTINCT ON choose among has to be all there.
        let whole =
            query.limit.is_some() || query.offset > 0 || matches!(query.distinct, Distinct::On(_));
        let limits = if whole { &[][..] } else { limits };
        // Every ranking is over the rows as they are before any is read.
        let rows = before_grouping(&query);
        for call in calls(&query) {
            let Some(loose) = self.cut_loose(&rows) else {
                return refuse(
                    "this window function depends on a query further out by more than equalities, which is not supported",
                    "rank in a derived table that stands on its own",
                );
            };
            let local = from_occs(&rows);
            let reads_own = call
                .partition
                .iter()
                .map(|(e, _)| e)
                .chain(call.order.iter().map(|k| &k.expr))
                .all(|e| {
                    self.arena
                        .free_occs_of_expr(e)
                        .iter()
                        .all(|o| local.contains(o))
                });
            if !reads_own {
                return refuse(
                    "a window that reads a query further out is not supported",
                    "leave out what does not change within the query",
                );
            }
            let limit = limits
                .iter()
                .find(|(column, _)| {
                    call.over.ranking == Ranking::RowNumber
                        && query.select.get(usize::from(*column)) == Some(&call.whole)
                })
                .map_or(u64::MAX, |(_, limit)| (*limit).max(1));
            let mut partition: Vec<(Expr, Type)> = loose
                .ties
                .iter()
                .map(|(_, inner, ty)| (inner.clone(), ty.clone()))
                .collect();
            partition.extend(call.partition.iter().cloned());
            let mut block = loose.query;
            block.order.clone_from(&call.order);
            if call.over.ranking == Ranking::RowNumber && !self.leaves_no_ties(&block, &partition) {
                self.note_tie(None, None);
            }
            if limit == u64::MAX {
                let warning = "a change may alter the rank of every row of its partition: the cost of a window function is that of its partition";
                if !self.arena.warnings.iter().any(|w| w == warning) {
                    self.arena.warnings.push(warning.to_owned());
                }
            }
            let (stage, keys) = self.write_top_n(
                &block,
                &partition,
                limit,
                Keep::Keys,
                Some(call.over.ranking),
                Span::empty(),
            )?;
            let mut on = Vec::new();
            for (k, column) in keys.iter().enumerate() {
                on.push(self.same_key(&rows, stage, partition.len() + k, column)?);
            }
            let rank = Expr::Column(ColumnRef {
                occ: stage,
                column: super::column(partition.len() + keys.len())?,
            });
            query.from = query.from.take().map(|from| FromItem::Inner {
                left: Box::new(from),
                right: Box::new(FromItem::Occurrence(stage)),
                on,
            });
            crate::arena::map_after_grouping(&mut query, &mut |e| {
                rewrite(e, &mut |part| (*part == call.whole).then(|| rank.clone()))
            });
        }
        Ok(query)
    }

    /// Whether a partition and its order tell all rows apart.
    fn leaves_no_ties(&self, block: &Query, partition: &[(Expr, Type)]) -> bool {
        let mut query = block.clone();
        let partition = partition.iter().map(|(expr, ty)| SortKey {
            expr: expr.clone(),
            ty: ty.clone(),
            descending: false,
            nulls_first: false,
        });
        query.order = partition.chain(block.order.iter().cloned()).collect();
        query.select = vec![Expr::Const(Value::Null)];
        self.is_ordered_ignoring_limit(&query)
    }
}

/// The rankings that `query`'s output and order read, each once.
fn calls(query: &Query) -> Vec<Call> {
    let mut out: Vec<Call> = Vec::new();
    each_expr(query, &mut |e| {
        e.walk(&mut |e| {
            let Expr::Call {
                func: Func::Rank(over),
                args,
            } = e
            else {
                return;
            };
            if out.iter().any(|known| known.whole == *e) {
                return;
            }
            let (partition, order) = args.split_at(over.partition.len().min(args.len()));
            out.push(Call {
                whole: e.clone(),
                partition: partition
                    .iter()
                    .cloned()
                    .zip(over.partition.iter().cloned())
                    .collect(),
                order: order
                    .iter()
                    .zip(&over.order)
                    .map(|(expr, (ty, descending, nulls_first))| SortKey {
                        expr: expr.clone(),
                        ty: ty.clone(),
                        descending: *descending,
                        nulls_first: *nulls_first,
                    })
                    .collect(),
                over: Arc::clone(over),
            });
        });
    });
    out
}

/// The conditions of joins, with the occurrences whose rows they leave out.
fn each_condition(item: &FromItem, note: &mut dyn FnMut(&[OccId], &[Expr])) {
    match item {
        FromItem::Occurrence(_) => {}
        FromItem::Inner { left, right, on } => {
            note(&item.occurrences(), on);
            each_condition(left, note);
            each_condition(right, note);
        }
        FromItem::Left { left, right, on } => {
            note(&right.occurrences(), on);
            each_condition(left, note);
            each_condition(right, note);
        }
    }
}

/// `column = n`, `column <= n` or `column < n`: the column and its largest value.
fn upper_bound(conjunct: &Expr) -> Option<(ColumnRef, u64)> {
    let Expr::Call {
        func: Func::Compare { op, .. },
        args,
    } = conjunct
    else {
        return None;
    };
    let (column, op, n) = match args.as_slice() {
        [Expr::Column(c), Expr::Const(Value::Int(n))] => (*c, *op, *n),
        [Expr::Const(Value::Int(n)), Expr::Column(c)] => {
            let turned = match op {
                Comparison::GreaterOrEqual => Comparison::LessOrEqual,
                Comparison::Greater => Comparison::Less,
                Comparison::Equal => Comparison::Equal,
                _ => return None,
            };
            (*c, turned, *n)
        }
        _ => return None,
    };
    let largest = match op {
        Comparison::Equal | Comparison::LessOrEqual => n,
        Comparison::Less => n.checked_sub(1)?,
        _ => return None,
    };
    Some((column, u64::try_from(largest).unwrap_or(0)))
}

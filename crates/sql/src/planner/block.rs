//! Cuts a block out of the arena: its own occurrences and subqueries, numbered from 0, and its key.

use std::collections::HashMap;

use readside_aggregate::AggCall;
use readside_expr::{Expr, OccId, SubqueryId};
use readside_plan::{Block, Occurrence, Query, Relation, Subquery, SubqueryKind};
use sqlparser::tokenizer::Span;

use super::Planner;
use super::facts::covering;
use crate::arena::{Arena, from_occs, map_exprs, subqueries_in};
use crate::refusal::{Checked, Problem};

/// Occurrences and subqueries of a block by their number in the arena.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    occs: HashMap<OccId, OccId>,
    subqueries: HashMap<SubqueryId, SubqueryId>,
    occurrences: Vec<OccId>,
    subquery_order: Vec<SubqueryId>,
}

impl Numbers {
    fn add_occ(&mut self, occ: OccId) {
        if !self.occs.contains_key(&occ)
            && let Ok(n) = u16::try_from(self.occurrences.len())
        {
            self.occs.insert(occ, OccId(n));
            self.occurrences.push(occ);
        }
    }

    fn add_query(&mut self, arena: &Arena<'_>, query: &Query) {
        let from = from_occs(query);
        for occ in &from {
            self.add_occ(*occ);
        }
        if let Some(group) = &query.group {
            self.add_occ(group.occ);
        }
        for occ in from {
            if let Relation::Query(inner) = &arena.occ(occ).relation {
                self.add_query(arena, inner);
            }
        }
        for id in subqueries_in(query) {
            self.add_subquery(arena, id);
        }
    }

    fn add_subquery(&mut self, arena: &Arena<'_>, id: SubqueryId) {
        if self.subqueries.contains_key(&id) {
            return;
        }
        let Ok(n) = u16::try_from(self.subquery_order.len()) else {
            return;
        };
        self.subqueries.insert(id, SubqueryId(n));
        self.subquery_order.push(id);
        if let Some(subquery) = arena.subquery(id) {
            if let SubqueryKind::In { equals, output } = &subquery.kind {
                self.add_occ(*output);
                for inner in readside_plan::subqueries_of(equals) {
                    self.add_subquery(arena, inner);
                }
            }
            self.add_query(arena, &subquery.query);
        }
    }

    pub(super) fn occ(&self, occ: OccId) -> OccId {
        self.occs.get(&occ).copied().unwrap_or(occ)
    }

    pub(super) fn expr(&self, e: &Expr) -> Expr {
        e.map_leaves(&mut |leaf| match leaf {
            Expr::Column(c) => Some(Expr::Column(readside_expr::ColumnRef {
                occ: self.occ(c.occ),
                column: c.column,
            })),
            Expr::Present(occ) => Some(Expr::Present(self.occ(*occ))),
            Expr::Subquery(id) => self.subqueries.get(id).map(|id| Expr::Subquery(*id)),
            _ => None,
        })
    }

    fn query(&self, mut query: Query) -> Query {
        map_exprs(&mut query, &mut |e| self.expr(e));
        if let Some(from) = &mut query.from {
            self.from(from);
        }
        if let Some(group) = &mut query.group {
            group.occ = self.occ(group.occ);
        }
        query
    }

    fn from(&self, item: &mut readside_plan::FromItem) {
        use readside_plan::FromItem;
        match item {
            FromItem::Occurrence(occ) => *occ = self.occ(*occ),
            FromItem::Inner { left, right, .. } | FromItem::Left { left, right, .. } => {
                self.from(left);
                self.from(right);
            }
        }
    }
}

impl Planner<'_> {
    /// The block of `query`. Everything in it has been flattened.
    pub(super) fn block(&mut self, mut query: Query, span: Span) -> Checked<(Block, Numbers)> {
        self.arena.resolve_deep(&mut query);
        let key = self.block_key(&query, span)?;
        self.note_ties(&query);
        let mut numbers = Numbers::default();
        numbers.add_query(&self.arena, &query);
        let occurrences = numbers
            .occurrences
            .iter()
            .map(|occ| {
                let occ = self.arena.occ(*occ);
                Occurrence {
                    relation: match &occ.relation {
                        Relation::Query(inner) => {
                            Relation::Query(Box::new(numbers.query((**inner).clone())))
                        }
                        other => other.clone(),
                    },
                    alias: occ.alias.clone(),
                }
            })
            .collect();
        let mut subqueries = Vec::new();
        for id in &numbers.subquery_order {
            let Some(subquery) = self.arena.subquery(*id).cloned() else {
                return Err(Problem::at(span, "a subquery of this query was lost"));
            };
            subqueries.push(Subquery {
                query: numbers.query(subquery.query),
                kind: match subquery.kind {
                    SubqueryKind::In { equals, output } => SubqueryKind::In {
                        equals: Box::new(numbers.expr(&equals)),
                        output: numbers.occ(output),
                    },
                    kind => kind,
                },
            });
        }
        let block = Block {
            occurrences,
            query: numbers.query(query),
            subqueries,
            key: key.into_iter().map(|occ| numbers.occ(occ)).collect(),
        };
        Ok((block, numbers))
    }

    /// The block under a grouping, with the grouping's own expressions renumbered.
    pub(super) fn group_block(
        &mut self,
        mut block: Query,
        keys: Vec<Expr>,
        aggregates: &[AggCall],
        span: Span,
    ) -> Checked<(Block, Vec<Expr>, Vec<AggCall>)> {
        let mut calls = aggregates.to_vec();
        let count = keys.len();
        block.select = keys;
        for call in &calls {
            block.select.extend(call.args.iter().cloned());
            block
                .select
                .extend(call.order.iter().map(|k| k.expr.clone()));
            block.select.extend(call.filter.iter().cloned());
        }
        let (mut block, _) = self.block(block, span)?;
        let mut list = std::mem::take(&mut block.query.select).into_iter();
        let keys: Vec<Expr> = list.by_ref().take(count).collect();
        for call in &mut calls {
            let parts = call
                .args
                .iter_mut()
                .chain(call.order.iter_mut().map(|k| &mut k.expr))
                .chain(call.filter.iter_mut());
            for (part, renumbered) in parts.zip(list.by_ref()) {
                *part = renumbered;
            }
        }
        Ok((block, keys, calls))
    }

    /// The fewest occurrences that determine all others, the first such in FROM order.
    pub(super) fn block_key(&self, query: &Query, span: Span) -> Checked<Vec<OccId>> {
        for occ in from_occs(query) {
            if let Relation::Query(inner) = &self.arena.occ(occ).relation
                && !super::facts::at_most_one_row(inner)
            {
                let at = self.arena.occ(occ).span;
                return Err(Problem::hinted(
                    if at.start.line == 0 { span } else { at },
                    "this subquery may give several rows for each row that it is joined to, and they have no key of their own",
                    "end it with LIMIT 1, make it an aggregate without GROUP BY, or collect its rows in ARRAY(SELECT …) or jsonb_agg",
                ));
            }
        }
        covering(&self.arena, query)
            .ok_or_else(|| Problem::at(span, "the rows of this query have no key"))
    }
}

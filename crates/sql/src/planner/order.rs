//! Where an answer is not defined to the last: lists that compare as multisets, LIMITs that need a tie-breaker, sums of floats.

use std::collections::HashMap;

use readside_aggregate::{AggCall, AggFunc, SortKey};
use readside_expr::{Expr, OccId};
use readside_plan::{Distinct, Grouping, Query, Relation, SubqueryKind, Unordered};
use sqlparser::tokenizer::Location;

use super::Planner;
use super::facts::{Facts, before_grouping, candidate_keys};
use crate::aggregates::is_order_sensitive;
use crate::arena::{columns_of, from_occs, subqueries_in};
use crate::type_facts::equality_is_identity;

/// What a value may be made of.
#[derive(Clone, Copy)]
enum Origin<'q> {
    /// A column of a stage.
    Stage(u16, u16),
    /// An aggregate, and the query that it stands in.
    Call(&'q AggCall, &'q Query),
    /// `ARRAY(SELECT …)`
    Array(&'q Query),
}

type Groupings = HashMap<OccId, (Grouping, Query)>;

impl Planner<'_> {
    /// The output columns that hold lists without a defined order.
    pub(super) fn unordered_columns(&self, query: &Query) -> Vec<Unordered> {
        self.columns_where(query, &|origin| self.is_unordered(origin))
            .into_iter()
            .map(|column| Unordered { column })
            .collect()
    }

    /// The output columns that hold sums of floats, whose last digits depend on the order in which Postgres adds.
    pub(super) fn inexact_columns(&self, query: &Query) -> Vec<usize> {
        self.columns_where(query, &|origin| self.is_inexact(origin))
    }

    fn columns_where(&self, query: &Query, holds: &dyn Fn(Origin<'_>) -> bool) -> Vec<usize> {
        let mut groupings = Groupings::new();
        self.collect_groupings(query, &mut groupings);
        query
            .select
            .iter()
            .enumerate()
            .filter(|(_, e)| self.originates(e, &groupings, holds))
            .map(|(column, _)| column)
            .collect()
    }

    /// Remembers which aggregates of a grouping hold lists without a defined order, and which inexact sums.
    pub(super) fn note_aggregates(
        &mut self,
        stage: u16,
        keys: usize,
        block: &Query,
        calls: &[AggCall],
    ) {
        let mut groupings = Groupings::new();
        let mut query = block.clone();
        for call in calls {
            query.select.extend(call.args.iter().cloned());
        }
        self.collect_groupings(&query, &mut groupings);
        let mut flags = Vec::new();
        for call in calls {
            let origin = |holds: &dyn Fn(Origin<'_>) -> bool| {
                self.call_originates(call, block, &groupings, holds)
            };
            flags.push((
                origin(&|o| self.is_unordered(o)),
                origin(&|o| self.is_inexact(o)),
            ));
        }
        self.note_columns(stage, keys, &flags);
    }

    fn collect_groupings(&self, query: &Query, out: &mut Groupings) {
        if let Some(group) = &query.group {
            out.insert(group.occ, (group.clone(), query.clone()));
        }
        for occ in from_occs(query) {
            if let Relation::Query(inner) = &self.arena.occ(occ).relation {
                self.collect_groupings(inner, out);
            }
        }
        for id in subqueries_in(query) {
            if let Some(subquery) = self.arena.subquery(id) {
                self.collect_groupings(&subquery.query, out);
            }
        }
    }

    /// Whether something that `e` is made of is so.
    fn originates(
        &self,
        e: &Expr,
        groupings: &Groupings,
        holds: &dyn Fn(Origin<'_>) -> bool,
    ) -> bool {
        let mut found = false;
        e.walk(&mut |part| match part {
            Expr::Column(c) => {
                let column = usize::from(c.column);
                found |= match &self.arena.occ(c.occ).relation {
                    Relation::Stage(id) => holds(Origin::Stage(id.0, c.column)),
                    Relation::Query(inner) => inner
                        .select
                        .get(column)
                        .is_some_and(|e| self.originates(e, groupings, holds)),
                    Relation::Grouping => groupings.get(&c.occ).is_some_and(|(group, query)| {
                        match column.checked_sub(group.keys.len()) {
                            None => self.originates(&group.keys[column], groupings, holds),
                            Some(j) => group.aggregates.get(j).is_some_and(|call| {
                                self.call_originates(call, query, groupings, holds)
                            }),
                        }
                    }),
                    Relation::Table(_) => false,
                };
            }
            Expr::Subquery(id) => {
                if let Some(subquery) = self.arena.subquery(*id) {
                    let query = &subquery.query;
                    let shows = || {
                        query
                            .select
                            .iter()
                            .any(|e| self.originates(e, groupings, holds))
                    };
                    found |= match subquery.kind {
                        SubqueryKind::Array => shows() || holds(Origin::Array(query)),
                        SubqueryKind::Scalar => shows(),
                        SubqueryKind::Exists | SubqueryKind::In { .. } => false,
                    };
                }
            }
            _ => {}
        });
        found
    }

    fn call_originates(
        &self,
        call: &AggCall,
        query: &Query,
        groupings: &Groupings,
        holds: &dyn Fn(Origin<'_>) -> bool,
    ) -> bool {
        call.args
            .iter()
            .any(|e| self.originates(e, groupings, holds))
            || holds(Origin::Call(call, query))
    }

    fn is_unordered(&self, origin: Origin<'_>) -> bool {
        match origin {
            Origin::Stage(stage, column) => self.unordered.contains(&(stage, column)),
            Origin::Array(query) => !self.is_ordered(query, &query.order, &query.select),
            Origin::Call(call, query) => {
                let by_value =
                    call.distinct && call.arg_types.first().is_some_and(equality_is_identity);
                is_order_sensitive(&call.func)
                    && !by_value
                    && !self.is_ordered(&before_grouping(query), &call.order, &call.args)
            }
        }
    }

    fn is_inexact(&self, origin: Origin<'_>) -> bool {
        match origin {
            Origin::Stage(stage, column) => self.inexact.contains(&(stage, column)),
            Origin::Array(_) => false,
            Origin::Call(call, _) => matches!(
                call.func,
                AggFunc::SumFloat4
                    | AggFunc::SumFloat8
                    | AggFunc::AvgFloat
                    | AggFunc::SpreadFloat(_)
            ),
        }
    }

    /// Whether `order` leaves no two rows of `query` in an undefined order, or none that show different `values`.
    fn is_ordered(&self, query: &Query, order: &[SortKey], values: &[Expr]) -> bool {
        if matches!(query.distinct, Distinct::All) && !order.is_empty() {
            return query
                .select
                .iter()
                .all(|e| order.iter().any(|k| k.expr == *e));
        }
        if query.limit == Some(1) {
            return true;
        }
        if let Some(group) = &query.group {
            let before = before_grouping(query);
            let facts = Facts::of(&self.arena, &before);
            let ordered: Vec<&Expr> = group
                .keys
                .iter()
                .enumerate()
                .filter(|(i, _)| {
                    super::column(*i).is_ok_and(|column| {
                        let key = Expr::Column(readside_expr::ColumnRef {
                            occ: group.occ,
                            column,
                        });
                        order.iter().any(|k| k.expr == key)
                    })
                })
                .map(|(_, key)| key)
                .collect();
            return facts.group_is_known(group, &ordered);
        }
        let facts = Facts::of(&self.arena, query);
        let known = facts.closure(
            [],
            order.iter().filter_map(|k| match &k.expr {
                Expr::Column(c) => Some(*c),
                _ => None,
            }),
        );
        if facts.occs.iter().all(|o| known.occs.contains_key(o)) {
            return true;
        }
        !order.is_empty()
            && values.iter().all(|v| {
                order
                    .iter()
                    .any(|k| k.expr == *v && equality_is_identity(&k.ty))
                    || (!columns_of(v).is_empty()
                        && facts.is_known(v, &known)
                        && order.iter().all(|k| equality_is_identity(&k.ty)))
            })
    }

    /// Remembers of a stage's columns after `keys` which hold lists without a defined order, and which inexact sums.
    pub(super) fn note_columns(&mut self, stage: u16, keys: usize, flags: &[(bool, bool)]) {
        for (j, (unordered, inexact)) in flags.iter().enumerate() {
            let Ok(column) = u16::try_from(keys + j) else {
                continue;
            };
            if *unordered {
                self.unordered.insert((stage, column));
            }
            if *inexact {
                self.inexact.insert((stage, column));
            }
        }
    }

    /// Finds the LIMITs in `query`'s nested queries that need a tie-breaker, warns, and remembers it.
    pub(super) fn note_ties(&mut self, query: &Query) {
        let mut limited = Vec::new();
        self.collect_limited(query, &mut limited);
        for (nested, site) in limited {
            if self.is_ordered_ignoring_limit(&nested) {
                continue;
            }
            let pieces = self.tie_breakers(&nested, site);
            self.note_tie(site, pieces);
        }
    }

    /// Warns of ties, and remembers how they are broken.
    pub(super) fn note_tie(&mut self, site: Option<Location>, pieces: Option<Vec<String>>) {
        let place = site.map_or_else(String::new, |s| format!(" at line {}", s.line));
        let warning = match &pieces {
            Some(pieces) => format!(
                "the order of the query{place} leaves ties, which Postgres may break either way: readside breaks them by {}",
                pieces.join(", ")
            ),
            None => format!(
                "the order of the query{place} leaves ties, which Postgres may break either way: readside breaks them by the key of the rows, and `verify` may differ"
            ),
        };
        if !self.arena.warnings.contains(&warning) {
            self.arena.warnings.push(warning);
        }
        if let (Some(site), Some(pieces)) = (site, pieces) {
            self.ties.insert(site, pieces);
        }
    }

    /// The identity columns of these occurrences as the text of the query at `site` names them.
    pub(super) fn key_texts(&self, occs: &[OccId], site: Option<Location>) -> Option<Vec<String>> {
        let mut out = Vec::new();
        for occ in occs {
            for column in candidate_keys(&self.arena, *occ).into_iter().next()? {
                let e = Expr::Column(readside_expr::ColumnRef { occ: *occ, column });
                let text = match self.root {
                    (root, Some(group)) if root == site => self.text_of(&e, site, Some(group)),
                    _ => self.text_of(&e, site, None),
                };
                out.push(text?);
            }
        }
        Some(out)
    }

    pub(super) fn is_ordered_ignoring_limit(&self, query: &Query) -> bool {
        let mut query = query.clone();
        query.limit = None;
        query.offset = 0;
        self.is_ordered(&query, &query.order, &query.select)
    }

    fn collect_limited(&self, query: &Query, out: &mut Vec<(Query, Option<Location>)>) {
        let is_limited = |q: &Query| q.limit.is_some() || q.offset > 0;
        for occ in from_occs(query) {
            if let Relation::Query(inner) = &self.arena.occ(occ).relation {
                if is_limited(inner) {
                    let site = self.arena.query_sites.get(&occ).map(|s| s.select);
                    out.push(((**inner).clone(), site));
                }
                self.collect_limited(inner, out);
            }
        }
        for id in subqueries_in(query) {
            if let Some(subquery) = self.arena.subquery(id) {
                let global = subquery
                    .query
                    .group
                    .as_ref()
                    .is_some_and(|g| g.keys.is_empty());
                if is_limited(&subquery.query)
                    && !global
                    && !matches!(subquery.kind, SubqueryKind::Exists)
                {
                    let site = self.arena.sites.get(&id).map(|s| s.select);
                    out.push((subquery.query.clone(), site));
                }
                self.collect_limited(&subquery.query, out);
            }
        }
    }

    /// The key of a nested query's rows as its text names it.
    fn tie_breakers(&self, query: &Query, site: Option<Location>) -> Option<Vec<String>> {
        if query.group.is_some() {
            return self.texts.get(&site?).map(|t| t.group.clone());
        }
        // What the occurrences before it determine decides nothing.
        let facts = Facts::of(&self.arena, query);
        let mut deciding: Vec<OccId> = Vec::new();
        for occ in from_occs(query) {
            let known = facts.closure(deciding.iter().copied(), []);
            if !known.occs.contains_key(&occ) {
                deciding.push(occ);
            }
        }
        self.key_texts(&deciding, site)
    }
}

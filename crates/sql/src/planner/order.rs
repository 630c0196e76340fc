//! Where an answer has no defined order: lists that compare as multisets, LIMITs that need a tie-breaker.

use std::collections::HashMap;

use readside_aggregate::{AggCall, SortKey};
use readside_expr::{Expr, OccId};
use readside_plan::{Distinct, Grouping, Query, Relation, SubqueryKind, Unordered};
use sqlparser::tokenizer::Location;

use super::Planner;
use super::facts::{Facts, before_grouping, candidate_keys};
use crate::aggregates::is_order_sensitive;
use crate::arena::{columns_of, from_occs, subqueries_in};
use crate::type_facts::equality_is_identity;

type Groupings = HashMap<OccId, (Grouping, Query)>;

impl Planner<'_> {
    /// The output columns that hold lists without a defined order.
    pub(super) fn unordered_columns(&self, query: &Query) -> Vec<Unordered> {
        let mut groupings = Groupings::new();
        self.collect_groupings(query, &mut groupings);
        query
            .select
            .iter()
            .enumerate()
            .filter(|(_, e)| self.is_unordered(e, &groupings))
            .map(|(column, _)| Unordered { column })
            .collect()
    }

    /// Which aggregates of a grouping hold lists without a defined order.
    pub(super) fn unordered_aggregates(&self, block: &Query, calls: &[AggCall]) -> Vec<bool> {
        let mut groupings = Groupings::new();
        let mut query = block.clone();
        for call in calls {
            query.select.extend(call.args.iter().cloned());
        }
        self.collect_groupings(&query, &mut groupings);
        calls
            .iter()
            .map(|call| self.is_unordered_call(call, block, &groupings))
            .collect()
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

    fn is_unordered(&self, e: &Expr, groupings: &Groupings) -> bool {
        let mut found = false;
        e.walk(&mut |part| match part {
            Expr::Column(c) => {
                let column = usize::from(c.column);
                found |= match &self.arena.occ(c.occ).relation {
                    Relation::Stage(id) => self.unordered.contains(&(id.0, c.column)),
                    Relation::Query(inner) => inner
                        .select
                        .get(column)
                        .is_some_and(|e| self.is_unordered(e, groupings)),
                    Relation::Grouping => groupings.get(&c.occ).is_some_and(|(group, query)| {
                        match column.checked_sub(group.keys.len()) {
                            None => self.is_unordered(&group.keys[column], groupings),
                            Some(j) => group
                                .aggregates
                                .get(j)
                                .is_some_and(|call| self.is_unordered_call(call, query, groupings)),
                        }
                    }),
                    Relation::Table(_) => false,
                };
            }
            Expr::Subquery(id) => {
                if let Some(subquery) = self.arena.subquery(*id) {
                    let query = &subquery.query;
                    found |= match subquery.kind {
                        SubqueryKind::Array => {
                            query.select.iter().any(|e| self.is_unordered(e, groupings))
                                || !self.is_ordered(query, &query.order, &query.select)
                        }
                        SubqueryKind::Scalar => {
                            query.select.iter().any(|e| self.is_unordered(e, groupings))
                        }
                        SubqueryKind::Exists | SubqueryKind::In { .. } => false,
                    };
                }
            }
            _ => {}
        });
        found
    }

    fn is_unordered_call(&self, call: &AggCall, query: &Query, groupings: &Groupings) -> bool {
        if call.args.iter().any(|e| self.is_unordered(e, groupings)) {
            return true;
        }
        if !is_order_sensitive(&call.func) {
            return false;
        }
        if call.distinct && call.arg_types.first().is_some_and(equality_is_identity) {
            return false;
        }
        let before = before_grouping(query);
        !self.is_ordered(&before, &call.order, &call.args)
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

    /// Remembers a stage's columns that hold lists without a defined order.
    pub(super) fn note_unordered(&mut self, stage: u16, keys: usize, flags: &[bool]) {
        for (j, unordered) in flags.iter().enumerate() {
            if *unordered && let Ok(column) = u16::try_from(keys + j) {
                self.unordered.insert((stage, column));
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

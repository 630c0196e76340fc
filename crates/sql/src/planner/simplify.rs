//! Flattens a query: derived tables into the FROM that holds them, outer joins into inner ones where a filter asks for a row,
//! and what can be kept as a table of its own into stages.

use readside_aggregate::SortKey;
use readside_expr::{ColumnRef, Expr, OccId, SubqueryId};
use readside_pgtype::Value;
use readside_plan::{Distinct, FromItem, Grouping, Query, Relation, SubqueryKind};

use super::Planner;
use super::top_n::Keep;
use crate::aggregates::is_order_sensitive;
use crate::arena::{each_expr, from_occs, map_on};
use crate::refusal::Checked;

impl Planner<'_> {
    /// `query`, flattened.
    pub(super) fn simplify(&mut self, mut query: Query) -> Checked<Query> {
        let rank_limits = std::mem::take(&mut self.next_rank_limits);
        self.arena.resolve_query(&mut query);
        self.note_rank_limits(&query);
        if let Some(from) = query.from.take() {
            let sole = match &from {
                FromItem::Occurrence(occ) => Some(*occ),
                _ => None,
            };
            let mut lifted = Vec::new();
            query.from = self.flatten(from, false, &mut lifted)?;
            query.filter.extend(lifted);
            if let Some(order) = sole.and_then(|occ| self.lost_orders.remove(&occ)) {
                adopt_order(&mut query, &order);
            }
        }
        self.arena.resolve_query(&mut query);
        reduce_outer_joins(&mut query);
        self.subqueries(&mut query)?;
        self.arena.resolve_query(&mut query);
        reduce_outer_joins(&mut query);
        self.ranked(query, &rank_limits)
    }

    /// A FROM tree, flattened; `None` for what has exactly one row without columns. Conjuncts that hold for all of it are lifted.
    fn flatten(
        &mut self,
        item: FromItem,
        supplied: bool,
        lifted: &mut Vec<Expr>,
    ) -> Checked<Option<FromItem>> {
        match item {
            FromItem::Occurrence(occ) => self.flatten_occurrence(occ, supplied, lifted),
            FromItem::Inner { left, right, on } => {
                let mut conjuncts = Vec::new();
                let left = self.flatten(*left, supplied, &mut conjuncts)?;
                let right = self.flatten(*right, supplied, &mut conjuncts)?;
                conjuncts.extend(on.iter().map(|e| self.arena.resolve(e)));
                Ok(match (left, right) {
                    // Not a table of its own: an aggregate over what its left side names.
                    (Some(left), Some(FromItem::Occurrence(occ)))
                        if !supplied && self.is_nested(occ) =>
                    {
                        lifted.extend(conjuncts);
                        Some(self.lateral_aggregate(left, occ, false)?)
                    }
                    (Some(left), Some(right)) => Some(FromItem::Inner {
                        left: Box::new(left),
                        right: Box::new(right),
                        on: conjuncts,
                    }),
                    (one, other) => {
                        lifted.extend(conjuncts);
                        one.or(other)
                    }
                })
            }
            FromItem::Left { left, right, on } => {
                let left = self.flatten(*left, supplied, lifted)?;
                let mut conjuncts = Vec::new();
                // A row without columns on the null-supplying side matters only if ON can take it away.
                let unit = on.is_empty() && left.is_some();
                let right = match *right {
                    FromItem::Occurrence(occ) if unit && self.is_unit(occ) => {
                        self.flatten_occurrence(occ, supplied, &mut conjuncts)?
                    }
                    right => self.flatten(right, true, &mut conjuncts)?,
                };
                let mut on = on;
                for e in &mut on {
                    *e = self.arena.resolve(e);
                }
                conjuncts.extend(on);
                Ok(match (left, right) {
                    (Some(left), Some(FromItem::Occurrence(occ)))
                        if !supplied && conjuncts.is_empty() && self.is_nested(occ) =>
                    {
                        Some(self.lateral_aggregate(left, occ, true)?)
                    }
                    (Some(left), Some(right)) => Some(FromItem::Left {
                        left: Box::new(left),
                        right: Box::new(right),
                        on: conjuncts,
                    }),
                    (one, other) => one.or(other),
                })
            }
        }
    }

    fn is_nested(&self, occ: OccId) -> bool {
        matches!(self.arena.occ(occ).relation, Relation::Query(_))
    }

    /// `left` with a nested query beside it, as a stage if that is an aggregate tied by equalities.
    fn lateral_aggregate(&mut self, left: FromItem, occ: OccId, outer: bool) -> Checked<FromItem> {
        let Relation::Query(inner) = self.arena.occ(occ).relation.clone() else {
            return Ok(left);
        };
        let Some(joined) = self.aggregate_as_stage(&inner)? else {
            let right = Box::new(FromItem::Occurrence(occ));
            let left = Box::new(left);
            return Ok(if outer {
                FromItem::Left {
                    left,
                    right,
                    on: Vec::new(),
                }
            } else {
                FromItem::Inner {
                    left,
                    right,
                    on: Vec::new(),
                }
            });
        };
        for (i, e) in joined.select.into_iter().enumerate() {
            let column = super::column(i)?;
            self.arena.replace_column(ColumnRef { occ, column }, e);
        }
        // An aggregate always has its row.
        self.arena
            .replace_presence(occ, Expr::Const(Value::Bool(true)));
        let (left, right, on) = (Box::new(left), Box::new(joined.tree), joined.on);
        Ok(if on.is_empty() {
            FromItem::Inner { left, right, on }
        } else {
            FromItem::Left { left, right, on }
        })
    }

    /// Whether this is a query in FROM that reads nothing and filters nothing.
    fn is_unit(&self, occ: OccId) -> bool {
        matches!(&self.arena.occ(occ).relation, Relation::Query(q)
            if q.from.is_none() && q.filter.is_empty() && is_simple(q))
    }

    fn flatten_occurrence(
        &mut self,
        occ: OccId,
        supplied: bool,
        lifted: &mut Vec<Expr>,
    ) -> Checked<Option<FromItem>> {
        let Relation::Query(inner) = &self.arena.occ(occ).relation else {
            return Ok(Some(FromItem::Occurrence(occ)));
        };
        let mut inner = (**inner).clone();
        if inner.limit.is_none() && inner.offset == 0 && !matches!(inner.distinct, Distinct::On(_))
        {
            // Where LIMIT doesn't need it, an order is only a wish of what collects the rows.
            let order = std::mem::take(&mut inner.order);
            if !order.is_empty() {
                self.lost_orders.insert(occ, order);
            }
        }
        self.next_rank_limits = self
            .rank_limits
            .iter()
            .filter(|(column, _)| column.occ == occ)
            .map(|(column, limit)| (column.column, *limit))
            .collect();
        let mut inner = self.simplify(inner)?;
        inner = self.keep_as_table(inner)?;
        let site = self.arena.query_sites.get(&occ).map(|s| s.select);
        let span = self.arena.occ(occ).span;
        if matches!(inner.distinct, Distinct::On(_))
            && inner.limit.is_none()
            && inner.offset == 0
            && inner.group.is_none()
            && self.arena.free_occs(&inner).is_empty()
        {
            inner = self.distinct_on_as_stage(inner, site, span)?;
        }
        if inner.limit.is_some() {
            let keep = if self.depth == 0 {
                Keep::Keys
            } else {
                Keep::Values
            };
            if let Some(mut unlimited) = self.limited_as_stage(&inner, keep, site, span)? {
                let order = std::mem::take(&mut unlimited.order);
                if !order.is_empty() {
                    self.lost_orders.insert(occ, order);
                }
                inner = unlimited;
            }
        }
        let anchor = inner.from.as_ref().map(preserved);
        let can_inline = is_simple(&inner)
            && match (&anchor, supplied) {
                (Some(_), _) => true,
                (None, supplied) => !supplied && inner.filter.is_empty(),
            };
        if !can_inline {
            self.lost_orders.remove(&occ);
            self.arena.occ_mut(occ).relation = Relation::Query(Box::new(inner));
            return Ok(Some(FromItem::Occurrence(occ)));
        }
        for (i, e) in inner.select.iter().enumerate() {
            let Ok(column) = u16::try_from(i) else {
                continue;
            };
            let e = self.arena.resolve(e);
            let expr = match (&anchor, supplied, &e) {
                (Some(anchor), true, e) if !matches!(e, Expr::Column(_)) => Expr::Case {
                    branches: vec![(Expr::Present(*anchor), e.clone())],
                    otherwise: Box::new(Expr::Const(Value::Null)),
                },
                _ => e,
            };
            self.arena.replace_column(ColumnRef { occ, column }, expr);
        }
        let presence = anchor.map_or(Expr::Const(Value::Bool(true)), Expr::Present);
        self.arena.replace_presence(occ, presence);
        lifted.extend(inner.filter);
        if let Some(order) = self.lost_orders.get_mut(&occ) {
            for key in order {
                key.expr = self.arena.resolve(&key.expr);
            }
        }
        Ok(inner.from)
    }

    /// Makes stages of grouping and DISTINCT, if `query` stands on its own.
    pub(super) fn keep_as_table(&mut self, mut query: Query) -> Checked<Query> {
        if query.limit.is_some() || query.offset > 0 || !self.arena.free_occs(&query).is_empty() {
            return Ok(query);
        }
        if query.group.is_some() {
            query = self.degroup(query, false)?;
            self.subqueries(&mut query)?;
            self.arena.resolve_query(&mut query);
            reduce_outer_joins(&mut query);
        }
        if matches!(query.distinct, Distinct::All) {
            query = self.distinct_as_group(query)?;
            query = self.degroup(query, false)?;
        }
        Ok(query)
    }

    /// SELECT DISTINCT as GROUP BY all of the select list.
    pub(super) fn distinct_as_group(&mut self, mut query: Query) -> Checked<Query> {
        let span = sqlparser::tokenizer::Span::empty();
        let occ = self.arena.add_occ(Relation::Grouping, "distinct", span)?;
        let mut keys: Vec<Expr> = Vec::new();
        let mut key_types = Vec::new();
        let mut select = Vec::new();
        for (e, ty) in query.select.iter().zip(&query.types) {
            let i = keys.iter().position(|k| k == e).unwrap_or_else(|| {
                keys.push(e.clone());
                key_types.push(ty.clone());
                keys.len() - 1
            });
            select.push(Expr::Column(ColumnRef {
                occ,
                column: super::column(i)?,
            }));
        }
        query.select = select;
        query.distinct = Distinct::No;
        query.order.clear();
        query.group = Some(Grouping {
            occ,
            keys,
            key_types,
            aggregates: Vec::new(),
        });
        Ok(query)
    }

    /// Flattens the subqueries in `query`'s expressions, and replaces those that stages can answer.
    pub(super) fn subqueries(&mut self, query: &mut Query) -> Checked<()> {
        let mut replaceable = Vec::new();
        let mut all = Vec::new();
        collect(query, &mut replaceable, &mut all);
        for id in all {
            let Some(mut subquery) = self.arena.take_subquery(id) else {
                continue;
            };
            if self.simplified.insert(id) {
                if matches!(subquery.kind, SubqueryKind::Exists) {
                    subquery.query.order.clear();
                }
                self.depth += 1;
                let simplified = self.simplify(subquery.query);
                self.depth -= 1;
                subquery.query = simplified?;
            } else {
                self.arena.resolve_query(&mut subquery.query);
            }
            if let SubqueryKind::In { equals, .. } = &mut subquery.kind {
                **equals = self.arena.resolve(equals);
            }
            let replacement = if replaceable.contains(&id) {
                {
                    let site = self.arena.sites.get(&id).map(|s| s.select);
                    self.answered_by_stage(&subquery, query, site)?
                }
            } else {
                None
            };
            match replacement {
                Some(value) => self.arena.replace_subquery(id, value),
                None => self.arena.put_subquery(id, subquery),
            }
        }
        Ok(())
    }
}

/// The subqueries of `query` whose value may come from a join added to its FROM, and all of them.
fn collect(query: &Query, replaceable: &mut Vec<SubqueryId>, all: &mut Vec<SubqueryId>) {
    let mut joinable = query.clone();
    if let Some(from) = &mut joinable.from {
        map_on(from, &mut |_| Expr::Const(Value::Null));
    }
    if joinable.group.is_some() {
        joinable.having.clear();
        joinable.select.clear();
        joinable.order.clear();
        joinable.distinct = Distinct::No;
    }
    each_expr(&joinable, &mut |e| {
        replaceable.extend(readside_plan::subqueries_of(e));
    });
    each_expr(query, &mut |e| {
        for id in readside_plan::subqueries_of(e) {
            if !all.contains(&id) {
                all.push(id);
            }
        }
    });
}

/// Select, project, join.
pub(super) fn is_simple(query: &Query) -> bool {
    query.group.is_none()
        && query.having.is_empty()
        && matches!(query.distinct, Distinct::No)
        && query.limit.is_none()
        && query.offset == 0
}

/// An occurrence that is there in every row of the tree.
fn preserved(item: &FromItem) -> OccId {
    match item {
        FromItem::Occurrence(occ) => *occ,
        FromItem::Inner { left, .. } | FromItem::Left { left, .. } => preserved(left),
    }
}

/// Aggregates that show an order, and were given none, follow the order of the derived table that they read, as Postgres does.
fn adopt_order(query: &mut Query, order: &[SortKey]) {
    if let Some(group) = &mut query.group {
        for call in &mut group.aggregates {
            if call.order.is_empty() && !call.distinct && is_order_sensitive(&call.func) {
                call.order = order.to_vec();
            }
        }
    } else if query.order.is_empty() {
        query.order = order.to_vec();
    }
}

/// LEFT JOIN becomes JOIN where a condition above it needs its right side.
pub(super) fn reduce_outer_joins(query: &mut Query) {
    let filter = query.filter.clone();
    if let Some(from) = query.from.take() {
        query.from = Some(reduce(from, &filter));
    }
    debug_assert!(
        from_occs(query).len() < usize::from(u16::MAX),
        "occurrences are counted in u16"
    );
}

fn reduce(item: FromItem, conditions: &[Expr]) -> FromItem {
    match item {
        FromItem::Occurrence(_) => item,
        FromItem::Inner { left, right, on } => {
            let all = [conditions, &on].concat();
            FromItem::Inner {
                left: Box::new(reduce(*left, &all)),
                right: Box::new(reduce(*right, &all)),
                on,
            }
        }
        FromItem::Left { left, right, on } => {
            let supplied = right.occurrences();
            let needed = conditions
                .iter()
                .any(|c| supplied.iter().any(|occ| c.is_strict_in(*occ)));
            if needed {
                return reduce(FromItem::Inner { left, right, on }, conditions);
            }
            FromItem::Left {
                left: Box::new(reduce(*left, conditions)),
                right: Box::new(reduce(*right, &on)),
                on,
            }
        }
    }
}

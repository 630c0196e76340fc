//! Everything that a view under compilation is made of: occurrences, subqueries, stages, and what has been replaced by what.
//!
//! Always: an [`OccId`] or [`SubqueryId`] is never reused within one view, so a replacement of one of its columns holds
//! everywhere. Replacements are recorded here and applied when an expression is next looked at ([`Arena::resolve`]).

use std::collections::{BTreeSet, HashMap};

use readside_expr::{ColumnRef, Expr, OccId, SubqueryId, Typed};
use readside_model::{Catalog, Table};
use readside_plan::{Distinct, FromItem, Query, Relation, Stage, StageId, Subquery, SubqueryKind};
use sqlparser::tokenizer::{Location, Span};

use crate::refusal::{Checked, Problem};

/// A column of an occurrence: its name, and itself as an expression.
#[derive(Debug, Clone)]
pub(crate) struct NamedColumn {
    pub(crate) name: String,
    pub(crate) typed: Typed,
}

/// An occurrence under construction.
#[derive(Debug, Clone)]
pub(crate) struct Occ {
    pub(crate) relation: Relation,
    pub(crate) alias: String,
    pub(crate) columns: Vec<NamedColumn>,
    /// Where it stands in the text.
    pub(crate) span: Span,
}

/// Where a nested query stands in the text, and whether its rows have an order of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// Its SELECT keyword.
    pub(crate) select: Location,
}

/// All parts of a view.
#[derive(Debug)]
pub(crate) struct Arena<'c> {
    pub(crate) catalog: &'c Catalog,
    pub(crate) occs: Vec<Occ>,
    pub(crate) subqueries: Vec<Option<Subquery>>,
    pub(crate) sites: HashMap<SubqueryId, Site>,
    pub(crate) query_sites: HashMap<OccId, Site>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) warnings: Vec<String>,
    /// Columns of stages that tell their rows apart, where the head alone does not say so.
    pub(crate) stage_keys: HashMap<StageId, Vec<u16>>,
    columns: HashMap<ColumnRef, Expr>,
    presence: HashMap<OccId, Expr>,
    values: HashMap<SubqueryId, Expr>,
}

impl<'c> Arena<'c> {
    pub(crate) fn new(catalog: &'c Catalog) -> Arena<'c> {
        Arena {
            catalog,
            occs: Vec::new(),
            subqueries: Vec::new(),
            sites: HashMap::new(),
            query_sites: HashMap::new(),
            stages: Vec::new(),
            warnings: Vec::new(),
            stage_keys: HashMap::new(),
            columns: HashMap::new(),
            presence: HashMap::new(),
            values: HashMap::new(),
        }
    }

    /// A new occurrence without columns; see [`Arena::occ_mut`].
    pub(crate) fn add_occ(
        &mut self,
        relation: Relation,
        alias: impl Into<String>,
        span: Span,
    ) -> Checked<OccId> {
        let id = u16::try_from(self.occs.len())
            .map_err(|_| Problem::at(span, "the view reads more than 65,535 relations"))?;
        self.occs.push(Occ {
            relation,
            alias: alias.into(),
            columns: Vec::new(),
            span,
        });
        Ok(OccId(id))
    }

    pub(crate) fn add_subquery(&mut self, subquery: Subquery, span: Span) -> Checked<SubqueryId> {
        let id = u16::try_from(self.subqueries.len())
            .map_err(|_| Problem::at(span, "the view holds more than 65,535 subqueries"))?;
        self.subqueries.push(Some(subquery));
        Ok(SubqueryId(id))
    }

    pub(crate) fn occ(&self, id: OccId) -> &Occ {
        &self.occs[usize::from(id.0)]
    }

    pub(crate) fn occ_mut(&mut self, id: OccId) -> &mut Occ {
        &mut self.occs[usize::from(id.0)]
    }

    pub(crate) fn subquery(&self, id: SubqueryId) -> Option<&Subquery> {
        self.subqueries
            .get(usize::from(id.0))
            .and_then(Option::as_ref)
    }

    pub(crate) fn take_subquery(&mut self, id: SubqueryId) -> Option<Subquery> {
        self.subqueries
            .get_mut(usize::from(id.0))
            .and_then(Option::take)
    }

    pub(crate) fn put_subquery(&mut self, id: SubqueryId, subquery: Subquery) {
        if let Some(slot) = self.subqueries.get_mut(usize::from(id.0)) {
            *slot = Some(subquery);
        }
    }

    pub(crate) fn table(&self, occ: OccId) -> Option<&'c Table> {
        match &self.occ(occ).relation {
            Relation::Table(oid) => self.catalog.tables.get(oid),
            _ => None,
        }
    }

    /// From now on `column` is `expr`.
    pub(crate) fn replace_column(&mut self, column: ColumnRef, expr: Expr) {
        self.columns.insert(column, expr);
    }

    /// From now on `occ` is there when `expr` is true.
    pub(crate) fn replace_presence(&mut self, occ: OccId, expr: Expr) {
        self.presence.insert(occ, expr);
    }

    /// From now on the value of `subquery` is `expr`.
    pub(crate) fn replace_subquery(&mut self, subquery: SubqueryId, expr: Expr) {
        self.values.insert(subquery, expr);
    }

    /// `expr` with every replacement applied.
    pub(crate) fn resolve(&self, expr: &Expr) -> Expr {
        expr.map_leaves(&mut |leaf| {
            let replacement = match leaf {
                Expr::Column(column) => self.columns.get(column),
                Expr::Present(occ) => self.presence.get(occ),
                Expr::Subquery(id) => self.values.get(id),
                _ => None,
            }?;
            Some(self.resolve(replacement))
        })
    }

    /// Applies every replacement to `query`'s own expressions.
    pub(crate) fn resolve_query(&self, query: &mut Query) {
        map_exprs(query, &mut |e| self.resolve(e));
    }

    /// Applies every replacement everywhere below `query`.
    pub(crate) fn resolve_deep(&mut self, query: &mut Query) {
        self.resolve_query(query);
        for occ in from_occs(query) {
            if let Relation::Query(inner) = &self.occ(occ).relation {
                let mut inner = inner.clone();
                self.resolve_deep(&mut inner);
                self.occ_mut(occ).relation = Relation::Query(inner);
            }
        }
        for id in subqueries_in(query) {
            if let Some(mut subquery) = self.take_subquery(id) {
                if let SubqueryKind::In { equals, .. } = &mut subquery.kind {
                    **equals = self.resolve(equals);
                }
                self.resolve_deep(&mut subquery.query);
                self.put_subquery(id, subquery);
            }
        }
    }

    /// Calls `f` on every expression of `query` and of everything nested in it.
    pub(crate) fn each_deep(&self, query: &Query, f: &mut dyn FnMut(&Expr)) {
        each_expr(query, &mut |e| f(e));
        for occ in from_occs(query) {
            if let Relation::Query(inner) = &self.occ(occ).relation {
                self.each_deep(inner, f);
            }
        }
        for id in subqueries_in(query) {
            self.each_subquery(id, f);
        }
    }

    fn each_subquery(&self, id: SubqueryId, f: &mut dyn FnMut(&Expr)) {
        if let Some(subquery) = self.subquery(id) {
            if let SubqueryKind::In { equals, .. } = &subquery.kind {
                f(equals);
                for inner in readside_plan::subqueries_of(equals) {
                    self.each_subquery(inner, f);
                }
            }
            self.each_deep(&subquery.query, f);
        }
    }

    /// The occurrences that `query` refers to but does not hold.
    pub(crate) fn free_occs(&self, query: &Query) -> BTreeSet<OccId> {
        let mut used = BTreeSet::new();
        self.each_deep(query, &mut |e| collect_occs(e, &mut used));
        let mut held = BTreeSet::new();
        self.held_occs(query, &mut held);
        used.difference(&held).copied().collect()
    }

    /// The occurrences that `expr` refers to, through its subqueries too, but that its subqueries do not hold.
    pub(crate) fn free_occs_of_expr(&self, expr: &Expr) -> BTreeSet<OccId> {
        let mut used = BTreeSet::new();
        collect_occs(expr, &mut used);
        for id in readside_plan::subqueries_of(expr) {
            if let Some(subquery) = self.subquery(id) {
                used.extend(self.free_occs(&subquery.query));
                if let SubqueryKind::In { equals, output } = &subquery.kind {
                    used.extend(self.free_occs_of_expr(equals));
                    used.remove(output);
                }
            }
        }
        used
    }

    fn held_occs(&self, query: &Query, out: &mut BTreeSet<OccId>) {
        for occ in from_occs(query) {
            out.insert(occ);
            if let Relation::Query(inner) = &self.occ(occ).relation {
                self.held_occs(inner, out);
            }
        }
        if let Some(group) = &query.group {
            out.insert(group.occ);
        }
        for id in subqueries_in(query) {
            self.held_in_subquery(id, out);
        }
    }

    fn held_in_subquery(&self, id: SubqueryId, out: &mut BTreeSet<OccId>) {
        if let Some(subquery) = self.subquery(id) {
            if let SubqueryKind::In { equals, output } = &subquery.kind {
                out.insert(*output);
                for inner in readside_plan::subqueries_of(equals) {
                    self.held_in_subquery(inner, out);
                }
            }
            self.held_occs(&subquery.query, out);
        }
    }
}

/// The occurrences that `expr` itself names.
pub(crate) fn collect_occs(expr: &Expr, out: &mut BTreeSet<OccId>) {
    expr.walk(&mut |e| match e {
        Expr::Column(column) => {
            out.insert(column.occ);
        }
        Expr::Present(occ) => {
            out.insert(*occ);
        }
        _ => {}
    });
}

/// The columns that `expr` itself names.
pub(crate) fn columns_of(expr: &Expr) -> BTreeSet<ColumnRef> {
    let mut out = BTreeSet::new();
    expr.walk(&mut |e| {
        if let Expr::Column(column) = e {
            out.insert(*column);
        }
    });
    out
}

pub(crate) fn from_occs(query: &Query) -> Vec<OccId> {
    query
        .from
        .as_ref()
        .map(FromItem::occurrences)
        .unwrap_or_default()
}

/// The subqueries that `query`'s own expressions refer to, each once, in order.
pub(crate) fn subqueries_in(query: &Query) -> Vec<SubqueryId> {
    let mut out = Vec::new();
    each_expr(query, &mut |e| {
        for id in readside_plan::subqueries_of(e) {
            if !out.contains(&id) {
                out.push(id);
            }
        }
    });
    out
}

/// Calls `f` on each of `query`'s own expressions: FROM, WHERE, GROUP BY, aggregates, HAVING, select list, DISTINCT, ORDER BY.
pub(crate) fn each_expr<'q>(query: &'q Query, f: &mut dyn FnMut(&'q Expr)) {
    if let Some(from) = &query.from {
        each_on(from, f);
    }
    query.filter.iter().for_each(&mut *f);
    if let Some(group) = &query.group {
        group.keys.iter().for_each(&mut *f);
        for call in &group.aggregates {
            call.args.iter().for_each(&mut *f);
            call.order.iter().for_each(|k| f(&k.expr));
            call.filter.iter().for_each(&mut *f);
        }
    }
    query.having.iter().for_each(&mut *f);
    query.select.iter().for_each(&mut *f);
    if let Distinct::On(list) = &query.distinct {
        list.iter().for_each(|(e, _)| f(e));
    }
    query.order.iter().for_each(|k| f(&k.expr));
}

fn each_on<'q>(item: &'q FromItem, f: &mut dyn FnMut(&'q Expr)) {
    match item {
        FromItem::Occurrence(_) => {}
        FromItem::Inner { left, right, on } | FromItem::Left { left, right, on } => {
            each_on(left, f);
            each_on(right, f);
            on.iter().for_each(f);
        }
    }
}

/// Replaces each of `query`'s own expressions.
pub(crate) fn map_exprs(query: &mut Query, f: &mut dyn FnMut(&Expr) -> Expr) {
    if let Some(from) = &mut query.from {
        map_on(from, f);
    }
    for e in &mut query.filter {
        *e = f(e);
    }
    if let Some(group) = &mut query.group {
        for e in &mut group.keys {
            *e = f(e);
        }
        for call in &mut group.aggregates {
            for e in &mut call.args {
                *e = f(e);
            }
            for key in &mut call.order {
                key.expr = f(&key.expr);
            }
            if let Some(e) = &mut call.filter {
                *e = f(e);
            }
        }
    }
    map_after_grouping(query, f);
}

/// Replaces the expressions that are evaluated after grouping: HAVING, select list, DISTINCT, ORDER BY.
pub(crate) fn map_after_grouping(query: &mut Query, f: &mut dyn FnMut(&Expr) -> Expr) {
    for e in query.having.iter_mut().chain(&mut query.select) {
        *e = f(e);
    }
    if let Distinct::On(list) = &mut query.distinct {
        for (e, _) in list {
            *e = f(e);
        }
    }
    for key in &mut query.order {
        key.expr = f(&key.expr);
    }
}

pub(crate) fn map_on(item: &mut FromItem, f: &mut dyn FnMut(&Expr) -> Expr) {
    match item {
        FromItem::Occurrence(_) => {}
        FromItem::Inner { left, right, on } | FromItem::Left { left, right, on } => {
            map_on(left, f);
            map_on(right, f);
            for e in on {
                *e = f(e);
            }
        }
    }
}

/// `e` as conjuncts.
pub(crate) fn conjuncts(e: Expr, out: &mut Vec<Expr>) {
    match e {
        Expr::And(list) => list.into_iter().for_each(|e| conjuncts(e, out)),
        e => out.push(e),
    }
}

//! FROM trees as levels: sets of inner-joined occurrences with null-supplying children.
//!
//! In: a [`Query`] of a plan. Out: [`Level`]s, and a [`Scopes`] map of which query every occurrence stands in.
//!
//! Always: an inner join above an outer join is moved below it, which changes nothing: (A ⟕ B) × D filtered = (A × D) ⟕ B filtered,
//! since B's ON cannot refer to D.

use std::collections::{BTreeMap, BTreeSet};

use readside_plan::{
    Block, Distinct, Expr, FromItem, Head, OccId, Query, Relation, SubqueryId, SubqueryKind,
};

/// Inner-joined occurrences, what must hold between them, and the null-supplying sides that hang on them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Level {
    pub(crate) occs: Vec<OccId>,
    pub(crate) conjuncts: Vec<Expr>,
    pub(crate) children: Vec<Level>,
}

impl Level {
    /// The levels of a query: its FROM with its WHERE on the outermost one.
    pub(crate) fn of(query: &Query) -> Level {
        let mut level = Level::default();
        if let Some(from) = &query.from {
            level.add(from);
        }
        level.conjuncts.extend(query.filter.iter().cloned());
        level
    }

    fn add(&mut self, item: &FromItem) {
        match item {
            FromItem::Occurrence(occ) => self.occs.push(*occ),
            FromItem::Inner { left, right, on } => {
                self.add(left);
                self.add(right);
                self.conjuncts.extend(on.iter().cloned());
            }
            FromItem::Left { left, right, on } => {
                self.add(left);
                let mut child = Level::default();
                child.add(right);
                child.conjuncts.extend(on.iter().cloned());
                self.children.push(child);
            }
        }
    }

    /// Every occurrence in this level and below.
    pub(crate) fn all_occs(&self) -> Vec<OccId> {
        let mut out = self.occs.clone();
        for child in &self.children {
            out.extend(child.all_occs());
        }
        out
    }

    /// Every conjunct in this level and below.
    pub(crate) fn all_conjuncts(&self) -> Vec<&Expr> {
        let mut out: Vec<&Expr> = self.conjuncts.iter().collect();
        for child in &self.children {
            out.extend(child.all_conjuncts());
        }
        out
    }
}

/// How a query hangs in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Root,
    Subquery(SubqueryId),
    Derived(OccId),
}

/// One query of a block.
#[derive(Debug)]
pub(crate) struct Scope<'p> {
    pub(crate) query: &'p Query,
    pub(crate) parent: Option<usize>,
    pub(crate) link: Link,
    pub(crate) level: Level,
}

/// All queries of a block.
#[derive(Debug)]
pub(crate) struct Scopes<'p> {
    pub(crate) list: Vec<Scope<'p>>,
    /// The scope in whose FROM an occurrence stands.
    pub(crate) of_occ: BTreeMap<OccId, usize>,
    block: &'p Block,
    /// What each subquery refers to outside itself.
    free: BTreeMap<SubqueryId, BTreeSet<OccId>>,
}

impl<'p> Scopes<'p> {
    pub(crate) fn of(block: &'p Block, head: &'p Head) -> Scopes<'p> {
        let mut scopes = Scopes {
            list: Vec::new(),
            of_occ: BTreeMap::new(),
            block,
            free: BTreeMap::new(),
        };
        scopes.visit(&block.query, None, Link::Root);
        for expr in head_exprs(head) {
            scopes.visit_subqueries(expr, 0);
        }
        for (i, subquery) in block.subqueries.iter().enumerate() {
            let id = SubqueryId(u16::try_from(i).unwrap_or(u16::MAX));
            let mut used = BTreeSet::new();
            let mut own = BTreeSet::new();
            free_of_query(block, &subquery.query, &mut used, &mut own);
            if let SubqueryKind::In { equals, output } = &subquery.kind {
                free_of_expr(block, equals, &mut used, &mut own);
                own.insert(*output);
            }
            scopes
                .free
                .insert(id, used.difference(&own).copied().collect());
        }
        scopes
    }

    fn visit(&mut self, query: &'p Query, parent: Option<usize>, link: Link) {
        let index = self.list.len();
        self.list.push(Scope {
            query,
            parent,
            link,
            level: Level::of(query),
        });
        for occ in query
            .from
            .as_ref()
            .map(FromItem::occurrences)
            .unwrap_or_default()
        {
            self.of_occ.insert(occ, index);
            if let Some(Relation::Query(inner)) = self
                .block
                .occurrences
                .get(usize::from(occ.0))
                .map(|o| &o.relation)
            {
                self.visit(inner, Some(index), Link::Derived(occ));
            }
        }
        for expr in query_exprs(query) {
            self.visit_subqueries(expr, index);
        }
    }

    fn visit_subqueries(&mut self, expr: &'p Expr, scope: usize) {
        for id in readside_plan::subqueries_of(expr) {
            if self.list.iter().any(|s| s.link == Link::Subquery(id)) {
                continue;
            }
            if let Some(subquery) = self.block.subqueries.get(usize::from(id.0)) {
                self.visit(&subquery.query, Some(scope), Link::Subquery(id));
                if let SubqueryKind::In { equals, .. } = &subquery.kind {
                    self.visit_subqueries(equals, scope);
                }
            }
        }
    }

    /// The occurrences that an expression needs bound, subqueries included.
    pub(crate) fn needs(&self, expr: &Expr) -> BTreeSet<OccId> {
        let mut out = BTreeSet::new();
        expr.walk(&mut |e| match e {
            Expr::Column(c) => {
                out.insert(c.occ);
            }
            Expr::Present(occ) => {
                out.insert(*occ);
            }
            Expr::Subquery(id) => out.extend(self.free.get(id).into_iter().flatten().copied()),
            _ => {}
        });
        out
    }

    /// What a nested FROM query needs bound.
    pub(crate) fn needs_of_query(&self, query: &Query) -> BTreeSet<OccId> {
        let mut used = BTreeSet::new();
        let mut own = BTreeSet::new();
        free_of_query(self.block, query, &mut used, &mut own);
        used.difference(&own).copied().collect()
    }
}

/// Every expression that stands directly in a query.
pub(crate) fn query_exprs(query: &Query) -> Vec<&Expr> {
    fn from_exprs<'p>(item: &'p FromItem, out: &mut Vec<&'p Expr>) {
        if let FromItem::Inner { left, right, on } | FromItem::Left { left, right, on } = item {
            from_exprs(left, out);
            from_exprs(right, out);
            out.extend(on);
        }
    }
    let mut out = Vec::new();
    if let Some(from) = &query.from {
        from_exprs(from, &mut out);
    }
    out.extend(&query.filter);
    if let Some(group) = &query.group {
        out.extend(&group.keys);
        for call in &group.aggregates {
            out.extend(&call.args);
            out.extend(call.order.iter().map(|o| &o.expr));
            out.extend(&call.filter);
        }
    }
    out.extend(&query.having);
    out.extend(&query.select);
    if let Distinct::On(exprs) = &query.distinct {
        out.extend(exprs.iter().map(|(e, _)| e));
    }
    out.extend(query.order.iter().map(|o| &o.expr));
    out
}

/// Every expression that stands in a head.
pub(crate) fn head_exprs(head: &Head) -> Vec<&Expr> {
    match head {
        Head::Sink => Vec::new(),
        Head::Group { keys, aggregates } => {
            let mut out: Vec<&Expr> = keys.iter().collect();
            for call in aggregates {
                out.extend(&call.args);
                out.extend(call.order.iter().map(|o| &o.expr));
                out.extend(&call.filter);
            }
            out
        }
        Head::TopN {
            partition, order, ..
        } => partition
            .iter()
            .chain(order.iter().map(|o| &o.expr))
            .collect(),
    }
}

fn free_of_query(
    block: &Block,
    query: &Query,
    used: &mut BTreeSet<OccId>,
    own: &mut BTreeSet<OccId>,
) {
    for occ in query
        .from
        .as_ref()
        .map(FromItem::occurrences)
        .unwrap_or_default()
    {
        own.insert(occ);
        if let Some(Relation::Query(inner)) = block
            .occurrences
            .get(usize::from(occ.0))
            .map(|o| &o.relation)
        {
            free_of_query(block, inner, used, own);
        }
    }
    if let Some(group) = &query.group {
        own.insert(group.occ);
    }
    for expr in query_exprs(query) {
        free_of_expr(block, expr, used, own);
    }
}

fn free_of_expr(block: &Block, expr: &Expr, used: &mut BTreeSet<OccId>, own: &mut BTreeSet<OccId>) {
    expr.walk(&mut |e| match e {
        Expr::Column(c) => {
            used.insert(c.occ);
        }
        Expr::Present(occ) => {
            used.insert(*occ);
        }
        Expr::Subquery(id) => {
            if let Some(subquery) = block.subqueries.get(usize::from(id.0)) {
                free_of_query(block, &subquery.query, used, own);
                if let SubqueryKind::In { equals, output } = &subquery.kind {
                    own.insert(*output);
                    free_of_expr(block, equals, used, own);
                }
            }
        }
        _ => {}
    });
}

/// Calls `f` with every expression of a stage.
pub(crate) fn every_expr(stage: &readside_plan::Stage, f: &mut dyn FnMut(&Expr)) {
    let scopes = Scopes::of(&stage.block, &stage.head);
    for scope in &scopes.list {
        query_exprs(scope.query).into_iter().for_each(&mut *f);
    }
    head_exprs(&stage.head).into_iter().for_each(&mut *f);
    for subquery in &stage.block.subqueries {
        if let SubqueryKind::In { equals, .. } = &subquery.kind {
            f(equals);
        }
    }
}

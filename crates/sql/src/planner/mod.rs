//! Resolved query to plan: flattened, cut into stages, keyed.
//!
//! In: a [`Bound`] query in its arena. Out: a [`Plan`].
//!
//! Always: each step keeps the query's meaning; a stage is cut off only from what does not refer to anything around it.

mod block;
mod decorrelate;
mod facts;
mod group_stage;
mod order;
mod ranking;
mod simplify;
mod sink_key;
mod top_n;
mod verify_sql;

pub(crate) use facts::identity_columns;

use std::collections::{BTreeSet, HashMap, HashSet};

use self::top_n::Keep;

use readside_aggregate::SortKey;
use readside_expr::{ColumnRef, Expr, OccId, SubqueryId};
use readside_plan::{Distinct, Head, OutputColumn, Plan, Query, Stage};
use sqlparser::ast::{self, Spanned};
use sqlparser::tokenizer::Span;

use crate::arena::Arena;
use crate::bind::{Bound, Texts};
use crate::refusal::{Checked, Problem};

/// A view on its way from query to plan.
#[derive(Debug)]
pub(crate) struct Planner<'c> {
    pub(crate) arena: Arena<'c>,
    /// How nested queries name things, by the place of their SELECT.
    texts: HashMap<sqlparser::tokenizer::Location, Texts>,
    /// The outermost query's SELECT and, if it groups, its grouping.
    root: (Option<sqlparser::tokenizer::Location>, Option<OccId>),
    /// How many expression subqueries are around what is being flattened.
    depth: usize,
    /// Subqueries that have been flattened.
    simplified: HashSet<SubqueryId>,
    /// Orders of derived tables that were inlined.
    lost_orders: HashMap<OccId, Vec<SortKey>>,
    /// Upper bounds of row numbers that nested queries show.
    rank_limits: HashMap<ColumnRef, u64>,
    /// Those of the query that is simplified next.
    next_rank_limits: Vec<(u16, u64)>,
    /// Columns of stages that hold lists without a defined order.
    unordered: BTreeSet<(u16, u16)>,
    /// Columns of stages that hold sums of floats.
    inexact: BTreeSet<(u16, u16)>,
    /// Tie-breakers by the place of the SELECT that needs them.
    ties: HashMap<sqlparser::tokenizer::Location, Vec<String>>,
}

impl<'c> Planner<'c> {
    pub(crate) fn new(
        arena: Arena<'c>,
        texts: HashMap<sqlparser::tokenizer::Location, Texts>,
    ) -> Planner<'c> {
        Planner {
            arena,
            texts,
            root: (None, None),
            depth: 0,
            simplified: HashSet::new(),
            lost_orders: HashMap::new(),
            rank_limits: HashMap::new(),
            next_rank_limits: Vec::new(),
            unordered: BTreeSet::new(),
            inexact: BTreeSet::new(),
            ties: HashMap::new(),
        }
    }

    /// The plan of the view's outermost query.
    pub(crate) fn plan(
        mut self,
        view: &str,
        sql: String,
        syntax: &ast::Query,
        bound: Bound,
    ) -> Checked<Plan> {
        let span = select_span(syntax);
        refuse_top_level(&bound.query, syntax)?;
        let root_site = crate::bind::select_location(syntax);
        let group_occ = bound.query.group.as_ref().map(|g| g.occ);
        self.root = (root_site, group_occ);
        let mut query = bound.query;
        let first = query.limit.is_some() || matches!(query.distinct, Distinct::On(_));
        if !first {
            query.order.clear();
        }
        let mut query = self.simplify(query)?;
        if first && query.group.is_some() {
            query = self.degroup(query, false)?;
        }
        query = self.keep_as_table(query)?;
        query = self.flatten_again(query)?;
        if matches!(query.distinct, Distinct::On(_)) {
            query = self.distinct_on_as_stage(query, root_site, select_span(syntax))?;
        }
        if query.limit.is_some() {
            let at = select_span(syntax);
            query = self
                .limited_as_stage(&query, Keep::Keys, root_site, at)?
                .ok_or_else(|| {
                    Problem::hinted(
                        at,
                        "this LIMIT is not supported at the top of a view",
                        "leave it out, and limit where the view is read",
                    )
                })?;
            query.order.clear();
        }
        self.arena.resolve_deep(&mut query);
        let key = self.sink_key(&query, &bound.columns, root_site, group_occ, span)?;
        let unordered = self.unordered_columns(&query);
        let inexact = self.inexact_columns(&query);
        let select = query.select.clone();
        let (block, numbers) = self.block(query, span)?;
        let pieces = key.renumbered(&numbers);
        let columns = bound
            .columns
            .iter()
            .zip(&select)
            .map(|(c, _)| OutputColumn {
                name: c.name.clone(),
                ty: c.typed.ty.clone(),
                typmod: c.typed.typmod,
                not_null: c.typed.not_null,
            })
            .collect();
        self.arena.stages.push(Stage {
            block,
            head: Head::Sink,
            columns: Vec::new(),
            label: format!("rows of {view}"),
        });
        let verify_sql = self.verify_sql(&sql, syntax, &key)?;
        Ok(Plan {
            view: view.to_owned(),
            stages: self.arena.stages,
            columns,
            key: pieces,
            sql,
            verify_sql,
            unordered,
            inexact,
            warnings: self.arena.warnings,
            fingerprint: String::new(),
        })
    }

    /// Stages may have brought FROM items that filters reach into.
    fn flatten_again(&mut self, mut query: Query) -> Checked<Query> {
        self.subqueries(&mut query)?;
        self.arena.resolve_query(&mut query);
        simplify::reduce_outer_joins(&mut query);
        Ok(query)
    }

    /// A name for an expression, for `explain`.
    fn expr_name(&self, e: &Expr) -> String {
        match e {
            Expr::Column(c) => {
                let occ = self.arena.occ(c.occ);
                let name = occ
                    .columns
                    .get(usize::from(c.column))
                    .map_or("?", |n| n.name.as_str());
                match occ.relation {
                    readside_plan::Relation::Stage(_) => name.to_owned(),
                    _ => format!("{}.{name}", occ.alias),
                }
            }
            _ => "expression".to_owned(),
        }
    }

    /// An expression with what is known of its type.
    fn typed_of(&self, e: &Expr, ty: &readside_pgtype::Type) -> readside_expr::Typed {
        if let Expr::Column(c) = e
            && let Some(named) = self.arena.occ(c.occ).columns.get(usize::from(c.column))
        {
            return named.typed.clone();
        }
        readside_expr::Typed::new(e.clone(), ty.clone())
    }

    /// Whether a group column can be proven not to be NULL.
    fn is_not_null(&self, block: &Query, e: &Expr) -> bool {
        match e {
            Expr::Column(c) => {
                let facts = facts::Facts::of(&self.arena, block);
                !facts.supplied.contains_key(&c.occ)
                    && self
                        .arena
                        .occ(c.occ)
                        .columns
                        .get(usize::from(c.column))
                        .is_some_and(|n| n.typed.not_null)
            }
            Expr::Const(v) => !v.is_null(),
            Expr::Present(_) => true,
            _ => false,
        }
    }
}

/// A column's index as the plan counts it.
fn column(index: usize) -> Checked<u16> {
    u16::try_from(index)
        .map_err(|_| Problem::at(Span::empty(), "the view needs more than 65,535 columns"))
}

fn select_span(syntax: &ast::Query) -> Span {
    match syntax.body.as_ref() {
        ast::SetExpr::Select(select) => select.select_token.0.span,
        _ => syntax.span(),
    }
}

fn refuse_top_level(query: &Query, syntax: &ast::Query) -> Checked<()> {
    let span = syntax
        .limit_clause
        .as_ref()
        .map(Spanned::span)
        .filter(|s| s.start.line > 0)
        .unwrap_or_else(|| select_span(syntax));
    if query.offset > 0 {
        return Err(Problem::hinted(
            span,
            "OFFSET at the top of a view is not supported",
            "leave it out, and skip where the view is read",
        ));
    }
    if query.limit == Some(0) {
        return Err(Problem::hinted(
            span,
            "a view with LIMIT 0 has no rows",
            "leave the LIMIT out",
        ));
    }
    if query.limit.is_some() && query.order.is_empty() {
        return Err(Problem::hinted(
            span,
            "LIMIT without ORDER BY shows any rows",
            "add ORDER BY",
        ));
    }
    if query.limit.is_some() && !matches!(query.distinct, Distinct::No) {
        return Err(Problem::hinted(
            span,
            "DISTINCT together with LIMIT is not supported at the top of a view",
            "limit where the view is read",
        ));
    }
    Ok(())
}

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
mod simplify;
mod sink_key;
mod verify_sql;

use std::collections::{BTreeSet, HashMap, HashSet};

use readside_aggregate::SortKey;
use readside_expr::{Expr, OccId, SubqueryId};
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
    /// Subqueries that have been flattened.
    simplified: HashSet<SubqueryId>,
    /// Orders of derived tables that were inlined.
    lost_orders: HashMap<OccId, Vec<SortKey>>,
    /// Columns of stages that hold lists without a defined order.
    unordered: BTreeSet<(u16, u16)>,
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
            simplified: HashSet::new(),
            lost_orders: HashMap::new(),
            unordered: BTreeSet::new(),
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
        let span = syntax.span();
        refuse_top_level(&bound.query, syntax)?;
        let root_site = crate::bind::select_location(syntax);
        let group_occ = bound.query.group.as_ref().map(|g| g.occ);
        let mut query = bound.query;
        query.order.clear();
        let mut query = self.simplify(query)?;
        query = self.keep_as_table(query)?;
        query = self.flatten_again(query)?;
        self.arena.resolve_deep(&mut query);
        let key = self.sink_key(&query, &bound.columns, root_site, group_occ, span)?;
        let unordered = self.unordered_columns(&query);
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
                format!("{}.{name}", occ.alias)
            }
            _ => "expression".to_owned(),
        }
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

fn refuse_top_level(query: &Query, syntax: &ast::Query) -> Checked<()> {
    if query.limit.is_some() || query.offset > 0 {
        let span = syntax
            .limit_clause
            .as_ref()
            .map_or_else(|| syntax.span(), Spanned::span);
        return Err(Problem::hinted(
            span,
            "LIMIT at the top of a view is not supported yet",
            "leave it out, and limit where the view is read",
        ));
    }
    if matches!(query.distinct, Distinct::On(_)) {
        return Err(Problem::hinted(
            syntax.span(),
            "DISTINCT ON at the top of a view is not supported yet",
            "read the table of the ON columns, with LEFT JOIN LATERAL (SELECT … ORDER BY … LIMIT 1)",
        ));
    }
    Ok(())
}

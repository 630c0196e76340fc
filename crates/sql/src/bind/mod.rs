//! Syntax tree to resolved query: every name, type, operator and function decided as Postgres decides it.
//!
//! In: the syntax tree and the catalog. Out: a [`readside_plan::Query`] over occurrences of an [`Arena`], with nested queries left
//! where they stand.
//!
//! Always: what comes out means exactly what Postgres would make of the text, or it is a [`Problem`](crate::refusal::Problem) at
//! the place that is not supported.

mod aggregate;
mod data_type;
mod expression;
mod from;
mod function;
mod grouping;
mod output_name;
mod select;
mod subquery;
mod window;

use std::collections::HashMap;

use readside_expr::{Expr, Refused};
use readside_model::Catalog;
use sqlparser::ast;
use sqlparser::tokenizer::{Location, Span};

use crate::arena::{Arena, NamedColumn};
use crate::refusal::{Checked, Problem};

pub(crate) use from::column_of_table;
pub(crate) use grouping::rewrite;
pub(crate) use window::is_ranked;

/// A resolved SELECT and its columns. The columns' expressions are those of the select list.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) query: readside_plan::Query,
    pub(crate) columns: Vec<NamedColumn>,
    /// Where each column stands in the text.
    pub(crate) spans: Vec<Span>,
    /// Why the ORDER BY, which is left out then, can't be followed: matters where the order does.
    pub(crate) order_problem: Option<Box<Problem>>,
}

/// How the text of a query can name what it reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    /// `alias.column`, and what it is.
    pub(crate) columns: Vec<(String, Expr)>,
    /// The group columns as they were written.
    pub(crate) group: Vec<String>,
}

/// Resolves the queries of one view.
#[derive(Debug)]
pub(crate) struct Binder<'c> {
    pub(crate) arena: Arena<'c>,
    /// The views of the source that are being inlined, outermost first.
    inlining: Vec<(String, String)>,
    /// How each query names things, by the place of its SELECT.
    pub(crate) texts: HashMap<Location, Texts>,
}

impl<'c> Binder<'c> {
    pub(crate) fn new(catalog: &'c Catalog) -> Binder<'c> {
        Binder {
            arena: Arena::new(catalog),
            inlining: Vec::new(),
            texts: HashMap::new(),
        }
    }
}

/// A refusal of the expression compiler, placed.
pub(crate) fn placed<T>(result: Result<T, Refused>, span: Span) -> Checked<T> {
    result.map_err(|r| {
        Box::new(Problem {
            span,
            message: r.message,
            hint: r.hint,
        })
    })
}

/// Where a query's SELECT stands.
pub(crate) fn select_location(query: &ast::Query) -> Option<Location> {
    match query.body.as_ref() {
        ast::SetExpr::Select(select) => Some(select.select_token.0.span.start),
        ast::SetExpr::Query(inner) => select_location(inner),
        _ => None,
    }
}

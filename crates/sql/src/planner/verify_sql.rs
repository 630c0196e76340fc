//! The SQL that `verify` sends: the view's own, with hidden key columns shown and ties broken as readside breaks them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Ident, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, SelectItem, SetExpr, VisitMut,
    VisitorMut,
};
use sqlparser::tokenizer::{Location, Span};

use super::Planner;
use super::sink_key::SinkKey;
use crate::bind::select_location;
use crate::refusal::{Checked, Problem};
use crate::syntax::{parse_expression, parse_view};

impl Planner<'_> {
    pub(super) fn verify_sql(
        &self,
        sql: &str,
        syntax: &ast::Query,
        key: &SinkKey,
    ) -> Checked<String> {
        let hidden: Vec<(&str, &str)> = key
            .pieces
            .iter()
            .filter_map(|p| Some((p.name.as_str(), p.text.as_deref()?)))
            .collect();
        if hidden.is_empty() && self.ties.is_empty() {
            return Ok(sql.to_owned());
        }
        let mut query = syntax.clone();
        if let Some(select) = outermost(&mut query) {
            for (name, text) in hidden {
                select.projection.push(SelectItem::ExprWithAlias {
                    expr: parse_expression(text)?,
                    alias: Ident::new(name),
                });
            }
        }
        let mut breaker = TieBreaker {
            ties: &self.ties,
            problem: None,
        };
        let _ = VisitMut::visit(&mut query, &mut breaker);
        if let Some(problem) = breaker.problem {
            return Err(problem);
        }
        let printed = query.to_string();
        // What is sent must be what was meant.
        match parse_view(&printed) {
            Ok(again) if again == query => Ok(printed),
            _ => Err(Problem::hinted(
                Span::empty(),
                "this query cannot be written down again with its key columns shown",
                "show the key columns in the output, and end each ORDER BY … LIMIT with a unique column",
            )),
        }
    }
}

fn outermost(query: &mut ast::Query) -> Option<&mut ast::Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(inner) => outermost(inner),
        _ => None,
    }
}

struct TieBreaker<'t> {
    ties: &'t HashMap<Location, Vec<String>>,
    problem: Option<Box<Problem>>,
}

impl VisitorMut for TieBreaker<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let Some(texts) = select_location(query).and_then(|at| self.ties.get(&at)) else {
            return ControlFlow::Continue(());
        };
        let mut extra = Vec::new();
        for text in texts {
            match parse_expression(text) {
                Ok(expr) => extra.push(OrderByExpr {
                    expr,
                    options: OrderByOptions {
                        sort: None,
                        nulls_first: None,
                    },
                    with_fill: None,
                }),
                Err(problem) => {
                    self.problem = Some(problem);
                    return ControlFlow::Break(());
                }
            }
        }
        match &mut query.order_by {
            Some(OrderBy {
                kind: OrderByKind::Expressions(list),
                ..
            }) => list.extend(extra),
            order => {
                *order = Some(OrderBy {
                    kind: OrderByKind::Expressions(extra),
                    interpolate: None,
                });
            }
        }
        ControlFlow::Continue(())
    }
}

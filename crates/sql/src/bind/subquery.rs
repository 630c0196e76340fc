//! Subqueries in expressions: scalar, ARRAY, EXISTS, IN.

use std::sync::Arc;

use readside_expr::{ColumnRef, Expr, Typed, resolve_operator};
use readside_pgtype::Type;
use readside_plan::{Relation, Subquery, SubqueryKind};
use sqlparser::ast::{self, Spanned};
use sqlparser::tokenizer::Span;

use super::{Binder, Bound, placed};
use crate::refusal::{Checked, Problem};
use crate::scope::Scope;

impl Binder<'_> {
    /// `(SELECT …)`
    pub(super) fn scalar_subquery(
        &mut self,
        query: &ast::Query,
        scope: &Scope<'_>,
    ) -> Checked<Typed> {
        let span = query.span();
        let bound = self.one_column(query, scope)?;
        let column = first(&bound, span)?;
        let not_null = column.not_null && always_one_row(&bound);
        let expr = self.subquery(bound.query, SubqueryKind::Scalar, query)?;
        Ok(Typed {
            expr,
            not_null,
            ..column
        })
    }

    /// `ARRAY(SELECT …)`
    pub(super) fn array_subquery(
        &mut self,
        query: &ast::Query,
        scope: &Scope<'_>,
    ) -> Checked<Typed> {
        let span = query.span();
        let bound = self.one_column(query, scope)?;
        if let Some(problem) = bound.order_problem {
            return Err(problem);
        }
        let column = first(&bound, span)?;
        let expr = self.subquery(bound.query, SubqueryKind::Array, query)?;
        let element = column.ty.clone();
        let ty = match &element {
            // ARRAY of arrays is an array of one more dimension, of the same type.
            Type::Array(_) => element,
            _ => Type::Array(Arc::new(element)),
        };
        Ok(Typed {
            expr,
            ty,
            typmod: -1,
            not_null: true,
            ..column
        })
    }

    /// `EXISTS (SELECT …)`
    pub(super) fn exists(&mut self, query: &ast::Query, scope: &Scope<'_>) -> Checked<Typed> {
        let bound = self.query(query, scope)?;
        let expr = self.subquery(bound.query, SubqueryKind::Exists, query)?;
        Ok(Typed {
            not_null: true,
            ..Typed::new(expr, Type::Bool)
        })
    }

    /// `left IN (SELECT …)`
    pub(super) fn in_subquery(
        &mut self,
        left: &ast::Expr,
        query: &ast::Query,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let lefts = match left {
            ast::Expr::Tuple(list) => self.expressions(list, scope)?,
            e => vec![self.expression(e, scope)?],
        };
        let bound = self.query(query, scope)?;
        if bound.columns.len() != lefts.len() {
            return Err(Problem::at(
                query.span(),
                if bound.columns.len() > lefts.len() {
                    "subquery has too many columns"
                } else {
                    "subquery has too few columns"
                },
            ));
        }
        let output = self.arena.add_occ(Relation::Grouping, "in", span)?;
        let mut equals = Vec::new();
        for (i, (left, right)) in lefts.into_iter().zip(&bound.columns).enumerate() {
            let right = Typed {
                expr: Expr::Column(ColumnRef {
                    occ: output,
                    column: super::from::column_index(i, span)?,
                }),
                ..right.typed.clone()
            };
            equals.push(placed(resolve_operator("=", Some(left), right), span)?.expr);
        }
        self.arena
            .occ_mut(output)
            .columns
            .clone_from(&bound.columns);
        let equals = match equals.len() {
            1 => equals.remove(0),
            _ => Expr::And(equals),
        };
        let expr = self.subquery(
            bound.query,
            SubqueryKind::In {
                equals: Box::new(equals),
                output,
            },
            query,
        )?;
        Ok(Typed::new(expr, Type::Bool))
    }

    fn subquery(
        &mut self,
        query: readside_plan::Query,
        kind: SubqueryKind,
        syntax: &ast::Query,
    ) -> Checked<Expr> {
        let id = self
            .arena
            .add_subquery(Subquery { query, kind }, syntax.span())?;
        if let Some(site) = self.site(syntax) {
            self.arena.sites.insert(id, site);
        }
        Ok(Expr::Subquery(id))
    }

    fn one_column(&mut self, query: &ast::Query, scope: &Scope<'_>) -> Checked<Bound> {
        let bound = self.query(query, scope)?;
        if bound.columns.len() == 1 {
            return Ok(bound);
        }
        Err(Problem::hinted(
            query.span(),
            "subquery must return only one column",
            "select one expression; several make a jsonb_build_object(…)",
        ))
    }
}

fn first(bound: &Bound, span: Span) -> Checked<Typed> {
    bound
        .columns
        .first()
        .map(|c| c.typed.clone())
        .ok_or_else(|| Problem::at(span, "subquery must return a column"))
}

/// An aggregate over all rows, without anything that could drop its row.
fn always_one_row(bound: &Bound) -> bool {
    let q = &bound.query;
    q.group.as_ref().is_some_and(|g| g.keys.is_empty())
        && q.having.is_empty()
        && q.limit != Some(0)
        && q.offset == 0
}

//! Expressions.

use std::sync::Arc;

use readside_expr::{
    CastContext, Collation, Derivation, Expr, Typed, all_array, and, any_array, array,
    at_time_zone, between, case, cast, collate, field, in_list, is_distinct, is_not_distinct,
    is_not_null, is_null, is_truth, like, not, or, resolve_operator, row, simple_case, subscript,
};
use readside_pgtype::{RecordType, Type, Value};
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CastKind, InTarget, Spanned, Subscript, UnaryOperator,
};
use sqlparser::tokenizer::Span;

use super::from::identifiers;
use super::{Binder, placed};
use crate::refusal::{Checked, Problem};
use crate::scope::{Found, NamedTable, Scope, fold};
use crate::type_facts;

impl Binder<'_> {
    /// Any expression.
    pub(crate) fn expression(&mut self, e: &ast::Expr, scope: &Scope<'_>) -> Checked<Typed> {
        let mut typed = self.expression_of(e, scope)?;
        if typed.collation.derivation == Derivation::None && type_facts::is_text(&typed.ty) {
            typed.collation = type_facts::default_collation(self.arena.catalog);
        }
        Ok(typed)
    }

    fn expression_of(&mut self, e: &ast::Expr, scope: &Scope<'_>) -> Checked<Typed> {
        let span = e.span();
        match e {
            ast::Expr::Identifier(ident) => self.found(scope.find(ident)?, ident.span),
            ast::Expr::CompoundIdentifier(parts) => self.found(scope.find_qualified(parts)?, span),
            ast::Expr::Nested(inner) => self.expression(inner, scope),
            ast::Expr::Value(v) => literal(&v.value, v.span),
            ast::Expr::TypedString(typed) => {
                let (ty, typmod) = self.data_type(&typed.data_type, span)?;
                let value = literal(&typed.value.value, span)?;
                placed(cast(value, &ty, typmod, CastContext::Explicit), span)
            }
            ast::Expr::Interval(interval) => self.interval(interval, span),
            ast::Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => {
                let (ty, typmod) = self.data_type(data_type, span)?;
                let typed = self.expression(expr, scope)?;
                placed(cast(typed, &ty, typmod, CastContext::Explicit), span)
            }
            ast::Expr::UnaryOp { op, expr } => self.unary(*op, expr, scope, span),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right, scope, span),
            ast::Expr::IsNull(x) => {
                let x = self.expression(x, scope)?;
                placed(is_null(x), span)
            }
            ast::Expr::IsNotNull(x) => {
                let x = self.expression(x, scope)?;
                placed(is_not_null(x), span)
            }
            ast::Expr::IsTrue(x) => self.truth(x, Some(true), false, scope, span),
            ast::Expr::IsNotTrue(x) => self.truth(x, Some(true), true, scope, span),
            ast::Expr::IsFalse(x) => self.truth(x, Some(false), false, scope, span),
            ast::Expr::IsNotFalse(x) => self.truth(x, Some(false), true, scope, span),
            ast::Expr::IsUnknown(x) => self.truth(x, None, false, scope, span),
            ast::Expr::IsNotUnknown(x) => self.truth(x, None, true, scope, span),
            ast::Expr::IsDistinctFrom(l, r) => {
                let (l, r) = (self.expression(l, scope)?, self.expression(r, scope)?);
                placed(is_distinct(l, r), span)
            }
            ast::Expr::IsNotDistinctFrom(l, r) => {
                let (l, r) = (self.expression(l, scope)?, self.expression(r, scope)?);
                placed(is_not_distinct(l, r), span)
            }
            ast::Expr::In {
                expr,
                target,
                negated,
                global: false,
            } => match target {
                InTarget::List(list) => {
                    let left = self.expression(expr, scope)?;
                    let list = self.expressions(list, scope)?;
                    placed(in_list(left, list, *negated), span)
                }
                InTarget::Subquery(query) => {
                    let found = self.in_subquery(expr, query, scope, span)?;
                    if *negated {
                        placed(not(found), span)
                    } else {
                        Ok(found)
                    }
                }
                _ => Err(unsupported(span, "this form of IN")),
            },
            ast::Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let x = self.expression(expr, scope)?;
                let (low, high) = (self.expression(low, scope)?, self.expression(high, scope)?);
                placed(between(x, low, high, *negated, false), span)
            }
            ast::Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(
                expr,
                pattern,
                escape_char.as_deref(),
                (false, *negated),
                scope,
                span,
            ),
            ast::Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(
                expr,
                pattern,
                escape_char.as_deref(),
                (true, *negated),
                scope,
                span,
            ),
            ast::Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => self.any(left, compare_op, right, scope, span),
            ast::Expr::AllOp {
                left,
                compare_op,
                right,
            } => self.all(left, compare_op, right, scope, span),
            ast::Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => {
                let (at, zone) = (
                    self.expression(timestamp, scope)?,
                    self.expression(time_zone, scope)?,
                );
                placed(at_time_zone(at, zone), span)
            }
            ast::Expr::Collate { expr, collation } => {
                let x = self.expression(expr, scope)?;
                let parts = identifiers(collation)?;
                let name = parts.last().map_or_else(String::new, |i| fold(i));
                let Some(known) = Collation::by_name(&name) else {
                    return Err(Problem::hinted(
                        collation.span(),
                        format!("the order of collation \"{name}\" is not known to readside"),
                        "use COLLATE \"C\"",
                    ));
                };
                placed(collate(x, known), span)
            }
            ast::Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                let mut branches = Vec::new();
                for when in conditions {
                    branches.push((
                        self.expression(&when.condition, scope)?,
                        self.expression(&when.result, scope)?,
                    ));
                }
                let otherwise = match else_result {
                    Some(e) => Some(self.expression(e, scope)?),
                    None => None,
                };
                match operand {
                    Some(operand) => {
                        let operand = self.expression(operand, scope)?;
                        placed(simple_case(operand, branches, otherwise), span)
                    }
                    None => placed(case(branches, otherwise), span),
                }
            }
            ast::Expr::Array(list) => {
                let elements = self.expressions(&list.elem, scope)?;
                placed(array(elements), span)
            }
            ast::Expr::Tuple(list) => {
                let fields = self.expressions(list, scope)?;
                placed(row(fields), span)
            }
            ast::Expr::Subquery(query) => self.scalar_subquery(query, scope),
            ast::Expr::Exists { subquery, negated } => {
                let found = self.exists(subquery, scope)?;
                if *negated {
                    placed(not(found), span)
                } else {
                    Ok(found)
                }
            }
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                self.access(root, access_chain, scope, span)
            }
            ast::Expr::Function(function) => self.function(function, scope, span),
            ast::Expr::Extract { .. }
            | ast::Expr::Ceil { .. }
            | ast::Expr::Floor { .. }
            | ast::Expr::Position { .. }
            | ast::Expr::Substring { .. }
            | ast::Expr::Trim { .. }
            | ast::Expr::Overlay { .. } => self.keyword_function(e, scope, span),
            ast::Expr::SimilarTo { .. } => Err(Problem::hinted(
                span,
                "SIMILAR TO is not supported",
                "write LIKE",
            )),
            ast::Expr::Rollup(_) | ast::Expr::Cube(_) | ast::Expr::GroupingSets(_) => {
                Err(unsupported(span, "a grouping set"))
            }
            _ => Err(unsupported(span, "this expression")),
        }
    }

    pub(super) fn expressions(
        &mut self,
        list: &[ast::Expr],
        scope: &Scope<'_>,
    ) -> Checked<Vec<Typed>> {
        list.iter().map(|e| self.expression(e, scope)).collect()
    }

    fn found(&mut self, found: Found, span: Span) -> Checked<Typed> {
        match found {
            Found::Column(typed) => Ok(typed),
            Found::Row(table) => whole_row(&table, span),
        }
    }

    fn truth(
        &mut self,
        x: &ast::Expr,
        truth: Option<bool>,
        negated: bool,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let x = self.expression(x, scope)?;
        placed(is_truth(x, truth, negated), span)
    }

    fn like(
        &mut self,
        x: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        (insensitive, negated): (bool, bool),
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let (x, pattern) = (self.expression(x, scope)?, self.expression(pattern, scope)?);
        let escape = escape.map(|e| self.expression(e, scope)).transpose()?;
        placed(like(x, pattern, escape, insensitive, negated), span)
    }

    fn unary(
        &mut self,
        op: UnaryOperator,
        x: &ast::Expr,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        if op == UnaryOperator::Minus
            && let ast::Expr::Value(v) = x
            && let ast::Value::Number(digits, _) = &v.value
            && let Ok(n) = format!("-{digits}").parse::<i64>()
        {
            // As Postgres' grammar does: the sign belongs to the constant, so -2147483648 is an integer.
            let ty = if i32::try_from(n).is_ok() {
                Type::Int4
            } else {
                Type::Int8
            };
            return Ok(Typed::constant(Value::Int(n), ty));
        }
        let x = self.expression(x, scope)?;
        match op {
            UnaryOperator::Not => placed(not(x), span),
            op => placed(resolve_operator(&op.to_string(), None, x), span),
        }
    }

    fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let mut list = Vec::new();
                flatten(left, op, &mut list);
                flatten(right, op, &mut list);
                let list = list
                    .into_iter()
                    .map(|e| self.expression(e, scope))
                    .collect::<Checked<Vec<_>>>()?;
                return placed(
                    if *op == BinaryOperator::And {
                        and(list)
                    } else {
                        or(list)
                    },
                    span,
                );
            }
            _ => {}
        }
        if is_comparison(op) {
            for side in [left, right] {
                if let ast::Expr::BinaryOp { op: inner, .. } = side
                    && is_comparison(inner)
                {
                    return Err(Problem::hinted(
                        span,
                        format!("syntax error at or near \"{op}\": comparisons do not chain"),
                        "put one of them in brackets, or join them with AND",
                    ));
                }
            }
        }
        let (l, r) = (
            self.expression(left, scope)?,
            self.expression(right, scope)?,
        );
        let insensitive = matches!(
            op,
            BinaryOperator::PGILikeMatch | BinaryOperator::PGNotILikeMatch
        );
        let negated = matches!(
            op,
            BinaryOperator::PGNotLikeMatch | BinaryOperator::PGNotILikeMatch
        );
        if insensitive || negated || matches!(op, BinaryOperator::PGLikeMatch) {
            return placed(like(l, r, None, insensitive, negated), span);
        }
        placed(resolve_operator(&operator_name(op), Some(l), r), span)
    }

    fn any(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        if let Some(query) = subquery_of(right) {
            if operator_name(op) != "=" {
                return Err(Problem::hinted(
                    span,
                    format!("{op} ANY over a subquery is not supported"),
                    "write EXISTS (SELECT … WHERE …)",
                ));
            }
            return self.in_subquery(left, query, scope, span);
        }
        let (l, r) = (
            self.expression(left, scope)?,
            self.expression(right, scope)?,
        );
        placed(any_array(&operator_name(op), l, r), span)
    }

    fn all(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        if let Some(query) = subquery_of(right) {
            if operator_name(op) != "<>" {
                return Err(Problem::hinted(
                    span,
                    format!("{op} ALL over a subquery is not supported"),
                    "write NOT EXISTS (SELECT … WHERE NOT …)",
                ));
            }
            let found = self.in_subquery(left, query, scope, span)?;
            return placed(not(found), span);
        }
        let (l, r) = (
            self.expression(left, scope)?,
            self.expression(right, scope)?,
        );
        placed(all_array(&operator_name(op), l, r), span)
    }

    fn access(
        &mut self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let mut value = self.expression(root, scope)?;
        for step in chain {
            value = match step {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.expression(index, scope)?;
                    placed(subscript(value, index), span)?
                }
                AccessExpr::Subscript(Subscript::Slice { .. }) => {
                    return Err(Problem::hinted(
                        span,
                        "array slices are not supported",
                        "take single elements, or show the whole array",
                    ));
                }
                AccessExpr::Dot(ast::Expr::Identifier(name)) => {
                    placed(field(value, &fold(name)), span)?
                }
                AccessExpr::Dot(_) => return Err(unsupported(span, "this field access")),
            };
        }
        Ok(value)
    }

    fn interval(&mut self, interval: &ast::Interval, span: Span) -> Checked<Typed> {
        let ast::Expr::Value(value) = interval.value.as_ref() else {
            return Err(Problem::hinted(
                span,
                "an interval constant is a string",
                "write a number times interval '1 day'",
            ));
        };
        let ast::Value::SingleQuotedString(text) = &value.value else {
            return Err(Problem::hinted(
                span,
                "an interval constant is a string",
                "write interval '1 day'",
            ));
        };
        let text = match (&interval.leading_field, &interval.last_field) {
            (None, None) => text.clone(),
            (Some(unit), None) if text.trim().parse::<i64>().is_ok() => {
                format!("{} {unit}", text.trim())
            }
            _ => {
                return Err(Problem::hinted(
                    span,
                    "an interval restricted to some fields is not supported",
                    "write the units into the string: interval '1 day 02:00'",
                ));
            }
        };
        placed(
            cast(
                Typed::literal(&text),
                &Type::Interval,
                -1,
                CastContext::Explicit,
            ),
            span,
        )
    }
}

/// A relation's whole row; NULL where an outer join leaves it without one.
pub(super) fn whole_row(table: &NamedTable, span: Span) -> Checked<Typed> {
    let fields: Vec<(Arc<str>, Type)> = table
        .columns
        .iter()
        .map(|c| (Arc::from(c.name.as_str()), c.typed.ty.clone()))
        .collect();
    let record = Expr::Record(table.columns.iter().map(|c| c.typed.expr.clone()).collect());
    let expr = match (table.nullable, table.occ) {
        (false, _) => record,
        (true, Some(occ)) => Expr::Case {
            branches: vec![(Expr::Present(occ), record)],
            otherwise: Box::new(Expr::Const(Value::Null)),
        },
        (true, None) => {
            return Err(Problem::hinted(
                span,
                "the row of a joined alias on the null-supplying side of an outer join is not supported",
                "name its columns",
            ));
        }
    };
    let mut typed = Typed::new(
        expr,
        Type::Record(Arc::new(RecordType { oid: 2249, fields })),
    );
    typed.not_null = !table.nullable;
    Ok(typed)
}

pub(super) fn unsupported(span: Span, what: &str) -> Box<Problem> {
    Problem::hinted(
        span,
        format!("{what} is not supported"),
        "compute it where the view is read, or from columns that the view shows",
    )
}

fn literal(value: &ast::Value, span: Span) -> Checked<Typed> {
    match value {
        ast::Value::Number(digits, _) => placed(Typed::number(digits), span),
        ast::Value::SingleQuotedString(s)
        | ast::Value::EscapedStringLiteral(s)
        | ast::Value::UnicodeStringLiteral(s) => Ok(Typed::literal(s)),
        ast::Value::DollarQuotedString(s) => Ok(Typed::literal(&s.value)),
        ast::Value::Boolean(b) => Ok(Typed::bool(*b)),
        ast::Value::Null => Ok(Typed::null()),
        ast::Value::Placeholder(p) => Err(Problem::hinted(
            span,
            format!("there is no parameter {p}"),
            "write the value itself",
        )),
        _ => Err(Problem::hinted(
            span,
            "this kind of constant is not supported",
            "write a string and cast it",
        )),
    }
}

fn flatten<'e>(e: &'e ast::Expr, op: &BinaryOperator, out: &mut Vec<&'e ast::Expr>) {
    match e {
        ast::Expr::BinaryOp {
            left,
            op: inner,
            right,
        } if inner == op => {
            flatten(left, op, out);
            flatten(right, op, out);
        }
        ast::Expr::Nested(inner) => match inner.as_ref() {
            ast::Expr::BinaryOp { op: inner_op, .. } if inner_op == op => flatten(inner, op, out),
            _ => out.push(e),
        },
        e => out.push(e),
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// The operator's own name, without `OPERATOR(schema.…)`.
pub(super) fn operator_name(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        op => op.to_string(),
    }
}

fn subquery_of(e: &ast::Expr) -> Option<&ast::Query> {
    match e {
        ast::Expr::Subquery(query) => Some(query),
        ast::Expr::Nested(inner) => subquery_of(inner),
        _ => None,
    }
}

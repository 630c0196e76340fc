//! The name that Postgres gives a column of the select list.

use sqlparser::ast::{self, AccessExpr, FunctionArguments, SetExpr, TrimWhereField};

use super::Binder;
use super::data_type::catalog_name;
use crate::scope::fold;

impl Binder<'_> {
    pub(super) fn output_name(&self, e: &ast::Expr) -> String {
        self.strong_name(e)
            .map_or_else(|| "?column?".to_owned(), |(name, _)| name)
    }

    /// A name, and whether it is better than a type's name.
    fn strong_name(&self, e: &ast::Expr) -> Option<(String, bool)> {
        let fixed = |name: &str| Some((name.to_owned(), true));
        match e {
            ast::Expr::Identifier(ident) => Some((fold(ident), true)),
            ast::Expr::CompoundIdentifier(parts) => parts.last().map(|i| (fold(i), true)),
            ast::Expr::Nested(inner) | ast::Expr::Collate { expr: inner, .. } => {
                self.strong_name(inner)
            }
            ast::Expr::CompoundFieldAccess { root, access_chain } => access_chain
                .iter()
                .rev()
                .find_map(|step| match step {
                    AccessExpr::Dot(ast::Expr::Identifier(name)) => Some((fold(name), true)),
                    _ => None,
                })
                .or_else(|| self.strong_name(root)),
            ast::Expr::Cast {
                expr, data_type, ..
            } => match self.strong_name(expr) {
                Some((name, true)) => Some((name, true)),
                _ => Some((catalog_name(data_type), false)),
            },
            ast::Expr::TypedString(typed) => Some((catalog_name(&typed.data_type), false)),
            ast::Expr::Interval(_) => Some(("interval".to_owned(), false)),
            ast::Expr::Function(f) => {
                if let FunctionArguments::Subquery(_) = &f.args {
                    return fixed("array");
                }
                match f.name.0.last() {
                    Some(ast::ObjectNamePart::Identifier(ident)) => Some((fold(ident), true)),
                    _ => None,
                }
            }
            ast::Expr::Case { else_result, .. } => match else_result.as_deref() {
                Some(e) => match self.strong_name(e) {
                    Some((name, true)) => Some((name, true)),
                    _ => Some(("case".to_owned(), false)),
                },
                None => Some(("case".to_owned(), false)),
            },
            ast::Expr::Array(_) => fixed("array"),
            ast::Expr::Tuple(_) => fixed("row"),
            ast::Expr::Exists { negated: false, .. } => fixed("exists"),
            ast::Expr::Extract { .. } => fixed("extract"),
            ast::Expr::Ceil { .. } => fixed("ceil"),
            ast::Expr::Floor { .. } => fixed("floor"),
            ast::Expr::Position { .. } => fixed("position"),
            ast::Expr::Substring { .. } => fixed("substring"),
            ast::Expr::Overlay { .. } => fixed("overlay"),
            ast::Expr::AtTimeZone { .. } => fixed("timezone"),
            ast::Expr::Trim { trim_where, .. } => fixed(match trim_where {
                None | Some(TrimWhereField::Both) => "btrim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            }),
            ast::Expr::Value(v) => match v.value {
                // Since version 15 a boolean constant is a constant, before it was a cast.
                ast::Value::Boolean(_) if self.arena.catalog.server_version < 150_000 => {
                    Some(("bool".to_owned(), false))
                }
                _ => None,
            },
            ast::Expr::Subquery(query) => self.subquery_name(query),
            _ => None,
        }
    }

    fn subquery_name(&self, query: &ast::Query) -> Option<(String, bool)> {
        match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                ast::SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
                ast::SelectItem::UnnamedExpr(e) => self.strong_name(e),
                _ => None,
            },
            SetExpr::Query(inner) => self.subquery_name(inner),
            _ => None,
        }
    }
}

//! Function calls, in call syntax and in the grammar's own.

use readside_expr::{Typed, coalesce, greatest, least, nullif, resolve_function, row};
use readside_pgtype::Type;
use sqlparser::ast::{
    self, CeilFloorKind, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
    TrimWhereField,
};
use sqlparser::tokenizer::Span;

use super::aggregate::is_aggregate;
use super::expression::{unsupported, whole_row};
use super::from::identifiers;
use super::{Binder, placed};
use crate::refusal::{Checked, Problem};
use crate::scope::{Scope, fold};

/// Functions whose value changes without a change of the data.
const VOLATILE: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "random",
    "gen_random_uuid",
    "uuid_generate_v4",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "txid_current",
    "pg_current_xact_id",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_catalog",
    "current_schema",
    "current_database",
    "current_setting",
    "version",
    "pg_backend_pid",
    "inet_client_addr",
];

/// Functions that return rows.
const SET_RETURNING: &[&str] = &[
    "unnest",
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "json_each",
    "json_each_text",
    "jsonb_each",
    "jsonb_each_text",
    "json_object_keys",
    "jsonb_object_keys",
    "json_to_recordset",
    "jsonb_to_recordset",
    "json_populate_recordset",
    "jsonb_populate_recordset",
    "jsonb_path_query",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
];

/// Functions that need a window.
const WINDOW: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

impl Binder<'_> {
    pub(super) fn function(
        &mut self,
        function: &Function,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let parts = identifiers(&function.name)?;
        let name = match parts.as_slice() {
            [name] => fold(name),
            [schema, name] if fold(schema) == "pg_catalog" => fold(name),
            _ => {
                return Err(Problem::hinted(
                    function.name.span(),
                    format!(
                        "`{}` is a function of the source's own, which readside cannot run",
                        function.name
                    ),
                    "write its body here, or keep its result in a column",
                ));
            }
        };
        let at = function.name.span();
        if let Some(over) = &function.over {
            return self.ranking(&name, function, over, scope, at);
        }
        if WINDOW.contains(&name.as_str()) {
            return Err(Problem::hinted(
                at,
                format!("window function {name} requires an OVER clause"),
                "write OVER (PARTITION BY … ORDER BY …) after it",
            ));
        }
        if name == "array"
            && let FunctionArguments::Subquery(query) = &function.args
        {
            return self.array_subquery(query, scope);
        }
        if VOLATILE.contains(&name.as_str()) {
            return Err(Problem::hinted(
                at,
                format!(
                    "`{name}` changes without any change to the data, so a view over it cannot be kept fresh"
                ),
                "show the column itself, and compare it where the view is read",
            ));
        }
        if SET_RETURNING.contains(&name.as_str()) {
            return Err(Problem::hinted(
                at,
                format!("`{name}` returns rows, which is not supported yet"),
                "show the array or the JSON value itself, and take it apart where it is read",
            ));
        }
        if name == "grouping" {
            return Err(Problem::hinted(
                at,
                "GROUPING is not supported yet",
                "write one view per level of grouping",
            ));
        }
        if is_aggregate(&name) {
            return self.aggregate(&name, function, scope, span);
        }
        if function.filter.is_some() || !function.within_group.is_empty() {
            return Err(Problem::at(
                at,
                format!(
                    "FILTER or WITHIN GROUP specified, but {name} is not an aggregate function"
                ),
            ));
        }
        if function.null_treatment.is_some() {
            return Err(unsupported(at, "IGNORE NULLS"));
        }
        let args = match &function.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::Subquery(_) => {
                return Err(Problem::at(
                    at,
                    "a subquery as an argument needs brackets of its own",
                ));
            }
            FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return Err(Problem::at(
                        at,
                        format!(
                            "DISTINCT or ORDER BY specified, but {name} is not an aggregate function"
                        ),
                    ));
                }
                self.arguments(&list.args, scope)?
            }
        };
        if name == "age" && args.len() == 1 {
            return Err(Problem::hinted(
                at,
                "`age` with one argument depends on today's date, so a view over it cannot be kept fresh",
                "show the column itself, and compare it where the view is read",
            ));
        }
        let mut args = args;
        placed(
            match (name.as_str(), args.len()) {
                ("coalesce", _) => coalesce(args),
                ("greatest", _) => greatest(args),
                ("least", _) => least(args),
                ("row", _) => row(args),
                ("nullif", 2) => {
                    let right = args.remove(1);
                    nullif(args.remove(0), right)
                }
                _ => resolve_function(&name, args),
            },
            span_of_call(at, span),
        )
    }

    pub(super) fn arguments(
        &mut self,
        args: &[FunctionArg],
        scope: &Scope<'_>,
    ) -> Checked<Vec<Typed>> {
        args.iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => self.expression(e, scope),
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                    let parts = identifiers(name)?;
                    let table = match parts.as_slice() {
                        [table] => scope.table(None, &fold(table)),
                        [schema, table] => scope.table(Some(&fold(schema)), &fold(table)),
                        _ => None,
                    };
                    match table {
                        Some(table) => whole_row(table, name.span()),
                        None => Err(Problem::at(
                            name.span(),
                            format!("missing FROM-clause entry for table \"{name}\""),
                        )),
                    }
                }
                other => Err(Problem::hinted(
                    other.span(),
                    "named arguments and * are not supported here",
                    "give the arguments by position",
                )),
            })
            .collect()
    }

    /// Functions that have a syntax of their own.
    pub(super) fn keyword_function(
        &mut self,
        e: &ast::Expr,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let (name, args) = match e {
            ast::Expr::Extract { field, expr, .. } => {
                let field = field.to_string();
                let field = field.trim_matches('\'').to_ascii_lowercase();
                (
                    "extract",
                    vec![Typed::literal(&field), self.expression(expr, scope)?],
                )
            }
            ast::Expr::Ceil { expr, field } => {
                rounded(field, span)?;
                ("ceil", vec![self.expression(expr, scope)?])
            }
            ast::Expr::Floor { expr, field } => {
                rounded(field, span)?;
                ("floor", vec![self.expression(expr, scope)?])
            }
            ast::Expr::Position { expr, r#in } => {
                let (needle, hay) = (self.expression(expr, scope)?, self.expression(r#in, scope)?);
                ("strpos", vec![hay, needle])
            }
            ast::Expr::Substring {
                expr,
                substring_from,
                substring_for,
                special,
                ..
            } => {
                let mut args = vec![self.expression(expr, scope)?];
                match (substring_from, substring_for) {
                    (Some(from), to) => {
                        args.push(self.expression(from, scope)?);
                        if let Some(to) = to {
                            args.push(self.expression(to, scope)?);
                        }
                    }
                    (None, Some(to)) => {
                        args.push(Typed::constant(readside_pgtype::Value::Int(1), Type::Int4));
                        args.push(self.expression(to, scope)?);
                    }
                    (None, None) => {}
                }
                let _ = special;
                ("substring", args)
            }
            ast::Expr::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "btrim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                let mut args = vec![self.expression(expr, scope)?];
                if let Some(what) = trim_what {
                    args.push(self.expression(what, scope)?);
                }
                for what in trim_characters.iter().flatten() {
                    args.push(self.expression(what, scope)?);
                }
                (name, args)
            }
            ast::Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args = vec![
                    self.expression(expr, scope)?,
                    self.expression(overlay_what, scope)?,
                    self.expression(overlay_from, scope)?,
                ];
                if let Some(to) = overlay_for {
                    args.push(self.expression(to, scope)?);
                }
                ("overlay", args)
            }
            _ => return Err(unsupported(span, "this expression")),
        };
        placed(resolve_function(name, args), span)
    }
}

fn rounded(field: &CeilFloorKind, span: Span) -> Checked<()> {
    match field {
        CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => Ok(()),
        _ => Err(Problem::hinted(
            span,
            "ceil and floor take one argument",
            "leave the second one out",
        )),
    }
}

/// A call's problem is shown at its name, unless the name has no position.
fn span_of_call(name: Span, whole: Span) -> Span {
    if name.start.line == 0 { whole } else { name }
}

//! Aggregate calls: each becomes a column of its level's grouping.

use std::collections::BTreeSet;

use readside_expr::{ColumnRef, Expr, OccId, Typed};
use readside_plan::AggCall;
use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Spanned,
};
use sqlparser::tokenizer::Span;

use super::expression::unsupported;
use super::select::sort_key;
use super::{Binder, placed};
use crate::aggregates::resolve;
use crate::refusal::{Checked, Problem};
use crate::scope::{FIRST_AGGREGATE, Place, Scope};
use crate::type_facts;

const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

/// Whether a function of this name is an aggregate.
pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

impl Binder<'_> {
    pub(super) fn aggregate(
        &mut self,
        name: &str,
        function: &Function,
        scope: &Scope<'_>,
        span: Span,
    ) -> Checked<Typed> {
        let at = function.name.span();
        let Some(level) = scope.own_level() else {
            return Err(Problem::at(at, "aggregate functions are not allowed here"));
        };
        let clause = match level.place.get() {
            Place::After => None,
            Place::Where => Some("aggregate functions are not allowed in WHERE"),
            Place::From => Some("aggregate functions are not allowed in FROM clause"),
            Place::GroupBy => Some("aggregate functions are not allowed in GROUP BY"),
            Place::Aggregate => Some("aggregate function calls cannot be nested"),
        };
        if let Some(message) = clause {
            return Err(Problem::at(at, message));
        }
        let ordered_set = matches!(name, "mode" | "percentile_cont" | "percentile_disc");
        if ordered_set == function.within_group.is_empty() {
            return Err(Problem::at(
                at,
                if ordered_set {
                    format!("WITHIN GROUP is required for ordered-set aggregate {name}")
                } else {
                    format!(
                        "{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP"
                    )
                },
            ));
        }
        let FunctionArguments::List(list) = &function.args else {
            return Err(Problem::at(at, format!("{name} needs arguments")));
        };
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let star = matches!(
            list.args.as_slice(),
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]
        );
        let (args, order, filter) = level.at(Place::Aggregate, || {
            let mut args = if star {
                Vec::new()
            } else {
                self.arguments(&list.args, scope)?
            };
            let mut order = Vec::new();
            if ordered_set {
                if args
                    .iter()
                    .any(|a| !self.arena.free_occs_of_expr(&a.expr).is_empty())
                {
                    return Err(unsupported(at, "a direct argument that is not constant"));
                }
                let [item] = function.within_group.as_slice() else {
                    return Err(unsupported(at, "more than one column in WITHIN GROUP"));
                };
                let typed = self.expression(&item.expr, scope)?.or_text();
                type_facts::sortable(&typed, item.expr.span())?;
                args.push(typed.clone());
                order.push(sort_key(typed, item)?);
            }
            for clause in &list.clauses {
                let FunctionArgumentClause::OrderBy(keys) = clause else {
                    return Err(unsupported(at, "this clause of an aggregate"));
                };
                for item in keys {
                    let typed = self.expression(&item.expr, scope)?.or_text();
                    type_facts::sortable(&typed, item.expr.span())?;
                    order.push(sort_key(typed, item)?);
                }
            }
            let filter = match &function.filter {
                Some(condition) => Some(self.condition(condition, scope, "FILTER")?),
                None => None,
            };
            Ok((args, order, filter))
        })?;
        if star && name != "count" {
            return Err(Problem::at(at, format!("{name}(*) is not an aggregate")));
        }
        self.own_columns_only(&args, scope, at)?;
        let argument_span = |i: usize| list.args.get(i).map_or(at, Spanned::span);
        if distinct {
            for (i, arg) in args.iter().enumerate() {
                type_facts::groupable(arg, argument_span(i))?;
                // DISTINCT sorts its input, and what collects values shows that order.
                if !matches!(
                    name,
                    "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "every"
                ) {
                    type_facts::sortable(arg, argument_span(i))?;
                }
            }
        }
        if matches!(name, "min" | "max") {
            for (i, arg) in args.iter().enumerate() {
                type_facts::sortable(arg, argument_span(i))?;
            }
        }
        let resolved = placed(resolve(name, args, distinct), at)?;
        if distinct {
            for key in &order {
                if !resolved.args.iter().any(|a| a.expr == key.expr) {
                    return Err(Problem::at(
                        at,
                        "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list",
                    ));
                }
            }
        }
        let call = AggCall {
            func: resolved.func,
            arg_types: resolved.args.iter().map(|a| a.ty.clone()).collect(),
            args: resolved.args.into_iter().map(|a| a.expr).collect(),
            distinct,
            order: if resolved.func.depends_on_order() {
                order
            } else {
                Vec::new()
            },
            filter,
        };
        if level.first_aggregate.get().is_none() {
            level.first_aggregate.set(Some(span));
        }
        let mut aggregates = level.aggregates.borrow_mut();
        let index = aggregates
            .iter()
            .position(|known| *known == call)
            .unwrap_or_else(|| {
                aggregates.push(call);
                aggregates.len() - 1
            });
        let column = u16::try_from(index)
            .ok()
            .and_then(|i| FIRST_AGGREGATE.checked_add(i))
            .ok_or_else(|| Problem::at(at, "too many aggregates"))?;
        Ok(Typed {
            expr: Expr::Column(ColumnRef {
                occ: level.grouping,
                column,
            }),
            ..resolved.result
        })
    }

    /// An aggregate belongs to the level that its arguments come from; only its own level is supported.
    fn own_columns_only(&self, args: &[Typed], scope: &Scope<'_>, at: Span) -> Checked<()> {
        let used: BTreeSet<OccId> = args
            .iter()
            .flat_map(|a| self.arena.free_occs_of_expr(&a.expr))
            .collect();
        let own: BTreeSet<OccId> = scope
            .own_names()
            .into_iter()
            .flat_map(|n| {
                n.columns
                    .iter()
                    .chain(n.tables.iter().flat_map(|t| &t.columns))
            })
            .flat_map(|c| crate::arena::columns_of(&c.typed.expr))
            .map(|c| c.occ)
            .collect();
        if used.is_empty() || used.iter().any(|occ| own.contains(occ)) {
            return Ok(());
        }
        Err(Problem::hinted(
            at,
            "this aggregate belongs to a query further out, which is not supported here",
            "write it in the query whose rows it is over",
        ))
    }
}

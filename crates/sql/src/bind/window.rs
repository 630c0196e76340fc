//! Window functions: those that rank.

use std::sync::Arc;

use readside_expr::{Expr, Func, RankOver, Ranking, Typed};
use readside_pgtype::Type;
use sqlparser::ast::{Function, FunctionArguments, Spanned, WindowType};
use sqlparser::tokenizer::Span;

use super::Binder;
use super::select::sort_key;
use crate::refusal::{Checked, Problem};
use crate::scope::{Place, Scope};
use crate::type_facts;

impl Binder<'_> {
    pub(super) fn ranking(
        &mut self,
        name: &str,
        function: &Function,
        over: &WindowType,
        scope: &Scope<'_>,
        at: Span,
    ) -> Checked<Typed> {
        let ranking = match name {
            "row_number" => Ranking::RowNumber,
            "rank" => Ranking::Rank,
            "dense_rank" => Ranking::DenseRank,
            _ => return Err(windows(at)),
        };
        let clause = match scope.own_level().map(|level| level.place.get()) {
            Some(Place::After) => None,
            Some(Place::Where) => Some("WHERE"),
            Some(Place::GroupBy) => Some("GROUP BY"),
            Some(Place::Aggregate) => Some("aggregate function calls"),
            Some(Place::From) | None => Some("FROM"),
        };
        if let Some(clause) = clause {
            return Err(Problem::hinted(
                at,
                format!("window functions are not allowed in {clause}"),
                "rank in a subquery in FROM, and use its column outside of it",
            ));
        }
        let WindowType::WindowSpec(window) = over else {
            return Err(windows(at));
        };
        let has_args =
            matches!(&function.args, FunctionArguments::List(list) if !list.args.is_empty());
        if has_args || function.filter.is_some() || window.window_name.is_some() {
            return Err(windows(at));
        }
        let mut args = Vec::new();
        let mut partition: Vec<Type> = Vec::new();
        for e in &window.partition_by {
            let typed = self.expression(e, scope)?.or_text();
            type_facts::groupable(&typed, e.span())?;
            partition.push(typed.ty);
            args.push(typed.expr);
        }
        let mut order = Vec::new();
        for item in &window.order_by {
            let typed = self.expression(&item.expr, scope)?.or_text();
            type_facts::sortable(&typed, item.expr.span())?;
            let key = sort_key(typed, item)?;
            order.push((key.ty, key.descending, key.nulls_first));
            args.push(key.expr);
        }
        let func = Func::Rank(Arc::new(RankOver {
            ranking,
            partition,
            order,
        }));
        let mut typed = Typed::new(Expr::Call { func, args }, Type::Int8);
        typed.not_null = true;
        Ok(typed)
    }
}

/// Whether a ranking stands in `e`.
pub(crate) fn is_ranked(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |e| {
        found |= matches!(
            e,
            Expr::Call {
                func: Func::Rank(_),
                ..
            }
        );
    });
    found
}

pub(super) fn windows(span: Span) -> Box<Problem> {
    Problem::hinted(
        span,
        "this window function is not supported yet: row_number, rank and dense_rank OVER (PARTITION BY … ORDER BY …) are",
        "compute the running value where the view is read, or use a correlated subquery with an aggregate",
    )
}

//! Which aggregate a call means.

use readside_aggregate::{AggCall, AggFunc};
use readside_expr::{Refused, Typed};
use readside_pgtype::Type;

/// A resolved aggregate.
pub(crate) struct Resolved {
    pub(crate) func: AggFunc,
    /// Coerced to its parameter types.
    pub(crate) args: Vec<Typed>,
    /// Its result, but for the expression.
    pub(crate) result: Typed,
}

pub(crate) fn resolve(name: &str, args: Vec<Typed>, distinct: bool) -> Result<Resolved, Refused> {
    let _ = distinct;
    if name == "count" && args.is_empty() {
        return Ok(Resolved {
            func: AggFunc::CountStar,
            args,
            result: Typed {
                not_null: true,
                ..Typed::new(readside_expr::Expr::Const(readside_pgtype::Value::Null), Type::Int8)
            },
        });
    }
    Err(Refused::new(format!("aggregate {name} is not supported")))
}

/// Whether the aggregate shows the order of its input.
pub(crate) fn is_order_sensitive(func: &AggFunc) -> bool {
    !is_accumulator(func)
}

/// Whether the aggregate is of bounded size, and can subtract.
pub(crate) fn is_accumulator(func: &AggFunc) -> bool {
    matches!(func, AggFunc::CountStar)
}

/// Whether the aggregate of nothing is 0.
pub(crate) fn is_count(func: &AggFunc) -> bool {
    matches!(func, AggFunc::CountStar)
}

/// Name and result type of a call, for a stage's columns.
pub(crate) fn describe(call: &AggCall) -> (String, Type) {
    let _ = call;
    ("count".to_owned(), Type::Int8)
}

//! Which aggregate a call means, and what the planner has to know of it.

use std::sync::Arc;

use readside_aggregate::{AggCall, AggFunc};
use readside_expr::{CastContext, Collation, Expr, Refused, Typed, cast};
use readside_pgtype::{Type, Value};

/// A resolved aggregate.
pub(crate) struct Resolved {
    pub(crate) func: AggFunc,
    /// Coerced to its parameter types.
    pub(crate) args: Vec<Typed>,
    /// Its result, but for the expression.
    pub(crate) result: Typed,
}

/// The aggregate of this name over these arguments.
pub(crate) fn resolve(name: &str, args: Vec<Typed>, distinct: bool) -> Result<Resolved, Refused> {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let found = match (name, types.as_slice()) {
        ("mode" | "percentile_cont" | "percentile_disc", [direct @ .., sort]) => {
            readside_aggregate::resolve_ordered_set(name, direct, sort)
        }
        _ => readside_aggregate::resolve(name, &types, distinct),
    };
    let found = found.map_err(|message| Refused {
        message,
        hint: Some(
            "aggregates are count, sum, avg, min, max, bool_and, bool_or, bit_and, bit_or, stddev, variance, string_agg, array_agg, mode, the percentiles and the json family".to_owned(),
        ),
    })?;
    let collation = match found.result {
        Type::Text | Type::Varchar | Type::Bpchar | Type::Array(_) => {
            Collation::merge(args.iter().map(|a| &a.collation))?
        }
        _ => Collation::none(),
    };
    let args = args
        .into_iter()
        .zip(&found.arg_types)
        .map(|(arg, ty)| {
            // A domain is its base type to a function.
            if arg.ty.base() == ty {
                Ok(arg)
            } else {
                cast(arg, ty, -1, CastContext::Implicit)
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Resolved {
        func: found.func,
        args,
        result: Typed {
            expr: Expr::Const(Value::Null),
            ty: found.result,
            typmod: found.typmod,
            collation,
            not_null: is_count(&found.func),
        },
    })
}

/// Whether the value shows the order of its input.
pub(crate) fn is_order_sensitive(func: &AggFunc) -> bool {
    func.depends_on_order()
        && !matches!(
            func,
            AggFunc::JsonbObjectAgg
                | AggFunc::Mode
                | AggFunc::PercentileDisc
                | AggFunc::PercentileCont
        )
}

/// Whether the value is of bounded size.
pub(crate) fn is_accumulator(func: &AggFunc) -> bool {
    !func.depends_on_order()
}

/// Whether the aggregate of nothing is 0.
pub(crate) fn is_count(func: &AggFunc) -> bool {
    matches!(func, AggFunc::CountStar | AggFunc::Count)
}

/// Name and result type of a call, for a stage's columns.
pub(crate) fn describe(call: &AggCall) -> (String, Type) {
    let arg = || call.arg_types.first().cloned().unwrap_or(Type::Unknown);
    let ty = match call.func {
        AggFunc::CountStar | AggFunc::Count | AggFunc::SumInt => Type::Int8,
        AggFunc::SumBigint
        | AggFunc::SumNumeric
        | AggFunc::AvgInt
        | AggFunc::AvgNumeric
        | AggFunc::SpreadNumeric(_) => Type::Numeric,
        AggFunc::SumFloat4 => Type::Float4,
        AggFunc::SumFloat8 | AggFunc::AvgFloat | AggFunc::SpreadFloat(_) => Type::Float8,
        AggFunc::SumInterval | AggFunc::AvgInterval => Type::Interval,
        AggFunc::BoolAnd | AggFunc::BoolOr => Type::Bool,
        AggFunc::StringAgg => Type::Text,
        AggFunc::ByteaAgg => Type::Bytea,
        AggFunc::ArrayAgg => Type::Array(Arc::new(arg())),
        AggFunc::PercentileDisc | AggFunc::PercentileCont => {
            call.arg_types.get(1).cloned().unwrap_or(Type::Unknown)
        }
        AggFunc::JsonAgg | AggFunc::JsonObjectAgg => Type::Json,
        AggFunc::JsonbAgg | AggFunc::JsonbObjectAgg => Type::Jsonb,
        _ => arg(),
    };
    (call.func.name().to_owned(), ty)
}

//! A call of an aggregate in a query.

use readside_expr::Expr;
use readside_pgtype::Type;

use crate::AggFunc;

/// One `ORDER BY` item.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What to sort by.
    pub expr: Expr,
    /// Its type, for order and canonical equality.
    pub ty: Type,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST (resolved: Postgres' default is last for ASC, first for DESC).
    pub nulls_first: bool,
}

/// A call of an aggregate in a query.
#[derive(Debug, Clone, PartialEq)]
pub struct AggCall {
    /// Which.
    pub func: AggFunc,
    /// Its arguments, coerced.
    pub args: Vec<Expr>,
    /// Their types, after coercion.
    pub arg_types: Vec<Type>,
    /// DISTINCT.
    pub distinct: bool,
    /// ORDER BY inside the call.
    pub order: Vec<SortKey>,
    /// FILTER (WHERE …).
    pub filter: Option<Expr>,
}

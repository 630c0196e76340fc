//! Typed expressions: resolution as Postgres does it, and evaluation.
//!
//! In: names of operators, functions and types, over arguments whose types are known. Out: [`Typed`] expressions, or the reason why
//! one is refused; and their values under a binding ([`Context`]).
//!
//! Always: overloads are chosen by the rules of the manual's chapter 10 over Postgres' own catalog, and what is evaluated gives what
//! PostgreSQL gives under `TimeZone=UTC`, to the byte. What can't be promised is refused when it is built, not when it is evaluated.

mod analyze;
mod build;
mod cast;
mod catalog;
mod eval;
mod func;
mod function;
mod ir;
mod operator;
mod resolve;
mod typed;

pub use build::{
    all_array, and, any_array, array, at_time_zone, between, case, coalesce, collate, field,
    greatest, in_list, is_distinct, is_not_distinct, is_not_null, is_null, is_truth, least, like,
    not, nullif, or, row, simple_case, subscript, unify,
};
pub use cast::cast;
pub use func::{
    Arithmetic, ArrayFunction, CaseChange, Comparison, DatetimeFunction, Func, JsonFunction, Math,
    Number, RankOver, Ranking, RegexFunction, ShowFunction, TextFunction,
};
pub use function::resolve_function;
pub use ir::{ColumnRef, Context, Expr, OccId, SubqueryId};
pub use operator::{as_equality, resolve_operator};
pub use typed::{CaseMapping, Collation, Derivation, Refused, Typed};

/// An error that evaluating an expression raised: Postgres' SQLSTATE and message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// Five characters, such as `22012`.
    pub sqlstate: &'static str,
    /// Postgres' own text, such as `division by zero`.
    pub message: String,
}

impl From<readside_pgtype::ValueError> for EvalError {
    fn from(e: readside_pgtype::ValueError) -> EvalError {
        EvalError {
            sqlstate: e.sqlstate,
            message: e.message,
        }
    }
}

/// Where a cast stands, which decides what casts are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    /// In an expression.
    Implicit,
    /// To a column.
    Assignment,
    /// `CAST` or `::`.
    Explicit,
}

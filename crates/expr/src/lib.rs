//! Typed expressions: resolution as Postgres does it, and evaluation.

mod analyze;
mod build;
mod input;
mod ir;
mod typed;

pub use build::*;
pub use ir::{ColumnRef, Context, Expr, OccId, SubqueryId};
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

/// Where a cast stands: which casts are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    /// In an expression.
    Implicit,
    /// To a column.
    Assignment,
    /// `CAST` or `::`.
    Explicit,
}

/// One implementation of a function, operator or cast for fixed argument types.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Func {
    /// Placeholder.
    Identity,
}

impl Expr {
    /// The value of this expression.
    ///
    /// # Errors
    /// What Postgres would raise.
    pub fn eval(&self, _context: &dyn Context) -> Result<readside_pgtype::Value, EvalError> {
        Err(EvalError {
            sqlstate: "0A000",
            message: "not built yet".to_owned(),
        })
    }
}

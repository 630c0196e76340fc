//! The typed expression tree that the compiler builds and the projection evaluates.

use readside_pgtype::{Type, Value};

use crate::{EvalError, Func};

/// An occurrence of a relation in a block of a plan: a slot of the row binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OccId(pub u16);

/// A column of an occurrence; `column` indexes the relation's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnRef {
    /// Which occurrence.
    pub occ: OccId,
    /// Which of its columns.
    pub column: u16,
}

/// A subquery of the block, evaluated by the projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubqueryId(pub u16);

/// An expression whose names, types, functions and casts have been resolved; it needs no types to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant.
    Const(Value),
    /// A column of a bound row; NULL when the occurrence is absent.
    Column(ColumnRef),
    /// Whether the occurrence's side of an outer join is there (never NULL).
    Present(OccId),
    /// A function, operator or cast, resolved to one implementation.
    Call {
        /// Which.
        func: Func,
        /// Its arguments, already coerced to its parameter types.
        args: Vec<Expr>,
    },
    /// Conjunction: false wins over NULL and over errors.
    And(Vec<Expr>),
    /// Disjunction: true wins over NULL and over errors.
    Or(Vec<Expr>),
    /// Negation.
    Not(Box<Expr>),
    /// `CASE`: the first branch whose condition is true.
    Case {
        /// Condition and result (a simple CASE has been rewritten to conditions).
        branches: Vec<(Expr, Expr)>,
        /// ELSE, NULL if there is none.
        otherwise: Box<Expr>,
    },
    /// The first argument that is not NULL; the rest is not evaluated.
    Coalesce(Vec<Expr>),
    /// `IS NULL` (a record is NULL if all its fields are).
    IsNull(Box<Expr>),
    /// `IS NOT NULL` (a record is not NULL if none of its fields is).
    IsNotNull(Box<Expr>),
    /// `ARRAY[…]`
    Array {
        /// The elements.
        elements: Vec<Expr>,
        /// The element type.
        element: Type,
    },
    /// `ROW(…)`, or a whole-row reference that is not absent.
    Record(Vec<Expr>),
    /// The value of a subquery: scalar, array, or boolean (EXISTS, IN).
    Subquery(SubqueryId),
}

/// Where an expression finds the values that are not in itself.
pub trait Context {
    /// The value of a column; NULL for an absent occurrence.
    ///
    /// # Errors
    /// The error that this column's own expression raised.
    fn column(&self, column: ColumnRef) -> Result<Value, EvalError>;

    /// Whether the occurrence is bound to a row.
    fn present(&self, occ: OccId) -> bool;

    /// The value of a subquery under the current binding.
    ///
    /// # Errors
    /// What evaluating it raised, "more than one row returned by a subquery used as an expression" included.
    fn subquery(&self, id: SubqueryId) -> Result<Value, EvalError>;
}

impl Expr {
    /// Calls `f` on this expression and everything below it, parents first. Subqueries are not entered.
    pub fn walk<'a>(&'a self, f: &mut dyn FnMut(&'a Expr)) {
        f(self);
        match self {
            Expr::Const(_) | Expr::Column(_) | Expr::Present(_) | Expr::Subquery(_) => {}
            Expr::Call { args: list, .. }
            | Expr::And(list)
            | Expr::Or(list)
            | Expr::Coalesce(list)
            | Expr::Record(list)
            | Expr::Array { elements: list, .. } => list.iter().for_each(|e| e.walk(f)),
            Expr::Not(e) | Expr::IsNull(e) | Expr::IsNotNull(e) => e.walk(f),
            Expr::Case {
                branches,
                otherwise,
            } => {
                for (condition, result) in branches {
                    condition.walk(f);
                    result.walk(f);
                }
                otherwise.walk(f);
            }
        }
    }

    /// The same expression with every leaf (column, presence, subquery) replaced by what `f` gives, or kept where it gives `None`.
    #[must_use]
    pub fn map_leaves(&self, f: &mut dyn FnMut(&Expr) -> Option<Expr>) -> Expr {
        let mut list = |l: &[Expr]| l.iter().map(|e| e.map_leaves(f)).collect::<Vec<_>>();
        match self {
            Expr::Column(_) | Expr::Present(_) | Expr::Subquery(_) => {
                f(self).unwrap_or_else(|| self.clone())
            }
            Expr::Const(_) => self.clone(),
            Expr::Call { func, args } => Expr::Call {
                func: func.clone(),
                args: list(args),
            },
            Expr::And(l) => Expr::And(list(l)),
            Expr::Or(l) => Expr::Or(list(l)),
            Expr::Coalesce(l) => Expr::Coalesce(list(l)),
            Expr::Record(l) => Expr::Record(list(l)),
            Expr::Array { elements, element } => Expr::Array {
                elements: list(elements),
                element: element.clone(),
            },
            Expr::Not(e) => Expr::Not(Box::new(e.map_leaves(f))),
            Expr::IsNull(e) => Expr::IsNull(Box::new(e.map_leaves(f))),
            Expr::IsNotNull(e) => Expr::IsNotNull(Box::new(e.map_leaves(f))),
            Expr::Case {
                branches,
                otherwise,
            } => Expr::Case {
                branches: branches
                    .iter()
                    .map(|(c, r)| (c.map_leaves(f), r.map_leaves(f)))
                    .collect(),
                otherwise: Box::new(otherwise.map_leaves(f)),
            },
        }
    }
}

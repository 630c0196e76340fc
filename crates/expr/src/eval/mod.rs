//! Evaluation: an expression under a binding, a function on values.
//!
//! In: an [`Expr`], a [`Context`]. Out: the value that Postgres gives, or the error that it raises.
//!
//! Always: pure; arguments left to right; CASE, COALESCE, AND and OR evaluate no more than they need.

mod array;
mod case;
mod cast;
mod datetime;
mod json;
mod like;
mod md5;
mod number;
pub(crate) mod regex;
mod show;
mod text;
pub(crate) mod to_char;
mod to_char_number;

use std::cmp::Ordering;
use std::sync::Arc;

use readside_pgtype::{Array, Numeric, Type, Value, compare_typed};
use smallvec::SmallVec;

use crate::{Comparison, Context, EvalError, Expr, Func};

/// The result of evaluating.
pub(crate) type Result<T = Value> = std::result::Result<T, EvalError>;

impl Expr {
    /// The value of this expression.
    ///
    /// # Errors
    /// What Postgres would raise.
    pub fn eval(&self, context: &dyn Context) -> Result {
        match self {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Column(column) => context.column(*column),
            Expr::Present(occ) => Ok(Value::Bool(context.present(*occ))),
            Expr::Subquery(id) => context.subquery(*id),
            Expr::Call { func, args } => {
                let mut values: SmallVec<[Value; 4]> = SmallVec::with_capacity(args.len());
                for arg in args {
                    values.push(arg.eval(context)?);
                }
                apply(func, &values)
            }
            Expr::And(list) => junction(list, context, false),
            Expr::Or(list) => junction(list, context, true),
            Expr::Not(e) => Ok(match e.eval(context)? {
                Value::Bool(b) => Value::Bool(!b),
                _ => Value::Null,
            }),
            Expr::Case {
                branches,
                otherwise,
            } => {
                for (condition, result) in branches {
                    if condition.eval(context)? == Value::Bool(true) {
                        return result.eval(context);
                    }
                }
                otherwise.eval(context)
            }
            Expr::Coalesce(list) => {
                for e in list {
                    let value = e.eval(context)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Expr::IsNull(e) => Ok(Value::Bool(match e.eval(context)? {
                Value::Record(fields) => fields.iter().all(Value::is_null),
                value => value.is_null(),
            })),
            Expr::IsNotNull(e) => Ok(Value::Bool(match e.eval(context)? {
                Value::Record(fields) => fields.iter().all(|f| !f.is_null()),
                value => !value.is_null(),
            })),
            Expr::Array { elements, .. } => {
                let values = elements
                    .iter()
                    .map(|e| e.eval(context))
                    .collect::<Result<Vec<_>>>()?;
                Ok(Value::Array(Arc::new(Array::one_dimensional(values))))
            }
            Expr::Record(fields) => {
                let values = fields
                    .iter()
                    .map(|e| e.eval(context))
                    .collect::<Result<Vec<_>>>()?;
                Ok(Value::Record(values.into()))
            }
        }
    }
}

/// AND (`decisive` false) and OR (`decisive` true): the decisive value wins over errors, errors over NULL.
fn junction(list: &[Expr], context: &dyn Context, decisive: bool) -> Result {
    let mut error = None;
    let mut unknown = false;
    for e in list {
        match e.eval(context) {
            Ok(Value::Bool(b)) if b == decisive => return Ok(Value::Bool(decisive)),
            Ok(Value::Bool(_)) => {}
            Ok(_) => unknown = true,
            Err(e) => {
                error.get_or_insert(e);
            }
        }
    }
    match error {
        Some(e) => Err(e),
        None if unknown => Ok(Value::Null),
        None => Ok(Value::Bool(!decisive)),
    }
}

/// A function on values.
pub(crate) fn apply(func: &Func, args: &[Value]) -> Result {
    if func.is_strict() && args.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    match func {
        Func::Compare { op, ty } => match args {
            [a, b] => Ok(Value::Bool(compare(*op, a, b, ty))),
            _ => Err(mistyped("comparison")),
        },
        Func::Distinct { ty } => match args {
            [a, b] => Ok(Value::Bool(match (a.is_null(), b.is_null()) {
                (false, false) => !compare(Comparison::Equal, a, b, ty),
                (a, b) => a != b,
            })),
            _ => Err(mistyped("IS DISTINCT FROM")),
        },
        Func::Quantified { op, all } => quantified(op, *all, args),
        Func::Truth { truth, negated } => {
            let value = match args.first() {
                Some(Value::Bool(b)) => Some(*b),
                _ => None,
            };
            Ok(Value::Bool((value == *truth) != *negated))
        }
        Func::Arithmetic { op, ty } => number::arithmetic(*op, *ty, args),
        Func::Math { function, ty } => number::math(*function, *ty, args),
        Func::Cast {
            from,
            to,
            typmod,
            explicit,
        } => match args {
            [value] => cast::cast(value, from, to, *typmod, *explicit),
            _ => Err(mistyped("cast")),
        },
        Func::Case { to, mapping } => Ok(Value::text(case::change(text(args, 0)?, *to, *mapping))),
        Func::Like { insensitive } => like::like(args, *insensitive),
        Func::Regex { function } => regex::apply(*function, args),
        Func::Text(function) => text::apply(*function, args),
        Func::Show { function, types } => show::apply(*function, types, args),
        Func::Datetime(function) => datetime::apply(*function, args),
        Func::Json { function, types } => json::apply(*function, types, args),
        Func::Array { function, element } => array::apply(*function, element, args),
        Func::Subscript => array::subscript(args),
        Func::Field(at) => match args {
            [Value::Record(fields)] => Ok(fields.get(*at).cloned().unwrap_or(Value::Null)),
            _ => Err(mistyped("record field")),
        },
        Func::Rank(_) => Err(mistyped("window function")),
        Func::Extreme { greatest, ty } => {
            let wanted = if *greatest {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            let mut found: Option<&Value> = None;
            for value in args.iter().filter(|v| !v.is_null()) {
                if found.is_none_or(|f| compare_typed(value, f, ty) == wanted) {
                    found = Some(value);
                }
            }
            Ok(found.cloned().unwrap_or(Value::Null))
        }
    }
}

/// A comparison of two values that aren't NULL.
pub(crate) fn compare(op: Comparison, a: &Value, b: &Value, ty: &Type) -> bool {
    let order = compare_typed(a, b, ty);
    match op {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    }
}

/// ANY and ALL over an array.
fn quantified(op: &Func, all: bool, args: &[Value]) -> Result {
    let [left, array] = args else {
        return Err(mistyped("ANY"));
    };
    let Value::Array(array) = array else {
        return Ok(Value::Null);
    };
    if array.elements.is_empty() {
        return Ok(Value::Bool(all));
    }
    if left.is_null() && op.is_strict() {
        return Ok(Value::Null);
    }
    let mut unknown = false;
    for element in &array.elements {
        match apply(op, &[left.clone(), element.clone()])? {
            Value::Bool(b) if b != all => return Ok(Value::Bool(b)),
            Value::Bool(_) => {}
            _ => unknown = true,
        }
    }
    Ok(if unknown {
        Value::Null
    } else {
        Value::Bool(all)
    })
}

/// An argument of a type that resolution rules out.
pub(crate) fn mistyped(what: &str) -> EvalError {
    EvalError {
        sqlstate: "XX000",
        message: format!("{what}: a value is not of the type that it was resolved for"),
    }
}

/// An error by SQLSTATE and message.
pub(crate) fn error(sqlstate: &'static str, message: impl Into<String>) -> EvalError {
    EvalError {
        sqlstate,
        message: message.into(),
    }
}

/// The text of an argument.
pub(crate) fn text(args: &[Value], at: usize) -> Result<&str> {
    match args.get(at) {
        Some(Value::Text(s) | Value::Json(s) | Value::Jsonb(s)) => Ok(s),
        _ => Err(mistyped("text")),
    }
}

/// The integer of an argument.
pub(crate) fn int(args: &[Value], at: usize) -> Result<i64> {
    match args.get(at) {
        Some(Value::Int(n)) => Ok(*n),
        _ => Err(mistyped("integer")),
    }
}

/// The float of an argument, either width.
pub(crate) fn float(args: &[Value], at: usize) -> Result<f64> {
    match args.get(at) {
        Some(Value::Float8(x)) => Ok(*x),
        Some(Value::Float4(x)) => Ok(f64::from(*x)),
        _ => Err(mistyped("double precision")),
    }
}

/// The numeric of an argument.
pub(crate) fn numeric(args: &[Value], at: usize) -> Result<&Numeric> {
    match args.get(at) {
        Some(Value::Numeric(n)) => Ok(n),
        _ => Err(mistyped("numeric")),
    }
}

/// The array of an argument.
pub(crate) fn array_arg(args: &[Value], at: usize) -> Result<&Array> {
    match args.get(at) {
        Some(Value::Array(a)) => Ok(a),
        _ => Err(mistyped("array")),
    }
}

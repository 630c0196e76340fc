//! Operators: resolved by name and operand types, comparisons with the type that they compare in.

use readside_pgtype::{Type, Value};

use crate::cast::coerce;
use crate::catalog::{catalog, is_collatable, type_name};
use crate::function::call;
use crate::resolve::{operator, operator_refused};
use crate::{CastContext, Collation, Comparison, Derivation, Expr, Func, Refused, Typed, and, or};

/// An operator applied to one or two operands.
///
/// # Errors
/// No such operator for these types, an ambiguous one, one that isn't built, or a text order that isn't known.
pub fn resolve_operator(op: &str, left: Option<Typed>, right: Typed) -> Result<Typed, Refused> {
    let op = if op == "!=" { "<>" } else { op };
    let comparison = Comparison::of(op);
    let args = match left {
        None => vec![right],
        Some(left) => match (comparison, &left.expr, &right.expr) {
            (Some(c), Expr::Record(a), Expr::Record(b)) => {
                if a.len() != b.len() {
                    return Err(Refused::new("unequal number of entries in row expressions"));
                }
                return compare_rows(c, &left, &right);
            }
            _ => vec![left, right],
        },
    };
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let resolved = operator(catalog().operators(op), &types)
        .map_err(|failure| operator_refused(op, &types, &failure))?;
    if let Some(comparison) = comparison {
        let mut args = args.into_iter().zip(resolved.params);
        if let (Some((left, l)), Some((right, r))) = (args.next(), args.next()) {
            let left = coerce_operand(left, l)?;
            let right = coerce_operand(right, r)?;
            return compare(comparison, left, right);
        }
        return Err(Refused::new(format!("operator does not exist: {op}")));
    }
    call(op, resolved, args)
}

fn coerce_operand(arg: Typed, param: Option<Type>) -> Result<Typed, Refused> {
    match param {
        Some(param) => coerce(arg, &param, -1, CastContext::Implicit),
        None => Ok(arg),
    }
}

/// The type in which two operands of a resolved comparison are compared.
fn operand_type(left: &Type, right: &Type) -> Option<Type> {
    use Type::{Date, Float4, Float8, Int2, Int4, Int8, Name, Text, Timestamp, TimestampTz};
    let (left, right) = (left.base(), right.base());
    Some(match (left, right) {
        (Type::Other(_) | Type::Json | Type::Unknown, _) => return None,
        (a, b) if a == b => a.clone(),
        (Int2 | Int4 | Int8, Int2 | Int4 | Int8) => Int8,
        (Float4 | Float8, Float4 | Float8) => Float8,
        (Text | Name, Text | Name) => Text,
        (TimestampTz, Date | Timestamp) | (Date | Timestamp, TimestampTz) => TimestampTz,
        (Timestamp, Date) | (Date, Timestamp) => Timestamp,
        (Type::Record(a), Type::Record(b)) => {
            if a.fields.len() != b.fields.len() {
                return None;
            }
            for ((_, x), (_, y)) in a.fields.iter().zip(&b.fields) {
                if x.base() != y.base() {
                    return None;
                }
            }
            left.clone()
        }
        _ => return None,
    })
}

/// Refuses a comparison whose collation isn't known well enough.
pub(crate) fn check_collation(
    what: &str,
    ty: &Type,
    collation: &Collation,
    ordering: bool,
) -> Result<(), Refused> {
    if *ty.base() == Type::Jsonb && ordering {
        return Err(Refused::with_hint(
            format!(
                "{what} on the order of `jsonb` is not supported: that of strings depends on the database's collation"
            ),
            "compare the piece of it that matters, as a number or as text with `COLLATE \"C\"`",
        ));
    }
    if !is_collatable(ty) || *ty.base() == Type::Name {
        return Ok(());
    }
    if collation.derivation == Derivation::Conflict {
        return Err(Refused::with_hint(
            format!("{what} could not determine which collation to use"),
            "add `COLLATE \"C\"` to one side",
        ));
    }
    if !collation.deterministic {
        return Err(Refused::with_hint(
            format!(
                "{what} uses the nondeterministic collation `{}`",
                collation.name
            ),
            "add `COLLATE \"C\"`",
        ));
    }
    if ordering && !collation.bytewise {
        return Err(Refused::with_hint(
            format!(
                "{what} orders text by the collation `{}`, whose order isn't known here",
                collation.name
            ),
            "add `COLLATE \"C\"` to the text",
        ));
    }
    Ok(())
}

/// A comparison of two operands that have been coerced to their operator's types.
pub(crate) fn compare(op: Comparison, left: Typed, right: Typed) -> Result<Typed, Refused> {
    let Some(ty) = operand_type(&left.ty, &right.ty) else {
        return Err(Refused::new(format!(
            "comparing `{}` with `{}` is not supported",
            type_name(&left.ty),
            type_name(&right.ty)
        )));
    };
    let collation = Collation::merge([&left.collation, &right.collation])?;
    check_collation("the comparison", &ty, &collation, op.is_ordering())?;
    let widen = |t: Typed| match (&ty, t.ty.base()) {
        (Type::Float8, Type::Float4)
        | (Type::Timestamp | Type::TimestampTz, Type::Date)
        | (Type::TimestampTz, Type::Timestamp) => coerce(t, &ty, -1, CastContext::Implicit),
        _ => Ok(t),
    };
    let (left, right) = (widen(left)?, widen(right)?);
    let not_null = left.not_null && right.not_null && !matches!(ty, Type::Record(_));
    Ok(Typed {
        not_null,
        ..Typed::new(
            Expr::Call {
                func: Func::Compare { op, ty },
                args: vec![left.expr, right.expr],
            },
            Type::Bool,
        )
    })
}

/// The fields of `ROW(…)` one by one, each as its own expression.
fn fields(row: &Typed) -> Vec<Typed> {
    match (&row.expr, &row.ty) {
        (Expr::Record(exprs), Type::Record(record)) => exprs
            .iter()
            .zip(&record.fields)
            .map(|(e, (_, ty))| Typed {
                collation: row.collation.clone(),
                not_null: matches!(e, Expr::Const(v) if !v.is_null()),
                ..Typed::new(e.clone(), ty.clone())
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// `ROW(a, b) op ROW(c, d)`: the first pair that is unequal or NULL decides.
fn compare_rows(op: Comparison, left: &Typed, right: &Typed) -> Result<Typed, Refused> {
    let pairs: Vec<(Typed, Typed)> = fields(left).into_iter().zip(fields(right)).collect();
    let each = |name: &str| {
        pairs
            .iter()
            .map(|(l, r)| resolve_operator(name, Some(l.clone()), r.clone()))
            .collect::<Result<Vec<_>, _>>()
    };
    let (strict, last) = match op {
        Comparison::Equal => return and(each("=")?),
        Comparison::NotEqual => return or(each("<>")?),
        Comparison::Less => ("<", "<"),
        Comparison::LessOrEqual => ("<", "<="),
        Comparison::Greater => (">", ">"),
        Comparison::GreaterOrEqual => (">", ">="),
    };
    let (equal, before, at_last) = (each("=")?, each(strict)?, each(last)?);
    let mut result: Option<Typed> = None;
    for ((equal, before), at_last) in equal.into_iter().zip(before).zip(at_last).rev() {
        result = Some(match result {
            None => at_last,
            Some(rest) => or(vec![before, and(vec![equal, rest])?])?,
        });
    }
    result.ok_or_else(|| Refused::new("cannot compare rows of zero length"))
}

/// The two sides of an equality, coerced to the type it compares in; `None` for anything else.
///
/// Integers of different widths are left as they are, with [`Type::Int8`] as their type: their values and keys are the same.
#[must_use]
pub fn as_equality(expr: &Expr) -> Option<(&Expr, &Expr, Type)> {
    match expr {
        Expr::Call {
            func:
                Func::Compare {
                    op: Comparison::Equal,
                    ty,
                },
            args,
        } => match &args[..] {
            [left, right] => Some((left, right, ty.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression is the literal NULL.
pub(crate) fn is_null_literal(arg: &Typed) -> bool {
    arg.ty == Type::Unknown && matches!(arg.expr, Expr::Const(Value::Null))
}

//! Casts: which exist in which context, and what each becomes.
//!
//! Always: literals are read at once, so that a malformed one is refused with the view and not when a row comes by.

use std::sync::Arc;

use readside_pgtype::{Type, Value, parse_input};

use crate::catalog::{catalog, is_collatable, type_name};
use crate::resolve::can_coerce;
use crate::{CastContext, Collation, Expr, Func, Refused, Typed, eval};

/// A cast to a type and modifier (-1 for none).
///
/// # Errors
/// No such cast in this context, a literal that is malformed, or a target whose rules aren't known (domains with constraints, types
/// that are only carried).
pub fn cast(arg: Typed, to: &Type, typmod: i32, context: CastContext) -> Result<Typed, Refused> {
    coerce(arg, to, typmod, context)
}

fn cannot(from: &Type, to: &Type) -> Refused {
    Refused::new(format!(
        "cannot cast type {} to {}",
        type_name(from),
        type_name(to)
    ))
}

/// As [`cast`], for this crate.
pub(crate) fn coerce(
    arg: Typed,
    to: &Type,
    typmod: i32,
    context: CastContext,
) -> Result<Typed, Refused> {
    if arg.ty == *to {
        return apply_typmod(arg, typmod, context);
    }
    if let Type::Domain(_) = to {
        return Err(Refused::with_hint(
            format!(
                "a cast to the domain `{}` would check constraints that aren't followed here",
                type_name(to)
            ),
            format!("cast to its base type, `{}`", type_name(to.base())),
        ));
    }
    if arg.ty == Type::Unknown {
        return literal(arg, to, typmod, context);
    }
    if let (Type::Record(_), Type::Record(target)) = (arg.ty.base(), to) {
        if target.fields.is_empty() {
            return Ok(arg);
        }
        return record(arg, to, context);
    }
    if !can_coerce(&arg.ty, to, context) {
        return Err(cannot(&arg.ty, to));
    }
    let from = arg.ty.base().clone();
    if matches!(from, Type::Other(_)) && !matches!(to, Type::Text | Type::Varchar)
        || matches!(to, Type::Other(_))
    {
        return Err(Refused::with_hint(
            format!(
                "casting {} to {} is not supported",
                type_name(&from),
                type_name(to)
            ),
            "such values can only be shown, or cast to `text`",
        ));
    }
    let collation = match (is_collatable(&arg.ty), is_collatable(to)) {
        (true, true) => arg.collation.clone(),
        _ => Collation::none(),
    };
    if from == *to || is_relabel(&from, to) {
        let relabelled = Typed {
            ty: to.clone(),
            collation,
            typmod: -1,
            ..arg
        };
        return apply_typmod(relabelled, typmod, context);
    }
    let func = Func::Cast {
        from,
        to: to.clone(),
        typmod,
        explicit: context == CastContext::Explicit,
    };
    let not_null = arg.not_null && func.keeps_not_null();
    Ok(Typed {
        expr: fold(func, arg.expr),
        ty: to.clone(),
        typmod,
        collation,
        not_null,
    })
}

/// Types whose values are the same.
fn is_relabel(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Text | Type::Varchar, Type::Text | Type::Varchar) | (Type::Name, Type::Text) => true,
        (Type::Array(a), Type::Array(b)) => a == b || is_relabel(a.base(), b.base()),
        _ => false,
    }
}

/// A cast of a constant is done at once where it succeeds.
fn fold(func: Func, arg: Expr) -> Expr {
    if let Expr::Const(value) = &arg
        && let Ok(value) = eval::apply(&func, std::slice::from_ref(value))
    {
        return Expr::Const(value);
    }
    Expr::Call {
        func,
        args: vec![arg],
    }
}

/// Applies a modifier to a value that already has the type.
fn apply_typmod(arg: Typed, typmod: i32, context: CastContext) -> Result<Typed, Refused> {
    if typmod < 0 || typmod == arg.typmod {
        return Ok(arg);
    }
    let base = arg.ty.base().clone();
    let func = Func::Cast {
        from: base.clone(),
        to: base,
        typmod,
        explicit: context == CastContext::Explicit,
    };
    Ok(Typed {
        expr: fold(func, arg.expr),
        typmod,
        ..arg
    })
}

/// An untyped literal becomes a value of the type.
fn literal(arg: Typed, to: &Type, typmod: i32, context: CastContext) -> Result<Typed, Refused> {
    let value = match &arg.expr {
        Expr::Const(Value::Null) => Value::Null,
        Expr::Const(Value::Text(text)) => {
            if matches!(to, Type::Record(r) if r.fields.is_empty() || r.oid == crate::catalog::oid::RECORD)
            {
                return Err(Refused::new(
                    "input of anonymous composite types is not implemented",
                ));
            }
            let read_typmod = if *to == Type::Interval { typmod } else { -1 };
            if let Some(name) = uncomputed(to) {
                return Err(Refused::with_hint(
                    format!("literals of type {name} are not supported"),
                    "such values can only be shown, or cast to `text`",
                ));
            }
            parse_input(to, read_typmod, text).map_err(|e| Refused::new(e.message))?
        }
        _ => {
            // Something else without a type is text.
            return coerce(
                Typed {
                    ty: Type::Text,
                    ..arg
                },
                to,
                typmod,
                context,
            );
        }
    };
    let typed = Typed {
        expr: Expr::Const(value),
        ty: to.clone(),
        typmod: -1,
        ..arg
    };
    apply_typmod(typed, typmod, context)
}

/// The name of a type, or of its elements' type, that is only carried.
fn uncomputed(ty: &Type) -> Option<String> {
    match ty.base() {
        Type::Other(_) => Some(type_name(ty)),
        Type::Array(e) => uncomputed(e),
        _ => None,
    }
}

/// `ROW(…)::composite`: field by field.
fn record(arg: Typed, to: &Type, context: CastContext) -> Result<Typed, Refused> {
    let (Expr::Record(exprs), Type::Record(from), Type::Record(target)) =
        (&arg.expr, arg.ty.base(), to)
    else {
        return Err(cannot(&arg.ty, to));
    };
    if exprs.len() != target.fields.len() {
        return Err(cannot(&arg.ty, to));
    }
    let fields = exprs
        .iter()
        .zip(&from.fields)
        .zip(&target.fields)
        .map(|((expr, (_, from)), (_, to))| {
            Ok(coerce(Typed::new(expr.clone(), from.clone()), to, -1, context)?.expr)
        })
        .collect::<Result<Vec<_>, Refused>>()?;
    Ok(Typed {
        expr: Expr::Record(fields),
        ty: to.clone(),
        ..arg
    })
}

/// An array type over an element type.
pub(crate) fn array_of(element: Type) -> Type {
    Type::Array(Arc::new(element))
}

/// The error text for an argument that must be boolean.
pub(crate) fn boolean(arg: Typed, what: &str) -> Result<Typed, Refused> {
    if arg.ty == Type::Unknown || *arg.ty.base() == Type::Bool {
        let arg = if arg.ty == Type::Unknown {
            coerce(arg, &Type::Bool, -1, CastContext::Implicit)?
        } else {
            arg
        };
        return Ok(arg);
    }
    let shown = type_name(&arg.ty);
    let hint =
        (catalog().category(&arg.ty).0 == 'N').then(|| "compare it, such as `x <> 0`".to_owned());
    Err(Refused {
        message: format!("argument of {what} must be type boolean, not type {shown}"),
        hint,
    })
}

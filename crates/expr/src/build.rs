//! The forms of expressions that are neither operators nor functions: CASE, COALESCE, IN, arrays, rows, and the like.

use std::sync::Arc;

use readside_pgtype::{RecordType, Type, Value};

use crate::cast::{array_of, boolean, coerce};
use crate::catalog::{catalog, is_collatable, oid, type_name};
use crate::operator::{check_collation, compare, is_null_literal};
use crate::resolve::{can_coerce, common_type, operator, operator_refused};
use crate::{
    CastContext, Collation, Comparison, Derivation, Expr, Func, JsonFunction, Refused, Typed,
    resolve_function, resolve_operator,
};

/// The arguments coerced to their common type (manual, 10.5). `context` names the construct in messages: `CASE`, `UNION`, …
///
/// # Errors
/// Types that have nothing in common.
pub fn unify(args: Vec<Typed>, context: &str) -> Result<(Vec<Typed>, Type), Refused> {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let common = common_type(&types).map_err(|(a, b)| {
        Refused::with_hint(
            format!(
                "{context} types {} and {} cannot be matched",
                type_name(&a),
                type_name(&b)
            ),
            "add explicit type casts",
        )
    })?;
    let common = match common {
        Type::Unknown => Type::Text,
        t => t,
    };
    let args = args
        .into_iter()
        .map(|a| {
            if can_coerce(&a.ty, &common, CastContext::Implicit) {
                return coerce(a, &common, -1, CastContext::Implicit);
            }
            let context = if context == "CASE" {
                "CASE/WHEN"
            } else {
                context
            };
            Err(Refused::with_hint(
                format!(
                    "{context} could not convert type {} to {}",
                    type_name(&a.ty),
                    type_name(&common)
                ),
                "add explicit type casts",
            ))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok((args, common))
}

/// What the result of several arguments of one type has in common.
fn joined(expr: Expr, ty: Type, args: &[&Typed], not_null: bool) -> Result<Typed, Refused> {
    let typmod = match args.first() {
        Some(first) if args.iter().all(|a| a.typmod == first.typmod) => first.typmod,
        _ => -1,
    };
    Ok(Typed {
        expr,
        typmod,
        collation: Collation::merge(args.iter().map(|a| &a.collation))?,
        ty,
        not_null,
    })
}

/// `CASE WHEN … THEN … ELSE … END`
///
/// # Errors
/// Conditions that aren't boolean, results without a common type.
pub fn case(branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>) -> Result<Typed, Refused> {
    let (conditions, mut results): (Vec<_>, Vec<_>) = branches.into_iter().unzip();
    let conditions = conditions
        .into_iter()
        .map(|c| boolean(c, "CASE/WHEN"))
        .collect::<Result<Vec<_>, _>>()?;
    // ELSE comes first where types are chosen.
    results.insert(0, otherwise.unwrap_or_else(Typed::null));
    let (results, ty) = unify(results, "CASE")?;
    let not_null = results.iter().all(|r| r.not_null);
    let all: Vec<&Typed> = results.iter().collect();
    let frame = joined(Expr::Const(Value::Null), ty, &all, not_null)?;
    let mut results = results.into_iter();
    let otherwise = results.next().map_or(Expr::Const(Value::Null), |r| r.expr);
    Ok(Typed {
        expr: Expr::Case {
            branches: conditions
                .into_iter()
                .zip(results)
                .map(|(c, r)| (c.expr, r.expr))
                .collect(),
            otherwise: Box::new(otherwise),
        },
        ..frame
    })
}

/// `CASE operand WHEN … THEN … END`
///
/// # Errors
/// As [`case`], and operands without an equality.
pub fn simple_case(
    operand: Typed,
    branches: Vec<(Typed, Typed)>,
    otherwise: Option<Typed>,
) -> Result<Typed, Refused> {
    let operand = operand.or_text();
    let branches = branches
        .into_iter()
        .map(|(value, result)| Ok((resolve_operator("=", Some(operand.clone()), value)?, result)))
        .collect::<Result<Vec<_>, Refused>>()?;
    case(branches, otherwise)
}

/// `COALESCE(…)`
///
/// # Errors
/// Arguments without a common type.
pub fn coalesce(args: Vec<Typed>) -> Result<Typed, Refused> {
    let (args, ty) = unify(args, "COALESCE")?;
    let not_null = args.iter().any(|a| a.not_null);
    let all: Vec<&Typed> = args.iter().collect();
    let frame = joined(Expr::Const(Value::Null), ty, &all, not_null)?;
    Ok(Typed {
        expr: Expr::Coalesce(args.into_iter().map(|a| a.expr).collect()),
        ..frame
    })
}

/// `NULLIF(left, right)`
///
/// # Errors
/// Operands without an equality.
pub fn nullif(left: Typed, right: Typed) -> Result<Typed, Refused> {
    let equal = resolve_operator("=", Some(left.clone()), right)?;
    // The first operand as the operator takes it, before it is widened for comparing.
    let as_taken = match (&equal.expr, left.ty.base()) {
        (
            Expr::Call {
                func: Func::Compare { ty, .. },
                args,
            },
            own,
        ) if !same_family(own, ty) => args.first().map(|first| (first.clone(), ty.clone())),
        (_, Type::Varchar) => Some((left.expr.clone(), Type::Text)),
        _ => None,
    };
    let (expr, ty) = as_taken.unwrap_or_else(|| (left.expr.clone(), left.ty.base().clone()));
    let typmod = if ty == left.ty { left.typmod } else { -1 };
    Ok(Typed {
        expr: Expr::Case {
            branches: vec![(equal.expr, Expr::Const(Value::Null))],
            otherwise: Box::new(expr),
        },
        ty,
        typmod,
        collation: left.collation,
        not_null: false,
    })
}

/// Whether operands of a type go into a comparison of another as they are.
fn same_family(own: &Type, compared: &Type) -> bool {
    use Type::{
        Date, Float4, Float8, Int2, Int4, Int8, Name, Text, Timestamp, TimestampTz, Varchar,
    };
    own == compared
        || matches!(
            (own, compared),
            (Int2 | Int4 | Int8, Int8)
                | (Float4, Float8)
                | (Date, Timestamp | TimestampTz)
                | (Timestamp, TimestampTz)
                | (Name | Text | Varchar, Text)
        )
}

fn extreme(args: Vec<Typed>, greatest: bool) -> Result<Typed, Refused> {
    let name = if greatest { "GREATEST" } else { "LEAST" };
    let (args, ty) = unify(args, name)?;
    if matches!(ty.base(), Type::Json | Type::Other(_)) {
        return Err(Refused::new(format!(
            "could not identify a comparison function for type {}",
            type_name(&ty)
        )));
    }
    let not_null = args.iter().any(|a| a.not_null);
    let all: Vec<&Typed> = args.iter().collect();
    let frame = joined(Expr::Const(Value::Null), ty.clone(), &all, not_null)?;
    check_collation(&format!("`{name}`"), &ty, &frame.collation, true)?;
    Ok(Typed {
        expr: Expr::Call {
            func: Func::Extreme { greatest, ty },
            args: args.into_iter().map(|a| a.expr).collect(),
        },
        ..frame
    })
}

/// `GREATEST(…)`
///
/// # Errors
/// Arguments without a common type or without a known order.
pub fn greatest(args: Vec<Typed>) -> Result<Typed, Refused> {
    extreme(args, true)
}

/// `LEAST(…)`
///
/// # Errors
/// As [`greatest`].
pub fn least(args: Vec<Typed>) -> Result<Typed, Refused> {
    extreme(args, false)
}

/// `ARRAY[…]`
///
/// # Errors
/// Elements without a common type; nested arrays; an empty list (cast it: `'{}'::int[]`).
pub fn array(elements: Vec<Typed>) -> Result<Typed, Refused> {
    if elements.is_empty() {
        return Err(Refused::with_hint(
            "cannot determine type of empty array",
            "write it as `'{}'::integer[]`",
        ));
    }
    let (elements, element) = unify(elements, "ARRAY")?;
    if matches!(element.base(), Type::Array(_)) {
        return Err(Refused::with_hint(
            "arrays of arrays are not supported here",
            "use `jsonb_build_array`",
        ));
    }
    let all: Vec<&Typed> = elements.iter().collect();
    let frame = joined(
        Expr::Const(Value::Null),
        array_of(element.clone()),
        &all,
        true,
    )?;
    Ok(Typed {
        expr: Expr::Array {
            elements: elements.into_iter().map(|e| e.expr).collect(),
            element,
        },
        ..frame
    })
}

/// `ROW(…)`: fields `f1`, `f2`, ….
///
/// # Errors
/// Conflicting explicit collations.
pub fn row(fields: Vec<Typed>) -> Result<Typed, Refused> {
    let names = fields
        .iter()
        .enumerate()
        .map(|(i, f)| (Arc::from(format!("f{}", i + 1)), f.ty.clone()))
        .collect();
    let collation = Collation::merge(fields.iter().map(|f| &f.collation))?;
    Ok(Typed {
        expr: Expr::Record(fields.into_iter().map(|f| f.expr).collect()),
        ty: Type::Record(Arc::new(RecordType {
            oid: oid::RECORD,
            fields: names,
        })),
        typmod: -1,
        collation,
        not_null: false,
    })
}

/// `(record).name`
///
/// # Errors
/// No such field.
pub fn field(record: Typed, name: &str) -> Result<Typed, Refused> {
    let Type::Record(ty) = record.ty.base().clone() else {
        return Err(Refused::new(format!(
            "column notation .{name} applied to type {}, which is not a composite type",
            type_name(&record.ty)
        )));
    };
    let Some((at, (_, field))) = ty
        .fields
        .iter()
        .enumerate()
        .find(|(_, (n, _))| **n == *name)
    else {
        return Err(Refused::new(format!(
            "column \"{name}\" not found in data type {}",
            type_name(&record.ty)
        )));
    };
    let collation = if is_collatable(field) {
        record.collation
    } else {
        Collation::none()
    };
    Ok(Typed {
        collation,
        ..Typed::new(
            Expr::Call {
                func: Func::Field(at),
                args: vec![record.expr],
            },
            field.clone(),
        )
    })
}

/// `left [NOT] IN (…)` over a list of expressions.
///
/// # Errors
/// Operands without an equality.
pub fn in_list(left: Typed, list: Vec<Typed>, negated: bool) -> Result<Typed, Refused> {
    let mut types = vec![left.ty.clone()];
    types.extend(list.iter().map(|e| e.ty.clone()));
    let is_row = matches!(left.expr, Expr::Record(_));
    let list = match common_type(&types) {
        Ok(common) if !is_row && common != Type::Unknown => list
            .into_iter()
            .map(|e| coerce(e, &common, -1, CastContext::Implicit))
            .collect::<Result<Vec<_>, _>>()?,
        _ => list,
    };
    let op = if negated { "<>" } else { "=" };
    let tests = list
        .into_iter()
        .map(|e| resolve_operator(op, Some(left.clone()), e))
        .collect::<Result<Vec<_>, _>>()?;
    if negated { and(tests) } else { or(tests) }
}

fn quantified(op: &str, left: Typed, array: Typed, all: bool) -> Result<Typed, Refused> {
    let op = if op == "!=" { "<>" } else { op };
    let name = if all { "ALL" } else { "ANY" };
    let array_type = match array.ty.base() {
        Type::Unknown => Type::Unknown,
        Type::Array(e) => (**e).clone(),
        _ => {
            return Err(Refused::new(format!(
                "op {name} (array) requires array on right side, not {}",
                type_name(&array.ty)
            )));
        }
    };
    let types = [left.ty.clone(), array_type.clone()];
    let resolved = operator(catalog().operators(op), &types)
        .map_err(|failure| operator_refused(op, &types, &failure))?;
    let params = (
        resolved.params.first().cloned().flatten(),
        resolved.params.get(1).cloned().flatten(),
    );
    let (Some(l), Some(r)) = params else {
        return Err(Refused::new(format!(
            "operator {op} {name} is not supported"
        )));
    };
    // What the operator makes of the left operand and one element, which stands in as a column of its own.
    let array = coerce(array, &array_of(r.clone()), -1, CastContext::Implicit)?;
    let left = coerce(left, &l, -1, CastContext::Implicit)?;
    let element = Typed {
        collation: array.collation.clone(),
        ..Typed::new(Expr::Const(Value::Null), r.clone())
    };
    let probe = Typed {
        expr: Expr::Const(Value::Null),
        ..left.clone()
    };
    let test = match Comparison::of(op) {
        Some(c) => compare(c, probe, element)?,
        None => resolve_operator(op, Some(probe), element)?,
    };
    let (func, negate) = match test.expr {
        Expr::Call { func, .. } => (func, false),
        Expr::Not(inner) => match *inner {
            Expr::Call { func, .. } => (func, true),
            _ => {
                return Err(Refused::new(format!(
                    "operator {op} {name} is not supported"
                )));
            }
        },
        _ => {
            return Err(Refused::new(format!(
                "operator {op} {name} is not supported"
            )));
        }
    };
    // Operands of a comparison in a wider type.
    let (left, array) = match &func {
        Func::Compare { ty, .. } if !matches!(ty, Type::Int8 | Type::Text) => {
            let left = if left.ty.base() == ty {
                left
            } else {
                coerce(left, ty, -1, CastContext::Implicit)?
            };
            let wide = array_of(ty.clone());
            let array = if array.ty == wide || r.base() == ty {
                array
            } else {
                coerce(array, &wide, -1, CastContext::Implicit)?
            };
            (left, array)
        }
        _ => (left, array),
    };
    // NOT (x LIKE e) for any e is NOT (x LIKE e for all e).
    let expr = Expr::Call {
        func: Func::Quantified {
            op: Box::new(func),
            all: all != negate,
        },
        args: vec![left.expr, array.expr],
    };
    Ok(Typed::new(
        if negate {
            Expr::Not(Box::new(expr))
        } else {
            expr
        },
        Type::Bool,
    ))
}

/// `left op ANY (array)`
///
/// # Errors
/// No such operator on the element type.
pub fn any_array(op: &str, left: Typed, array: Typed) -> Result<Typed, Refused> {
    quantified(op, left, array, false)
}

/// `left op ALL (array)`
///
/// # Errors
/// As [`any_array`].
pub fn all_array(op: &str, left: Typed, array: Typed) -> Result<Typed, Refused> {
    quantified(op, left, array, true)
}

fn boolean_typed(expr: Expr) -> Typed {
    Typed {
        not_null: true,
        ..Typed::new(expr, Type::Bool)
    }
}

/// `arg IS NULL`
///
/// # Errors
/// None so far.
pub fn is_null(arg: Typed) -> Result<Typed, Refused> {
    Ok(boolean_typed(Expr::IsNull(Box::new(arg.expr))))
}

/// `arg IS NOT NULL`
///
/// # Errors
/// None so far.
pub fn is_not_null(arg: Typed) -> Result<Typed, Refused> {
    Ok(boolean_typed(Expr::IsNotNull(Box::new(arg.expr))))
}

/// `left IS DISTINCT FROM right`
///
/// # Errors
/// Operands without an equality.
pub fn is_distinct(left: Typed, right: Typed) -> Result<Typed, Refused> {
    if let (Expr::Record(a), Expr::Record(b), Type::Record(x), Type::Record(y)) =
        (&left.expr, &right.expr, &left.ty, &right.ty)
        && a.len() == b.len()
    {
        let side = |e: &Expr, t: &Type, c: &Collation| Typed {
            collation: c.clone(),
            ..Typed::new(e.clone(), t.clone())
        };
        let tests = a
            .iter()
            .zip(&x.fields)
            .zip(b.iter().zip(&y.fields))
            .map(|((l, (_, lt)), (r, (_, rt)))| {
                is_distinct(side(l, lt, &left.collation), side(r, rt, &right.collation))
            })
            .collect::<Result<Vec<_>, _>>()?;
        return or(tests);
    }
    if is_null_literal(&left) {
        return is_not_null_scalar(right);
    }
    if is_null_literal(&right) {
        return is_not_null_scalar(left);
    }
    let equal = resolve_operator("=", Some(left), right)?;
    match equal.expr {
        Expr::Call {
            func: Func::Compare { ty, .. },
            args,
        } => Ok(boolean_typed(Expr::Call {
            func: Func::Distinct { ty },
            args,
        })),
        _ => Err(Refused::new(
            "IS DISTINCT FROM requires = operator to yield boolean",
        )),
    }
}

/// Distinct from NULL: for a record that is whether it is there at all, not whether its fields are.
fn is_not_null_scalar(arg: Typed) -> Result<Typed, Refused> {
    let ty = match arg.ty.base() {
        Type::Record(_) => {
            let ty = arg.ty.base().clone();
            return Ok(boolean_typed(Expr::Call {
                func: Func::Distinct { ty },
                args: vec![arg.expr, Expr::Const(Value::Null)],
            }));
        }
        _ => arg,
    };
    is_not_null(ty)
}

/// `left IS NOT DISTINCT FROM right`
///
/// # Errors
/// As [`is_distinct`].
pub fn is_not_distinct(left: Typed, right: Typed) -> Result<Typed, Refused> {
    not(is_distinct(left, right)?)
}

/// `arg [NOT] BETWEEN [SYMMETRIC] low AND high`
///
/// # Errors
/// Operands without a known order.
pub fn between(
    arg: Typed,
    low: Typed,
    high: Typed,
    negated: bool,
    symmetric: bool,
) -> Result<Typed, Refused> {
    let one = |low: Typed, high: Typed| {
        and(vec![
            resolve_operator(">=", Some(arg.clone()), low)?,
            resolve_operator("<=", Some(arg.clone()), high)?,
        ])
    };
    let within = if symmetric {
        or(vec![one(low.clone(), high.clone())?, one(high, low)?])?
    } else {
        one(low, high)?
    };
    if negated { not(within) } else { Ok(within) }
}

/// `arg [NOT] LIKE pattern [ESCAPE escape]`, or ILIKE.
///
/// # Errors
/// Operands that aren't text, a collation that forbids it.
pub fn like(
    arg: Typed,
    pattern: Typed,
    escape: Option<Typed>,
    insensitive: bool,
    negated: bool,
) -> Result<Typed, Refused> {
    let pattern = match escape {
        Some(escape) => resolve_function("like_escape", vec![pattern, escape])?,
        None => pattern,
    };
    let op = match (insensitive, negated) {
        (false, false) => "~~",
        (false, true) => "!~~",
        (true, false) => "~~*",
        (true, true) => "!~~*",
    };
    resolve_operator(op, Some(arg), pattern)
}

/// `arg IS [NOT] TRUE`, `FALSE`, or (`None`) `UNKNOWN`.
///
/// # Errors
/// An argument that isn't boolean.
pub fn is_truth(arg: Typed, truth: Option<bool>, negated: bool) -> Result<Typed, Refused> {
    let arg = boolean(arg, "IS TRUE")?;
    Ok(boolean_typed(Expr::Call {
        func: Func::Truth { truth, negated },
        args: vec![arg.expr],
    }))
}

/// `arg AT TIME ZONE zone`
///
/// # Errors
/// An argument that isn't a time.
pub fn at_time_zone(arg: Typed, zone: Typed) -> Result<Typed, Refused> {
    resolve_function("timezone", vec![zone, arg])
}

/// `array[index]`, and `jsonb['key']`.
///
/// # Errors
/// Neither an array nor `jsonb`.
pub fn subscript(array: Typed, index: Typed) -> Result<Typed, Refused> {
    if *array.ty.base() == Type::Jsonb {
        let function = match index.ty.base() {
            Type::Int2 | Type::Int4 | Type::Int8 => JsonFunction::Element,
            _ => JsonFunction::Field,
        };
        let to = if function == JsonFunction::Element {
            Type::Int4
        } else {
            Type::Text
        };
        let index = coerce(index, &to, -1, CastContext::Assignment)?;
        let types = Arc::from(vec![Type::Jsonb, to]);
        return Ok(Typed::new(
            Expr::Call {
                func: Func::Json { function, types },
                args: vec![array.expr, index.expr],
            },
            Type::Jsonb,
        ));
    }
    let Type::Array(element) = array.ty.base().clone() else {
        return Err(Refused::new(format!(
            "cannot subscript type {} because it does not support subscripting",
            type_name(&array.ty)
        )));
    };
    let index = coerce(index, &Type::Int4, -1, CastContext::Assignment)?;
    Ok(Typed {
        typmod: array.typmod,
        collation: array.collation,
        ..Typed::new(
            Expr::Call {
                func: Func::Subscript,
                args: vec![array.expr, index.expr],
            },
            (*element).clone(),
        )
    })
}

/// `arg COLLATE …`
///
/// # Errors
/// A type without collations.
pub fn collate(arg: Typed, collation: Collation) -> Result<Typed, Refused> {
    let arg = arg.or_text();
    if !is_collatable(&arg.ty) {
        return Err(Refused::new(format!(
            "collations are not supported by type {}",
            type_name(&arg.ty)
        )));
    }
    Ok(Typed {
        collation: Collation {
            derivation: Derivation::Explicit,
            ..collation
        },
        ..arg
    })
}

fn junction(args: Vec<Typed>, what: &str, make: fn(Vec<Expr>) -> Expr) -> Result<Typed, Refused> {
    let args = args
        .into_iter()
        .map(|a| boolean(a, what))
        .collect::<Result<Vec<_>, _>>()?;
    let not_null = args.iter().all(|a| a.not_null);
    let mut exprs: Vec<Expr> = args.into_iter().map(|a| a.expr).collect();
    let expr = match (exprs.len(), exprs.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            exprs.extend(last);
            make(exprs)
        }
    };
    Ok(Typed {
        not_null,
        ..Typed::new(expr, Type::Bool)
    })
}

/// Conjunction; one argument is itself, none is true.
///
/// # Errors
/// Arguments that aren't boolean.
pub fn and(args: Vec<Typed>) -> Result<Typed, Refused> {
    junction(args, "AND", Expr::And)
}

/// Disjunction; one argument is itself, none is false.
///
/// # Errors
/// Arguments that aren't boolean.
pub fn or(args: Vec<Typed>) -> Result<Typed, Refused> {
    junction(args, "OR", Expr::Or)
}

/// Negation.
///
/// # Errors
/// An argument that isn't boolean.
pub fn not(arg: Typed) -> Result<Typed, Refused> {
    let arg = boolean(arg, "NOT")?;
    Ok(Typed {
        not_null: arg.not_null,
        ..Typed::new(Expr::Not(Box::new(arg.expr)), Type::Bool)
    })
}

/// Whether the argument is this boolean constant.
pub(crate) fn is_true_constant(arg: &Typed, expected: bool) -> bool {
    matches!(arg.expr, Expr::Const(Value::Bool(b)) if b == expected)
}

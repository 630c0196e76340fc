//! Function calls: resolved by name and argument types, and what each function inside Postgres became here.

use std::sync::Arc;

use readside_pgtype::datetime::Zone;
use readside_pgtype::{Type, Value};

use crate::build::is_true_constant;
use crate::cast::{cast, coerce};
use crate::catalog::{catalog, is_collatable, type_name};
use crate::resolve::{Failure, Resolved, can_coerce, function};
use crate::{
    Arithmetic, ArrayFunction, CaseChange, CastContext, Collation, DatetimeFunction, Expr, Func,
    JsonFunction, Math, Number, Refused, RegexFunction, ShowFunction, TextFunction, Typed,
};

/// A function call.
///
/// # Errors
/// No such function for these types, an ambiguous one, one that is volatile, or one that isn't built.
pub fn resolve_function(name: &str, args: Vec<Typed>) -> Result<Typed, Refused> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let signatures = catalog().functions(name);
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    if let [arg] = &args[..] {
        // A call that has the form of a cast is one, where no function takes the argument as it is.
        if let Some(ty) = catalog().type_by_name(name) {
            let from = catalog().oid_of(arg.ty.base());
            let exact = signatures.iter().any(|s| s.args == [from]);
            let by_function = catalog()
                .cast(from, catalog().oid_of(&ty))
                .is_some_and(|row| row.method == 'f');
            let is_cast = arg.ty == Type::Unknown
                || !by_function
                    && !matches!(arg.ty.base(), Type::Record(_))
                    && can_coerce(&arg.ty, &ty, CastContext::Explicit);
            if !exact && is_cast {
                return cast(arg.clone(), &ty, -1, CastContext::Explicit);
            }
        }
    }
    if signatures.is_empty() {
        return Err(match name {
            "unnest" | "generate_series" | "jsonb_array_elements" => returns_set(name),
            _ => Refused::with_hint(
                format!("function `{name}` is not supported"),
                "use built-in functions only; functions of the database itself can't be followed",
            ),
        });
    }
    let resolved = function(signatures, &types).map_err(|failure| {
        let shown: Vec<String> = types.iter().map(type_name).collect();
        let call = format!("{name}({})", shown.join(", "));
        match failure {
            Failure::None => Refused::with_hint(
                format!("function {call} does not exist"),
                "add explicit type casts",
            ),
            Failure::Ambiguous => Refused::with_hint(
                format!("function {call} is not unique"),
                "add explicit type casts",
            ),
            Failure::Polymorphic(message) => {
                Refused::with_hint(message, "add a cast, such as `'…'::text`")
            }
        }
    })?;
    if let ([arg], Some(ty)) = (&args[..], catalog().type_by_name(name)) {
        // `int4(x)`, `date(x)`: the functions behind casts.
        if ty == resolved.result {
            return cast(arg.clone(), &ty, -1, CastContext::Explicit);
        }
    }
    call(name, resolved, args)
}

fn returns_set(name: &str) -> Refused {
    Refused::with_hint(
        format!("`{name}` is not supported in an expression: it returns a set of rows"),
        "use it in FROM",
    )
}

/// Why a function that Postgres has is refused.
fn refused(name: &str, resolved: &Resolved, types: &[Type]) -> Refused {
    let shown: Vec<String> = types.iter().map(type_name).collect();
    let call = format!("{name}({})", shown.join(", "));
    match (name, resolved.volatility) {
        (
            "now"
            | "transaction_timestamp"
            | "statement_timestamp"
            | "clock_timestamp"
            | "timeofday",
            _,
        ) => Refused::with_hint(
            format!(
                "`{name}()` is not supported: it changes with the moment of asking, so its result can't be kept"
            ),
            "keep the time itself in the view, and compare when reading",
        ),
        ("age", _) if types.len() == 1 => Refused::with_hint(
            "`age` of one argument is not supported: it counts from today",
            "give both ends: `age(a, b)`",
        ),
        ("power" | "pow" | "exp" | "ln" | "log" | "log10" | "^" | "sqrt", _)
            if resolved.result == Type::Numeric =>
        {
            Refused::with_hint(
                format!(
                    "function {call} is not supported: its scale differs between versions of Postgres"
                ),
                "cast the arguments to double precision",
            )
        }
        (_, 'v') => Refused::with_hint(
            format!(
                "function {call} is not supported: it is volatile, each call gives another result"
            ),
            "leave it out of the view",
        ),
        (_, 's') => Refused::with_hint(
            format!(
                "function {call} is not supported: it depends on the session or on the moment, or is not built"
            ),
            "leave it out of the view",
        ),
        _ => Refused::with_hint(
            format!("function {call} is not supported"),
            "write it with other functions, or leave it to the reader",
        ),
    }
}

/// The expression for a resolved function or operator.
pub(crate) fn call(name: &str, resolved: Resolved, args: Vec<Typed>) -> Result<Typed, Refused> {
    if resolved.returns_set {
        return Err(returns_set(name));
    }
    let mut args = args
        .into_iter()
        .zip(&resolved.params)
        .map(|(arg, param)| match param {
            Some(param) => coerce(arg, param, -1, CastContext::Implicit),
            None => Ok(arg.or_text()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let collation = Collation::merge(args.iter().map(|a| &a.collation))?;
    let internal = resolved.function;
    let not_null = args.iter().all(|a| a.not_null);

    // Functions that Postgres itself writes as others.
    match internal {
        "integer_pl_date_sql"
        | "timedate_pl_sql"
        | "interval_pl_date_sql"
        | "interval_pl_time_sql"
        | "interval_pl_timestamp_sql"
        | "interval_pl_timestamptz_sql"
        | "mul_d_interval" => args.reverse(),
        "lpad_sql" | "rpad_sql" => args.push(Typed::constant(Value::text(" "), Type::Text)),
        "anytextcat_sql" | "textanycat_sql" => {
            let texts = args
                .into_iter()
                .map(|a| cast(a, &Type::Text, -1, CastContext::Explicit))
                .collect::<Result<Vec<_>, _>>()?;
            let mut texts = texts.into_iter();
            return match (texts.next(), texts.next()) {
                (Some(l), Some(r)) => crate::resolve_operator("||", Some(l), r),
                _ => Err(refused(name, &resolved, &types)),
            };
        }
        "date_part_sql" if types.get(1) == Some(&Type::Date) => {}
        "quote_nullable_sql" | "quote_literal_sql" => {
            let texts = args
                .into_iter()
                .map(|a| cast(a, &Type::Text, -1, CastContext::Explicit))
                .collect::<Result<Vec<_>, _>>()?;
            return resolve_function(name, texts);
        }
        _ => {}
    }
    let Some(Implementation { func, negated }) =
        implement(internal, name, &types, &resolved.result, &collation)?
    else {
        return Err(refused(name, &resolved, &types));
    };
    check_array_collation(&func, &types, &collation)?;
    check_arguments(&func, &args)?;
    let not_null = not_null && func.keeps_not_null()
        || matches!(
            func,
            Func::Show {
                function: ShowFunction::Concat,
                ..
            }
        );
    let expr = Expr::Call {
        func,
        args: args.into_iter().map(|a| a.expr).collect(),
    };
    let expr = if negated {
        Expr::Not(Box::new(expr))
    } else {
        expr
    };
    let collation = if is_collatable(&resolved.result) {
        collation
    } else {
        Collation::none()
    };
    Ok(Typed {
        expr,
        ty: resolved.result,
        typmod: -1,
        collation,
        not_null,
    })
}

struct Implementation {
    func: Func,
    negated: bool,
}

fn case_mapping(name: &str, collation: &Collation) -> Result<crate::CaseMapping, Refused> {
    collation.case_mapping().ok_or_else(|| {
        Refused::with_hint(
            format!(
                "`{name}` changes case by the collation `{}`, whose rules for letters beyond ASCII aren't known here",
                collation.name
            ),
            format!("add `COLLATE \"C\"` to its argument, which maps ASCII letters only: `{name}(x COLLATE \"C\")`"),
        )
    })
}

fn implement(
    internal: &str,
    name: &str,
    types: &[Type],
    result: &Type,
    collation: &Collation,
) -> Result<Option<Implementation>, Refused> {
    let plain = |func: Func| {
        Ok(Some(Implementation {
            func,
            negated: false,
        }))
    };
    let all: Arc<[Type]> = types.iter().cloned().collect();
    if let (Some(op), Some(ty)) = (Arithmetic::of(internal), Number::of(result)) {
        return plain(Func::Arithmetic { op, ty });
    }
    if let Some(function) = Math::of(internal) {
        let ty = types.first().and_then(Number::of).unwrap_or(Number::Float8);
        return plain(Func::Math { function, ty });
    }
    let to = match internal {
        "lower" => Some(CaseChange::Lower),
        "upper" => Some(CaseChange::Upper),
        "initcap" => Some(CaseChange::Initcap),
        _ => None,
    };
    if let Some(to) = to {
        let mapping = case_mapping(name, collation)?;
        return plain(Func::Case { to, mapping });
    }
    match internal {
        "textlike" | "namelike" | "textnlike" | "namenlike" => {
            deterministic(name, collation)?;
            return Ok(Some(Implementation {
                func: Func::Like { insensitive: None },
                negated: internal.ends_with("nlike"),
            }));
        }
        "texticlike" | "nameiclike" | "texticnlike" | "nameicnlike" => {
            let mapping = case_mapping("ILIKE", collation)?;
            return Ok(Some(Implementation {
                func: Func::Like {
                    insensitive: Some(mapping),
                },
                negated: internal.ends_with("nlike"),
            }));
        }
        _ => {}
    }
    if let Some(function) = RegexFunction::of(internal) {
        let insensitive = matches!(
            function,
            RegexFunction::MatchesAnyCase | RegexFunction::NotMatchesAnyCase
        );
        deterministic(name, collation)?;
        if insensitive {
            case_mapping(name, collation)?;
        }
        return plain(Func::Regex { function });
    }
    if let Some(function) = TextFunction::of(internal) {
        return plain(Func::Text(function));
    }
    if let Some(function) = ShowFunction::of(internal) {
        return plain(Func::Show {
            function,
            types: all,
        });
    }
    if let Some(function) = DatetimeFunction::of(internal) {
        return plain(Func::Datetime(function));
    }
    if let Some(function) = JsonFunction::of(internal) {
        return plain(Func::Json {
            function,
            types: all,
        });
    }
    if let Some(function) = ArrayFunction::of(internal) {
        let element = types.iter().find_map(|t| match t.base() {
            Type::Array(e) => Some((**e).clone()),
            _ => None,
        });
        if let Some(element) = element {
            return plain(Func::Array { function, element });
        }
    }
    Ok(None)
}

fn deterministic(name: &str, collation: &Collation) -> Result<(), Refused> {
    if collation.deterministic {
        Ok(())
    } else {
        Err(Refused::with_hint(
            format!("nondeterministic collations are not supported for `{name}`"),
            "add `COLLATE \"C\"`",
        ))
    }
}

/// Functions that compare elements need an equality that is known.
fn check_array_collation(
    func: &Func,
    types: &[Type],
    collation: &Collation,
) -> Result<(), Refused> {
    let Func::Array { function, element } = func else {
        return Ok(());
    };
    let compares = matches!(
        function,
        ArrayFunction::Position
            | ArrayFunction::PositionFrom
            | ArrayFunction::Positions
            | ArrayFunction::Remove
            | ArrayFunction::Replace
            | ArrayFunction::Contains
            | ArrayFunction::Contained
            | ArrayFunction::Overlaps
    );
    if compares && matches!(element.base(), Type::Other(_) | Type::Json) {
        return Err(Refused::new(format!(
            "comparing elements of `{}` is not supported",
            types.first().map(type_name).unwrap_or_default()
        )));
    }
    if compares {
        crate::operator::check_collation("the comparison of elements", element, collation, false)?;
    }
    Ok(())
}

/// Arguments that have to be constants for us, because only some of their values are built.
fn check_arguments(func: &Func, args: &[Typed]) -> Result<(), Refused> {
    let constant = |i: usize| match args.get(i).map(|a| &a.expr) {
        Some(Expr::Const(Value::Text(s))) => Ok(Some(s.to_string())),
        Some(Expr::Const(_)) | None => Ok(None),
        Some(_) => Err(Refused::with_hint(
            "this argument has to be a constant here",
            "write the format or pattern out",
        )),
    };
    match func {
        Func::Regex { function } => {
            if let Some(pattern) = constant(1)? {
                crate::eval::regex::check(&pattern, *function)
                    .map_err(|e| Refused::with_hint(e, "use LIKE, or a simpler pattern"))?;
            }
            if *function == RegexFunction::Replace {
                if let Some(replacement) = constant(2)? {
                    crate::eval::regex::check_replacement(&replacement)
                        .map_err(|e| Refused::with_hint(e, "use a simpler replacement"))?;
                }
                if let Some(flags) = constant(3)? {
                    crate::eval::regex::check_flags(&flags)
                        .map_err(|e| Refused::with_hint(e, "use the flag `g` only"))?;
                }
            }
        }
        Func::Datetime(DatetimeFunction::ToChar) => {
            if let Some(format) = constant(1)? {
                let interval = args.first().is_some_and(|a| *a.ty.base() == Type::Interval);
                crate::eval::to_char::check_datetime(&format, interval).map_err(|e| {
                    Refused::with_hint(
                        e,
                        "use the common patterns, such as `YYYY-MM-DD HH24:MI:SS`",
                    )
                })?;
            }
        }
        Func::Datetime(DatetimeFunction::TimestampAtZone | DatetimeFunction::TimestamptzAtZone) => {
            // A zone that is a constant is looked up at once.
            if let Some(Expr::Const(Value::Text(zone))) = args.first().map(|a| &a.expr) {
                Zone::parse(zone).map_err(|e| Refused::new(e.message))?;
            }
        }
        Func::Text(TextFunction::ToCharNumber) => {
            if let Some(format) = constant(1)? {
                crate::eval::to_char::check_number(&format).map_err(|e| {
                    Refused::with_hint(e, "use the common patterns, such as `FM999,990.00`")
                })?;
            }
        }
        Func::Json {
            function: JsonFunction::ToJson,
            ..
        } if args.get(1).is_some_and(|a| !is_true_constant(a, false)) => {
            return Err(Refused::with_hint(
                "pretty-printed JSON is not supported",
                "leave the second argument out",
            ));
        }
        _ => {}
    }
    Ok(())
}

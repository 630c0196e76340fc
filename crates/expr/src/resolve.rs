//! Overload resolution, as chapter 10 of the manual has it.
//!
//! In: a name, the argument types (`Unknown` for untyped literals). Out: the one signature with concrete types.
//!
//! Always: the rules run over every candidate that Postgres has of that name.

use std::sync::Arc;

use readside_pgtype::{RecordType, Type};

use crate::catalog::{Oid, Signature, catalog, oid};
use crate::{CastContext, Refused};

/// A chosen signature with its polymorphic types filled in.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// The function inside Postgres.
    pub(crate) function: &'static str,
    /// What each argument has to become; `None` leaves it as it is (`"any"`).
    pub(crate) params: Vec<Option<Type>>,
    pub(crate) result: Type,
    pub(crate) volatility: char,
    pub(crate) returns_set: bool,
}

/// Why no signature was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    None,
    Ambiguous,
    Polymorphic(String),
}

fn is_polymorphic(param: Oid) -> bool {
    matches!(
        param,
        oid::ANYELEMENT
            | oid::ANYARRAY
            | oid::ANYNONARRAY
            | oid::ANYENUM
            | oid::ANYRANGE
            | oid::ANYMULTIRANGE
            | oid::ANYCOMPATIBLE
            | oid::ANYCOMPATIBLEARRAY
            | oid::ANYCOMPATIBLENONARRAY
            | oid::ANYCOMPATIBLERANGE
            | oid::ANYCOMPATIBLEMULTIRANGE
    )
}

/// Whether a value of this type can become `param` in an expression.
fn fits(ty: &Type, param: Oid) -> bool {
    if param == oid::ANY || is_polymorphic(param) {
        return true;
    }
    match ty {
        Type::Unknown => true,
        Type::Record(_) if param == oid::RECORD => true,
        _ => can_coerce(ty, &catalog().type_of(param), CastContext::Implicit),
    }
}

/// Whether there is a cast between two concrete types in this context.
pub(crate) fn can_coerce(from: &Type, to: &Type, context: CastContext) -> bool {
    let (from, to) = (from.base(), to.base());
    if from == to || *from == Type::Unknown {
        return true;
    }
    if let (Type::Record(a), Type::Record(b)) = (from, to) {
        return b.oid == oid::RECORD || a.oid == oid::RECORD && context == CastContext::Explicit;
    }
    let c = catalog();
    let (a, b) = (c.oid_of(from), c.oid_of(to));
    if let (true, Some(row)) = (a != 0 && b != 0, c.cast(a, b)) {
        return match row.context {
            'i' => true,
            'a' => context >= CastContext::Assignment,
            _ => context == CastContext::Explicit,
        };
    }
    if let (Type::Array(x), Type::Array(y)) = (from, to) {
        return can_coerce(x, y, context);
    }
    // Everything casts to a string type by assignment, and from one explicitly, by way of its text.
    c.category(to).0 == 'S' && context >= CastContext::Assignment
        || c.category(from).0 == 'S' && context == CastContext::Explicit
}

/// The signature for a function call.
pub(crate) fn function(signatures: &[Signature], args: &[Type]) -> Result<Resolved, Failure> {
    let mut candidates = Vec::new();
    for s in signatures {
        let plain = args.len() <= s.args.len() && args.len() + s.defaults >= s.args.len();
        if plain && s.variadic.is_none() {
            candidates.push((s, s.args[..args.len()].to_vec()));
        } else if let Some(element) = s.variadic {
            let fixed = s.args.len() - 1;
            if args.len() > fixed {
                let mut params = s.args[..fixed].to_vec();
                params.resize(args.len(), element);
                candidates.push((s, params));
            }
        }
    }
    choose(candidates, args)
}

/// The signature for an operator. Of two operands one may be unknown: then it is first tried as the other's type.
pub(crate) fn operator(signatures: &[Signature], args: &[Type]) -> Result<Resolved, Failure> {
    let candidates: Vec<_> = signatures
        .iter()
        .filter(|s| s.args.len() == args.len())
        .map(|s| (s, s.args.clone()))
        .collect();
    if let [left, right] = args {
        let assumed = match (left, right) {
            (Type::Unknown, t) | (t, Type::Unknown) => [t, t],
            (a, b) => [a, b],
        };
        let exact = |left: Oid, right: Oid| {
            candidates
                .iter()
                .find(|(_, params)| left != 0 && right != 0 && **params == [left, right])
        };
        let c = catalog();
        let mut found = exact(c.oid_of(assumed[0]), c.oid_of(assumed[1]));
        if found.is_none() && assumed[0] == assumed[1] && *assumed[0] != *assumed[0].base() {
            let base = c.oid_of(assumed[0].base());
            found = exact(base, base);
        }
        if let Some((s, params)) = found {
            return concrete(s, params, args);
        }
    }
    choose(candidates, args)
}

fn choose(candidates: Vec<(&Signature, Vec<Oid>)>, args: &[Type]) -> Result<Resolved, Failure> {
    let c = catalog();
    let given: Vec<Oid> = args.iter().map(|t| c.oid_of(t)).collect();
    if let Some((s, params)) = candidates
        .iter()
        .find(|(_, params)| *params == given && !given.contains(&0))
    {
        return concrete(s, params, args);
    }
    let usable: Vec<_> = candidates
        .into_iter()
        .filter(|(s, params)| {
            args.iter().zip(params).all(|(a, p)| fits(a, *p))
                && !matches!(concrete(s, params, args), Err(Failure::None))
        })
        .collect();
    match &usable[..] {
        [] => Err(Failure::None),
        [(s, params)] => concrete(s, params, args),
        _ => {
            let all: Vec<&(&Signature, Vec<Oid>)> = usable.iter().collect();
            let (s, params) = narrow(all, args).ok_or(Failure::Ambiguous)?;
            concrete(s, params, args)
        }
    }
}

type Candidate<'a> = &'a (&'a Signature, Vec<Oid>);

/// Keeps the candidates with the most matches.
fn best<'a>(all: Vec<Candidate<'a>>, matches: impl Fn(&[Oid]) -> usize) -> Vec<Candidate<'a>> {
    let most = all.iter().map(|c| matches(&c.1)).max().unwrap_or(0);
    all.into_iter().filter(|c| matches(&c.1) == most).collect()
}

fn narrow<'a>(all: Vec<Candidate<'a>>, args: &[Type]) -> Option<Candidate<'a>> {
    let c = catalog();
    let base: Vec<Option<&Type>> = args
        .iter()
        .map(|t| (*t != Type::Unknown).then(|| t.base()))
        .collect();
    let oids: Vec<Option<Oid>> = base.iter().map(|t| t.map(|t| c.oid_of(t))).collect();
    let exact = |i: usize, param: Oid| oids[i].is_some_and(|o| o != 0 && o == param);

    let all = best(all, |params| {
        params
            .iter()
            .enumerate()
            .filter(|(i, p)| exact(*i, **p))
            .count()
    });
    if let [one] = all[..] {
        return Some(one);
    }
    let all = best(all, |params| {
        let good = |i: usize, p: Oid| {
            exact(i, p) || base[i].is_some_and(|t| c.category_of(p) == (c.category(t).0, true))
        };
        params
            .iter()
            .enumerate()
            .filter(|(i, p)| good(*i, **p))
            .count()
    });
    if let [one] = all[..] {
        return Some(one);
    }
    if base.iter().all(Option::is_some) {
        return None;
    }

    // Unknown arguments: string if any candidate takes one, else the category that all agree on.
    let mut slots: Vec<Option<(char, bool)>> = vec![None; args.len()];
    let mut resolved = true;
    for (i, slot) in slots.iter_mut().enumerate() {
        if base[i].is_some() {
            continue;
        }
        let mut conflict = false;
        for candidate in &all {
            let (category, preferred) = c.category_of(candidate.1[i]);
            match slot {
                None => *slot = Some((category, preferred)),
                Some((known, has_preferred)) if *known == category => *has_preferred |= preferred,
                Some(_) if category == 'S' => *slot = Some((category, preferred)),
                Some(_) => conflict = true,
            }
        }
        if conflict && slot.is_none_or(|s| s.0 != 'S') {
            resolved = false;
            break;
        }
    }
    let mut all = all;
    if resolved {
        let kept: Vec<_> = all
            .iter()
            .copied()
            .filter(|candidate| {
                slots
                    .iter()
                    .zip(&candidate.1)
                    .all(|(slot, param)| match slot {
                        None => true,
                        Some((category, need)) => {
                            let (found, preferred) = c.category_of(*param);
                            found == *category && (preferred || !need)
                        }
                    })
            })
            .collect();
        if !kept.is_empty() {
            all = kept;
        }
        if let [one] = all[..] {
            return Some(one);
        }
    }

    // Last: the unknown ones are of the type of the known ones, if those agree.
    let mut known = base.iter().flatten();
    let first = *known.next()?;
    if known.any(|t| *t != first) {
        return None;
    }
    let mut fitting = all.into_iter().filter(|(s, params)| {
        let assumed = vec![first.clone(); params.len()];
        params.iter().all(|p| fits(first, *p)) && concrete(s, params, &assumed).is_ok()
    });
    let one = fitting.next()?;
    fitting.next().is_none().then_some(one)
}

/// Fills in the polymorphic types of a signature.
fn concrete(s: &Signature, params: &[Oid], args: &[Type]) -> Result<Resolved, Failure> {
    let c = catalog();
    let mut element: Option<Type> = None;
    let mut compatible: Vec<Type> = Vec::new();
    let mut generic = false;
    let mut compatible_used = false;
    let none = || Failure::None;
    let mut agree = |t: Type| match &element {
        Some(e) if *e != t => Err(Failure::None),
        _ => {
            element = Some(t);
            Ok(())
        }
    };
    for (arg, param) in args.iter().zip(params) {
        let known = (*arg != Type::Unknown).then_some(arg);
        match *param {
            oid::ANYELEMENT | oid::ANYNONARRAY | oid::ANYENUM => {
                generic = true;
                if let Some(t) = known {
                    agree(t.clone())?;
                }
            }
            oid::ANYARRAY => {
                generic = true;
                match known.map(Type::base) {
                    None => {}
                    Some(Type::Array(e)) => agree((**e).clone())?,
                    Some(_) => return Err(none()),
                }
            }
            oid::ANYCOMPATIBLE | oid::ANYCOMPATIBLENONARRAY => {
                compatible_used = true;
                compatible.extend(known.cloned());
            }
            oid::ANYCOMPATIBLEARRAY => {
                compatible_used = true;
                match known.map(Type::base) {
                    None => {}
                    Some(Type::Array(e)) => compatible.push((**e).clone()),
                    Some(_) => return Err(none()),
                }
            }
            oid::ANYRANGE
            | oid::ANYMULTIRANGE
            | oid::ANYCOMPATIBLERANGE
            | oid::ANYCOMPATIBLEMULTIRANGE
                if known.is_some() =>
            {
                return Err(none());
            }
            oid::ANYRANGE | oid::ANYMULTIRANGE => generic = true,
            _ => {}
        }
    }
    if params.contains(&oid::ANYNONARRAY) && matches!(element, Some(Type::Array(_))) {
        return Err(none());
    }
    if params.contains(&oid::ANYENUM)
        && !matches!(element.as_ref().map(Type::base), None | Some(Type::Enum(_)))
    {
        return Err(none());
    }
    let common = if compatible_used {
        let common = common_type(&compatible).map_err(|_| Failure::None)?;
        Some(if common == Type::Unknown {
            Type::Text
        } else {
            common
        })
    } else {
        None
    };
    if params.contains(&oid::ANYCOMPATIBLENONARRAY) && matches!(common, Some(Type::Array(_))) {
        return Err(none());
    }
    if let (true, Some(Type::Array(_))) = (params.contains(&oid::ANYCOMPATIBLEARRAY), &common) {
        return Err(Failure::Polymorphic(format!(
            "could not find array type for data type {}",
            common
                .as_ref()
                .map(crate::catalog::type_name)
                .unwrap_or_default()
        )));
    }
    if generic && element.is_none() {
        return Err(Failure::Polymorphic(
            "could not determine polymorphic type because input has type unknown".to_owned(),
        ));
    }
    let fill = |param: Oid| -> Option<Type> {
        match param {
            oid::ANYELEMENT | oid::ANYNONARRAY | oid::ANYENUM => element.clone(),
            oid::ANYARRAY => element.clone().map(|e| Type::Array(Arc::new(e))),
            oid::ANYCOMPATIBLE | oid::ANYCOMPATIBLENONARRAY => common.clone(),
            oid::ANYCOMPATIBLEARRAY => common.clone().map(|e| Type::Array(Arc::new(e))),
            oid::ANY => None,
            p => Some(c.type_of(p)),
        }
    };
    let params = params
        .iter()
        .zip(args)
        .map(|(p, a)| match (p, a) {
            (&oid::RECORD, Type::Record(_)) => None,
            _ => fill(*p),
        })
        .collect();
    Ok(Resolved {
        function: s.function,
        params,
        result: fill(s.result).unwrap_or_else(|| {
            Type::Record(Arc::new(RecordType {
                oid: oid::RECORD,
                fields: Vec::new(),
            }))
        }),
        volatility: s.volatility,
        returns_set: s.returns_set,
    })
}

/// The common type of UNION, CASE, ARRAY and the like (manual, 10.5); `Unknown` if all are.
pub(crate) fn common_type(types: &[Type]) -> Result<Type, (Type, Type)> {
    let c = catalog();
    let Some(first) = types.iter().find(|t| **t != Type::Unknown) else {
        return Ok(Type::Unknown);
    };
    if types.iter().all(|t| t == first || *t == Type::Unknown)
        && types.first().is_some_and(|t| t == first)
        && !types.contains(&Type::Unknown)
    {
        return Ok(first.clone());
    }
    let mut chosen = first.base().clone();
    for ty in types {
        let ty = ty.base();
        if *ty == Type::Unknown || *ty == chosen {
            continue;
        }
        if c.category(ty).0 != c.category(&chosen).0 {
            return Err((chosen, ty.clone()));
        }
        if !c.category(&chosen).1
            && can_coerce(&chosen, ty, CastContext::Implicit)
            && !can_coerce(ty, &chosen, CastContext::Implicit)
        {
            chosen = ty.clone();
        }
    }
    Ok(chosen)
}

/// The refusal for an operator that was not resolved.
pub(crate) fn operator_refused(op: &str, args: &[Type], failure: &Failure) -> Refused {
    let names: Vec<String> = args.iter().map(crate::catalog::type_name).collect();
    let shown = match &names[..] {
        [one] => format!("{op} {one}"),
        [left, right] => format!("{left} {op} {right}"),
        _ => op.to_owned(),
    };
    match failure {
        Failure::Ambiguous => Refused::with_hint(
            format!("operator is not unique: {shown}"),
            "add explicit type casts",
        ),
        Failure::Polymorphic(message) => Refused::new(message.clone()),
        Failure::None => Refused::with_hint(
            format!("operator does not exist: {shown}"),
            "add explicit type casts",
        ),
    }
}

//! `mode` and the percentiles: a place in the sorted values.
//!
//! In: rows in the order of WITHIN GROUP; NULLs among the values don't count.

use readside_expr::EvalError;
use readside_pgtype::{Type, Value, compare_typed};

use crate::AggFunc;
use crate::accumulator::{mistyped, raise};

/// The most frequent value; the first in order among equally frequent ones.
pub(crate) fn mode(ty: &Type, rows: &mut dyn Iterator<Item = &[Value]>) -> Value {
    let mut best = (Value::Null, 0u64);
    let mut run = (Value::Null, 0u64);
    for row in rows {
        let value = row.first().unwrap_or(&Value::Null);
        if value.is_null() {
            continue;
        }
        if run.1 > 0 && compare_typed(&run.0, value, ty).is_eq() {
            run.1 += 1;
        } else {
            run = (value.clone(), 1);
        }
        if run.1 > best.1 {
            best = run.clone();
        }
    }
    best.0
}

/// The fraction (`None` for NULL) and the values that are not NULL.
fn sorted(
    func: AggFunc,
    rows: &mut dyn Iterator<Item = &[Value]>,
) -> Result<(Option<f64>, Vec<Value>), EvalError> {
    let mut fraction = None;
    let mut values = Vec::new();
    for row in rows {
        match row.first() {
            Some(Value::Float8(f)) => fraction = Some(*f),
            None | Some(Value::Null) => {}
            Some(other) => return Err(mistyped(func, other)),
        }
        if let Some(value) = row.get(1).filter(|v| !v.is_null()) {
            values.push(value.clone());
        }
    }
    if let Some(f) = fraction
        && !(0.0..=1.0).contains(&f)
    {
        return Err(EvalError {
            sqlstate: "22003",
            message: format!("percentile value {f} is not between 0 and 1"),
        });
    }
    Ok((fraction, values))
}

/// A place between 0 and the number of values, from a non-negative double.
fn place(x: f64) -> usize {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of a count, never negative"
    )]
    let place = x as usize;
    place
}

fn count_of(values: &[Value]) -> f64 {
    crate::accumulator::count_as_f64(i64::try_from(values.len()).unwrap_or(i64::MAX))
}

/// The first value whose place in the order is at or beyond the fraction.
pub(crate) fn percentile_disc(
    rows: &mut dyn Iterator<Item = &[Value]>,
) -> Result<Value, EvalError> {
    let (fraction, values) = sorted(AggFunc::PercentileDisc, rows)?;
    let Some(fraction) = fraction else {
        return Ok(Value::Null);
    };
    let at = place((fraction * count_of(&values)).ceil()).saturating_sub(1);
    Ok(values.get(at).cloned().unwrap_or(Value::Null))
}

/// The value at the fraction of the way, between its neighbours in proportion.
pub(crate) fn percentile_cont(
    rows: &mut dyn Iterator<Item = &[Value]>,
) -> Result<Value, EvalError> {
    let (fraction, values) = sorted(AggFunc::PercentileCont, rows)?;
    let (Some(fraction), false) = (fraction, values.is_empty()) else {
        return Ok(Value::Null);
    };
    let exact = fraction * (count_of(&values) - 1.0);
    let low = values.get(place(exact.floor())).unwrap_or(&Value::Null);
    let high = values.get(place(exact.ceil())).unwrap_or(&Value::Null);
    if exact.floor() == exact.ceil() {
        return Ok(low.clone());
    }
    let proportion = exact - exact.floor();
    match (low, high) {
        (Value::Float8(low), Value::Float8(high)) => {
            Ok(Value::Float8(low + proportion * (high - low)))
        }
        (Value::Interval(low), Value::Interval(high)) => high
            .sub(low)
            .and_then(|between| between.mul(proportion))
            .and_then(|part| part.add(low))
            .map(Value::Interval)
            .map_err(raise),
        (other, _) => Err(mistyped(AggFunc::PercentileCont, other)),
    }
}

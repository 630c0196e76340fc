//! The variance family from sums and sums of squares.

use num_bigint::BigInt;
use num_traits::Signed;
use readside_expr::EvalError;
use readside_pgtype::{Numeric, Value};

use crate::Spread;
use crate::accumulator::{float_overflow, raise};
use crate::float_sum::{FloatSum, round_to_double};
use crate::numeric_sum::NumericSum;

/// Over numerics, digit for digit as Postgres.
pub(crate) fn numeric(
    spread: Spread,
    sum: &NumericSum,
    squares: &NumericSum,
) -> Result<Value, EvalError> {
    let count = sum.count();
    if count == 0 || (spread.is_sample() && count <= 1) {
        return Ok(Value::Null);
    }
    if !sum.is_finite() {
        return Ok(Value::Numeric(Numeric::NAN));
    }
    let n = Numeric::from_i64(count);
    let total = sum.value().map_err(raise)?;
    let total_of_squares = squares.value().map_err(raise)?;
    // (N * sum of squares - square of sum) / (N * (N - 1)), or / N^2
    let numerator = n
        .mul(&total_of_squares)
        .and_then(|scaled| scaled.sub(&total.mul(&total)?))
        .map_err(raise)?;
    if numerator.signum() <= 0 {
        return Ok(Value::Numeric(Numeric::ZERO));
    }
    let divisor = Numeric::from_i64(if spread.is_sample() { count - 1 } else { count });
    let variance = n
        .mul(&divisor)
        .and_then(|divisor| numerator.div(&divisor))
        .map_err(raise)?;
    Ok(Value::Numeric(if spread.is_deviation() {
        variance.sqrt_at_scale(variance.scale())
    } else {
        variance
    }))
}

/// Over doubles: the exact variance rounded once, where Postgres rounds at each row.
pub(crate) fn float(
    spread: Spread,
    sum: &FloatSum,
    squares: &FloatSum,
) -> Result<Value, EvalError> {
    let count = sum.count();
    if count == 0 || (spread.is_sample() && count <= 1) {
        return Ok(Value::Null);
    }
    if sum.special().is_some() {
        return Ok(Value::Float8(f64::NAN));
    }
    let (sum, sum_exponent) = sum.exact();
    let (squares, squares_exponent) = squares.exact();
    // N * squares - sum^2, at the smaller of the two exponents.
    let mut scaled = squares * count;
    let mut squared = sum * sum;
    let exponent = squares_exponent.min(2 * sum_exponent);
    scaled <<= u64::try_from(squares_exponent - exponent).unwrap_or(0);
    squared <<= u64::try_from(2 * sum_exponent - exponent).unwrap_or(0);
    let numerator: BigInt = scaled - squared;
    if !numerator.is_positive() {
        return Ok(Value::Float8(0.0));
    }
    let divisor = BigInt::from(count) * if spread.is_sample() { count - 1 } else { count };
    // Enough bits below the last place that the quotient rounds as the exact one does.
    let extra = divisor.bits() + 128;
    let quotient = (numerator << extra) / divisor;
    let variance = round_to_double(&quotient, exponent - i64::try_from(extra).unwrap_or(0));
    if variance.is_infinite() {
        return Err(float_overflow());
    }
    Ok(Value::Float8(if spread.is_deviation() {
        variance.sqrt()
    } else {
        variance
    }))
}

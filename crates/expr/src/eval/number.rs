//! Arithmetic and mathematical functions.

use readside_pgtype::{Numeric, Value, ValueError};

use super::{Result, error, float, int, mistyped, numeric};
use crate::{Arithmetic, Math, Number};

fn integer_bounds(ty: Number) -> (&'static str, i64, i64) {
    match ty {
        Number::Int2 => ("smallint", i16::MIN.into(), i16::MAX.into()),
        Number::Int4 => ("integer", i32::MIN.into(), i32::MAX.into()),
        _ => ("bigint", i64::MIN, i64::MAX),
    }
}

pub(super) fn arithmetic(op: Arithmetic, ty: Number, args: &[Value]) -> Result {
    match ty {
        Number::Int2 | Number::Int4 | Number::Int8 => integers(op, ty, args),
        Number::Float4 => floats4(op, args),
        Number::Float8 => floats8(op, args),
        Number::Numeric => numerics(op, args),
    }
}

fn integers(op: Arithmetic, ty: Number, args: &[Value]) -> Result {
    let (name, min, max) = integer_bounds(ty);
    let overflow = || ValueError::out_of_range(name);
    let a = int(args, 0)?;
    let b = if args.len() > 1 { int(args, 1)? } else { 0 };
    let shift =
        |b: i64| u32::try_from(b.rem_euclid(if ty == Number::Int8 { 64 } else { 32 })).unwrap_or(0);
    let result = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Modulo if b == 0 => {
            return Err(ValueError::division_by_zero().into());
        }
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Modulo => Some(a.checked_rem(b).unwrap_or(0)),
        Arithmetic::Negate => a.checked_neg(),
        Arithmetic::Plus => Some(a),
        Arithmetic::Absolute => a.checked_abs(),
        Arithmetic::And => Some(a & b),
        Arithmetic::Or => Some(a | b),
        Arithmetic::Xor => Some(a ^ b),
        Arithmetic::Not => Some(!a),
        // As C on the machines that Postgres runs on: the distance modulo the width of `int`, the result cut to the type.
        Arithmetic::ShiftLeft => Some(cut(a.wrapping_shl(shift(b)), ty)),
        Arithmetic::ShiftRight => Some(a.wrapping_shr(shift(b))),
    };
    match result {
        Some(n) if (min..=max).contains(&n) => Ok(Value::Int(n)),
        _ => Err(overflow().into()),
    }
}

/// The low bits of a number as the type reads them.
fn cut(n: i64, ty: Number) -> i64 {
    let bits = match ty {
        Number::Int2 => 48,
        Number::Int4 => 32,
        _ => 0,
    };
    (n << bits) >> bits
}

fn overflow<T>() -> Result<T> {
    Err(error("22003", "value out of range: overflow"))
}

fn underflow<T>() -> Result<T> {
    Err(error("22003", "value out of range: underflow"))
}

/// Checks a float result as Postgres does: an infinity or a zero must have come from the operands.
macro_rules! float_arithmetic {
    ($name:ident, $float:ty, $value:path, $arg:expr) => {
        fn $name(op: Arithmetic, args: &[Value]) -> Result {
            let argument: fn(&[Value], usize) -> Result<$float> = $arg;
            let a = argument(args, 0)?;
            let b = if args.len() > 1 {
                argument(args, 1)?
            } else {
                0.0
            };
            let result = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide if b == 0.0 && !a.is_nan() => {
                    return Err(ValueError::division_by_zero().into());
                }
                Arithmetic::Divide => a / b,
                Arithmetic::Negate => -a,
                Arithmetic::Plus => a,
                Arithmetic::Absolute => a.abs(),
                _ => return Err(mistyped("float arithmetic")),
            };
            match op {
                Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Multiply
                    if result.is_infinite() && !a.is_infinite() && !b.is_infinite() =>
                {
                    overflow()
                }
                Arithmetic::Divide if result.is_infinite() && !a.is_infinite() => overflow(),
                Arithmetic::Multiply if result == 0.0 && a != 0.0 && b != 0.0 => underflow(),
                Arithmetic::Divide if result == 0.0 && a != 0.0 && !b.is_infinite() => underflow(),
                _ => Ok($value(result)),
            }
        }
    };
}

float_arithmetic!(floats8, f64, Value::Float8, float);
float_arithmetic!(floats4, f32, Value::Float4, |args, at| match args.get(at) {
    Some(Value::Float4(x)) => Ok(*x),
    _ => Err(mistyped("real")),
});

fn numerics(op: Arithmetic, args: &[Value]) -> Result {
    let a = numeric(args, 0)?;
    let b = || numeric(args, 1);
    Ok(Value::Numeric(match op {
        Arithmetic::Add => a.add(b()?)?,
        Arithmetic::Subtract => a.sub(b()?)?,
        Arithmetic::Multiply => a.mul(b()?)?,
        Arithmetic::Divide => a.div(b()?)?,
        Arithmetic::Modulo => a.rem(b()?)?,
        Arithmetic::Negate => a.neg(),
        Arithmetic::Plus => a.clone(),
        Arithmetic::Absolute => a.abs(),
        _ => return Err(mistyped("numeric arithmetic")),
    }))
}

pub(super) fn math(function: Math, ty: Number, args: &[Value]) -> Result {
    if function == Math::Pi {
        return Ok(Value::Float8(std::f64::consts::PI));
    }
    match ty {
        Number::Numeric => numeric_math(function, args),
        Number::Int2 | Number::Int4 | Number::Int8 => integer_math(function, ty, args),
        Number::Float4 | Number::Float8 => float_math(function, args),
    }
}

/// The number of decimals of `round(n, s)` and `trunc(n, s)`.
fn places(args: &[Value]) -> Result<i32> {
    if args.len() < 2 {
        return Ok(0);
    }
    let n = int(args, 1)?;
    Ok(i32::try_from(n.clamp(-2000, 2000)).unwrap_or(0))
}

fn numeric_math(function: Math, args: &[Value]) -> Result {
    let a = numeric(args, 0)?;
    Ok(Value::Numeric(match function {
        Math::Round => a.round(places(args)?),
        Math::Trunc => a.trunc(places(args)?),
        Math::Ceil => a.ceil(),
        Math::Floor => a.floor(),
        Math::Sign => a.sign(),
        Math::Sqrt => a.sqrt()?,
        Math::Div => a.div_trunc(numeric(args, 1)?)?,
        Math::Scale if a.is_finite() => return Ok(Value::Int(a.scale().into())),
        Math::MinScale if a.is_finite() => return Ok(Value::Int(a.trim_scale().scale().into())),
        Math::Scale | Math::MinScale => return Ok(Value::Null),
        Math::TrimScale => a.trim_scale(),
        Math::WidthBucket => return width_bucket_numeric(args),
        _ => return Err(mistyped("numeric function")),
    }))
}

fn integer_math(function: Math, ty: Number, args: &[Value]) -> Result {
    let (name, min, max) = integer_bounds(ty);
    let (mut a, mut b) = (i128::from(int(args, 0)?), i128::from(int(args, 1)?));
    let product = (a * b).abs();
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let gcd = a.abs();
    let result = match function {
        Math::Gcd => gcd,
        Math::Lcm if gcd == 0 => 0,
        Math::Lcm => product / gcd,
        _ => return Err(mistyped("integer function")),
    };
    i64::try_from(result)
        .ok()
        .filter(|n| (min..=max).contains(n))
        .map(Value::Int)
        .ok_or_else(|| ValueError::out_of_range(name).into())
}

fn float_math(function: Math, args: &[Value]) -> Result {
    let a = float(args, 0)?;
    let logarithm = |log: fn(f64) -> f64| {
        if a == 0.0 {
            Err(error("2201E", "cannot take logarithm of zero"))
        } else if a < 0.0 {
            Err(error("2201E", "cannot take logarithm of a negative number"))
        } else {
            Ok(log(a))
        }
    };
    let result = match function {
        Math::Round => a.round_ties_even(),
        Math::Trunc => a.trunc(),
        Math::Ceil => a.ceil(),
        Math::Floor => a.floor(),
        Math::Sign => {
            if a > 0.0 {
                1.0
            } else if a < 0.0 {
                -1.0
            } else {
                0.0
            }
        }
        Math::Sqrt if a < 0.0 => {
            return Err(error(
                "2201F",
                "cannot take square root of a negative number",
            ));
        }
        Math::Sqrt => a.sqrt(),
        Math::Exp => {
            let result = a.exp();
            if result.is_infinite() && !a.is_infinite() {
                return overflow();
            }
            if result == 0.0 && !a.is_infinite() {
                return underflow();
            }
            result
        }
        Math::Ln => logarithm(f64::ln)?,
        Math::Log10 => logarithm(f64::log10)?,
        Math::Power => return power(a, float(args, 1)?),
        Math::Degrees => floats_checked(a, a / (std::f64::consts::PI / 180.0))?,
        Math::Radians => floats_checked(a, a * (std::f64::consts::PI / 180.0))?,
        Math::WidthBucket => return width_bucket_float(args),
        _ => return Err(mistyped("float function")),
    };
    Ok(Value::Float8(result))
}

fn floats_checked(a: f64, result: f64) -> Result<f64> {
    if result.is_infinite() && !a.is_infinite() {
        overflow()
    } else if result == 0.0 && a != 0.0 {
        underflow()
    } else {
        Ok(result)
    }
}

fn power(a: f64, b: f64) -> Result {
    if a == 0.0 && b < 0.0 {
        return Err(error(
            "2201F",
            "zero raised to a negative power is undefined",
        ));
    }
    if a < 0.0 && b.is_finite() && b.fract() != 0.0 {
        return Err(error(
            "2201F",
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let result = a.powf(b);
    if a.is_finite() && b.is_finite() {
        if result.is_infinite() {
            return overflow();
        }
        if result == 0.0 && a != 0.0 {
            return underflow();
        }
    }
    Ok(Value::Float8(result))
}

fn bucket_count(args: &[Value]) -> Result<i64> {
    let count = int(args, 3)?;
    if count <= 0 {
        return Err(error("2201G", "count must be greater than zero"));
    }
    Ok(count)
}

fn bucket_overflow(n: i64) -> Result {
    if n > i64::from(i32::MAX) {
        return Err(ValueError::out_of_range("integer").into());
    }
    Ok(Value::Int(n))
}

fn width_bucket_float(args: &[Value]) -> Result {
    let (x, low, high) = (float(args, 0)?, float(args, 1)?, float(args, 2)?);
    let count = bucket_count(args)?;
    if x.is_nan() || low.is_nan() || high.is_nan() {
        return Err(error(
            "2201G",
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(error("2201G", "lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(error("2201G", "lower bound cannot equal upper bound"));
    }
    let (below, beyond) = if low < high {
        (x < low, x >= high)
    } else {
        (x > low, x <= high)
    };
    if below {
        return Ok(Value::Int(0));
    }
    if beyond {
        return bucket_overflow(count + 1);
    }
    let count_float = Numeric::from_bigint(count.into()).to_f64()?;
    let width = high - low;
    let share = if width.is_infinite() {
        (x / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
    } else {
        (x - low) / width
    };
    let at = Numeric::from_f64((count_float * share).trunc()).to_i64()?;
    bucket_overflow(at.min(count - 1) + 1)
}

fn width_bucket_numeric(args: &[Value]) -> Result {
    let (x, low, high) = (numeric(args, 0)?, numeric(args, 1)?, numeric(args, 2)?);
    let count = bucket_count(args)?;
    if x.is_nan() || low.is_nan() || high.is_nan() {
        return Err(error(
            "2201G",
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(error("2201G", "lower and upper bounds must be finite"));
    }
    let rising = high.sub(low)?.signum();
    if rising == 0 {
        return Err(error("2201G", "lower bound cannot equal upper bound"));
    }
    if x.is_infinite() {
        return if (x.signum() > 0) == (rising > 0) {
            bucket_overflow(count + 1)
        } else {
            Ok(Value::Int(0))
        };
    }
    if x.sub(low)?.signum() * rising < 0 {
        return Ok(Value::Int(0));
    }
    if x.sub(high)?.signum() * rising >= 0 {
        return bucket_overflow(count + 1);
    }
    bucket(x, low, high, count)
}

/// `floor((x - low) * count / (high - low)) + 1`
fn bucket(x: &Numeric, low: &Numeric, high: &Numeric, count: i64) -> Result {
    let share = x
        .sub(low)?
        .mul(&Numeric::from_bigint(count.into()))?
        .div_trunc(&high.sub(low)?)?;
    bucket_overflow(share.to_i64()? + 1)
}

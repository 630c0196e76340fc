//! Text of `real` and `double precision` with `extra_float_digits = 3`: the shortest digits that read back the same.
//!
//! Always: the exponent form from 1e15 (1e6 for `real`) up and below 1e-4, as Postgres switches.

use std::fmt::Write;

use num_bigint::BigInt;

use crate::ValueError;

/// Digits and exponent of `x` (`d.ddd × 10^exponent`), shortest, never exactly half way to a neighbour.
///
/// Rust's shortest form may sit exactly on the boundary between two floats (1e23), which Postgres does not accept.
fn shortest(
    text: &str,
    retry: impl Fn(usize) -> String,
    on_boundary: impl Fn(&str, i32) -> bool,
) -> (String, i32) {
    let (digits, exponent) = split_exponent(text);
    if !on_boundary(&digits, exponent) {
        return (digits, exponent);
    }
    for precision in digits.len()..18 {
        let (longer, e) = split_exponent(&retry(precision));
        let trimmed = longer.trim_end_matches('0').to_owned();
        if trimmed.len() > digits.len() && !on_boundary(&trimmed, e) {
            return (trimmed, e);
        }
        if trimmed.len() == digits.len() && trimmed != digits && !on_boundary(&trimmed, e) {
            return (trimmed, e);
        }
    }
    (digits, exponent)
}

/// `1.25e-7` to (`125`, -7).
fn split_exponent(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (
        mantissa.chars().filter(char::is_ascii_digit).collect(),
        exponent.parse().unwrap_or(0),
    )
}

/// Whether `digits × 10^…` is exactly half way between the float `mantissa × 2^power` and a neighbour.
fn is_half_way(digits: &str, exponent: i32, mantissa: u64, power: i32) -> bool {
    let Ok(d) = digits.parse::<BigInt>() else {
        return false;
    };
    let ten = exponent + 1 - i32::try_from(digits.len()).unwrap_or(0);
    // d × 10^ten against (2 mantissa ± 1) × 2^(power - 1), brought to integers.
    let pow = |base: u8, e: i32| BigInt::from(base).pow(u32::try_from(e.max(0)).unwrap_or(0));
    let left = d * pow(10, ten) * pow(2, 1 - power);
    let scale = pow(2, power - 1) * pow(10, -ten);
    let middle = BigInt::from(mantissa) * 2;
    left == (&middle + 1) * &scale || left == (middle - 1) * scale
}

fn write_digits(out: &mut String, negative: bool, digits: &str, exponent: i32, exponent_max: i32) {
    if negative {
        out.push('-');
    }
    if (-4..exponent_max).contains(&exponent) {
        if exponent < 0 {
            out.push_str("0.");
            for _ in 0..(-exponent - 1) {
                out.push('0');
            }
            out.push_str(digits);
        } else {
            let integer = usize::try_from(exponent).unwrap_or(0) + 1;
            if digits.len() <= integer {
                out.push_str(digits);
                for _ in digits.len()..integer {
                    out.push('0');
                }
            } else {
                out.push_str(&digits[..integer]);
                out.push('.');
                out.push_str(&digits[integer..]);
            }
        }
        return;
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
}

fn write_special(out: &mut String, nan: bool, positive: bool) {
    out.push_str(if nan {
        "NaN"
    } else if positive {
        "Infinity"
    } else {
        "-Infinity"
    });
}

/// Appends a `double precision` as `float8out` prints it.
pub fn write_float8(out: &mut String, x: f64) {
    if !x.is_finite() {
        return write_special(out, x.is_nan(), x > 0.0);
    }
    if x == 0.0 {
        out.push_str(if x.is_sign_negative() { "-0" } else { "0" });
        return;
    }
    let magnitude = x.abs();
    let bits = magnitude.to_bits();
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let power = i32::try_from(bits >> 52).unwrap_or(0) - 1075;
    // Outside this range no short decimal is half way between two doubles.
    let candidate = mantissa % 2 == 0 && (1e14..1e45).contains(&magnitude);
    let (digits, exponent) = shortest(
        &format!("{magnitude:e}"),
        |precision| format!("{magnitude:.precision$e}"),
        |digits, exponent| candidate && is_half_way(digits, exponent, mantissa, power),
    );
    write_digits(out, x < 0.0, &digits, exponent, 15);
}

/// Appends a `real` as `float4out` prints it.
pub fn write_float4(out: &mut String, x: f32) {
    if !x.is_finite() {
        return write_special(out, x.is_nan(), x > 0.0);
    }
    if x == 0.0 {
        out.push_str(if x.is_sign_negative() { "-0" } else { "0" });
        return;
    }
    let magnitude = x.abs();
    let bits = magnitude.to_bits();
    let normal = bits >> 23 != 0;
    let mantissa = u64::from(bits & ((1 << 23) - 1)) | if normal { 1 << 23 } else { 0 };
    let power = i32::try_from((bits >> 23).max(1)).unwrap_or(0) - 150;
    let candidate = mantissa % 2 == 0 && (1e4..1e20).contains(&magnitude);
    let (digits, exponent) = shortest(
        &format!("{magnitude:e}"),
        |precision| format!("{magnitude:.precision$e}"),
        |digits, exponent| candidate && is_half_way(digits, exponent, mantissa, power),
    );
    write_digits(out, x < 0.0, &digits, exponent, 6);
}

/// What a float's text is apart from its range.
enum FloatText<'a> {
    Special(f64),
    Number(&'a str),
}

fn float_text<'a>(type_name: &str, text: &'a str) -> Result<FloatText<'a>, ValueError> {
    let trimmed = text.trim_matches(crate::input::is_space);
    let (sign, body) = match trimmed.as_bytes().first() {
        Some(b'-') => (-1.0, &trimmed[1..]),
        Some(b'+') => (1.0, &trimmed[1..]),
        _ => (1.0, trimmed),
    };
    if body.eq_ignore_ascii_case("nan") && (sign > 0.0 || body.len() == trimmed.len()) {
        return Ok(FloatText::Special(f64::NAN));
    }
    if body.eq_ignore_ascii_case("infinity") || body.eq_ignore_ascii_case("inf") {
        return Ok(FloatText::Special(sign * f64::INFINITY));
    }
    let starts = body.strip_prefix('.').unwrap_or(body);
    if !starts.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(ValueError::syntax(type_name, text));
    }
    Ok(FloatText::Number(trimmed))
}

/// Whether any digit of the mantissa is not zero: then a result of zero is an underflow.
fn is_nonzero(number: &str) -> bool {
    number
        .bytes()
        .take_while(|b| !matches!(b, b'e' | b'E'))
        .any(|b| (b'1'..=b'9').contains(&b))
}

/// `float8in`.
///
/// # Errors
/// 22P02 for bad syntax, 22003 out of range (overflow, or underflow to zero).
pub fn parse_float8(text: &str) -> Result<f64, ValueError> {
    let name = "double precision";
    match float_text(name, text)? {
        FloatText::Special(x) => Ok(x),
        FloatText::Number(number) => {
            let x: f64 = number.parse().map_err(|_| ValueError::syntax(name, text))?;
            if x.is_infinite() || (x == 0.0 && is_nonzero(number)) {
                return Err(ValueError::new(
                    "22003",
                    format!("\"{number}\" is out of range for type {name}"),
                ));
            }
            Ok(x)
        }
    }
}

/// `float4in`.
///
/// # Errors
/// 22P02 for bad syntax, 22003 out of range (overflow, or underflow to zero).
pub fn parse_float4(text: &str) -> Result<f32, ValueError> {
    let name = "real";
    match float_text(name, text)? {
        FloatText::Special(x) if x.is_nan() => Ok(f32::NAN),
        FloatText::Special(x) if x > 0.0 => Ok(f32::INFINITY),
        FloatText::Special(_) => Ok(f32::NEG_INFINITY),
        FloatText::Number(number) => {
            let x: f32 = number.parse().map_err(|_| ValueError::syntax(name, text))?;
            if x.is_infinite() || (x == 0.0 && is_nonzero(number)) {
                return Err(ValueError::new(
                    "22003",
                    format!("\"{number}\" is out of range for type {name}"),
                ));
            }
            Ok(x)
        }
    }
}

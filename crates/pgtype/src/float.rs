//! Text of `real` and `double precision` with `extra_float_digits = 3`: the shortest digits that read back the same.
//!
//! Always: the exponent form from 1e15 (1e6 for `real`) up and below 1e-4, as Postgres switches.

use std::fmt::Write;

use num_bigint::BigInt;

use crate::ValueError;

/// The binary form of a positive finite float: `mantissa × 2^power`.
#[derive(Clone, Copy)]
struct Binary {
    mantissa: u64,
    power: i32,
    /// Whether decimals half way to a neighbour can be as short as the shortest form.
    may_be_half_way: bool,
}

/// Digits and exponent (`d.ddd × 10^exponent`) of the shortest decimal that reads back the same.
///
/// Rust's shortest form differs from Postgres' in two ways: it may stand exactly half way between two floats (1e23), where the
/// reader's rounding decides; and of two equally near decimals it takes the upper one, not the even one.
fn shortest(
    text: &str,
    at_precision: impl Fn(usize) -> String,
    reads_back: impl Fn(&str) -> bool,
    binary: Binary,
) -> (String, i32) {
    let (digits, exponent) = split_exponent(text);
    if binary.may_be_half_way && is_half_way(&digits, exponent, binary) {
        for precision in digits.len() - 1..18 {
            let (longer, e) = split_exponent(&at_precision(precision));
            let trimmed = longer.trim_end_matches('0');
            if trimmed != digits && !is_half_way(trimmed, e, binary) {
                return (trimmed.to_owned(), e);
            }
        }
    }
    if let Some(even) = even_neighbour(&digits)
        && {
            let (longer, _) = split_exponent(&at_precision(digits.len()));
            longer.ends_with('5') && longer[..digits.len()] == even
        }
        && is_exactly(&format!("{even}5"), exponent, binary)
        && reads_back(&format!("{}.{}e{exponent}", &even[..1], &even[1..]))
    {
        return (even, exponent);
    }
    (digits, exponent)
}

/// The digits with the last one, if it is odd, lowered by one.
fn even_neighbour(digits: &str) -> Option<String> {
    let (head, last) = digits.split_at(digits.len() - 1);
    let last = last.parse::<u8>().ok().filter(|d| d % 2 == 1)?;
    Some(format!("{head}{}", last - 1))
}

/// `1.25e-7` to (`125`, -7).
fn split_exponent(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (
        mantissa.chars().filter(char::is_ascii_digit).collect(),
        exponent.parse().unwrap_or(0),
    )
}

/// Compares `digits × 10^…` with `mantissas × 2^(power - 1)`, exactly.
fn equals_any(digits: &str, exponent: i32, power: i32, mantissas: &[u64]) -> bool {
    let Ok(d) = digits.parse::<BigInt>() else {
        return false;
    };
    let ten = exponent + 1 - i32::try_from(digits.len()).unwrap_or(0);
    let pow = |base: u8, e: i32| BigInt::from(base).pow(u32::try_from(e.max(0)).unwrap_or(0));
    let left = d * pow(10, ten) * pow(2, 1 - power);
    let scale = pow(2, power - 1) * pow(10, -ten);
    mantissas.iter().any(|m| left == &scale * *m)
}

/// Whether the decimal is exactly half way between the float and a neighbour.
fn is_half_way(digits: &str, exponent: i32, binary: Binary) -> bool {
    let twice = binary.mantissa * 2;
    equals_any(digits, exponent, binary.power, &[twice - 1, twice + 1])
}

/// Whether the decimal is exactly the float.
fn is_exactly(digits: &str, exponent: i32, binary: Binary) -> bool {
    equals_any(digits, exponent, binary.power, &[binary.mantissa * 2])
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
    let fraction = bits & ((1 << 52) - 1);
    let raw = i32::try_from(bits >> 52).unwrap_or(0);
    let mantissa = if raw == 0 {
        fraction
    } else {
        fraction | (1 << 52)
    };
    let binary = Binary {
        mantissa,
        power: raw.max(1) - 1075,
        // Outside this range no decimal of 17 digits is half way between two doubles.
        may_be_half_way: mantissa % 2 == 0 && (1e14..1e45).contains(&magnitude),
    };
    let (digits, exponent) = shortest(
        &format!("{magnitude:e}"),
        |precision| format!("{magnitude:.precision$e}"),
        |text| text.parse() == Ok(magnitude),
        binary,
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
    let fraction = u64::from(bits & ((1 << 23) - 1));
    let raw = i32::try_from(bits >> 23).unwrap_or(0);
    let mantissa = if raw == 0 {
        fraction
    } else {
        fraction | (1 << 23)
    };
    let binary = Binary {
        mantissa,
        power: raw.max(1) - 150,
        may_be_half_way: mantissa % 2 == 0 && (1e4..1e20).contains(&magnitude),
    };
    let (digits, exponent) = shortest(
        &format!("{magnitude:e}"),
        |precision| format!("{magnitude:.precision$e}"),
        |text| text.parse() == Ok(magnitude),
        binary,
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
    if body.eq_ignore_ascii_case("nan") {
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

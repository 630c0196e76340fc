//! The text of numerics.

use std::fmt;
use std::str::FromStr;

use num_bigint::BigInt;
use num_traits::Signed;

use super::{INTEGER_DIGITS_MAX, Numeric, Repr, SCALE_MAX, pow10};
use crate::ValueError;

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, digits, scale) = match &self.0 {
            Repr::NaN => return f.write_str("NaN"),
            Repr::PositiveInfinity => return f.write_str("Infinity"),
            Repr::NegativeInfinity => return f.write_str("-Infinity"),
            Repr::Small { unscaled, scale: 0 } => return write!(f, "{unscaled}"),
            Repr::Small { unscaled, scale } => {
                (*unscaled < 0, unscaled.unsigned_abs().to_string(), *scale)
            }
            Repr::Big { unscaled, scale } => (
                unscaled.is_negative(),
                unscaled.magnitude().to_string(),
                *scale,
            ),
        };
        if negative {
            f.write_str("-")?;
        }
        let scale = usize::from(scale);
        if scale == 0 {
            f.write_str(&digits)
        } else if digits.len() > scale {
            let (integer, fraction) = digits.split_at(digits.len() - scale);
            write!(f, "{integer}.{fraction}")
        } else {
            write!(f, "0.{digits:0>scale$}")
        }
    }
}

/// Up to 18 digits with a sign and a point, as the server prints most numbers.
fn parse_plain(text: &str) -> Option<Numeric> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 || !digits[0].is_ascii_digit() {
        return None;
    }
    let mut unscaled = 0i64;
    let mut scale = None;
    for &b in digits {
        match (b, &mut scale) {
            (b'0'..=b'9', scale) => {
                unscaled = unscaled.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
                if let Some(scale) = scale {
                    *scale += 1;
                }
            }
            (b'.', None) => scale = Some(0u16),
            _ => return None,
        }
    }
    let unscaled = if negative { -unscaled } else { unscaled };
    Some(Numeric::from_scaled_i64(unscaled, scale.unwrap_or(0)))
}

impl FromStr for Numeric {
    type Err = ValueError;

    /// `numeric_in` without a modifier: blanks around, sign, digits, point, exponent, `NaN`, `Infinity`, `inf`.
    fn from_str(text: &str) -> Result<Numeric, ValueError> {
        if let Some(plain) = parse_plain(text) {
            return Ok(plain);
        }
        let syntax = || ValueError::syntax("numeric", text);
        let trimmed = text.trim_matches(crate::input::is_space);
        let (negative, body) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            if body.eq_ignore_ascii_case("infinity") || body.eq_ignore_ascii_case("inf") {
                return Ok(if negative {
                    Numeric::NEGATIVE_INFINITY
                } else {
                    Numeric::INFINITY
                });
            }
            if trimmed.eq_ignore_ascii_case("nan") {
                return Ok(Numeric::NAN);
            }
            return Err(syntax());
        }
        let (mantissa, exponent) = match body.find(['e', 'E']) {
            Some(at) => (&body[..at], Some(&body[at + 1..])),
            None => (body, None),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (integer.is_empty() && fraction.is_empty())
            || !all_digits(integer)
            || !all_digits(fraction)
        {
            return Err(syntax());
        }
        let exponent = match exponent {
            None => 0,
            Some(text) => {
                let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
                if digits.is_empty() || !all_digits(digits) {
                    return Err(syntax());
                }
                text.parse::<i64>()
                    .ok()
                    .filter(|e| e.abs() < i64::from(i32::MAX / 2))
                    .ok_or_else(ValueError::numeric_overflow)?
            }
        };
        let scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX) - exponent;
        let digits = [integer, fraction].concat();
        let digits = digits.trim_start_matches('0');
        let shown = scale.max(0);
        let shown = u16::try_from(shown)
            .ok()
            .filter(|s| *s <= SCALE_MAX)
            .ok_or_else(ValueError::numeric_overflow)?;
        if digits.is_empty() {
            return Ok(Numeric::from_scaled_i64(0, shown));
        }
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        if length - scale > INTEGER_DIGITS_MAX {
            return Err(ValueError::numeric_overflow());
        }
        if digits.len() <= 18 && scale >= 0 {
            let n: i64 = digits.parse().map_err(|_| syntax())?;
            return Ok(Numeric::from_scaled_i64(
                if negative { -n } else { n },
                shown,
            ));
        }
        let mut n: BigInt = digits.parse().map_err(|_| syntax())?;
        if let Ok(up) = u32::try_from(-scale) {
            n *= pow10(up);
        }
        Ok(Numeric::from_parts(if negative { -n } else { n }, shown))
    }
}

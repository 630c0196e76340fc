//! Arithmetic on numerics: digits and display scales as Postgres gives them.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_traits::Signed;

use super::{INTEGER_DIGITS_MAX, Numeric, Repr, SCALE_MAX, pow10};
use crate::ValueError;

const DISPLAY_SCALE_MAX: i64 = 1000;
const SIGNIFICANT_DIGITS_MIN: i64 = 16;
/// Decimal digits in a digit of Postgres' own representation, which decides scales.
const BASE_DIGITS: i64 = 4;
const ROUND_SCALE_MAX: i32 = 2000;

/// Quotient rounded half away from zero; the divisor is positive or negative, not zero.
fn div_round(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    let negative = (numerator.sign() == Sign::Minus) != (denominator.sign() == Sign::Minus);
    let (n, d) = (numerator.abs(), denominator.abs());
    let q = &n / &d;
    let r = n - &q * &d;
    let q = if r * 2 >= d { q + 1 } else { q };
    if negative { -q } else { q }
}

impl Numeric {
    /// Digits before the decimal point that the format allows are not exceeded.
    fn checked(self) -> Result<Numeric, ValueError> {
        if let Repr::Big { unscaled, scale } = &self.0 {
            // 2^(bits-1) <= |unscaled|: only a value that may be too long is counted exactly.
            let bits = i64::try_from(unscaled.bits()).unwrap_or(i64::MAX);
            if bits / 4 > INTEGER_DIGITS_MAX + i64::from(*scale) - INTEGER_DIGITS_MAX / 2
                && self.decimal_exponent() >= INTEGER_DIGITS_MAX
            {
                return Err(ValueError::numeric_overflow());
            }
        }
        Ok(self)
    }
    /// The leading base-10000 digit and its weight, as Postgres stores the value; `(0, 0)` for zero.
    fn leading_digit(&self) -> (i64, i64) {
        if self.is_zero() {
            return (0, 0);
        }
        let digits = self.digits();
        let exponent =
            i64::try_from(digits.len()).unwrap_or(i64::MAX) - 1 - i64::from(self.scale());
        let weight = exponent.div_euclid(BASE_DIGITS);
        let count = exponent - weight * BASE_DIGITS + 1;
        let mut digit = 0;
        let mut bytes = digits.bytes();
        for _ in 0..count {
            digit = digit * 10 + bytes.next().map_or(0, |b| i64::from(b - b'0'));
        }
        (digit, weight)
    }

    /// The weight of the leading base-10000 digit.
    pub(crate) fn weight(&self) -> i64 {
        self.leading_digit().1
    }

    /// The scale of a quotient (Postgres' `select_div_scale`).
    fn div_scale(&self, divisor: &Numeric) -> u16 {
        let (first1, weight1) = self.leading_digit();
        let (first2, weight2) = divisor.leading_digit();
        let mut weight = weight1 - weight2;
        if first1 <= first2 {
            weight -= 1;
        }
        let scale = (SIGNIFICANT_DIGITS_MIN - weight * BASE_DIGITS)
            .max(self.scale().into())
            .max(divisor.scale().into())
            .clamp(0, DISPLAY_SCALE_MAX);
        u16::try_from(scale).unwrap_or(0)
    }
    /// Negation.
    #[must_use]
    pub fn neg(&self) -> Numeric {
        match &self.0 {
            Repr::Small { unscaled, scale } => Numeric::from_i128(-i128::from(*unscaled), *scale),
            Repr::Big { unscaled, scale } => Numeric::from_parts(-(**unscaled).clone(), *scale),
            Repr::NegativeInfinity => Numeric::INFINITY,
            Repr::PositiveInfinity => Numeric::NEGATIVE_INFINITY,
            Repr::NaN => Numeric::NAN,
        }
    }

    /// Absolute value.
    #[must_use]
    pub fn abs(&self) -> Numeric {
        if self.signum() < 0 {
            self.neg()
        } else {
            self.clone()
        }
    }

    /// Sum; the larger display scale.
    ///
    /// # Errors
    /// 22003 when the result has too many digits.
    pub fn add(&self, other: &Numeric) -> Result<Numeric, ValueError> {
        if let Some((a, b, scale)) = self.aligned_small(other) {
            return Ok(Numeric::from_i128(a + b, scale));
        }
        match (self.to_parts(), other.to_parts()) {
            (Some(a), Some(b)) => {
                let (a, b, scale) = Numeric::aligned(&a, &b);
                Numeric::from_parts(a + b, scale).checked()
            }
            _ => Ok(self.add_special(other)),
        }
    }

    fn add_special(&self, other: &Numeric) -> Numeric {
        match (&self.0, &other.0) {
            (Repr::NaN, _)
            | (_, Repr::NaN)
            | (Repr::PositiveInfinity, Repr::NegativeInfinity)
            | (Repr::NegativeInfinity, Repr::PositiveInfinity) => Numeric::NAN,
            (Repr::PositiveInfinity, _) | (_, Repr::PositiveInfinity) => Numeric::INFINITY,
            _ => Numeric::NEGATIVE_INFINITY,
        }
    }

    /// Difference; the larger display scale.
    ///
    /// # Errors
    /// 22003 when the result has too many digits.
    pub fn sub(&self, other: &Numeric) -> Result<Numeric, ValueError> {
        self.add(&other.neg())
    }

    /// Product; the scales add up.
    ///
    /// # Errors
    /// 22003 when the result has too many digits.
    pub fn mul(&self, other: &Numeric) -> Result<Numeric, ValueError> {
        if let (Some((a, sa)), Some((b, sb))) = (self.to_small_parts(), other.to_small_parts())
            && sa + sb <= SCALE_MAX
        {
            return Ok(Numeric::from_i128(i128::from(a) * i128::from(b), sa + sb));
        }
        if let (Some((a, sa)), Some((b, sb))) = (self.to_parts(), other.to_parts()) {
            let (product, scale) = (a * b, u32::from(sa) + u32::from(sb));
            return match u16::try_from(scale) {
                Ok(scale) if scale <= SCALE_MAX => Numeric::from_parts(product, scale).checked(),
                _ => {
                    let excess = scale - u32::from(SCALE_MAX);
                    Numeric::from_parts(div_round(&product, &pow10(excess)), SCALE_MAX).checked()
                }
            };
        }
        if self.is_nan() || other.is_nan() || self.is_zero() || other.is_zero() {
            return Ok(Numeric::NAN);
        }
        Ok(if self.signum() == other.signum() {
            Numeric::INFINITY
        } else {
            Numeric::NEGATIVE_INFINITY
        })
    }

    /// Quotient, with at least 16 significant digits and the scale that Postgres selects.
    ///
    /// # Errors
    /// 22012 for a zero divisor, 22003 when the result has too many digits.
    pub fn div(&self, other: &Numeric) -> Result<Numeric, ValueError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NAN);
        }
        if self.is_infinite() {
            return match (other.is_infinite(), other.signum()) {
                (true, _) => Ok(Numeric::NAN),
                (false, 0) => Err(ValueError::division_by_zero()),
                (false, s) if s == self.signum() => Ok(Numeric::INFINITY),
                _ => Ok(Numeric::NEGATIVE_INFINITY),
            };
        }
        if other.is_infinite() {
            return Ok(Numeric::ZERO);
        }
        if other.is_zero() {
            return Err(ValueError::division_by_zero());
        }
        self.div_at_scale(other, self.div_scale(other))
    }

    /// Quotient of finite values rounded half away from zero to `scale` decimals; the divisor is not zero.
    pub(crate) fn div_at_scale(&self, other: &Numeric, scale: u16) -> Result<Numeric, ValueError> {
        let exponent = i64::from(scale) + i64::from(other.scale()) - i64::from(self.scale());
        if let (Some((a, _)), Some((b, _))) = (self.to_small_parts(), other.to_small_parts())
            && let Ok(up) = u32::try_from(exponent)
            && let Some(power) = 10i128.checked_pow(up)
            && let Some(n) = i128::from(a).checked_mul(power)
        {
            let d = i128::from(b);
            let (q, r) = (n / d, n % d);
            let q = if r.unsigned_abs() * 2 >= d.unsigned_abs() {
                q + if (n < 0) == (d < 0) { 1 } else { -1 }
            } else {
                q
            };
            return Ok(Numeric::from_i128(q, scale));
        }
        let (Some((a, _)), Some((b, _))) = (self.to_parts(), other.to_parts()) else {
            return Ok(Numeric::NAN);
        };
        let power = pow10(u32::try_from(exponent.abs()).unwrap_or(0));
        let quotient = if exponent >= 0 {
            div_round(&(a * power), &b)
        } else {
            div_round(&a, &(b * power))
        };
        Numeric::from_parts(quotient, scale).checked()
    }

    /// Remainder of the division truncated towards zero; the larger display scale.
    ///
    /// # Errors
    /// 22012 for a zero divisor.
    pub fn rem(&self, other: &Numeric) -> Result<Numeric, ValueError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NAN);
        }
        if other.is_zero() {
            return Err(ValueError::division_by_zero());
        }
        if self.is_infinite() {
            return Ok(Numeric::NAN);
        }
        if other.is_infinite() {
            return Ok(self.clone());
        }
        if let Some((a, b, scale)) = self.aligned_small(other) {
            return Ok(Numeric::from_i128(a % b, scale));
        }
        match (self.to_parts(), other.to_parts()) {
            (Some(a), Some(b)) => {
                let (a, b, scale) = Numeric::aligned(&a, &b);
                Ok(Numeric::from_parts(a % b, scale))
            }
            _ => Ok(Numeric::NAN),
        }
    }

    /// `div(numeric, numeric)`: the quotient truncated towards zero, display scale 0.
    ///
    /// # Errors
    /// 22012 for a zero divisor.
    pub fn div_trunc(&self, other: &Numeric) -> Result<Numeric, ValueError> {
        if !self.is_finite() || !other.is_finite() {
            return self.div(other);
        }
        if other.is_zero() {
            return Err(ValueError::division_by_zero());
        }
        match (self.to_parts(), other.to_parts()) {
            (Some(a), Some(b)) => {
                let (a, b, _) = Numeric::aligned(&a, &b);
                Numeric::from_parts(a / b, 0).checked()
            }
            _ => Ok(Numeric::NAN),
        }
    }

    /// The same value at another display scale, rounded half away from zero where digits are lost.
    #[must_use]
    pub fn rescale(&self, scale: u16) -> Numeric {
        let own = self.scale();
        match &self.0 {
            Repr::Small { unscaled, .. } if own == scale => {
                Numeric::from_scaled_i64(*unscaled, scale)
            }
            Repr::Small { unscaled, .. } if scale > own && scale - own <= 18 => Numeric::from_i128(
                i128::from(*unscaled) * 10i128.pow((scale - own).into()),
                scale,
            ),
            Repr::Small { .. } | Repr::Big { .. } => {
                let (unscaled, _) = self.to_parts().unwrap_or_default();
                let unscaled = match scale.cmp(&own) {
                    Ordering::Equal => unscaled,
                    Ordering::Greater => unscaled * pow10((scale - own).into()),
                    Ordering::Less => div_round(&unscaled, &pow10((own - scale).into())),
                };
                Numeric::from_parts(unscaled, scale)
            }
            _ => self.clone(),
        }
    }

    /// Rounded or truncated at a position that may be left of the decimal point.
    fn at_position(&self, places: i32, round: bool) -> Numeric {
        let Some((unscaled, own)) = self.to_parts() else {
            return self.clone();
        };
        let places = places.clamp(-ROUND_SCALE_MAX, ROUND_SCALE_MAX);
        let scale = u16::try_from(places.max(0)).unwrap_or(0);
        let drop = i32::from(own) - places;
        let Ok(drop) = u32::try_from(drop) else {
            return self.rescale(scale);
        };
        let power = pow10(drop);
        let kept = if round {
            div_round(&unscaled, &power)
        } else {
            unscaled / power
        };
        let kept = if places < 0 {
            kept * pow10(places.unsigned_abs())
        } else {
            kept
        };
        Numeric::from_parts(kept, scale)
    }

    /// `round(numeric, n)`: half away from zero.
    #[must_use]
    pub fn round(&self, places: i32) -> Numeric {
        self.at_position(places, true)
    }

    /// `trunc(numeric, n)`.
    #[must_use]
    pub fn trunc(&self, places: i32) -> Numeric {
        self.at_position(places, false)
    }

    /// Smallest integer not below.
    #[must_use]
    pub fn ceil(&self) -> Numeric {
        self.to_integer_towards(1)
    }

    /// Largest integer not above.
    #[must_use]
    pub fn floor(&self) -> Numeric {
        self.to_integer_towards(-1)
    }

    fn to_integer_towards(&self, direction: i32) -> Numeric {
        let truncated = self.trunc(0);
        if self.is_finite() && self.signum() == direction && truncated != *self {
            let (integer, _) = truncated.to_parts().unwrap_or_default();
            if truncated.compare(self) != Ordering::Equal {
                return Numeric::from_parts(integer + direction, 0);
            }
        }
        truncated
    }

    /// Without trailing zeros after the decimal point (`trim_scale`).
    #[must_use]
    pub fn trim_scale(&self) -> Numeric {
        match &self.0 {
            Repr::Small { unscaled, scale } => {
                let (mut unscaled, mut scale) = (*unscaled, *scale);
                while scale > 0 && unscaled % 10 == 0 {
                    if unscaled == 0 {
                        scale = 0;
                        break;
                    }
                    unscaled /= 10;
                    scale -= 1;
                }
                Numeric::from_scaled_i64(unscaled, scale)
            }
            Repr::Big { unscaled, scale } => {
                let digits = unscaled.magnitude().to_string();
                let zeros = digits.len() - digits.trim_end_matches('0').len();
                let cut = u16::try_from(zeros).unwrap_or(u16::MAX).min(*scale);
                Numeric::from_parts(&**unscaled / pow10(cut.into()), scale - cut)
            }
            _ => self.clone(),
        }
    }

    /// Square root, at the scale that Postgres selects.
    ///
    /// # Errors
    /// 2201F for a negative argument.
    pub fn sqrt(&self) -> Result<Numeric, ValueError> {
        if self.is_nan() || self.0 == Repr::PositiveInfinity {
            return Ok(self.clone());
        }
        if self.signum() < 0 {
            return Err(ValueError::new(
                "2201F",
                "cannot take square root of a negative number",
            ));
        }
        let digits = self.weight() * BASE_DIGITS / 2 + 1;
        let scale = (SIGNIFICANT_DIGITS_MIN - digits)
            .max(self.scale().into())
            .clamp(0, DISPLAY_SCALE_MAX);
        Ok(self.sqrt_at_scale(u16::try_from(scale).unwrap_or(0)))
    }

    /// Square root of a non-negative finite value, correctly rounded to `scale` decimals.
    #[must_use]
    pub fn sqrt_at_scale(&self, scale: u16) -> Numeric {
        let Some((unscaled, own)) = self.to_parts() else {
            return self.clone();
        };
        // floor(sqrt(value * 10^(2*scale))), then round by comparing with (root + 1/2)^2.
        let exponent = 2 * i64::from(scale) - i64::from(own);
        let power = pow10(u32::try_from(exponent.abs()).unwrap_or(0));
        let scaled = if exponent >= 0 {
            unscaled * power
        } else {
            unscaled / power
        };
        let root = scaled.sqrt();
        // (root + 1/2)^2 = root^2 + root + 1/4
        let half = &root * &root + &root;
        let root = if scaled > half { root + 1 } else { root };
        Numeric::from_parts(root, scale)
    }
}

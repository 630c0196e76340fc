//! `numeric`: an exact decimal with a display scale, NaN and the infinities.
//!
//! In: texts, integers, floats. Out: results with the digits and the display scale that Postgres gives.
//!
//! Always: a finite value is `unscaled / 10^scale`, its scale at most 16383; one representation per value and scale, so
//! derived equality means "prints the same".

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::{BigInt, Sign};
use num_traits::{Signed, ToPrimitive};

use crate::ValueError;

/// The largest display scale that Postgres stores.
pub(crate) const SCALE_MAX: u16 = 16383;
/// The most digits before the decimal point.
const INTEGER_DIGITS_MAX: i64 = 131_072;
const DISPLAY_SCALE_MAX: i64 = 1000;
const SIGNIFICANT_DIGITS_MIN: i64 = 16;
const BASE_DIGITS: i64 = 4;
const ROUND_SCALE_MAX: i32 = 2000;

/// A `numeric` value with its display scale.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Numeric(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Small {
        unscaled: i64,
        scale: u16,
    },
    /// Only where `unscaled` does not fit an i64.
    Big {
        unscaled: Box<BigInt>,
        scale: u16,
    },
    NegativeInfinity,
    PositiveInfinity,
    NaN,
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numeric({self})")
    }
}

pub(crate) fn pow10(n: u32) -> BigInt {
    match 10u128.checked_pow(n) {
        Some(p) => BigInt::from(p),
        None => BigInt::from(10u8).pow(n),
    }
}

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
    /// Zero without decimals.
    pub const ZERO: Numeric = Numeric(Repr::Small {
        unscaled: 0,
        scale: 0,
    });
    /// Not a number; equal to itself and above everything.
    pub const NAN: Numeric = Numeric(Repr::NaN);
    /// Infinity.
    pub const INFINITY: Numeric = Numeric(Repr::PositiveInfinity);
    /// -Infinity.
    pub const NEGATIVE_INFINITY: Numeric = Numeric(Repr::NegativeInfinity);

    /// `unscaled / 10^scale`, shown with `scale` decimals.
    #[must_use]
    pub fn from_parts(unscaled: BigInt, scale: u16) -> Numeric {
        match i64::try_from(&unscaled) {
            Ok(unscaled) => Numeric(Repr::Small { unscaled, scale }),
            Err(_) => Numeric(Repr::Big {
                unscaled: Box::new(unscaled),
                scale,
            }),
        }
    }

    fn from_i128(unscaled: i128, scale: u16) -> Numeric {
        match i64::try_from(unscaled) {
            Ok(unscaled) => Numeric(Repr::Small { unscaled, scale }),
            Err(_) => Numeric(Repr::Big {
                unscaled: Box::new(BigInt::from(unscaled)),
                scale,
            }),
        }
    }

    /// An integer, display scale 0.
    #[must_use]
    pub const fn from_i64(n: i64) -> Numeric {
        Numeric(Repr::Small {
            unscaled: n,
            scale: 0,
        })
    }

    /// `unscaled / 10^scale` from an i64.
    #[must_use]
    pub const fn from_scaled_i64(unscaled: i64, scale: u16) -> Numeric {
        Numeric(Repr::Small { unscaled, scale })
    }

    /// An integer of any size, display scale 0.
    #[must_use]
    pub fn from_bigint(n: BigInt) -> Numeric {
        Numeric::from_parts(n, 0)
    }

    /// The unscaled integer and the display scale of a finite value.
    #[must_use]
    pub fn to_parts(&self) -> Option<(BigInt, u16)> {
        match &self.0 {
            Repr::Small { unscaled, scale } => Some((BigInt::from(*unscaled), *scale)),
            Repr::Big { unscaled, scale } => Some(((**unscaled).clone(), *scale)),
            _ => None,
        }
    }

    /// The unscaled integer and display scale where the former fits an i64.
    #[must_use]
    pub fn to_small_parts(&self) -> Option<(i64, u16)> {
        match self.0 {
            Repr::Small { unscaled, scale } => Some((unscaled, scale)),
            _ => None,
        }
    }

    /// The display scale; 0 for NaN and the infinities.
    #[must_use]
    pub fn scale(&self) -> u16 {
        match self.0 {
            Repr::Small { scale, .. } | Repr::Big { scale, .. } => scale,
            _ => 0,
        }
    }

    /// Whether this is NaN.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        self.0 == Repr::NaN
    }

    /// Whether this is one of the infinities.
    #[must_use]
    pub fn is_infinite(&self) -> bool {
        matches!(self.0, Repr::PositiveInfinity | Repr::NegativeInfinity)
    }

    /// Neither NaN nor infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        matches!(self.0, Repr::Small { .. } | Repr::Big { .. })
    }

    /// Whether this is zero of any scale.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(self.0, Repr::Small { unscaled: 0, .. })
    }

    /// -1, 0 or 1; the infinities have theirs, NaN counts as 1.
    #[must_use]
    pub fn signum(&self) -> i32 {
        match &self.0 {
            Repr::Small { unscaled, .. } => match unscaled.cmp(&0) {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            },
            Repr::Big { unscaled, .. } => match unscaled.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
            Repr::NegativeInfinity => -1,
            Repr::PositiveInfinity | Repr::NaN => 1,
        }
    }

    /// `sign(numeric)`: -1, 0, 1, or NaN.
    #[must_use]
    pub fn sign(&self) -> Numeric {
        if self.is_nan() {
            return Numeric::NAN;
        }
        Numeric::from_i64(self.signum().into())
    }

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

    /// Decimal digits of the unscaled integer; 0 for zero.
    fn digits(&self) -> String {
        match &self.0 {
            Repr::Small { unscaled: 0, .. } => String::new(),
            Repr::Small { unscaled, .. } => unscaled.unsigned_abs().to_string(),
            Repr::Big { unscaled, .. } => unscaled.magnitude().to_string(),
            _ => String::new(),
        }
    }

    /// The exponent of the leading digit (0 for 1..=9); meaningless for zero.
    fn decimal_exponent(&self) -> i64 {
        let digits = match &self.0 {
            Repr::Small { unscaled, .. } => {
                i64::from(unscaled.unsigned_abs().checked_ilog10().unwrap_or(0)) + 1
            }
            _ => i64::try_from(self.digits().len()).unwrap_or(i64::MAX),
        };
        digits - 1 - i64::from(self.scale())
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

    /// Both unscaled integers at the larger scale.
    fn aligned(a: &(BigInt, u16), b: &(BigInt, u16)) -> (BigInt, BigInt, u16) {
        match a.1.cmp(&b.1) {
            Ordering::Equal => (a.0.clone(), b.0.clone(), a.1),
            Ordering::Less => (&a.0 * pow10((b.1 - a.1).into()), b.0.clone(), b.1),
            Ordering::Greater => (a.0.clone(), &b.0 * pow10((a.1 - b.1).into()), a.1),
        }
    }

    /// As [`Numeric::aligned`], where i64s scaled by at most 10^18 make it safe.
    fn aligned_small(&self, other: &Numeric) -> Option<(i128, i128, u16)> {
        let (a, sa) = self.to_small_parts()?;
        let (b, sb) = other.to_small_parts()?;
        if sa.abs_diff(sb) > 18 {
            return None;
        }
        let (a, b) = (i128::from(a), i128::from(b));
        Some(if sa >= sb {
            (a, b * 10i128.pow((sa - sb).into()), sa)
        } else {
            (a * 10i128.pow((sb - sa).into()), b, sb)
        })
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
            if truncated.cmp(self) != Ordering::Equal {
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

    /// Rounded half away from zero to an i64.
    ///
    /// # Errors
    /// 22003 out of range; 0A000 for NaN and the infinities.
    pub fn to_i64(&self) -> Result<i64, ValueError> {
        self.to_integer("bigint", i64::MIN, i64::MAX)
    }

    /// Rounded half away from zero to an integer type of the given name and range.
    ///
    /// # Errors
    /// 22003 out of range; 0A000 for NaN and the infinities.
    pub fn to_integer(&self, type_name: &str, min: i64, max: i64) -> Result<i64, ValueError> {
        let refused = |what: &str| {
            Err(ValueError::new(
                "0A000",
                format!("cannot convert {what} to {type_name}"),
            ))
        };
        match &self.0 {
            Repr::NaN => return refused("NaN"),
            Repr::PositiveInfinity | Repr::NegativeInfinity => return refused("infinity"),
            Repr::Small { unscaled, scale: 0 } => Some(*unscaled),
            _ => self.round(0).to_small_parts().map(|(n, _)| n),
        }
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| ValueError::out_of_range(type_name))
    }

    /// The nearest double.
    ///
    /// # Errors
    /// 22003 when it is too large or too small for one.
    pub fn to_f64(&self) -> Result<f64, ValueError> {
        match &self.0 {
            Repr::NaN => Ok(f64::NAN),
            Repr::PositiveInfinity => Ok(f64::INFINITY),
            Repr::NegativeInfinity => Ok(f64::NEG_INFINITY),
            _ => crate::float::parse_float8(&self.to_string()),
        }
    }

    /// The nearest float.
    ///
    /// # Errors
    /// 22003 when it is too large or too small for one.
    pub fn to_f32(&self) -> Result<f32, ValueError> {
        match &self.0 {
            Repr::NaN => Ok(f32::NAN),
            Repr::PositiveInfinity => Ok(f32::INFINITY),
            Repr::NegativeInfinity => Ok(f32::NEG_INFINITY),
            _ => crate::float::parse_float4(&self.to_string()),
        }
    }

    /// `float8::numeric`: 15 significant digits.
    #[must_use]
    pub fn from_f64(f: f64) -> Numeric {
        Numeric::from_float_digits(f, 15)
    }

    /// `float4::numeric`: 6 significant digits.
    #[must_use]
    pub fn from_f32(f: f32) -> Numeric {
        Numeric::from_float_digits(f.into(), 6)
    }

    fn from_float_digits(f: f64, digits: usize) -> Numeric {
        if f.is_nan() {
            return Numeric::NAN;
        }
        if f.is_infinite() {
            return if f > 0.0 {
                Numeric::INFINITY
            } else {
                Numeric::NEGATIVE_INFINITY
            };
        }
        // `%.15g` prints the same digits; the zeros that it trims are decimals only.
        let text = format!("{:.*e}", digits - 1, f);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = if mantissa.contains('.') {
            mantissa.trim_end_matches('0').trim_end_matches('.')
        } else {
            mantissa
        };
        format!("{mantissa}e{exponent}")
            .parse()
            .unwrap_or(Numeric::NAN)
    }

    /// Coerces to `numeric(precision, scale)` as an assignment or cast does.
    ///
    /// # Errors
    /// 22003 `numeric field overflow`.
    pub fn apply_typmod(&self, typmod: i32) -> Result<Numeric, ValueError> {
        let Some((precision, scale)) = numeric_typmod(typmod) else {
            return Ok(self.clone());
        };
        if self.is_nan() {
            return Ok(self.clone());
        }
        let overflow = || ValueError::new("22003", "numeric field overflow");
        if self.is_infinite() {
            return Err(overflow());
        }
        let rounded = self.round(scale);
        // |rounded| < 10^(precision - scale)
        if !rounded.is_zero() && rounded.decimal_exponent() >= i64::from(precision - scale) {
            return Err(overflow());
        }
        Ok(rounded)
    }

    /// Decimal digits and the exponent E with `|value| = 0.d1d2… × 10^E`, without leading or trailing zeros; for keys.
    pub(crate) fn significant_digits(&self) -> (String, i64) {
        let digits = self.digits();
        let exponent = i64::try_from(digits.len()).unwrap_or(i64::MAX) - i64::from(self.scale());
        (digits.trim_end_matches('0').to_owned(), exponent)
    }

    /// Whether the value is a whole number.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        self.is_finite() && self.trim_scale().scale() == 0
    }

    /// The value as an i64 if it is whole and fits.
    #[must_use]
    pub fn to_exact_i64(&self) -> Option<i64> {
        match self.trim_scale().0 {
            Repr::Small { unscaled, scale: 0 } => Some(unscaled),
            _ => None,
        }
    }
}

/// `(precision, scale)` of a `numeric` modifier; the scale may be negative or above the precision.
#[must_use]
pub fn numeric_typmod(typmod: i32) -> Option<(i32, i32)> {
    if typmod < 4 {
        return None;
    }
    let bits = typmod - 4;
    Some(((bits >> 16) & 0xFFFF, ((bits & 0x7FF) ^ 1024) - 1024))
}

impl Ord for Numeric {
    /// Postgres' order: -Infinity, numbers, Infinity, NaN; scales do not count.
    fn cmp(&self, other: &Numeric) -> Ordering {
        if let Some((a, b, _)) = self.aligned_small(other) {
            return a.cmp(&b);
        }
        let rank = |n: &Numeric| match n.0 {
            Repr::NegativeInfinity => 0,
            Repr::Small { .. } | Repr::Big { .. } => 1,
            Repr::PositiveInfinity => 2,
            Repr::NaN => 3,
        };
        match (self.to_parts(), other.to_parts()) {
            (Some(a), Some(b)) => {
                let (a, b, _) = Numeric::aligned(&a, &b);
                a.cmp(&b)
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

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

impl From<i64> for Numeric {
    fn from(n: i64) -> Numeric {
        Numeric::from_i64(n)
    }
}

impl Numeric {
    /// A finite value as i128 parts where they fit.
    #[must_use]
    pub fn to_i128_parts(&self) -> Option<(i128, u16)> {
        match &self.0 {
            Repr::Small { unscaled, scale } => Some(((*unscaled).into(), *scale)),
            Repr::Big { unscaled, scale } => unscaled.to_i128().map(|u| (u, *scale)),
            _ => None,
        }
    }
}

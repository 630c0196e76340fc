//! `numeric`: an exact decimal with a display scale, NaN and the infinities.
//!
//! In: texts, integers, floats. Out: results with the digits and the display scale that Postgres gives.
//!
//! Always: a finite value is `unscaled / 10^scale`, its scale at most 16383; one representation per value and scale, so
//! derived equality means "prints the same".

mod arithmetic;
mod convert;
mod text;

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};
use num_traits::ToPrimitive;

pub use convert::numeric_typmod;

/// The largest display scale that Postgres stores.
pub(crate) const SCALE_MAX: u16 = 16383;
/// The most digits before the decimal point.
const INTEGER_DIGITS_MAX: i64 = 131_072;

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

impl Numeric {
    /// Postgres' order: -Infinity, numbers, Infinity, NaN; scales do not count.
    ///
    /// Not the trait, since `==` tells 1.0 from 1.00.
    #[must_use]
    pub fn compare(&self, other: &Numeric) -> Ordering {
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

impl From<i64> for Numeric {
    fn from(n: i64) -> Numeric {
        Numeric::from_i64(n)
    }
}

//! An exact sum of doubles, rounded once, that can take back what it was given.
//!
//! Postgres adds doubles one after the other and rounds at each step, so its `sum` depends on the order in which it happens to
//! read rows. This sum is the one that all orders approximate: the exact value rounded to the nearest double. The two agree
//! whenever no addition rounds (integers below 2^53, money in halves and quarters), and otherwise differ in the last digits.

use num_bigint::{BigInt, Sign};
use num_traits::{Signed, Zero};
use readside_pgtype::{CorruptValue, Decoder, put_zigzag};

use crate::accumulator::{get_bigint, put_bigint};

/// A sum `unscaled × 2^exponent` of the finite values, and counts of the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FloatSum {
    unscaled: BigInt,
    exponent: i64,
    finite: i64,
    negative_zeros: i64,
    nan: i64,
    positive_infinite: i64,
    negative_infinite: i64,
}

/// A finite double as `mantissa × 2^exponent`.
fn parts(x: f64) -> (BigInt, i64) {
    let bits = x.to_bits();
    let raw_exponent = i64::try_from((bits >> 52) & 0x7FF).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = if raw_exponent == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << 52), raw_exponent - 1075)
    };
    let mantissa = BigInt::from(mantissa);
    (
        if x.is_sign_negative() {
            -mantissa
        } else {
            mantissa
        },
        exponent,
    )
}

/// 2^exponent as a double, for exponents that a double can hold.
fn power_of_two(exponent: i64) -> f64 {
    if exponent >= -1022 {
        f64::from_bits(u64::try_from(exponent.min(1023) + 1023).unwrap_or(0) << 52)
    } else {
        f64::from_bits(1 << u32::try_from((exponent + 1074).max(0)).unwrap_or(0))
    }
}

/// `unscaled × 2^exponent` as the nearest double, ties to even; infinite where it is too large.
pub(crate) fn round_to_double(unscaled: &BigInt, exponent: i64) -> f64 {
    if unscaled.is_zero() {
        return 0.0;
    }
    let magnitude = unscaled.abs();
    let bits = i64::try_from(magnitude.bits()).unwrap_or(i64::MAX);
    if bits + exponent > 1024 {
        return if unscaled.is_negative() {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    // Drop what is below the last place: 53 bits, or 2^-1074 for subnormal results.
    let shift = (bits - 53).max(-1074 - exponent);
    let (mut kept, exponent) = if shift > 0 {
        let shift_by = u64::try_from(shift).unwrap_or(0);
        let kept: BigInt = &magnitude >> shift_by;
        let rest = &magnitude - (&kept << shift_by);
        let half = BigInt::from(1) << (shift_by - 1);
        let odd = kept.bit(0);
        let up = rest > half || (rest == half && odd);
        (if up { kept + 1 } else { kept }, exponent + shift)
    } else {
        (magnitude, exponent)
    };
    if unscaled.sign() == Sign::Minus {
        kept = -kept;
    }
    // At most 2^53: exact. Both factors are powers of two, and the product is representable or infinite.
    let mantissa = i64::try_from(&kept).unwrap_or(0);
    #[allow(clippy::cast_precision_loss, reason = "at most 2^53")]
    let mantissa = mantissa as f64;
    let first = exponent.clamp(-1000, 900);
    mantissa * power_of_two(first) * power_of_two(exponent - first)
}

impl FloatSum {
    /// Adds (`sign` 1) or takes back (`sign` -1) one value.
    pub(crate) fn apply(&mut self, x: f64, sign: i64) {
        if x.is_nan() {
            self.nan += sign;
        } else if x.is_infinite() {
            if x > 0.0 {
                self.positive_infinite += sign;
            } else {
                self.negative_infinite += sign;
            }
        } else {
            self.finite += sign;
            if x == 0.0 && x.is_sign_negative() {
                self.negative_zeros += sign;
            }
            let (mantissa, exponent) = parts(x);
            self.add_parts(&(mantissa * sign), exponent);
        }
    }

    /// Adds or takes back the square of a finite value; anything else counts as the value itself does.
    pub(crate) fn apply_square(&mut self, x: f64, sign: i64) {
        if !x.is_finite() {
            return self.apply(x.abs(), sign);
        }
        self.finite += sign;
        let (mantissa, exponent) = parts(x);
        self.add_parts(&(&mantissa * &mantissa * sign), 2 * exponent);
    }

    fn add_parts(&mut self, unscaled: &BigInt, exponent: i64) {
        if unscaled.is_zero() {
            return;
        }
        if self.unscaled.is_zero() {
            self.unscaled = unscaled.clone();
            self.exponent = exponent;
        } else if exponent >= self.exponent {
            self.unscaled += unscaled << u64::try_from(exponent - self.exponent).unwrap_or(0);
        } else {
            self.unscaled <<= u64::try_from(self.exponent - exponent).unwrap_or(0);
            self.exponent = exponent;
            self.unscaled += unscaled;
        }
        self.normalize();
    }

    /// One form for each sum: an odd mantissa, or zero with exponent 0.
    fn normalize(&mut self) {
        match self.unscaled.trailing_zeros() {
            None => self.exponent = 0,
            Some(0) => {}
            Some(zeros) => {
                self.unscaled >>= zeros;
                self.exponent += i64::try_from(zeros).unwrap_or(0);
            }
        }
    }

    /// Adds all that the other has.
    pub(crate) fn merge(&mut self, other: &FloatSum) {
        self.add_parts(&other.unscaled, other.exponent);
        self.finite += other.finite;
        self.negative_zeros += other.negative_zeros;
        self.nan += other.nan;
        self.positive_infinite += other.positive_infinite;
        self.negative_infinite += other.negative_infinite;
    }

    /// How many values are in it.
    pub(crate) fn count(&self) -> i64 {
        self.finite + self.nan + self.positive_infinite + self.negative_infinite
    }

    /// NaN or an infinity that decides the sum, whatever the finite values are.
    pub(crate) fn special(&self) -> Option<f64> {
        if self.nan > 0 || (self.positive_infinite > 0 && self.negative_infinite > 0) {
            Some(f64::NAN)
        } else if self.positive_infinite > 0 {
            Some(f64::INFINITY)
        } else if self.negative_infinite > 0 {
            Some(f64::NEG_INFINITY)
        } else {
            None
        }
    }

    /// The sum as the nearest double; infinite where finite values exceed the range.
    pub(crate) fn value(&self) -> f64 {
        if let Some(special) = self.special() {
            return special;
        }
        if self.finite > 0 && self.finite == self.negative_zeros {
            return -0.0;
        }
        round_to_double(&self.unscaled, self.exponent)
    }

    /// The exact finite sum as `unscaled × 2^exponent`.
    pub(crate) fn exact(&self) -> (&BigInt, i64) {
        (&self.unscaled, self.exponent)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_bigint(out, &self.unscaled);
        for n in [
            self.exponent,
            self.finite,
            self.negative_zeros,
            self.nan,
            self.positive_infinite,
            self.negative_infinite,
        ] {
            put_zigzag(out, n);
        }
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<FloatSum, CorruptValue> {
        let unscaled = get_bigint(decoder)?;
        let exponent = decoder.zigzag()?;
        // Beyond twice a double's exponents nothing is ever stored.
        if exponent.abs() > 4096 || unscaled.bits() > 16_384 {
            return Err(CorruptValue {
                at: decoder.position(),
            });
        }
        Ok(FloatSum {
            unscaled,
            exponent,
            finite: decoder.zigzag()?,
            negative_zeros: decoder.zigzag()?,
            nan: decoder.zigzag()?,
            positive_infinite: decoder.zigzag()?,
            negative_infinite: decoder.zigzag()?,
        })
    }
}

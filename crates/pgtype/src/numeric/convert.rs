//! Numerics to and from integers and floats, and coercion to a modifier.

use super::{Numeric, Repr};
use crate::ValueError;

impl Numeric {
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

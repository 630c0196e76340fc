//! `interval`: months, days and microseconds, kept apart.

use std::cmp::Ordering;

use super::civil::MICROS_PER_DAY;
use crate::ValueError;

/// `interval`: months, days and microseconds are kept apart, as Postgres does.
///
/// Derived equality is representation equality; Postgres' (30 days to a month, 24 hours to a day) is [`Interval::compare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

fn overflow() -> ValueError {
    ValueError::datetime_out_of_range("interval")
}

/// Rounds to whole microseconds, as Postgres does with seconds and days in floating point.
fn round_to_micros(x: f64) -> f64 {
    (x * 1e6).round_ties_even() / 1e6
}

/// A double truncated to an i32.
fn f64_to_i32(x: f64) -> Result<i32, ValueError> {
    if x.is_finite() && x >= f64::from(i32::MIN) && x < f64::from(i32::MAX) + 1.0 {
        #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
        return Ok(x as i32);
    }
    Err(overflow())
}

/// A rounded double as an i64.
fn f64_to_i64(x: f64) -> Result<i64, ValueError> {
    let limit = 9_223_372_036_854_775_808.0;
    if x.is_finite() && x >= -limit && x < limit {
        #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
        return Ok(x as i64);
    }
    Err(overflow())
}

/// An i64 as the nearest double.
pub(crate) fn i64_to_f64(n: i64) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "rounding to the nearest is what Postgres does"
    )]
    let x = n as f64;
    x
}

impl Interval {
    /// From months, days and microseconds.
    #[must_use]
    pub const fn new(months: i32, days: i32, micros: i64) -> Interval {
        Interval {
            months,
            days,
            micros,
        }
    }

    /// Whether this is ±infinity, which exists from version 17 on.
    #[must_use]
    pub fn is_infinite(&self) -> bool {
        (self.months == i32::MAX && self.days == i32::MAX && self.micros == i64::MAX)
            || (self.months == i32::MIN && self.days == i32::MIN && self.micros == i64::MIN)
    }

    /// The length in microseconds, a month being 30 days: what Postgres orders and compares by.
    #[must_use]
    pub fn span(&self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(MICROS_PER_DAY) + i128::from(self.micros)
    }

    /// Postgres' order: 1 month = 30 days, 1 day = 24 hours.
    #[must_use]
    pub fn compare(&self, other: &Interval) -> Ordering {
        self.span().cmp(&other.span())
    }

    /// Sum, part by part.
    ///
    /// # Errors
    /// 22008 when a part overflows.
    pub fn add(&self, other: &Interval) -> Result<Interval, ValueError> {
        Ok(Interval {
            months: self.months.checked_add(other.months).ok_or_else(overflow)?,
            days: self.days.checked_add(other.days).ok_or_else(overflow)?,
            micros: self.micros.checked_add(other.micros).ok_or_else(overflow)?,
        })
    }

    /// Difference, part by part.
    ///
    /// # Errors
    /// 22008 when a part overflows.
    pub fn sub(&self, other: &Interval) -> Result<Interval, ValueError> {
        Ok(Interval {
            months: self.months.checked_sub(other.months).ok_or_else(overflow)?,
            days: self.days.checked_sub(other.days).ok_or_else(overflow)?,
            micros: self.micros.checked_sub(other.micros).ok_or_else(overflow)?,
        })
    }

    /// Negation, part by part.
    ///
    /// # Errors
    /// 22008 when a part overflows.
    pub fn neg(&self) -> Result<Interval, ValueError> {
        Interval::default().sub(self)
    }

    /// `interval * double precision`: fractions of months go to days, of days to time.
    ///
    /// # Errors
    /// 22008 when a part overflows.
    pub fn mul(&self, factor: f64) -> Result<Interval, ValueError> {
        self.scaled(|x| x * factor)
    }

    /// `interval / double precision`.
    ///
    /// # Errors
    /// 22012 for zero, 22008 when a part overflows.
    pub fn div(&self, divisor: f64) -> Result<Interval, ValueError> {
        if divisor == 0.0 {
            return Err(ValueError::division_by_zero());
        }
        self.scaled(|x| x / divisor)
    }

    fn scaled(&self, scale: impl Fn(f64) -> f64) -> Result<Interval, ValueError> {
        let months_exact = scale(self.months.into());
        let days_exact = scale(self.days.into());
        let months = f64_to_i32(months_exact)?;
        let days = f64_to_i32(days_exact)?;
        let month_days = round_to_micros((months_exact - f64::from(months)) * 30.0);
        let whole_days = f64_to_i32(month_days)?;
        let mut seconds = round_to_micros(
            (days_exact - f64::from(days) + month_days - f64::from(whole_days)) * 86_400.0,
        );
        let mut days = days;
        if seconds.abs() >= 86_400.0 {
            let carried = f64_to_i32(seconds / 86_400.0)?;
            days = days.checked_add(carried).ok_or_else(overflow)?;
            seconds -= f64::from(carried) * 86_400.0;
        }
        let days = days.checked_add(whole_days).ok_or_else(overflow)?;
        let micros =
            f64_to_i64((scale(i64_to_f64(self.micros)) + seconds * 1e6).round_ties_even())?;
        Ok(Interval {
            months,
            days,
            micros,
        })
    }

    /// `justify_hours`: whole 24 hours become days, one sign for both.
    ///
    /// # Errors
    /// 22008 when days overflow.
    pub fn justify_hours(&self) -> Result<Interval, ValueError> {
        let mut days = i64::from(self.days) + self.micros / MICROS_PER_DAY;
        let mut micros = self.micros % MICROS_PER_DAY;
        if days > 0 && micros < 0 {
            micros += MICROS_PER_DAY;
            days -= 1;
        } else if days < 0 && micros > 0 {
            micros -= MICROS_PER_DAY;
            days += 1;
        }
        Ok(Interval {
            months: self.months,
            days: i32::try_from(days).map_err(|_| overflow())?,
            micros,
        })
    }

    /// `justify_days`: whole 30 days become months, one sign for both.
    ///
    /// # Errors
    /// 22008 when months overflow.
    pub fn justify_days(&self) -> Result<Interval, ValueError> {
        let mut months = i64::from(self.months) + i64::from(self.days / 30);
        let mut days = self.days % 30;
        if months > 0 && days < 0 {
            days += 30;
            months -= 1;
        } else if months < 0 && days > 0 {
            days -= 30;
            months += 1;
        }
        Ok(Interval {
            months: i32::try_from(months).map_err(|_| overflow())?,
            days,
            micros: self.micros,
        })
    }

    /// `justify_interval`: hours to days, days to months, one sign for all.
    ///
    /// # Errors
    /// 22008 when a part overflows.
    pub fn justify_interval(&self) -> Result<Interval, ValueError> {
        let mut months = i64::from(self.months);
        let mut days = i64::from(self.days) + self.micros / MICROS_PER_DAY;
        let mut micros = self.micros % MICROS_PER_DAY;
        months += days / 30;
        days %= 30;
        if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
            days += 30;
            months -= 1;
        } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
            days -= 30;
            months += 1;
        }
        if days > 0 && micros < 0 {
            micros += MICROS_PER_DAY;
            days -= 1;
        } else if days < 0 && micros > 0 {
            micros -= MICROS_PER_DAY;
            days += 1;
        }
        Ok(Interval {
            months: i32::try_from(months).map_err(|_| overflow())?,
            days: i32::try_from(days).map_err(|_| overflow())?,
            micros,
        })
    }
}

/// Rounds microseconds to the precision of a `time`, `timestamp` or `interval` modifier, half away from zero.
#[must_use]
pub fn round_micros(micros: i64, typmod: i32) -> i64 {
    let Ok(drop) = u32::try_from(6 - typmod) else {
        return micros;
    };
    if typmod < 0 || drop == 0 {
        return micros;
    }
    let unit = i128::from(10i64.pow(drop));
    let wide = i128::from(micros);
    let rounded = (wide.abs() + unit / 2) / unit * unit * wide.signum();
    i64::try_from(rounded).unwrap_or(micros)
}

/// Coerces an interval to a modifier: fields below the range are dropped, fractions of a second rounded.
#[must_use]
pub fn round_interval(interval: &Interval, typmod: i32) -> Interval {
    if typmod < 0 {
        return *interval;
    }
    let range = (typmod >> 16) & 0x7FFF;
    let precision = typmod & 0xFFFF;
    let mut result = *interval;
    let truncate = |micros: i64, unit: i64| micros / unit * unit;
    const YEAR: i32 = 1 << 2;
    const MONTH: i32 = 1 << 1;
    const DAY: i32 = 1 << 3;
    const HOUR: i32 = 1 << 10;
    const MINUTE: i32 = 1 << 11;
    const SECOND: i32 = 1 << 12;
    if range != 0x7FFF {
        if range == YEAR {
            result = Interval::new(result.months / 12 * 12, 0, 0);
        } else if range & (DAY | HOUR | MINUTE | SECOND) == 0 && range & MONTH != 0 {
            result = Interval::new(result.months, 0, 0);
        } else if range & SECOND != 0 {
            // Everything is kept.
        } else if range & MINUTE != 0 {
            result.micros = truncate(result.micros, super::MICROS_PER_MINUTE);
        } else if range & HOUR != 0 {
            result.micros = truncate(result.micros, super::MICROS_PER_HOUR);
        } else if range & DAY != 0 {
            result.micros = 0;
        }
    }
    if precision != 0xFFFF {
        result.micros = round_micros(result.micros, precision);
    }
    result
}

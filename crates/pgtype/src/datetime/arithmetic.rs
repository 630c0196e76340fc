//! Arithmetic on dates and timestamps.

use super::Interval;
use super::civil::{
    Civil, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, check_date, check_timestamp, civil_from_micros, days_from_civil,
    days_in_month, time_from_parts,
};
use crate::ValueError;

fn is_infinite(micros: i64) -> bool {
    micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY
}

/// `timestamp + interval`, and `timestamptz + interval` in UTC: months first, the day clamped to the month's end, then days, then time.
///
/// # Errors
/// 22008 out of range.
pub fn timestamp_add_interval(micros: i64, interval: &Interval) -> Result<i64, ValueError> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let mut at = i128::from(micros);
    if interval.months != 0 {
        let c = civil_from_micros(micros);
        let months = c.year * 12 + c.month - 1 + i64::from(interval.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let day = c.day.min(days_in_month(year, month));
        let days = i128::from(days_from_civil(year, month, day));
        let time = time_from_parts(c.hour, c.minute, c.second, c.micros);
        at = days * i128::from(MICROS_PER_DAY) + i128::from(time);
        at = check_timestamp(at)?.into();
    }
    if interval.days != 0 {
        at += i128::from(interval.days) * i128::from(MICROS_PER_DAY);
        at = check_timestamp(at)?.into();
    }
    check_timestamp(at + i128::from(interval.micros))
}

/// `timestamp - interval`, and `timestamptz - interval` in UTC.
///
/// # Errors
/// 22008 out of range.
pub fn timestamp_sub_interval(micros: i64, interval: &Interval) -> Result<i64, ValueError> {
    timestamp_add_interval(micros, &interval.neg()?)
}

/// `timestamp - timestamp`: days and time, never months.
///
/// # Errors
/// 22008 for infinities.
pub fn timestamp_sub_timestamp(a: i64, b: i64) -> Result<Interval, ValueError> {
    if is_infinite(a) || is_infinite(b) {
        return Err(ValueError::new(
            "22008",
            "cannot subtract infinite timestamps",
        ));
    }
    let micros = a
        .checked_sub(b)
        .ok_or_else(|| ValueError::datetime_out_of_range("interval"))?;
    Interval::new(0, 0, micros).justify_hours()
}

/// `age(a, b)`: years, months, days and time by the calendar.
///
/// # Errors
/// 22008 for infinities.
pub fn age(a: i64, b: i64) -> Result<Interval, ValueError> {
    if is_infinite(a) || is_infinite(b) {
        return Err(ValueError::new("22008", "timestamp out of range"));
    }
    let (ca, cb) = (civil_from_micros(a), civil_from_micros(b));
    let time = |c: &Civil| time_from_parts(c.hour, c.minute, c.second, c.micros);
    let negative = a < b;
    // From the earlier to the later; borrowed days are those of the earlier moment's month.
    let (late, early) = if negative { (cb, ca) } else { (ca, cb) };
    let mut micros = time(&late) - time(&early);
    let mut days = late.day - early.day;
    let mut months = (late.year - early.year) * 12 + late.month - early.month;
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    while days < 0 {
        days += days_in_month(early.year, early.month);
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    let small =
        |n: i64| i32::try_from(n * sign).map_err(|_| ValueError::datetime_out_of_range("interval"));
    Ok(Interval::new(small(months)?, small(days)?, micros * sign))
}

/// `date + integer`.
///
/// # Errors
/// 22008 out of range.
pub fn date_add_days(date: i32, days: i64) -> Result<i32, ValueError> {
    if date == DATE_INFINITY || date == DATE_NEGATIVE_INFINITY {
        return Ok(date);
    }
    check_date(i64::from(date).saturating_add(days))
}

/// `date - date`, in days.
///
/// # Errors
/// 22008 for infinities.
pub fn date_sub_date(a: i32, b: i32) -> Result<i64, ValueError> {
    let infinite = |d| d == DATE_INFINITY || d == DATE_NEGATIVE_INFINITY;
    if infinite(a) || infinite(b) {
        return Err(ValueError::new("22008", "cannot subtract infinite dates"));
    }
    Ok(i64::from(a) - i64::from(b))
}

/// `date + interval`, a timestamp.
///
/// # Errors
/// 22008 out of range.
pub fn date_add_interval(date: i32, interval: &Interval) -> Result<i64, ValueError> {
    timestamp_add_interval(date_to_timestamp(date)?, interval)
}

/// `date::timestamp`, and `date::timestamptz` in UTC.
///
/// # Errors
/// 22008 where the date is beyond the range of timestamps.
pub fn date_to_timestamp(date: i32) -> Result<i64, ValueError> {
    match date {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEGATIVE_INFINITY => Ok(TIMESTAMP_NEGATIVE_INFINITY),
        days => check_timestamp(i128::from(days) * i128::from(MICROS_PER_DAY))
            .map_err(|_| ValueError::new("22008", "date out of range for timestamp")),
    }
}

/// `timestamp::date`, and `timestamptz::date` in UTC.
#[must_use]
pub fn timestamp_to_date(micros: i64) -> i32 {
    match micros {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_NEGATIVE_INFINITY => DATE_NEGATIVE_INFINITY,
        micros => i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(DATE_INFINITY),
    }
}

/// `timestamp::time`, and `timestamptz::time` in UTC; NULL for the infinities.
#[must_use]
pub fn timestamp_to_time(micros: i64) -> Option<i64> {
    (!is_infinite(micros)).then(|| micros.rem_euclid(MICROS_PER_DAY))
}

/// `time + interval`: only the interval's time counts, and midnight wraps.
#[must_use]
pub fn time_add_interval(time: i64, interval: &Interval) -> i64 {
    let sum = i128::from(time) + i128::from(interval.micros);
    i64::try_from(sum.rem_euclid(MICROS_PER_DAY.into())).unwrap_or(0)
}

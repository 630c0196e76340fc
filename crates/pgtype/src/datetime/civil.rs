//! The proleptic Gregorian calendar, as integers.

use crate::ValueError;

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// Microseconds in an hour.
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
/// `date 'infinity'`
pub const DATE_INFINITY: i32 = i32::MAX;
/// `date '-infinity'`
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// `timestamp 'infinity'`
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// `timestamp '-infinity'`
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;

/// 4714-11-24 BC, day 0 of the Julian count.
pub(crate) const DATE_MIN: i64 = -2_451_545;
/// The day after the last one.
const DATE_END: i64 = 2_145_031_949;
const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// A moment taken apart. Year 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical year.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
    /// 0 to 999999.
    pub micros: i64,
}

/// Days since 2000-01-01 of a calendar day; months and days beyond their range are not normalised.
#[must_use]
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 730_425
}

/// Year, month and day of a day since 2000-01-01.
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 730_425;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * m + 2) / 5 + 1;
    let month = if m < 10 { m + 3 } else { m - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The parts of a finite timestamp.
#[must_use]
pub fn civil_from_micros(micros: i64) -> Civil {
    let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    let time = micros.rem_euclid(MICROS_PER_DAY);
    Civil {
        year,
        month,
        day,
        hour: time / MICROS_PER_HOUR,
        minute: time / MICROS_PER_MINUTE % 60,
        second: time / MICROS_PER_SECOND % 60,
        micros: time % MICROS_PER_SECOND,
    }
}

/// How many days a month has.
#[must_use]
pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The `date` of a valid calendar day.
///
/// # Errors
/// 22008 beyond 4714-11-24 BC or 5874897-12-31.
pub fn date_from_civil(year: i64, month: i64, day: i64) -> Result<i32, ValueError> {
    check_date(days_from_civil(year, month, day))
}

/// A day count as a `date`.
pub(crate) fn check_date(days: i64) -> Result<i32, ValueError> {
    if (DATE_MIN..DATE_END).contains(&days) {
        i32::try_from(days).map_err(|_| ValueError::datetime_out_of_range("date"))
    } else {
        Err(ValueError::datetime_out_of_range("date"))
    }
}

/// Microseconds as a `timestamp`.
pub(crate) fn check_timestamp(micros: i128) -> Result<i64, ValueError> {
    i64::try_from(micros)
        .ok()
        .filter(|t| (TIMESTAMP_MIN..TIMESTAMP_END).contains(t))
        .ok_or_else(|| ValueError::datetime_out_of_range("timestamp"))
}

/// The timestamp of a civil moment (hour 24 and second 60 roll over).
///
/// # Errors
/// 22008 beyond 4714-11-24 BC or the year 294276.
pub fn timestamp_from_civil(c: &Civil) -> Result<i64, ValueError> {
    let days = i128::from(days_from_civil(c.year, c.month, c.day));
    let time = time_from_parts(c.hour, c.minute, c.second, c.micros);
    check_timestamp(days * i128::from(MICROS_PER_DAY) + i128::from(time))
}

/// Microseconds since midnight.
#[must_use]
pub fn time_from_parts(hour: i64, minute: i64, second: i64, micros: i64) -> i64 {
    hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros
}

/// Day of the week, Sunday 0.
#[must_use]
pub fn weekday(days: i64) -> i64 {
    // 2000-01-01 was a Saturday.
    (days + 6).rem_euclid(7)
}

/// ISO year and ISO week of a day.
#[must_use]
pub fn iso_week(days: i64) -> (i64, i64) {
    // The Thursday of the same week decides.
    let monday_based = (weekday(days) + 6) % 7;
    let thursday = days - monday_based + 3;
    let (year, _, _) = civil_from_days(thursday);
    let first = days_from_civil(year, 1, 1);
    (year, (thursday - first) / 7 + 1)
}

//! `extract`, `date_part` and `date_trunc`.

use super::Interval;
use super::civil::{
    Civil, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, MICROS_PER_HOUR,
    MICROS_PER_MINUTE, MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY,
    civil_from_days, civil_from_micros, days_from_civil, iso_week, timestamp_from_civil, weekday,
};
use super::zone::{Zone, timestamp_at_zone, timestamptz_at_zone};
use crate::{Numeric, ValueError};

/// A field of a date or an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Postgres' own")]
pub enum Field {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Dow,
    IsoDow,
    Doy,
    IsoYear,
    Epoch,
    Julian,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Field {
    /// A field by any of its names, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Field> {
        Some(match name.to_ascii_lowercase().as_str() {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" | "microsecond"
            | "microseconds" => Field::Microseconds,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" | "millisecond"
            | "milliseconds" => Field::Milliseconds,
            "s" | "sec" | "secs" | "second" | "seconds" => Field::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Field::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Field::Hour,
            "d" | "day" | "days" => Field::Day,
            "w" | "week" | "weeks" => Field::Week,
            "mon" | "mons" | "month" | "months" => Field::Month,
            "qtr" | "quarter" => Field::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Field::Year,
            "dec" | "decs" | "decade" | "decades" => Field::Decade,
            "c" | "cent" | "century" | "centuries" => Field::Century,
            "mil" | "mils" | "millennia" | "millennium" => Field::Millennium,
            "dow" => Field::Dow,
            "isodow" => Field::IsoDow,
            "doy" => Field::Doy,
            "isoyear" => Field::IsoYear,
            "epoch" => Field::Epoch,
            "j" | "jd" | "julian" => Field::Julian,
            "timezone" => Field::Timezone,
            "timezone_h" | "timezone_hour" => Field::TimezoneHour,
            "timezone_m" | "timezone_minute" => Field::TimezoneMinute,
            _ => return None,
        })
    }

    /// The field's usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Microseconds => "microseconds",
            Field::Milliseconds => "milliseconds",
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::Day => "day",
            Field::Week => "week",
            Field::Month => "month",
            Field::Quarter => "quarter",
            Field::Year => "year",
            Field::Decade => "decade",
            Field::Century => "century",
            Field::Millennium => "millennium",
            Field::Dow => "dow",
            Field::IsoDow => "isodow",
            Field::Doy => "doy",
            Field::IsoYear => "isoyear",
            Field::Epoch => "epoch",
            Field::Julian => "julian",
            Field::Timezone => "timezone",
            Field::TimezoneHour => "timezone_hour",
            Field::TimezoneMinute => "timezone_minute",
        }
    }

    fn unsupported(self, type_name: &str) -> ValueError {
        ValueError::new(
            "0A000",
            format!(
                "unit \"{}\" not supported for type {type_name}",
                self.name()
            ),
        )
    }

    /// `date_trunc` does not know some names at all that `extract` does.
    fn not_truncated(self, type_name: &str) -> ValueError {
        match self {
            Field::Dow
            | Field::IsoDow
            | Field::Doy
            | Field::IsoYear
            | Field::Epoch
            | Field::Julian => ValueError::new(
                "22023",
                format!(
                    "unit \"{}\" not recognized for type {type_name}",
                    self.name()
                ),
            ),
            _ => self.unsupported(type_name),
        }
    }

    /// What an infinite moment has for the fields that only grow; `None` (NULL) for those that go round.
    fn of_infinity(self, positive: bool) -> Option<Numeric> {
        match self {
            Field::Year
            | Field::Decade
            | Field::Century
            | Field::Millennium
            | Field::Julian
            | Field::IsoYear
            | Field::Epoch => Some(if positive {
                Numeric::INFINITY
            } else {
                Numeric::NEGATIVE_INFINITY
            }),
            _ => None,
        }
    }
}

/// Year fields as Postgres counts them: there is no year 0, and centuries start at 1.
fn calendar_field(field: Field, year: i64, month: i64, day: i64) -> Option<i64> {
    let days = || days_from_civil(year, month, day);
    let shown = |y: i64| if y > 0 { y } else { y - 1 };
    let age = |years: i64| {
        if year > 0 {
            (year + years - 1) / years
        } else {
            -((years - 1 - (year - 1)) / years)
        }
    };
    Some(match field {
        Field::Day => day,
        Field::Month => month,
        Field::Quarter => (month - 1) / 3 + 1,
        Field::Week => iso_week(days()).1,
        Field::Year => shown(year),
        Field::Decade => year.div_euclid(10),
        Field::Century => age(100),
        Field::Millennium => age(1000),
        Field::IsoYear => shown(iso_week(days()).0),
        Field::Dow => weekday(days()),
        Field::IsoDow => match weekday(days()) {
            0 => 7,
            d => d,
        },
        Field::Doy => days() - days_from_civil(year, 1, 1) + 1,
        _ => return None,
    })
}

/// Fields of the time of day, of microseconds within it.
fn clock_field(field: Field, micros: i64) -> Option<Numeric> {
    let in_minute = micros % MICROS_PER_MINUTE;
    Some(match field {
        Field::Microseconds => Numeric::from_i64(in_minute),
        Field::Milliseconds => Numeric::from_scaled_i64(in_minute, 3),
        Field::Second => Numeric::from_scaled_i64(in_minute, 6),
        Field::Minute => Numeric::from_i64(micros / MICROS_PER_MINUTE % 60),
        Field::Hour => Numeric::from_i64(micros / MICROS_PER_HOUR),
        _ => return None,
    })
}

/// `extract(field FROM timestamp)`; `None` is NULL.
///
/// # Errors
/// 0A000 for a field that timestamps don't have.
pub fn extract_from_timestamp(field: Field, micros: i64) -> Result<Option<Numeric>, ValueError> {
    extract_moment(field, micros, "timestamp without time zone", None)
}

/// `extract(field FROM timestamptz)` in UTC; `None` is NULL.
///
/// # Errors
/// 0A000 for a field that timestamps don't have.
pub fn extract_from_timestamptz(field: Field, micros: i64) -> Result<Option<Numeric>, ValueError> {
    extract_moment(field, micros, "timestamp with time zone", Some(0))
}

fn extract_moment(
    field: Field,
    micros: i64,
    type_name: &str,
    offset: Option<i64>,
) -> Result<Option<Numeric>, ValueError> {
    let zone_field = matches!(
        field,
        Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute
    );
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(field.of_infinity(micros > 0));
    }
    if zone_field && offset.is_none() {
        return Err(field.unsupported(type_name));
    }
    let days = micros.div_euclid(MICROS_PER_DAY);
    let time = micros.rem_euclid(MICROS_PER_DAY);
    if let Some(n) = clock_field(field, time) {
        return Ok(Some(n));
    }
    let (year, month, day) = civil_from_days(days);
    if let Some(n) = calendar_field(field, year, month, day) {
        return Ok(Some(Numeric::from_i64(n)));
    }
    match field {
        Field::Epoch => {
            let unix = i128::from(micros) + 10_957 * i128::from(MICROS_PER_DAY);
            Ok(Some(match i64::try_from(unix) {
                Ok(n) => Numeric::from_scaled_i64(n, 6),
                Err(_) => Numeric::from_parts(unix.into(), 6),
            }))
        }
        Field::Julian => {
            let whole = Numeric::from_i64(days - super::civil::DATE_MIN);
            let fraction = Numeric::from_i64(time).div(&Numeric::from_i64(MICROS_PER_DAY))?;
            Ok(Some(whole.add(&fraction)?))
        }
        _ if zone_field => Ok(Some(Numeric::ZERO)),
        _ => Err(field.unsupported(type_name)),
    }
}

/// `extract(field FROM date)`; `None` is NULL.
///
/// # Errors
/// 0A000 for a field that dates don't have.
pub fn extract_from_date(field: Field, date: i32) -> Result<Option<Numeric>, ValueError> {
    let supported = matches!(field, Field::Epoch | Field::Julian)
        || calendar_field(field, 2000, 1, 1).is_some();
    if !supported {
        return Err(field.unsupported("date"));
    }
    if date == DATE_INFINITY || date == DATE_NEGATIVE_INFINITY {
        return Ok(field.of_infinity(date > 0));
    }
    let days = i64::from(date);
    let (year, month, day) = civil_from_days(days);
    Ok(Some(Numeric::from_i64(match field {
        Field::Epoch => (days + 10_957) * 86_400,
        Field::Julian => days - super::civil::DATE_MIN,
        _ => calendar_field(field, year, month, day).unwrap_or(0),
    })))
}

/// `extract(field FROM time)`.
///
/// # Errors
/// 0A000 for a field that times don't have.
pub fn extract_from_time(field: Field, micros: i64) -> Result<Option<Numeric>, ValueError> {
    if field == Field::Epoch {
        return Ok(Some(Numeric::from_scaled_i64(micros, 6)));
    }
    clock_field(field, micros)
        .map(Some)
        .ok_or_else(|| field.unsupported("time without time zone"))
}

/// `extract(field FROM interval)`.
///
/// # Errors
/// 0A000 for a field that intervals don't have.
pub fn extract_from_interval(
    field: Field,
    interval: &Interval,
) -> Result<Option<Numeric>, ValueError> {
    if let Some(n) = clock_field(field, interval.micros) {
        return Ok(Some(n));
    }
    let months = i64::from(interval.months);
    let years = months / 12;
    let n = match field {
        Field::Day => interval.days.into(),
        Field::Month => months % 12,
        Field::Quarter => months % 12 / 3 + 1,
        Field::Year => years,
        Field::Decade => years / 10,
        Field::Century => years / 100,
        Field::Millennium => years / 1000,
        Field::Epoch => {
            // A year is 365.25 days, a month 30.
            let quarter_days = 1461 * years + 120 * (months % 12) + 4 * i64::from(interval.days);
            let micros = i128::from(quarter_days) * i128::from(MICROS_PER_DAY / 4)
                + i128::from(interval.micros);
            return Ok(Some(match i64::try_from(micros) {
                Ok(n) => Numeric::from_scaled_i64(n, 6),
                Err(_) => Numeric::from_parts(micros.into(), 6),
            }));
        }
        _ => return Err(field.unsupported("interval")),
    };
    Ok(Some(Numeric::from_i64(n)))
}

/// The first year of the century or millennium that a year lies in.
fn first_year_of(year: i64, years: i64) -> i64 {
    if year > 0 {
        (year + years - 1) / years * years - (years - 1)
    } else {
        -((years - 1 - (year - 1)) / years) * years + 1
    }
}

fn truncate(field: Field, c: &Civil, type_name: &str) -> Result<Civil, ValueError> {
    let mut t = *c;
    let midnight = |t: &mut Civil| {
        t.hour = 0;
        t.minute = 0;
        t.second = 0;
        t.micros = 0;
    };
    match field {
        Field::Microseconds => {}
        Field::Milliseconds => t.micros = t.micros / 1000 * 1000,
        Field::Second => t.micros = 0,
        Field::Minute => {
            t.second = 0;
            t.micros = 0;
        }
        Field::Hour => {
            t.minute = 0;
            t.second = 0;
            t.micros = 0;
        }
        Field::Day => midnight(&mut t),
        Field::Week => {
            midnight(&mut t);
            let days = days_from_civil(t.year, t.month, t.day);
            let monday = days - (weekday(days) + 6) % 7;
            (t.year, t.month, t.day) = civil_from_days(monday);
        }
        Field::Month | Field::Quarter => {
            midnight(&mut t);
            t.day = 1;
            if field == Field::Quarter {
                t.month = (t.month - 1) / 3 * 3 + 1;
            }
        }
        Field::Year | Field::Decade | Field::Century | Field::Millennium => {
            midnight(&mut t);
            t.day = 1;
            t.month = 1;
            t.year = match field {
                Field::Decade => t.year.div_euclid(10) * 10,
                Field::Century => first_year_of(t.year, 100),
                Field::Millennium => first_year_of(t.year, 1000),
                _ => t.year,
            };
        }
        _ => return Err(field.not_truncated(type_name)),
    }
    Ok(t)
}

/// `date_trunc(field, timestamp)`, and of a `timestamptz` in UTC.
///
/// # Errors
/// 0A000 for a field that cannot be truncated to, 22008 out of range.
pub fn date_trunc(field: Field, micros: i64) -> Result<i64, ValueError> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(micros);
    }
    let c = civil_from_micros(micros);
    timestamp_from_civil(&truncate(field, &c, "timestamp without time zone")?)
}

/// `date_trunc(field, timestamptz, zone)`.
///
/// # Errors
/// 0A000 for a field that cannot be truncated to, 22008 out of range.
pub fn date_trunc_in_zone(field: Field, micros: i64, zone: &Zone) -> Result<i64, ValueError> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(micros);
    }
    let local = timestamptz_at_zone(micros, zone)?;
    let c = civil_from_micros(local);
    let truncated = timestamp_from_civil(&truncate(field, &c, "timestamp with time zone")?)?;
    match field {
        // Below a day the offset of the moment itself holds on.
        Field::Microseconds | Field::Milliseconds | Field::Second | Field::Minute | Field::Hour => {
            Ok(micros - (local - truncated))
        }
        _ => timestamp_at_zone(truncated, zone),
    }
}

/// `date_trunc(field, interval)`.
///
/// # Errors
/// 0A000 for a field that intervals cannot be truncated to.
pub fn date_trunc_interval(field: Field, interval: &Interval) -> Result<Interval, ValueError> {
    let Interval {
        months,
        days,
        micros,
    } = *interval;
    let cut = |unit: i64| Interval::new(months, days, micros / unit * unit);
    let cut_months = |unit: i32| Interval::new(months / unit * unit, 0, 0);
    Ok(match field {
        Field::Microseconds => *interval,
        Field::Milliseconds => cut(1000),
        Field::Second => cut(MICROS_PER_SECOND),
        Field::Minute => cut(MICROS_PER_MINUTE),
        Field::Hour => cut(MICROS_PER_HOUR),
        Field::Day => Interval::new(months, days, 0),
        Field::Month => cut_months(1),
        Field::Quarter => cut_months(3),
        Field::Year => cut_months(12),
        Field::Decade => cut_months(120),
        Field::Century => cut_months(1200),
        Field::Millennium => cut_months(12_000),
        _ => return Err(field.not_truncated("interval")),
    })
}

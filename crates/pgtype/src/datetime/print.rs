//! ISO text of dates, times, timestamps; `postgres` style text of intervals.

use std::fmt::Write;

use super::Interval;
use super::civil::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND,
    TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, civil_from_days, civil_from_micros,
};

fn write_ymd(out: &mut String, year: i64, month: i64, day: i64) {
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
}

fn write_clock(out: &mut String, hour: i64, minute: i64, second: i64, micros: i64) {
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
    if micros != 0 {
        let fraction = format!("{micros:06}");
        out.push('.');
        out.push_str(fraction.trim_end_matches('0'));
    }
}

/// Appends a `date` as `date_out` prints it.
pub fn write_date(out: &mut String, days: i32) {
    match days {
        DATE_INFINITY => out.push_str("infinity"),
        DATE_NEGATIVE_INFINITY => out.push_str("-infinity"),
        days => {
            let (year, month, day) = civil_from_days(days.into());
            write_ymd(out, year, month, day);
            if year <= 0 {
                out.push_str(" BC");
            }
        }
    }
}

/// Appends a `time` as `time_out` prints it.
pub fn write_time(out: &mut String, micros: i64) {
    write_clock(
        out,
        micros / MICROS_PER_HOUR,
        micros / MICROS_PER_MINUTE % 60,
        micros / MICROS_PER_SECOND % 60,
        micros % MICROS_PER_SECOND,
    );
}

fn write_moment(out: &mut String, micros: i64, separator: char, zone: &str) {
    match micros {
        TIMESTAMP_INFINITY => out.push_str("infinity"),
        TIMESTAMP_NEGATIVE_INFINITY => out.push_str("-infinity"),
        micros => {
            let c = civil_from_micros(micros);
            write_ymd(out, c.year, c.month, c.day);
            out.push(separator);
            write_clock(out, c.hour, c.minute, c.second, c.micros);
            out.push_str(zone);
            if c.year <= 0 {
                out.push_str(" BC");
            }
        }
    }
}

/// Appends a `timestamp`; `separator` is a blank in text and `T` in JSON.
pub fn write_timestamp(out: &mut String, micros: i64, separator: char) {
    write_moment(out, micros, separator, "");
}

/// Appends a `timestamptz` in UTC: `+00` in text, `+00:00` where `separator` is JSON's `T`.
pub fn write_timestamptz(out: &mut String, micros: i64, separator: char) {
    let zone = if separator == 'T' { "+00:00" } else { "+00" };
    write_moment(out, micros, separator, zone);
}

/// Appends an `interval` as `interval_out` prints it.
pub fn write_interval(out: &mut String, interval: &Interval) {
    if interval.is_infinite() {
        out.push_str(if interval.months > 0 {
            "infinity"
        } else {
            "-infinity"
        });
        return;
    }
    let mut is_first = true;
    // After a negative part a positive one shows its sign.
    let mut is_before = false;
    for (value, unit) in [
        (interval.months / 12, "year"),
        (interval.months % 12, "mon"),
        (interval.days, "day"),
    ] {
        if value == 0 {
            continue;
        }
        let blank = if is_first { "" } else { " " };
        let plus = if is_before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(out, "{blank}{plus}{value} {unit}{plural}");
        is_before = value < 0;
        is_first = false;
    }
    if is_first || interval.micros != 0 {
        if !is_first {
            out.push(' ');
        }
        if interval.micros < 0 {
            out.push('-');
        } else if is_before {
            out.push('+');
        }
        let micros = i128::from(interval.micros).abs();
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        write_time(out, micros);
    }
}

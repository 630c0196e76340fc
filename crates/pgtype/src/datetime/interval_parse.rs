//! Reading intervals: `1 day 02:00`, `1-2`, `@ 3 hours ago`, `P1DT2H`.

use super::Interval;
use super::civil::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::parse::fraction_to_micros;
use crate::ValueError;

#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Unit {
    Micros,
    Millis,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

enum Fault {
    Format,
    /// A field does not fit.
    Overflow,
    /// Each field fits, but not all together.
    Total,
}

fn unit_of(word: &str) -> Option<Unit> {
    Some(match word {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" | "microsecond"
        | "microseconds" => Unit::Micros,
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" | "millisecond"
        | "milliseconds" => Unit::Millis,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
        _ => return None,
    })
}

#[derive(Default)]
struct Sum {
    /// The units that have been given; each may be given once.
    seen: u32,
    years: i64,
    months: i64,
    days: i64,
    micros: i128,
}

impl Sum {
    fn see(&mut self, units: &[Unit]) -> Result<(), Fault> {
        for unit in units {
            let bit = 1 << *unit as u8;
            if self.seen & bit != 0 {
                return Err(Fault::Format);
            }
            self.seen |= bit;
        }
        Ok(())
    }

    /// A time of day, in microseconds.
    fn add_clock(&mut self, micros: i128) -> Result<(), Fault> {
        self.see(&[Unit::Hour, Unit::Minute, Unit::Second])?;
        self.micros += micros;
        Ok(())
    }

    fn add_micros(&mut self, fraction: f64, unit: i64) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a fraction of a unit of at most a week"
        )]
        let micros = (fraction * super::interval::i64_to_f64(unit)).round_ties_even() as i64;
        self.micros += i128::from(micros);
    }

    fn add_days(&mut self, fraction: f64, days: f64) {
        let exact = fraction * days;
        let whole = exact.trunc();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a fraction of at most a month"
        )]
        let whole_days = whole as i64;
        self.days += whole_days;
        self.add_micros(exact - whole, MICROS_PER_DAY);
    }

    fn add_months(&mut self, fraction: f64, months: f64) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a fraction of at most a thousand years"
        )]
        let rounded = (fraction * months).round_ties_even() as i64;
        self.months += rounded;
    }

    /// `negative` applies to whole and fraction.
    fn add(
        &mut self,
        negative: bool,
        whole: i64,
        fraction_digits: &str,
        unit: Unit,
    ) -> Result<(), Fault> {
        self.see(&[unit])?;
        let fraction: f64 = if fraction_digits.is_empty() {
            0.0
        } else {
            format!("0.{fraction_digits}")
                .parse()
                .map_err(|_| Fault::Format)?
        };
        let fraction = if negative { -fraction } else { fraction };
        let whole = if negative { -whole } else { whole };
        let times = |n: i64| whole.checked_mul(n).ok_or(Fault::Overflow);
        let wide = |n: i64| i128::from(whole) * i128::from(n);
        match unit {
            Unit::Micros => {
                self.micros += wide(1);
                self.add_micros(fraction, 1);
            }
            Unit::Millis => {
                self.micros += wide(1000);
                self.add_micros(fraction, 1000);
            }
            Unit::Second => {
                self.micros += wide(MICROS_PER_SECOND);
                let micros = fraction_to_micros(fraction_digits).ok_or(Fault::Format)?;
                self.micros += i128::from(if negative { -micros } else { micros });
            }
            Unit::Minute => {
                self.micros += wide(MICROS_PER_MINUTE);
                self.add_micros(fraction, MICROS_PER_MINUTE);
            }
            Unit::Hour => {
                self.micros += wide(MICROS_PER_HOUR);
                self.add_micros(fraction, MICROS_PER_HOUR);
            }
            Unit::Day => {
                self.days = self.days.checked_add(whole).ok_or(Fault::Overflow)?;
                self.add_micros(fraction, MICROS_PER_DAY);
            }
            Unit::Week => {
                self.days = self.days.checked_add(times(7)?).ok_or(Fault::Overflow)?;
                self.add_days(fraction, 7.0);
            }
            Unit::Month => {
                self.months = self.months.checked_add(whole).ok_or(Fault::Overflow)?;
                self.add_days(fraction, 30.0);
            }
            Unit::Year => {
                self.years = self.years.checked_add(times(1)?).ok_or(Fault::Overflow)?;
                self.add_months(fraction, 12.0);
            }
            Unit::Decade => {
                self.years = self.years.checked_add(times(10)?).ok_or(Fault::Overflow)?;
                self.add_months(fraction, 120.0);
            }
            Unit::Century => {
                self.years = self.years.checked_add(times(100)?).ok_or(Fault::Overflow)?;
                self.add_months(fraction, 1200.0);
            }
            Unit::Millennium => {
                self.years = self
                    .years
                    .checked_add(times(1000)?)
                    .ok_or(Fault::Overflow)?;
                self.add_months(fraction, 12_000.0);
            }
        }
        Ok(())
    }

    fn finish(self, negate: bool) -> Result<Interval, Fault> {
        let sign = if negate { -1 } else { 1 };
        let part =
            |n: i64| i32::try_from(i128::from(n) * i128::from(sign)).map_err(|_| Fault::Overflow);
        let total = i64::from(part(self.years)?) * 12 + i64::from(part(self.months)?);
        Ok(Interval {
            months: i32::try_from(total).map_err(|_| Fault::Total)?,
            days: part(self.days)?,
            micros: i64::try_from(self.micros * i128::from(sign)).map_err(|_| Fault::Overflow)?,
        })
    }
}

/// Digits, with an optional fraction, from the front.
fn number(s: &str) -> Result<(i64, &str, &str), Fault> {
    let whole_end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    let (whole, mut rest) = s.split_at(whole_end);
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        let end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        (fraction, rest) = after.split_at(end);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(Fault::Format);
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| Fault::Overflow)?
    };
    Ok((whole, fraction, rest))
}

/// `HH:MM[:SS[.f]]`, in microseconds.
fn clock(token: &str) -> Result<i128, Fault> {
    let (whole, fraction) = token.split_once('.').unwrap_or((token, ""));
    let micros = fraction_to_micros(fraction).ok_or(Fault::Format)?;
    let parts: Vec<i64> = whole
        .split(':')
        .map(|p| {
            if p.is_empty() {
                Ok(0)
            } else {
                p.parse().map_err(|_| Fault::Format)
            }
        })
        .collect::<Result<_, _>>()?;
    let (hour, minute, second) = match parts.as_slice() {
        [minute, second] if token.contains('.') => (0, *minute, *second),
        [hour, minute] => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return Err(Fault::Format),
    };
    if minute > 59 || second > 60 {
        return Err(Fault::Overflow);
    }
    Ok(i128::from(hour) * i128::from(MICROS_PER_HOUR)
        + i128::from(minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros))
}

/// ISO 8601: `P1Y2M3W4DT5H6M7.5S`, `P0001-02-03T04:05:06`.
fn iso(text: &str) -> Result<Interval, Fault> {
    let mut sum = Sum::default();
    let mut rest = &text[1..];
    let mut in_time = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('t') {
            in_time = true;
            any = true;
            rest = after;
            if rest.contains(':') {
                let (negative, clock_text) = sign(rest);
                let micros = clock(clock_text)?;
                sum.add_clock(if negative { -micros } else { micros })?;
                any = true;
                break;
            }
            continue;
        }
        let (negative, unsigned) = sign(rest);
        let (whole, fraction, after) = number(unsigned)?;
        if !in_time && after.starts_with('-') && fraction.is_empty() {
            let date = unsigned.split('t').next().unwrap_or("");
            let parts: Vec<&str> = date.split('-').collect();
            for (part, unit) in parts.iter().zip([Unit::Year, Unit::Month, Unit::Day]) {
                let (whole, fraction, _) = number(part)?;
                sum.add(negative, whole, fraction, unit)?;
            }
            any = true;
            rest = &unsigned[date.len()..];
            continue;
        }
        let unit = match (after.as_bytes().first(), in_time) {
            (None, false) => Unit::Year,
            (None, true) => Unit::Hour,
            (Some(b'y'), false) => Unit::Year,
            (Some(b'm'), false) => Unit::Month,
            (Some(b'w'), false) => Unit::Week,
            (Some(b'd'), false) => Unit::Day,
            (Some(b'h'), true) => Unit::Hour,
            (Some(b'm'), true) => Unit::Minute,
            (Some(b's'), true) => Unit::Second,
            _ => return Err(Fault::Format),
        };
        // Units may repeat in this form.
        sum.seen = 0;
        sum.add(negative, whole, fraction, unit)?;
        any = true;
        rest = after.get(1..).unwrap_or("");
    }
    if any {
        sum.finish(false)
    } else {
        Err(Fault::Format)
    }
}

fn sign(s: &str) -> (bool, &str) {
    match s.as_bytes().first() {
        Some(b'-') => (true, s[1..].trim_start()),
        Some(b'+') => (false, s[1..].trim_start()),
        _ => (false, s),
    }
}

fn parse(text: &str, typmod: i32) -> Result<Interval, Fault> {
    let lower = text.to_ascii_lowercase();
    let trimmed = lower.trim_matches(crate::input::is_space);
    if trimmed.starts_with('p') {
        return iso(trimmed);
    }
    match trimmed {
        "infinity" | "+infinity" => return Ok(Interval::new(i32::MAX, i32::MAX, i64::MAX)),
        "-infinity" => return Ok(Interval::new(i32::MIN, i32::MIN, i64::MIN)),
        _ => {}
    }
    // A bare number takes the last field of the modifier, seconds without one.
    let bare = match (typmod >> 16) & 0x7FFF {
        _ if typmod < 0 => Unit::Second,
        4 => Unit::Year,
        2 | 6 => Unit::Month,
        8 => Unit::Day,
        1024 | 1032 => Unit::Hour,
        2048 | 3072 | 3080 => Unit::Minute,
        _ => Unit::Second,
    };
    let mut sum = Sum::default();
    let mut rest = trimmed.strip_prefix('@').unwrap_or(trimmed).trim_start();
    let mut ago = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("ago") {
            ago = true;
            rest = after.trim_start();
            if !rest.is_empty() {
                return Err(Fault::Format);
            }
            break;
        }
        let (negative, unsigned) = sign(rest);
        let end = unsigned
            .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
            .unwrap_or(unsigned.len());
        any = true;
        if unsigned[..end].contains(':') {
            let micros = clock(&unsigned[..end])?;
            sum.add_clock(if negative { -micros } else { micros })?;
            rest = unsigned[end..].trim_start();
            continue;
        }
        let (whole, fraction, after) = number(unsigned)?;
        if fraction.is_empty()
            && let Some(months) = after.strip_prefix('-')
            && months.starts_with(|c: char| c.is_ascii_digit())
        {
            let (months, fraction, after) = number(months)?;
            if months > 11 || !fraction.is_empty() {
                return Err(Fault::Overflow);
            }
            let years = if negative { -whole } else { whole };
            sum.years = sum.years.checked_add(years).ok_or(Fault::Overflow)?;
            sum.add(negative, months, "", Unit::Month)?;
            rest = after.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            continue;
        }
        let after = after.trim_start();
        let word_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (word, next) = after.split_at(word_end);
        let unit = if word.is_empty() {
            let (_, following) = sign(next);
            let token = following.split_ascii_whitespace().next().unwrap_or("");
            if token.contains(':') {
                // A number before a time of day counts days.
                Unit::Day
            } else if following.starts_with(|c: char| c.is_ascii_digit()) {
                // It would count the next number's units, which are taken.
                return Err(Fault::Format);
            } else {
                bare
            }
        } else if word == "ago" {
            sum.add(negative, whole, fraction, bare)?;
            rest = after;
            continue;
        } else {
            unit_of(word).ok_or(Fault::Format)?
        };
        sum.add(negative, whole, fraction, unit)?;
        rest = next.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
    }
    if any {
        sum.finish(ago)
    } else {
        Err(Fault::Format)
    }
}

/// `interval_in`, coerced to the modifier.
///
/// # Errors
/// 22007 for bad syntax, 22015 where a field is out of range.
pub fn parse_interval(text: &str, typmod: i32) -> Result<Interval, ValueError> {
    match parse(text, typmod) {
        Ok(interval) => Ok(super::round_interval(&interval, typmod)),
        Err(Fault::Format) => Err(ValueError::new(
            "22007",
            format!("invalid input syntax for type interval: \"{text}\""),
        )),
        Err(Fault::Overflow) => Err(ValueError::new(
            "22015",
            format!("interval field value out of range: \"{text}\""),
        )),
        Err(Fault::Total) => Err(ValueError::datetime_out_of_range("interval")),
    }
}

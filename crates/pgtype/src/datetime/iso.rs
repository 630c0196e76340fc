//! The one form that the server prints, read without detours: `2024-01-02 03:04:05.678+00 BC`.
//!
//! Always: what this accepts, the general reader accepts with the same result; anything else is left to it.

use super::civil::{MICROS_PER_SECOND, days_from_civil, days_in_month, time_from_parts};

/// The parts that were there.
pub(super) struct Iso {
    /// Days since 2000-01-01.
    pub(super) days: i64,
    /// Microseconds of the day.
    pub(super) time: Option<i64>,
    /// Seconds east of UTC.
    pub(super) offset: Option<i64>,
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn digits(&mut self, least: usize, most: usize) -> Option<(i64, usize)> {
        let mut n = 0;
        let mut count = 0;
        while let Some(digit) = self.rest.get(count).filter(|b| b.is_ascii_digit()) {
            if count == most {
                return None;
            }
            n = n * 10 + i64::from(digit - b'0');
            count += 1;
        }
        self.rest = self.rest.get(count..)?;
        (count >= least).then_some((n, count))
    }

    fn two(&mut self) -> Option<i64> {
        self.digits(2, 2).map(|(n, _)| n)
    }

    fn take(&mut self, b: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == b => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

/// `HH:MM:SS[.ffffff]`
fn clock(cursor: &mut Cursor<'_>) -> Option<i64> {
    let hour = cursor.two()?;
    let minute = cursor.take(b':').then(|| cursor.two())??;
    let second = cursor.take(b':').then(|| cursor.two())??;
    let mut micros = 0;
    if cursor.take(b'.') {
        let (fraction, count) = cursor.digits(1, 6)?;
        micros = fraction * 10i64.pow(6 - u32::try_from(count).ok()?);
    }
    (hour < 24 && minute < 60 && second < 60 && micros < MICROS_PER_SECOND)
        .then(|| time_from_parts(hour, minute, second, micros))
}

/// A time alone.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let mut cursor = Cursor {
        rest: text.as_bytes(),
    };
    clock(&mut cursor).filter(|_| cursor.rest.is_empty())
}

/// A date, or a date and time, or those and an offset.
pub(super) fn parse(text: &str) -> Option<Iso> {
    let mut cursor = Cursor {
        rest: text.as_bytes(),
    };
    // Three or fewer digits are short for something else, and there is no year 0.
    let (year, _) = cursor.digits(4, 7)?;
    if year == 0 {
        return None;
    }
    let month = cursor.take(b'-').then(|| cursor.two())??;
    let day = cursor.take(b'-').then(|| cursor.two())??;
    let mut time = None;
    let mut offset = None;
    if cursor.rest.len() > 3 {
        if !cursor.take(b' ') {
            return None;
        }
        time = Some(clock(&mut cursor)?);
        let sign = match cursor.rest.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => 0,
        };
        if sign != 0 {
            cursor.rest = &cursor.rest[1..];
            let mut seconds = cursor.two()? * 3600;
            if cursor.take(b':') {
                seconds += cursor.two()? * 60;
            }
            if cursor.take(b':') {
                seconds += cursor.two()?;
            }
            if seconds >= 16 * 3600 {
                return None;
            }
            offset = Some(sign * seconds);
        }
    }
    let year = match cursor.rest {
        b"" => year,
        b" BC" => 1 - year,
        _ => return None,
    };
    let valid = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    valid.then(|| Iso {
        days: days_from_civil(year, month, day),
        time,
        offset,
    })
}

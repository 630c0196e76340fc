//! Reading dates, times and timestamps as `DateStyle = ISO, MDY` does.
//!
//! Always: what depends on the clock (`now`, `today`, `tomorrow`, `yesterday`) is refused.

use super::civil::{
    Civil, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, check_date, check_timestamp, days_from_civil, days_in_month,
    time_from_parts, timestamp_from_civil,
};
use super::zone::{Zone, local_to_utc};
use crate::ValueError;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

/// Beyond every date that there is.
const YEAR_MAX: i64 = 6_000_000;

/// What a text turned out to say.
enum Parsed {
    Infinity,
    NegativeInfinity,
    Moment(Fields),
}

#[derive(Default)]
struct Fields {
    year: Option<(i64, usize)>,
    month: Option<i64>,
    day: Option<i64>,
    julian: Option<i64>,
    bc: bool,
    time: Option<(i64, i64, i64, i64)>,
    afternoon: Option<bool>,
    zone: Option<Zone>,
}

enum Fault {
    Format,
    Field,
    Displacement,
    Zone(String),
    Clock,
}

fn fault(type_name: &str, text: &str, fault: &Fault) -> ValueError {
    match fault {
        Fault::Format => ValueError::new(
            "22007",
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        ),
        Fault::Field => ValueError::new(
            "22008",
            format!("date/time field value out of range: \"{text}\""),
        ),
        Fault::Displacement => ValueError::new(
            "22009",
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Fault::Zone(zone) => {
            ValueError::new("22023", format!("time zone \"{zone}\" not recognized"))
        }
        Fault::Clock => ValueError::new(
            "0A000",
            format!("\"{text}\" depends on the clock and is not supported"),
        ),
    }
}

/// Moves characters that are accepted to the token, in lower case.
fn take(chars: &[char], token: &mut String, at: &mut usize, accept: &dyn Fn(char) -> bool) {
    while let Some(&c) = chars.get(*at).filter(|c| accept(**c)) {
        token.push(c.to_ascii_lowercase());
        *at += 1;
    }
}

/// Splits into tokens: `12:30:01.5`, `2024-01-02`, `+05:30`, words, numbers. Blanks and commas separate.
fn tokens(text: &str) -> Result<Vec<String>, Fault> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let mut token = String::new();
        if c.is_ascii_whitespace() || c == ',' {
            at += 1;
            continue;
        }
        if c.is_ascii_digit() {
            take(&chars, &mut token, &mut at, &|c| c.is_ascii_digit());
            match chars.get(at) {
                Some(':') => take(&chars, &mut token, &mut at, &|c| {
                    c.is_ascii_digit() || c == ':' || c == '.'
                }),
                Some(&s @ ('-' | '/' | '.')) => {
                    // Only the same separator goes on, so that a zone after the date is left alone.
                    let mut separators = 0;
                    while separators < 2 && chars.get(at) == Some(&s) {
                        separators += 1;
                        take(&chars, &mut token, &mut at, &|c| c == s);
                        let first_is_digit = chars.get(at).is_some_and(char::is_ascii_digit);
                        take(&chars, &mut token, &mut at, &|c| {
                            if first_is_digit {
                                c.is_ascii_digit()
                            } else {
                                c.is_ascii_alphabetic()
                            }
                        });
                    }
                }
                _ => {}
            }
        } else if c.is_ascii_alphabetic() {
            take(&chars, &mut token, &mut at, &|c| c.is_ascii_alphabetic());
            if matches!(chars.get(at), Some('-' | '/' | '_' | '.'))
                && chars.get(at + 1).is_some_and(char::is_ascii_alphanumeric)
            {
                take(&chars, &mut token, &mut at, &|c| {
                    c.is_ascii_alphanumeric() || "-/_.+".contains(c)
                });
            }
        } else if c == '+' || c == '-' {
            at += 1;
            let sign = c;
            while chars.get(at).is_some_and(char::is_ascii_whitespace) {
                at += 1;
            }
            take(&chars, &mut token, &mut at, &|c| {
                c.is_ascii_digit() || c == ':' || c == '.'
            });
            if token.is_empty() {
                take(&chars, &mut token, &mut at, &|c| c.is_ascii_alphabetic());
            }
            if token.is_empty() {
                return Err(Fault::Format);
            }
            token.insert(0, sign);
        } else {
            return Err(Fault::Format);
        }
        found.push(token);
    }
    Ok(found)
}

/// Fraction digits (`5` of `.5`) to microseconds, as strtod and rint do.
pub(super) fn fraction_to_micros(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.len() <= 6 {
        return format!("{digits:0<6}").parse().ok();
    }
    let f: f64 = format!("0.{digits}").parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1000000")]
    let micros = (f * 1e6).round_ties_even() as i64;
    Some(micros)
}

/// `HH:MM[:SS[.f]]`, or `HHMM[SS[.f]]` without colons.
fn clock(token: &str) -> Result<(i64, i64, i64, i64), Fault> {
    let number = |s: &str| s.parse::<i64>().map_err(|_| Fault::Format);
    let (whole, fraction) = token.split_once('.').unwrap_or((token, ""));
    let micros = fraction_to_micros(fraction).ok_or(Fault::Format)?;
    let parts: Vec<&str> = whole.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        // A point after the minutes makes them seconds.
        [minute, second] if token.contains('.') => (0, number(minute)?, number(second)?),
        [hour, ""] => (number(hour)?, 0, 0),
        [hour, minute] => (number(hour)?, number(minute)?, 0),
        [hour, minute, second] => (number(hour)?, number(minute)?, number(second)?),
        [digits] if digits.len() == 6 => (
            number(&digits[..2])?,
            number(&digits[2..4])?,
            number(&digits[4..])?,
        ),
        [digits] if digits.len() == 4 => (number(&digits[..2])?, number(&digits[2..])?, 0),
        [digits] if digits.len() <= 2 => (number(digits)?, 0, 0),
        _ => return Err(Fault::Format),
    };
    Ok((hour, minute, second, micros))
}

/// `+05`, `+05:30`, `-0800`, `+05:30:15` to seconds east of UTC.
fn displacement(token: &str) -> Result<i64, Fault> {
    let number = |s: &str| s.parse::<i64>().map_err(|_| Fault::Format);
    let body = &token[1..];
    let (hour, minute, second) = match body.split(':').collect::<Vec<_>>().as_slice() {
        [digits] if digits.len() > 2 => {
            let split = digits.len() - 2;
            if digits.len() == 6 {
                (
                    number(&digits[..2])?,
                    number(&digits[2..4])?,
                    number(&digits[4..])?,
                )
            } else {
                (number(&digits[..split])?, number(&digits[split..])?, 0)
            }
        }
        [hour] => (number(hour)?, 0, 0),
        [hour, minute] => (number(hour)?, number(minute)?, 0),
        [hour, minute, second] => (number(hour)?, number(minute)?, number(second)?),
        _ => return Err(Fault::Format),
    };
    if hour > 15 || minute > 59 || second > 59 {
        return Err(Fault::Displacement);
    }
    let seconds = hour * 3600 + minute * 60 + second;
    Ok(if token.starts_with('-') {
        -seconds
    } else {
        seconds
    })
}

fn month_of(word: &str) -> Option<i64> {
    let at = if word == "sept" {
        8
    } else {
        MONTHS
            .iter()
            .position(|m| *m == word || (word.len() == 3 && m.starts_with(word)))?
    };
    i64::try_from(at).ok().map(|m| m + 1)
}

fn is_day_name(word: &str) -> bool {
    ["tues", "wednes", "weds", "thur", "thurs"].contains(&word)
        || DAYS
            .iter()
            .any(|d| *d == word || (word.len() == 3 && d.starts_with(word)))
}

impl Fields {
    fn set_year(&mut self, digits: &str) -> Result<(), Fault> {
        if self.year.is_some() {
            return Err(Fault::Format);
        }
        self.year = Some((digits.parse().map_err(|_| Fault::Field)?, digits.len()));
        Ok(())
    }

    fn has_date(&self) -> bool {
        self.julian.is_some() || (self.year.is_some() && self.month.is_some() && self.day.is_some())
    }

    /// `2024-01-02`, `1/2/2024`, `02-Jan-2024`, …
    fn date(&mut self, token: &str, separator: char) -> Result<(), Fault> {
        let parts: Vec<&str> = token.split(separator).collect();
        let number = |s: &str| s.parse::<i64>().map_err(|_| Fault::Format);
        if self.year.is_some() || self.day.is_some() || self.julian.is_some() {
            return Err(Fault::Format);
        }
        if let Some(at) = parts.iter().position(|p| month_of(p).is_some()) {
            if self.month.is_some() {
                return Err(Fault::Format);
            }
            self.month = month_of(parts[at]);
            let rest: Vec<&str> = parts
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != at)
                .map(|(_, p)| *p)
                .collect();
            for part in rest {
                number(part)?;
                if self.day.is_none() && part.len() <= 2 && !(self.year.is_none() && part.len() > 2)
                {
                    self.day = Some(number(part)?);
                } else {
                    self.set_year(part)?;
                }
            }
            return Ok(());
        }
        match parts.as_slice() {
            [year, month, day] if year.len() >= 3 => {
                self.set_year(year)?;
                self.month = Some(number(month)?);
                self.day = Some(number(day)?);
            }
            [month, day, year] => {
                self.month = Some(number(month)?);
                self.day = Some(number(day)?);
                number(year)?;
                self.set_year(year)?;
            }
            // Year and day of the year.
            [year, day] if year.len() >= 4 && day.len() == 3 => {
                self.set_year(year)?;
                self.month = Some(1);
                if number(year)? > YEAR_MAX {
                    return Err(Fault::Field);
                }
                let start = days_from_civil(number(year)?, 1, 1);
                let (_, month, day) = super::civil_from_days(start + number(day)? - 1);
                self.month = Some(month);
                self.day = Some(day);
            }
            _ => return Err(Fault::Format),
        }
        Ok(())
    }

    fn number(&mut self, token: &str, after_t: bool) -> Result<(), Fault> {
        let number = |s: &str| s.parse::<i64>().map_err(|_| Fault::Format);
        if after_t || (self.has_date() && self.time.is_none()) {
            if !after_t && token.len() < 4 {
                return Err(Fault::Format);
            }
            self.time = Some(clock(token)?);
            return Ok(());
        }
        match token.len() {
            8 if self.year.is_none() => {
                self.set_year(&token[..4])?;
                self.month = Some(number(&token[4..6])?);
                self.day = Some(number(&token[6..])?);
            }
            6 if self.year.is_none() && self.month.is_none() => {
                self.set_year(&token[..2])?;
                self.month = Some(number(&token[2..4])?);
                self.day = Some(number(&token[4..])?);
            }
            len if len >= 3 => self.set_year(token)?,
            _ if self.month.is_none() => self.month = Some(number(token)?),
            _ if self.day.is_none() => self.day = Some(number(token)?),
            _ => self.set_year(token)?,
        }
        Ok(())
    }

    fn year(&self) -> Result<i64, Fault> {
        let (year, digits) = self.year.ok_or(Fault::Format)?;
        if self.bc {
            return if year > 0 {
                Ok(1 - year)
            } else {
                Err(Fault::Field)
            };
        }
        Ok(match digits {
            0..=2 if year < 70 => year + 2000,
            0..=2 if year < 100 => year + 1900,
            _ if year <= 0 => return Err(Fault::Field),
            _ => year,
        })
    }

    /// Days since 2000-01-01.
    fn days(&self) -> Result<i64, Fault> {
        if let Some(julian) = self.julian {
            return julian
                .checked_add(super::civil::DATE_MIN)
                .ok_or(Fault::Field);
        }
        let year = self.year()?;
        let month = self.month.ok_or(Fault::Format)?;
        let day = self.day.ok_or(Fault::Format)?;
        if !(1..=12).contains(&month)
            || !(1..=31).contains(&day)
            || day > days_in_month(year, month)
        {
            return Err(Fault::Field);
        }
        if year.abs() > YEAR_MAX {
            return Err(Fault::Field);
        }
        Ok(days_from_civil(year, month, day))
    }

    fn micros_of_day(&self) -> Result<i64, Fault> {
        let Some((mut hour, minute, second, micros)) = self.time else {
            return Ok(0);
        };
        if let Some(afternoon) = self.afternoon {
            if !(0..=12).contains(&hour) {
                return Err(Fault::Field);
            }
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        if minute > 59 || second > 60 || hour > 24 {
            return Err(Fault::Field);
        }
        let total = time_from_parts(hour, minute, second, micros);
        if total > MICROS_PER_DAY {
            return Err(Fault::Field);
        }
        Ok(total)
    }
}

fn parse(text: &str) -> Result<Parsed, Fault> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(Fault::Format);
    }
    let mut fields = Fields::default();
    let mut after_t = false;
    let mut epoch = false;
    for (i, token) in tokens.iter().enumerate() {
        let first = token.as_bytes().first().copied().unwrap_or(b' ');
        let alone = tokens.len() == 1;
        if first.is_ascii_digit() {
            if token.contains(':') {
                if fields.time.is_some() {
                    return Err(Fault::Format);
                }
                fields.time = Some(clock(token)?);
            } else if let Some(separator) = token.chars().find(|c| "-/.".contains(*c)) {
                if separator == '.' && (after_t || fields.has_date()) {
                    fields.time = Some(clock(token)?);
                } else if fields.time.is_some() {
                    return Err(Fault::Format);
                } else {
                    fields.date(token, separator)?;
                }
            } else {
                fields.number(token, after_t)?;
            }
            after_t = false;
            continue;
        }
        if first == b'+' || first == b'-' {
            match &token[1..] {
                "infinity" | "inf" if alone => {
                    return Ok(if first == b'-' {
                        Parsed::NegativeInfinity
                    } else {
                        Parsed::Infinity
                    });
                }
                _ if fields.time.is_some() && fields.zone.is_none() => {
                    fields.zone = Some(Zone::Fixed(displacement(token)?));
                }
                // `+3` after a zone word that is a POSIX specification.
                _ => return Err(Fault::Format),
            }
            continue;
        }
        match token.as_str() {
            "infinity" | "inf" if alone => return Ok(Parsed::Infinity),
            "epoch" if alone => epoch = true,
            "now" | "today" | "tomorrow" | "yesterday" => return Err(Fault::Clock),
            "am" | "pm" => fields.afternoon = Some(token == "pm"),
            "ad" | "bc" => fields.bc = token == "bc",
            "t" if tokens.len() > i + 1 => after_t = true,
            "allballs" => {
                fields.time = Some((0, 0, 0, 0));
                fields.zone = Some(Zone::Fixed(0));
            }
            "at" | "on" => {}
            "j" => {
                let days = tokens.get(i + 1).ok_or(Fault::Format)?;
                fields.julian = Some(days.parse().map_err(|_| Fault::Format)?);
                return finish(fields, epoch);
            }
            word if is_day_name(word) => {}
            word if month_of(word).is_some() => {
                if let (Some(day), None) = (fields.month, fields.day) {
                    // `2 January`: the number was the day.
                    fields.day = Some(day);
                } else if fields.month.is_some() {
                    return Err(Fault::Format);
                }
                fields.month = month_of(word);
            }
            word => {
                let date_separator = word.chars().find(|c| "-/.".contains(*c));
                if let Some(separator) = date_separator
                    && word
                        .split(separator)
                        .next()
                        .is_some_and(|m| month_of(m).is_some())
                {
                    fields.date(word, separator)?;
                } else if let Some(zone) = Zone::named(word) {
                    if fields.zone.replace(zone).is_some() {
                        return Err(Fault::Format);
                    }
                } else if fields.time.is_some() && word.contains('/') {
                    return Err(Fault::Zone(word.to_owned()));
                } else {
                    return Err(Fault::Format);
                }
            }
        }
    }
    finish(fields, epoch)
}

fn finish(mut fields: Fields, epoch: bool) -> Result<Parsed, Fault> {
    if epoch {
        fields.year = Some((1970, 4));
        fields.month = Some(1);
        fields.day = Some(1);
        fields.zone = Some(Zone::Fixed(0));
    }
    Ok(Parsed::Moment(fields))
}

/// `date_in`.
///
/// # Errors
/// 22007, 22008 as Postgres; 0A000 for texts that mean the current time.
pub fn parse_date(text: &str) -> Result<i32, ValueError> {
    if let Some(iso) = super::iso::parse(text)
        && iso.time.is_none()
    {
        return check_date(iso.days)
            .map_err(|_| ValueError::new("22008", format!("date out of range: \"{text}\"")));
    }
    let fail = |f: Fault| fault("date", text, &f);
    match parse(text).map_err(fail)? {
        Parsed::Infinity => Ok(DATE_INFINITY),
        Parsed::NegativeInfinity => Ok(DATE_NEGATIVE_INFINITY),
        Parsed::Moment(fields) => {
            fields.micros_of_day().map_err(fail)?;
            let days = fields.days().map_err(fail)?;
            check_date(days)
                .map_err(|_| ValueError::new("22008", format!("date out of range: \"{text}\"")))
        }
    }
}

/// `time_in`, rounded to the modifier.
///
/// # Errors
/// 22007, 22008 as Postgres.
pub fn parse_time(text: &str, typmod: i32) -> Result<i64, ValueError> {
    if let Some(micros) = super::iso::parse_time(text) {
        return Ok(super::round_micros(micros, typmod));
    }
    let fail = |f: Fault| fault("time", text, &f);
    let trimmed = text.trim_matches(crate::input::is_space);
    // Digits alone are a time here, not a date.
    let digits = trimmed.strip_prefix(['t', 'T']).unwrap_or(trimmed);
    let fields = if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let time = match digits.len() {
            4 | 6 => clock(digits).map_err(fail)?,
            _ => return Err(fail(Fault::Format)),
        };
        Fields {
            time: Some(time),
            ..Fields::default()
        }
    } else {
        match parse(text).map_err(fail)? {
            Parsed::Moment(fields) => fields,
            _ => return Err(fail(Fault::Format)),
        }
    };
    if fields.time.is_none() {
        return Err(fail(Fault::Format));
    }
    let micros = fields.micros_of_day().map_err(fail)?;
    Ok(super::round_micros(micros, typmod))
}

fn moment(fields: &Fields) -> Result<Civil, Fault> {
    let (year, month, day) = super::civil_from_days(fields.days()?);
    let time = fields.micros_of_day()?;
    Ok(Civil {
        year,
        month,
        day,
        hour: time / super::MICROS_PER_HOUR,
        minute: time / super::MICROS_PER_MINUTE % 60,
        second: time / super::MICROS_PER_SECOND % 60,
        micros: time % super::MICROS_PER_SECOND,
    })
}

fn parse_moment(
    type_name: &str,
    text: &str,
    typmod: i32,
    zone: Option<&Zone>,
) -> Result<i64, ValueError> {
    let out_of_range = |_| ValueError::new("22008", format!("timestamp out of range: \"{text}\""));
    if let Some(iso) = super::iso::parse(text)
        && (zone.is_none() || iso.offset.is_some())
    {
        let local =
            i128::from(iso.days) * i128::from(MICROS_PER_DAY) + i128::from(iso.time.unwrap_or(0));
        let east = zone.and(iso.offset).unwrap_or(0);
        // The local time itself has to be in range, as Postgres checks it first.
        let local = check_timestamp(local).map_err(out_of_range)?;
        let at = check_timestamp(i128::from(local) - i128::from(east * super::MICROS_PER_SECOND))
            .map_err(out_of_range)?;
        return Ok(super::round_micros(at, typmod));
    }
    let fail = |f: Fault| fault(type_name, text, &f);
    let fields = match parse(text).map_err(fail)? {
        Parsed::Infinity => return Ok(TIMESTAMP_INFINITY),
        Parsed::NegativeInfinity => return Ok(TIMESTAMP_NEGATIVE_INFINITY),
        Parsed::Moment(fields) => fields,
    };
    let local = timestamp_from_civil(&moment(&fields).map_err(fail)?).map_err(out_of_range)?;
    let at = match zone {
        None => local,
        Some(session) => {
            local_to_utc(local, fields.zone.as_ref().unwrap_or(session)).map_err(out_of_range)?
        }
    };
    Ok(super::round_micros(at, typmod))
}

/// `timestamp_in`; a zone in the text is read and has no effect.
///
/// # Errors
/// 22007, 22008 as Postgres.
pub fn parse_timestamp(text: &str, typmod: i32) -> Result<i64, ValueError> {
    parse_moment("timestamp", text, typmod, None)
}

/// `timestamptz_in` in a session whose zone is UTC.
///
/// # Errors
/// 22007, 22008, 22009 as Postgres.
pub fn parse_timestamptz(text: &str, typmod: i32) -> Result<i64, ValueError> {
    parse_moment(
        "timestamp with time zone",
        text,
        typmod,
        Some(&Zone::Fixed(0)),
    )
}

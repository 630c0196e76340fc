//! `to_char` of dates and times: the common patterns.
//!
//! In: a format that was checked when the expression was built, and a value. Out: the text.
//!
//! Always: what is checked and accepted gives what Postgres gives; everything else is refused with the view.

use readside_pgtype::datetime::{self, Civil, MICROS_PER_DAY};
use readside_pgtype::{Interval, Value};

use super::{Result, error, mistyped, text};

pub(crate) use super::to_char_number::check as check_number;
pub(super) use super::to_char_number::number;

/// A piece of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(char),
    Field {
        name: &'static str,
        /// As it was written: the case of names follows it.
        written: String,
        /// FM: no padding.
        fill: bool,
        /// TH or th.
        ordinal: Option<bool>,
    },
}

/// Every pattern that Postgres knows, longer ones first; `false` for those that are refused.
const PATTERNS: &[(&str, bool)] = &[
    ("Y,YYY", true),
    ("SSSSS", true),
    ("MONTH", true),
    ("A.D.", true),
    ("A.M.", true),
    ("B.C.", true),
    ("P.M.", true),
    ("HH24", true),
    ("HH12", true),
    ("IDDD", true),
    ("IYYY", true),
    ("SSSS", true),
    ("YYYY", true),
    ("DAY", true),
    ("DDD", true),
    ("FF1", true),
    ("FF2", true),
    ("FF3", true),
    ("FF4", true),
    ("FF5", true),
    ("FF6", true),
    ("IYY", true),
    ("MON", true),
    ("TZH", false),
    ("TZM", false),
    ("YYY", true),
    ("AD", true),
    ("AM", true),
    ("BC", true),
    ("CC", true),
    ("DD", true),
    ("DY", true),
    ("FX", false),
    ("HH", true),
    ("ID", true),
    ("IW", true),
    ("IY", true),
    ("MI", true),
    ("MM", true),
    ("MS", true),
    ("OF", false),
    ("PM", true),
    ("RM", true),
    ("SS", true),
    ("TZ", false),
    ("US", true),
    ("WW", true),
    ("YY", true),
    ("D", true),
    ("I", true),
    ("J", true),
    ("Q", true),
    ("W", true),
    ("Y", true),
];

/// Whether a pattern stands at the start of a text: all in capitals, all small, or (names) with a capital.
fn stands(rest: &str, name: &str) -> bool {
    let Some(head) = rest.get(..name.len()) else {
        return false;
    };
    let capitalised = matches!(name, "MONTH" | "MON" | "DAY" | "DY")
        && head.eq_ignore_ascii_case(name)
        && head[..1] == name[..1]
        && head[1..] == name[1..].to_ascii_lowercase();
    head == name || head == name.to_ascii_lowercase() || capitalised
}

fn pieces(format: &str) -> std::result::Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = &rest[1..];
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match (c, rest.chars().next()) {
                    ('"', _) => break,
                    ('\\', Some(escaped)) => {
                        out.push(Piece::Literal(escaped));
                        rest = &rest[escaped.len_utf8()..];
                    }
                    _ => out.push(Piece::Literal(c)),
                }
            }
            continue;
        }
        if rest.starts_with("\\\"") {
            out.push(Piece::Literal('"'));
            rest = &rest[2..];
            continue;
        }
        let mut fill = false;
        while rest.starts_with("FM") || rest.starts_with("fm") {
            fill = true;
            rest = &rest[2..];
        }
        if rest.starts_with("TM") || rest.starts_with("tm") {
            return Err(
                "the pattern `TM` depends on the session's locale, and is not supported".to_owned(),
            );
        }
        match PATTERNS.iter().find(|(name, _)| stands(rest, name)) {
            Some((name, false)) => return Err(format!("the pattern `{name}` is not supported")),
            Some((name, true)) => {
                let written = rest[..name.len()].to_owned();
                rest = &rest[name.len()..];
                let ordinal = if rest.starts_with("TH") {
                    Some(true)
                } else if rest.starts_with("th") {
                    Some(false)
                } else if rest.starts_with("SP") {
                    return Err("the pattern `SP` is not supported".to_owned());
                } else {
                    None
                };
                if ordinal.is_some() {
                    rest = &rest[2..];
                }
                out.push(Piece::Field {
                    name,
                    written,
                    fill,
                    ordinal,
                });
            }
            None => {
                if let Some(c) = rest.chars().next() {
                    out.push(Piece::Literal(c));
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
    }
    Ok(out)
}

/// Refuses a format of which anything isn't built.
pub(crate) fn check_datetime(format: &str, is_interval: bool) -> std::result::Result<(), String> {
    for piece in pieces(format)? {
        if let (true, Piece::Field { name, .. }) = (is_interval, &piece)
            && !matches!(*name, "HH24" | "MI" | "SS" | "MS" | "US")
        {
            return Err(format!(
                "the pattern `{name}` is not supported for intervals"
            ));
        }
    }
    Ok(())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const ROMAN: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];

/// A name in the case in which its pattern was written, padded.
fn cased(name: &str, written: &str, width: usize) -> String {
    let shown = if written.chars().all(|c| !c.is_ascii_lowercase()) {
        name.to_ascii_uppercase()
    } else if written.chars().all(|c| !c.is_ascii_uppercase()) {
        name.to_ascii_lowercase()
    } else {
        name.to_owned()
    };
    format!("{shown:width$}")
}

/// The calendar of a moment.
struct Moment {
    civil: Civil,
    days: i64,
    micros_of_day: i64,
}

fn moment_of(micros: i64) -> Moment {
    Moment {
        civil: datetime::civil_from_micros(micros),
        days: micros.div_euclid(MICROS_PER_DAY),
        micros_of_day: micros.rem_euclid(MICROS_PER_DAY),
    }
}

/// `to_char(timestamp, format)`, of `timestamptz` in UTC, of `interval`.
pub(super) fn datetime(args: &[Value]) -> Result {
    let format = text(args, 1)?;
    if format.is_empty() {
        return Ok(Value::Null);
    }
    let pieces = pieces(format).map_err(|e| error("0A000", e))?;
    match args.first() {
        Some(Value::Timestamp(t) | Value::TimestampTz(t)) => {
            if *t == i64::MAX || *t == i64::MIN {
                return Ok(Value::Null);
            }
            let moment = moment_of(*t);
            Ok(Value::text(shown(&pieces, &|name, written, fill| {
                field(&moment, name, written, fill)
            })))
        }
        Some(Value::Interval(interval)) => Ok(Value::text(shown(&pieces, &|name, _, fill| {
            interval_field(interval, name, fill)
        }))),
        _ => Err(mistyped("to_char")),
    }
}

fn shown(pieces: &[Piece], field: &dyn Fn(&str, &str, bool) -> String) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(c) => out.push(*c),
            Piece::Field {
                name,
                written,
                fill,
                ordinal,
            } => {
                let text = field(name, written, *fill);
                out.push_str(&text);
                if let (Some(capital), true) = (ordinal, takes_ordinal(name)) {
                    let suffix = ordinal_suffix(&text);
                    if *capital {
                        out.push_str(&suffix.to_ascii_uppercase());
                    } else {
                        out.push_str(suffix);
                    }
                }
            }
        }
    }
    out
}

/// Names have no ordinal.
fn takes_ordinal(name: &str) -> bool {
    !matches!(
        name,
        "MONTH"
            | "MON"
            | "DAY"
            | "DY"
            | "RM"
            | "AM"
            | "PM"
            | "A.M."
            | "P.M."
            | "AD"
            | "BC"
            | "A.D."
            | "B.C."
    )
}

fn ordinal_suffix(number: &str) -> &'static str {
    let digits: Vec<char> = number.chars().rev().take(2).collect();
    match digits[..] {
        [_, '1'] => "th",
        ['1', ..] => "st",
        ['2', ..] => "nd",
        ['3', ..] => "rd",
        _ => "th",
    }
}

/// A number padded with zeros; a minus sign takes a place more.
fn padded(n: i64, width: usize, fill: bool) -> String {
    if fill {
        n.to_string()
    } else {
        let width = width + usize::from(n < 0);
        format!("{n:0width$}")
    }
}

/// A year as people count: there is none before the year 1 but 1 BC.
fn counted(year: i64) -> i64 {
    if year <= 0 { 1 - year } else { year }
}

fn field(moment: &Moment, name: &str, written: &str, fill: bool) -> String {
    let c = &moment.civil;
    let (year, month, day) = (c.year, c.month, c.day);
    let weekday = datetime::weekday(moment.days);
    let iso_weekday = if weekday == 0 { 7 } else { weekday };
    let day_of_year = moment.days - datetime::days_from_civil(year, 1, 1) + 1;
    let (iso_year, iso_week) = datetime::iso_week(moment.days);
    let number = |n: i64, width: usize| padded(n, width, fill);
    let at = |n: i64| usize::try_from(n).unwrap_or(0);
    let second = moment.micros_of_day / 1_000_000;
    match name {
        "YYYY" => number(counted(year), 4),
        "YYY" => number(counted(year) % 1000, 3),
        "YY" => number(counted(year) % 100, 2),
        "Y" => number(counted(year) % 10, 1),
        "Y,YYY" => {
            let year = counted(year);
            format!("{},{:03}", year / 1000, year % 1000)
        }
        "IYYY" => number(counted(iso_year), 4),
        "IYY" => number(counted(iso_year) % 1000, 3),
        "IY" => number(counted(iso_year) % 100, 2),
        "I" => number(counted(iso_year) % 10, 1),
        "MM" => number(month, 2),
        "DD" => number(day, 2),
        "DDD" => number(day_of_year, 3),
        "D" => (weekday + 1).to_string(),
        "ID" => iso_weekday.to_string(),
        "IDDD" => number((iso_week - 1) * 7 + iso_weekday, 3),
        "HH" | "HH12" => number(if c.hour % 12 == 0 { 12 } else { c.hour % 12 }, 2),
        "HH24" => number(c.hour, 2),
        "MI" => number(c.minute, 2),
        "SS" => number(c.second, 2),
        "MS" | "FF3" => format!("{:03}", c.micros / 1000),
        "US" | "FF6" => format!("{:06}", c.micros),
        "FF1" => format!("{}", c.micros / 100_000),
        "FF2" => format!("{:02}", c.micros / 10_000),
        "FF4" => format!("{:04}", c.micros / 100),
        "FF5" => format!("{:05}", c.micros / 10),
        "SSSS" | "SSSSS" => second.to_string(),
        "AM" | "PM" => half_day(c.hour, ["am", "pm"], written),
        "A.M." | "P.M." => half_day(c.hour, ["a.m.", "p.m."], written),
        "AD" | "BC" => cased(if year <= 0 { "bc" } else { "ad" }, written, 0),
        "A.D." | "B.C." => cased(if year <= 0 { "b.c." } else { "a.d." }, written, 0),
        "MONTH" => cased(
            MONTHS[at(month - 1) % 12],
            written,
            if fill { 0 } else { 9 },
        ),
        "MON" => cased(&MONTHS[at(month - 1) % 12][..3], written, 0),
        "DAY" => cased(DAYS[at(weekday) % 7], written, if fill { 0 } else { 9 }),
        "DY" => cased(&DAYS[at(weekday) % 7][..3], written, 0),
        "RM" => cased(ROMAN[at(month - 1) % 12], written, if fill { 0 } else { 4 }),
        "Q" => ((month - 1) / 3 + 1).to_string(),
        "WW" => number((day_of_year - 1) / 7 + 1, 2),
        "W" => ((day - 1) / 7 + 1).to_string(),
        "IW" => number(iso_week, 2),
        "CC" => {
            let century = if year > 0 {
                (year - 1) / 100 + 1
            } else {
                year / 100 - 1
            };
            if (-99..=99).contains(&century) {
                number(century, 2)
            } else {
                century.to_string()
            }
        }
        // Day 0 of the Julian calendar is 2451545 days before 2000.
        "J" => (moment.days + 2_451_545).to_string(),
        _ => String::new(),
    }
}

fn half_day(hour: i64, names: [&str; 2], written: &str) -> String {
    cased(names[usize::from(hour >= 12)], written, 0)
}

fn interval_field(interval: &Interval, name: &str, fill: bool) -> String {
    let micros = interval.micros;
    match name {
        "HH24" => padded(micros / 3_600_000_000, 2, fill),
        "MI" => padded(micros / 60_000_000 % 60, 2, fill),
        "SS" => padded(micros / 1_000_000 % 60, 2, fill),
        "MS" => format!("{:03}", micros % 1_000_000 / 1000),
        "US" => format!("{:06}", micros % 1_000_000),
        _ => String::new(),
    }
}

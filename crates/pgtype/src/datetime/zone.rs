//! Time zones: names, abbreviations, POSIX offsets; local time to UTC and back.
//!
//! Always: a local time that a transition skipped is read with the offset before it, an ambiguous one with the offset after it.

use chrono::{NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::Interval;
use super::civil::{
    MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, check_timestamp,
    civil_from_micros, days_from_civil, weekday,
};
use crate::ValueError;

/// The edition of the time zone database that is compiled in; what named zones mean depends on it.
///
/// Zones that were merged by that edition have the merged zone's history before 1970, where a server may keep its own.
pub const ZONE_DATA_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i64),
    /// A zone of the time zone database.
    Named(Tz),
}

/// Abbreviations of Postgres' default set that stand for one offset, in seconds east; sorted. Those whose meaning depends on the date
/// are left out.
const ABBREVIATIONS: &[(&str, i64)] = &[
    ("acdt", 37_800),
    ("acsst", 37_800),
    ("acst", 34_200),
    ("act", -18_000),
    ("acwst", 31_500),
    ("adt", -10_800),
    ("aedt", 39_600),
    ("aesst", 39_600),
    ("aest", 36_000),
    ("aft", 16_200),
    ("akdt", -28_800),
    ("akst", -32_400),
    ("almst", 25_200),
    ("almt", 21_600),
    ("amt", -14_400),
    ("ast", -14_400),
    ("awsst", 32_400),
    ("awst", 28_800),
    ("azost", 0),
    ("azot", -3600),
    ("bdst", 7200),
    ("bdt", 21_600),
    ("bnt", 28_800),
    ("bort", 28_800),
    ("bot", -14_400),
    ("bra", -10_800),
    ("brst", -7200),
    ("brt", -10_800),
    ("bst", 3600),
    ("btt", 21_600),
    ("cadt", 37_800),
    ("cast", 34_200),
    ("cct", 28_800),
    ("cdt", -18_000),
    ("cest", 7200),
    ("cet", 3600),
    ("cetdst", 7200),
    ("chadt", 49_500),
    ("chast", 45_900),
    ("chut", 36_000),
    ("clst", -10_800),
    ("cot", -18_000),
    ("cst", -21_600),
    ("cxt", 25_200),
    ("ddut", 36_000),
    ("eat", 10_800),
    ("edt", -14_400),
    ("eest", 10_800),
    ("eet", 7200),
    ("eetdst", 10_800),
    ("egst", 0),
    ("egt", -3600),
    ("est", -18_000),
    ("fet", 10_800),
    ("fjst", 46_800),
    ("fjt", 43_200),
    ("fnst", -3600),
    ("fnt", -7200),
    ("galt", -21_600),
    ("gamt", -32_400),
    ("gft", -10_800),
    ("gilt", 43_200),
    ("gmt", 0),
    ("hkt", 28_800),
    ("hst", -36_000),
    ("ict", 25_200),
    ("idt", 10_800),
    ("irt", 12_600),
    ("ist", 7200),
    ("jayt", 32_400),
    ("jst", 32_400),
    ("kdt", 36_000),
    ("kgst", 21_600),
    ("kst", 32_400),
    ("lhst", 37_800),
    ("ligt", 36_000),
    ("mart", -34_200),
    ("mdt", -21_600),
    ("mest", 7200),
    ("mesz", 7200),
    ("met", 3600),
    ("metdst", 7200),
    ("mez", 3600),
    ("mht", 43_200),
    ("mmt", 23_400),
    ("mpt", 36_000),
    ("msd", 14_400),
    ("mst", -25_200),
    ("must", 18_000),
    ("mut", 14_400),
    ("mvt", 18_000),
    ("myt", 28_800),
    ("ndt", -9000),
    ("nft", -12_600),
    ("npt", 20_700),
    ("nst", -12_600),
    ("nzdt", 46_800),
    ("nzst", 43_200),
    ("nzt", 43_200),
    ("pdt", -25_200),
    ("pet", -18_000),
    ("pgt", 36_000),
    ("pht", 28_800),
    ("pkst", 21_600),
    ("pkt", 18_000),
    ("pmdt", -7200),
    ("pmst", -10_800),
    ("pont", 39_600),
    ("pst", -28_800),
    ("pwt", 32_400),
    ("pyst", -10_800),
    ("ret", 14_400),
    ("sadt", 37_800),
    ("sast", 7200),
    ("sct", 14_400),
    ("taht", -36_000),
    ("tft", 18_000),
    ("tjt", 18_000),
    ("tot", 46_800),
    ("trut", 36_000),
    ("tvt", 43_200),
    ("uct", 0),
    ("ulast", 32_400),
    ("ut", 0),
    ("utc", 0),
    ("uyst", -7200),
    ("uyt", -10_800),
    ("uzst", 21_600),
    ("uzt", 18_000),
    ("vut", 39_600),
    ("wadt", 28_800),
    ("wakt", 43_200),
    ("wast", 25_200),
    ("wat", 3600),
    ("wdt", 32_400),
    ("wet", 0),
    ("wetdst", 3600),
    ("wft", 43_200),
    ("wgst", -7200),
    ("wgt", -10_800),
    ("xjt", 21_600),
    ("yapt", 36_000),
    ("yekst", 21_600),
    ("z", 0),
    ("zulu", 0),
];

/// The last year in the compiled zone tables; later years are mapped to an equal earlier one.
const TABLE_YEAR_MAX: i64 = 2099;

impl Zone {
    /// A zone by the names that text input and `AT TIME ZONE` know: abbreviations, then full names, any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Zone> {
        let lower = name.to_ascii_lowercase();
        if let Ok(at) = ABBREVIATIONS.binary_search_by(|(n, _)| (*n).cmp(lower.as_str())) {
            return Some(Zone::Fixed(ABBREVIATIONS[at].1));
        }
        let exact: Option<Tz> = name.parse().ok();
        exact
            .or_else(|| {
                chrono_tz::TZ_VARIANTS
                    .iter()
                    .find(|tz| tz.name().eq_ignore_ascii_case(name))
                    .copied()
            })
            .map(Zone::Named)
    }

    /// The argument of `AT TIME ZONE`: a name as above, or a POSIX offset (`UTC+3`, `-05:30`), which counts to the *west*.
    ///
    /// # Errors
    /// 22023 `time zone "…" not recognized`.
    pub fn parse(name: &str) -> Result<Zone, ValueError> {
        if let Some(zone) = Zone::named(name) {
            return Ok(zone);
        }
        let unknown = || ValueError::new("22023", format!("time zone \"{name}\" not recognized"));
        let at = name.find(['+', '-']).unwrap_or_else(|| {
            name.find(|c: char| c.is_ascii_digit())
                .unwrap_or(name.len())
        });
        let (label, offset) = name.split_at(at);
        if !label.chars().all(|c| c.is_ascii_alphabetic()) || (!label.is_empty() && label.len() < 3)
        {
            return Err(unknown());
        }
        let (west, digits) = match offset.as_bytes().first() {
            Some(b'-') => (-1, &offset[1..]),
            Some(b'+') => (1, &offset[1..]),
            Some(_) => (1, offset),
            None => return Err(unknown()),
        };
        let mut seconds = 0;
        let mut unit = 3600;
        for (i, part) in digits.split(':').enumerate() {
            let n: i64 = part.parse().map_err(|_| unknown())?;
            if i > 2 || part.len() > 2 || (i == 0 && n > 24) || (i > 0 && n > 59) {
                return Err(unknown());
            }
            seconds += n * unit;
            unit /= 60;
        }
        Ok(Zone::Fixed(-west * seconds))
    }

    /// `AT TIME ZONE interval`.
    ///
    /// # Errors
    /// 22023 where the interval has months or days.
    pub fn from_interval(interval: &Interval) -> Result<Zone, ValueError> {
        if interval.months != 0 || interval.days != 0 {
            let mut text = String::new();
            super::write_interval(&mut text, interval);
            return Err(ValueError::new(
                "22023",
                format!("interval time zone \"{text}\" must not include months or days"),
            ));
        }
        Ok(Zone::Fixed(interval.micros / MICROS_PER_SECOND))
    }

    /// Seconds east of UTC at a moment in UTC.
    #[must_use]
    pub fn offset_at(&self, utc: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => *seconds,
            Zone::Named(tz) => {
                let Some(at) = naive(utc) else { return 0 };
                tz.offset_from_utc_datetime(&at)
                    .fix()
                    .local_minus_utc()
                    .into()
            }
        }
    }

    /// Seconds east of UTC that a local time is read with.
    #[must_use]
    pub fn offset_of_local(&self, local: i64) -> i64 {
        let tz = match self {
            Zone::Fixed(seconds) => return *seconds,
            Zone::Named(tz) => tz,
        };
        let Some(mut at) = naive(local) else { return 0 };
        // Skipped: step back to a time that exists; its latest offset is the one before the transition.
        for _ in 0..=(36 * 4) {
            match tz.offset_from_local_datetime(&at).latest() {
                Some(offset) => return offset.fix().local_minus_utc().into(),
                None => at -= TimeDelta::minutes(15),
            }
        }
        0
    }
}

/// The moment as chrono has it, in a year that its zone tables cover.
fn naive(micros: i64) -> Option<NaiveDateTime> {
    let mut c = civil_from_micros(micros);
    if c.year > TABLE_YEAR_MAX {
        // The same weekdays and leap day, so the same rules give the same transitions.
        let january = |y| {
            (
                weekday(days_from_civil(y, 1, 1)),
                days_from_civil(y + 1, 1, 1) - days_from_civil(y, 1, 1),
            )
        };
        let wanted = january(c.year);
        c.year = (TABLE_YEAR_MAX - 27..=TABLE_YEAR_MAX)
            .rev()
            .find(|y| january(*y) == wanted)?;
    } else if c.year < -200_000 {
        c.year = -200_000;
    }
    let small = |n: i64| u32::try_from(n).ok();
    NaiveDate::from_ymd_opt(i32::try_from(c.year).ok()?, small(c.month)?, small(c.day)?)?
        .and_hms_micro_opt(
            small(c.hour)?,
            small(c.minute)?,
            small(c.second)?,
            small(c.micros)?,
        )
}

/// A local time to UTC.
pub(super) fn local_to_utc(local: i64, zone: &Zone) -> Result<i64, ValueError> {
    let offset = zone.offset_of_local(local);
    check_timestamp(i128::from(local) - i128::from(offset) * i128::from(MICROS_PER_SECOND))
}

/// `timestamp AT TIME ZONE zone`: a local time to `timestamptz`.
///
/// # Errors
/// 22008 out of range.
pub fn timestamp_at_zone(local: i64, zone: &Zone) -> Result<i64, ValueError> {
    if local == TIMESTAMP_INFINITY || local == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(local);
    }
    local_to_utc(local, zone)
}

/// `timestamptz AT TIME ZONE zone`: a moment to local time.
///
/// # Errors
/// 22008 out of range.
pub fn timestamptz_at_zone(utc: i64, zone: &Zone) -> Result<i64, ValueError> {
    if utc == TIMESTAMP_INFINITY || utc == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(utc);
    }
    let offset = zone.offset_at(utc);
    check_timestamp(i128::from(utc) + i128::from(offset) * i128::from(MICROS_PER_SECOND))
}

//! Durations (`60s`) and byte sizes (`512MB`) as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}")]
pub struct QuantityError {
    text: String,
    what: &'static str,
}

/// What a duration looks like, for hints.
pub const DURATION_HINT: &str = "a duration looks like `60s`, `5m`, `1h30m` or `250ms`";
/// What a size looks like, for hints.
pub const SIZE_HINT: &str = "a size looks like `512MB` (decimal) or `2GiB` (binary)";

/// `250ms`, `60s`, `5m`, `1h30m`, `2d`.
///
/// # Errors
/// Anything else: a number without a unit, a sign, an unknown unit, more than 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let error = || QuantityError {
        text: text.to_owned(),
        what: "duration",
    };
    let mut millis = 0u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(error());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(error)?;
        let unit_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let unit: u64 = match &after[..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        millis = number
            .checked_mul(unit)
            .and_then(|m| m.checked_add(millis))
            .ok_or_else(error)?;
        rest = after[unit_end..].trim_start();
    }
    if millis > 100 * 366 * 86_400_000 {
        return Err(error());
    }
    Ok(Duration::from_millis(millis))
}

/// `1h30m`, `60s`, `250ms`: what [`parse_duration`] reads back.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        let count = millis / size;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            millis %= size;
        }
    }
    out
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || QuantityError {
            text: text.to_owned(),
            what: "size",
        };
        let (number, unit) = split_number(text.trim()).ok_or_else(error)?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(error()),
        };
        number.checked_mul(factor).map(ByteSize).ok_or_else(error)
    }
}

impl fmt::Display for ByteSize {
    /// Rounded to three digits, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        let (mut whole, mut rest, mut unit) = (self.0, 0u64, 0usize);
        while whole >= 1000 && unit + 1 < units.len() {
            rest = whole % 1000;
            whole /= 1000;
            unit += 1;
        }
        let name = units[unit];
        match whole {
            _ if unit == 0 => write!(f, "{whole} {name}"),
            0..10 => write!(f, "{whole}.{:02} {name}", rest / 10),
            10..100 => write!(f, "{whole}.{} {name}", rest / 100),
            _ => write!(f, "{whole} {name}"),
        }
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_are_read_back_as_printed() {
        for (text, millis) in [
            ("60s", 60_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1m 30s", 90_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        for bad in [
            "",
            "60",
            "-1s",
            "1.5s",
            "1y",
            "s",
            "99999999999999999999s",
            "40000d",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        for (text, bytes) in [
            ("512MB", 512_000_000),
            ("2 GiB", 2 << 30),
            ("0B", 0),
            ("10kb", 10_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["512", "MB", "-1MB", "1.5GB", "99999999TB", "1XB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(ByteSize(999).to_string(), "999 B");
        assert_eq!(ByteSize(1_050_000).to_string(), "1.05 MB");
        assert_eq!(ByteSize(12_340_000_000).to_string(), "12.3 GB");
        assert_eq!(ByteSize(u64::MAX).to_string(), "18.4 EB");
    }
}

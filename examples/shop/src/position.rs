//! A place in the write database's history, as a command answers with it and a query may ask for it.
//!
//! In and out: the text `TIMELINE:LSN`, such as `1:16/B374D848`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// An LSN and the timeline that it is of; without the latter, one from before a failover could name another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub(crate) timeline: u32,
    pub(crate) lsn: u64,
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position; one looks like `1:16/B374D848`")]
pub struct PositionError(String);

impl Position {
    /// Its LSN as Postgres prints it.
    pub(crate) fn lsn_text(self) -> String {
        format!("{:X}/{:X}", self.lsn >> 32, self.lsn & 0xFFFF_FFFF)
    }
}

/// An LSN's text as a number.
pub(crate) fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |text: &str| {
        (text.len() <= 8 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
    };
    Some(part(high)? << 32 | part(low)?)
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parts = || {
            let (timeline, lsn) = text.split_once(':')?;
            let digits = timeline.bytes().all(|b| b.is_ascii_digit());
            let timeline = digits.then(|| timeline.parse().ok()).flatten()?;
            (timeline > 0).then_some(Self {
                timeline,
                lsn: parse_lsn(lsn)?,
            })
        };
        parts().ok_or_else(|| PositionError(text.to_owned()))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.timeline, self.lsn_text())
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_and_printed_back() {
        for text in ["1:16/B374D848", "4294967295:0/0", "2:FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "1",
            "1:",
            ":0/1",
            "0:0/1",
            "+1:0/1",
            "1:0/+1",
            "1:0",
            "1:0/1/2",
            "1:123456789/0",
            "x:0/1",
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}

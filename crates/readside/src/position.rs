//! An LSN as a person writes it: `16/B374D848`, or with its time line `1:16/B374D848`.

use std::fmt;
use std::str::FromStr;

use readside_model::{Lsn, LsnParseError};

/// An LSN to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedLsn {
    /// The time line that it belongs to; `None` means the source's present one.
    pub timeline: Option<u32>,
    /// The LSN.
    pub lsn: Lsn,
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedLsnError {
    /// The LSN.
    #[error(transparent)]
    Lsn(#[from] LsnParseError),
    /// The time line.
    #[error("`{0}` is not a time line; with one, an LSN looks like `1:16/B374D848`")]
    Timeline(String),
}

impl FromStr for WantedLsn {
    type Err = WantedLsnError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (timeline, lsn) = match s.split_once(':') {
            Some((timeline, lsn)) => {
                let number = timeline
                    .parse::<u32>()
                    .ok()
                    .filter(|n| *n > 0 && !timeline.starts_with('+'))
                    .ok_or_else(|| WantedLsnError::Timeline(timeline.to_owned()))?;
                (Some(number), lsn)
            }
            None => (None, s),
        };
        Ok(WantedLsn {
            timeline,
            lsn: lsn.parse()?,
        })
    }
}

impl fmt::Display for WantedLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(timeline) = self.timeline {
            write!(f, "{timeline}:")?;
        }
        write!(f, "{}", self.lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_printed_back() {
        for text in ["16/B374D848", "1:16/B374D848", "42:0/0"] {
            assert_eq!(text.parse::<WantedLsn>().unwrap().to_string(), text);
        }
        for bad in ["", "0:1/2", "x:1/2", "1:", "1:2", ":1/2", "+1:1/2", "1/2/3"] {
            assert!(bad.parse::<WantedLsn>().is_err(), "{bad}");
        }
    }
}

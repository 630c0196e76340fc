//! Where something stands in the source's history.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A log sequence number: a byte position in the source's WAL. Prints as Postgres does, `16/B374D848`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before everything.
    pub const ZERO: Lsn = Lsn(0);
    /// After everything.
    pub const MAX: Lsn = Lsn(u64::MAX);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an LSN; one looks like `16/B374D848`")]
pub struct LsnParseError(pub String);

impl FromStr for Lsn {
    type Err = LsnParseError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || LsnParseError(s.to_owned());
        let (high, low) = s.split_once('/').ok_or_else(error)?;
        let part = |text: &str| {
            if text.is_empty() || text.len() > 8 || text.starts_with('+') {
                return Err(error());
            }
            u32::from_str_radix(text, 16).map_err(|_| error())
        };
        Ok(Lsn(u64::from(part(high)?) << 32 | u64::from(part(low)?)))
    }
}

/// A place in the stream: the commit LSN of a transaction and the ordinal of a change in it.
///
/// Only commits are monotonic in the stream, so change LSNs are not positions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// The transaction's commit LSN.
    pub commit: Lsn,
    /// How many of its changes are behind.
    pub ordinal: u64,
}

/// Microseconds since 2000-01-01 00:00 UTC, as Postgres counts commit times.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds between the Unix epoch and Postgres' epoch.
    pub const UNIX_OFFSET_MICROS: i64 = 946_684_800_000_000;

    /// This moment on the Unix scale, in seconds.
    #[must_use]
    pub fn unix_seconds(self) -> f64 {
        #[allow(
            clippy::cast_precision_loss,
            reason = "microseconds fit 53 bits until the year 2255"
        )]
        let micros = (self.0 + Self::UNIX_OFFSET_MICROS) as f64;
        micros / 1e6
    }
}

/// A 32-bit transaction id of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Xid(pub u32);

/// Which copy of a table's rows is meant; a load, a TRUNCATE or a swap raises it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TableEpoch(pub u32);

/// The version of a sink write: end LSN of the state it was computed from, plus the offset. Never decreases per key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

/// What a data directory is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// `IDENTIFY_SYSTEM`'s systemid.
    pub system_id: String,
    /// `pg_database.oid`
    pub database_oid: u32,
    /// The database's name, for messages.
    pub database: String,
    /// The replication slot.
    pub slot: String,
    /// The timeline that the durable end belongs to.
    pub timeline: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_prints_and_parses_as_postgres_does() {
        let lsn: Lsn = "16/B374D848".parse().expect("an LSN");
        assert_eq!(lsn, Lsn(0x16_B374_D848));
        assert_eq!(lsn.to_string(), "16/B374D848");
        for bad in ["", "16", "16/", "/1", "+1/0", "1/G", "123456789/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}

//! The position that a commit carries, and its bytes in the base.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | format version, 1 |
//! | 1..9 | `applied.commit`, little endian |
//! | 9..17 | `applied.ordinal` |
//! | 17..25 | `published` |

use readside_model::{Lsn, Position};

use crate::StateError;

/// How far the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Everything before this has been applied; it may stand inside a transaction.
    pub applied: Position,
    /// The end of the last transaction that is applied as a whole; what sinks may show.
    pub published: Lsn,
}

/// The version of the state's layout in the base.
pub(crate) const FORMAT: u8 = 1;

impl Committed {
    /// The record's bytes.
    pub(crate) fn encode(self) -> [u8; 25] {
        let mut out = [0; 25];
        out[0] = FORMAT;
        out[1..9].copy_from_slice(&self.applied.commit.0.to_le_bytes());
        out[9..17].copy_from_slice(&self.applied.ordinal.to_le_bytes());
        out[17..25].copy_from_slice(&self.published.0.to_le_bytes());
        out
    }

    /// Reads the record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(&found) => {
                return Err(StateError::Format {
                    found,
                    supported: FORMAT,
                });
            }
            None => return Err(StateError::Corrupt("an empty position record".to_owned())),
        }
        let number = |from: usize| {
            bytes
                .get(from..from + 8)
                .and_then(|b| <[u8; 8]>::try_from(b).ok())
                .map(u64::from_le_bytes)
                .ok_or_else(|| StateError::Corrupt("a short position record".to_owned()))
        };
        Ok(Committed {
            applied: Position {
                commit: Lsn(number(1)?),
                ordinal: number(9)?,
            },
            published: Lsn(number(17)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_record_keeps_its_bytes() {
        let committed = Committed {
            applied: Position {
                commit: Lsn(0x16_B374_D848),
                ordinal: 7,
            },
            published: Lsn(0x16_0000_0001),
        };
        let bytes = committed.encode();
        assert_eq!(
            bytes,
            [
                1, 0x48, 0xD8, 0x74, 0xB3, 0x16, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x16,
                0, 0, 0
            ]
        );
        assert_eq!(Committed::decode(&bytes).unwrap(), committed);
        assert!(matches!(
            Committed::decode(&[9]),
            Err(StateError::Format { found: 9, .. })
        ));
        assert!(matches!(
            Committed::decode(&bytes[..20]),
            Err(StateError::Corrupt(_))
        ));
    }
}

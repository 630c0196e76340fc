//! The bytes of a block key: for each key occurrence its row key, or that it is absent.
//!
//! | bytes | what |
//! | --- | --- |
//! | `01`, length (4, big endian), row key | a row |
//! | `02` | absent |

use crate::ProjectionError;
use crate::eval::KeyPart;

/// Encodes a block key.
pub(crate) fn encode_block_key(parts: &[KeyPart]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * parts.len());
    for part in parts {
        match part {
            KeyPart::Row(key) => {
                out.push(1);
                out.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(key);
            }
            KeyPart::Absent => out.push(2),
        }
    }
    out
}

/// Decodes a block key.
pub(crate) fn decode_block_key(mut bytes: &[u8]) -> Result<Vec<KeyPart>, ProjectionError> {
    let damaged = || ProjectionError::Corrupt("a block key".to_owned());
    let mut out = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        match tag {
            1 => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
                let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged())?;
                let key = rest.get(..length).ok_or_else(damaged)?;
                out.push(KeyPart::Row(key.into()));
                bytes = &rest[length..];
            }
            2 => {
                out.push(KeyPart::Absent);
                bytes = rest;
            }
            _ => return Err(damaged()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_keys_come_back_and_damaged_ones_are_an_error() {
        let key = vec![
            KeyPart::Row(vec![1, 2, 0].into()),
            KeyPart::Absent,
            KeyPart::Row(Vec::new().into()),
        ];
        assert_eq!(decode_block_key(&encode_block_key(&key)).unwrap(), key);
        for damaged in [&[3][..], &[1, 0, 0], &[1, 0, 0, 0, 9, 1]] {
            assert!(decode_block_key(damaged).is_err(), "{damaged:?}");
        }
    }
}

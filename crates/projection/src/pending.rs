//! Keys whose sink copy is out of date, per target (a view in a sink), and the watermark that follows from them.
//!
//! Always: `watermark = min(first) - 1` over pending, else the published position. An entry is removed only by an acknowledgement of
//! a value computed at or after `last`; an older one moves `first` to just after what was acknowledged.
//!
//! | key | value |
//! | --- | --- |
//! | `0x30`, target, block key | first (8), last (8), commit time of first (8), little endian |
//! | `0x31`, target, first (8, big endian), block key | – |

use readside_model::{Lsn, Timestamp};
use readside_state::{Read, State};

use crate::ProjectionError;
use crate::keyspace;

/// Identifies a view in a sink (and its generation).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct TargetId(pub u32);

/// Where a key stands that is up to date in the sink, and is to be written again behind everything that is not.
pub const AGAIN: Lsn = Lsn(1 << 62);

/// A pending key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The end of the transaction that first dirtied it.
    pub first: Lsn,
    /// The end of the one that last did.
    pub last: Lsn,
    /// When the first one committed.
    pub since: Timestamp,
}

/// A key to be written, as the queue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The block key.
    pub key: Vec<u8>,
    /// When it became pending.
    pub first: Lsn,
}

/// Marks a key. `first` is where the batch starts, `last` where it ends.
pub fn mark(
    state: &mut State,
    target: TargetId,
    key: &[u8],
    first: Lsn,
    last: Lsn,
    since: Timestamp,
) -> Result<bool, ProjectionError> {
    let at = place(target, key);
    let found = state.get(&at)?.map(decode).transpose()?;
    let entry = match found {
        // A key that waits already and is marked from further back, as after a sink lost its rows, waits from there.
        Some(entry) if first < entry.first => {
            state.delete(&queue_place(target, entry.first, key))?;
            state.put(&queue_place(target, first, key), &[])?;
            Pending {
                first,
                last: entry.last.max(last),
                since: if entry.first < AGAIN {
                    entry.since
                } else {
                    since
                },
            }
        }
        Some(entry) => Pending {
            last: entry.last.max(last),
            ..entry
        },
        None => {
            state.put(&queue_place(target, first, key), &[])?;
            Pending { first, last, since }
        }
    };
    state.put(&at, &encode(entry))?;
    Ok(found.is_none())
}

/// What an acknowledgement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// The key is up to date in the sink; this was its entry.
    Cleared(Pending),
    /// It was dirtied again since the value was computed.
    StillPending,
    /// It was not pending.
    NotPending,
}

/// The sink holds the key's value as of `computed_at`.
pub fn acknowledge(
    state: &mut State,
    target: TargetId,
    key: &[u8],
    computed_at: Lsn,
) -> Result<Acknowledged, ProjectionError> {
    let at = place(target, key);
    let Some(entry) = state.get(&at)?.map(decode).transpose()? else {
        return Ok(Acknowledged::NotPending);
    };
    if entry.last <= computed_at {
        state.delete(&at)?;
        state.delete(&queue_place(target, entry.first, key))?;
        return Ok(Acknowledged::Cleared(entry));
    }
    let first = entry.first.max(Lsn(computed_at.0 + 1));
    if first != entry.first {
        state.delete(&queue_place(target, entry.first, key))?;
        state.put(&queue_place(target, first, key), &[])?;
        state.put(&at, &encode(Pending { first, ..entry }))?;
    }
    Ok(Acknowledged::StillPending)
}

/// Brings entries of a target down to `at`: positions above it are of a course of history that did not go on.
pub fn rebase(state: &mut State, target: TargetId, at: Lsn) -> Result<(), ProjectionError> {
    let mut after: Option<Queued> = None;
    loop {
        let keys = queued(state, target, after.as_ref(), 1024)?;
        for queued in &keys {
            let place = place(target, &queued.key);
            let Some(entry) = state.get(&place)?.map(decode).transpose()? else {
                continue;
            };
            let lowered = Pending {
                first: entry.first.min(at),
                last: entry.last.min(at),
                ..entry
            };
            if lowered.first != entry.first {
                state.delete(&queue_place(target, entry.first, &queued.key))?;
                state.put(&queue_place(target, lowered.first, &queued.key), &[])?;
            }
            state.put(&place, &encode(lowered))?;
        }
        match keys.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// The entry of a key, if it is pending.
pub fn pending(
    read: &dyn Read,
    target: TargetId,
    key: &[u8],
) -> Result<Option<Pending>, ProjectionError> {
    read.get(&place(target, key))?.map(decode).transpose()
}

/// Pending keys in the order in which they became so, from behind `after`.
pub fn queued(
    read: &dyn Read,
    target: TargetId,
    after: Option<&Queued>,
    limit: usize,
) -> Result<Vec<Queued>, ProjectionError> {
    let prefix = keyspace::prefix(keyspace::QUEUE, target.0);
    let from = after.map(|queued| {
        let mut key = queue_place(target, queued.first, &queued.key);
        key.push(0);
        key
    });
    let mut out = Vec::new();
    for entry in read.scan(&prefix, from.as_deref())?.take(limit) {
        let (key, _) = entry?;
        out.push(decode_queued(key)?);
    }
    Ok(out)
}

/// Everything up to here is in the sink; with the oldest pending key's commit time, if there is one.
pub fn watermark(
    read: &dyn Read,
    target: TargetId,
    published: Lsn,
) -> Result<(Lsn, Option<Timestamp>), ProjectionError> {
    match queued(read, target, None, 1)?.first() {
        None => Ok((published, None)),
        Some(oldest) if oldest.first >= AGAIN => Ok((published, None)),
        Some(oldest) => {
            let entry = pending(read, target, &oldest.key)?.ok_or_else(|| {
                ProjectionError::Corrupt("the queue names a key that is not pending".to_owned())
            })?;
            Ok((Lsn(oldest.first.0.saturating_sub(1)), Some(entry.since)))
        }
    }
}

/// Whether a key is still to be written again.
pub fn is_any_again(read: &dyn Read, target: TargetId) -> Result<bool, ProjectionError> {
    let prefix = keyspace::prefix(keyspace::QUEUE, target.0);
    let from = queue_place(target, AGAIN, &[]);
    Ok(read
        .scan(&prefix, Some(&from))?
        .next()
        .transpose()?
        .is_some())
}

/// Takes back up to `limit` marks of keys that were to be written again; how many there were.
pub fn forget_again(
    state: &mut State,
    target: TargetId,
    limit: usize,
) -> Result<usize, ProjectionError> {
    let prefix = keyspace::prefix(keyspace::QUEUE, target.0);
    let from = queue_place(target, AGAIN, &[]);
    let places = state
        .scan(&prefix, Some(&from))?
        .take(limit)
        .map(|entry| entry.map(|(key, _)| key.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    for at in &places {
        let queued = decode_queued(at)?;
        state.delete(at)?;
        state.delete(&place(target, &queued.key))?;
    }
    Ok(places.len())
}

/// How many keys are pending. O(their number).
pub fn count(read: &dyn Read, target: TargetId) -> Result<u64, ProjectionError> {
    let mut count = 0;
    for entry in read.scan(&keyspace::prefix(keyspace::PENDING, target.0), None)? {
        entry?;
        count += 1;
    }
    Ok(count)
}

fn place(target: TargetId, key: &[u8]) -> Vec<u8> {
    let mut out = keyspace::prefix(keyspace::PENDING, target.0);
    out.extend_from_slice(key);
    out
}

fn queue_place(target: TargetId, first: Lsn, key: &[u8]) -> Vec<u8> {
    let mut out = keyspace::prefix(keyspace::QUEUE, target.0);
    out.extend_from_slice(&first.0.to_be_bytes());
    out.extend_from_slice(key);
    out
}

fn decode_queued(place: &[u8]) -> Result<Queued, ProjectionError> {
    let damaged = || ProjectionError::Corrupt("a queue entry".to_owned());
    let (first, key) = place
        .get(keyspace::PREFIX_LEN..)
        .and_then(|b| b.split_first_chunk::<8>())
        .ok_or_else(damaged)?;
    Ok(Queued {
        key: key.to_vec(),
        first: Lsn(u64::from_be_bytes(*first)),
    })
}

fn encode(entry: Pending) -> [u8; 24] {
    let mut out = [0; 24];
    out[..8].copy_from_slice(&entry.first.0.to_le_bytes());
    out[8..16].copy_from_slice(&entry.last.0.to_le_bytes());
    out[16..].copy_from_slice(&entry.since.0.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Result<Pending, ProjectionError> {
    let word = |i: usize| {
        bytes
            .get(8 * i..8 * i + 8)
            .and_then(|b| <[u8; 8]>::try_from(b).ok())
            .ok_or_else(|| ProjectionError::Corrupt("a pending entry".to_owned()))
    };
    Ok(Pending {
        first: Lsn(u64::from_le_bytes(word(0)?)),
        last: Lsn(u64::from_le_bytes(word(1)?)),
        since: Timestamp(i64::from_le_bytes(word(2)?)),
    })
}

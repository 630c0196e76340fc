//! Dead letters: keys whose value cannot be computed, or that a sink refuses. A flag on the key, never a copy.

use readside_model::Timestamp;
use readside_state::{Read, State};
use serde::{Deserialize, Serialize};

use crate::ProjectionError;
use crate::keyspace;

/// Why a key is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Postgres' message, or the sink's own words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Flags a key of a target or stage.
pub fn put(
    state: &mut State,
    owner: u32,
    key: &[u8],
    reason: &str,
    since: Timestamp,
) -> Result<(), ProjectionError> {
    let letter = DeadLetter {
        reason: reason.to_owned(),
        since,
    };
    let bytes = serde_json::to_vec(&letter).map_err(|e| ProjectionError::Corrupt(e.to_string()))?;
    state.put(&place(owner, key), &bytes)?;
    Ok(())
}

/// Takes the flag away; whether there was one.
pub fn remove(state: &mut State, owner: u32, key: &[u8]) -> Result<bool, ProjectionError> {
    let at = place(owner, key);
    let found = state.contains(&at)?;
    if found {
        state.delete(&at)?;
    }
    Ok(found)
}

/// Flagged keys in key order.
pub fn list(
    read: &dyn Read,
    owner: u32,
    limit: usize,
) -> Result<Vec<(Vec<u8>, DeadLetter)>, ProjectionError> {
    let prefix = keyspace::prefix(keyspace::DEAD, owner);
    let mut out = Vec::new();
    for entry in read.scan(&prefix, None)?.take(limit) {
        let (key, bytes) = entry?;
        let letter = serde_json::from_slice(bytes)
            .map_err(|e| ProjectionError::Corrupt(format!("a dead letter: {e}")))?;
        out.push((key[prefix.len()..].to_vec(), letter));
    }
    Ok(out)
}

/// How many there are.
pub fn count(read: &dyn Read, owner: u32) -> Result<u64, ProjectionError> {
    let mut count = 0;
    for entry in read.scan(&keyspace::prefix(keyspace::DEAD, owner), None)? {
        entry?;
        count += 1;
    }
    Ok(count)
}

fn place(owner: u32, key: &[u8]) -> Vec<u8> {
    let mut out = keyspace::prefix(keyspace::DEAD, owner);
    out.extend_from_slice(key);
    out
}

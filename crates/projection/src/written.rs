//! What a sink holds of ours, by key text: so that a view that changed, or is dropped, takes back exactly what it wrote.
//!
//! Always: a key text is noted before or with the acknowledgement of its first write, and forgotten only when its deletion has been
//! acknowledged. A key that no plan has any more (an *orphan*) is pending under its text:
//!
//! | bytes | what |
//! | --- | --- |
//! | `03` | an orphan |
//! | … | JSON: `[key text, [key parts]]` |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use readside_model::{Lsn, Timestamp};
use readside_state::{Read, State};

use crate::keyspace;
use crate::view::{RenderedKey, ViewExec};
use crate::{ProjectionError, TargetId, pending};

const ORPHAN: u8 = 3;

type Parts = Vec<Option<Arc<str>>>;

/// The sink holds this key from now on.
pub fn note(state: &mut State, target: TargetId, key: &RenderedKey) -> Result<(), ProjectionError> {
    let at = place(target, &key.text);
    if !state.contains(&at)? {
        let parts =
            serde_json::to_vec(&key.parts).map_err(|e| ProjectionError::Corrupt(e.to_string()))?;
        state.put(&at, &parts)?;
    }
    Ok(())
}

/// The sink does not hold it any more.
pub fn forget(state: &mut State, target: TargetId, key_text: &str) -> Result<(), ProjectionError> {
    state.delete(&place(target, key_text))?;
    Ok(())
}

/// Whether the sink may hold this key.
pub fn holds(read: &dyn Read, target: TargetId, key_text: &str) -> Result<bool, ProjectionError> {
    Ok(read.contains(&place(target, key_text))?)
}

/// Every key text that the sink may hold, from behind `after`.
pub fn list(
    read: &dyn Read,
    target: TargetId,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RenderedKey>, ProjectionError> {
    let prefix = keyspace::prefix(keyspace::WRITTEN, target.0);
    let from = after.map(|text| {
        let mut key = place(target, text);
        key.push(0);
        key
    });
    let mut out = Vec::new();
    for entry in read.scan(&prefix, from.as_deref())?.take(limit) {
        let (key, parts) = entry?;
        let text = std::str::from_utf8(&key[prefix.len()..]).map_err(|_| damaged())?;
        out.push(RenderedKey {
            text: text.into(),
            parts: serde_json::from_slice(parts).map_err(|_| damaged())?,
        });
    }
    Ok(out)
}

/// A key that has just been written is no orphan, whatever was thought before; whether it was one.
pub fn spare(
    state: &mut State,
    target: TargetId,
    key: &RenderedKey,
) -> Result<bool, ProjectionError> {
    let orphan = orphan_key(key)?;
    let found = pending::pending(state, target, &orphan)?.is_some();
    if found {
        pending::acknowledge(state, target, &orphan, Lsn::MAX)?;
    }
    Ok(found)
}

/// Marks for deletion those of these keys, found in the sink, that the view does not have. All of the view's keys are pending.
pub fn mark_strays(
    state: &mut State,
    view: &ViewExec,
    target: TargetId,
    found: &[RenderedKey],
) -> Result<u64, ProjectionError> {
    if found.is_empty() {
        return Ok(0);
    }
    let snapshot = state.snapshot()?;
    let wanted = texts_of_pending(&snapshot, view, target)?;
    let published = state.committed().published.max(Lsn(1));
    let mut marked = 0;
    for key in found {
        if !wanted.contains(&key.text) && !holds(&snapshot, target, &key.text)? {
            pending::mark(
                state,
                target,
                &orphan_key(key)?,
                Lsn(1),
                published,
                Timestamp::default(),
            )?;
            marked += 1;
        }
    }
    state.commit(state.committed());
    Ok(marked)
}

/// Marks keys of a target: one of the view to be written anew, one that only the sink has to be deleted.
///
/// `wrong` are texts of keys that the sink lacks or has otherwise; `ghosts` are keys that it has and the view was seen not to have. Goes
/// through all of the view's keys, so that a row which has come into being since is not taken for a ghost. They wait from `first` on.
pub fn mark_repairs(
    state: &mut State,
    view: &ViewExec,
    target: TargetId,
    wrong: &BTreeSet<Arc<str>>,
    ghosts: &[RenderedKey],
    first: Lsn,
) -> Result<u64, ProjectionError> {
    let snapshot = state.snapshot()?;
    let published = state.committed().published.max(Lsn(1));
    let mut ghosts: BTreeMap<&str, &RenderedKey> =
        ghosts.iter().map(|key| (&*key.text, key)).collect();
    let mut found: Vec<Vec<u8>> = Vec::new();
    view.keys(&snapshot, &mut |key| {
        let text = view.sink_key(&snapshot, &key)?.text;
        ghosts.remove(&*text);
        if wrong.contains(&text) {
            found.push(key);
        }
        Ok(())
    })?;
    for key in ghosts.into_values() {
        found.push(orphan_key(key)?);
    }
    for key in &found {
        pending::mark(state, target, key, first, published, Timestamp::default())?;
    }
    state.commit(state.committed());
    Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
}

/// The key texts of what is pending, deletions of what only the sink has left out.
pub fn texts_of_pending(
    read: &dyn Read,
    view: &ViewExec,
    target: TargetId,
) -> Result<BTreeSet<Arc<str>>, ProjectionError> {
    let mut wanted: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut after = None;
    loop {
        let keys = pending::queued(read, target, after.as_ref(), 1024)?;
        for queued in &keys {
            if orphan(&queued.key).is_none() {
                wanted.insert(view.sink_key(read, &queued.key)?.text);
            }
        }
        match keys.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(wanted),
        }
    }
}

/// Marks for deletion what the sink holds and the view, all of whose keys are pending, does not have.
pub(crate) fn mark_orphans(
    state: &mut State,
    view: &ViewExec,
    target: TargetId,
) -> Result<u64, ProjectionError> {
    let prefix = keyspace::prefix(keyspace::WRITTEN, target.0);
    if state.first(&prefix)?.is_none() {
        return Ok(0);
    }
    let snapshot = state.snapshot()?;
    let wanted = texts_of_pending(&snapshot, view, target)?;
    let published = state.committed().published.max(Lsn(1));
    let mut marked = 0;
    let mut after: Option<Arc<str>> = None;
    loop {
        let keys = list(&snapshot, target, after.as_deref(), 1024)?;
        for key in keys.iter().filter(|key| !wanted.contains(&key.text)) {
            pending::mark(
                state,
                target,
                &orphan_key(key)?,
                Lsn(1),
                published,
                Timestamp::default(),
            )?;
            marked += 1;
        }
        match keys.into_iter().last() {
            Some(last) => after = Some(last.text),
            None => break,
        }
    }
    Ok(marked)
}

/// The pending key of an orphan.
fn orphan_key(key: &RenderedKey) -> Result<Vec<u8>, ProjectionError> {
    let mut out = vec![ORPHAN];
    serde_json::to_writer(&mut out, &(&key.text, &key.parts))
        .map_err(|e| ProjectionError::Corrupt(e.to_string()))?;
    Ok(out)
}

/// The sink key of a pending key that is an orphan.
pub(crate) fn orphan(key: &[u8]) -> Option<Result<RenderedKey, ProjectionError>> {
    let rest = key.strip_prefix(&[ORPHAN])?;
    Some(
        serde_json::from_slice::<(Arc<str>, Parts)>(rest)
            .map(|(text, parts)| RenderedKey { text, parts })
            .map_err(|_| damaged()),
    )
}

fn place(target: TargetId, key_text: &str) -> Vec<u8> {
    let mut out = keyspace::prefix(keyspace::WRITTEN, target.0);
    out.extend_from_slice(key_text.as_bytes());
    out
}

fn damaged() -> ProjectionError {
    ProjectionError::Corrupt("a key text".to_owned())
}

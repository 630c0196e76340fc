//! A source transaction larger than memory: its writes go to the base before it is committed, and can be taken back.
//!
//! Each piece is one batch of the base: the new values, the marker, and for each key that the transaction writes for the
//! first time an *undo record* with what was there before.
//!
//! | reserved key | value |
//! | --- | --- |
//! | `FF 6C` (`l`) | the marker: the base holds an uncommitted transaction |
//! | `FF 70` (`p`) | the position |
//! | `FF 75` (`u`), key | undo record: `00` there was nothing; `01` and the old value |
//!
//! The batch that carries the position of the commit also removes the marker; from then on the undo records mean nothing
//! and are removed in passing. A state that is opened with a marker takes everything back first. That is done in pieces,
//! each of which restores values and removes their records, so that it can be interrupted.

use crate::StateError;
use crate::base::{Base, View};
use crate::layer::Layer;
use crate::scan::{RESERVED, Range};

pub(crate) const MARKER_KEY: &[u8] = &[RESERVED, b'l'];
const UNDO_PREFIX: &[u8] = &[RESERVED, b'u'];

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// How many records are taken back or removed in one batch.
const BATCH_RECORDS: usize = 20_000;

fn undo_key(key: &[u8]) -> Vec<u8> {
    [UNDO_PREFIX, key].concat()
}

/// Writes a piece of an uncommitted transaction. `view` is of the base as it is.
pub(crate) fn spill(base: &dyn Base, view: &dyn View, layer: &Layer) -> Result<(), StateError> {
    let mut undo = Vec::new();
    for (key, _) in layer.iter() {
        let undo_key = undo_key(key);
        if view.get(&undo_key)?.is_some() {
            continue;
        }
        let record = match view.get(key)? {
            None => vec![ABSENT],
            Some(old) => [&[PRESENT], old].concat(),
        };
        undo.push((undo_key, record));
    }
    let marker: &[u8] = &[];
    let mut entries = layer
        .iter()
        .chain(std::iter::once((MARKER_KEY, Some(marker))))
        .chain(undo.iter().map(|(k, v)| (k.as_slice(), Some(v.as_slice()))));
    base.apply(&mut entries)?;
    base.sync()
}

/// Takes an uncommitted transaction back, if there is one.
pub(crate) fn take_back(base: &dyn Base) -> Result<(), StateError> {
    let is_marked = base.view()?.get(MARKER_KEY)?.is_some();
    if !is_marked {
        return Ok(());
    }
    loop {
        let records = records(base.view()?.as_ref())?;
        let mut restored = Vec::with_capacity(records.len());
        for (undo_key, record) in &records {
            let old = match record.split_first() {
                Some((&ABSENT, [])) => None,
                Some((&PRESENT, old)) => Some(old),
                _ => {
                    return Err(StateError::Corrupt(
                        "an undo record of an unknown form".to_owned(),
                    ));
                }
            };
            restored.push((&undo_key[UNDO_PREFIX.len()..], old));
        }
        let is_last = records.len() < BATCH_RECORDS;
        let mut entries = restored
            .iter()
            .copied()
            .chain(is_last.then_some((MARKER_KEY, None)))
            .chain(records.iter().map(|(key, _)| (key.as_slice(), None)));
        base.apply(&mut entries)?;
        base.sync()?;
        if is_last {
            return Ok(());
        }
    }
}

/// Removes some undo records of a transaction that was committed; says whether that was all.
pub(crate) fn forget_some(base: &dyn Base) -> Result<bool, StateError> {
    let records = records(base.view()?.as_ref())?;
    if !records.is_empty() {
        base.apply(&mut records.iter().map(|(key, _)| (key.as_slice(), None)))?;
        base.sync()?;
    }
    Ok(records.len() < BATCH_RECORDS)
}

type OwnedEntry = (Vec<u8>, Vec<u8>);

fn records(view: &dyn View) -> Result<Vec<OwnedEntry>, StateError> {
    let range = Range::of_prefix(UNDO_PREFIX);
    view.range(&range.lower, &range.upper)?
        .take(BATCH_RECORDS)
        .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimBase;

    #[test]
    fn undo_records_keep_their_bytes() {
        let base = SimBase::new();
        base.apply(&mut [(&b"a"[..], Some(&b"old"[..]))].into_iter())
            .unwrap();
        let mut layer = Layer::default();
        layer.set(b"a", None);
        layer.set(b"b", Some(b"new"));
        spill(&base, base.view().unwrap().as_ref(), &layer).unwrap();
        let view = base.view().unwrap();
        let entries: Vec<_> = view
            .range(b"a", &[0xFF, 0xFF])
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            entries,
            [
                (&b"b"[..], &b"new"[..]),
                (b"\xFFl", b""),
                (b"\xFFua", b"\x01old"),
                (b"\xFFub", b"\0"),
            ]
        );
        take_back(&base).unwrap();
        let view = base.view().unwrap();
        let entries: Vec<_> = view
            .range(b"a", &[0xFF, 0xFF])
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(entries, [(&b"a"[..], &b"old"[..])]);
    }
}

//! Bulk writes beside the overlay, for ranges of keys that nobody reads yet or any more.
//!
//! A load of a million rows, or the removal of a dropped epoch, would push everything else out of the overlay's budget.
//! A loader writes straight into the base instead, in batches that are atomic and durable on their own, and therefore
//! under a rule: **until [`State::adopt`](crate::State::adopt) nobody reads the prefix and nobody else writes it**. After
//! a crash in the middle, what it wrote is there without any position: clear the prefix before loading again.

use std::sync::Arc;

use crate::StateError;
use crate::base::{Base, View};
use crate::scan::Range;
use crate::trace;

/// Writes to one prefix of the base. May be moved to another thread.
pub struct Loader {
    pub(crate) base: Arc<dyn Base>,
    pub(crate) prefix: Vec<u8>,
}

impl Loader {
    /// Writes a batch: entries in ascending key order, all with the prefix. Durable when it returns; 16 to 64 MB is a
    /// good size.
    pub fn write<'e>(
        &mut self,
        entries: impl IntoIterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Result<(), StateError> {
        let mut outside = false;
        let mut load = trace::Load::new();
        let mut entries = entries
            .into_iter()
            .take_while(|(key, _)| {
                outside |= !key.starts_with(&self.prefix);
                !outside
            })
            .map(|(key, value)| (key, Some(value)))
            .inspect(|(key, value)| load.entry(key, *value));
        self.base.apply(&mut entries)?;
        drop(entries);
        load.record();
        if outside {
            return Err(StateError::OutsidePrefix);
        }
        self.base.sync()
    }

    /// Deletes up to `entries_max` entries of the prefix; returns how many there were. Zero means that it is empty.
    pub fn clear(&mut self, entries_max: usize) -> Result<usize, StateError> {
        let view: Box<dyn View> = self.base.view()?;
        let range = Range::of_prefix(&self.prefix);
        let mut keys = Vec::new();
        for entry in view.range(&range.lower, &range.upper)?.take(entries_max) {
            keys.push(entry?.0.to_vec());
        }
        drop(view);
        let mut load = trace::Load::new();
        keys.iter().for_each(|key| load.entry(key, None));
        load.record();
        self.base
            .apply(&mut keys.iter().map(|key| (key.as_slice(), None)))?;
        self.base.sync()?;
        Ok(keys.len())
    }
}

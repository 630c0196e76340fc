//! One layer of the overlay: an ordered map that is cheap to clone, where an absent value hides what lies below.

use std::sync::Arc;

use crate::key::Key;

/// A value, shared between the layers and snapshots that hold it.
pub(crate) type Value = Arc<[u8]>;

/// What one entry costs beside the bytes of its key and value, roughly.
const ENTRY_BYTES: usize = 96;

/// A layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub(crate) entries: imbl::OrdMap<Key, Option<Value>>,
    /// Approximate memory.
    pub(crate) bytes: usize,
}

impl Layer {
    pub(crate) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let added = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        let old = self.entries.insert(Key::new(key), value.map(Arc::from));
        let removed = old.map_or(0, |old| {
            key.len() + old.map_or(0, |v| v.len()) + ENTRY_BYTES
        });
        self.bytes = (self.bytes + added).saturating_sub(removed);
    }

    /// Says nothing of a key any more.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        if let Some(old) = self.entries.remove(key) {
            let bytes = key.len() + old.map_or(0, |v| v.len()) + ENTRY_BYTES;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// `None`: this layer says nothing of the key. `Some(None)`: it is deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.entries.get(key).map(Option::as_deref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}

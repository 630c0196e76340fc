//! Reading the state, whether it is the live one or a snapshot.

use crate::StateError;
use crate::base::{Entry, View};
use crate::layer::Layer;
use crate::scan::{Range, Scan};
use crate::trace::{self, Reader};

/// An ordered key-value space that can be read.
pub trait Read {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError>;

    /// Entries whose key starts with `prefix`, ascending; from the key `from` on (inclusive) if given.
    fn scan<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError>;

    /// Entries whose key starts with `prefix`, descending; from the key `from` on (inclusive) if given.
    fn scan_back<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError>;

    /// The first entry with this prefix.
    fn first<'a>(&'a self, prefix: &[u8]) -> Result<Option<Entry<'a>>, StateError> {
        self.scan(prefix, None)?.next().transpose()
    }

    /// The last entry with this prefix.
    fn last<'a>(&'a self, prefix: &[u8]) -> Result<Option<Entry<'a>>, StateError> {
        self.scan_back(prefix, None)?.next().transpose()
    }

    /// Whether a key has a value.
    fn contains(&self, key: &[u8]) -> Result<bool, StateError> {
        Ok(self.get(key)?.is_some())
    }
}

/// The layers that a reader sees, uppermost first.
pub(crate) struct Layers<'a> {
    pub(crate) active: &'a Layer,
    pub(crate) frozen: Option<&'a Layer>,
    pub(crate) view: &'a dyn View,
    pub(crate) reader: Reader,
}

impl<'a> Layers<'a> {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<&'a [u8]>, StateError> {
        let value = self.find(key)?;
        trace::get(self.reader, key, value.is_some());
        Ok(value)
    }

    fn find(&self, key: &[u8]) -> Result<Option<&'a [u8]>, StateError> {
        if let Some(value) = self.active.get(key) {
            return Ok(value);
        }
        if let Some(value) = self.frozen.and_then(|layer| layer.get(key)) {
            return Ok(value);
        }
        self.view.get(key)
    }

    pub(crate) fn scan(&self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        let pass = trace::Pass::new(self.reader, false, prefix, from);
        Scan::new(self, &Range::of_prefix_from(prefix, from), false, pass)
    }

    pub(crate) fn scan_back(
        &self,
        prefix: &[u8],
        from: Option<&[u8]>,
    ) -> Result<Scan<'a>, StateError> {
        let pass = trace::Pass::new(self.reader, true, prefix, from);
        Scan::new(self, &Range::of_prefix_back_from(prefix, from), true, pass)
    }
}

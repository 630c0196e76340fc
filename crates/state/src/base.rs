//! What the state asks of the store below its overlay.

use crate::StateError;

/// A key and its value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// Entries in key order, ascending or descending.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<Entry<'a>, StateError>> + 'a>;

/// An ordered store with atomic batches.
///
/// A batch is applied whole or not at all, whatever happens. After [`Base::sync`] has returned, every batch that was
/// applied before survives a power cut; until then the last ones may be lost, later ones before earlier ones. A view
/// never changes.
pub trait Base: Send + Sync {
    /// A view of everything applied so far.
    fn view(&self) -> Result<Box<dyn View>, StateError>;

    /// Applies entries, which come in ascending key order; `None` deletes.
    fn apply(
        &self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
    ) -> Result<(), StateError>;

    /// Makes what was applied durable.
    fn sync(&self) -> Result<(), StateError>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;

    /// The size that `bytes` cannot exceed, if there is one.
    fn bytes_max(&self) -> Option<u64>;
}

/// The store at one moment. Used by one thread at a time.
pub trait View: Send {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError>;

    /// Entries with `lower <= key < upper`, ascending.
    fn range<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError>;

    /// Entries with `lower <= key < upper`, descending.
    fn range_back<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError>;
}

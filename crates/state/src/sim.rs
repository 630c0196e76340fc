//! A base in memory that crashes on command, for tests that explore schedules.
//!
//! Batches are atomic. A crash loses those that were not synced.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::StateError;
use crate::base::{Base, Entries, View};
use crate::key::Key;
use crate::layer::Value;

type Map = imbl::OrdMap<Key, Value>;

/// Where the next write to the base is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before the batch is applied.
    BeforeApply,
    /// After the batch, before it is durable: it is lost at the crash.
    BeforeSync,
    /// After it is durable, before the state hears of it.
    AfterSync,
}

#[derive(Debug, Default)]
struct Disk {
    durable: Map,
    current: Map,
    fault: Option<Fault>,
    /// Set by a fault: nothing more is written until [`SimBase::crash`].
    down: bool,
    batches: u64,
}

/// The simulated store; clones share one disk.
#[derive(Debug, Clone, Default)]
pub struct SimBase {
    disk: Arc<Mutex<Disk>>,
}

impl SimBase {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Arms a fault for the next batch. The write fails, and so does everything after it until the crash.
    pub fn arm(&self, fault: Fault) {
        self.disk().fault = Some(fault);
    }

    /// Power cut: what was not synced is gone. A state that was open on this disk must be dropped first.
    pub fn crash(&self) {
        let mut disk = self.disk();
        disk.current = disk.durable.clone();
        disk.fault = None;
        disk.down = false;
    }

    /// How many batches were applied, ever.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.disk().batches
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn down() -> StateError {
    StateError::io(
        "write to the simulated disk",
        std::io::Error::other("simulated fault"),
    )
}

impl Base for SimBase {
    fn view(&self) -> Result<Box<dyn View>, StateError> {
        Ok(Box::new(SimView {
            map: self.disk().current.clone(),
        }))
    }

    fn apply(
        &self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
    ) -> Result<(), StateError> {
        let mut disk = self.disk();
        if disk.down || disk.fault == Some(Fault::BeforeApply) {
            disk.down = true;
            return Err(down());
        }
        for (key, value) in entries {
            match value {
                Some(value) => disk.current.insert(Key::new(key), value.into()),
                None => disk.current.remove(key),
            };
        }
        disk.batches += 1;
        Ok(())
    }

    fn sync(&self) -> Result<(), StateError> {
        let mut disk = self.disk();
        if disk.down || disk.fault == Some(Fault::BeforeSync) {
            disk.down = true;
            return Err(down());
        }
        disk.durable = disk.current.clone();
        if disk.fault == Some(Fault::AfterSync) {
            disk.down = true;
            return Err(down());
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let disk = self.disk();
        let bytes: usize = disk
            .current
            .iter()
            .map(|(key, value)| key.as_slice().len() + value.len())
            .sum();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn bytes_max(&self) -> Option<u64> {
        None
    }
}

struct SimView {
    map: Map,
}

impl View for SimView {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        Ok(self.map.get(key).map(AsRef::as_ref))
    }

    fn range<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError> {
        Ok(Box::new(
            self.map
                .range::<(Bound<&[u8]>, Bound<&[u8]>), [u8]>((
                    Bound::Included(lower),
                    Bound::Excluded(upper),
                ))
                .map(|(key, value)| Ok((key.as_slice(), value.as_ref()))),
        ))
    }

    fn range_back<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError> {
        Ok(Box::new(
            self.map
                .range::<(Bound<&[u8]>, Bound<&[u8]>), [u8]>((
                    Bound::Included(lower),
                    Bound::Excluded(upper),
                ))
                .rev()
                .map(|(key, value)| Ok((key.as_slice(), value.as_ref()))),
        ))
    }
}

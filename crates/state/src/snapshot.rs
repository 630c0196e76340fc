//! The state as of one commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::StateError;
use crate::base::View;
use crate::committed::Committed;
use crate::layer::Layer;
use crate::read::{Layers, Read};
use crate::scan::Scan;
use crate::trace::{self, Reader};

/// A view of the state as of one commit, which never changes. It can be sent to another thread, and is used by one at a
/// time. While it lives the base cannot reuse the pages of its moment, so drop it soon.
pub struct Snapshot {
    pub(crate) active: Layer,
    pub(crate) frozen: Option<Layer>,
    pub(crate) view: Option<Box<dyn View>>,
    pub(crate) committed: Committed,
    pub(crate) ticket: Ticket,
}

impl Snapshot {
    /// The position of the commit.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed
    }

    fn layers(&self) -> Result<Layers<'_>, StateError> {
        Ok(Layers {
            active: &self.active,
            frozen: self.frozen.as_ref(),
            // Taken only when dropped.
            view: self.view.as_deref().ok_or(StateError::NoSnapshot)?,
            reader: Reader::Snapshot(self.ticket.number),
        })
    }
}

impl Read for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        self.layers()?.get(key)
    }

    fn scan<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        self.layers()?.scan(prefix, from)
    }

    fn scan_back<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        self.layers()?.scan_back(prefix, from)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let (Some(view), Some(reserve)) = (self.view.take(), &self.ticket.reserve) {
            lock(reserve).push(view);
        }
    }
}

/// Views kept for snapshots to come.
pub(crate) type Reserve = Arc<Mutex<Vec<Box<dyn View>>>>;

/// Counts the live snapshots.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    live: Arc<Mutex<Live>>,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

impl Registry {
    /// Registers a snapshot; when it is dropped its view goes back to `reserve`, if given.
    pub(crate) fn ticket(&self, reserve: Option<Reserve>) -> Ticket {
        let mut live = lock(&self.live);
        let number = live.next;
        live.next += 1;
        live.since.insert(number, Instant::now());
        trace::snapshot(number);
        Ticket {
            registry: self.clone(),
            number,
            reserve,
        }
    }

    /// How many live, and how old the oldest is.
    pub(crate) fn count_and_age(&self) -> (usize, Duration) {
        let live = lock(&self.live);
        let age = live
            .since
            .first_key_value()
            .map_or(Duration::ZERO, |(_, since)| since.elapsed());
        (live.since.len(), age)
    }
}

/// A live snapshot's place in the registry.
pub(crate) struct Ticket {
    registry: Registry,
    number: u64,
    reserve: Option<Reserve>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        trace::snapshot_dropped(self.number);
        lock(&self.registry.live).since.remove(&self.number);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

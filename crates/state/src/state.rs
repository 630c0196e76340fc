//! The live state: a single writer over the overlay and the base.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::StateError;
use crate::base::{Base, View};
use crate::committed::Committed;
use crate::flush::{FlushMode, Frozen, POSITION_KEY};
use crate::large;
use crate::layer::Layer;
use crate::lmdb::LmdbBase;
use crate::loader::Loader;
use crate::lock::DirectoryLock;
use crate::read::{Layers, Read};
use crate::scan::{RESERVED, Scan};
use crate::snapshot::{Registry, Reserve, Snapshot, lock};
use crate::trace::{self, Reader};

/// How the state behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The size of the base's mapping: address space, not disk or memory. The base cannot grow past it.
    pub map_bytes: u64,
    /// A flush starts when the overlay holds this much. It can hold several times as much while a flush is running.
    pub flush_bytes: usize,
    /// A flush starts when the last one is this long ago.
    pub flush_interval: Duration,
    /// Where flushes run.
    pub flush_mode: FlushMode,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            map_bytes: 256 << 30,
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(3),
            flush_mode: FlushMode::Background,
        }
    }
}

/// The overlay may grow to this many times `flush_bytes` before a commit waits for the running flush.
const OVERLAY_FACTOR_MAX: usize = 4;

/// Figures for metrics and `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Memory of what is not yet in the base.
    pub overlay_bytes: usize,
    /// The base on disk.
    pub base_bytes: u64,
    /// What the base can grow to.
    pub base_bytes_max: Option<u64>,
    /// Live snapshots.
    pub snapshots: usize,
    /// The age of the oldest of them.
    pub oldest_snapshot: Duration,
}

/// The live state. It reads what it has written, committed or not.
pub struct State {
    base: Arc<dyn Base>,
    /// The base as of the last finished flush, or later.
    view: Box<dyn View>,
    options: Options,
    /// Everything since the layer was frozen, uncommitted writes included.
    active: Layer,
    /// The same without the uncommitted writes.
    saved: Layer,
    /// Whether the two differ.
    dirty: bool,
    frozen: Option<Frozen>,
    committed: Committed,
    durable: Committed,
    last_flush: Instant,
    snapshots: Registry,
    /// Set while a large transaction is being applied.
    large: Option<Large>,
    /// The base carries the marker of a large transaction that has been committed since.
    marked: bool,
    /// There may be undo records that mean nothing any more.
    forgetting: bool,
    poisoned: bool,
    /// Released last.
    _lock: Option<DirectoryLock>,
}

/// A large transaction in progress.
struct Large {
    /// Views of the base from before the first piece, if there has been one.
    reserve: Option<Reserve>,
}

/// How many snapshots of the last commit can be had at once while a large transaction is being applied.
const RESERVED_SNAPSHOTS: usize = 16;

impl State {
    /// Opens or creates the state in a directory, which is locked for this process.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StateError> {
        let held = DirectoryLock::acquire(dir)?;
        let base = LmdbBase::open(dir, options.map_bytes)?;
        let mut state = Self::with_base(Arc::new(base), options)?;
        state._lock = Some(held);
        Ok(state)
    }

    /// Opens the state over a base that nobody else writes.
    pub fn with_base(base: Arc<dyn Base>, options: Options) -> Result<Self, StateError> {
        large::take_back(base.as_ref())?;
        let view = base.view()?;
        let committed = match view.get(POSITION_KEY)? {
            Some(bytes) => Committed::decode(bytes)?,
            None => Committed::default(),
        };
        trace::open();
        Ok(State {
            base,
            view,
            options,
            active: Layer::default(),
            saved: Layer::default(),
            dirty: false,
            frozen: None,
            committed,
            durable: committed,
            last_flush: Instant::now(),
            snapshots: Registry::default(),
            large: None,
            marked: false,
            forgetting: true,
            poisoned: false,
            _lock: None,
        })
    }

    /// Sets a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.set(key, Some(value))
    }

    /// Removes a key, which need not be there.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.set(key, None)
    }

    fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        if key.first().is_none_or(|first| *first == RESERVED) {
            return Err(StateError::ReservedKey);
        }
        match value {
            // A queue is written at one end and emptied at the other: what hides nothing must not be left in the way.
            None if !self.is_below(key)? => self.active.forget(key),
            value => self.active.set(key, value),
        }
        trace::set(key, value);
        self.dirty = true;
        Ok(())
    }

    /// Whether a key has a value below the active layer.
    fn is_below(&self, key: &[u8]) -> Result<bool, StateError> {
        match self
            .frozen
            .as_ref()
            .and_then(|frozen| frozen.layer.get(key))
        {
            Some(value) => Ok(value.is_some()),
            None => Ok(self.view.get(key)?.is_some()),
        }
    }

    /// Removes every key with a prefix. Costs a scan and one write per key that is there; for large ranges that nobody
    /// reads any more see [`Loader::clear`].
    pub fn delete_prefix(&mut self, prefix: &[u8]) -> Result<usize, StateError> {
        let keys = self
            .scan(prefix, None)?
            .map(|entry| entry.map(|(key, _)| key.to_vec()))
            .collect::<Result<Vec<_>, _>>()?;
        for key in &keys {
            self.delete(key)?;
        }
        Ok(keys.len())
    }

    /// Ends a group: its writes and the position become one. No I/O happens; see [`State::maybe_flush`].
    pub fn commit(&mut self, committed: Committed) {
        if self.dirty {
            self.saved = self.active.clone();
            self.dirty = false;
        }
        self.committed = committed;
        trace::commit();
        self.marked |= self
            .large
            .take()
            .is_some_and(|large| large.reserve.is_some());
    }

    /// Forgets everything since the last commit. After [`State::begin_large`] that may take a while.
    pub fn rollback(&mut self) {
        if self.dirty {
            trace::rollback();
            self.active = self.saved.clone();
            self.dirty = false;
        }
        if self
            .large
            .take()
            .is_some_and(|large| large.reserve.is_some())
        {
            let taken_back = large::take_back(self.base.as_ref()).and_then(|()| self.base.view());
            match taken_back {
                Ok(view) => self.view = view,
                Err(error) => {
                    // The marker is still there: the next start takes it back.
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot take back a large transaction"
                    );
                    self.poisoned = true;
                }
            }
        }
    }

    /// Lets the group that begins here be larger than memory: until the next commit or rollback, [`State::maybe_flush`]
    /// moves uncommitted writes to the base, with records to take them back. A crash in the middle takes them back.
    /// Everything committed is flushed first. Snapshots go on showing the last commit, but only a few can live at once.
    pub fn begin_large(&mut self) -> Result<(), StateError> {
        self.flush_now()?;
        while self.forgetting {
            self.forgetting = !large::forget_some(self.base.as_ref())?;
        }
        // Old undo records must not be taken for new ones.
        self.view = self.base.view()?;
        self.large = Some(Large { reserve: None });
        Ok(())
    }

    /// Whether a large transaction is being applied.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// The last commit, to be read elsewhere while the writer goes on.
    pub fn snapshot(&self) -> Result<Snapshot, StateError> {
        if let Some(reserve) = self.large.as_ref().and_then(|large| large.reserve.as_ref()) {
            let view = lock(reserve).pop().ok_or(StateError::NoSnapshot)?;
            return Ok(Snapshot {
                active: Layer::default(),
                frozen: None,
                view: Some(view),
                committed: self.committed,
                ticket: self.snapshots.ticket(Some(Arc::clone(reserve))),
            });
        }
        // The view may be of the base before or after the running flush: with the frozen layer on top it is the same.
        Ok(Snapshot {
            active: self.saved.clone(),
            frozen: self.frozen.as_ref().map(|frozen| frozen.layer.clone()),
            view: Some(self.base.view()?),
            committed: self.committed,
            ticket: self.snapshots.ticket(None),
        })
    }

    /// The position of the last commit.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed
    }

    /// The position that a crash would leave. The changelog is needed from here on.
    #[must_use]
    pub fn durable(&self) -> Committed {
        self.durable
    }

    /// To be called after each commit: reaps a finished flush, and starts one when it is due. Waits only if the overlay
    /// has grown several times past its budget while a flush is running. Within a large transaction, to be called at any
    /// time: it writes when the overlay is over its budget.
    pub fn maybe_flush(&mut self) -> Result<(), StateError> {
        self.check_poisoned()?;
        if self.large.is_some() {
            return if self.active.bytes >= self.options.flush_bytes {
                self.spill()
            } else {
                Ok(())
            };
        }
        let over = self.active.bytes > self.options.flush_bytes.saturating_mul(OVERLAY_FACTOR_MAX);
        if self
            .frozen
            .as_ref()
            .is_some_and(|f| over || !f.is_running())
        {
            self.finish_flush()?;
        }
        if self.frozen.is_none() && !self.dirty && self.is_due() {
            self.start_flush()?;
        }
        if self.forgetting && self.frozen.is_none() {
            self.forgetting = !large::forget_some(self.base.as_ref())?;
        }
        Ok(())
    }

    /// Makes the last commit durable before it returns. There must be no uncommitted writes.
    pub fn flush_now(&mut self) -> Result<(), StateError> {
        self.check_poisoned()?;
        if self.dirty || self.large.is_some() {
            return Err(StateError::Uncommitted);
        }
        self.finish_flush()?;
        if self.is_behind() || !self.active.entries.is_empty() {
            self.start_flush()?;
            self.finish_flush()?;
        }
        Ok(())
    }

    /// Flushes and lets go of the directory. Snapshots that still live keep the files mapped.
    pub fn close(mut self) -> Result<(), StateError> {
        self.rollback();
        self.flush_now()
    }

    /// Figures for metrics and `status`.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let (snapshots, oldest_snapshot) = self.snapshots.count_and_age();
        Sizes {
            overlay_bytes: self.active.bytes + self.frozen.as_ref().map_or(0, |f| f.layer.bytes),
            base_bytes: self.base.bytes(),
            base_bytes_max: self.base.bytes_max(),
            snapshots,
            oldest_snapshot,
        }
    }

    /// A writer of a prefix that nobody reads; see [`Loader`] for the rule.
    pub fn loader(&self, prefix: &[u8]) -> Result<Loader, StateError> {
        if prefix.first().is_none_or(|first| *first == RESERVED) {
            return Err(StateError::ReservedKey);
        }
        Ok(Loader {
            base: Arc::clone(&self.base),
            prefix: prefix.to_vec(),
        })
    }

    /// Lets readers see what the loader wrote. (Snapshots see it after a large transaction that is in progress.)
    pub fn adopt(&mut self, loader: Loader) -> Result<(), StateError> {
        drop(loader);
        trace::adopt();
        self.view = self.base.view()?;
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.active.bytes >= self.options.flush_bytes
            || (self.is_behind() && self.last_flush.elapsed() >= self.options.flush_interval)
    }

    /// Whether a flush would change what a crash leaves.
    fn is_behind(&self) -> bool {
        self.committed != self.durable || self.marked
    }

    fn check_poisoned(&self) -> Result<(), StateError> {
        if self.poisoned {
            return Err(StateError::Poisoned);
        }
        Ok(())
    }

    /// Freezes the committed overlay. The caller has made sure that nothing is frozen or uncommitted.
    fn start_flush(&mut self) -> Result<(), StateError> {
        self.saved = Layer::default();
        let layer = std::mem::take(&mut self.active);
        let frozen = self.frozen.insert(Frozen::new(layer, self.committed));
        self.last_flush = Instant::now();
        if self.options.flush_mode == FlushMode::Background {
            frozen.spawn(&self.base)?;
        }
        Ok(())
    }

    /// Waits until nothing is frozen any more.
    fn finish_flush(&mut self) -> Result<(), StateError> {
        let Some(frozen) = &mut self.frozen else {
            return Ok(());
        };
        if let Err(error) = frozen.finish(self.base.as_ref()) {
            // For want of room nothing was written, and the next call tries again. After any other failure nobody
            // knows what is on the disk.
            self.poisoned = !error.is_lack_of_room();
            return Err(error);
        }
        self.view = self.base.view()?;
        self.durable = frozen.committed;
        self.frozen = None;
        // The batch has removed the marker.
        self.forgetting |= std::mem::take(&mut self.marked);
        Ok(())
    }

    /// Moves a piece of a large transaction to the base.
    fn spill(&mut self) -> Result<(), StateError> {
        let Some(large) = &mut self.large else {
            return Ok(());
        };
        if large.reserve.is_none() {
            // Nothing is frozen, and nothing committed is in the overlay: the base is the last commit.
            let views = (0..RESERVED_SNAPSHOTS)
                .map(|_| self.base.view())
                .collect::<Result<Vec<_>, _>>()?;
            large.reserve = Some(Arc::new(Mutex::new(views)));
        }
        if let Err(error) = large::spill(self.base.as_ref(), self.view.as_ref(), &self.active) {
            self.poisoned = !error.is_lack_of_room();
            return Err(error);
        }
        self.view = self.base.view()?;
        self.active = Layer::default();
        // What was written is uncommitted still.
        self.dirty = true;
        Ok(())
    }
}

impl Read for State {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        self.layers().get(key)
    }

    fn scan<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        self.layers().scan(prefix, from)
    }

    fn scan_back<'a>(&'a self, prefix: &[u8], from: Option<&[u8]>) -> Result<Scan<'a>, StateError> {
        self.layers().scan_back(prefix, from)
    }
}

impl State {
    fn layers(&self) -> Layers<'_> {
        Layers {
            active: &self.active,
            frozen: self.frozen.as_ref().map(|frozen| &frozen.layer),
            view: self.view.as_ref(),
            reader: Reader::Live,
        }
    }
}

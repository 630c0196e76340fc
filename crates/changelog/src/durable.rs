//! What the writer and the readers share: which segments there are, how far they are durable, and who needs what.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use readside_model::Lsn;

use crate::ChangelogError;
use crate::disk::Disk;
use crate::reader::Reader;

/// A segment that readers may know of.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) first_sequence: u64,
    /// Every record in it ends above this; every record before it at or below.
    pub(crate) base: Lsn,
    pub(crate) header_bytes: u64,
    /// How much of it is durable.
    pub(crate) bytes: u64,
}

/// Someone who still needs part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub name: String,
    /// Everything that ends above this is needed.
    pub after: Lsn,
    /// How long it has stood there.
    pub age: Duration,
}

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) bytes_max: u64,
    inner: Mutex<Inner>,
    advanced: Condvar,
    end: AtomicU64,
    callbacks: Mutex<Vec<Callback>>,
}

type Callback = Box<dyn Fn(Lsn) + Send + Sync>;

#[derive(Default)]
struct Inner {
    segments: VecDeque<Segment>,
    /// Side files that the log refers to, by the end of their transaction.
    sides: BTreeMap<Lsn, u64>,
    /// Bytes of side files that are still being written.
    spooled_bytes: u64,
    holders: BTreeMap<u64, Held>,
    next_holder: u64,
    /// Nothing that ends at or below this can be read any more.
    start: Lsn,
}

struct Held {
    name: String,
    after: Lsn,
    since: Instant,
}

/// How far a reader may go in a segment.
pub(crate) struct Limit {
    /// `None`: to the end of the file, for the segment was trimmed away and so is complete.
    pub(crate) bytes: Option<u64>,
    /// The segment after it.
    pub(crate) next: Option<Segment>,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        bytes_max: u64,
        segments: VecDeque<Segment>,
        sides: BTreeMap<Lsn, u64>,
        end: Lsn,
    ) -> Arc<Self> {
        let start = segments.front().map_or(end, |s| s.base);
        Arc::new(Shared {
            disk,
            bytes_max,
            inner: Mutex::new(Inner {
                segments,
                sides,
                start,
                ..Inner::default()
            }),
            advanced: Condvar::new(),
            end: AtomicU64::new(end.0),
            callbacks: Mutex::new(Vec::new()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) -> Lsn {
        Lsn(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn bytes(&self) -> u64 {
        let inner = self.lock();
        let segments: u64 = inner.segments.iter().map(|s| s.bytes).sum();
        let sides: u64 = inner.sides.values().sum();
        segments + sides + inner.spooled_bytes
    }

    /// Refuses to grow past the limit.
    pub(crate) fn check_room(&self, added: u64) -> Result<(), ChangelogError> {
        let bytes = self.bytes();
        if bytes.saturating_add(added) > self.bytes_max {
            return Err(ChangelogError::Full {
                bytes,
                max: self.bytes_max,
            });
        }
        Ok(())
    }

    pub(crate) fn add_segment(&self, segment: Segment) {
        self.lock().segments.push_back(segment);
    }

    pub(crate) fn spooled(&self, added: u64) {
        self.lock().spooled_bytes += added;
    }

    pub(crate) fn unspooled(&self, removed: u64) {
        let mut inner = self.lock();
        inner.spooled_bytes = inner.spooled_bytes.saturating_sub(removed);
    }

    pub(crate) fn add_side(&self, end: Lsn, bytes: u64) {
        self.lock().sides.insert(end, bytes);
    }

    /// The last segment is durable up to `bytes`, which is up to `end`.
    pub(crate) fn publish(&self, bytes: u64, end: Lsn) {
        let mut inner = self.lock();
        if let Some(last) = inner.segments.back_mut() {
            last.bytes = bytes;
        }
        self.end.store(end.0, Ordering::Release);
        drop(inner);
        self.advanced.notify_all();
        let callbacks = self
            .callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for callback in callbacks.iter() {
            callback(end);
        }
    }

    /// Drops every segment and side file; readers that are open see nothing more.
    pub(crate) fn restart(&self, first: Segment) -> (Vec<u64>, Vec<Lsn>) {
        let mut inner = self.lock();
        let end = first.base;
        let segments = inner.segments.drain(..).map(|s| s.first_sequence).collect();
        let sides = std::mem::take(&mut inner.sides).into_keys().collect();
        inner.start = end;
        inner.segments.push_back(first);
        drop(inner);
        self.end.store(end.0, Ordering::Release);
        (segments, sides)
    }

    pub(crate) fn limit(&self, first_sequence: u64) -> Limit {
        let inner = self.lock();
        let here = inner
            .segments
            .iter()
            .find(|s| s.first_sequence == first_sequence);
        let next = inner
            .segments
            .iter()
            .find(|s| s.first_sequence > first_sequence);
        Limit {
            bytes: here.map(|s| s.bytes),
            next: next.cloned(),
        }
    }

    /// Registers a reader and finds the segment to start in.
    pub(crate) fn hold(&self, name: &str, after: Lsn) -> Result<(u64, Segment), ChangelogError> {
        let mut inner = self.lock();
        let trimmed = ChangelogError::Trimmed {
            start: inner.start,
            asked: after,
        };
        if after < inner.start {
            return Err(trimmed);
        }
        let segment = inner.segments.iter().rev().find(|s| s.base <= after);
        let segment = segment.cloned().ok_or(trimmed)?;
        let id = inner.next_holder;
        inner.next_holder += 1;
        inner.holders.insert(
            id,
            Held {
                name: name.to_owned(),
                after,
                since: Instant::now(),
            },
        );
        Ok((id, segment))
    }

    pub(crate) fn move_hold(&self, id: u64, after: Lsn) {
        if let Some(held) = self.lock().holders.get_mut(&id)
            && held.after != after
        {
            held.after = after;
            held.since = Instant::now();
        }
    }

    pub(crate) fn release(&self, id: u64) {
        self.lock().holders.remove(&id);
    }

    /// Forgets what nobody needs; returns the segments and side files that can be removed.
    pub(crate) fn trim(&self, below: Lsn) -> (Vec<u64>, Vec<Lsn>) {
        let mut inner = self.lock();
        let below = inner
            .holders
            .values()
            .map(|held| held.after)
            .fold(below.min(self.end()), Lsn::min);
        let mut segments = Vec::new();
        while inner.segments.get(1).is_some_and(|next| next.base <= below) {
            segments.extend(inner.segments.pop_front().map(|s| s.first_sequence));
        }
        let kept = inner.sides.split_off(&Lsn(below.0.saturating_add(1)));
        let sides = std::mem::replace(&mut inner.sides, kept);
        inner.start = inner.start.max(below);
        (segments, sides.into_keys().collect())
    }

    /// Waits until more than `bytes` of the segment are durable, or there is another after it.
    pub(crate) fn wait_more(&self, first_sequence: u64, bytes: u64, timeout: Duration) -> bool {
        let more = |inner: &Inner| {
            inner.segments.back().is_some_and(|s| {
                s.first_sequence > first_sequence
                    || (s.first_sequence == first_sequence && s.bytes > bytes)
            })
        };
        let (inner, _) = self
            .advanced
            .wait_timeout_while(self.lock(), timeout, |inner| !more(inner))
            .unwrap_or_else(PoisonError::into_inner);
        more(&inner)
    }

    fn wait_past(&self, lsn: Lsn, timeout: Duration) -> Lsn {
        let guard = self
            .advanced
            .wait_timeout_while(self.lock(), timeout, |_| self.end() <= lsn)
            .unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        self.end()
    }
}

/// The durable part of the log, to be watched and read from any thread. Cheap to clone.
#[derive(Clone)]
pub struct Durable {
    pub(crate) shared: Arc<Shared>,
}

impl Durable {
    /// The durable end: the highest position that may be confirmed to the source.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.shared.end()
    }

    /// Waits until the durable end is above `lsn`, or the time is over; returns the durable end.
    #[must_use]
    pub fn wait_past(&self, lsn: Lsn, timeout: Duration) -> Lsn {
        self.shared.wait_past(lsn, timeout)
    }

    /// Calls `callback` from the writer's thread each time something has become durable. It must not block.
    pub fn on_advance(&self, callback: impl Fn(Lsn) + Send + Sync + 'static) {
        self.shared
            .callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(callback));
    }

    /// A reader of everything that ends above `after`. While it lives, nothing that it has yet to read is trimmed.
    pub fn reader(&self, name: &str, after: Lsn) -> Result<Reader, ChangelogError> {
        Reader::open(&self.shared, name, after)
    }

    /// The lowest position that a reader can start from.
    #[must_use]
    pub fn start(&self) -> Lsn {
        self.shared.lock().start
    }

    /// Bytes on disk, side files included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes()
    }

    /// Everyone who keeps the log from being trimmed, the furthest behind first.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        let inner = self.shared.lock();
        let mut out: Vec<_> = inner
            .holders
            .values()
            .map(|held| Holder {
                name: held.name.clone(),
                after: held.after,
                age: held.since.elapsed(),
            })
            .collect();
        out.sort_by_key(|holder| holder.after);
        out
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("end", &self.end()).finish()
    }
}

//! What the replay asks of each store.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Outcome;
use crate::trace::{LoadEntry, Pass};

/// Sees each entry of a content.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

/// A store with one writer and snapshots. Reader 0 sees what was written, committed or not.
pub(crate) trait Store {
    fn get(&mut self, reader: u32, key: &[u8]) -> Outcome<bool>;
    /// Asks for entries as often as the pass did; gives how many there were.
    fn scan(&mut self, reader: u32, pass: &Pass<'_>) -> Outcome<u32>;
    fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome<()>;
    fn delete(&mut self, key: &[u8]) -> Outcome<()>;
    /// After it, a killed process has lost nothing that is older than the interval of flushes, and nothing by halves.
    fn commit(&mut self) -> Outcome<()>;
    fn rollback(&mut self) -> Outcome<()>;
    fn snapshot(&mut self, number: u32) -> Outcome<()>;
    fn drop_snapshot(&mut self, number: u32) -> Outcome<()>;
    /// Nobody reads these keys before `adopt`. Durable when it returns.
    fn load(&mut self, entries: &[LoadEntry]) -> Outcome<()>;
    fn adopt(&mut self) -> Outcome<()>;
    /// Makes the last commit durable.
    fn flush(&mut self) -> Outcome<()>;
    /// Shows the whole content in order.
    fn content(&mut self, visit: &mut Visit<'_>) -> Outcome<()>;
}

/// Nothing at all: what reading the trace costs.
pub(crate) struct Nothing;

impl Store for Nothing {
    fn get(&mut self, _: u32, _: &[u8]) -> Outcome<bool> {
        Ok(false)
    }
    fn scan(&mut self, _: u32, _: &Pass<'_>) -> Outcome<u32> {
        Ok(0)
    }
    fn put(&mut self, _: &[u8], _: &[u8]) -> Outcome<()> {
        Ok(())
    }
    fn delete(&mut self, _: &[u8]) -> Outcome<()> {
        Ok(())
    }
    fn commit(&mut self) -> Outcome<()> {
        Ok(())
    }
    fn rollback(&mut self) -> Outcome<()> {
        Ok(())
    }
    fn snapshot(&mut self, _: u32) -> Outcome<()> {
        Ok(())
    }
    fn drop_snapshot(&mut self, _: u32) -> Outcome<()> {
        Ok(())
    }
    fn load(&mut self, _: &[LoadEntry]) -> Outcome<()> {
        Ok(())
    }
    fn adopt(&mut self) -> Outcome<()> {
        Ok(())
    }
    fn flush(&mut self) -> Outcome<()> {
        Ok(())
    }
    fn content(&mut self, _: &mut Visit<'_>) -> Outcome<()> {
        Ok(())
    }
}

/// Syncs a store from a thread of its own at every interval, until it is dropped.
pub(crate) struct Syncer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// A sync that fails ends the bench.
    pub(crate) fn start<F>(interval: Duration, sync: F) -> Self
    where
        F: Fn() -> Outcome<()> + Send + 'static,
    {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = sync() {
                    panic!("cannot sync: {error}");
                }
            }
        });
        Syncer {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop = None;
        let panicked = self.thread.take().is_some_and(|t| t.join().is_err());
        assert!(!panicked || std::thread::panicking(), "a sync failed");
    }
}

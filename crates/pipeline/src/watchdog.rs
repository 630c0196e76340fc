//! Closes the replication connection when the disk does not answer.
//!
//! A walsender that is stuck writing to a client that does not read can hold up the source's checkpoints; so whoever cannot write to
//! disk for long must not keep the connection. A thread of its own, since the task that is stuck cannot do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use readside_source::Hangup;
use tracing::error;

/// How long the disk may take.
const DISK_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Watches one connection.
pub(crate) struct Watchdog {
    /// Milliseconds since `since` at which the disk was asked, plus one; 0 while it is not.
    asked: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    since: Instant,
}

impl Watchdog {
    /// Starts watching; ends when it is dropped.
    pub(crate) fn over(hangup: Hangup) -> std::io::Result<Watchdog> {
        let watchdog = Watchdog {
            asked: Arc::new(AtomicU64::new(0)),
            over: Arc::new(AtomicBool::new(false)),
            since: Instant::now(),
        };
        let (asked, over, since) = (
            Arc::clone(&watchdog.asked),
            Arc::clone(&watchdog.over),
            watchdog.since,
        );
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                while !over.load(Ordering::Acquire) {
                    std::thread::sleep(LOOK_EVERY);
                    let at = asked.load(Ordering::Acquire);
                    if at != 0 && since.elapsed() > Duration::from_millis(at) + DISK_MAX {
                        error!("the changelog's disk has not answered for {} s: closing the replication connection so that the source is not held up", DISK_MAX.as_secs());
                        if let Err(error) = hangup.hang_up() {
                            error!("the connection cannot be closed: {error}");
                        }
                        return;
                    }
                }
            })?;
        Ok(watchdog)
    }

    /// Runs something that waits for the disk.
    pub(crate) fn during<T>(&self, f: impl FnOnce() -> T) -> T {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.asked.store(now + 1, Ordering::Release);
        let done = f();
        self.asked.store(0, Ordering::Release);
        done
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

//! What a process has used, from `/proc`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Outcome;

/// CPU time of all threads so far, in seconds.
pub(crate) fn cpu_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may hold anything.
    let fields = stat
        .rsplit_once(") ")
        .ok_or("`/proc/self/stat` has no name")?
        .1;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = 0.0;
    for _ in 0..2 {
        ticks += fields
            .next()
            .ok_or("`/proc/self/stat` is short")?
            .parse::<f64>()?;
    }
    // USER_HZ is 100 on every platform that has /proc.
    Ok(ticks / 100.0)
}

/// Bytes that this process has caused to be written to the disk.
pub(crate) fn written_bytes() -> Outcome<u64> {
    field(&fs::read_to_string("/proc/self/io")?, "write_bytes:")
}

fn field(text: &str, name: &str) -> Outcome<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| format!("`{name}` is missing in /proc"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// Bytes of disk in a directory.
pub(crate) fn disk_bytes(dir: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(total)
}

/// Watches the memory of this process.
pub(crate) struct MemoryWatch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

const SAMPLE: Duration = Duration::from_millis(20);

impl MemoryWatch {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(0));
        let thread = std::thread::spawn({
            let (stop, peak) = (Arc::clone(&stop), Arc::clone(&peak));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let now = fs::read_to_string("/proc/self/status")
                        .ok()
                        .and_then(|status| field(&status, "RssAnon:").ok());
                    peak.fetch_max(now.unwrap_or(0) * 1024, Ordering::Relaxed);
                    std::thread::sleep(SAMPLE);
                }
            }
        });
        MemoryWatch { stop, peak, thread }
    }

    /// The most anonymous memory that was seen, in bytes.
    pub(crate) fn stop(self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| "the watch of memory panicked")?;
        Ok(self.peak.load(Ordering::Relaxed))
    }
}

//! Replays a trace against a store, and measures the part after the state was last opened.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use crate::meter::{self, MemoryWatch};
use crate::store::Store;
use crate::trace::{Event, Trace};
use crate::{Outcome, Variant};

/// What was asked, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) gets: u64,
    pub(crate) scans: u64,
    pub(crate) taken: u64,
    pub(crate) writes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) commits: u64,
    pub(crate) snapshots: u64,
}

/// What a replay has cost.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) asked: Asked,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    /// One on average.
    pub(crate) get_us: f64,
    /// One on average.
    pub(crate) scan_us: f64,
    pub(crate) commit_p99_us: f64,
    pub(crate) commit_max_ms: f64,
    pub(crate) memory_mb: f64,
    pub(crate) disk_mb: f64,
    pub(crate) written_mb: f64,
    /// Of the content in the end.
    pub(crate) hash: u64,
}

const MB: f64 = 1e6;

/// Replays the trace, of the measured part no more than so many commits.
pub(crate) fn replay(
    path: &Path,
    dir: &Path,
    variant: Variant,
    commits_max: u64,
    store: &mut dyn Store,
) -> Outcome<Figures> {
    let openings = Trace::openings(path)?;
    let mut trace = Trace::open(path)?;
    let mut replay = Replay {
        store,
        is_real: variant != Variant::Nothing,
        snapshots: BTreeSet::new(),
        asked: Asked::default(),
        gets_s: 0.0,
        scans_s: 0.0,
        commits_s: Vec::new(),
    };
    let mut opened = 0;
    while opened < openings {
        let event = trace.next()?.ok_or("the trace is shorter than it was")?;
        if matches!(event, Event::Open) {
            opened += 1;
        }
        replay.step(event)?;
    }
    replay.store.flush()?;
    replay.asked = Asked::default();
    replay.commits_s.clear();
    (replay.gets_s, replay.scans_s) = (0.0, 0.0);

    let written_before = meter::written_bytes()?;
    let cpu_before = meter::cpu_seconds()?;
    let memory = MemoryWatch::start();
    let start = Instant::now();
    while replay.asked.commits < commits_max
        && let Some(event) = trace.next()?
    {
        replay.step(event)?;
    }
    replay.store.rollback()?;
    replay.store.flush()?;
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = meter::cpu_seconds()? - cpu_before;
    let written = meter::written_bytes()? - written_before;
    let memory = memory.stop()?;

    let mut hasher = DefaultHasher::new();
    replay.store.content(&mut |key, value| {
        key.hash(&mut hasher);
        value.hash(&mut hasher);
    })?;
    let mut commits_s = replay.commits_s;
    commits_s.sort_by(f64::total_cmp);
    Ok(Figures {
        asked: replay.asked,
        wall_s,
        cpu_s,
        get_us: replay.gets_s * 1e6 / replay.asked.gets.max(1) as f64,
        scan_us: replay.scans_s * 1e6 / replay.asked.scans.max(1) as f64,
        commit_p99_us: commits_s
            .get(commits_s.len() * 99 / 100)
            .map_or(0.0, |s| s * 1e6),
        commit_max_ms: commits_s.last().map_or(0.0, |s| s * 1e3),
        memory_mb: memory as f64 / MB,
        disk_mb: meter::disk_bytes(dir)? as f64 / MB,
        written_mb: written as f64 / MB,
        hash: hasher.finish(),
    })
}

struct Replay<'a> {
    store: &'a mut dyn Store,
    /// Whether its answers are to be compared with those that were recorded.
    is_real: bool,
    snapshots: BTreeSet<u32>,
    asked: Asked,
    gets_s: f64,
    scans_s: f64,
    commits_s: Vec<f64>,
}

impl Replay<'_> {
    fn step(&mut self, event: Event<'_>) -> Outcome<()> {
        match event {
            Event::Open => {
                self.store.rollback()?;
                for number in std::mem::take(&mut self.snapshots) {
                    self.store.drop_snapshot(number)?;
                }
            }
            Event::Get { reader, key, found } => {
                self.asked.gets += 1;
                let start = Instant::now();
                let got = self.store.get(reader, key)?;
                self.gets_s += start.elapsed().as_secs_f64();
                if got != found && self.is_real {
                    return Err(format!("get {key:02x?} by {reader}: not as recorded").into());
                }
            }
            Event::Scan {
                reader,
                pass,
                taken,
            } => {
                self.asked.scans += 1;
                self.asked.taken += u64::from(taken);
                let start = Instant::now();
                let got = self.store.scan(reader, &pass)?;
                self.scans_s += start.elapsed().as_secs_f64();
                if got != taken && self.is_real {
                    return Err(
                        format!("{pass:02x?} by {reader}: {got} entries, not {taken}").into(),
                    );
                }
            }
            Event::Put { key, value } => {
                self.asked.writes += 1;
                self.asked.written_bytes += u64::try_from(key.len() + value.len())?;
                self.store.put(key, value)?;
            }
            Event::Delete { key } => {
                self.asked.writes += 1;
                self.asked.written_bytes += u64::try_from(key.len())?;
                self.store.delete(key)?;
            }
            Event::Commit => {
                self.asked.commits += 1;
                let start = Instant::now();
                self.store.commit()?;
                self.commits_s.push(start.elapsed().as_secs_f64());
            }
            Event::Rollback => self.store.rollback()?,
            Event::Snapshot { number } => {
                self.asked.snapshots += 1;
                self.snapshots.insert(number);
                self.store.snapshot(number)?;
            }
            Event::SnapshotDropped { number } => {
                if self.snapshots.remove(&number) {
                    self.store.drop_snapshot(number)?;
                }
            }
            Event::Load { entries } => self.store.load(&entries)?,
            Event::Adopt => self.store.adopt()?,
        }
        Ok(())
    }
}

impl Figures {
    /// One line, for the process that asked.
    pub(crate) fn line(&self) -> String {
        let asked = &self.asked;
        format!(
            "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            asked.gets,
            asked.scans,
            asked.taken,
            asked.writes,
            asked.written_bytes,
            asked.commits,
            asked.snapshots,
            self.wall_s,
            self.cpu_s,
            self.get_us,
            self.scan_us,
            self.commit_p99_us,
            self.commit_max_ms,
            self.memory_mb,
            self.disk_mb,
            self.written_mb,
            self.hash,
        )
    }

    pub(crate) fn of_line(line: &str) -> Outcome<Self> {
        let mut words = line.split_whitespace();
        Ok(Figures {
            asked: Asked {
                gets: word(&mut words)?,
                scans: word(&mut words)?,
                taken: word(&mut words)?,
                writes: word(&mut words)?,
                written_bytes: word(&mut words)?,
                commits: word(&mut words)?,
                snapshots: word(&mut words)?,
            },
            wall_s: word(&mut words)?,
            cpu_s: word(&mut words)?,
            get_us: word(&mut words)?,
            scan_us: word(&mut words)?,
            commit_p99_us: word(&mut words)?,
            commit_max_ms: word(&mut words)?,
            memory_mb: word(&mut words)?,
            disk_mb: word(&mut words)?,
            written_mb: word(&mut words)?,
            hash: word(&mut words)?,
        })
    }
}

fn word<'a, T>(words: &mut impl Iterator<Item = &'a str>) -> Outcome<T>
where
    T: FromStr,
    T::Err: std::error::Error + 'static,
{
    Ok(words.next().ok_or("a figure is missing")?.parse()?)
}

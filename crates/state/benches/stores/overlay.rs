//! Our state over some base.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use readside_model::{Lsn, Position};
use readside_state::{Base, Committed, LmdbBase, Loader, Options, Read, Scan, Snapshot, State};

use crate::Outcome;
use crate::store::{Store, Visit};
use crate::trace::{LoadEntry, Pass};

pub(crate) struct Overlay {
    state: State,
    snapshots: BTreeMap<u32, Snapshot>,
    loader: Option<Loader>,
    commits: u64,
}

/// Address space.
const MAP_BYTES: u64 = 16 << 30;

impl Overlay {
    pub(crate) fn on_lmdb(dir: &Path, interval: Duration) -> Outcome<Self> {
        Self::on(Arc::new(LmdbBase::open(dir, MAP_BYTES)?), interval)
    }

    pub(crate) fn on(base: Arc<dyn Base>, interval: Duration) -> Outcome<Self> {
        let options = Options {
            flush_interval: interval,
            ..Options::default()
        };
        Ok(Overlay {
            state: State::with_base(base, options)?,
            snapshots: BTreeMap::new(),
            loader: None,
            commits: 0,
        })
    }

    fn reader(&self, reader: u32) -> Outcome<&dyn Read> {
        match reader.checked_sub(1) {
            None => Ok(&self.state),
            Some(number) => Ok(self
                .snapshots
                .get(&number)
                .ok_or("a read of a snapshot that was not taken")?),
        }
    }
}

impl Store for Overlay {
    fn get(&mut self, reader: u32, key: &[u8]) -> Outcome<bool> {
        Ok(self.reader(reader)?.get(key)?.is_some())
    }

    fn scan(&mut self, reader: u32, pass: &Pass<'_>) -> Outcome<u32> {
        let reader = self.reader(reader)?;
        let mut scan: Scan<'_> = if pass.back {
            reader.scan_back(pass.prefix, pass.from)?
        } else {
            reader.scan(pass.prefix, pass.from)?
        };
        let mut taken = 0;
        for _ in 0..pass.asked {
            if scan.next().transpose()?.is_some() {
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        Ok(self.state.put(key, value)?)
    }

    fn delete(&mut self, key: &[u8]) -> Outcome<()> {
        Ok(self.state.delete(key)?)
    }

    fn commit(&mut self) -> Outcome<()> {
        self.commits += 1;
        self.state.commit(Committed {
            applied: Position {
                commit: Lsn(self.commits),
                ordinal: 0,
            },
            published: Lsn(self.commits),
        });
        Ok(self.state.maybe_flush()?)
    }

    fn rollback(&mut self) -> Outcome<()> {
        self.state.rollback();
        Ok(())
    }

    fn snapshot(&mut self, number: u32) -> Outcome<()> {
        self.snapshots.insert(number, self.state.snapshot()?);
        Ok(())
    }

    fn drop_snapshot(&mut self, number: u32) -> Outcome<()> {
        self.snapshots.remove(&number);
        Ok(())
    }

    fn load(&mut self, entries: &[LoadEntry]) -> Outcome<()> {
        let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        // The trace does not tell one loader from another; what the keys share does as well.
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let mut loader = self.state.loader(&first[..shared])?;
        if entries.iter().all(|(_, value)| value.is_some()) {
            loader.write(
                entries
                    .iter()
                    .filter_map(|(key, value)| Some((key.as_slice(), value.as_deref()?))),
            )?;
        } else {
            loader.clear(entries.len())?;
        }
        self.loader = Some(loader);
        Ok(())
    }

    fn adopt(&mut self) -> Outcome<()> {
        if let Some(loader) = self.loader.take() {
            self.state.adopt(loader)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        Ok(self.state.flush_now()?)
    }

    fn content(&mut self, visit: &mut Visit<'_>) -> Outcome<()> {
        for entry in self.state.scan(&[], None)? {
            let (key, value) = entry?;
            visit(key, value);
        }
        Ok(())
    }
}

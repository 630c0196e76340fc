//! fjall as a base under our overlay.

use std::cell::{Cell, OnceCell};
use std::path::Path;

use fjall::{
    Database, Guard, Keyspace, KeyspaceCreateOptions, KvPair, PersistMode, Readable, Snapshot,
    UserKey, UserValue,
};
use readside_state::{Base, Entries, StateError, View};

use crate::Outcome;

/// Room for blocks in memory, so that everything can be there, as with LMDB.
pub(crate) const CACHE_BYTES: u64 = 256 << 20;

pub(crate) struct FjallBase {
    database: Database,
    keyspace: Keyspace,
}

impl FjallBase {
    pub(crate) fn open(dir: &Path) -> Outcome<Self> {
        let database = Database::builder(dir).cache_size(CACHE_BYTES).open()?;
        let keyspace = database.keyspace("state", KeyspaceCreateOptions::default)?;
        Ok(FjallBase { database, keyspace })
    }
}

fn failed(error: fjall::Error) -> StateError {
    StateError::Io {
        action: "use fjall".to_owned(),
        source: std::io::Error::other(error),
    }
}

impl Base for FjallBase {
    fn view(&self) -> Result<Box<dyn View>, StateError> {
        Ok(Box::new(FjallView {
            snapshot: self.database.snapshot(),
            keyspace: self.keyspace.clone(),
            values: Kept::default(),
            pairs: Kept::default(),
        }))
    }

    fn apply(
        &self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
    ) -> Result<(), StateError> {
        let mut batch = self.database.batch();
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit().map_err(failed)
    }

    fn sync(&self) -> Result<(), StateError> {
        self.database.persist(PersistMode::SyncAll).map_err(failed)
    }

    fn bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    fn bytes_max(&self) -> Option<u64> {
        None
    }
}

/// A view lends what it reads, which LMDB does from its mapping. What fjall gives is owned, so it is kept until the view
/// is dropped.
struct FjallView {
    snapshot: Snapshot,
    keyspace: Keyspace,
    values: Kept<UserValue>,
    pairs: Kept<(UserKey, UserValue)>,
}

impl View for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        let value = self.snapshot.get(&self.keyspace, key).map_err(failed)?;
        Ok(value.map(|value| &**self.values.keep(value)))
    }

    fn range<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError> {
        let iter = self.snapshot.range(&self.keyspace, lower..upper);
        Ok(Box::new(iter.map(|guard| self.lend(guard))))
    }

    fn range_back<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError> {
        let iter = self.snapshot.range(&self.keyspace, lower..upper).rev();
        Ok(Box::new(iter.map(|guard| self.lend(guard))))
    }
}

impl FjallView {
    fn lend(&self, guard: Guard) -> Result<(&[u8], &[u8]), StateError> {
        let pair: KvPair = guard.into_inner().map_err(failed)?;
        let (key, value) = self.pairs.keep(pair);
        Ok((key, value))
    }
}

/// Values that stay where they are; each level holds twice as many as the one before.
struct Kept<T> {
    levels: [OnceCell<Box<[OnceCell<T>]>>; LEVELS],
    count: Cell<usize>,
}

const LEVELS: usize = 40;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept {
            levels: std::array::from_fn(|_| OnceCell::new()),
            count: Cell::new(0),
        }
    }
}

impl<T> Kept<T> {
    fn keep(&self, value: T) -> &T {
        // Level n begins at 2^n - 1 and has 2^n places.
        let place = self.count.get() + 1;
        self.count.set(place);
        let level = place.ilog2();
        let size = 1_usize << level;
        let cells = self.levels[usize::try_from(level).unwrap_or(LEVELS)]
            .get_or_init(|| (0..size).map(|_| OnceCell::new()).collect());
        cells[place - size].get_or_init(|| value)
    }
}

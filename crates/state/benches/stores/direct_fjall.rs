//! fjall without our overlay: a batch for each commit, given to the kernel at once and synced at intervals.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fjall::{
    Guard, Iter, KeyspaceCreateOptions, PersistMode, Readable, SingleWriterTxDatabase,
    SingleWriterTxKeyspace, SingleWriterWriteTx, Snapshot,
};

use crate::Outcome;
use crate::fjall_base::CACHE_BYTES;
use crate::store::{Store, Syncer, Visit};
use crate::trace::{LoadEntry, Pass};

pub(crate) struct DirectFjall {
    /// What is written since the last commit, over what was there then.
    transaction: Option<SingleWriterWriteTx<'static>>,
    dirty: bool,
    snapshots: BTreeMap<u32, Snapshot>,
    keyspace: SingleWriterTxKeyspace,
    database: &'static SingleWriterTxDatabase,
    _syncer: Syncer,
}

impl DirectFjall {
    pub(crate) fn open(dir: &Path, interval: Duration) -> Outcome<Self> {
        let database = SingleWriterTxDatabase::builder(dir)
            .cache_size(CACHE_BYTES)
            .open()?;
        // One for the process, so that a transaction can lie beside it.
        let database: &'static SingleWriterTxDatabase = Box::leak(Box::new(database));
        let keyspace = database.keyspace("state", KeyspaceCreateOptions::default)?;
        let syncer = Syncer::start(interval, || Ok(database.persist(PersistMode::SyncAll)?));
        Ok(DirectFjall {
            transaction: None,
            dirty: false,
            snapshots: BTreeMap::new(),
            keyspace,
            database,
            _syncer: syncer,
        })
    }

    fn transaction(&mut self) -> &mut SingleWriterWriteTx<'static> {
        let database = self.database;
        self.transaction
            .get_or_insert_with(|| database.write_tx().durability(Some(PersistMode::Buffer)))
    }

    /// What was read through it alone need not be kept.
    fn renew(&mut self) {
        if !self.dirty {
            self.transaction = None;
        }
    }
}

fn unknown() -> &'static str {
    "a read of a snapshot that was not taken"
}

impl Store for DirectFjall {
    fn get(&mut self, reader: u32, key: &[u8]) -> Outcome<bool> {
        let keyspace = self.keyspace.clone();
        let value = match reader.checked_sub(1) {
            None => self.transaction().get(&keyspace, key)?,
            Some(number) => {
                let snapshot = self.snapshots.get(&number).ok_or_else(unknown)?;
                snapshot.get(&keyspace, key)?
            }
        };
        Ok(value.is_some())
    }

    fn scan(&mut self, reader: u32, pass: &Pass<'_>) -> Outcome<u32> {
        let keyspace = self.keyspace.clone();
        let (lower, upper) = pass.range();
        if lower >= upper {
            return Ok(0);
        }
        let mut iter: Iter = match reader.checked_sub(1) {
            None => self.transaction().range(&keyspace, lower..upper),
            Some(number) => {
                let snapshot = self.snapshots.get(&number).ok_or_else(unknown)?;
                snapshot.range(&keyspace, lower..upper)
            }
        };
        let mut taken = 0;
        for _ in 0..pass.asked {
            let guard = if pass.back {
                iter.next_back()
            } else {
                iter.next()
            };
            if guard.map(Guard::into_inner).transpose()?.is_some() {
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        let keyspace = self.keyspace.clone();
        self.transaction().insert(&keyspace, key, value);
        self.dirty = true;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Outcome<()> {
        let keyspace = self.keyspace.clone();
        self.transaction().remove(&keyspace, key);
        self.dirty = true;
        Ok(())
    }

    fn commit(&mut self) -> Outcome<()> {
        self.dirty = false;
        if let Some(transaction) = self.transaction.take() {
            transaction.commit()?;
        }
        Ok(())
    }

    fn rollback(&mut self) -> Outcome<()> {
        self.dirty = false;
        self.transaction = None;
        Ok(())
    }

    fn snapshot(&mut self, number: u32) -> Outcome<()> {
        self.snapshots.insert(number, self.database.read_tx());
        Ok(())
    }

    fn drop_snapshot(&mut self, number: u32) -> Outcome<()> {
        self.snapshots.remove(&number);
        Ok(())
    }

    fn load(&mut self, entries: &[LoadEntry]) -> Outcome<()> {
        let keyspace = self.keyspace.inner();
        let mut batch = self
            .database
            .inner()
            .batch()
            .durability(Some(PersistMode::SyncAll));
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(keyspace, key.as_slice(), value.as_slice()),
                None => batch.remove(keyspace, key.as_slice()),
            }
        }
        Ok(batch.commit()?)
    }

    fn adopt(&mut self) -> Outcome<()> {
        self.renew();
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn content(&mut self, visit: &mut Visit<'_>) -> Outcome<()> {
        for guard in self.database.read_tx().iter(&self.keyspace) {
            let (key, value) = guard.into_inner()?;
            visit(&key, &value);
        }
        Ok(())
    }
}

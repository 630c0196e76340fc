//! LMDB without our overlay: a transaction for each commit, not synced, and a sync at intervals.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};

use crate::Outcome;
use crate::store::{Store, Syncer, Visit};
use crate::trace::{LoadEntry, Pass};

pub(crate) struct DirectLmdb {
    /// What is written since the last commit, over what was there then.
    transaction: Option<RwTxn<'static>>,
    dirty: bool,
    snapshots: BTreeMap<u32, RoTxn<'static, WithoutTls>>,
    database: Database<Bytes, Bytes>,
    env: &'static Env<WithoutTls>,
    _syncer: Syncer,
}

const MAP_BYTES: usize = 16 << 30;
const SNAPSHOTS_MAX: u32 = 1024;

impl DirectLmdb {
    pub(crate) fn open(dir: &Path, interval: Duration) -> Outcome<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options
            .map_size(MAP_BYTES)
            .max_readers(SNAPSHOTS_MAX)
            .max_dbs(0);
        #[allow(
            unsafe_code,
            reason = "the directory was made for this process; that a power cut can damage the file is what is measured"
        )]
        let env = unsafe {
            options.flags(EnvFlags::NO_SYNC);
            options.open(dir)?
        };
        // One for the process, so that a transaction can lie beside it.
        let env: &'static Env<WithoutTls> = Box::leak(Box::new(env));
        let mut transaction = env.write_txn()?;
        let database = env.create_database(&mut transaction, None)?;
        transaction.commit()?;
        let syncer = Syncer::start(interval, || Ok(env.force_sync()?));
        Ok(DirectLmdb {
            transaction: None,
            dirty: false,
            snapshots: BTreeMap::new(),
            database,
            env,
            _syncer: syncer,
        })
    }

    fn transaction(&mut self) -> Outcome<&mut RwTxn<'static>> {
        Ok(match &mut self.transaction {
            Some(transaction) => transaction,
            none => none.insert(self.env.write_txn()?),
        })
    }

    fn reader(&mut self, reader: u32) -> Outcome<&RoTxn<'static>> {
        match reader.checked_sub(1) {
            None => Ok(self.transaction()?),
            Some(number) => Ok(self
                .snapshots
                .get(&number)
                .ok_or("a read of a snapshot that was not taken")?),
        }
    }
}

fn count<'a>(iter: impl Iterator<Item = heed::Result<(&'a [u8], &'a [u8])>>) -> Outcome<u32> {
    let mut taken = 0;
    for entry in iter {
        entry?;
        taken += 1;
    }
    Ok(taken)
}

impl Store for DirectLmdb {
    fn get(&mut self, reader: u32, key: &[u8]) -> Outcome<bool> {
        let database = self.database;
        Ok(database.get(self.reader(reader)?, key)?.is_some())
    }

    fn scan(&mut self, reader: u32, pass: &Pass<'_>) -> Outcome<u32> {
        let (lower, upper) = pass.range();
        if lower >= upper {
            return Ok(0);
        }
        // LMDB knows no empty key, not even to start from.
        let lower = match lower.as_slice() {
            [] => Bound::Unbounded,
            lower => Bound::Included(lower),
        };
        let bounds = (lower, Bound::Excluded(upper.as_slice()));
        let database = self.database;
        let reader = self.reader(reader)?;
        let asked = usize::try_from(pass.asked)?;
        if pass.back {
            count(database.rev_range(reader, &bounds)?.take(asked))
        } else {
            count(database.range(reader, &bounds)?.take(asked))
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        let database = self.database;
        database.put(self.transaction()?, key, value)?;
        self.dirty = true;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Outcome<()> {
        let database = self.database;
        database.delete(self.transaction()?, key)?;
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
        let snapshot = self.env.clone().static_read_txn()?;
        self.snapshots.insert(number, snapshot);
        Ok(())
    }

    fn drop_snapshot(&mut self, number: u32) -> Outcome<()> {
        self.snapshots.remove(&number);
        Ok(())
    }

    /// LMDB has one writer: within a transaction of that one, a load becomes part of it.
    fn load(&mut self, entries: &[LoadEntry]) -> Outcome<()> {
        let database = self.database;
        let transaction = self.transaction()?;
        for (key, value) in entries {
            match value {
                Some(value) => database.put(transaction, key, value)?,
                None => {
                    database.delete(transaction, key)?;
                }
            }
        }
        if !self.dirty {
            self.commit()?;
            self.env.force_sync()?;
        }
        Ok(())
    }

    fn adopt(&mut self) -> Outcome<()> {
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        Ok(self.env.force_sync()?)
    }

    fn content(&mut self, visit: &mut Visit<'_>) -> Outcome<()> {
        let transaction = self.env.read_txn()?;
        for entry in self.database.iter(&transaction)? {
            let (key, value) = entry?;
            visit(key, value);
        }
        Ok(())
    }
}

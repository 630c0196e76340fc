//! The base on LMDB: a memory-mapped B+tree with copy-on-write pages, read without copying.
//!
//! LMDB's keys end at 511 bytes, ours do not. A key shorter than [`LONG`] is LMDB's key, and its value LMDB's value.
//! All longer keys that share their first `LONG` bytes are one *bucket*: LMDB's key is those bytes (its length tells it
//! from a short key), its value the entries in key order. So the order of LMDB's keys is the order of ours.
//!
//! | bytes of a bucket's entry | what |
//! | --- | --- |
//! | 4 | length of the key, little endian |
//! | 4 | length of the value |
//! | … | the whole key |
//! | … | the value |
//!
//! A write to a bucket rewrites it, so its cost is the bucket's size: long keys should differ early.
//!
//! Each batch is a transaction that is synced before it returns. The mapping is address space, neither memory nor disk;
//! the file grows as it is written. A view holds on to the pages of its moment, so the file grows while old views live.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

use crate::StateError;
use crate::base::{Base, Entries, Entry, View};

/// Keys of this many bytes and more go to buckets.
const LONG: usize = 480;
/// How many views can live at once.
const VIEWS_MAX: u32 = 1024;

/// The store on disk.
pub struct LmdbBase {
    env: Env<WithoutTls>,
    database: Database<Bytes, Bytes>,
    map_bytes: u64,
}

impl LmdbBase {
    /// Opens or creates a store in a directory that this process alone uses. `map_bytes` is the size of the mapping.
    pub fn open(dir: &Path, map_bytes: u64) -> Result<Self, StateError> {
        std::fs::create_dir_all(dir)
            .map_err(|e| StateError::io(format!("create `{}`", dir.display()), e))?;
        // A multiple of any page size; an address space that can't hold it is reported by the mapping itself.
        let map_bytes = map_bytes.div_ceil(1 << 16) << 16;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options
            .map_size(usize::try_from(map_bytes).unwrap_or(usize::MAX >> 16 << 16))
            .max_readers(VIEWS_MAX)
            .max_dbs(0);
        let failed = |e| store(e, map_bytes);
        #[allow(
            unsafe_code,
            reason = "the mapped file is changed through this environment only: the data directory is locked"
        )]
        let env = unsafe { options.open(dir) }.map_err(failed)?;
        env.clear_stale_readers().map_err(failed)?;
        let mut txn = env.write_txn().map_err(failed)?;
        let database = env.create_database(&mut txn, None).map_err(failed)?;
        txn.commit().map_err(failed)?;
        Ok(LmdbBase {
            env,
            database,
            map_bytes,
        })
    }

    fn put_all(
        &self,
        txn: &mut RwTxn<'_>,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
    ) -> Result<(), StateError> {
        let failed = |e| store(e, self.map_bytes);
        let mut open: Option<Bucket> = None;
        for (key, value) in entries {
            if key.len() >= LONG {
                if open.as_ref().is_none_or(|b| b.prefix != key[..LONG]) {
                    if let Some(bucket) = open.take() {
                        self.put_bucket(txn, &bucket)?;
                    }
                    open = Some(self.bucket(txn, &key[..LONG])?);
                }
                if let Some(bucket) = &mut open {
                    match value {
                        Some(value) => bucket.entries.insert(key.to_vec(), value.to_vec()),
                        None => bucket.entries.remove(key),
                    };
                }
            } else if let Some(value) = value {
                self.database.put(txn, key, value).map_err(failed)?;
            } else {
                self.database.delete(txn, key).map_err(failed)?;
            }
        }
        if let Some(bucket) = open {
            self.put_bucket(txn, &bucket)?;
        }
        Ok(())
    }

    fn bucket(&self, txn: &RoTxn<'_>, prefix: &[u8]) -> Result<Bucket, StateError> {
        let bytes = self
            .database
            .get(txn, prefix)
            .map_err(|e| store(e, self.map_bytes))?;
        let mut entries = BTreeMap::new();
        for (key, value) in decode_bucket(bytes.unwrap_or_default())? {
            entries.insert(key.to_vec(), value.to_vec());
        }
        Ok(Bucket {
            prefix: prefix.to_vec(),
            entries,
        })
    }

    fn put_bucket(&self, txn: &mut RwTxn<'_>, bucket: &Bucket) -> Result<(), StateError> {
        let failed = |e| store(e, self.map_bytes);
        if bucket.entries.is_empty() {
            self.database.delete(txn, &bucket.prefix).map_err(failed)?;
        } else {
            let bytes = encode_bucket(bucket)?;
            self.database
                .put(txn, &bucket.prefix, &bytes)
                .map_err(failed)?;
        }
        Ok(())
    }
}

impl Base for LmdbBase {
    fn view(&self) -> Result<Box<dyn View>, StateError> {
        let txn = self
            .env
            .clone()
            .static_read_txn()
            .map_err(|e| store(e, self.map_bytes))?;
        Ok(Box::new(LmdbView {
            txn,
            database: self.database,
            map_bytes: self.map_bytes,
        }))
    }

    fn apply(
        &self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
    ) -> Result<(), StateError> {
        let failed = |e| store(e, self.map_bytes);
        let mut txn = self.env.write_txn().map_err(failed)?;
        self.put_all(&mut txn, entries)?;
        txn.commit().map_err(failed)
    }

    fn sync(&self) -> Result<(), StateError> {
        // Each commit is synced by LMDB itself: data first, then the page that refers to it.
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.env.real_disk_size().unwrap_or(0)
    }

    fn bytes_max(&self) -> Option<u64> {
        Some(self.map_bytes)
    }
}

struct Bucket {
    prefix: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn encode_bucket(bucket: &Bucket) -> Result<Vec<u8>, StateError> {
    let mut out = Vec::new();
    let length = |n: usize| {
        u32::try_from(n).map_err(|_| StateError::Corrupt("an entry above 4 GiB".to_owned()))
    };
    for (key, value) in &bucket.entries {
        out.extend_from_slice(&length(key.len())?.to_le_bytes());
        out.extend_from_slice(&length(value.len())?.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    Ok(out)
}

fn decode_bucket(mut bytes: &[u8]) -> Result<Vec<Entry<'_>>, StateError> {
    let damaged = || StateError::Corrupt("a bucket of long keys does not add up".to_owned());
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (lengths, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let [a, b, c, d, e, f, g, h] = *lengths;
        let key_bytes = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| damaged())?;
        let value_bytes =
            usize::try_from(u32::from_le_bytes([e, f, g, h])).map_err(|_| damaged())?;
        let (key, rest) = rest.split_at_checked(key_bytes).ok_or_else(damaged)?;
        let (value, rest) = rest.split_at_checked(value_bytes).ok_or_else(damaged)?;
        out.push((key, value));
        bytes = rest;
    }
    Ok(out)
}

struct LmdbView {
    txn: RoTxn<'static, WithoutTls>,
    database: Database<Bytes, Bytes>,
    map_bytes: u64,
}

impl LmdbView {
    /// LMDB's bounds for a range of our keys. The ends of the range may lie inside a bucket.
    fn bounds<'k>(lower: &'k [u8], upper: &'k [u8]) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
        // LMDB knows no empty key, not even to start from.
        let lower = match &lower[..lower.len().min(LONG)] {
            [] => Bound::Unbounded,
            lower => Bound::Included(lower),
        };
        let upper = if upper.len() > LONG {
            Bound::Included(&upper[..LONG])
        } else {
            Bound::Excluded(upper)
        };
        (lower, upper)
    }
}

impl View for LmdbView {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        let failed = |e| store(e, self.map_bytes);
        if key.len() < LONG {
            return self.database.get(&self.txn, key).map_err(failed);
        }
        let Some(bytes) = self.database.get(&self.txn, &key[..LONG]).map_err(failed)? else {
            return Ok(None);
        };
        let entries = decode_bucket(bytes)?;
        Ok(entries
            .binary_search_by(|(k, _)| (*k).cmp(key))
            .ok()
            .map(|i| entries[i].1))
    }

    fn range<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError> {
        let iter = self
            .database
            .range(&self.txn, &Self::bounds(lower, upper))
            .map_err(|e| store(e, self.map_bytes))?;
        Ok(Box::new(Unbucketed::new(
            iter,
            lower,
            upper,
            false,
            self.map_bytes,
        )))
    }

    fn range_back<'a>(&'a self, lower: &[u8], upper: &[u8]) -> Result<Entries<'a>, StateError> {
        let iter = self
            .database
            .rev_range(&self.txn, &Self::bounds(lower, upper))
            .map_err(|e| store(e, self.map_bytes))?;
        Ok(Box::new(Unbucketed::new(
            iter,
            lower,
            upper,
            true,
            self.map_bytes,
        )))
    }
}

/// LMDB's entries with the buckets opened.
struct Unbucketed<'a, I> {
    inner: I,
    /// What is left of the current bucket; taken from the end.
    bucket: Vec<Entry<'a>>,
    /// The ends of the range, if they may lie inside a bucket.
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
    back: bool,
    map_bytes: u64,
}

impl<I> Unbucketed<'_, I> {
    fn new(inner: I, lower: &[u8], upper: &[u8], back: bool, map_bytes: u64) -> Self {
        let inside = |edge: &[u8]| (edge.len() > LONG).then(|| edge.to_vec());
        Unbucketed {
            inner,
            bucket: Vec::new(),
            lower: inside(lower),
            upper: inside(upper),
            back,
            map_bytes,
        }
    }
}

impl<'a, I> Unbucketed<'a, I> {
    fn open(&mut self, bytes: &'a [u8]) -> Result<(), StateError> {
        self.bucket = decode_bucket(bytes)?;
        if let Some(lower) = &self.lower {
            self.bucket.retain(|(key, _)| *key >= lower.as_slice());
        }
        if let Some(upper) = &self.upper {
            self.bucket.retain(|(key, _)| *key < upper.as_slice());
        }
        if !self.back {
            self.bucket.reverse();
        }
        Ok(())
    }
}

impl<'a, I: Iterator<Item = heed::Result<Entry<'a>>>> Iterator for Unbucketed<'a, I> {
    type Item = Result<Entry<'a>, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.bucket.pop() {
                return Some(Ok(entry));
            }
            match self.inner.next()? {
                Ok((key, value)) if key.len() < LONG => return Some(Ok((key, value))),
                Ok((_, bytes)) => {
                    if let Err(error) = self.open(bytes) {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(store(error, self.map_bytes))),
            }
        }
    }
}

/// Names what the operator can mend.
fn store(error: heed::Error, map_bytes: u64) -> StateError {
    match error {
        heed::Error::Mdb(MdbError::MapFull) => StateError::MapFull { map_bytes },
        heed::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => StateError::DiskFull,
        other => StateError::Store(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_keeps_its_bytes() {
        let bucket = Bucket {
            prefix: b"k".to_vec(),
            entries: BTreeMap::from([
                (b"kb".to_vec(), b"".to_vec()),
                (b"ka".to_vec(), b"1".to_vec()),
            ]),
        };
        let bytes = encode_bucket(&bucket).unwrap();
        assert_eq!(bytes, b"\x02\0\0\0\x01\0\0\0ka1\x02\0\0\0\0\0\0\0kb");
        assert_eq!(
            decode_bucket(&bytes).unwrap(),
            [(&b"ka"[..], &b"1"[..]), (b"kb", b"")]
        );
        for end in 1..bytes.len() {
            // Only whole entries can be read.
            assert_eq!(decode_bucket(&bytes[..end]).is_ok(), end == 11);
        }
    }
}

//! Side files: transactions too large for memory, written while they arrive.
//!
//! While the transaction is open the file is called `<number>.spool`; such files are removed when the log is opened. At
//! the commit it is synced and becomes `<end LSN>.side` (16 hex digits each), and the log gets a record that refers to
//! it. A side file above the log's end has no record, and is removed when the log is opened.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `RDSDSIDE` |
//! | 8..10 | format version, 1 |
//! | 10..12 | zero |
//! | 12..16 | xid |
//!
//! Blocks follow without a gap:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | n: length of the content |
//! | 4..8 | CRC-32C of the content |
//! | 8..8+n | messages: length (4), xid of the subtransaction (4), bytes |
//!
//! The checksum in the log's record is the CRC-32C of the header and then of each block's bytes 0..8, in order: it tells
//! that this is the file that was meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use readside_model::{Lsn, Xid};

use crate::ChangelogError;
use crate::disk::{Disk, DiskFile};
use crate::durable::Shared;
use crate::format::length;
use crate::frames::widen;

const MAGIC: [u8; 8] = *b"RDSDSIDE";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const BLOCK_HEADER_BYTES: usize = 8;
/// A block is written when it holds this much.
const BLOCK_BYTES: usize = 256 << 10;
/// The file is synced each time this much was written, so that the commit does not have to wait for all of it.
const SYNC_BYTES: u64 = 64 << 20;

/// What the log's record says of a side file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SideReference {
    pub(crate) end: Lsn,
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
    /// Ascending.
    pub(crate) aborted: Vec<Xid>,
}

pub(crate) fn side_name(end: Lsn) -> String {
    format!("{:016x}.side", end.0)
}

/// Whether a message must be kept even if its subtransaction aborts: the server does not repeat a relation's or a type's
/// description for the rest of the transaction.
pub(crate) fn outlives_abort(message: &[u8]) -> bool {
    matches!(message.first(), Some(b'R' | b'Y'))
}

/// A side file being written. Removed when dropped before [`SideWriter::hand_over`].
pub(crate) struct SideWriter {
    shared: Arc<Shared>,
    file: Arc<dyn DiskFile>,
    name: String,
    /// What is written so far.
    bytes: u64,
    synced_bytes: u64,
    checksum: u32,
    block: Vec<u8>,
    handed_over: bool,
}

impl SideWriter {
    pub(crate) fn create(
        shared: &Arc<Shared>,
        number: u64,
        xid: Xid,
    ) -> Result<Self, ChangelogError> {
        let name = format!("{number:016x}.spool");
        let file = shared
            .disk
            .create(&name)
            .map_err(|e| ChangelogError::io(format!("create `{name}`"), e))?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.put_slice(&MAGIC);
        header.put_u16_le(VERSION);
        header.put_u16_le(0);
        header.put_u32_le(xid.0);
        let mut writer = SideWriter {
            shared: Arc::clone(shared),
            file,
            name,
            bytes: 0,
            synced_bytes: 0,
            checksum: crc32c::crc32c(&header),
            block: Vec::new(),
            handed_over: false,
        };
        writer.write(&header)?;
        writer.begin_block();
        Ok(writer)
    }

    pub(crate) fn push(&mut self, subxid: Xid, message: &[u8]) -> Result<(), ChangelogError> {
        if self.block.len() >= BLOCK_BYTES {
            self.write_block()?;
        }
        self.block.put_u32_le(length(message.len())?);
        self.block.put_u32_le(subxid.0);
        self.block.put_slice(message);
        Ok(())
    }

    /// Makes the file durable under its final name.
    pub(crate) fn finish(
        &mut self,
        end: Lsn,
        aborted: Vec<Xid>,
    ) -> Result<SideReference, ChangelogError> {
        if self.block.len() > BLOCK_HEADER_BYTES {
            self.write_block()?;
        }
        self.sync()?;
        let name = side_name(end);
        if self.name != name {
            let disk = &self.shared.disk;
            disk.rename(&self.name, &name)
                .and_then(|()| disk.sync_dir())
                .map_err(|e| ChangelogError::io(format!("rename `{}`", self.name), e))?;
            self.name = name;
        }
        Ok(SideReference {
            end,
            bytes: self.bytes,
            checksum: self.checksum,
            aborted,
        })
    }

    /// The log refers to the file now.
    pub(crate) fn hand_over(mut self) {
        self.handed_over = true;
    }

    fn begin_block(&mut self) {
        self.block.clear();
        self.block.put_bytes(0, BLOCK_HEADER_BYTES);
    }

    fn write_block(&mut self) -> Result<(), ChangelogError> {
        let content = &self.block[BLOCK_HEADER_BYTES..];
        let n = length(content.len())?.to_le_bytes();
        let crc = crc32c::crc32c(content).to_le_bytes();
        self.block[..4].copy_from_slice(&n);
        self.block[4..BLOCK_HEADER_BYTES].copy_from_slice(&crc);
        let block = std::mem::take(&mut self.block);
        let written = self.write(&block);
        self.block = block;
        written?;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.block[..BLOCK_HEADER_BYTES]);
        self.begin_block();
        if self.bytes - self.synced_bytes >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ChangelogError> {
        self.shared.check_room(widen(bytes.len()))?;
        self.file
            .write_all_at(bytes, self.bytes)
            .map_err(|e| ChangelogError::io(format!("write `{}`", self.name), e))?;
        self.bytes += widen(bytes.len());
        self.shared.spooled(widen(bytes.len()));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), ChangelogError> {
        self.file
            .sync()
            .map_err(|e| ChangelogError::io(format!("sync `{}`", self.name), e))?;
        self.synced_bytes = self.bytes;
        Ok(())
    }
}

impl Drop for SideWriter {
    fn drop(&mut self) {
        self.shared.unspooled(self.bytes);
        if !self.handed_over {
            // If it stays it is removed when the log is opened again.
            let _ = self.shared.disk.remove(&self.name);
        }
    }
}

/// Reads a side file block by block.
#[derive(Debug)]
pub(crate) struct SideReader {
    file: Arc<dyn DiskFile>,
    name: String,
    reference: SideReference,
    offset: u64,
    checksum: u32,
    block: Bytes,
}

impl SideReader {
    pub(crate) fn open(disk: &dyn Disk, reference: &SideReference) -> Result<Self, ChangelogError> {
        let name = side_name(reference.end);
        let corrupt = |reason| ChangelogError::Corrupt {
            file: name.clone(),
            offset: 0,
            reason,
        };
        let file = disk.open(&name).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => corrupt("it is missing"),
            _ => ChangelogError::io(format!("open `{name}`"), e),
        })?;
        let mut reader = SideReader {
            file,
            name: name.clone(),
            reference: reference.clone(),
            offset: 0,
            checksum: 0,
            block: Bytes::new(),
        };
        let header = reader.read(HEADER_BYTES)?;
        let mut fields = header.clone();
        if fields.copy_to_bytes(8) != MAGIC[..] {
            return Err(corrupt("it is no side file"));
        }
        let version = fields.get_u16_le();
        if version != VERSION {
            return Err(ChangelogError::Format {
                file: name,
                found: version,
                supported: VERSION,
            });
        }
        reader.checksum = crc32c::crc32c(&header);
        Ok(reader)
    }

    /// The next message of a subtransaction that did not abort.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, ChangelogError> {
        loop {
            if self.block.is_empty() && !self.next_block()? {
                return Ok(None);
            }
            if self.block.len() < 8 {
                return Err(self.corrupt("its messages do not add up"));
            }
            let n = self.block.get_u32_le();
            let subxid = Xid(self.block.get_u32_le());
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            if n > self.block.len() {
                return Err(self.corrupt("its messages do not add up"));
            }
            let message = self.block.split_to(n);
            let aborted = self
                .reference
                .aborted
                .binary_search_by_key(&subxid.0, |xid| xid.0)
                .is_ok();
            if !aborted || outlives_abort(&message) {
                return Ok(Some(message));
            }
        }
    }

    fn next_block(&mut self) -> Result<bool, ChangelogError> {
        if self.offset == self.reference.bytes {
            if self.checksum != self.reference.checksum {
                return Err(self.corrupt("it is not the file that the log refers to"));
            }
            return Ok(false);
        }
        let mut header = self.read(BLOCK_HEADER_BYTES)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &header);
        let n = header.get_u32_le();
        let crc = header.get_u32_le();
        if u64::from(n) > self.reference.bytes - self.offset {
            return Err(self.corrupt("a block's length is wrong"));
        }
        let content = self.read(usize::try_from(n).unwrap_or(usize::MAX))?;
        if crc32c::crc32c(&content) != crc {
            return Err(self.corrupt("a block's checksum is wrong"));
        }
        self.block = content;
        Ok(true)
    }

    fn read(&mut self, bytes: usize) -> Result<Bytes, ChangelogError> {
        let mut buffer = BytesMut::zeroed(bytes);
        let mut filled = 0;
        while filled < bytes {
            match self
                .file
                .read_at(&mut buffer[filled..], self.offset + widen(filled))
            {
                Ok(0) => return Err(self.corrupt("it is cut short")),
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ChangelogError::io(format!("read `{}`", self.name), e)),
            }
        }
        self.offset += widen(bytes);
        Ok(buffer.freeze())
    }

    fn corrupt(&self, reason: &'static str) -> ChangelogError {
        ChangelogError::Corrupt {
            file: self.name.clone(),
            offset: self.offset,
            reason,
        }
    }
}

/// How many messages of each subtransaction an abort would take away.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kept: u64,
    by_subxid: BTreeMap<u32, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, subxid: Xid, message: &[u8]) {
        if outlives_abort(message) {
            self.kept += 1;
        } else {
            *self.by_subxid.entry(subxid.0).or_default() += 1;
        }
    }

    pub(crate) fn abort(&mut self, subxid: Xid) {
        self.by_subxid.remove(&subxid.0);
    }

    pub(crate) fn total(&self) -> u64 {
        self.kept + self.by_subxid.values().sum::<u64>()
    }
}

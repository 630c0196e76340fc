//! Records of one segment, one after the other.
//!
//! In: a file and the part of it that may be read. Out: each record's kind and body, as a slice of a large buffer.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::ChangelogError;
use crate::disk::DiskFile;
use crate::format::{FRAME_BYTES, checksum};

/// How much is read at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// A record as it stands in a segment.
pub(crate) struct RawRecord {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

/// Why there is no next record.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The bytes there are no record.
    Bad(&'static str),
    Io(std::io::Error),
}

impl FrameError {
    pub(crate) fn at(self, file: &str, offset: u64) -> ChangelogError {
        match self {
            FrameError::Bad(reason) => ChangelogError::Corrupt {
                file: file.to_owned(),
                offset,
                reason,
            },
            FrameError::Io(e) => ChangelogError::io(format!("read `{file}`"), e),
        }
    }
}

/// A place in a segment.
pub(crate) struct Frames {
    file: Arc<dyn DiskFile>,
    /// Where the next record starts.
    offset: u64,
    /// What has been read from there on.
    chunk: Bytes,
}

impl Frames {
    pub(crate) fn new(file: Arc<dyn DiskFile>, offset: u64) -> Self {
        Frames {
            file,
            offset,
            chunk: Bytes::new(),
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn file_bytes(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    /// The record here, if it lies below `limit`; moves past it.
    pub(crate) fn next(&mut self, limit: u64) -> Result<Option<RawRecord>, FrameError> {
        if self.offset >= limit {
            return Ok(None);
        }
        let frame = FRAME_BYTES;
        self.fill(frame, limit)?;
        let Some((header, _)) = self.chunk.split_first_chunk::<FRAME_BYTES>() else {
            return Err(FrameError::Bad("a record is cut short"));
        };
        let [a, b, c, d, e, f, g, h] = *header;
        let length = [a, b, c, d];
        let crc = u32::from_le_bytes([e, f, g, h]);
        let n = usize::try_from(u32::from_le_bytes(length))
            .map_err(|_| FrameError::Bad("a record's length is wrong"))?;
        if n == 0 {
            return Err(FrameError::Bad("an empty record"));
        }
        self.fill(frame + n, limit)?;
        if self.chunk.len() < frame + n {
            return Err(FrameError::Bad("a record is cut short"));
        }
        if checksum(length, &self.chunk[frame..frame + n]) != crc {
            return Err(FrameError::Bad("a record's checksum is wrong"));
        }
        let record = self.chunk.split_to(frame + n);
        self.offset += widen(frame + n);
        Ok(Some(RawRecord {
            kind: record[frame],
            body: record.slice(frame + 1..),
        }))
    }

    /// Has at least `need` bytes in the chunk, if there are as many below `limit`.
    fn fill(&mut self, need: usize, limit: u64) -> Result<(), FrameError> {
        if self.chunk.len() >= need {
            return Ok(());
        }
        let want = (limit - self.offset).min(CHUNK_BYTES.max(widen(need)));
        let Ok(want) = usize::try_from(want) else {
            return Err(FrameError::Bad("a record's length is wrong"));
        };
        if want < need {
            // The caller sees that it is short; a huge allocation for a garbled length is not worth it.
            if self.chunk.len() >= FRAME_BYTES {
                return Ok(());
            }
        }
        let mut buffer = BytesMut::zeroed(want);
        buffer[..self.chunk.len()].copy_from_slice(&self.chunk);
        let mut filled = self.chunk.len();
        while filled < want {
            match self
                .file
                .read_at(&mut buffer[filled..], self.offset + widen(filled))
            {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FrameError::Io(e)),
            }
        }
        buffer.truncate(filled);
        self.chunk = buffer.freeze();
        Ok(())
    }
}

/// A length in memory as a length on disk.
pub(crate) fn widen(bytes: usize) -> u64 {
    // No platform has a usize of more than 64 bits.
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

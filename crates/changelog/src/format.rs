//! The bytes of a segment. All numbers are little endian.
//!
//! A segment is a file named by the sequence number of its first record, 16 hex digits and `.log`. (Until its
//! header is durable it ends in `.new`; such files are removed when the log is opened.) It starts with a header:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `RDSDLOG` and a zero |
//! | 8..10 | format version, 1 |
//! | 10..12 | flags: bit 0, the log starts here, whatever other segments say |
//! | 12..16 | length of the header, H |
//! | 16..24 | sequence number of the first record |
//! | 24..32 | base: the LSN at which the segment before ends |
//! | 32..40 | sequence number of the first record of the segment before |
//! | 40..48 | length of the segment before |
//! | 48..H-4 | the source's identity, JSON |
//! | H-4..H | CRC-32C of everything before |
//!
//! Records follow without a gap:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | n: length of kind and body |
//! | 4..8 | CRC-32C of bytes 0..4 and 8..8+n |
//! | 8 | kind |
//! | 9..8+n | body |
//!
//! | kind | body |
//! | --- | --- |
//! | 1, transaction | head; then each message: its length (4), its bytes |
//! | 2, keepalive | LSN (8), server's time (8) |
//! | 3, large transaction | head; length of the side file (8), its checksum (4), number of aborted subtransactions (4), their xids (4 each, ascending) |
//! | 4, control | the log's end when it was written (8), JSON |
//!
//! | bytes of a head | what |
//! | --- | --- |
//! | 0..8 | commit LSN |
//! | 8..16 | end LSN |
//! | 16..24 | commit time, µs since 2000 |
//! | 24..28 | xid |
//! | 28 | flags: bit 0, messages carry an xid, as they do in a streamed transaction |
//! | 29..37 | number of messages |

use bytes::{Buf, BufMut, Bytes};
use readside_model::{Lsn, SourceIdentity, Timestamp, Xid};

use crate::ChangelogError;
use crate::transaction::TransactionHead;

/// The version of the segments that are written.
pub(crate) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"RDSDLOG\0";
const HEADER_FIXED_BYTES: usize = 48;
/// No identity is longer.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Length and checksum.
pub(crate) const FRAME_BYTES: usize = 8;
pub(crate) const HEAD_BYTES: usize = 37;

pub(crate) const KIND_TRANSACTION: u8 = 1;
pub(crate) const KIND_KEEPALIVE: u8 = 2;
pub(crate) const KIND_REFERENCE: u8 = 3;
pub(crate) const KIND_CONTROL: u8 = 4;

const STREAMED: u8 = 1;
const RESTART: u16 = 1;

/// A segment's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The log starts here.
    pub(crate) restart: bool,
    pub(crate) first_sequence: u64,
    pub(crate) base: Lsn,
    pub(crate) previous_first_sequence: u64,
    pub(crate) previous_bytes: u64,
    pub(crate) identity: SourceIdentity,
}

/// Why a header can't be used.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// Not whole.
    Damaged(&'static str),
    Version(u16),
}

/// What a segment's name ends in until its header is durable.
pub(crate) const UNFINISHED: &str = ".new";

/// The name of a segment's file.
pub(crate) fn segment_name(first_sequence: u64) -> String {
    format!("{first_sequence:016x}.log")
}

/// The number in a file's name, if it has this form.
pub(crate) fn number_in_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ChangelogError> {
        let identity = serde_json::to_vec(&self.identity)
            .map_err(|e| ChangelogError::io("write the source's identity", e.into()))?;
        let bytes = HEADER_FIXED_BYTES + identity.len() + 4;
        let mut out = Vec::with_capacity(bytes);
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(if self.restart { RESTART } else { 0 });
        out.put_u32_le(length(bytes)?);
        out.put_u64_le(self.first_sequence);
        out.put_u64_le(self.base.0);
        out.put_u64_le(self.previous_first_sequence);
        out.put_u64_le(self.previous_bytes);
        out.put_slice(&identity);
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        Ok(out)
    }

    /// Reads a header from the start of a segment; returns its length too.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, u64), HeaderError> {
        let short = || HeaderError::Damaged("the header is cut short");
        if bytes.len() < HEADER_FIXED_BYTES {
            return Err(short());
        }
        let mut rest = bytes;
        if rest.copy_to_bytes(8) != MAGIC[..] {
            return Err(HeaderError::Damaged("it is no changelog segment"));
        }
        let version = rest.get_u16_le();
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let restart = rest.get_u16_le() & RESTART != 0;
        let total = rest.get_u32_le();
        let first_sequence = rest.get_u64_le();
        let base = Lsn(rest.get_u64_le());
        let previous_first_sequence = rest.get_u64_le();
        let previous_bytes = rest.get_u64_le();
        let total_bytes = usize::try_from(total).map_err(|_| short())?;
        if total_bytes < HEADER_FIXED_BYTES + 4 {
            return Err(HeaderError::Damaged("the header's length is wrong"));
        }
        let (content, crc) = bytes
            .get(..total_bytes)
            .and_then(|b| b.split_last_chunk::<4>())
            .ok_or_else(short)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(HeaderError::Damaged("the header's checksum is wrong"));
        }
        let identity = serde_json::from_slice(&content[HEADER_FIXED_BYTES..])
            .map_err(|_| HeaderError::Damaged("the source's identity is unreadable"))?;
        Ok((
            SegmentHeader {
                restart,
                first_sequence,
                base,
                previous_first_sequence,
                previous_bytes,
                identity,
            },
            u64::from(total),
        ))
    }

    /// How much of a file to read so that a header is in it.
    pub(crate) const fn bytes_max() -> usize {
        HEADER_BYTES_MAX
    }
}

/// A 32-bit length.
pub(crate) fn length(bytes: usize) -> Result<u32, ChangelogError> {
    u32::try_from(bytes).map_err(|_| ChangelogError::TooLarge { bytes })
}

/// A record being written at the end of a buffer. Dropped unfinished, it leaves the buffer as it was.
pub(crate) struct Frame<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'a> Frame<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>, kind: u8) -> Self {
        let start = out.len();
        out.put_bytes(0, FRAME_BYTES);
        out.put_u8(kind);
        Frame {
            out,
            start,
            finished: false,
        }
    }

    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    pub(crate) fn message(&mut self, message: &[u8]) -> Result<(), ChangelogError> {
        self.out.put_u32_le(length(message.len())?);
        self.out.put_slice(message);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), ChangelogError> {
        let body = self.start + FRAME_BYTES;
        let n = length(self.out.len() - body)?.to_le_bytes();
        let crc = checksum(n, &self.out[body..]).to_le_bytes();
        self.out[self.start..self.start + 4].copy_from_slice(&n);
        self.out[self.start + 4..body].copy_from_slice(&crc);
        self.finished = true;
        Ok(())
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// The checksum of a record.
pub(crate) fn checksum(length: [u8; 4], kind_and_body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), kind_and_body)
}

pub(crate) fn put_head(out: &mut Vec<u8>, head: &TransactionHead) {
    out.put_u64_le(head.commit.0);
    out.put_u64_le(head.end.0);
    out.put_i64_le(head.committed_at.0);
    out.put_u32_le(head.xid.0);
    out.put_u8(if head.streamed { STREAMED } else { 0 });
    out.put_u64_le(head.messages);
}

/// Takes a head off a record's body.
pub(crate) fn take_head(body: &mut Bytes) -> Option<TransactionHead> {
    if body.len() < HEAD_BYTES {
        return None;
    }
    let commit = Lsn(body.get_u64_le());
    let end = Lsn(body.get_u64_le());
    let committed_at = Timestamp(body.get_i64_le());
    let xid = Xid(body.get_u32_le());
    let streamed = body.get_u8() & STREAMED != 0;
    let messages = body.get_u64_le();
    Some(TransactionHead {
        commit,
        end,
        committed_at,
        xid,
        streamed,
        messages,
    })
}

/// Where a record ends in the source's history. `Err` if the body is too short for its kind.
pub(crate) fn end_of(kind: u8, body: &[u8]) -> Result<Lsn, &'static str> {
    let at = |from: usize| {
        body.get(from..from + 8)
            .and_then(|b| <[u8; 8]>::try_from(b).ok())
            .map(|b| Lsn(u64::from_le_bytes(b)))
            .ok_or("a record is too short for its kind")
    };
    match kind {
        KIND_TRANSACTION | KIND_REFERENCE => at(8),
        KIND_KEEPALIVE | KIND_CONTROL => at(0),
        _ => Err("a record of an unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> SourceIdentity {
        SourceIdentity {
            system_id: "7".to_owned(),
            database_oid: 5,
            database: "d".to_owned(),
            slot: "s".to_owned(),
            timeline: 1,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut out, b| {
            write!(out, "{b:02x}").unwrap();
            out
        })
    }

    #[test]
    fn a_segment_header_keeps_its_bytes() {
        let header = SegmentHeader {
            restart: true,
            first_sequence: 9,
            base: Lsn(0x16_0000_00A0),
            previous_first_sequence: 4,
            previous_bytes: 500,
            identity: identity(),
        };
        let bytes = header.encode().unwrap();
        assert_eq!(
            hex(&bytes[..48]),
            concat!(
                "524453444c4f4700",
                "0100",
                "0100",
                "7d000000",
                "0900000000000000",
                "a000000016000000",
                "0400000000000000",
                "f401000000000000",
            )
        );
        assert_eq!(
            &bytes[48..bytes.len() - 4],
            br#"{"system_id":"7","database_oid":5,"database":"d","slot":"s","timeline":1}"#
        );
        assert_eq!(hex(&bytes[bytes.len() - 4..]), "532ad40e");
        let (back, read) = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!((back, read), (header, u64::try_from(bytes.len()).unwrap()));
        for i in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..i]).is_err());
            let mut flipped = bytes.clone();
            flipped[i] ^= 1;
            assert!(SegmentHeader::decode(&flipped).is_err(), "byte {i}");
        }
    }

    #[test]
    fn records_keep_their_bytes() {
        let head = TransactionHead {
            commit: Lsn(0x100),
            end: Lsn(0x130),
            committed_at: Timestamp(-2),
            xid: Xid(77),
            streamed: true,
            messages: 2,
        };
        let mut out = Vec::new();
        let mut frame = Frame::begin(&mut out, KIND_TRANSACTION);
        put_head(frame.out(), &head);
        frame.message(b"Rx").unwrap();
        frame.message(b"").unwrap();
        frame.finish().unwrap();
        assert_eq!(
            hex(&out),
            concat!(
                "30000000",
                "193bfa09",
                "01",
                "0001000000000000",
                "3001000000000000",
                "feffffffffffffff",
                "4d000000",
                "01",
                "0200000000000000",
                "02000000",
                "5278",
                "00000000",
            )
        );
        let mut body = Bytes::copy_from_slice(&out[9..]);
        assert_eq!(end_of(KIND_TRANSACTION, &body), Ok(Lsn(0x130)));
        assert_eq!(take_head(&mut body), Some(head));

        // A frame that is not finished leaves nothing.
        let before = out.clone();
        drop(Frame::begin(&mut out, KIND_CONTROL));
        assert_eq!(out, before);
        assert!(end_of(9, &[0; 100]).is_err());
        assert!(end_of(KIND_KEEPALIVE, &[0; 7]).is_err());
    }
}

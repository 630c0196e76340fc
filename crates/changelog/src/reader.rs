//! Reading the durable part of the log in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use readside_model::{Lsn, Timestamp, Xid};

use crate::ChangelogError;
use crate::durable::{Segment, Shared};
use crate::format::{
    KIND_CONTROL, KIND_KEEPALIVE, KIND_REFERENCE, KIND_TRANSACTION, end_of, segment_name, take_head,
};
use crate::frames::{Frames, RawRecord};
use crate::side::SideReference;
use crate::transaction::{Transaction, TransactionBody};

/// What a reader gets.
#[derive(Debug, Clone)]
pub enum Record {
    /// A committed transaction.
    Transaction(Transaction),
    /// Nothing was committed up to here.
    Keepalive {
        /// Where the source was.
        lsn: Lsn,
        /// The source's clock.
        sent_at: Timestamp,
    },
    /// What readside itself wrote at this place. A reader that starts just here gets it too, so it may come twice.
    Control {
        /// The end of the log when it was written.
        at: Lsn,
        /// What was written.
        json: Bytes,
    },
}

impl Record {
    /// Where it ends in the source's history.
    #[must_use]
    pub fn end(&self) -> Lsn {
        match self {
            Record::Transaction(transaction) => transaction.head.end,
            Record::Keepalive { lsn, .. } => *lsn,
            Record::Control { at, .. } => *at,
        }
    }
}

/// A reader of the log. It sees only what is durable, and keeps what it has not passed from being trimmed.
pub struct Reader {
    shared: Arc<Shared>,
    holder: u64,
    segment: u64,
    frames: Frames,
    /// How much of the segment may be read, as far as known.
    limit: u64,
    /// Records up to here are passed over.
    after: Lsn,
    /// The end of the last record returned.
    end: Lsn,
    file_name: String,
}

impl Reader {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        name: &str,
        after: Lsn,
    ) -> Result<Self, ChangelogError> {
        let (holder, segment) = shared.hold(name, after)?;
        let (file_name, frames) = match open_segment(shared, &segment) {
            Ok(opened) => opened,
            Err(error) => {
                shared.release(holder);
                return Err(error);
            }
        };
        Ok(Reader {
            shared: Arc::clone(shared),
            holder,
            segment: segment.first_sequence,
            frames,
            limit: segment.bytes,
            after,
            end: after,
            file_name,
        })
    }

    /// The end of the last record returned, or where the reader started.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// The next record, or `None` at the durable end. Asking for it lets go of the one before.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would not go on after `None`"
    )]
    pub fn next(&mut self) -> Result<Option<Record>, ChangelogError> {
        self.shared.move_hold(self.holder, self.end);
        loop {
            let offset = self.frames.offset();
            let raw = self
                .frames
                .next(self.limit)
                .map_err(|e| e.at(&self.file_name, offset))?;
            let Some(raw) = raw else {
                if self.advance()? {
                    continue;
                }
                return Ok(None);
            };
            let corrupt = |reason| ChangelogError::Corrupt {
                file: self.file_name.clone(),
                offset,
                reason,
            };
            let end = end_of(raw.kind, &raw.body).map_err(corrupt)?;
            if end < self.after || (end == self.after && raw.kind != KIND_CONTROL) {
                continue;
            }
            self.end = end;
            let record = self.record(raw).ok_or_else(|| ChangelogError::Corrupt {
                file: self.file_name.clone(),
                offset,
                reason: "a record's body is wrong",
            })?;
            return Ok(Some(record));
        }
    }

    /// Waits until there is a next record, or the time is over; says which.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.shared
            .wait_more(self.segment, self.frames.offset(), timeout)
    }
}

impl Reader {
    /// Learns how much more there is to read, in this segment or the next.
    fn advance(&mut self) -> Result<bool, ChangelogError> {
        let limit = self.shared.limit(self.segment);
        let bytes = match limit.bytes {
            Some(bytes) => bytes,
            // Trimmed away while we stand at its end: what is there is all there ever was.
            None => self
                .frames
                .file_bytes()
                .map_err(|e| ChangelogError::io(format!("read `{}`", self.file_name), e))?,
        };
        if bytes > self.frames.offset() {
            self.limit = bytes;
            return Ok(true);
        }
        let Some(next) = limit.next else {
            return Ok(false);
        };
        let (file_name, frames) = open_segment(&self.shared, &next)?;
        self.file_name = file_name;
        self.frames = frames;
        self.segment = next.first_sequence;
        self.limit = next.bytes;
        Ok(true)
    }

    fn record(&self, raw: RawRecord) -> Option<Record> {
        let mut body = raw.body;
        match raw.kind {
            KIND_TRANSACTION => Some(Record::Transaction(Transaction {
                head: take_head(&mut body)?,
                body: TransactionBody::Inline(body),
            })),
            KIND_REFERENCE => {
                let head = take_head(&mut body)?;
                if body.len() < 16 {
                    return None;
                }
                let bytes = body.get_u64_le();
                let checksum = body.get_u32_le();
                let aborted_count = usize::try_from(body.get_u32_le()).ok()?;
                if Some(body.len()) != aborted_count.checked_mul(4) {
                    return None;
                }
                let aborted = (0..aborted_count).map(|_| Xid(body.get_u32_le())).collect();
                let reference = SideReference {
                    end: head.end,
                    bytes,
                    checksum,
                    aborted,
                };
                Some(Record::Transaction(Transaction {
                    head,
                    body: TransactionBody::Side(Arc::new(reference), Arc::clone(&self.shared.disk)),
                }))
            }
            KIND_KEEPALIVE if body.len() == 16 => Some(Record::Keepalive {
                lsn: Lsn(body.get_u64_le()),
                sent_at: Timestamp(body.get_i64_le()),
            }),
            KIND_CONTROL => Some(Record::Control {
                at: Lsn(body.get_u64_le()),
                json: body,
            }),
            _ => None,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.release(self.holder);
    }
}

fn open_segment(shared: &Shared, segment: &Segment) -> Result<(String, Frames), ChangelogError> {
    let name = segment_name(segment.first_sequence);
    let file = shared
        .disk
        .open(&name)
        .map_err(|e| ChangelogError::io(format!("open `{name}`"), e))?;
    Ok((name, Frames::new(file, segment.header_bytes)))
}

//! A committed transaction as a reader gets it.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use readside_model::{Lsn, Timestamp, Xid};

use crate::ChangelogError;
use crate::disk::Disk;
use crate::side::{SideReader, SideReference};

/// What is known of a transaction beside its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionHead {
    /// Where its commit record starts.
    pub commit: Lsn,
    /// Where its commit record ends.
    pub end: Lsn,
    /// When it committed, by the source's clock.
    pub committed_at: Timestamp,
    /// Its (top-level) xid.
    pub xid: Xid,
    /// Whether its messages carry an xid each, as they do in a streamed transaction.
    pub streamed: bool,
    /// How many messages there are.
    pub messages: u64,
}

/// A committed transaction. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Position, time, xid.
    pub head: TransactionHead,
    pub(crate) body: TransactionBody,
}

#[derive(Debug, Clone)]
pub(crate) enum TransactionBody {
    /// In the log; the file and offset are for messages.
    Inline(Bytes),
    /// In a file of its own.
    Side(Arc<SideReference>, Arc<dyn Disk>),
}

impl Transaction {
    /// The messages as the server sent them, in order, without those of aborted subtransactions. Each is a slice of a
    /// larger buffer. Can be called again to start over.
    pub fn messages(&self) -> Result<Messages, ChangelogError> {
        Ok(Messages(match &self.body {
            TransactionBody::Inline(bytes) => Source::Inline {
                rest: bytes.clone(),
                commit: self.head.commit,
            },
            TransactionBody::Side(reference, disk) => {
                Source::Side(Box::new(SideReader::open(disk.as_ref(), reference)?))
            }
        }))
    }

    /// Bytes of all messages, framing included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.body {
            TransactionBody::Inline(bytes) => crate::frames::widen(bytes.len()),
            TransactionBody::Side(reference, _) => reference.bytes,
        }
    }

    /// Whether the messages are read from a file as they are asked for.
    #[must_use]
    pub fn is_large(&self) -> bool {
        matches!(self.body, TransactionBody::Side(..))
    }
}

/// The messages of a transaction, in order.
#[derive(Debug)]
pub struct Messages(Source);

#[derive(Debug)]
enum Source {
    Inline { rest: Bytes, commit: Lsn },
    Side(Box<SideReader>),
}

impl Iterator for Messages {
    type Item = Result<Bytes, ChangelogError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Inline { rest, commit } => {
                if rest.is_empty() {
                    return None;
                }
                let message = take_message(rest);
                if message.is_none() {
                    rest.clear();
                }
                Some(message.ok_or_else(|| ChangelogError::Corrupt {
                    file: format!("transaction {commit}"),
                    offset: 0,
                    reason: "its messages do not add up",
                }))
            }
            Source::Side(reader) => reader.next().transpose(),
        }
    }
}

/// Takes a message and its length off the front.
fn take_message(rest: &mut Bytes) -> Option<Bytes> {
    if rest.len() < 4 {
        return None;
    }
    let length = usize::try_from(rest.get_u32_le()).ok()?;
    (rest.len() >= length).then(|| rest.split_to(length))
}

//! A transaction on its way in: in memory while small, in a side file when large.
//!
//! In: messages in order of arrival, each with its subtransaction; subtransactions that abort. Out: handed to
//! [`Changelog::append`](crate::Changelog::append) at the commit. Dropped before that, it leaves nothing behind.

use std::sync::Arc;

use bytes::Bytes;
use readside_model::Xid;

use crate::ChangelogError;
use crate::durable::Shared;
use crate::side::{Counts, SideWriter, outlives_abort};

/// What one message in memory costs beside its bytes.
const MESSAGE_BYTES: usize = 48;

/// A transaction that has not committed yet.
pub struct Spool {
    shared: Arc<Shared>,
    /// The name of the side file, should there be one.
    number: u64,
    xid: Xid,
    streamed: bool,
    memory_bytes_max: usize,
    pub(crate) memory: Vec<(Xid, Bytes)>,
    memory_bytes: usize,
    pub(crate) side: Option<SideWriter>,
    /// Subtransactions that aborted after part of them went to the side file.
    pub(crate) aborted: Vec<Xid>,
    counts: Counts,
}

impl Spool {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        number: u64,
        xid: Xid,
        streamed: bool,
        memory_bytes_max: usize,
    ) -> Self {
        Spool {
            shared: Arc::clone(shared),
            number,
            xid,
            streamed,
            memory_bytes_max,
            memory: Vec::new(),
            memory_bytes: 0,
            side: None,
            aborted: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The (top-level) transaction.
    #[must_use]
    pub fn xid(&self) -> Xid {
        self.xid
    }

    /// Whether the messages carry an xid each.
    #[must_use]
    pub fn streamed(&self) -> bool {
        self.streamed
    }

    /// Memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// How many messages a reader will get.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.counts.total()
    }

    /// Adds a message; `subxid` is the transaction itself unless the message is of a subtransaction.
    pub fn push(&mut self, subxid: Xid, message: Bytes) -> Result<(), ChangelogError> {
        self.counts.add(subxid, &message);
        if let Some(side) = &mut self.side {
            return side.push(subxid, &message);
        }
        self.memory_bytes += message.len() + MESSAGE_BYTES;
        self.memory.push((subxid, message));
        if self.memory_bytes > self.memory_bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    /// Takes back what a subtransaction did. Descriptions of relations and types stay: the server does not repeat them
    /// within a transaction.
    pub fn abort(&mut self, subxid: Xid) {
        self.counts.abort(subxid);
        if self.side.is_some() {
            if let Err(at) = self.aborted.binary_search_by_key(&subxid.0, |xid| xid.0) {
                self.aborted.insert(at, subxid);
            }
        } else {
            let bytes = &mut self.memory_bytes;
            self.memory.retain(|(of, message)| {
                let kept = *of != subxid || outlives_abort(message);
                if !kept {
                    *bytes = bytes.saturating_sub(message.len() + MESSAGE_BYTES);
                }
                kept
            });
        }
    }

    /// Moves what is in memory to the side file, where the rest will follow.
    pub fn spill(&mut self) -> Result<(), ChangelogError> {
        if self.side.is_none() {
            let mut side = SideWriter::create(&self.shared, self.number, self.xid)?;
            for (subxid, message) in &self.memory {
                side.push(*subxid, message)?;
            }
            self.side = Some(side);
            self.memory = Vec::new();
            self.memory_bytes = 0;
        }
        Ok(())
    }
}

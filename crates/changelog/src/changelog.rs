//! The writer: one per log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use readside_model::{Lsn, SourceIdentity, Timestamp, Xid};

use crate::ChangelogError;
use crate::disk::{Disk, DiskFile};
use crate::durable::{Durable, Segment, Shared};
use crate::format::{
    Frame, KIND_CONTROL, KIND_KEEPALIVE, KIND_REFERENCE, KIND_TRANSACTION, SegmentHeader,
    UNFINISHED, length, put_head, segment_name,
};
use crate::frames::widen;
use crate::recovery::{Tail, recover};
use crate::side::side_name;
use crate::spool::Spool;
use crate::transaction::TransactionHead;

/// How the log behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// A new segment is begun when one holds this much.
    pub segment_bytes: u64,
    /// The log does not grow past this, side files included.
    pub bytes_max: u64,
    /// A transaction larger than this goes to a side file.
    pub spool_memory_bytes: usize,
    /// Appended records are written (not synced) when they come to this much.
    pub buffer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes: 64 << 20,
            bytes_max: 64 << 30,
            spool_memory_bytes: 8 << 20,
            buffer_bytes: 1 << 20,
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, and durable after the next [`Changelog::sync`].
    New,
    /// It was there already: the source sent it again.
    Duplicate,
}

/// The log's single writer.
pub struct Changelog {
    shared: Arc<Shared>,
    options: Options,
    identity: SourceIdentity,
    tail: Segment,
    file: Arc<dyn DiskFile>,
    /// How much of the tail has been handed to the file system.
    written_bytes: u64,
    /// What has been appended and not written yet.
    buffer: Vec<u8>,
    next_sequence: u64,
    end: Lsn,
    transaction_end: Lsn,
    next_spool: u64,
    cut_bytes: u64,
    poisoned: bool,
}

impl Changelog {
    /// Opens the log, or begins one. `relied_on` is the highest position that was confirmed to the source or that
    /// durable state has reached, as far as known: above it the end may be torn, below it damage is an error. The
    /// source's own word on what was confirmed is checked later with [`Changelog::check_confirmed`].
    pub fn open(
        disk: Arc<dyn Disk>,
        identity: &SourceIdentity,
        relied_on: Lsn,
        options: Options,
    ) -> Result<Self, ChangelogError> {
        let recovered = recover(disk.as_ref(), relied_on)?;
        let Some(last) = recovered.segments.back().cloned() else {
            return Self::begin(disk, identity, options);
        };
        let Some(tail) = recovered.tail else {
            return Self::begin(disk, identity, options);
        };
        check_identity(&tail.identity, identity)?;
        let shared = Shared::new(
            disk,
            options.bytes_max,
            recovered.segments,
            recovered.sides,
            tail.end,
        );
        Ok(Self::resume(shared, options, last, tail))
    }

    fn resume(shared: Arc<Shared>, options: Options, last: Segment, tail: Tail) -> Self {
        Changelog {
            shared,
            options,
            identity: tail.identity,
            written_bytes: last.bytes,
            tail: last,
            file: tail.file,
            buffer: Vec::new(),
            next_sequence: tail.next_sequence,
            end: tail.end,
            transaction_end: tail.transaction_end,
            next_spool: 0,
            cut_bytes: tail.cut_bytes,
            poisoned: false,
        }
    }

    fn begin(
        disk: Arc<dyn Disk>,
        identity: &SourceIdentity,
        options: Options,
    ) -> Result<Self, ChangelogError> {
        let header = SegmentHeader {
            restart: true,
            first_sequence: 0,
            base: Lsn::ZERO,
            previous_first_sequence: 0,
            previous_bytes: 0,
            identity: identity.clone(),
        };
        let (segment, file) = create_segment(disk.as_ref(), &header)?;
        let shared = Shared::new(
            disk,
            options.bytes_max,
            VecDeque::from([segment.clone()]),
            BTreeMap::new(),
            Lsn::ZERO,
        );
        let tail = Tail {
            file,
            identity: identity.clone(),
            next_sequence: 0,
            end: Lsn::ZERO,
            transaction_end: Lsn::ZERO,
            cut_bytes: 0,
        };
        Ok(Self::resume(shared, options, segment, tail))
    }

    /// Refuses to go on if the source was told of more than the log has: the source won't send it again.
    pub fn check_confirmed(&self, confirmed: Lsn) -> Result<(), ChangelogError> {
        let durable_end = self.shared.end();
        if confirmed > durable_end {
            return Err(ChangelogError::Behind {
                durable_end,
                confirmed,
            });
        }
        Ok(())
    }

    /// The durable part, to be watched and read from other threads.
    #[must_use]
    pub fn durable(&self) -> Durable {
        Durable {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The end of what was appended, durable or not.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// Whether the transaction that committed at `commit` is in the log, so that its messages need not be kept.
    #[must_use]
    pub fn has(&self, commit: Lsn) -> bool {
        commit < self.end
    }

    /// Whose log it is; the timeline is that of its end.
    #[must_use]
    pub fn identity(&self) -> &SourceIdentity {
        &self.identity
    }

    /// How much was cut off when the log was opened, because a crash had left it unfinished.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Begins to take in a transaction. `streamed` says whether its messages carry an xid each.
    pub fn spool(&mut self, xid: Xid, streamed: bool) -> Spool {
        let number = self.next_spool;
        self.next_spool += 1;
        Spool::new(
            &self.shared,
            number,
            xid,
            streamed,
            self.options.spool_memory_bytes,
        )
    }

    /// Appends a committed transaction. After a lack of room the same call may be made again.
    pub fn append(
        &mut self,
        spool: &mut Spool,
        commit: Lsn,
        end: Lsn,
        committed_at: Timestamp,
    ) -> Result<Appended, ChangelogError> {
        let head = TransactionHead {
            commit,
            end,
            committed_at,
            xid: spool.xid(),
            streamed: spool.streamed(),
            messages: spool.messages(),
        };
        if spool.side.is_none() {
            let messages = std::mem::take(&mut spool.memory);
            let appended = self.append_messages(&head, messages.iter().map(|(_, m)| m));
            if appended.is_err() {
                spool.memory = messages;
            }
            return appended;
        }
        if !self.accepts(&head)? {
            return Ok(Appended::Duplicate);
        }
        self.make_room(0)?;
        let aborted = spool.aborted.clone();
        let Some(side) = &mut spool.side else {
            return Ok(Appended::Duplicate);
        };
        let reference = side.finish(end, aborted)?;
        let mut frame = Frame::begin(&mut self.buffer, KIND_REFERENCE);
        put_head(frame.out(), &head);
        frame.out().put_u64_le(reference.bytes);
        frame.out().put_u32_le(reference.checksum);
        frame.out().put_u32_le(length(reference.aborted.len())?);
        for xid in &reference.aborted {
            frame.out().put_u32_le(xid.0);
        }
        frame.finish()?;
        if let Some(side) = spool.side.take() {
            side.hand_over();
        }
        self.shared.add_side(end, reference.bytes);
        self.appended(end, end);
        self.write_if_large()?;
        Ok(Appended::New)
    }

    /// Appends a committed transaction whose messages are at hand.
    pub fn append_messages<'m>(
        &mut self,
        head: &TransactionHead,
        messages: impl Iterator<Item = &'m Bytes>,
    ) -> Result<Appended, ChangelogError> {
        if !self.accepts(head)? {
            return Ok(Appended::Duplicate);
        }
        self.make_room(0)?;
        let mut frame = Frame::begin(&mut self.buffer, KIND_TRANSACTION);
        put_head(frame.out(), head);
        for message in messages {
            frame.message(message)?;
        }
        frame.finish()?;
        self.appended(head.end, head.end);
        self.write_if_large()?;
        Ok(Appended::New)
    }

    /// Records that nothing was committed up to `lsn`. To be called outside of a transaction only, with a position that
    /// the source sent.
    pub fn append_keepalive(
        &mut self,
        lsn: Lsn,
        sent_at: Timestamp,
    ) -> Result<Appended, ChangelogError> {
        self.check_poisoned()?;
        if lsn <= self.end {
            return Ok(Appended::Duplicate);
        }
        self.make_room(0)?;
        let mut frame = Frame::begin(&mut self.buffer, KIND_KEEPALIVE);
        frame.out().put_u64_le(lsn.0);
        frame.out().put_i64_le(sent_at.0);
        frame.finish()?;
        self.appended(lsn, self.transaction_end);
        self.write_if_large()?;
        Ok(Appended::New)
    }

    /// Records something of readside's own at this place in the history.
    pub fn append_control(&mut self, json: &[u8]) -> Result<(), ChangelogError> {
        self.check_poisoned()?;
        self.make_room(json.len())?;
        let mut frame = Frame::begin(&mut self.buffer, KIND_CONTROL);
        frame.out().put_u64_le(self.end.0);
        frame.out().put_slice(json);
        frame.finish()?;
        self.appended(self.end, self.transaction_end);
        self.write_if_large()
    }

    /// Makes everything appended durable and lets readers see it; returns the durable end. After a lack of room the
    /// same call may be made again; any other failure is final, for nobody knows what is on the disk then.
    pub fn sync(&mut self) -> Result<Lsn, ChangelogError> {
        self.check_poisoned()?;
        self.write()?;
        if self.written_bytes > self.tail.bytes {
            if let Err(e) = self.file.sync() {
                self.poisoned = true;
                return Err(ChangelogError::Io {
                    action: format!("sync `{}`", segment_name(self.tail.first_sequence)),
                    source: e,
                });
            }
            self.tail.bytes = self.written_bytes;
            self.shared.publish(self.written_bytes, self.end);
        }
        Ok(self.end)
    }

    /// Removes what ends at or below `lsn`, as far as whole files go and no reader needs it.
    pub fn trim_below(&mut self, lsn: Lsn) -> Result<(), ChangelogError> {
        let (segments, sides) = self.shared.trim(lsn);
        self.remove(&segments, &sides)
    }

    /// Forgets everything and begins at `at`, where the source's history is taken up anew. Readers must be gone.
    pub fn restart(&mut self, identity: &SourceIdentity, at: Lsn) -> Result<(), ChangelogError> {
        self.check_poisoned()?;
        self.buffer.clear();
        let header = SegmentHeader {
            restart: true,
            first_sequence: self.next_sequence + 1,
            base: at,
            previous_first_sequence: self.tail.first_sequence,
            previous_bytes: 0,
            identity: identity.clone(),
        };
        // Once this is durable the old segments are of no account, whether or not they get removed.
        let (segment, file) = self.create_segment(&header)?;
        self.identity = header.identity;
        self.next_sequence = header.first_sequence;
        self.file = file;
        self.written_bytes = segment.bytes;
        self.tail = segment.clone();
        self.end = at;
        self.transaction_end = at;
        let (segments, sides) = self.shared.restart(segment);
        self.remove(&segments, &sides)
    }

    /// Notes that the source went on to another timeline.
    pub fn set_timeline(&mut self, timeline: u32) -> Result<(), ChangelogError> {
        if self.identity.timeline == timeline {
            return Ok(());
        }
        // Also makes sure that there is a segment to finish.
        self.append_control(format!("{{\"timeline\":{timeline}}}").as_bytes())?;
        self.rotate(SourceIdentity {
            timeline,
            ..self.identity.clone()
        })
    }

    fn check_poisoned(&self) -> Result<(), ChangelogError> {
        if self.poisoned {
            return Err(ChangelogError::Poisoned);
        }
        Ok(())
    }

    /// Whether a transaction is new. It must come in commit order.
    fn accepts(&self, head: &TransactionHead) -> Result<bool, ChangelogError> {
        self.check_poisoned()?;
        if head.end <= self.end {
            return Ok(false);
        }
        if head.commit < self.transaction_end || head.commit > head.end {
            return Err(ChangelogError::OutOfOrder {
                xid: head.xid.0,
                commit: head.commit,
                end: self.transaction_end,
            });
        }
        Ok(true)
    }

    fn appended(&mut self, end: Lsn, transaction_end: Lsn) {
        self.next_sequence += 1;
        self.end = end;
        self.transaction_end = transaction_end;
    }

    /// Makes sure that a record may be appended here.
    fn make_room(&mut self, added: usize) -> Result<(), ChangelogError> {
        self.shared
            .check_room(widen(self.buffer.len() + added) + self.written_bytes - self.tail.bytes)?;
        if self.written_bytes + widen(self.buffer.len()) >= self.options.segment_bytes {
            self.rotate(self.identity.clone())?;
        }
        Ok(())
    }

    fn write_if_large(&mut self) -> Result<(), ChangelogError> {
        if self.buffer.len() < self.options.buffer_bytes {
            return Ok(());
        }
        match self.write() {
            // The record is in the buffer, and the next sync says what is wrong.
            Err(e) if e.is_lack_of_room() => Ok(()),
            other => other,
        }
    }

    fn write(&mut self) -> Result<(), ChangelogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(e) = self.file.write_all_at(&self.buffer, self.written_bytes) {
            let name = segment_name(self.tail.first_sequence);
            let error = ChangelogError::io(format!("write `{name}`"), e);
            // For want of room: the same bytes are written to the same place again.
            self.poisoned = !error.is_lack_of_room();
            return Err(error);
        }
        self.written_bytes += widen(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }

    /// Finishes the segment and begins the next, unless nothing is in it.
    fn rotate(&mut self, identity: SourceIdentity) -> Result<(), ChangelogError> {
        self.sync()?;
        if self.next_sequence == self.tail.first_sequence {
            return Ok(());
        }
        let header = SegmentHeader {
            restart: false,
            first_sequence: self.next_sequence,
            base: self.end,
            previous_first_sequence: self.tail.first_sequence,
            previous_bytes: self.tail.bytes,
            identity,
        };
        let (segment, file) = self.create_segment(&header)?;
        self.identity = header.identity;
        self.file = file;
        self.written_bytes = segment.bytes;
        self.tail = segment.clone();
        self.shared.add_segment(segment);
        Ok(())
    }

    fn create_segment(
        &mut self,
        header: &SegmentHeader,
    ) -> Result<(Segment, Arc<dyn DiskFile>), ChangelogError> {
        let created = create_segment(self.shared.disk.as_ref(), header);
        if let Err(error) = &created {
            self.poisoned = !error.is_lack_of_room();
        }
        created
    }

    fn remove(&self, segments: &[u64], sides: &[Lsn]) -> Result<(), ChangelogError> {
        let names = segments
            .iter()
            .map(|first| segment_name(*first))
            .chain(sides.iter().map(|end| side_name(*end)));
        for name in names {
            self.shared
                .disk
                .remove(&name)
                .map_err(|e| ChangelogError::io(format!("remove `{name}`"), e))?;
        }
        Ok(())
    }
}

fn check_identity(found: &SourceIdentity, expected: &SourceIdentity) -> Result<(), ChangelogError> {
    let same = found.system_id == expected.system_id
        && found.database_oid == expected.database_oid
        && found.slot == expected.slot;
    if same {
        return Ok(());
    }
    Err(ChangelogError::Identity {
        found: Box::new(found.clone()),
        expected: Box::new(expected.clone()),
    })
}

/// Creates a segment that is durable, name and all. A crash or a lack of room leaves either all of it or a `.new` file.
fn create_segment(
    disk: &dyn Disk,
    header: &SegmentHeader,
) -> Result<(Segment, Arc<dyn DiskFile>), ChangelogError> {
    let name = segment_name(header.first_sequence);
    let unfinished = format!("{:016x}{UNFINISHED}", header.first_sequence);
    let failed = |e| ChangelogError::io(format!("create `{name}`"), e);
    let bytes = header.encode()?;
    let file = disk.create(&unfinished).map_err(failed)?;
    file.write_all_at(&bytes, 0)
        .and_then(|()| file.sync())
        .and_then(|()| disk.rename(&unfinished, &name))
        .map_err(failed)?;
    // From here on it is there, and must not be created again under another name: no lack of room is forgiven.
    disk.sync_dir().map_err(|source| ChangelogError::Io {
        action: format!("create `{name}`"),
        source,
    })?;
    let segment = Segment {
        first_sequence: header.first_sequence,
        base: header.base,
        header_bytes: widen(bytes.len()),
        bytes: widen(bytes.len()),
    };
    Ok((segment, file))
}

//! Opening the log: what is there, where it ends, and whether that can be trusted.
//!
//! In: the directory, and the highest position that anyone relied on (confirmed to the source, or published by the
//! state). Out: the segments, and the end.
//!
//! Always: only bytes above that position are ever cut. A power cut leaves a torn tail there, and nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use readside_model::{Lsn, SourceIdentity};

use crate::ChangelogError;
use crate::disk::{Disk, DiskFile};
use crate::durable::Segment;
use crate::format::{
    HeaderError, KIND_CONTROL, KIND_KEEPALIVE, SegmentHeader, UNFINISHED, VERSION, end_of,
    number_in_name, segment_name,
};
use crate::frames::{FrameError, Frames, widen};

/// What was found.
pub(crate) struct Recovered {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) sides: BTreeMap<Lsn, u64>,
    /// The last segment, if there is one.
    pub(crate) tail: Option<Tail>,
}

/// The segment that goes on being written.
pub(crate) struct Tail {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) identity: SourceIdentity,
    pub(crate) next_sequence: u64,
    pub(crate) end: Lsn,
    /// The end of the last transaction in it.
    pub(crate) transaction_end: Lsn,
    /// Bytes that a crash had left unfinished, and which were cut.
    pub(crate) cut_bytes: u64,
}

struct Found {
    header: SegmentHeader,
    header_bytes: u64,
    bytes: u64,
}

pub(crate) fn recover(disk: &dyn Disk, relied_on: Lsn) -> Result<Recovered, ChangelogError> {
    let files = disk
        .list()
        .map_err(|e| ChangelogError::io("list the changelog directory", e))?;
    let mut found = Vec::new();
    let mut sides = BTreeMap::new();
    for (name, bytes) in files {
        if let Some(sequence) = number_in_name(&name, ".log") {
            found.push((sequence, bytes));
        } else if let Some(end) = number_in_name(&name, ".side") {
            sides.insert(Lsn(end), bytes);
        } else if [".spool", UNFINISHED]
            .iter()
            .any(|suffix| number_in_name(&name, suffix).is_some())
        {
            remove(disk, &name)?;
        }
    }
    found.sort_unstable();
    let mut segments = VecDeque::new();
    for (sequence, bytes) in found {
        let name = segment_name(sequence);
        match read_header(disk, &name)? {
            Ok((header, header_bytes)) => {
                check_name(&header, sequence, &name)?;
                segments.push_back(Found {
                    header,
                    header_bytes,
                    bytes,
                });
            }
            Err(HeaderError::Version(version)) => {
                return Err(ChangelogError::Format {
                    file: name,
                    found: version,
                    supported: VERSION,
                });
            }
            Err(HeaderError::Damaged(reason)) => {
                return Err(ChangelogError::Corrupt {
                    file: name,
                    offset: 0,
                    reason,
                });
            }
        }
    }
    // Everything before a restart is of no account.
    if let Some(from) = segments.iter().rposition(|s| s.header.restart) {
        for old in segments.drain(..from) {
            remove(disk, &segment_name(old.header.first_sequence))?;
        }
    }
    check_chain(&segments)?;
    let tail = match segments.back_mut() {
        Some(last) => Some(recover_tail(disk, last, relied_on)?),
        None => None,
    };
    let end = tail.as_ref().map_or(Lsn::ZERO, |tail| tail.end);
    if end < relied_on {
        return Err(ChangelogError::Behind {
            durable_end: end,
            confirmed: relied_on,
        });
    }
    let start = segments.front().map_or(Lsn::ZERO, |s| s.header.base);
    let unreferenced: Vec<_> = sides
        .keys()
        .filter(|side| **side > end || **side <= start)
        .copied()
        .collect();
    for side in unreferenced {
        sides.remove(&side);
        remove(disk, &crate::side::side_name(side))?;
    }
    disk.sync_dir()
        .map_err(|e| ChangelogError::io("sync the changelog directory", e))?;
    Ok(Recovered {
        segments: segments
            .into_iter()
            .map(|found| Segment {
                first_sequence: found.header.first_sequence,
                base: found.header.base,
                header_bytes: found.header_bytes,
                bytes: found.bytes,
            })
            .collect(),
        sides,
        tail,
    })
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), ChangelogError> {
    disk.remove(name)
        .map_err(|e| ChangelogError::io(format!("remove `{name}`"), e))
}

type Header = Result<(SegmentHeader, u64), HeaderError>;

fn read_header(disk: &dyn Disk, name: &str) -> Result<Header, ChangelogError> {
    let failed = |e| ChangelogError::io(format!("read `{name}`"), e);
    let file = disk.open(name).map_err(failed)?;
    let mut buffer = vec![0; SegmentHeader::bytes_max()];
    let mut filled = 0;
    loop {
        match file.read_at(&mut buffer[filled..], widen(filled)) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(SegmentHeader::decode(&buffer[..filled]))
}

fn check_name(header: &SegmentHeader, sequence: u64, name: &str) -> Result<(), ChangelogError> {
    if header.first_sequence == sequence {
        return Ok(());
    }
    Err(ChangelogError::Corrupt {
        file: name.to_owned(),
        offset: 16,
        reason: "its header belongs to another file",
    })
}

/// Each segment names the one before it and its length, so that a missing or shortened one is noticed.
fn check_chain(segments: &VecDeque<Found>) -> Result<(), ChangelogError> {
    for (before, after) in segments.iter().zip(segments.iter().skip(1)) {
        let corrupt = |offset, reason| {
            Err(ChangelogError::Corrupt {
                file: segment_name(before.header.first_sequence),
                offset,
                reason,
            })
        };
        if after.header.previous_first_sequence != before.header.first_sequence {
            return corrupt(before.bytes, "the segment after it is missing");
        }
        if after.header.previous_bytes != before.bytes {
            return corrupt(
                before.bytes.min(after.header.previous_bytes),
                "its length has changed since it was finished",
            );
        }
    }
    Ok(())
}

/// Reads the last segment to its end, and cuts what a crash left unfinished.
fn recover_tail(
    disk: &dyn Disk,
    found: &mut Found,
    relied_on: Lsn,
) -> Result<Tail, ChangelogError> {
    let name = segment_name(found.header.first_sequence);
    let file = disk
        .open(&name)
        .map_err(|e| ChangelogError::io(format!("open `{name}`"), e))?;
    let mut frames = Frames::new(Arc::clone(&file), found.header_bytes);
    let mut next_sequence = found.header.first_sequence;
    let mut end = found.header.base;
    let mut transaction_end = end;
    let mut cut_bytes = 0;
    loop {
        let offset = frames.offset();
        let bad = match frames.next(found.bytes) {
            Ok(None) => break,
            Ok(Some(raw)) => match end_of(raw.kind, &raw.body) {
                Ok(at) if at > end || (at == end && raw.kind == KIND_CONTROL) => {
                    end = at;
                    if raw.kind != KIND_KEEPALIVE && raw.kind != KIND_CONTROL {
                        transaction_end = at;
                    }
                    next_sequence += 1;
                    continue;
                }
                Ok(_) => FrameError::Bad("a record is out of order"),
                Err(reason) => FrameError::Bad(reason),
            },
            Err(error) => error,
        };
        if matches!(bad, FrameError::Io(_)) || end < relied_on {
            return Err(bad.at(&name, offset));
        }
        cut_bytes = found.bytes - offset;
        tracing::warn!(
            file = name,
            offset,
            cut_bytes,
            %end,
            "cutting the end of the changelog, which a crash left unfinished; the source sends it again"
        );
        file.set_len(offset)
            .map_err(|e| ChangelogError::io(format!("cut `{name}`"), e))?;
        found.bytes = offset;
        break;
    }
    // What is there may be in the page cache only, if the process was killed before it could sync.
    file.sync()
        .map_err(|e| ChangelogError::io(format!("sync `{name}`"), e))?;
    Ok(Tail {
        file,
        identity: found.header.identity.clone(),
        next_sequence,
        end,
        transaction_end,
        cut_bytes,
    })
}

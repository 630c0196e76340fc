//! One payload to one message.

use bytes::Bytes;
use readside_model::Xid;

use crate::cursor::Cursor;
use crate::{
    Begin, BeginPrepare, Commit, CommitPrepared, DecodeError, Delete, Insert, LogicalMessage,
    Message, OldKind, OldRow, Origin, Prepare, Relation, RelationColumn, ReplicaIdentityKind,
    RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Truncate, TupleData, TypeName,
    Update,
};

/// Decodes one message. `streaming` says whether it stands between a `StreamStart` and its `StreamStop`, where changes carry
/// an xid; [`Decoder`] keeps count of that.
///
/// # Errors
/// When the bytes are not exactly one message.
pub fn decode(bytes: &Bytes, streaming: bool) -> Result<Message, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let c = &mut cursor;
    let tag = c.tag()?;
    let message = match tag {
        b'B' => Message::Begin(Begin {
            final_lsn: c.lsn("final LSN")?,
            commit_time: c.timestamp("commit time")?,
            xid: c.xid("xid")?,
        }),
        b'C' => Message::Commit(commit(c)?),
        b'O' => Message::Origin(Origin {
            lsn: c.lsn("origin LSN")?,
            name: c.text("origin name")?,
        }),
        b'R' => Message::Relation(relation(c, streaming)?),
        b'Y' => Message::Type(TypeName {
            xid: stream_xid(c, streaming)?,
            oid: c.u32("type oid")?,
            schema: schema(c)?,
            name: c.text("type name")?,
        }),
        b'I' => {
            let xid = stream_xid(c, streaming)?;
            let relation = c.u32("relation oid")?;
            match c.u8("tuple kind")? {
                b'N' => {}
                kind => return Err(c.unexpected("tuple kind", kind)),
            }
            Message::Insert(Insert {
                xid,
                relation,
                new: TupleData::read(c)?,
            })
        }
        b'U' => Message::Update(update(c, streaming)?),
        b'D' => {
            let xid = stream_xid(c, streaming)?;
            let relation = c.u32("relation oid")?;
            let kind = match c.u8("tuple kind")? {
                b'K' => OldKind::Key,
                b'O' => OldKind::Full,
                kind => return Err(c.unexpected("tuple kind", kind)),
            };
            let tuple = TupleData::read(c)?;
            Message::Delete(Delete {
                xid,
                relation,
                old: OldRow { kind, tuple },
            })
        }
        b'T' => Message::Truncate(truncate(c, streaming)?),
        b'M' => {
            let xid = stream_xid(c, streaming)?;
            let transactional = flag(c, "message flags")?;
            let lsn = c.lsn("message LSN")?;
            let prefix = c.text("message prefix")?;
            let length = c.length("message length")?;
            let start = c.offset();
            c.take(length, "message content")?;
            Message::Logical(LogicalMessage {
                xid,
                transactional,
                lsn,
                prefix,
                content: c.since(start),
            })
        }
        b'S' => Message::StreamStart(StreamStart {
            xid: c.xid("xid")?,
            first_segment: flag(c, "first segment")?,
        }),
        b'E' => Message::StreamStop,
        b'c' => Message::StreamCommit(StreamCommit {
            xid: c.xid("xid")?,
            commit: commit(c)?,
        }),
        b'A' => {
            let xid = c.xid("xid")?;
            let subxid = c.xid("subxid")?;
            let at = if c.remaining() > 0 {
                Some((c.lsn("abort LSN")?, c.timestamp("abort time")?))
            } else {
                None
            };
            Message::StreamAbort(StreamAbort { xid, subxid, at })
        }
        b'b' => Message::BeginPrepare(BeginPrepare {
            prepare_lsn: c.lsn("prepare LSN")?,
            end_lsn: c.lsn("end LSN")?,
            prepare_time: c.timestamp("prepare time")?,
            xid: c.xid("xid")?,
            gid: c.text("gid")?,
        }),
        b'P' => Message::Prepare(prepare(c)?),
        b'p' => Message::StreamPrepare(prepare(c)?),
        b'K' => {
            flags(c)?;
            Message::CommitPrepared(CommitPrepared {
                commit_lsn: c.lsn("commit LSN")?,
                end_lsn: c.lsn("end LSN")?,
                commit_time: c.timestamp("commit time")?,
                xid: c.xid("xid")?,
                gid: c.text("gid")?,
            })
        }
        b'r' => {
            flags(c)?;
            Message::RollbackPrepared(RollbackPrepared {
                prepare_end_lsn: c.lsn("prepare end LSN")?,
                rollback_end_lsn: c.lsn("rollback end LSN")?,
                prepare_time: c.timestamp("prepare time")?,
                rollback_time: c.timestamp("rollback time")?,
                xid: c.xid("xid")?,
                gid: c.text("gid")?,
            })
        }
        tag => return Err(DecodeError::UnknownMessage { tag }),
    };
    cursor.finish()?;
    Ok(message)
}

/// Decodes the messages of one connection in order, knowing which of them stand inside a stream block.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    streaming: bool,
}

impl Decoder {
    /// At the start of a connection.
    #[must_use]
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Whether the last message left a stream block open.
    #[must_use]
    pub fn in_stream_block(&self) -> bool {
        self.streaming
    }

    /// Decodes the next message.
    ///
    /// # Errors
    /// When the bytes are not exactly one message.
    pub fn decode(&mut self, bytes: &Bytes) -> Result<Message, DecodeError> {
        let message = decode(bytes, self.streaming)?;
        match message {
            Message::StreamStart(_) => self.streaming = true,
            Message::StreamStop => self.streaming = false,
            _ => {}
        }
        Ok(message)
    }
}

fn stream_xid(c: &mut Cursor<'_>, streaming: bool) -> Result<Option<Xid>, DecodeError> {
    streaming.then(|| c.xid("xid")).transpose()
}

/// A byte that is 0 or 1.
fn flag(c: &mut Cursor<'_>, field: &'static str) -> Result<bool, DecodeError> {
    match c.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(c.unexpected(field, value)),
    }
}

/// A byte reserved for flags that do not exist yet.
fn flags(c: &mut Cursor<'_>) -> Result<(), DecodeError> {
    match c.u8("flags")? {
        0 => Ok(()),
        value => Err(c.unexpected("flags", value)),
    }
}

fn schema(c: &mut Cursor<'_>) -> Result<String, DecodeError> {
    let mut schema = c.text("schema")?;
    if schema.is_empty() {
        schema.push_str("pg_catalog");
    }
    Ok(schema)
}

fn commit(c: &mut Cursor<'_>) -> Result<Commit, DecodeError> {
    flags(c)?;
    Ok(Commit {
        commit_lsn: c.lsn("commit LSN")?,
        end_lsn: c.lsn("end LSN")?,
        commit_time: c.timestamp("commit time")?,
    })
}

fn prepare(c: &mut Cursor<'_>) -> Result<Prepare, DecodeError> {
    flags(c)?;
    Ok(Prepare {
        prepare_lsn: c.lsn("prepare LSN")?,
        end_lsn: c.lsn("end LSN")?,
        prepare_time: c.timestamp("prepare time")?,
        xid: c.xid("xid")?,
        gid: c.text("gid")?,
    })
}

fn relation(c: &mut Cursor<'_>, streaming: bool) -> Result<Relation, DecodeError> {
    let xid = stream_xid(c, streaming)?;
    let oid = c.u32("relation oid")?;
    let schema = schema(c)?;
    let name = c.text("relation name")?;
    let replica_identity = match c.u8("replica identity")? {
        b'd' => ReplicaIdentityKind::Default,
        b'n' => ReplicaIdentityKind::Nothing,
        b'f' => ReplicaIdentityKind::Full,
        b'i' => ReplicaIdentityKind::Index,
        value => return Err(c.unexpected("replica identity", value)),
    };
    let count = c.u16("column count")?;
    // A column takes at least ten bytes, so a lying count cannot make us reserve more than the message's own size.
    let mut columns = Vec::with_capacity(usize::from(count).min(c.remaining() / 10));
    for _ in 0..count {
        // Bit 0 is the key flag; others are unknown and may not matter.
        let flags = c.u8("column flags")?;
        columns.push(RelationColumn {
            key: flags & 1 == 1,
            name: c.text("column name")?,
            type_oid: c.u32("column type")?,
            typmod: c.i32("column typmod")?,
        });
    }
    Ok(Relation {
        xid,
        oid,
        schema,
        name,
        replica_identity,
        columns,
    })
}

fn update(c: &mut Cursor<'_>, streaming: bool) -> Result<Update, DecodeError> {
    let xid = stream_xid(c, streaming)?;
    let relation = c.u32("relation oid")?;
    let old = match c.u8("tuple kind")? {
        b'N' => None,
        kind @ (b'K' | b'O') => {
            let kind = if kind == b'K' {
                OldKind::Key
            } else {
                OldKind::Full
            };
            let tuple = TupleData::read(c)?;
            match c.u8("tuple kind")? {
                b'N' => {}
                kind => return Err(c.unexpected("tuple kind", kind)),
            }
            Some(OldRow { kind, tuple })
        }
        kind => return Err(c.unexpected("tuple kind", kind)),
    };
    Ok(Update {
        xid,
        relation,
        old,
        new: TupleData::read(c)?,
    })
}

fn truncate(c: &mut Cursor<'_>, streaming: bool) -> Result<Truncate, DecodeError> {
    let xid = stream_xid(c, streaming)?;
    let count = c.length("relation count")?;
    let options = c.u8("truncate options")?;
    if options & !3 != 0 {
        return Err(c.unexpected("truncate options", options));
    }
    let mut relations = Vec::with_capacity(count.min(c.remaining() / 4));
    for _ in 0..count {
        relations.push(c.u32("relation oid")?);
    }
    Ok(Truncate {
        xid,
        relations,
        cascade: options & 1 != 0,
        restart_identity: options & 2 != 0,
    })
}

//! The server's side of the codec, for the tests alone.

use bytes::{BufMut, Bytes, BytesMut};
use readside_model::Xid;

use crate::{Column, Commit, Message, OldKind, OldRow, Prepare, ReplicaIdentityKind, TupleData};

/// A tuple of these columns.
pub(crate) fn tuple(columns: &[Column]) -> TupleData {
    let mut out = BytesMut::new();
    out.put_u16(u16::try_from(columns.len()).unwrap());
    for column in columns {
        match column {
            Column::Null => out.put_u8(b'n'),
            Column::Unchanged => out.put_u8(b'u'),
            Column::Text(value) => value_into(&mut out, b't', value),
            Column::Binary(value) => value_into(&mut out, b'b', value),
        }
    }
    TupleData::from_encoded(&out.freeze()).unwrap()
}

fn value_into(out: &mut BytesMut, kind: u8, value: &Bytes) {
    out.put_u8(kind);
    out.put_i32(i32::try_from(value.len()).unwrap());
    out.put_slice(value);
}

fn text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn xid(out: &mut BytesMut, xid: Option<Xid>) {
    if let Some(xid) = xid {
        out.put_u32(xid.0);
    }
}

fn schema(out: &mut BytesMut, schema: &str) {
    text(out, if schema == "pg_catalog" { "" } else { schema });
}

fn old(out: &mut BytesMut, row: &OldRow) {
    out.put_u8(match row.kind {
        OldKind::Key => b'K',
        OldKind::Full => b'O',
    });
    out.put_slice(row.tuple.encoded());
}

fn commit(out: &mut BytesMut, commit: &Commit) {
    out.put_u8(0);
    out.put_u64(commit.commit_lsn.0);
    out.put_u64(commit.end_lsn.0);
    out.put_i64(commit.commit_time.0);
}

fn prepare(out: &mut BytesMut, prepare: &Prepare) {
    out.put_u8(0);
    out.put_u64(prepare.prepare_lsn.0);
    out.put_u64(prepare.end_lsn.0);
    out.put_i64(prepare.prepare_time.0);
    out.put_u32(prepare.xid.0);
    text(out, &prepare.gid);
}

/// The bytes that a server would send.
pub(crate) fn encode(message: &Message) -> Bytes {
    let mut buffer = BytesMut::new();
    let out = &mut buffer;
    match message {
        Message::Begin(m) => {
            out.put_u8(b'B');
            out.put_u64(m.final_lsn.0);
            out.put_i64(m.commit_time.0);
            out.put_u32(m.xid.0);
        }
        Message::Commit(m) => {
            out.put_u8(b'C');
            commit(out, m);
        }
        Message::Origin(m) => {
            out.put_u8(b'O');
            out.put_u64(m.lsn.0);
            text(out, &m.name);
        }
        Message::Relation(m) => {
            out.put_u8(b'R');
            xid(out, m.xid);
            out.put_u32(m.oid);
            schema(out, &m.schema);
            text(out, &m.name);
            out.put_u8(match m.replica_identity {
                ReplicaIdentityKind::Default => b'd',
                ReplicaIdentityKind::Nothing => b'n',
                ReplicaIdentityKind::Full => b'f',
                ReplicaIdentityKind::Index => b'i',
            });
            out.put_u16(u16::try_from(m.columns.len()).unwrap());
            for column in &m.columns {
                out.put_u8(u8::from(column.key));
                text(out, &column.name);
                out.put_u32(column.type_oid);
                out.put_i32(column.typmod);
            }
        }
        Message::Type(m) => {
            out.put_u8(b'Y');
            xid(out, m.xid);
            out.put_u32(m.oid);
            schema(out, &m.schema);
            text(out, &m.name);
        }
        Message::Insert(m) => {
            out.put_u8(b'I');
            xid(out, m.xid);
            out.put_u32(m.relation);
            out.put_u8(b'N');
            out.put_slice(m.new.encoded());
        }
        Message::Update(m) => {
            out.put_u8(b'U');
            xid(out, m.xid);
            out.put_u32(m.relation);
            if let Some(row) = &m.old {
                old(out, row);
            }
            out.put_u8(b'N');
            out.put_slice(m.new.encoded());
        }
        Message::Delete(m) => {
            out.put_u8(b'D');
            xid(out, m.xid);
            out.put_u32(m.relation);
            old(out, &m.old);
        }
        Message::Truncate(m) => {
            out.put_u8(b'T');
            xid(out, m.xid);
            out.put_u32(u32::try_from(m.relations.len()).unwrap());
            out.put_u8(u8::from(m.cascade) | u8::from(m.restart_identity) << 1);
            for relation in &m.relations {
                out.put_u32(*relation);
            }
        }
        Message::Logical(m) => {
            out.put_u8(b'M');
            xid(out, m.xid);
            out.put_u8(u8::from(m.transactional));
            out.put_u64(m.lsn.0);
            text(out, &m.prefix);
            out.put_u32(u32::try_from(m.content.len()).unwrap());
            out.put_slice(&m.content);
        }
        Message::StreamStart(m) => {
            out.put_u8(b'S');
            out.put_u32(m.xid.0);
            out.put_u8(u8::from(m.first_segment));
        }
        Message::StreamStop => out.put_u8(b'E'),
        Message::StreamCommit(m) => {
            out.put_u8(b'c');
            out.put_u32(m.xid.0);
            commit(out, &m.commit);
        }
        Message::StreamAbort(m) => {
            out.put_u8(b'A');
            out.put_u32(m.xid.0);
            out.put_u32(m.subxid.0);
            if let Some((lsn, time)) = m.at {
                out.put_u64(lsn.0);
                out.put_i64(time.0);
            }
        }
        Message::BeginPrepare(m) => {
            out.put_u8(b'b');
            out.put_u64(m.prepare_lsn.0);
            out.put_u64(m.end_lsn.0);
            out.put_i64(m.prepare_time.0);
            out.put_u32(m.xid.0);
            text(out, &m.gid);
        }
        Message::Prepare(m) => {
            out.put_u8(b'P');
            prepare(out, m);
        }
        Message::StreamPrepare(m) => {
            out.put_u8(b'p');
            prepare(out, m);
        }
        Message::CommitPrepared(m) => {
            out.put_u8(b'K');
            out.put_u8(0);
            out.put_u64(m.commit_lsn.0);
            out.put_u64(m.end_lsn.0);
            out.put_i64(m.commit_time.0);
            out.put_u32(m.xid.0);
            text(out, &m.gid);
        }
        Message::RollbackPrepared(m) => {
            out.put_u8(b'r');
            out.put_u8(0);
            out.put_u64(m.prepare_end_lsn.0);
            out.put_u64(m.rollback_end_lsn.0);
            out.put_i64(m.prepare_time.0);
            out.put_i64(m.rollback_time.0);
            out.put_u32(m.xid.0);
            text(out, &m.gid);
        }
    }
    buffer.freeze()
}

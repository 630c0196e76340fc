//! What holds for all messages and for all bytes.

use bytes::Bytes;
use proptest::prelude::*;
use readside_model::{Lsn, Timestamp, Xid};

use crate::encode::{encode, tuple};
use crate::*;

fn value() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn column() -> impl Strategy<Value = Column> {
    prop_oneof![
        Just(Column::Null),
        Just(Column::Unchanged),
        value().prop_map(Column::Text),
        value().prop_map(Column::Binary),
    ]
}

fn row() -> impl Strategy<Value = TupleData> {
    prop::collection::vec(column(), 0..9).prop_map(|columns| tuple(&columns))
}

fn old_row() -> impl Strategy<Value = OldRow> {
    (any::<bool>(), row()).prop_map(|(key, tuple)| OldRow {
        kind: if key { OldKind::Key } else { OldKind::Full },
        tuple,
    })
}

fn name() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,12}"
}

fn lsn() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn xid() -> impl Strategy<Value = Xid> {
    any::<u32>().prop_map(Xid)
}

fn commit() -> impl Strategy<Value = Commit> {
    (lsn(), lsn(), time()).prop_map(|(commit_lsn, end_lsn, commit_time)| Commit {
        commit_lsn,
        end_lsn,
        commit_time,
    })
}

fn prepare() -> impl Strategy<Value = Prepare> {
    (lsn(), lsn(), time(), xid(), name()).prop_map(
        |(prepare_lsn, end_lsn, prepare_time, xid, gid)| Prepare {
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        },
    )
}

fn relation() -> impl Strategy<Value = Relation> {
    let identity = prop_oneof![
        Just(ReplicaIdentityKind::Default),
        Just(ReplicaIdentityKind::Nothing),
        Just(ReplicaIdentityKind::Full),
        Just(ReplicaIdentityKind::Index),
    ];
    let column = (any::<bool>(), name(), any::<u32>(), any::<i32>()).prop_map(
        |(key, name, type_oid, typmod)| RelationColumn {
            key,
            name,
            type_oid,
            typmod,
        },
    );
    (
        any::<u32>(),
        name(),
        name(),
        identity,
        prop::collection::vec(column, 0..9),
    )
        .prop_map(|(oid, schema, name, replica_identity, columns)| Relation {
            xid: None,
            oid,
            schema,
            name,
            replica_identity,
            columns,
        })
}

/// Messages that may stand inside a stream block, with the xid that says so.
fn change() -> impl Strategy<Value = (Message, bool)> {
    let oid = any::<u32>;
    let kinds = prop_oneof![
        relation().prop_map(Message::Relation),
        (oid(), name(), name()).prop_map(|(oid, schema, name)| Message::Type(TypeName {
            xid: None,
            oid,
            schema,
            name
        })),
        (oid(), row()).prop_map(|(relation, new)| Message::Insert(Insert {
            xid: None,
            relation,
            new
        })),
        (oid(), prop::option::of(old_row()), row()).prop_map(|(relation, old, new)| {
            Message::Update(Update {
                xid: None,
                relation,
                old,
                new,
            })
        }),
        (oid(), old_row()).prop_map(|(relation, old)| Message::Delete(Delete {
            xid: None,
            relation,
            old
        })),
        (
            prop::collection::vec(oid(), 0..5),
            any::<bool>(),
            any::<bool>()
        )
            .prop_map(|(relations, cascade, restart_identity)| {
                Message::Truncate(Truncate {
                    xid: None,
                    relations,
                    cascade,
                    restart_identity,
                })
            }),
        (any::<bool>(), lsn(), name(), value()).prop_map(
            |(transactional, lsn, prefix, content)| Message::Logical(LogicalMessage {
                xid: None,
                transactional,
                lsn,
                prefix,
                content
            })
        ),
    ];
    (kinds, prop::option::of(xid())).prop_map(|(mut message, id)| {
        match &mut message {
            Message::Relation(m) => m.xid = id,
            Message::Type(m) => m.xid = id,
            Message::Insert(m) => m.xid = id,
            Message::Update(m) => m.xid = id,
            Message::Delete(m) => m.xid = id,
            Message::Truncate(m) => m.xid = id,
            Message::Logical(m) => m.xid = id,
            _ => {}
        }
        (message, id.is_some())
    })
}

fn frame() -> impl Strategy<Value = Message> {
    prop_oneof![
        (lsn(), time(), xid()).prop_map(|(final_lsn, commit_time, xid)| Message::Begin(Begin {
            final_lsn,
            commit_time,
            xid
        })),
        commit().prop_map(Message::Commit),
        (lsn(), name()).prop_map(|(lsn, name)| Message::Origin(Origin { lsn, name })),
        (xid(), any::<bool>()).prop_map(|(xid, first_segment)| Message::StreamStart(StreamStart {
            xid,
            first_segment
        })),
        Just(Message::StreamStop),
        (xid(), commit())
            .prop_map(|(xid, commit)| Message::StreamCommit(StreamCommit { xid, commit })),
        (xid(), xid(), prop::option::of((lsn(), time()))).prop_map(|(xid, subxid, at)| {
            Message::StreamAbort(StreamAbort { xid, subxid, at })
        }),
        prepare().prop_map(Message::Prepare),
        prepare().prop_map(Message::StreamPrepare),
        prepare().prop_map(|p| Message::BeginPrepare(BeginPrepare {
            prepare_lsn: p.prepare_lsn,
            end_lsn: p.end_lsn,
            prepare_time: p.prepare_time,
            xid: p.xid,
            gid: p.gid
        })),
        prepare().prop_map(|p| Message::CommitPrepared(CommitPrepared {
            commit_lsn: p.prepare_lsn,
            end_lsn: p.end_lsn,
            commit_time: p.prepare_time,
            xid: p.xid,
            gid: p.gid
        })),
        (prepare(), time()).prop_map(|(p, rollback_time)| {
            Message::RollbackPrepared(RollbackPrepared {
                prepare_end_lsn: p.prepare_lsn,
                rollback_end_lsn: p.end_lsn,
                prepare_time: p.prepare_time,
                rollback_time,
                xid: p.xid,
                gid: p.gid,
            })
        }),
    ]
}

fn message() -> impl Strategy<Value = (Message, bool)> {
    prop_oneof![3 => change(), 2 => frame().prop_map(|m| (m, false))]
}

/// Touches everything that a consumer of a decoded message can touch.
fn walk(message: &Message) -> usize {
    let row = |tuple: &TupleData| {
        let shared: usize = tuple
            .shared()
            .map(|c| match c {
                Column::Text(v) | Column::Binary(v) => v.len(),
                Column::Null | Column::Unchanged => 1,
            })
            .sum();
        assert_eq!(tuple.iter().count(), tuple.len());
        assert_eq!(TupleData::from_encoded(tuple.encoded()).unwrap(), *tuple);
        shared + format!("{tuple:?}").len()
    };
    match message {
        Message::Insert(m) => row(&m.new),
        Message::Update(m) => row(&m.new) + m.old.as_ref().map_or(0, |o| row(&o.tuple)),
        Message::Delete(m) => row(&m.old.tuple),
        other => format!("{other:?}").len(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decoding_what_was_encoded_gives_the_message_back((message, streaming) in message()) {
        let bytes = encode(&message);
        let decoded = decode(&bytes, streaming).unwrap();
        walk(&decoded);
        prop_assert_eq!(decoded, message);
    }

    #[test]
    fn a_message_cut_short_is_an_error_and_never_another_message(
        (message, streaming) in message(), cut in any::<prop::sample::Index>()
    ) {
        let bytes = encode(&message);
        let short = bytes.slice(..cut.index(bytes.len()));
        // An abort without its place and time is an abort of an older protocol.
        let abort = matches!(&message, Message::StreamAbort(a) if a.at.is_some()) && short.len() == 9;
        prop_assert!(abort || decode(&short, streaming).is_err());
    }

    #[test]
    fn bytes_behind_a_message_are_an_error((message, streaming) in message(), extra in 1_u8..9) {
        let mut bytes = encode(&message).to_vec();
        bytes.extend((0..extra).map(|_| 0));
        prop_assert!(decode(&Bytes::from(bytes), streaming).is_err());
    }

    #[test]
    fn mutated_messages_never_panic(
        (message, streaming) in message(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        flip in any::<bool>(),
    ) {
        let mut bytes = encode(&message).to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(message) = decode(&Bytes::from(bytes), streaming ^ flip) {
            walk(&message);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn random_bytes_never_panic(
        tag in prop::sample::select(b"BCORYIUDTMSEcAbPpKr?".to_vec()),
        rest in prop::collection::vec(any::<u8>(), 0..64),
        streaming in any::<bool>(),
    ) {
        let mut bytes = vec![tag];
        bytes.extend(rest);
        if let Ok(message) = decode(&Bytes::from(bytes), streaming) {
            walk(&message);
        }
    }
}

#[test]
fn values_share_the_buffer_they_arrived_in() {
    let bytes = encode(&Message::Insert(Insert {
        xid: None,
        relation: 7,
        new: tuple(&[Column::Text(Bytes::from_static(b"shared"))]),
    }));
    let Message::Insert(insert) = decode(&bytes, false).unwrap() else {
        panic!("not an insert");
    };
    let Some(Column::Text(value)) = insert.new.shared().next() else {
        panic!("not a text");
    };
    let range = bytes.as_ptr_range();
    assert!(range.contains(&value.as_ptr()));
    assert_eq!(insert.new.get(0), Some(ColumnRef::Text(b"shared")));
    assert_eq!(insert.new.get(1), None);
}

#[test]
fn a_row_never_prints_its_values() {
    let row = tuple(&[Column::Text(Bytes::from_static(b"secret")), Column::Null]);
    assert_eq!(format!("{row:?}"), "TupleData(t6 n)");
}

#[test]
fn errors_name_the_message_and_the_field() {
    let error = |bytes: &'static [u8]| {
        decode(&Bytes::from_static(bytes), false)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(b""),
        "pgoutput message `?` ends inside `tag` at byte 0"
    );
    assert_eq!(error(b"\x01"), "unknown pgoutput message `\\u{1}` (0x01)");
    assert_eq!(
        error(b"I\x00\x00\x00\x07X"),
        "pgoutput message `I` has 0x58 for `tuple kind` at byte 5"
    );
    assert_eq!(
        error(b"I\x00\x00\x00\x07N\x00\x01t\xff\xff\xff\xff"),
        "pgoutput message `I` has the length -1 for `column length` at byte 9"
    );
    assert_eq!(
        error(b"E\x00"),
        "pgoutput message `E` has 1 bytes behind its end"
    );
}

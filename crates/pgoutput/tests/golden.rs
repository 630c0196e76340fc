//! Bytes that a PostgreSQL 15 sent, and what they say.
//!
//! `*.hex` has one message a line, as `pg_logical_slot_get_binary_changes` gave them; `*.txt` has each message in short.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use readside_pgoutput::{ColumnRef, Decoder, Message, TupleData};

fn unhex(line: &str) -> Bytes {
    (0..line.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&line[i..i + 2], 16).unwrap())
        .collect()
}

fn row(tuple: &TupleData) -> String {
    let mut out = String::new();
    for column in tuple {
        match column {
            ColumnRef::Null => out.push_str(" null"),
            ColumnRef::Unchanged => out.push_str(" unchanged"),
            ColumnRef::Text(text) if text.len() > 40 => {
                write!(out, " text[{}]", text.len()).unwrap()
            }
            ColumnRef::Text(text) => {
                write!(out, " `{}`", std::str::from_utf8(text).unwrap()).unwrap()
            }
            ColumnRef::Binary(bytes) if bytes.len() > 40 => {
                write!(out, " binary[{}]", bytes.len()).unwrap()
            }
            ColumnRef::Binary(bytes) => write!(out, " {bytes:02x?}").unwrap(),
        }
    }
    out
}

fn short(message: &Message) -> String {
    let xid =
        |xid: Option<readside_model::Xid>| xid.map_or(String::new(), |x| format!(" (xid {})", x.0));
    match message {
        Message::Relation(m) => {
            let columns: Vec<String> = m
                .columns
                .iter()
                .map(|c| {
                    format!(
                        "{}{} {}/{}",
                        if c.key { "*" } else { "" },
                        c.name,
                        c.type_oid,
                        c.typmod
                    )
                })
                .collect();
            format!(
                "relation {} {}.{} {:?} ({}){}",
                m.oid,
                m.schema,
                m.name,
                m.replica_identity,
                columns.join(", "),
                xid(m.xid)
            )
        }
        Message::Insert(m) => format!("insert {}{}{}", m.relation, row(&m.new), xid(m.xid)),
        Message::Update(m) => {
            let old = m.old.as_ref().map_or(String::new(), |old| {
                format!(" {:?}{} ->", old.kind, row(&old.tuple))
            });
            format!("update {}{old}{}{}", m.relation, row(&m.new), xid(m.xid))
        }
        Message::Delete(m) => format!(
            "delete {} {:?}{}{}",
            m.relation,
            m.old.kind,
            row(&m.old.tuple),
            xid(m.xid)
        ),
        other => format!("{other:?}"),
    }
}

fn matches_golden(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let recorded = std::fs::read_to_string(dir.join(format!("{name}.hex"))).unwrap();
    let mut decoder = Decoder::new();
    let decoded: String = recorded
        .lines()
        .map(|line| short(&decoder.decode(&unhex(line)).unwrap()) + "\n")
        .collect();
    assert!(!decoder.in_stream_block());
    let expected = std::fs::read_to_string(dir.join(format!("{name}.txt"))).unwrap_or_default();
    assert!(
        decoded == expected,
        "{name}.txt does not say what was decoded:\n{decoded}"
    );
}

#[test]
fn protocol_1_decodes_as_recorded() {
    matches_golden("protocol1");
}

#[test]
fn streamed_and_binary_protocol_2_decodes_as_recorded() {
    matches_golden("protocol2_streaming_binary");
}

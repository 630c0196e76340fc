//! A source in memory: tables, committed transactions, a slot, and connections that send them as pgoutput does.
//!
//! Always: what is sent is what was committed, in commit order, from the confirmed position on; relations are described once per
//! connection; large values that did not change are not sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use readside_model::{Lsn, Timestamp};
use readside_source::Event;

use super::dice::Dice;

/// Texts of a row's columns.
pub(super) type Row = Vec<Option<String>>;
/// Rows by their key's texts.
pub(super) type Rows = BTreeMap<Vec<Option<String>>, Row>;
/// Tables by oid.
pub(super) type Tables = BTreeMap<u32, Rows>;

/// How a table looks in the stream.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    /// Name, type oid.
    pub(super) columns: &'static [(&'static str, u32)],
    pub(super) key: &'static [usize],
    /// Columns whose values are not sent again when they did not change.
    pub(super) large: &'static [usize],
    /// REPLICA IDENTITY FULL.
    pub(super) full: bool,
}

pub(super) const CUSTOMERS: u32 = 101;
pub(super) const ORDERS: u32 = 102;
pub(super) const ITEMS: u32 = 103;
/// A table that no view reads.
const AUDIT: u32 = 104;

const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;

pub(super) const SHAPES: [Shape; 4] = [
    Shape {
        oid: CUSTOMERS,
        name: "customers",
        columns: &[("id", INT4), ("name", TEXT), ("city", TEXT), ("bio", TEXT)],
        key: &[0],
        large: &[3],
        full: false,
    },
    Shape {
        oid: ORDERS,
        name: "orders",
        columns: &[
            ("id", INT8),
            ("customer_id", INT4),
            ("status", TEXT),
            ("amount", INT4),
            ("note", TEXT),
        ],
        key: &[0],
        large: &[4],
        full: true,
    },
    Shape {
        oid: ITEMS,
        name: "items",
        columns: &[
            ("order_id", INT8),
            ("line", INT4),
            ("qty", INT4),
            ("price", NUMERIC),
        ],
        key: &[0, 1],
        large: &[],
        full: false,
    },
    Shape {
        oid: AUDIT,
        name: "audit",
        columns: &[("id", INT4)],
        key: &[0],
        large: &[],
        full: false,
    },
];

fn shape(oid: u32) -> &'static Shape {
    SHAPES.iter().find(|s| s.oid == oid).unwrap()
}

impl Shape {
    fn key_of(&self, row: &Row) -> Vec<Option<String>> {
        self.key.iter().map(|i| row[*i].clone()).collect()
    }
}

#[derive(Debug, Clone)]
enum Change {
    Insert(u32, Row),
    Update(u32, Row, Row),
    Delete(u32, Row),
    Truncate(Vec<u32>),
}

#[derive(Debug, Clone)]
struct Committed {
    first: Lsn,
    commit: Lsn,
    end: Lsn,
    at: Timestamp,
    xid: u32,
    changes: Vec<Change>,
}

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    /// The end of WAL.
    pub(super) wal: u64,
    pub(super) tables: Tables,
    history: Vec<Committed>,
    /// Tables after each transaction, by its end.
    images: BTreeMap<u64, Tables>,
    /// `confirmed_flush_lsn`, while there is a slot.
    pub(super) slot: Option<Lsn>,
}

/// A replication connection.
#[derive(Debug)]
pub(super) struct Connection {
    next: usize,
    frames: VecDeque<Event>,
    described: BTreeSet<u32>,
    /// The client's idea of what may be confirmed.
    pub(super) received: Lsn,
    /// Everything before has been sent.
    sent: Lsn,
}

impl Server {
    pub(super) fn new() -> Server {
        let tables: Tables = SHAPES.iter().map(|s| (s.oid, Rows::new())).collect();
        Server {
            wal: 1_000,
            images: [(0, tables.clone())].into(),
            tables,
            history: Vec::new(),
            slot: None,
        }
    }

    /// The tables as of everything that ends at or before `lsn`.
    pub(super) fn tables_at(&self, lsn: Lsn) -> &Tables {
        self.images.range(..=lsn.0).next_back().unwrap().1
    }

    /// The end of the last transaction at or before `lsn`: the tables are the same from there to `lsn`.
    pub(super) fn image_at(&self, lsn: Lsn) -> u64 {
        *self.images.range(..=lsn.0).next_back().unwrap().0
    }

    /// Every image of the tables that was current from `from` to `to`.
    pub(super) fn images_between(&self, from: Lsn, to: Lsn) -> Vec<u64> {
        self.images
            .range(self.image_at(from)..=to.0)
            .map(|(end, _)| *end)
            .collect()
    }

    /// It goes on from an earlier moment, without a slot: what came after it never happened.
    pub(super) fn fall_back(&mut self, dice: &mut Dice) {
        let kept = self.history.len() - dice.below(self.history.len().min(5) + 1);
        self.history.truncate(kept);
        self.wal = self.history.last().map_or(1_000, |t| t.end.0);
        self.images.retain(|end, _| *end <= self.wal);
        self.tables = self.tables_at(Lsn(self.wal)).clone();
        self.slot = None;
    }

    /// Something that no transaction of ours wrote.
    pub(super) fn noise(&mut self, dice: &mut Dice) {
        self.wal += 8 * (1 + u64::try_from(dice.below(6)).unwrap());
    }

    /// Commits a transaction of random changes.
    pub(super) fn commit(&mut self, dice: &mut Dice) {
        let first = self.wal;
        let mut changes = Vec::new();
        let count = if dice.once_in(12) {
            0
        } else {
            1 + dice.below(4)
        };
        for _ in 0..count {
            self.wal += 8;
            if let Some(change) = self.change(dice) {
                changes.push(change);
            }
        }
        self.wal += 8;
        let commit = Lsn(self.wal);
        self.wal += 8 * (1 + u64::try_from(dice.below(3)).unwrap());
        let end = Lsn(self.wal);
        let xid = 700 + u32::try_from(self.history.len()).unwrap();
        let at = Timestamp(1_000_000 * i64::from(xid));
        self.history.push(Committed {
            first: Lsn(first),
            commit,
            end,
            at,
            xid,
            changes,
        });
        self.images.insert(end.0, self.tables.clone());
    }

    fn change(&mut self, dice: &mut Dice) -> Option<Change> {
        let oid = *dice.pick(&[
            CUSTOMERS, CUSTOMERS, ORDERS, ORDERS, ORDERS, ITEMS, ITEMS, ITEMS, AUDIT,
        ]);
        let shape = shape(oid);
        if dice.once_in(60) {
            let mut oids = vec![oid];
            if dice.once_in(2) && oid != ITEMS {
                oids.push(ITEMS);
            }
            for oid in &oids {
                self.tables.get_mut(oid).unwrap().clear();
            }
            return Some(Change::Truncate(oids));
        }
        let rows = self.tables.get_mut(&oid).unwrap();
        let existing: Vec<Row> = rows.values().cloned().collect();
        let kind = dice.below(10);
        if existing.is_empty() || kind < 4 {
            let row = new_row(oid, dice);
            let key = shape.key_of(&row);
            if rows.contains_key(&key) {
                return None;
            }
            rows.insert(key, row.clone());
            return Some(Change::Insert(oid, row));
        }
        let old = dice.pick(&existing).clone();
        if kind < 6 {
            rows.remove(&shape.key_of(&old));
            return Some(Change::Delete(oid, old));
        }
        let fresh = new_row(oid, dice);
        let mut new = old.clone();
        let change_key = dice.once_in(4);
        for i in 0..new.len() {
            let is_key = shape.key.contains(&i);
            if (is_key && change_key) || (!is_key && dice.once_in(2)) {
                new[i].clone_from(&fresh[i]);
            }
        }
        let (old_key, new_key) = (shape.key_of(&old), shape.key_of(&new));
        if old_key != new_key && rows.contains_key(&new_key) {
            return None;
        }
        rows.remove(&old_key);
        rows.insert(new_key, new.clone());
        Some(Change::Update(oid, old, new))
    }

    /// `START_REPLICATION`: from the later of what is asked for and what was confirmed.
    pub(super) fn connect(&self, asked: Lsn) -> Connection {
        let start = asked.max(self.slot.unwrap());
        let next = self
            .history
            .iter()
            .position(|t| t.commit >= start)
            .unwrap_or(self.history.len());
        Connection {
            next,
            frames: VecDeque::new(),
            described: BTreeSet::new(),
            received: start,
            sent: start,
        }
    }
}

fn new_row(oid: u32, dice: &mut Dice) -> Row {
    let some = |text: &str| Some(text.to_owned());
    let maybe = |dice: &mut Dice, text: String| if dice.once_in(4) { None } else { Some(text) };
    let id = |dice: &mut Dice, n: usize| Some((1 + dice.below(n)).to_string());
    let large = |dice: &mut Dice, what: &str| {
        let text = format!("{what} {} {}", dice.below(4), "lorem ".repeat(3));
        maybe(dice, text)
    };
    match oid {
        CUSTOMERS => {
            let name = some(dice.pick::<&str>(&[
                "ann",
                "bob",
                "zoë",
                "a:b",
                "",
                "poison",
                "\\\"quoted\"",
            ]));
            let city =
                some(dice.pick::<&str>(&["rome", "bonn", "a:b"])).filter(|_| !dice.once_in(4));
            vec![id(dice, 5), name, city, large(dice, "bio")]
        }
        ORDERS => {
            let customer = id(dice, 5).filter(|_| !dice.once_in(5));
            let status = some(dice.pick::<&str>(&["new", "paid", "cancelled", "a:b"]))
                .filter(|_| !dice.once_in(8));
            let amount = Some(dice.below(12).to_string()).filter(|_| !dice.once_in(8));
            vec![id(dice, 7), customer, status, amount, large(dice, "note")]
        }
        ITEMS => {
            let price = format!("{}.{:02}", dice.below(9), dice.below(4) * 25);
            vec![
                id(dice, 7),
                id(dice, 3),
                Some(dice.below(5).to_string()),
                maybe(dice, price),
            ]
        }
        _ => vec![id(dice, 3)],
    }
}

impl Connection {
    /// Frames that wait to be read.
    pub(super) fn waiting(&self) -> usize {
        self.frames.len()
    }

    /// The server sends the next transaction, if there is one.
    pub(super) fn send(&mut self, server: &Server, dice: &mut Dice) -> bool {
        let Some(transaction) = server.history.get(self.next) else {
            return false;
        };
        self.next += 1;
        self.sent = transaction.end;
        let at = |lsn: Lsn, data: Bytes| Event::XLogData {
            wal_start: lsn,
            wal_end: lsn,
            server_time: transaction.at,
            data,
        };
        let mut out = BytesMut::new();
        out.put_u8(b'B');
        out.put_u64(transaction.commit.0);
        out.put_i64(transaction.at.0);
        out.put_u32(transaction.xid);
        self.frames.push_back(at(transaction.commit, out.freeze()));
        for (i, change) in transaction.changes.iter().enumerate() {
            let lsn = Lsn(transaction.first.0 + 8 * u64::try_from(i + 1).unwrap());
            for oid in change.relations() {
                if self.described.insert(oid) {
                    self.frames.push_back(at(lsn, relation(shape(oid))));
                }
            }
            self.frames.push_back(at(lsn, change.encode()));
            if dice.once_in(16) {
                // As the server does while it sends a long transaction.
                self.frames.push_back(Event::Keepalive {
                    wal_end: lsn,
                    server_time: transaction.at,
                    reply_requested: dice.once_in(2),
                });
            }
        }
        let mut out = BytesMut::new();
        out.put_u8(b'C');
        out.put_u8(0);
        out.put_u64(transaction.commit.0);
        out.put_u64(transaction.end.0);
        out.put_i64(transaction.at.0);
        self.frames.push_back(at(transaction.end, out.freeze()));
        true
    }

    /// The server says where it is.
    pub(super) fn keepalive(&mut self, server: &Server, reply_requested: bool) {
        let all_sent = self.next == server.history.len();
        let wal_end = if all_sent {
            self.sent.max(Lsn(server.wal))
        } else {
            self.sent
        };
        self.sent = wal_end;
        self.frames.push_back(Event::Keepalive {
            wal_end,
            server_time: Timestamp(0),
            reply_requested,
        });
    }

    /// The client reads a frame.
    pub(super) fn read(&mut self) -> Option<Event> {
        let event = self.frames.pop_front()?;
        let (Event::XLogData { wal_end, .. } | Event::Keepalive { wal_end, .. }) = &event;
        self.received = self.received.max(*wal_end);
        Some(event)
    }
}

impl Change {
    fn relations(&self) -> Vec<u32> {
        match self {
            Change::Insert(oid, _) | Change::Update(oid, ..) | Change::Delete(oid, _) => vec![*oid],
            Change::Truncate(oids) => oids.clone(),
        }
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Change::Insert(oid, new) => {
                out.put_u8(b'I');
                out.put_u32(*oid);
                out.put_u8(b'N');
                tuple(&mut out, new, &|_| false);
            }
            Change::Update(oid, old, new) => {
                let shape = shape(*oid);
                out.put_u8(b'U');
                out.put_u32(*oid);
                if shape.full || shape.key_of(old) != shape.key_of(new) {
                    old_tuple(&mut out, shape, old);
                }
                out.put_u8(b'N');
                tuple(&mut out, new, &|i| {
                    shape.large.contains(&i) && old[i].is_some() && old[i] == new[i]
                });
            }
            Change::Delete(oid, old) => {
                out.put_u8(b'D');
                out.put_u32(*oid);
                old_tuple(&mut out, shape(*oid), old);
            }
            Change::Truncate(oids) => {
                out.put_u8(b'T');
                out.put_u32(u32::try_from(oids.len()).unwrap());
                out.put_u8(0);
                for oid in oids {
                    out.put_u32(*oid);
                }
            }
        }
        out.freeze()
    }
}

fn old_tuple(out: &mut BytesMut, shape: &Shape, old: &Row) {
    if shape.full {
        out.put_u8(b'O');
        tuple(out, old, &|_| false);
    } else {
        out.put_u8(b'K');
        let key: Row = old
            .iter()
            .enumerate()
            .map(|(i, v)| v.clone().filter(|_| shape.key.contains(&i)))
            .collect();
        tuple(out, &key, &|_| false);
    }
}

fn tuple(out: &mut BytesMut, row: &Row, unchanged: &dyn Fn(usize) -> bool) {
    out.put_u16(u16::try_from(row.len()).unwrap());
    for (i, value) in row.iter().enumerate() {
        match value {
            _ if unchanged(i) => out.put_u8(b'u'),
            None => out.put_u8(b'n'),
            Some(text) => {
                out.put_u8(b't');
                out.put_u32(u32::try_from(text.len()).unwrap());
                out.put_slice(text.as_bytes());
            }
        }
    }
}

fn relation(shape: &Shape) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'R');
    out.put_u32(shape.oid);
    out.put_slice(b"public\0");
    out.put_slice(shape.name.as_bytes());
    out.put_u8(0);
    out.put_u8(if shape.full { b'f' } else { b'd' });
    out.put_u16(u16::try_from(shape.columns.len()).unwrap());
    for (i, (name, oid)) in shape.columns.iter().enumerate() {
        out.put_u8(u8::from(shape.full || shape.key.contains(&i)));
        out.put_slice(name.as_bytes());
        out.put_u8(0);
        out.put_u32(*oid);
        out.put_i32(-1);
    }
    out.freeze()
}

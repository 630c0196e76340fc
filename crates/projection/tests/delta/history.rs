//! What happens to tables: rows, changes that Postgres would accept, and the messages that it would send for them.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::dice::Dice;
use crate::schema::{ColumnSpec, Schema, TableSpec, Ty};

/// A row's columns as text.
pub(crate) type Row = Vec<Option<String>>;

/// Tables' rows by canonical key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tables(pub(crate) BTreeMap<u32, BTreeMap<Vec<String>, Row>>);

/// One change of one row, or a truncation.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Insert(Row),
    Update { old: Row, new: Row },
    Delete(Row),
    Truncate,
}

/// What is equal has one form.
fn canonical(ty: Ty, text: &str) -> String {
    if ty == Ty::Float && text == "-0" {
        return "0".to_owned();
    }
    if ty == Ty::Span {
        return text
            .replace("24:00:00", "1 day")
            .replace("30 days", "1 mon");
    }
    if ty == Ty::Number && text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text.to_owned()
}

fn value(column: &ColumnSpec, dice: &mut Dice, plain: bool) -> Option<String> {
    let null = !column.not_null && dice.one_in(5);
    (!null).then(|| column.ty.value(dice, plain).to_owned())
}

fn row(table: &TableSpec, dice: &mut Dice, plain: bool) -> Row {
    table
        .columns
        .iter()
        .map(|c| value(c, dice, plain))
        .collect()
}

fn key_of(table: &TableSpec, row: &Row) -> Vec<String> {
    table.columns[..table.key]
        .iter()
        .zip(row)
        .map(|(c, v)| canonical(c.ty, v.as_deref().unwrap_or_default()))
        .collect()
}

impl Tables {
    pub(crate) fn empty(schema: &Schema) -> Tables {
        Tables(
            schema
                .tables
                .iter()
                .map(|t| (t.oid, BTreeMap::new()))
                .collect(),
        )
    }

    pub(crate) fn rows(&self, table: &TableSpec) -> impl Iterator<Item = &Row> {
        self.0[&table.oid].values()
    }

    /// Whether Postgres would take this row beside the others than `except`.
    fn fits(&self, table: &TableSpec, row: &Row, except: Option<&[String]>) -> bool {
        let rows = &self.0[&table.oid];
        let key = key_of(table, row);
        let key_free = except == Some(&key) || !rows.contains_key(&key);
        let unique_free = table.unique.is_none_or(|c| {
            let ty = table.columns[c].ty;
            let of = |row: &Row| row[c].as_deref().map(|v| canonical(ty, v));
            of(row).is_none()
                || rows
                    .iter()
                    .all(|(k, other)| except == Some(k) || of(other) != of(row))
        });
        key_free && unique_free
    }

    /// A change that fits, applied.
    pub(crate) fn change(
        &mut self,
        table: &TableSpec,
        dice: &mut Dice,
        plain: bool,
    ) -> Option<Change> {
        let rows: Vec<Row> = self.rows(table).cloned().collect();
        let kind = if rows.is_empty() {
            0
        } else {
            dice.range(0, 40)
        };
        let change = match kind {
            0..=12 => {
                let new = row(table, dice, plain);
                self.fits(table, &new, None)
                    .then_some(Change::Insert(new))?
            }
            13..=31 => {
                let old = dice.pick(&rows).clone();
                let mut new = old.clone();
                for _ in 0..dice.range(1, 2) {
                    let from = if dice.one_in(6) { 0 } else { table.key };
                    let at = dice.range(from, table.columns.len() - 1);
                    new[at] = value(&table.columns[at], dice, plain);
                }
                let fits = self.fits(table, &new, Some(&key_of(table, &old)));
                fits.then_some(Change::Update { old, new })?
            }
            32..=39 => Change::Delete(dice.pick(&rows).clone()),
            _ => dice.one_in(4).then_some(Change::Truncate)?,
        };
        self.apply(table, &change);
        Some(change)
    }

    /// Makes a change.
    pub(crate) fn apply(&mut self, table: &TableSpec, change: &Change) {
        let rows = self.0.get_mut(&table.oid).unwrap();
        match change {
            Change::Insert(new) => {
                rows.insert(key_of(table, new), new.clone());
            }
            Change::Update { old, new } => {
                rows.remove(&key_of(table, old));
                rows.insert(key_of(table, new), new.clone());
            }
            Change::Delete(old) => {
                rows.remove(&key_of(table, old));
            }
            Change::Truncate => rows.clear(),
        }
    }
}

/// The description of a table that comes before its first change.
pub(crate) fn relation(table: &TableSpec) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'R');
    out.put_u32(table.oid);
    out.put_slice(b"public\0");
    out.put_slice(table.name.as_bytes());
    out.put_u8(0);
    out.put_u8(b'd');
    out.put_u16(u16::try_from(table.columns.len()).unwrap());
    for (i, column) in table.columns.iter().enumerate() {
        out.put_u8(u8::from(i < table.key));
        out.put_slice(column.name.as_bytes());
        out.put_u8(0);
        out.put_u32(column.ty.oid());
        out.put_i32(column.ty.typmod());
    }
    out.freeze()
}

/// The message of a change. A text that did not change may come as an unchanged TOAST value.
pub(crate) fn message(table: &TableSpec, change: &Change, dice: &mut Dice) -> Bytes {
    let mut out = BytesMut::new();
    match change {
        Change::Insert(new) => {
            out.put_u8(b'I');
            out.put_u32(table.oid);
            out.put_u8(b'N');
            tuple(&mut out, new, |_| false);
        }
        Change::Update { old, new } => {
            out.put_u8(b'U');
            out.put_u32(table.oid);
            if old[..table.key] != new[..table.key] {
                out.put_u8(b'K');
                key_tuple(&mut out, table, old);
            }
            out.put_u8(b'N');
            let toast: Vec<bool> = (0..new.len())
                .map(|i| {
                    i >= table.key
                        && matches!(table.columns[i].ty, Ty::Text | Ty::Json)
                        && old[i] == new[i]
                        && old[i].is_some()
                        && dice.one_in(3)
                })
                .collect();
            tuple(&mut out, new, |i| toast[i]);
        }
        Change::Delete(old) => {
            out.put_u8(b'D');
            out.put_u32(table.oid);
            out.put_u8(b'K');
            key_tuple(&mut out, table, old);
        }
        Change::Truncate => {
            out.put_u8(b'T');
            out.put_u32(1);
            out.put_u8(0);
            out.put_u32(table.oid);
        }
    }
    out.freeze()
}

fn key_tuple(out: &mut BytesMut, table: &TableSpec, row: &Row) {
    let key: Row = row
        .iter()
        .enumerate()
        .map(|(i, v)| v.clone().filter(|_| i < table.key))
        .collect();
    tuple(out, &key, |_| false);
}

fn tuple(out: &mut BytesMut, row: &Row, unchanged: impl Fn(usize) -> bool) {
    out.put_u16(u16::try_from(row.len()).unwrap());
    for (i, value) in row.iter().enumerate() {
        match value {
            _ if unchanged(i) => out.put_u8(b'u'),
            None => out.put_u8(b'n'),
            Some(text) => {
                out.put_u8(b't');
                out.put_i32(i32::try_from(text.len()).unwrap());
                out.put_slice(text.as_bytes());
            }
        }
    }
}

/// Statements that give a Postgres these rows.
pub(crate) fn inserts(schema: &Schema, tables: &Tables) -> String {
    let mut out = String::new();
    for table in &schema.tables {
        out.push_str(&format!("DELETE FROM {};\n", table.name));
        for row in tables.rows(table) {
            let values: Vec<String> = row
                .iter()
                .map(|v| v.as_ref().map_or("NULL".to_owned(), |v| format!("'{v}'")))
                .collect();
            out.push_str(&format!(
                "INSERT INTO {} VALUES ({});\n",
                table.name,
                values.join(", ")
            ));
        }
    }
    out
}

//! Where everything lies in the state: one ordered key space, told apart by the first byte.
//!
//! | first byte | then | value |
//! | --- | --- | --- |
//! | `0x01` | name of a fact | depends |
//! | `0x10` | table oid, row key | row |
//! | `0x11` | index id, index key, row key | – |
//! | `0x12` | table oid, row key | row of a copy that is not live yet |
//! | `0x20` | stage id, row key | row of an internal table |
//! | `0x21` | stage id, group key | accumulators |
//! | `0x22` | stage id, group key, aggregate, sort key, block key | arguments of a contribution |
//! | `0x22` | stage id, group key, `0xFFFF`, block key | the group key's values in a contribution, if equal ones may look different |
//! | `0x23` | stage id, group key, aggregate, value | how often |
//! | `0x24` | stage id, partition, sort key, block key | outputs of a candidate row |
//! | `0x30` | target id, block key | pending: first, last, when |
//! | `0x31` | target id, first position, block key | – |
//! | `0x32` | target or stage id, block key | dead letter |
//! | `0x33` | target id, key text | key parts: what the sink holds of ours |
//!
//! Oids and ids are four bytes, big endian. Row, index, group and sort keys are made of `encode_key` components, which are
//! self-delimiting and sort as Postgres does.

/// A relation that has rows in state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationId {
    /// A base table, by oid.
    Table(u32),
    /// An internal table, by stage id.
    Stage(u32),
}

pub(crate) const META: u8 = 0x01;
pub(crate) const ROW: u8 = 0x10;
pub(crate) const INDEX: u8 = 0x11;
pub(crate) const SHADOW: u8 = 0x12;
pub(crate) const STAGE_ROW: u8 = 0x20;
pub(crate) const ACCUMULATOR: u8 = 0x21;
pub(crate) const CONTRIBUTION: u8 = 0x22;
pub(crate) const DISTINCT: u8 = 0x23;
pub(crate) const CANDIDATE: u8 = 0x24;
pub(crate) const PENDING: u8 = 0x30;
pub(crate) const QUEUE: u8 = 0x31;
pub(crate) const DEAD: u8 = 0x32;
pub(crate) const WRITTEN: u8 = 0x33;

/// A tag and an id: the prefix of everything of one kind that belongs to one owner.
pub(crate) fn prefix(tag: u8, id: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.push(tag);
    out.extend_from_slice(&id.to_be_bytes());
    out
}

/// The length of [`prefix`].
pub(crate) const PREFIX_LEN: usize = 5;

/// The prefix of a relation's rows.
pub(crate) fn rows(relation: RelationId) -> Vec<u8> {
    match relation {
        RelationId::Table(oid) => prefix(ROW, oid),
        RelationId::Stage(id) => prefix(STAGE_ROW, id),
    }
}

/// The key of one row.
pub(crate) fn row(relation: RelationId, key: &[u8]) -> Vec<u8> {
    let mut out = rows(relation);
    out.extend_from_slice(key);
    out
}

/// The key of a fact.
pub(crate) fn meta(name: &str) -> Vec<u8> {
    let mut out = vec![META];
    out.extend_from_slice(name.as_bytes());
    out
}

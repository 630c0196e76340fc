//! The types of columns and expressions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A Postgres data type, without its modifier.
///
/// Types that readside does not compute with are [`Type::Other`]: their text is carried through unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Type {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `oid`
    Oid,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`
    Numeric,
    /// `text`
    Text,
    /// `character varying`
    Varchar,
    /// `character(n)`, blank padded
    Bpchar,
    /// `name`
    Name,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`, text kept verbatim
    Json,
    /// `jsonb`
    Jsonb,
    /// An enum type of the source.
    Enum(Arc<EnumType>),
    /// A domain over another type.
    Domain(Arc<DomainType>),
    /// An array of the element type.
    Array(Arc<Type>),
    /// A row: named composite or anonymous record.
    Record(Arc<RecordType>),
    /// The type of an untyped literal or of NULL until it is resolved.
    Unknown,
    /// Anything else: carried as text, neither compared nor computed with.
    Other(Arc<OtherType>),
}

/// An enum type: labels in declaration order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnumType {
    /// `pg_type.oid`
    pub oid: u32,
    /// Schema-qualified where not on the search path, quoted where needed; as `format_type` prints it.
    pub name: String,
    /// Labels by `enumsortorder`.
    pub labels: Vec<Arc<str>>,
}

/// A domain: its values behave as the base type's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DomainType {
    /// `pg_type.oid`
    pub oid: u32,
    /// As `format_type` prints it.
    pub name: String,
    /// The type below, never itself a domain.
    pub base: Type,
    /// The modifier that the domain gives the base type, or -1.
    pub typmod: i32,
}

/// A row type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordType {
    /// `pg_type.oid`, 2249 (`record`) for an anonymous one.
    pub oid: u32,
    /// Field names and types in order.
    pub fields: Vec<(Arc<str>, Type)>,
}

/// A type that is only carried.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OtherType {
    /// `pg_type.oid`
    pub oid: u32,
    /// As `format_type` prints it.
    pub name: String,
}

impl Type {
    /// The type with domains looked through.
    #[must_use]
    pub fn base(&self) -> &Type {
        match self {
            Type::Domain(d) => &d.base,
            t => t,
        }
    }
}

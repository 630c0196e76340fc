//! Postgres' data types: values, text and JSON forms, order, canonical equality.
//!
//! In: text as the server prints it under the settings of the replication and COPY connections
//! (`TimeZone=UTC DateStyle=ISO IntervalStyle=postgres extra_float_digits=3 bytea_output=hex`).
//! Out: [`Value`]s, and from them text, JSON and keys, byte for byte as Postgres prints them.
//!
//! Always: pure; no clock, no locale, no I/O.

mod types;
mod value;

pub use types::{DomainType, EnumType, OtherType, RecordType, Type};
pub use value::{Array, EnumLabel, Value};

/// Placeholder shape, replaced by `numeric.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numeric;

/// `interval`: months, days and microseconds are kept apart, as Postgres does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

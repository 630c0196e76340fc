//! One SQL value.

use std::sync::Arc;

use crate::{Interval, Numeric};

/// A value of some [`Type`](crate::Type); the type itself is known from the plan, not carried along.
///
/// `PartialEq` is representation equality (1.0 is not 1.00). Postgres' equality and order are
/// [`compare`](crate::compare) and [`encode_key`](crate::encode_key).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`, `integer`, `bigint`, `oid`
    Int(i64),
    /// `real`
    Float4(f32),
    /// `double precision`
    Float8(f64),
    /// `numeric`
    Numeric(Numeric),
    /// `text`, `varchar`, `char(n)` (with its padding), `name`, and the text of types that are only carried
    Text(Arc<str>),
    /// `bytea`
    Bytea(Arc<[u8]>),
    /// Days since 2000-01-01; `i32::MIN`/`i32::MAX` are -infinity/infinity.
    Date(i32),
    /// Microseconds since midnight, 0..=86_400_000_000.
    Time(i64),
    /// Microseconds since 2000-01-01 00:00; `i64::MIN`/`i64::MAX` are -infinity/infinity.
    Timestamp(i64),
    /// Microseconds since 2000-01-01 00:00 UTC; infinities as above.
    TimestampTz(i64),
    /// `interval`
    Interval(Interval),
    /// `uuid`
    Uuid([u8; 16]),
    /// `json`: the text verbatim.
    Json(Arc<str>),
    /// `jsonb`: the canonical text, exactly as `jsonb_out` prints it.
    Jsonb(Arc<str>),
    /// A label of an enum and its place in the declaration order.
    Enum(EnumLabel),
    /// An array.
    Array(Arc<Array>),
    /// The fields of a row.
    Record(Arc<[Value]>),
}

/// A label of an enum type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumLabel {
    /// Index into [`EnumType::labels`](crate::EnumType::labels).
    pub ordinal: u32,
    /// The label itself.
    pub label: Arc<str>,
}

/// An array value. One dimension is computed with; more are read, shown and compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// `(lower bound, length)` of each dimension; empty for the empty array.
    pub dimensions: Vec<(i32, usize)>,
    /// The elements in row-major order.
    pub elements: Vec<Value>,
}

impl Value {
    /// Whether this is SQL NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// A text value.
    #[must_use]
    pub fn text(s: impl Into<Arc<str>>) -> Value {
        Value::Text(s.into())
    }
}

impl Array {
    /// A one-dimensional array with lower bound 1 (or the empty array).
    #[must_use]
    pub fn one_dimensional(elements: Vec<Value>) -> Array {
        let dimensions = if elements.is_empty() {
            Vec::new()
        } else {
            vec![(1, elements.len())]
        };
        Array {
            dimensions,
            elements,
        }
    }
}

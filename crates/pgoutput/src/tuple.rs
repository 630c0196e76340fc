//! The values of one row, left where they arrived.
//!
//! The encoded form is the protocol's: a count (u16), then per column a kind byte and, for `t` and `b`, a length (i32)
//! and that many bytes. It is checked once, when the message is decoded; afterwards walking it cannot fail.

use bytes::Bytes;

use crate::DecodeError;
use crate::cursor::Cursor;

/// The columns of one row: one shared slice, walked when someone asks.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TupleData {
    /// Count and columns, checked.
    encoded: Bytes,
}

/// One column's value, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnRef<'a> {
    /// SQL NULL; in a key image also every column outside the key.
    Null,
    /// An unchanged TOAST value that was not sent: take it from the old row.
    Unchanged,
    /// The type's text form.
    Text(&'a [u8]),
    /// The type's binary form; only if `binary` was asked for.
    Binary(&'a [u8]),
}

/// One column's value, sharing the message's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// SQL NULL; in a key image also every column outside the key.
    Null,
    /// An unchanged TOAST value that was not sent: take it from the old row.
    Unchanged,
    /// The type's text form.
    Text(Bytes),
    /// The type's binary form; only if `binary` was asked for.
    Binary(Bytes),
}

impl TupleData {
    /// Reads back what [`TupleData::encoded`] gave.
    ///
    /// # Errors
    /// When the bytes are not exactly one tuple.
    pub fn from_encoded(encoded: &Bytes) -> Result<TupleData, DecodeError> {
        let mut cursor = Cursor::new(encoded);
        let tuple = TupleData::read(&mut cursor)?;
        cursor.finish()?;
        Ok(tuple)
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<TupleData, DecodeError> {
        let start = cursor.offset();
        let count = cursor.u16("column count")?;
        for _ in 0..count {
            match cursor.u8("column kind")? {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    let length = cursor.length("column length")?;
                    cursor.take(length, "column value")?;
                }
                kind => return Err(cursor.unexpected("column kind", kind)),
            }
        }
        Ok(TupleData {
            encoded: cursor.since(start),
        })
    }

    /// The protocol's own encoding of the row: small, self-delimiting, shared.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// How many columns the row has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.encoded.get(..2) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        }
    }

    /// Whether the row has no columns at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns in order, borrowed: no allocation, no reference counting.
    #[must_use]
    pub fn iter(&self) -> Columns<'_> {
        Columns {
            rest: self.encoded.get(2..).unwrap_or_default(),
            left: self.len(),
        }
    }

    /// The columns in order, each sharing the buffer.
    #[must_use]
    pub fn shared(&self) -> SharedColumns<'_> {
        SharedColumns {
            encoded: &self.encoded,
            columns: self.iter(),
        }
    }

    /// The column at `index`, found by walking there.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<ColumnRef<'_>> {
        self.iter().nth(index)
    }

    /// Whether some column is an unchanged TOAST value that was not sent.
    #[must_use]
    pub fn has_unchanged(&self) -> bool {
        self.iter().any(|c| matches!(c, ColumnRef::Unchanged))
    }
}

/// Prints kinds and lengths, never values: rows do not belong in logs.
impl std::fmt::Debug for TupleData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TupleData(")?;
        for (i, column) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match column {
                ColumnRef::Null => f.write_str("n")?,
                ColumnRef::Unchanged => f.write_str("u")?,
                ColumnRef::Text(value) => write!(f, "t{}", value.len())?,
                ColumnRef::Binary(value) => write!(f, "b{}", value.len())?,
            }
        }
        f.write_str(")")
    }
}

impl<'a> IntoIterator for &'a TupleData {
    type Item = ColumnRef<'a>;
    type IntoIter = Columns<'a>;

    fn into_iter(self) -> Columns<'a> {
        self.iter()
    }
}

/// Walks a row; see [`TupleData::iter`].
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Columns<'a> {
    fn value(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(value)
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = ColumnRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<ColumnRef<'a>> {
        if self.left == 0 {
            return None;
        }
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.left -= 1;
        match kind {
            b'n' => Some(ColumnRef::Null),
            b'u' => Some(ColumnRef::Unchanged),
            b't' => self.value().map(ColumnRef::Text),
            b'b' => self.value().map(ColumnRef::Binary),
            _ => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Columns<'_> {}

/// Walks a row and shares its values; see [`TupleData::shared`].
#[derive(Debug, Clone)]
pub struct SharedColumns<'a> {
    encoded: &'a Bytes,
    columns: Columns<'a>,
}

impl Iterator for SharedColumns<'_> {
    type Item = Column;

    fn next(&mut self) -> Option<Column> {
        Some(match self.columns.next()? {
            ColumnRef::Null => Column::Null,
            ColumnRef::Unchanged => Column::Unchanged,
            ColumnRef::Text(value) => Column::Text(self.encoded.slice_ref(value)),
            ColumnRef::Binary(value) => Column::Binary(self.encoded.slice_ref(value)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.columns.size_hint()
    }
}

impl ExactSizeIterator for SharedColumns<'_> {}

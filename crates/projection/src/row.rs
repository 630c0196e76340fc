//! How a row lies in state.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | 0: a row; 1: the row's values raised an error, the rest is its SQLSTATE (5) and message |
//! | 1..3 | number of columns, little endian |
//! | 4 × n | where each column ends, counted from the first column's start, little endian |
//! | … | the columns, `encode_value`; no bytes at all for a column that no view reads |

use readside_expr::EvalError;
use readside_pgtype::{Value, decode_value, encode_value};

use crate::ProjectionError;

const HEADER: usize = 3;
const OK: u8 = 0;
const FAILED: u8 = 1;

/// The bytes of a stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row<'a>(pub(crate) &'a [u8]);

impl<'a> Row<'a> {
    /// The error that stands in this row's place.
    pub(crate) fn failed(self) -> Option<EvalError> {
        if self.0.first() != Some(&FAILED) {
            return None;
        }
        let text = |range: std::ops::Range<usize>| {
            self.0
                .get(range)
                .map(|b| String::from_utf8_lossy(b).into_owned())
                .unwrap_or_default()
        };
        let message = self
            .0
            .get(6..)
            .map(|b| String::from_utf8_lossy(b).into_owned())
            .unwrap_or_default();
        Some(EvalError {
            sqlstate: known_sqlstate(&text(1..6)),
            message,
        })
    }

    fn bytes(self, column: usize) -> Option<&'a [u8]> {
        let count = usize::from(u16::from_le_bytes([*self.0.get(1)?, *self.0.get(2)?]));
        if column >= count {
            return None;
        }
        let end = |i: usize| -> Option<usize> {
            let at = HEADER + 4 * i;
            let bytes: [u8; 4] = self.0.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let start = if column == 0 { 0 } else { end(column - 1)? };
        let base = HEADER + 4 * count;
        self.0.get(base + start..base + end(column)?)
    }

    /// The value of a column.
    pub(crate) fn column(self, column: usize) -> Result<Value, ProjectionError> {
        match self.bytes(column) {
            Some(bytes) if !bytes.is_empty() => decode_value(bytes)
                .map_err(|e| ProjectionError::Corrupt(format!("column {column} of a row: {e}"))),
            _ => Err(ProjectionError::Corrupt(format!(
                "column {column} of a row is not there"
            ))),
        }
    }

    /// Whether two images agree in a column, by representation.
    pub(crate) fn same(self, other: Row<'_>, column: usize) -> bool {
        self.bytes(column) == other.bytes(column)
    }

    /// The stored bytes of a column, to be copied into another row.
    pub(crate) fn raw(self, column: usize) -> Option<&'a [u8]> {
        self.bytes(column)
    }
}

/// Builds a row column by column.
#[derive(Debug, Default)]
pub(crate) struct RowWriter {
    ends: Vec<u32>,
    payload: Vec<u8>,
}

impl RowWriter {
    /// A column's value.
    pub(crate) fn push(&mut self, value: &Value) {
        encode_value(&mut self.payload, value);
        self.end();
    }

    /// A column's bytes as another row has them.
    pub(crate) fn push_raw(&mut self, bytes: &[u8]) {
        self.payload.extend_from_slice(bytes);
        self.end();
    }

    /// A column that is not stored.
    pub(crate) fn skip(&mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.ends
            .push(u32::try_from(self.payload.len()).unwrap_or(u32::MAX));
    }

    /// The row's bytes; the writer is empty afterwards.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let count = u16::try_from(self.ends.len()).unwrap_or(u16::MAX);
        let mut out = Vec::with_capacity(HEADER + 4 * self.ends.len() + self.payload.len());
        out.push(OK);
        out.extend_from_slice(&count.to_le_bytes());
        for end in &self.ends {
            out.extend_from_slice(&end.to_le_bytes());
        }
        out.extend_from_slice(&self.payload);
        self.ends.clear();
        self.payload.clear();
        out
    }
}

/// The bytes of a row whose values raised an error.
pub(crate) fn failed_row(error: &EvalError) -> Vec<u8> {
    let mut out = vec![FAILED];
    out.extend_from_slice(error.sqlstate.as_bytes());
    out.extend_from_slice(error.message.as_bytes());
    out
}

fn known_sqlstate(text: &str) -> &'static str {
    const KNOWN: [&str; 17] = [
        "22012", "22003", "22P02", "22007", "22008", "22011", "22001", "21000", "22023", "22004",
        "22021", "22025", "2201F", "2201E", "22P05", "22030", "2202E",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == text)
        .unwrap_or("22000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_and_unstored_ones_are_an_error() {
        let mut writer = RowWriter::default();
        writer.push(&Value::Int(7));
        writer.skip();
        writer.push(&Value::Null);
        writer.push(&Value::text("ä"));
        let bytes = writer.finish();
        let row = Row(&bytes);
        assert_eq!(row.column(0).unwrap(), Value::Int(7));
        assert!(row.column(1).is_err());
        assert_eq!(row.column(2).unwrap(), Value::Null);
        assert_eq!(row.column(3).unwrap(), Value::text("ä"));
        assert!(row.column(4).is_err());
        assert_eq!(row.failed(), None);
        let error = EvalError {
            sqlstate: "22012",
            message: "division by zero".to_owned(),
        };
        assert_eq!(Row(&failed_row(&error)).failed(), Some(error));
    }
}

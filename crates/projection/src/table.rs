//! Base tables in state: what is stored of them, and how a row of the stream becomes a row of state.

use std::collections::{BTreeMap, BTreeSet};

use readside_expr::{ColumnRef, Context, EvalError, Expr, OccId, SubqueryId};
use readside_model::Table;
use readside_pgtype::{Type, Value, encode_key, parse_value};

use crate::row::{Row, RowWriter};

/// A table, ready to take changes.
#[derive(Debug)]
pub struct TableExec {
    /// The table as the views were compiled against it.
    pub table: Table,
    /// Which columns are stored.
    pub stored: Vec<bool>,
    /// The columns of the row key, in key order.
    pub key: Vec<usize>,
    /// Stored generated columns that are computed here, in column order.
    pub generated: BTreeMap<usize, Expr>,
    /// Ids and parts of its indexes.
    pub(crate) indexes: Vec<(u32, Vec<(Expr, Type)>)>,
}

/// A column of an incoming row.
#[derive(Debug, Clone, Copy)]
pub enum Incoming<'a> {
    /// NULL.
    Null,
    /// Its text.
    Text(&'a [u8]),
    /// An unchanged TOAST value: as the stored row has it.
    Unchanged,
    /// Not sent.
    Missing,
}

impl TableExec {
    /// The columns that have to be stored if these are read.
    pub(crate) fn closure(
        table: &Table,
        generated: &BTreeMap<usize, Expr>,
        key: &[usize],
        read: &BTreeSet<usize>,
    ) -> Vec<bool> {
        let mut wanted = read.clone();
        wanted.extend(key);
        for (column, expr) in generated {
            if wanted.contains(column) {
                wanted.extend(expr.columns().iter().map(|c| usize::from(c.column)));
            }
        }
        (0..table.columns.len())
            .map(|i| wanted.contains(&i))
            .collect()
    }

    /// Names and types of all columns: what must not change unnoticed.
    #[must_use]
    pub fn layout(table: &Table) -> Vec<String> {
        table
            .columns
            .iter()
            .map(|c| format!("{} {} {:?} {}", c.attnum, c.name, c.ty, c.typmod))
            .collect()
    }

    /// Whether rows carry the leaf that they lie in.
    fn has_leaf(&self) -> bool {
        !self.table.leaves.is_empty()
    }

    /// The row and its key.
    ///
    /// # Errors
    /// The reason in words.
    pub(crate) fn row<'v>(
        &self,
        leaf: u32,
        incoming: &dyn Fn(usize) -> Incoming<'v>,
        old: Option<Row<'_>>,
    ) -> Result<(Vec<u8>, Vec<u8>), String> {
        let mut writer = RowWriter::default();
        let mut values: Vec<Option<Value>> = vec![None; self.table.columns.len()];
        let keep_values = !self.generated.is_empty();
        if keep_values {
            for i in
                (0..values.len()).filter(|i| self.stored[*i] && !self.generated.contains_key(i))
            {
                values[i] = Some(self.value(i, incoming(i), old)?);
            }
            for (i, expr) in self.generated.iter().filter(|(i, _)| self.stored[**i]) {
                let value = expr.eval(&Computing { values: &values }).map_err(|e| {
                    format!(
                        "generated column `{}` cannot be computed: {e}",
                        self.table.columns[*i].name
                    )
                })?;
                values[*i] = Some(value);
            }
        }
        let mut key_values: Vec<Option<Value>> = vec![None; self.key.len()];
        for (i, known) in values.iter_mut().enumerate() {
            if !self.stored[i] {
                writer.skip();
                continue;
            }
            let at_key = self.key.iter().position(|k| *k == i);
            let value = match known.take() {
                Some(value) => value,
                None => {
                    let kept = match incoming(i) {
                        Incoming::Unchanged if at_key.is_none() => {
                            old.and_then(|row| row.raw(i)).filter(|raw| !raw.is_empty())
                        }
                        _ => None,
                    };
                    if let Some(raw) = kept {
                        writer.push_raw(raw);
                        continue;
                    }
                    self.value(i, incoming(i), old)?
                }
            };
            writer.push(&value);
            if let Some(at) = at_key {
                key_values[at] = Some(value);
            }
        }
        if self.has_leaf() {
            writer.push(&Value::Int(i64::from(leaf)));
        }
        let mut key = Vec::new();
        for (value, column) in key_values.iter().zip(&self.key) {
            let Some(value) = value else {
                return Err("a key column has no value".to_owned());
            };
            encode_key(&mut key, value, &self.table.columns[*column].ty);
        }
        Ok((key, writer.finish()))
    }

    fn value(
        &self,
        column: usize,
        incoming: Incoming<'_>,
        old: Option<Row<'_>>,
    ) -> Result<Value, String> {
        let definition = &self.table.columns[column];
        match incoming {
            Incoming::Null => Ok(Value::Null),
            Incoming::Text(bytes) => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| format!("column `{}` is not UTF-8", definition.name))?;
                parse_value(&definition.ty, text)
                    .map_err(|e| format!("column `{}`: {e}", definition.name))
            }
            Incoming::Unchanged => {
                let raw = old
                    .and_then(|row| row.raw(column))
                    .filter(|raw| !raw.is_empty())
                    .ok_or_else(|| {
                        format!(
                            "column `{}` came without its value, and the old row is not in state",
                            definition.name
                        )
                    })?;
                readside_pgtype::decode_value(raw).map_err(|e| e.to_string())
            }
            Incoming::Missing => Err(format!("column `{}` was not sent", definition.name)),
        }
    }

    /// The key of an old row as the stream names it.
    pub(crate) fn old_key<'v>(
        &self,
        incoming: &dyn Fn(usize) -> Incoming<'v>,
    ) -> Result<Vec<u8>, String> {
        let mut key = Vec::new();
        for column in &self.key {
            let definition = &self.table.columns[*column];
            match incoming(*column) {
                Incoming::Text(bytes) => {
                    let text = std::str::from_utf8(bytes)
                        .map_err(|_| format!("column `{}` is not UTF-8", definition.name))?;
                    let value = parse_value(&definition.ty, text)
                        .map_err(|e| format!("column `{}`: {e}", definition.name))?;
                    encode_key(&mut key, &value, &definition.ty);
                }
                Incoming::Null => encode_key(&mut key, &Value::Null, &definition.ty),
                _ => {
                    return Err(format!(
                        "the old row came without key column `{}`",
                        definition.name
                    ));
                }
            }
        }
        Ok(key)
    }

    /// The leaf that a stored row lies in.
    pub(crate) fn leaf_of(&self, row: Row<'_>) -> Option<u32> {
        match row.column(self.table.columns.len()) {
            Ok(Value::Int(leaf)) if self.has_leaf() => u32::try_from(leaf).ok(),
            _ => None,
        }
    }
}

/// The columns of a row that is being built.
struct Computing<'a> {
    values: &'a [Option<Value>],
}

impl Context for Computing<'_> {
    fn column(&self, column: ColumnRef) -> Result<Value, EvalError> {
        Ok(self
            .values
            .get(usize::from(column.column))
            .cloned()
            .flatten()
            .unwrap_or(Value::Null))
    }

    fn present(&self, _: OccId) -> bool {
        true
    }

    fn subquery(&self, _: SubqueryId) -> Result<Value, EvalError> {
        Ok(Value::Null)
    }
}

/// One stored row as occurrence 0, for index expressions.
pub(crate) struct RowContext<'a>(pub(crate) Row<'a>);

impl Context for RowContext<'_> {
    fn column(&self, column: ColumnRef) -> Result<Value, EvalError> {
        self.0.column(usize::from(column.column)).map_err(|error| {
            self.0.failed().unwrap_or_else(|| EvalError {
                sqlstate: "XX000",
                message: error.to_string(),
            })
        })
    }

    fn present(&self, _: OccId) -> bool {
        true
    }

    fn subquery(&self, _: SubqueryId) -> Result<Value, EvalError> {
        Ok(Value::Null)
    }
}

/// Appends the index key of a row; false if it has none (a part is NULL or raises an error, so that nothing finds it).
pub(crate) fn index_key(parts: &[(Expr, Type)], row: Row<'_>, out: &mut Vec<u8>) -> bool {
    let context = RowContext(row);
    for (expr, ty) in parts {
        match expr.eval(&context) {
            Ok(value) if !value.is_null() => encode_key(out, &value, ty),
            _ => return false,
        }
    }
    true
}

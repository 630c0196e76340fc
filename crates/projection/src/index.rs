//! Indexes over tables and internal tables: kept with each batch, built from nothing.

use std::collections::BTreeSet;

use readside_expr::Expr;
use readside_pgtype::Type;
use readside_state::{Read, State};

use crate::ProjectionError;
use crate::keyspace::{self, RelationId};
use crate::row::Row;
use crate::table::index_key;

/// How many entries one piece of a long piece of work writes before it lets the state flush.
const PIECE: usize = 20_000;

pub(crate) fn update_indexes(
    state: &mut State,
    before: &dyn Read,
    relation: RelationId,
    indexes: &[(u32, Vec<(Expr, Type)>)],
    keys: &BTreeSet<Vec<u8>>,
) -> Result<(), ProjectionError> {
    for (id, parts) in indexes {
        for key in keys {
            let at = keyspace::row(relation, key);
            let entry = |row: Option<&[u8]>| {
                let mut out = keyspace::prefix(keyspace::INDEX, *id);
                let has = row.is_some_and(|row| index_key(parts, Row(row), &mut out));
                has.then(|| {
                    out.extend_from_slice(key);
                    out
                })
            };
            let old = entry(before.get(&at)?);
            let new = entry(state.get(&at)?);
            if old != new {
                if let Some(old) = old {
                    state.delete(&old)?;
                }
                if let Some(new) = new {
                    state.put(&new, &[])?;
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn build_index(
    state: &mut State,
    id: u32,
    parts: &[(Expr, Type)],
    relation: RelationId,
) -> Result<(), ProjectionError> {
    state.delete_prefix(&keyspace::prefix(keyspace::INDEX, id))?;
    state.commit(state.committed());
    let snapshot = state.snapshot()?;
    let prefix = keyspace::rows(relation);
    let mut written = 0;
    for entry in snapshot.scan(&prefix, None)? {
        let (key, row) = entry?;
        let mut out = keyspace::prefix(keyspace::INDEX, id);
        if index_key(parts, Row(row), &mut out) {
            out.extend_from_slice(&key[prefix.len()..]);
            state.put(&out, &[])?;
            written += 1;
            if written % PIECE == 0 {
                state.commit(state.committed());
                state.maybe_flush()?;
            }
        }
    }
    Ok(())
}

//! The TOPN head: the first rows of each partition, from an ordered index of all candidates.
//!
//! In: for each touched block key its candidate row before and after. Out: the row keys of the internal table that changed.

use std::collections::BTreeSet;

use readside_expr::{EvalError, Expr};
use readside_pgtype::{Type, Value, encode_key};
use readside_plan::SortKey;
use readside_state::{Read, State};

use crate::ProjectionError;
use crate::eval::Evaluator;
use crate::group::encode_sort;
use crate::keyspace::{self, RelationId};
use crate::row::{RowWriter, failed_row};

/// A TOPN head, ready to run.
#[derive(Debug)]
pub(crate) struct TopNExec {
    stage: u32,
    partition: Vec<Expr>,
    partition_types: Vec<Type>,
    order: Vec<SortKey>,
    outputs: Vec<Expr>,
    limit: usize,
}

/// A row that may be among the first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    partition: Vec<u8>,
    sort: Vec<u8>,
    row: Vec<u8>,
}

impl TopNExec {
    pub(crate) fn new(
        stage: u32,
        partition: &[Expr],
        partition_types: Vec<Type>,
        order: &[SortKey],
        outputs: &[Expr],
        limit: u64,
    ) -> TopNExec {
        TopNExec {
            stage,
            partition: partition.to_vec(),
            partition_types,
            order: order.to_vec(),
            outputs: outputs.to_vec(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    /// The candidate of the current binding; an error if it belongs to no partition or place.
    pub(crate) fn candidate(
        &self,
        at: &Evaluator<'_, '_>,
    ) -> Result<Result<Candidate, EvalError>, ProjectionError> {
        let mut values = Vec::new();
        let mut partition = Vec::new();
        for (expr, ty) in self.partition.iter().zip(&self.partition_types) {
            match at.value(expr)? {
                Ok(value) => {
                    encode_key(&mut partition, &value, ty);
                    values.push(value);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut sort = Vec::new();
        for key in &self.order {
            match at.value(&key.expr)? {
                Ok(value) => {
                    encode_sort(&mut sort, &value, &key.ty, key.descending, key.nulls_first)
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut failed = None;
        for output in &self.outputs {
            match at.value(output)? {
                Ok(value) => values.push(value),
                Err(error) => failed = Some(error),
            }
        }
        let row = failed.map_or_else(|| row_of(&values), |error| failed_row(&error));
        Ok(Ok(Candidate {
            partition,
            sort,
            row,
        }))
    }

    /// Replaces a block key's candidate.
    pub(crate) fn apply(
        &self,
        state: &mut State,
        partitions: &mut BTreeSet<Vec<u8>>,
        block_key: &[u8],
        before: Option<&Candidate>,
        after: Option<&Candidate>,
    ) -> Result<(), ProjectionError> {
        if before == after {
            return Ok(());
        }
        if let Some(candidate) = before {
            state.delete(&self.place(candidate, block_key))?;
            partitions.insert(candidate.partition.clone());
        }
        if let Some(candidate) = after {
            state.put(&self.place(candidate, block_key), &candidate.row)?;
            partitions.insert(candidate.partition.clone());
        }
        Ok(())
    }

    /// Brings the internal table of the touched partitions up to date; gives the keys of changed rows.
    pub(crate) fn finish(
        &self,
        state: &mut State,
        partitions: &BTreeSet<Vec<u8>>,
    ) -> Result<BTreeSet<Vec<u8>>, ProjectionError> {
        let mut changed = BTreeSet::new();
        for partition in partitions {
            let mut candidates = keyspace::prefix(keyspace::CANDIDATE, self.stage);
            candidates.extend_from_slice(partition);
            let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for entry in state.scan(&candidates, None)?.take(self.limit) {
                let (key, row) = entry?;
                let mut row_key = partition.clone();
                if self.limit > 1 {
                    row_key.extend_from_slice(&key[candidates.len()..]);
                }
                wanted.push((row_key, row.to_vec()));
            }
            let relation = RelationId::Stage(self.stage);
            let prefix = keyspace::row(relation, partition);
            let skip = keyspace::PREFIX_LEN;
            let mut present: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for entry in state.scan(&prefix, None)? {
                let (key, row) = entry?;
                present.push((key[skip..].to_vec(), row.to_vec()));
            }
            for (key, _) in &present {
                if !wanted.iter().any(|(w, _)| w == key) {
                    state.delete(&keyspace::row(relation, key))?;
                    changed.insert(key.clone());
                }
            }
            for (key, row) in wanted {
                if !present.iter().any(|(k, r)| *k == key && *r == row) {
                    state.put(&keyspace::row(relation, &key), &row)?;
                    changed.insert(key);
                }
            }
        }
        Ok(changed)
    }

    fn place(&self, candidate: &Candidate, block_key: &[u8]) -> Vec<u8> {
        let mut out = keyspace::prefix(keyspace::CANDIDATE, self.stage);
        out.extend_from_slice(&candidate.partition);
        out.extend_from_slice(&candidate.sort);
        out.extend_from_slice(block_key);
        out
    }
}

fn row_of(values: &[Value]) -> Vec<u8> {
    let mut writer = RowWriter::default();
    for value in values {
        writer.push(value);
    }
    writer.finish()
}

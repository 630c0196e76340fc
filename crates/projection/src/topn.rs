//! The TOPN head: the first rows of each partition, from an ordered index of all candidates.
//!
//! In: for each touched block key its candidate row before and after. Out: the row keys of the internal table that changed.

use std::collections::{BTreeMap, BTreeSet};

use readside_expr::{EvalError, Expr, Ranking};
use readside_pgtype::{Type, Value, encode_key, skip_key};
use readside_plan::SortKey;
use readside_state::{Read, State};

use crate::ProjectionError;
use crate::eval::Evaluator;
use crate::group::encode_sort;
use crate::keyspace::{self, RelationId};
use crate::row::{Row, RowWriter, failed_row};

/// A TOPN head, ready to run.
#[derive(Debug)]
pub(crate) struct TopNExec {
    stage: u32,
    partition: Vec<Expr>,
    partition_types: Vec<Type>,
    order: Vec<SortKey>,
    outputs: Vec<Expr>,
    limit: usize,
    ranking: Option<Ranking>,
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
        ranking: Option<Ranking>,
    ) -> TopNExec {
        TopNExec {
            stage,
            partition: partition.to_vec(),
            partition_types,
            order: order.to_vec(),
            outputs: outputs.to_vec(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            ranking,
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
            let mut wanted: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut place = Place::default();
            for entry in state.scan(&candidates, None)?.take(self.limit) {
                let (key, row) = entry?;
                let rest = &key[candidates.len()..];
                let mut row_key = partition.clone();
                if self.limit > 1 {
                    row_key.extend_from_slice(rest);
                }
                let row = match self.ranking {
                    Some(ranking) => {
                        let rank = place.next(ranking, self.sort_of(rest)?);
                        with_rank(Row(row), rank)
                    }
                    None => row.to_vec(),
                };
                wanted.insert(row_key, row);
            }
            let relation = RelationId::Stage(self.stage);
            let prefix = keyspace::row(relation, partition);
            let skip = keyspace::PREFIX_LEN;
            let mut gone = Vec::new();
            for entry in state.scan(&prefix, None)? {
                let (key, row) = entry?;
                let key = &key[skip..];
                match wanted.get(key) {
                    Some(same) if same == row => {
                        wanted.remove(key);
                    }
                    Some(_) => {}
                    None => gone.push(key.to_vec()),
                }
            }
            for key in gone {
                state.delete(&keyspace::row(relation, &key))?;
                changed.insert(key);
            }
            for (key, row) in wanted {
                state.put(&keyspace::row(relation, &key), &row)?;
                changed.insert(key);
            }
        }
        Ok(changed)
    }

    /// The sort keys at the start of what follows the partition.
    fn sort_of<'k>(&self, rest: &'k [u8]) -> Result<&'k [u8], ProjectionError> {
        let mut end = 0;
        for _ in &self.order {
            let key = rest.get(end..).unwrap_or_default();
            end += match key.split_first() {
                Some((1, value)) => 1 + skip_key(value).ok_or_else(damaged)?,
                Some(_) => 1,
                None => return Err(damaged()),
            };
        }
        rest.get(..end).ok_or_else(damaged)
    }

    fn place(&self, candidate: &Candidate, block_key: &[u8]) -> Vec<u8> {
        let mut out = keyspace::prefix(keyspace::CANDIDATE, self.stage);
        out.extend_from_slice(&candidate.partition);
        out.extend_from_slice(&candidate.sort);
        out.extend_from_slice(block_key);
        out
    }
}

fn damaged() -> ProjectionError {
    ProjectionError::Corrupt("a place in an order".to_owned())
}

/// Where in its partition a row stands.
#[derive(Debug, Default)]
struct Place {
    rows: i64,
    rank: i64,
    dense: i64,
    sort: Option<Vec<u8>>,
}

impl Place {
    /// The rank of the next row in order.
    fn next(&mut self, ranking: Ranking, sort: &[u8]) -> i64 {
        self.rows += 1;
        if self.sort.as_deref() != Some(sort) {
            self.rank = self.rows;
            self.dense += 1;
            self.sort = Some(sort.to_vec());
        }
        match ranking {
            Ranking::RowNumber => self.rows,
            Ranking::Rank => self.rank,
            Ranking::DenseRank => self.dense,
        }
    }
}

/// A row with its rank as a further column; one that raised an error stays what it is.
fn with_rank(row: Row<'_>, rank: i64) -> Vec<u8> {
    if row.failed().is_some() {
        return row.0.to_vec();
    }
    let mut writer = RowWriter::default();
    let mut column = 0;
    while let Some(bytes) = row.raw(column) {
        writer.push_raw(bytes);
        column += 1;
    }
    writer.push(&Value::Int(rank));
    writer.finish()
}

fn row_of(values: &[Value]) -> Vec<u8> {
    let mut writer = RowWriter::default();
    for value in values {
        writer.push(value);
    }
    writer.finish()
}

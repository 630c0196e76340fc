//! The GROUP head: accumulators per group, and an internal table of results.
//!
//! In: for each touched block key its contribution before and after. Out: the row keys of groups whose row changed.
//!
//! Always: accumulators are what recomputing them from the block's rows would give. A group exists by its row count; it is dead
//! (its row is an error) while one of its contributions raises one.

use std::collections::{BTreeMap, BTreeSet};

use readside_aggregate::{Accumulator, AggCall, collect};
use readside_expr::{EvalError, Expr};
use readside_pgtype::{
    Type, Value, decode_value_prefix, encode_key, encode_key_desc, encode_value,
};
use readside_state::{Read, State};

use crate::ProjectionError;
use crate::eval::Evaluator;
use crate::keyspace::{self, RelationId};
use crate::nested::Arguments;
use crate::row::{RowWriter, failed_row};

/// How one aggregate is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// In an accumulator.
    Accumulated,
    /// In an accumulator over distinct values, each with a count.
    Distinct,
    /// In an accumulator over distinct values that may look different, each the first of an ordered index.
    DistinctFirst,
    /// The first of an ordered index (min, max).
    Extreme { descending: bool },
    /// Collected from an ordered index.
    Collected,
}

/// A GROUP head, ready to run.
#[derive(Debug)]
pub(crate) struct GroupExec {
    stage: u32,
    keys: Vec<Expr>,
    key_types: Vec<Type>,
    /// Whether equal keys may look different, so that it matters whose are shown.
    keys_vary: bool,
    calls: Vec<(AggCall, Kept)>,
}

/// What one block row gives to its group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contribution {
    keys: Vec<Value>,
    calls: Vec<Result<Option<Arguments>, EvalError>>,
}

impl Contribution {
    /// Whether the two look the same: −0 and 0 are equal and do not.
    fn is_identical(&self, other: &Contribution) -> bool {
        are_identical(&self.keys, &other.keys)
            && self.calls.len() == other.calls.len()
            && self.calls.iter().zip(&other.calls).all(|pair| match pair {
                (Ok(Some((args, sort))), Ok(Some((other_args, other_sort)))) => {
                    are_identical(args, other_args) && are_identical(sort, other_sort)
                }
                (call, other) => call == other,
            })
    }
}

fn are_identical(values: &[Value], others: &[Value]) -> bool {
    let identical = |(value, other): (&Value, &Value)| match (value, other) {
        (Value::Float4(a), Value::Float4(b)) => a.to_bits() == b.to_bits(),
        (Value::Float8(a), Value::Float8(b)) => a.to_bits() == b.to_bits(),
        (Value::Array(a), Value::Array(b)) => {
            a.dimensions == b.dimensions && are_identical(&a.elements, &b.elements)
        }
        (Value::Record(a), Value::Record(b)) => are_identical(a, b),
        (value, other) => value == other,
    };
    values.len() == others.len() && values.iter().zip(others).all(identical)
}

/// What a batch has loaded and changed of the groups.
#[derive(Default)]
pub(crate) struct Groups {
    touched: BTreeMap<Vec<u8>, GroupState>,
}

struct GroupState {
    rows: i64,
    errors: i64,
    keys: Vec<Value>,
    accumulators: Vec<Option<Accumulator>>,
}

impl GroupExec {
    pub(crate) fn new(
        stage: u32,
        keys: &[Expr],
        key_types: Vec<Type>,
        aggregates: &[AggCall],
    ) -> GroupExec {
        let calls = aggregates
            .iter()
            .map(|call| {
                let kept = match call.func.extreme() {
                    Some(descending) => Kept::Extreme { descending },
                    None if call.func.needs_order_index() || !call.order.is_empty() => {
                        Kept::Collected
                    }
                    None if call.distinct && call.arg_types.iter().any(varies) => {
                        Kept::DistinctFirst
                    }
                    None if call.distinct => Kept::Distinct,
                    None => Kept::Accumulated,
                };
                (call.clone(), kept)
            })
            .collect();
        GroupExec {
            stage,
            keys: keys.to_vec(),
            keys_vary: key_types.iter().any(varies),
            key_types,
            calls,
        }
    }

    /// Whether the head has one row whatever comes.
    pub(crate) fn is_global(&self) -> bool {
        self.keys.is_empty()
    }

    /// The contribution of the current binding; an error if it belongs to no group.
    pub(crate) fn contribution(
        &self,
        at: &Evaluator<'_, '_>,
    ) -> Result<Result<Contribution, EvalError>, ProjectionError> {
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            match at.value(key)? {
                Ok(value) => keys.push(value),
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut calls = Vec::with_capacity(self.calls.len());
        for (call, _) in &self.calls {
            calls.push(at.arguments(call)?);
        }
        Ok(Ok(Contribution { keys, calls }))
    }

    fn group_key(&self, contribution: &Contribution) -> Vec<u8> {
        let mut out = Vec::new();
        for (value, ty) in contribution.keys.iter().zip(&self.key_types) {
            encode_key(&mut out, value, ty);
        }
        out
    }

    /// Makes sure that the one group of a global aggregate is there.
    pub(crate) fn ensure_global(
        &self,
        state: &State,
        groups: &mut Groups,
    ) -> Result<(), ProjectionError> {
        if self.is_global() {
            self.load(state, groups, &[], &[])?;
        }
        Ok(())
    }

    /// Retracts what a block key contributed and adds what it contributes now.
    pub(crate) fn apply(
        &self,
        state: &mut State,
        groups: &mut Groups,
        block_key: &[u8],
        before: Option<&Contribution>,
        after: Option<&Contribution>,
    ) -> Result<(), ProjectionError> {
        let same = match (before, after) {
            (Some(before), Some(after)) => before.is_identical(after),
            (before, after) => before.is_none() && after.is_none(),
        };
        if same {
            return Ok(());
        }
        for (contribution, sign) in [(before, -1), (after, 1)] {
            if let Some(contribution) = contribution {
                let key = self.group_key(contribution);
                self.load(state, groups, &key, &contribution.keys)?;
                self.add(state, groups, &key, block_key, contribution, sign)?;
            }
        }
        Ok(())
    }

    fn load(
        &self,
        state: &State,
        groups: &mut Groups,
        key: &[u8],
        shown: &[Value],
    ) -> Result<(), ProjectionError> {
        if groups.touched.contains_key(key) {
            return Ok(());
        }
        let found = match state.get(&self.key(keyspace::ACCUMULATOR, key))? {
            Some(bytes) => self.decode(bytes)?,
            None => GroupState {
                rows: 0,
                errors: 0,
                keys: shown.to_vec(),
                accumulators: self
                    .calls
                    .iter()
                    .map(|(call, kept)| match kept {
                        Kept::Accumulated | Kept::Distinct | Kept::DistinctFirst => {
                            Some(Accumulator::new(&call.func))
                        }
                        _ => None,
                    })
                    .collect(),
            },
        };
        groups.touched.insert(key.to_vec(), found);
        Ok(())
    }

    fn add(
        &self,
        state: &mut State,
        groups: &mut Groups,
        key: &[u8],
        block_key: &[u8],
        contribution: &Contribution,
        sign: i64,
    ) -> Result<(), ProjectionError> {
        let Some(group) = groups.touched.get_mut(key) else {
            return Ok(());
        };
        if group.rows == 0 && sign > 0 {
            group.keys.clone_from(&contribution.keys);
        }
        group.rows += sign;
        if self.keys_vary {
            let mut at = self.call_key(keyspace::CONTRIBUTION, key, KEYS);
            at.extend_from_slice(block_key);
            put_or_delete(state, &at, &contribution.keys, sign)?;
        }
        if contribution.calls.iter().any(Result::is_err) {
            group.errors += sign;
            return Ok(());
        }
        for (i, ((call, kept), values)) in self.calls.iter().zip(&contribution.calls).enumerate() {
            let Ok(Some((args, sort))) = values else {
                continue;
            };
            match kept {
                Kept::Accumulated => accumulate(&mut group.accumulators[i], args, sign),
                Kept::Distinct => {
                    if args.iter().any(Value::is_null) {
                        continue;
                    }
                    let mut at = self.call_key(keyspace::DISTINCT, key, i);
                    for (arg, ty) in args.iter().zip(&call.arg_types) {
                        encode_key(&mut at, arg, ty);
                    }
                    let count = match state.get(&at)? {
                        Some(bytes) => i64::from_le_bytes(bytes.try_into().map_err(|_| {
                            ProjectionError::Corrupt("a distinct count".to_owned())
                        })?),
                        None => 0,
                    };
                    let now = count + sign;
                    if now == 0 {
                        state.delete(&at)?;
                    } else {
                        state.put(&at, &now.to_le_bytes())?;
                    }
                    if count == 0 || now == 0 {
                        accumulate(&mut group.accumulators[i], args, sign);
                    }
                }
                Kept::DistinctFirst => {
                    if args.iter().any(Value::is_null) {
                        continue;
                    }
                    let mut at = self.call_key(keyspace::CONTRIBUTION, key, i);
                    for (arg, ty) in args.iter().zip(&call.arg_types) {
                        encode_key(&mut at, arg, ty);
                    }
                    let was = first_args(state, &at)?;
                    let prefix = at.len();
                    at.extend_from_slice(block_key);
                    put_or_delete(state, &at, args, sign)?;
                    let is = first_args(state, &at[..prefix])?;
                    let same = match (&was, &is) {
                        (Some(was), Some(is)) => are_identical(was, is),
                        (was, is) => was.is_none() && is.is_none(),
                    };
                    if !same {
                        for (args, sign) in [(was, -1), (is, 1)] {
                            if let Some(args) = args {
                                accumulate(&mut group.accumulators[i], &args, sign);
                            }
                        }
                    }
                }
                Kept::Extreme { descending } => {
                    let Some(value) = args.first().filter(|v| !v.is_null()) else {
                        continue;
                    };
                    let mut at = self.call_key(keyspace::CONTRIBUTION, key, i);
                    let ty = call.arg_types.first().unwrap_or(&Type::Unknown);
                    if *descending {
                        encode_key_desc(&mut at, value, ty);
                    } else {
                        encode_key(&mut at, value, ty);
                    }
                    at.extend_from_slice(block_key);
                    put_or_delete(state, &at, args, sign)?;
                }
                Kept::Collected => {
                    let mut at = self.call_key(keyspace::CONTRIBUTION, key, i);
                    if call.order.is_empty() && call.distinct {
                        for (arg, ty) in args.iter().zip(&call.arg_types) {
                            encode_key(&mut at, arg, ty);
                        }
                    }
                    for (value, sort) in sort.iter().zip(&call.order) {
                        encode_sort(&mut at, value, &sort.ty, sort.descending, sort.nulls_first);
                    }
                    at.extend_from_slice(block_key);
                    put_or_delete(state, &at, args, sign)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the touched groups' accumulators, and the rows of the internal table that differ; gives the latters' keys.
    pub(crate) fn finish(
        &self,
        state: &mut State,
        groups: Groups,
    ) -> Result<BTreeSet<Vec<u8>>, ProjectionError> {
        let mut changed = BTreeSet::new();
        for (key, mut group) in groups.touched {
            if self.keys_vary {
                let first = first_args(state, &self.call_key(keyspace::CONTRIBUTION, &key, KEYS))?;
                group.keys = first.unwrap_or(group.keys);
            }
            let at = self.key(keyspace::ACCUMULATOR, &key);
            let gone = group.rows == 0 && !self.is_global();
            let row = if gone {
                None
            } else {
                Some(self.row(state, &key, &group)?)
            };
            if gone {
                state.delete(&at)?;
            } else {
                state.put(&at, &self.encode(&group))?;
            }
            let row_at = keyspace::row(RelationId::Stage(self.stage), &key);
            if state.get(&row_at)? != row.as_deref() {
                match row {
                    Some(row) => state.put(&row_at, &row)?,
                    None => state.delete(&row_at)?,
                }
                changed.insert(key);
            }
        }
        Ok(changed)
    }

    fn row(
        &self,
        state: &State,
        key: &[u8],
        group: &GroupState,
    ) -> Result<Vec<u8>, ProjectionError> {
        if group.errors > 0 {
            return Ok(failed_row(&dead(group)));
        }
        let mut writer = RowWriter::default();
        for value in &group.keys {
            writer.push(value);
        }
        for (i, (call, kept)) in self.calls.iter().enumerate() {
            let value = match kept {
                Kept::Accumulated | Kept::Distinct | Kept::DistinctFirst => {
                    match &group.accumulators[i] {
                        Some(accumulator) => accumulator.value(),
                        None => Ok(Value::Null),
                    }
                }
                Kept::Extreme { .. } => {
                    match state.first(&self.call_key(keyspace::CONTRIBUTION, key, i))? {
                        Some((_, bytes)) => Ok(decode_args(bytes)?
                            .into_iter()
                            .next()
                            .unwrap_or(Value::Null)),
                        None => Ok(Value::Null),
                    }
                }
                Kept::Collected => {
                    let mut rows: Vec<Vec<Value>> = Vec::new();
                    let mut seen = BTreeSet::new();
                    for entry in state.scan(&self.call_key(keyspace::CONTRIBUTION, key, i), None)? {
                        let args = decode_args(entry?.1)?;
                        if call.distinct {
                            let mut canonical = Vec::new();
                            for (arg, ty) in args.iter().zip(&call.arg_types) {
                                encode_key(&mut canonical, arg, ty);
                            }
                            if !seen.insert(canonical) {
                                continue;
                            }
                        }
                        rows.push(args);
                    }
                    collect(
                        &call.func,
                        &call.arg_types,
                        &mut rows.iter().map(Vec::as_slice),
                    )
                }
            };
            match value {
                Ok(value) => writer.push(&value),
                Err(error) => return Ok(failed_row(&error)),
            }
        }
        Ok(writer.finish())
    }

    fn key(&self, tag: u8, group: &[u8]) -> Vec<u8> {
        let mut out = keyspace::prefix(tag, self.stage);
        out.extend_from_slice(group);
        out
    }

    fn call_key(&self, tag: u8, group: &[u8], call: usize) -> Vec<u8> {
        let mut out = self.key(tag, group);
        out.extend_from_slice(&u16::try_from(call).unwrap_or(u16::MAX).to_be_bytes());
        out
    }

    /// | bytes | what |
    /// | --- | --- |
    /// | 8, 8 | rows, rows with an error, little endian |
    /// | … | the group's shown key values |
    /// | 4, … | for each accumulator its length and bytes |
    fn encode(&self, group: &GroupState) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&group.rows.to_le_bytes());
        out.extend_from_slice(&group.errors.to_le_bytes());
        for value in &group.keys {
            encode_value(&mut out, value);
        }
        for accumulator in group.accumulators.iter().flatten() {
            let bytes = accumulator.encode();
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(&bytes);
        }
        out
    }

    fn decode(&self, bytes: &[u8]) -> Result<GroupState, ProjectionError> {
        let damaged = || ProjectionError::Corrupt("an accumulator".to_owned());
        let (rows, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (errors, mut rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let mut keys = Vec::new();
        for _ in &self.keys {
            let (value, length) = decode_value_prefix(rest).map_err(|_| damaged())?;
            keys.push(value);
            rest = rest.get(length..).ok_or_else(damaged)?;
        }
        let mut accumulators = Vec::new();
        for (call, kept) in &self.calls {
            if !matches!(
                kept,
                Kept::Accumulated | Kept::Distinct | Kept::DistinctFirst
            ) {
                accumulators.push(None);
                continue;
            }
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
            let own = after.get(..length).ok_or_else(damaged)?;
            accumulators.push(Some(
                Accumulator::decode(&call.func, own).map_err(|_| damaged())?,
            ));
            rest = &after[length..];
        }
        Ok(GroupState {
            rows: i64::from_le_bytes(*rows),
            errors: i64::from_le_bytes(*errors),
            keys,
            accumulators,
        })
    }
}

/// The error that stands for a group with erroneous contributions; their own messages are not kept.
fn dead(group: &GroupState) -> EvalError {
    EvalError {
        sqlstate: "22000",
        message: format!(
            "{} of the group's {} rows raise an error",
            group.errors, group.rows
        ),
    }
}

/// In the place of an aggregate's number: the group keys of each contribution, of which the first are shown.
const KEYS: usize = 0xFFFF;

/// Whether equal values of the type may look different: 1.0 and 1.00.
fn varies(ty: &Type) -> bool {
    match ty.base() {
        Type::Bool
        | Type::Int2
        | Type::Int4
        | Type::Int8
        | Type::Oid
        | Type::Text
        | Type::Varchar
        | Type::Name
        | Type::Bytea
        | Type::Date
        | Type::Time
        | Type::Timestamp
        | Type::TimestampTz
        | Type::Uuid
        | Type::Enum(_) => false,
        Type::Array(element) => varies(element),
        _ => true,
    }
}

fn first_args(state: &State, prefix: &[u8]) -> Result<Option<Vec<Value>>, ProjectionError> {
    state
        .first(prefix)?
        .map(|(_, bytes)| decode_args(bytes))
        .transpose()
}

fn accumulate(accumulator: &mut Option<Accumulator>, args: &[Value], sign: i64) {
    if let Some(accumulator) = accumulator {
        if sign > 0 {
            accumulator.add(args);
        } else {
            accumulator.subtract(args);
        }
    }
}

fn put_or_delete(
    state: &mut State,
    at: &[u8],
    args: &[Value],
    sign: i64,
) -> Result<(), ProjectionError> {
    if sign < 0 {
        state.delete(at)?;
        return Ok(());
    }
    let mut bytes = Vec::new();
    for arg in args {
        encode_value(&mut bytes, arg);
    }
    state.put(at, &bytes)?;
    Ok(())
}

fn decode_args(mut bytes: &[u8]) -> Result<Vec<Value>, ProjectionError> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (value, length) = decode_value_prefix(bytes)
            .map_err(|e| ProjectionError::Corrupt(format!("a contribution: {e}")))?;
        out.push(value);
        bytes = &bytes[length..];
    }
    Ok(out)
}

/// A sort key: bytes that order as ORDER BY does.
pub(crate) fn encode_sort(
    out: &mut Vec<u8>,
    value: &Value,
    ty: &Type,
    descending: bool,
    nulls_first: bool,
) {
    if value.is_null() {
        out.push(if nulls_first { 0 } else { 2 });
        return;
    }
    out.push(1);
    if descending {
        encode_key_desc(out, value, ty);
    } else {
        encode_key(out, value, ty);
    }
}

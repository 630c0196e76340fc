//! One stage of one batch: what is touched, what differs, what the head makes of it; and filling a stage from nothing.

use std::collections::BTreeSet;

use readside_model::{Lsn, Timestamp};
use readside_state::{Read, State};

use crate::access::{Parts, occ_id};
use crate::block_key::{decode_block_key, encode_block_key};
use crate::eval::{Evaluated, Evaluator, Flow};
use crate::group::{Contribution, Groups};
use crate::index::update_indexes;
use crate::ingest::Touched;
use crate::keyspace::{self, RelationId};
use crate::row::Row;
use crate::topn::Candidate;
use crate::view::{HeadExec, StageExec};
use crate::{ProjectionError, TargetId, dead, pending};

/// Keys evaluated before their differences are applied.
const CHUNK: usize = 1024;
/// Rows of a fill that are taken into a head at once.
const PIECE_ROWS: usize = 8 * CHUNK;

/// Told how many rows have been gone through; an error gives the work up.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> Result<(), ProjectionError>;

type MarkFn<'a> = &'a mut dyn FnMut(&mut State, &[u8]) -> Result<(), ProjectionError>;

/// Runs a stage over the changes of a batch. Gives the row keys of its internal table that changed.
pub(crate) fn run_stage(
    state: &mut State,
    before: &dyn Read,
    stage: &StageExec,
    tables: &Touched,
    internal: &Touched,
    mark: MarkFn<'_>,
) -> Result<BTreeSet<Vec<u8>>, ProjectionError> {
    let touched = touched_keys(state, before, stage, tables, internal)?;
    if touched.is_empty() {
        return Ok(BTreeSet::new());
    }
    let touched: Vec<Vec<u8>> = touched.into_iter().collect();
    match &stage.head {
        HeadExec::Sink => {
            for key in &touched {
                mark(state, key)?;
            }
            Ok(BTreeSet::new())
        }
        HeadExec::Group(group) => {
            let mut groups = Groups::default();
            for chunk in touched.chunks(CHUNK) {
                let was = evaluate(before, stage, chunk, &|at| group.contribution(at))?;
                let is = evaluate(state, stage, chunk, &|at| group.contribution(at))?;
                for ((key, was), is) in chunk.iter().zip(was).zip(is) {
                    note_dead(state, stage.id, key, &is)?;
                    group.apply(state, &mut groups, key, live(&was), live(&is))?;
                }
            }
            group.finish(state, groups)
        }
        HeadExec::TopN(topn) => {
            let mut partitions = BTreeSet::new();
            for chunk in touched.chunks(CHUNK) {
                let was = evaluate(before, stage, chunk, &|at| topn.candidate(at))?;
                let is = evaluate(state, stage, chunk, &|at| topn.candidate(at))?;
                for ((key, was), is) in chunk.iter().zip(was).zip(is) {
                    note_dead(state, stage.id, key, &is)?;
                    topn.apply(state, &mut partitions, key, live(&was), live(&is))?;
                }
            }
            topn.finish(state, &partitions)
        }
    }
}

fn live<T>(evaluated: &Evaluated<T>) -> Option<&T> {
    match evaluated {
        Evaluated::Row(value) => Some(value),
        Evaluated::Absent | Evaluated::Failed(_) => None,
    }
}

/// A row that raises an error before it reaches its group or partition is a dead letter of the stage.
fn note_dead<T>(
    state: &mut State,
    stage: u32,
    key: &[u8],
    is: &Evaluated<T>,
) -> Result<(), ProjectionError> {
    match is {
        Evaluated::Failed(error) => {
            dead::put(state, stage, key, &error.message, Timestamp::default())
        }
        _ => dead::remove(state, stage, key).map(|_| ()),
    }
}

/// T of the delta rule.
fn touched_keys(
    state: &State,
    before: &dyn Read,
    stage: &StageExec,
    tables: &Touched,
    internal: &Touched,
) -> Result<BTreeSet<Vec<u8>>, ProjectionError> {
    let mut out = BTreeSet::new();
    let was = Evaluator::new(&stage.block, before);
    let is = Evaluator::new(&stage.block, state);
    for (i, occ) in stage.block.occs.iter().enumerate() {
        let Some(relation) = occ.relation else {
            continue;
        };
        let Some(keys) = tables.get(&relation).or_else(|| internal.get(&relation)) else {
            continue;
        };
        for key in keys {
            let at = keyspace::row(relation, key);
            let old = before.get(&at)?;
            let new = state.get(&at)?;
            if let (Some(old), Some(new)) = (old, new) {
                let readable = Row(old).failed().is_none() && Row(new).failed().is_none();
                let same = old == new
                    || readable
                        && occ
                            .columns
                            .iter()
                            .all(|c| Row(old).same(Row(new), usize::from(*c)));
                if same {
                    continue;
                }
            }
            let mut add = |key: Vec<u8>| {
                out.insert(key);
                Ok(())
            };
            if old.is_some() {
                was.touch(occ_id(i), key, &mut add)?;
            }
            if new.is_some() {
                is.touch(occ_id(i), key, &mut add)?;
            }
        }
    }
    Ok(out)
}

type Outcome<T> = Result<Result<T, readside_expr::EvalError>, ProjectionError>;

fn evaluate<T>(
    read: &dyn Read,
    stage: &StageExec,
    keys: &[Vec<u8>],
    f: &dyn Fn(&Evaluator<'_, '_>) -> Outcome<T>,
) -> Result<Vec<Evaluated<T>>, ProjectionError> {
    let evaluator = Evaluator::new(&stage.block, read);
    let mut out = Vec::with_capacity(keys.len());
    for key in keys {
        let found = evaluator.by_key(&decode_block_key(key)?, &mut |at| f(at))?;
        out.push(match found {
            Evaluated::Absent => Evaluated::Absent,
            Evaluated::Failed(error) | Evaluated::Row(Err(error)) => Evaluated::Failed(error),
            Evaluated::Row(Ok(value)) => Evaluated::Row(value),
        });
    }
    Ok(out)
}

/// Block keys with what their rows have.
type Rows<T> = Vec<(Vec<u8>, Evaluated<T>)>;

/// Rows of a stage that have been evaluated, to be taken into its head.
pub(crate) enum Piece {
    Group(Rows<Contribution>),
    TopN(Rows<Candidate>),
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        match self {
            Piece::Group(rows) => rows.len(),
            Piece::TopN(rows) => rows.len(),
        }
    }
}

/// Evaluates every row of a stage that has an internal table, piece by piece.
pub(crate) fn each_piece(
    read: &dyn Read,
    stage: &StageExec,
    f: &mut dyn FnMut(Piece) -> Result<(), ProjectionError>,
) -> Result<(), ProjectionError> {
    match &stage.head {
        HeadExec::Sink => Ok(()),
        HeadExec::Group(group) => pieces(read, stage, &|at| group.contribution(at), &mut |rows| {
            f(Piece::Group(rows))
        }),
        HeadExec::TopN(topn) => pieces(read, stage, &|at| topn.candidate(at), &mut |rows| {
            f(Piece::TopN(rows))
        }),
    }
}

fn pieces<T>(
    read: &dyn Read,
    stage: &StageExec,
    evaluate: &dyn Fn(&Evaluator<'_, '_>) -> Outcome<T>,
    f: &mut dyn FnMut(Rows<T>) -> Result<(), ProjectionError>,
) -> Result<(), ProjectionError> {
    let mut rows = Vec::new();
    each_row(read, stage, evaluate, &mut |key, is| {
        rows.push((key, is));
        if rows.len() >= PIECE_ROWS {
            f(std::mem::take(&mut rows))?;
        }
        Ok(())
    })?;
    f(rows)
}

/// Takes new rows into a stage's head, and its internal table's changes into the indexes over it. Commits.
pub(crate) fn take_piece(
    state: &mut State,
    stage: &StageExec,
    indexes: &[(u32, Parts)],
    piece: &Piece,
) -> Result<(), ProjectionError> {
    let before = state.snapshot()?;
    let changed = match (&stage.head, piece) {
        (HeadExec::Group(group), Piece::Group(rows)) => {
            let mut groups = Groups::default();
            for (key, is) in rows {
                note_dead(state, stage.id, key, is)?;
                group.apply(state, &mut groups, key, None, live(is))?;
            }
            group.ensure_global(state, &mut groups)?;
            group.finish(state, groups)?
        }
        (HeadExec::TopN(topn), Piece::TopN(rows)) => {
            let mut partitions = BTreeSet::new();
            for (key, is) in rows {
                note_dead(state, stage.id, key, is)?;
                topn.apply(state, &mut partitions, key, None, live(is))?;
            }
            topn.finish(state, &partitions)?
        }
        _ => BTreeSet::new(),
    };
    update_indexes(
        state,
        &before,
        RelationId::Stage(stage.id),
        indexes,
        &changed,
    )?;
    piece_done(state)
}

/// Fills an empty stage from the last commit of state. Commits in pieces; until the view is live nothing reads them.
pub(crate) fn fill_stage(
    state: &mut State,
    stage: &StageExec,
    indexes: &[(u32, Parts)],
    targets: &[TargetId],
    progress: Progress<'_>,
) -> Result<(), ProjectionError> {
    progress(0)?;
    if matches!(stage.head, HeadExec::Sink) {
        mark_stage(state, stage, targets, progress)?;
        return Ok(());
    }
    let snapshot = state.snapshot()?;
    let mut total = 0;
    each_piece(&snapshot, stage, &mut |piece| {
        total += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        progress(total)?;
        take_piece(state, stage, indexes, &piece)
    })
}

/// Every key of a last stage.
pub(crate) fn each_key(
    read: &dyn Read,
    stage: &StageExec,
    each: &mut dyn FnMut(Vec<u8>) -> Result<(), ProjectionError>,
) -> Result<(), ProjectionError> {
    each_row(read, stage, &|_| Ok(Ok(())), &mut |key, _| each(key))
}

/// Marks every key of a last stage; nothing of it counts as visible before all are written.
pub(crate) fn mark_stage(
    state: &mut State,
    stage: &StageExec,
    targets: &[TargetId],
    progress: Progress<'_>,
) -> Result<u64, ProjectionError> {
    let snapshot = state.snapshot()?;
    let published = state.committed().published;
    let mut total = 0;
    each_key(&snapshot, stage, &mut |key| {
        for target in targets {
            pending::mark(
                state,
                *target,
                &key,
                Lsn(1),
                published.max(Lsn(1)),
                Timestamp::default(),
            )?;
        }
        total += 1;
        if total % 8192 == 0 {
            progress(total)?;
            piece_done(state)?;
        }
        Ok(())
    })?;
    Ok(total)
}

fn piece_done(state: &mut State) -> Result<(), ProjectionError> {
    state.commit(state.committed());
    state.maybe_flush()?;
    Ok(())
}

fn each_row<T>(
    read: &dyn Read,
    stage: &StageExec,
    f: &dyn Fn(&Evaluator<'_, '_>) -> Outcome<T>,
    each: &mut dyn FnMut(Vec<u8>, Evaluated<T>) -> Result<(), ProjectionError>,
) -> Result<(), ProjectionError> {
    let evaluator = Evaluator::new(&stage.block, read);
    evaluator.for_each(&mut |at| {
        let key = encode_block_key(&at.current_key());
        let is = match at.path_error() {
            Some(error) => Evaluated::Failed(error),
            None => match f(at)? {
                Ok(value) => Evaluated::Row(value),
                Err(error) => Evaluated::Failed(error),
            },
        };
        each(key, is)?;
        Ok(Flow::Continue)
    })?;
    Ok(())
}

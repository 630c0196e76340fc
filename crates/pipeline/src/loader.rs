//! Loads: exact copies of tables at a known position, written straight into state.
//!
//! In: tables that state does not have (or has in another shape). Out: their rows in state, and X, from which on the stream is to be
//! applied to them (`commit_lsn >= X`).
//!
//! Always: all tables of one load stand at one X; a table whose rows were rewritten or whose columns changed meanwhile fails the
//! load, which starts again; a load that the application waits for is given up and tried later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use readside_model::Lsn;
use readside_projection::{Engine, columns_to_load, load_prefix, loaded_row};
use readside_source::{
    ExportedSnapshot, PageRange, Remedy, SnapshotReader, SourceConfig, TableFingerprint,
    blocked_by, connect_sql, table_fingerprints,
};
use readside_state::{Loader, State};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::facts::Facts;
use crate::failpoint::failpoint;
use crate::{LoadStatus, PipelineError};

const COPY_WORKERS: usize = 2;
const BATCH_ROWS: usize = 2_000;
const BATCH_BYTES: usize = 4 << 20;
/// Sorted rows written to the base at once.
const WRITE_BYTES: usize = 16 << 20;
const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long the application may wait for a load.
const BLOCKING_MAX: Duration = Duration::from_secs(2);
/// Pages of one piece of a large table.
const PIECE_PAGES: u32 = 16_384;

/// One copy to make: a table, or a leaf of one, or some of its pages.
#[derive(Debug, Clone)]
struct Piece {
    table: u32,
    relation: u32,
    range: Option<PageRange>,
}

/// A table's writer, shared by the workers that copy its pieces.
type Loaders = BTreeMap<u32, Mutex<Option<Loader>>>;

/// A load that has come to its end.
pub(crate) struct Loaded {
    /// X.
    pub(crate) lsn: Lsn,
    /// The tables as they were from before the snapshot until after the copy.
    pub(crate) fingerprints: BTreeMap<u32, TableFingerprint>,
}

/// Copies these tables at one position. They are adopted by [`Engine::adopt_table`] afterwards.
pub(crate) async fn load(
    source: &SourceConfig,
    engine: &Engine,
    state: &mut State,
    tables: &[u32],
    facts: &Arc<Facts>,
    stop: &watch::Receiver<bool>,
) -> Result<Loaded, PipelineError> {
    let mut pause = Duration::from_secs(1);
    loop {
        match attempt(source, engine, state, tables, facts, stop).await {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                let passing = match &error {
                    PipelineError::Source(source) => source.remedy() == Remedy::Retry,
                    _ => false,
                };
                if !passing || *stop.borrow() {
                    return Err(error);
                }
                warn!(retry_in = ?pause, "the load starts again: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        }
    }
}

async fn attempt(
    source: &SourceConfig,
    engine: &Engine,
    state: &mut State,
    tables: &[u32],
    facts: &Arc<Facts>,
    stop: &watch::Receiver<bool>,
) -> Result<Loaded, PipelineError> {
    // What was deleted under these keys must be gone from the base before rows are written to it beneath the overlay.
    tokio::task::block_in_place(|| -> Result<(), PipelineError> {
        state.commit(state.committed());
        state.flush_now()?;
        Ok(())
    })?;
    let watcher = connect_sql(source).await?;
    let relations: Vec<u32> = tables
        .iter()
        .filter_map(|oid| engine.tables().get(oid))
        .flat_map(|t| std::iter::once(t.table.oid).chain(t.table.leaves.iter().copied()))
        .collect();
    let before = table_fingerprints(&watcher, &relations).await?;
    let snapshot = ExportedSnapshot::export(source, SNAPSHOT_WAIT_MAX).await?;
    let lsn = snapshot.lsn;
    let mut readers = Vec::new();
    for _ in 0..COPY_WORKERS {
        readers.push(SnapshotReader::import(source, &snapshot.name).await?);
    }
    snapshot.release();
    info!(tables = tables.len(), at = %lsn, "copying tables");
    let mut pieces = VecDeque::new();
    let mut loaders = Loaders::new();
    for oid in tables {
        let Some(table) = engine.tables().get(oid) else {
            continue;
        };
        let mut loader = state.loader(&load_prefix(*oid, engine.is_live(*oid)))?;
        tokio::task::block_in_place(|| -> Result<(), PipelineError> {
            while loader.clear(100_000)? > 0 {}
            Ok(())
        })?;
        loaders.insert(*oid, Mutex::new(Some(loader)));
        facts.lock().loads.insert(
            *oid,
            LoadStatus {
                table: table.table.display_name(),
                rows: 0,
                rows_estimated: u64::try_from(table.table.estimated_rows).ok(),
                rows_per_second: 0.0,
                reason: if engine.is_live(*oid) {
                    "copied anew".to_owned()
                } else {
                    "new table".to_owned()
                },
            },
        );
        let leaves = if table.table.leaves.is_empty() {
            vec![*oid]
        } else {
            table.table.leaves.clone()
        };
        for relation in leaves {
            let pages = readers[0].pages(relation).await?;
            let mut from = 0;
            while pages.saturating_sub(from) > PIECE_PAGES {
                pieces.push_back(Piece {
                    table: *oid,
                    relation,
                    range: Some(PageRange {
                        from,
                        to: Some(from + PIECE_PAGES),
                    }),
                });
                from += PIECE_PAGES;
            }
            let range = (from > 0).then_some(PageRange { from, to: None });
            pieces.push_back(Piece {
                table: *oid,
                relation,
                range,
            });
        }
    }
    let pieces = Mutex::new(pieces);
    let pids: Vec<i32> = readers.iter().map(SnapshotReader::backend_pid).collect();
    let started = Instant::now();
    let copies = futures::future::try_join_all(
        readers
            .iter()
            .map(|reader| copy_all(reader, engine, &pieces, &loaders, facts, started)),
    );
    tokio::select! {
        copied = copies => { copied?; }
        blocked = watch_blocking(&watcher, &pids) => return Err(blocked),
        () = stopped(stop.clone()) => return Err(PipelineError::Ended("the load was stopped")),
    }
    drop(readers);
    failpoint("load.copied");
    let after = table_fingerprints(&watcher, &relations).await?;
    for (oid, was) in &before {
        if !after.get(oid).is_some_and(|now| was.copy_is_sound(now)) {
            return Err(PipelineError::SourceChanged(format!(
                "`{}.{}` was altered while it was copied",
                was.schema, was.name
            )));
        }
    }
    for (_, loader) in loaders {
        if let Some(loader) = loader.into_inner().unwrap_or_else(PoisonError::into_inner) {
            state.adopt(loader)?;
        }
    }
    facts.lock().loads.clear();
    Ok(Loaded {
        lsn,
        fingerprints: before,
    })
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

async fn copy_all(
    reader: &SnapshotReader,
    engine: &Engine,
    pieces: &Mutex<VecDeque<Piece>>,
    loaders: &Loaders,
    facts: &Arc<Facts>,
    started: Instant,
) -> Result<(), PipelineError> {
    loop {
        let piece = pieces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(piece) = piece else { return Ok(()) };
        copy_piece(reader, engine, &piece, loaders, facts, started).await?;
    }
}

async fn copy_piece(
    reader: &SnapshotReader,
    engine: &Engine,
    piece: &Piece,
    loaders: &Loaders,
    facts: &Arc<Facts>,
    started: Instant,
) -> Result<(), PipelineError> {
    let Some(table) = engine.tables().get(&piece.table) else {
        return Ok(());
    };
    let shadow = engine.is_live(piece.table);
    let columns = columns_to_load(table);
    let mut copy = reader
        .copy_table(piece.relation, &columns, piece.range)
        .await?;
    let metrics = facts.metrics.table(&table.table.display_name());
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut bytes = 0;
    loop {
        let batch = copy.next_batch(BATCH_ROWS, BATCH_BYTES).await?;
        let done = batch.is_none();
        let count = u64::try_from(batch.as_ref().map_or(0, Vec::len)).unwrap_or(0);
        for row in batch.into_iter().flatten() {
            let (key, row) = loaded_row(table, shadow, piece.relation, &row)?;
            bytes += key.len() + row.len();
            rows.push((key, row));
        }
        metrics.add_load_rows(count);
        if let Some(status) = facts.lock().loads.get_mut(&piece.table) {
            status.rows += count;
            #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
            let total = status.rows as f64;
            status.rows_per_second = total / started.elapsed().as_secs_f64().max(0.001);
        }
        if (done || bytes >= WRITE_BYTES) && !rows.is_empty() {
            rows.sort();
            if let Some(loader) = loaders.get(&piece.table) {
                tokio::task::block_in_place(|| -> Result<(), PipelineError> {
                    if let Some(loader) = loader
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .as_mut()
                    {
                        loader.write(rows.iter().map(|(k, v)| (k.as_slice(), v.as_slice())))?;
                    }
                    Ok(())
                })?;
            }
            rows.clear();
            bytes = 0;
        }
        if done {
            return Ok(());
        }
    }
}

/// Returns when somebody has waited too long for one of our backends.
async fn watch_blocking(client: &readside_source::SqlClient, pids: &[i32]) -> PipelineError {
    let mut since: Option<Instant> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        match blocked_by(client, pids).await {
            Ok(blocked) if blocked.is_empty() => since = None,
            Ok(blocked) => {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() > BLOCKING_MAX {
                    warn!(
                        waiting = blocked.len(),
                        "the application waits for our copy, which gives way"
                    );
                    return PipelineError::Source(readside_source::SourceError::TableGone {
                        table: "that the application wants to lock".to_owned(),
                    });
                }
            }
            Err(error) => return error.into(),
        }
    }
}

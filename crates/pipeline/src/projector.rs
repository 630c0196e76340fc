//! The projector: the thread that owns state. It applies the durable part of the changelog, takes acknowledgements, and gives snapshots.
//!
//! Always: one thread writes state; every commit is at a transaction boundary; acknowledgements and batches take turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use readside_changelog::{ChangelogError, Reader, Record, Transaction};
use readside_model::{Lsn, Position, Timestamp};
use readside_projection::pending::{self, Acknowledged};
use readside_projection::{
    BatchOutcome, Engine, ProjectionError, RenderedKey, TargetId, TransactionHeader, ViewExec,
    dead, written,
};
use readside_sink::Receipt;
use readside_state::{Committed, Snapshot, State};
use tokio::sync::{Notify, oneshot};
use tracing::info;

use crate::PipelineError;
use crate::facts::{Facts, local_now, seconds_since};
use crate::failpoint::failpoint;
use crate::interrupt::Interrupt;
use crate::opening::{note_receipt, raise_all};

/// Changes in one batch at most; a larger transaction is a batch of its own.
const BATCH_CHANGES: u64 = 8_192;
/// Bytes of messages in one batch at most.
const BATCH_BYTES: u64 = 8 << 20;
const IDLE: Duration = Duration::from_millis(200);

/// Something to be done with state between two batches; it says whether it marked keys.
pub(crate) type Errand =
    Box<dyn FnOnce(&mut State, &mut Engine) -> Result<bool, PipelineError> + Send>;

/// What the projector is asked to do.
pub(crate) enum Command {
    /// There is more in the changelog.
    Advanced,
    /// A sight of the last boundary.
    Sight(oneshot::Sender<Result<Sight, PipelineError>>),
    /// A sink has answered.
    Acknowledge(Acknowledgement),
    /// Anything else, between two batches; it says whether it marked keys.
    With(Errand),
    /// End.
    Stop,
}

/// State at a transaction boundary, with the views as they read that state: a rebuild changes both at once.
pub(crate) struct Sight {
    pub(crate) snapshot: Snapshot,
    /// Of the views; see [`Engine::generation`].
    pub(crate) generation: u64,
    views: BTreeMap<TargetId, Arc<ViewExec>>,
}

impl Sight {
    /// The view of a target.
    pub(crate) fn view(&self, target: TargetId) -> Result<&Arc<ViewExec>, PipelineError> {
        self.views.get(&target).ok_or_else(|| {
            ProjectionError::Corrupt(format!("target {} has no view", target.0)).into()
        })
    }
}

/// What a sink has answered for one target.
pub(crate) struct Acknowledgement {
    pub(crate) target: TargetId,
    pub(crate) computed_at: Lsn,
    /// Of the sight that it was computed from.
    pub(crate) generation: u64,
    pub(crate) items: Vec<AcknowledgedItem>,
    /// What the sink will say as long as it has all this.
    pub(crate) receipt: Option<Receipt>,
    /// Told when it has been taken note of.
    pub(crate) done: oneshot::Sender<()>,
}

/// One key of it.
pub(crate) struct AcknowledgedItem {
    pub(crate) key: Vec<u8>,
    pub(crate) sink_key: RenderedKey,
    /// The sink holds the key now.
    pub(crate) present: bool,
    /// Why it is a dead letter, if it is.
    pub(crate) dead: Option<String>,
}

/// The projector of one run.
pub(crate) struct Projector {
    pub(crate) state: State,
    pub(crate) engine: Engine,
    pub(crate) reader: Reader,
    pub(crate) facts: Arc<Facts>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) wakers: BTreeMap<TargetId, Arc<Notify>>,
    pub(crate) trim_to: Arc<AtomicU64>,
    /// Set while an `Advanced` is on its way.
    pub(crate) advanced: Arc<std::sync::atomic::AtomicBool>,
    /// A record that was read and not applied yet.
    pub(crate) held: Option<Record>,
    /// What comes before the first write to a sink is given up when the run is to end.
    pub(crate) interrupt: Interrupt,
}

impl Projector {
    /// Runs until told to stop, then makes state durable.
    pub(crate) fn run(mut self) -> Result<(), PipelineError> {
        let ended = self.work();
        if ended.is_err() {
            self.state.rollback();
        }
        // What sinks have been shown is kept even when this life ends with an error.
        let closed = self.state.close();
        ended?;
        closed?;
        Ok(())
    }

    fn work(&mut self) -> Result<(), PipelineError> {
        self.begin()?;
        loop {
            let mut acted = false;
            while let Ok(command) = self.commands.try_recv() {
                acted = true;
                if !self.command(command)? {
                    return Ok(());
                }
            }
            let progressed = self.step()?;
            self.flush()?;
            if acted || progressed {
                continue;
            }
            match self.commands.recv_timeout(IDLE) {
                Ok(command) => {
                    if !self.command(command)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PipelineError::Ended("the pipeline"));
                }
            }
        }
    }

    /// Finds out where everything is, and lets the writers begin.
    pub(crate) fn begin(&mut self) -> Result<(), PipelineError> {
        self.count_all()?;
        self.tell(&BatchOutcome::default(), None)?;
        for waker in self.wakers.values() {
            waker.notify_one();
        }
        Ok(())
    }

    /// Takes over tables that were copied at `x`, which nothing in state is behind any more.
    pub(crate) fn adopt(&mut self, tables: &[u32], x: Lsn) -> Result<(), PipelineError> {
        for oid in tables {
            self.engine.adopt_table(&mut self.state, *oid, x)?;
        }
        let at = x.max(self.state.committed().published);
        self.state.commit(Committed {
            applied: Position {
                commit: at,
                ordinal: 0,
            },
            published: at,
        });
        Ok(())
    }

    /// What comes before the first write to a sink: fills, and the replay of the log up to where it was found to end.
    pub(crate) fn make_ready(
        &mut self,
        to_fill: &[String],
        found_end: Lsn,
    ) -> Result<(), PipelineError> {
        if !to_fill.is_empty() {
            // Other content at the same position is another version.
            raise_all(&mut self.state, 1)?;
        }
        for view in to_fill {
            info!(view, "filling");
            let interrupt = &self.interrupt;
            self.engine.fill(&mut self.state, view, &mut |_| {
                interrupt.check().map_err(|_| ProjectionError::Interrupted)
            })?;
        }
        for (view, target) in self.engine.unmarked_targets() {
            self.engine.mark_all(&mut self.state, &view, target)?;
        }
        failpoint("fill.done");
        self.catch_up_to(found_end)?;
        // Relations that a passed-over transaction described are written, and no transaction may have followed.
        let committed = self.state.committed();
        self.state.commit(committed);
        self.state.flush_now()?;
        Ok(())
    }

    /// Passes over what ends at or below `lsn`, which a copy at `lsn` shows already, but for the relations that are described there:
    /// nothing describes them again to whoever reads on from `lsn`. Says whether the durable end has been reached before it.
    pub(crate) fn pass_over_to(&mut self, lsn: Lsn) -> Result<bool, PipelineError> {
        loop {
            self.interrupt.check()?;
            match self.next()? {
                None => return Ok(true),
                Some(record) if record.end() > lsn => {
                    self.held = Some(record);
                    return Ok(false);
                }
                Some(Record::Transaction(transaction)) => {
                    each_message(&transaction, &mut |messages| {
                        Ok(self.engine.describe(&mut self.state, messages)?)
                    })?;
                }
                Some(Record::Keepalive { .. } | Record::Control { .. }) => {}
            }
        }
    }

    /// Applies what ends at or below `lsn`, transaction by transaction; says whether the changelog's durable end has been reached before it.
    pub(crate) fn catch_up_to(&mut self, lsn: Lsn) -> Result<bool, PipelineError> {
        loop {
            self.interrupt.check()?;
            match self.next()? {
                None => return Ok(true),
                Some(record) if record.end() > lsn => {
                    self.held = Some(record);
                    return Ok(false);
                }
                Some(Record::Transaction(transaction)) => {
                    apply_alone(&mut self.engine, &mut self.state, &transaction)?;
                }
                Some(Record::Keepalive { lsn, .. }) => self.engine.keepalive(&mut self.state, lsn),
                Some(Record::Control { .. }) => {}
            }
        }
    }

    /// Lets state flush if it is time, and the log be trimmed up to what is durable.
    pub(crate) fn flush(&mut self) -> Result<(), PipelineError> {
        self.state.maybe_flush()?;
        let durable = self.state.durable().published.0;
        if self.trim_to.swap(durable, Ordering::Relaxed) != durable {
            failpoint("state.flushed");
        }
        Ok(())
    }

    /// Does what it is asked for; false if that is to end.
    pub(crate) fn command(&mut self, command: Command) -> Result<bool, PipelineError> {
        match command {
            Command::Advanced => self.advanced.store(false, Ordering::Release),
            Command::Sight(answer) => {
                let _ = answer.send(self.sight());
            }
            Command::Acknowledge(acknowledgement) => self.acknowledge(acknowledgement)?,
            Command::With(f) => {
                if f(&mut self.state, &mut self.engine)? {
                    self.begin()?;
                }
            }
            Command::Stop => return Ok(false),
        }
        Ok(true)
    }

    fn sight(&self) -> Result<Sight, PipelineError> {
        Ok(Sight {
            snapshot: self.state.snapshot()?,
            generation: self.engine.generation(),
            views: self.engine.views_by_target(),
        })
    }

    /// Applies what has arrived, up to one batch.
    pub(crate) fn step(&mut self) -> Result<bool, PipelineError> {
        let Some(first) = self.next()? else {
            return Ok(false);
        };
        let transaction = match first {
            Record::Keepalive { lsn, .. } => {
                self.engine.keepalive(&mut self.state, lsn);
                self.tell(&BatchOutcome::default(), None)?;
                return Ok(true);
            }
            Record::Control { .. } => return Ok(true),
            Record::Transaction(transaction) => transaction,
        };
        let mut batch = self.engine.begin(&self.state)?;
        if transaction.is_large() {
            // It may not fit into memory: pieces of it go to disk before it is whole, each with what undoes it.
            self.state.begin_large()?;
        }
        let mut bytes = transaction.bytes();
        let mut committed_at = transaction.head.committed_at;
        apply(&mut self.engine, &mut self.state, &mut batch, &transaction)?;
        while batch.changes < BATCH_CHANGES && bytes < BATCH_BYTES {
            match self.next()? {
                Some(Record::Transaction(next)) if !next.is_large() => {
                    bytes += next.bytes();
                    committed_at = next.head.committed_at;
                    apply(&mut self.engine, &mut self.state, &mut batch, &next)?;
                }
                Some(other) => {
                    self.held = Some(other);
                    break;
                }
                None => break,
            }
        }
        failpoint("projection.applied");
        let outcome = self.engine.finish(&mut self.state, batch)?;
        failpoint("projection.committed");
        self.tell(&outcome, Some(committed_at))?;
        for target in outcome.newly_pending.keys() {
            if let Some(waker) = self.wakers.get(target) {
                waker.notify_one();
            }
        }
        Ok(true)
    }

    /// The next record that is not behind the state.
    fn next(&mut self) -> Result<Option<Record>, PipelineError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let published = self.state.committed().published;
        loop {
            match self.reader.next()? {
                Some(Record::Transaction(transaction)) if transaction.head.end <= published => {
                    each_message(&transaction, &mut |messages| {
                        Ok(self.engine.describe(&mut self.state, messages)?)
                    })?;
                }
                Some(Record::Keepalive { lsn, .. }) if lsn <= published => {}
                other => return Ok(other),
            }
        }
    }

    fn acknowledge(&mut self, acknowledgement: Acknowledgement) -> Result<(), PipelineError> {
        let Acknowledgement {
            target,
            computed_at,
            generation,
            items,
            receipt,
            done,
        } = acknowledgement;
        // A value of stages that were replaced since is in the sink, and may be wrong: its key is written again.
        let is_current = generation == self.engine.generation();
        let offset = self.facts.lock().source.clock_offset_micros;
        let now = local_now();
        let mut cleared = 0;
        let mut arrived: Vec<Timestamp> = Vec::new();
        let mut dead_delta: i64 = 0;
        let applied = items.iter().filter(|i| i.dead.is_none()).count();
        for item in items {
            match &item.dead {
                _ if !is_current => {}
                Some(reason) => {
                    let was = dead::remove(&mut self.state, target.0, &item.key)?;
                    dead::put(&mut self.state, target.0, &item.key, reason, now)?;
                    dead_delta += i64::from(!was);
                }
                None => {
                    dead_delta -= i64::from(dead::remove(&mut self.state, target.0, &item.key)?)
                }
            }
            if item.present {
                written::note(&mut self.state, target, &item.sink_key)?;
                cleared += u64::from(written::spare(&mut self.state, target, &item.sink_key)?);
            } else {
                written::forget(&mut self.state, target, &item.sink_key.text)?;
            }
            if is_current
                && let Acknowledged::Cleared(entry) =
                    pending::acknowledge(&mut self.state, target, &item.key, computed_at)?
            {
                cleared += 1;
                // Keys of a fill have no commit of their own.
                if entry.since != Timestamp::default() {
                    arrived.push(entry.since);
                }
            }
        }
        if receipt.is_some() {
            note_receipt(&mut self.state, target, receipt.as_ref())?;
        }
        self.state.commit(self.state.committed());
        let published = self.state.committed().published;
        let (watermark, since) = pending::watermark(&self.state, target, published)?;
        let mut metrics = None;
        {
            let mut inner = self.facts.lock();
            if let Some(facts) = inner.targets.get_mut(&target) {
                facts.pending = facts.pending.saturating_sub(cleared);
                facts.acknowledged = watermark;
                facts.since = since;
                facts.dead = facts.dead.saturating_add_signed(dead_delta);
                facts.writes += u64::try_from(applied).unwrap_or(0);
                if facts.immediate {
                    facts.watermark = watermark;
                }
                if !arrived.is_empty() {
                    metrics = Some(facts.metrics.clone());
                }
            }
        }
        if let Some(metrics) = metrics {
            metrics.observe_freshness(arrived.iter().map(|since| seconds_since(*since, offset)));
        }
        let _ = done.send(());
        failpoint("writer.cleared");
        self.facts.notify();
        Ok(())
    }

    /// Passes on where state is; `committed_at` is when the last transaction was committed that has just been applied.
    fn tell(
        &mut self,
        outcome: &BatchOutcome,
        committed_at: Option<Timestamp>,
    ) -> Result<(), PipelineError> {
        let published = self.state.committed().published;
        let mut inner = self.facts.lock();
        inner.published = published;
        if published >= inner.durable {
            inner.unapplied_since = None;
        } else if committed_at.is_some() {
            // What is next is not older.
            inner.unapplied_since = committed_at;
        }
        let sizes = self.state.sizes();
        inner.state_bytes = sizes.base_bytes;
        inner.state_bytes_max = sizes.base_bytes_max;
        for (target, facts) in &mut inner.targets {
            let new = outcome.newly_pending.get(target);
            facts.pending += new.copied().unwrap_or(0);
            if facts.pending == 0 {
                facts.acknowledged = published;
                facts.since = None;
                if facts.immediate {
                    facts.watermark = published;
                }
            } else if new.is_some_and(|n| *n > 0) || facts.rebuild.is_some() {
                // What is only written again does not hold the watermark back, though it is pending.
                let (watermark, since) = pending::watermark(&self.state, *target, published)?;
                facts.acknowledged = watermark;
                facts.since = since;
                if facts.immediate {
                    facts.watermark = watermark;
                }
            }
        }
        drop(inner);
        for (oid, changes) in &outcome.tables {
            if let Some(table) = self.engine.tables().get(oid) {
                self.facts
                    .metrics
                    .table(&table.table.display_name())
                    .add_changes(*changes);
            }
        }
        self.facts.notify();
        Ok(())
    }

    fn count_all(&mut self) -> Result<(), PipelineError> {
        let targets: Vec<TargetId> = self.facts.lock().targets.keys().copied().collect();
        let published = self.state.committed().published;
        for target in targets {
            let count = pending::count(&self.state, target)?;
            let dead = dead::count(&self.state, target.0)?;
            let (watermark, since) = pending::watermark(&self.state, target, published)?;
            if let Some(facts) = self.facts.lock().targets.get_mut(&target) {
                facts.pending = count;
                facts.dead = dead;
                facts.refills += u64::from(watermark < facts.acknowledged);
                facts.acknowledged = watermark;
                facts.since = since;
                // The one way back: the sink lost what it had, and its keys have been marked again.
                facts.watermark = if facts.immediate {
                    watermark
                } else {
                    facts.watermark.min(watermark)
                };
            }
        }
        Ok(())
    }
}

/// Applies a transaction as a batch of its own: an earlier life may have shown the state after any of them to a sink, and a key that
/// is in the end as it was at first has to be marked all the same.
fn apply_alone(
    engine: &mut Engine,
    state: &mut State,
    transaction: &Transaction,
) -> Result<(), PipelineError> {
    let mut batch = engine.begin(state)?;
    if transaction.is_large() {
        state.commit(state.committed());
        state.begin_large()?;
    }
    apply(engine, state, &mut batch, transaction)?;
    engine.finish(state, batch)?;
    state.maybe_flush()?;
    Ok(())
}

/// Applies what a reader still has to give, to its durable end.
pub(crate) fn replay(
    state: &mut State,
    engine: &mut Engine,
    mut reader: Reader,
    interrupt: &Interrupt,
) -> Result<(), PipelineError> {
    let published = state.committed().published;
    while let Some(record) = reader.next()? {
        interrupt.check()?;
        match record {
            Record::Transaction(transaction) if transaction.head.end <= published => {
                each_message(&transaction, &mut |messages| {
                    Ok(engine.describe(state, messages)?)
                })?;
            }
            Record::Transaction(transaction) => apply_alone(engine, state, &transaction)?,
            Record::Keepalive { lsn, .. } => engine.keepalive(state, lsn),
            Record::Control { .. } => {}
        }
    }
    Ok(())
}

/// Applies one transaction of the changelog.
pub(crate) fn apply(
    engine: &mut Engine,
    state: &mut State,
    batch: &mut readside_projection::Batch,
    transaction: &Transaction,
) -> Result<(), PipelineError> {
    let header = TransactionHeader {
        commit_lsn: transaction.head.commit,
        end_lsn: transaction.head.end,
        commit_time: transaction.head.committed_at,
    };
    each_message(transaction, &mut |messages| {
        Ok(engine.apply(state, batch, header, messages)?)
    })
}

/// Gives a transaction's messages to `f`, and what went wrong with reading them to the caller.
fn each_message(
    transaction: &Transaction,
    f: &mut dyn FnMut(&mut dyn Iterator<Item = Bytes>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    let mut failed: Option<ChangelogError> = None;
    let mut messages = transaction.messages()?;
    let mut next = std::iter::from_fn(|| -> Option<Bytes> {
        match messages.next()? {
            Ok(message) => Some(message),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    f(&mut next)?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

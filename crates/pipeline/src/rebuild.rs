//! `rebuild`: a view's stages are filled anew from local state, and every row of it is written again, while it stays current.
//!
//! In: a view that is live. Out: new stages in place of the old ones, and rows written again behind everything that is out of date.
//!
//! Always: rows are evaluated here, from a snapshot; the projector takes them in between two batches, a piece at a time. Readers see the
//! live rows throughout. What has begun is durable: a start goes on with it, an end before the switch leaves nothing but what is cleared.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use readside_projection::{Engine, ProjectionError, Rebuild, TargetId, ViewExec, pending, written};
use readside_state::{Snapshot, State};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use crate::facts::Facts;
use crate::failpoint::failpoint;
use crate::opening::raise_all;
use crate::projector::Command;
use crate::writer::{SinkWorker, Target};
use crate::{PipelineError, RebuildPhase, RebuildProgress};

/// Keys that are marked between two batches.
const MARKED_TOGETHER: usize = 4_096;
/// Entries of old stages that are removed between two batches.
const CLEARED_TOGETHER: usize = 10_000;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The rebuilds of one life of the pipeline, those that have ended included.
#[derive(Default)]
pub(crate) struct Rebuilds {
    by_view: BTreeMap<String, (Arc<Going>, Option<JoinHandle<()>>)>,
}

impl Rebuilds {
    /// How each of them stands.
    pub(crate) fn progress(&self) -> Vec<RebuildProgress> {
        self.by_view
            .values()
            .map(|(going, _)| going.progress())
            .collect()
    }

    /// Begins one, unless one of this view goes on.
    pub(crate) fn begin(
        &mut self,
        view: &str,
        rows_per_second: Option<u64>,
        workers: &[Arc<SinkWorker>],
    ) -> Result<(), PipelineError> {
        if self
            .by_view
            .get(view)
            .is_some_and(|(going, _)| !going.progress().phase.is_over())
        {
            return Ok(());
        }
        let Some(worker) = workers.first() else {
            return Err(PipelineError::Ended("the projector"));
        };
        let targets: Vec<Arc<Target>> = workers
            .iter()
            .flat_map(|worker| &worker.targets)
            .filter(|target| target.layout.view == view)
            .map(Arc::clone)
            .collect();
        let going = Arc::new(Going::new(view));
        let work = Work {
            going: Arc::clone(&going),
            commands: worker.commands.clone(),
            facts: Arc::clone(&worker.facts),
            targets,
            pause_per_row: rows_per_second
                .filter(|rate| *rate > 0)
                .map(|rate| Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX)),
        };
        let thread = std::thread::Builder::new()
            .name("rebuild".to_owned())
            .spawn(move || work.run())
            .map_err(|_| PipelineError::Ended("a rebuild"))?;
        self.by_view.insert(view.to_owned(), (going, Some(thread)));
        Ok(())
    }

    /// Gives one up.
    pub(crate) fn cancel(&self, view: &str) {
        if let Some((going, _)) = self.by_view.get(view) {
            going.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Waits for them to let go of state. The projector has ended: nothing answers them any more.
    pub(crate) fn join(&mut self) {
        for (going, _) in self.by_view.values() {
            going.stopping.store(true, Ordering::Relaxed);
        }
        for (_, thread) in self.by_view.values_mut() {
            if thread.take().is_some_and(|thread| thread.join().is_err()) {
                warn!("a rebuild ended by a panic");
            }
        }
    }
}

/// What is known of one.
struct Going {
    view: String,
    cancelled: AtomicBool,
    /// The pipeline ends.
    stopping: AtomicBool,
    /// Rows that were evaluated.
    filled: AtomicU64,
    /// Of about so many.
    to_fill: AtomicU64,
    /// Rows, counted once per sink, that are written again.
    to_write: AtomicU64,
    left: AtomicU64,
    stands: Mutex<Stands>,
}

struct Stands {
    phase: RebuildPhase,
    since: Instant,
    error: Option<String>,
}

impl Going {
    fn new(view: &str) -> Going {
        Going {
            view: view.to_owned(),
            cancelled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            filled: AtomicU64::new(0),
            to_fill: AtomicU64::new(0),
            to_write: AtomicU64::new(0),
            left: AtomicU64::new(0),
            stands: Mutex::new(Stands {
                phase: RebuildPhase::Filling,
                since: Instant::now(),
                error: None,
            }),
        }
    }

    fn enter(&self, phase: RebuildPhase, error: Option<String>) {
        let mut stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        stands.phase = phase;
        stands.error = error;
        if !phase.is_over() {
            stands.since = Instant::now();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn progress(&self) -> RebuildProgress {
        let stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (done, total) = match stands.phase {
            RebuildPhase::Filling => (of(&self.filled), of(&self.to_fill).max(of(&self.filled))),
            _ => (
                of(&self.to_write).saturating_sub(of(&self.left)),
                of(&self.to_write),
            ),
        };
        let part = if total == 0 {
            0.0
        } else {
            done as f64 / total as f64
        };
        let seconds = stands.since.elapsed().as_secs_f64();
        let per_second = if seconds > 0.0 {
            done as f64 / seconds
        } else {
            0.0
        };
        RebuildProgress {
            view: self.view.clone(),
            phase: stands.phase,
            progress: match stands.phase {
                RebuildPhase::Filling => part / 2.0,
                RebuildPhase::Writing => 0.5 + part / 2.0,
                RebuildPhase::Done => 1.0,
                RebuildPhase::Cancelled | RebuildPhase::Failed => 0.0,
            },
            rows: done,
            rows_total: total,
            rows_per_second: per_second,
            eta_seconds: (per_second > 0.0 && !stands.phase.is_over())
                .then(|| total.saturating_sub(done) as f64 / per_second),
            error: stands.error.clone(),
        }
    }
}

/// Why a rebuild ended early.
enum Early {
    Cancelled,
    /// The pipeline ends; the next start goes on.
    Stopping,
    Failed(String),
}

impl From<ProjectionError> for Early {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Interrupted => Early::Stopping,
            error => Early::Failed(error.to_string()),
        }
    }
}

/// One rebuild, on a thread of its own.
struct Work {
    going: Arc<Going>,
    commands: Sender<Command>,
    facts: Arc<Facts>,
    targets: Vec<Arc<Target>>,
    pause_per_row: Option<Duration>,
}

impl Work {
    fn run(self) {
        let view = &self.going.view;
        info!(view, "rebuilding");
        let ended = self.rebuild();
        for target in &self.targets {
            if let Some(facts) = self.facts.lock().targets.get_mut(&target.id) {
                facts.rebuild = None;
            }
        }
        match ended {
            Ok(()) => {
                info!(view, "rebuilt");
                self.going.enter(RebuildPhase::Done, None);
            }
            Err(Early::Stopping) => {}
            Err(Early::Cancelled) => match self.take_back() {
                Ok(()) => {
                    info!(view, "the rebuild was cancelled");
                    self.going.enter(RebuildPhase::Cancelled, None);
                }
                Err(_) => self.going.enter(RebuildPhase::Cancelled, None),
            },
            Err(Early::Failed(error)) => {
                warn!(view, "the rebuild failed: {error}");
                let _ = self.take_back();
                self.going.enter(RebuildPhase::Failed, Some(error));
            }
        }
    }

    fn rebuild(&self) -> Result<(), Early> {
        let view = self.going.view.clone();
        let of = view.clone();
        let switched = self.ask(move |_, engine| {
            let record = engine.registry().views.get(&of);
            Ok(record
                .and_then(|r| r.rebuild.as_ref())
                .is_some_and(|r| r.switched))
        })?;
        if !switched {
            let of = view.clone();
            let begun = self.ask(move |state, engine| Ok(engine.begin_rebuild(state, &of)?))?;
            let Some(rebuild) = begun else {
                return Err(Early::Failed(format!("view `{view}` is not live")));
            };
            failpoint("rebuild.begun");
            self.fill(rebuild)?;
            failpoint("rebuild.switched");
        }
        self.going.enter(RebuildPhase::Writing, None);
        self.clear()?;
        self.mark()?;
        failpoint("rebuild.marked");
        self.drain()?;
        self.ask(move |state, engine| Ok(engine.end_rebuild(state, &view)?))
    }

    /// Fills the new stages from a snapshot, and makes them the live ones.
    fn fill(&self, mut rebuild: Rebuild) -> Result<(), Early> {
        self.going
            .to_fill
            .store(rebuild.estimate()?, Ordering::Relaxed);
        let target = rebuild.target();
        for stage in 0..rebuild.stages() {
            let snapshot = self.snapshot()?;
            let mut early = None;
            let filled = rebuild.each(stage, snapshot, &mut |rows| {
                let count = rows.count();
                let target = target.clone();
                let took = if self.going.is_cancelled() {
                    Err(Early::Cancelled)
                } else {
                    self.ask(move |state, engine| Ok(engine.take_rows(state, &target, &rows)?))
                };
                self.going.filled.fetch_add(count, Ordering::Relaxed);
                self.show();
                self.pause(count);
                took.map_err(|reason| {
                    early = Some(reason);
                    ProjectionError::Interrupted
                })
            });
            match (filled, early) {
                (_, Some(early)) => return Err(early),
                (Err(error), None) => return Err(error.into()),
                (Ok(()), None) => {}
            }
            failpoint("rebuild.filled");
        }
        let facts = Arc::clone(&self.facts);
        self.ask(move |state, engine| {
            // A start counts switches anew: what they raised versions by has to outlive this one.
            raise_all(state, 1)?;
            engine.switch(state, rebuild)?;
            facts.lock().generation = engine.generation();
            Ok(())
        })
    }

    /// Removes the stages that nobody reads any more.
    fn clear(&self) -> Result<(), Early> {
        loop {
            let view = self.going.view.clone();
            let more = self.ask(move |state, engine| {
                Ok(engine.clear_rebuilt(state, &view, CLEARED_TOGETHER)?)
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Marks every key, and what the sinks hold beyond them.
    fn mark(&self) -> Result<(), Early> {
        let view = self.going.view.clone();
        let exec: Option<Arc<ViewExec>> = self.ask(move |_, engine| {
            Ok(engine.views().iter().find(|v| v.plan.view == view).cloned())
        })?;
        let Some(exec) = exec else {
            return Err(Early::Stopping);
        };
        let snapshot = self.snapshot()?;
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(MARKED_TOGETHER);
        let mut texts: HashSet<Arc<str>> = HashSet::new();
        let mut early = None;
        let gone_through = exec.keys(&snapshot, &mut |key| {
            texts.insert(exec.sink_key(&snapshot, &key)?.text);
            keys.push(key);
            if keys.len() < MARKED_TOGETHER {
                return Ok(());
            }
            self.mark_again(std::mem::take(&mut keys))
                .map_err(|reason| {
                    early = Some(reason);
                    ProjectionError::Interrupted
                })
        });
        if let Some(early) = early {
            return Err(early);
        }
        gone_through?;
        self.mark_again(keys)?;
        for target in &self.targets {
            // A row whose deletion is on its way is no ghost.
            let due = written::texts_of_pending(&snapshot, &exec, target.id)?;
            let mut unknown = Vec::new();
            let mut after: Option<Arc<str>> = None;
            loop {
                let held = written::list(&snapshot, target.id, after.as_deref(), 1_024)?;
                let Some(last) = held.last() else { break };
                after = Some(Arc::clone(&last.text));
                unknown.extend(
                    held.into_iter()
                        .filter(|key| !texts.contains(&key.text) && !due.contains(&key.text)),
                );
            }
            if unknown.is_empty() {
                continue;
            }
            let id = target.id;
            self.ask_and_count(move |state, engine| {
                if let Some(view) = engine.view_of(id) {
                    written::mark_repairs(
                        state,
                        &view,
                        id,
                        &BTreeSet::new(),
                        &unknown,
                        pending::AGAIN,
                    )?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn mark_again(&self, keys: Vec<Vec<u8>>) -> Result<(), Early> {
        if self.going.is_cancelled() {
            return Err(Early::Cancelled);
        }
        let ids: Vec<TargetId> = self.targets.iter().map(|target| target.id).collect();
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let facts = Arc::clone(&self.facts);
        let marked = self.ask(move |state, engine| {
            let marked = engine.mark_again(state, &ids, &keys)?;
            // Here, where nothing else counts at the same time: the count tells whether a watermark may follow the position.
            let mut inner = facts.lock();
            for (id, marked) in ids.iter().zip(&marked) {
                if let Some(target) = inner.targets.get_mut(id) {
                    target.pending += marked;
                }
            }
            Ok(marked)
        })?;
        for (target, marked) in self.targets.iter().zip(marked) {
            self.going.to_write.fetch_add(marked, Ordering::Relaxed);
            self.going.left.fetch_add(marked, Ordering::Relaxed);
            Notify::notify_one(&target.waker);
        }
        self.show();
        self.pause(count);
        Ok(())
    }

    /// Waits until all of them have been written.
    fn drain(&self) -> Result<(), Early> {
        let ids: Vec<TargetId> = self.targets.iter().map(|target| target.id).collect();
        loop {
            let of = ids.clone();
            let left = self.ask(move |state, _| {
                let mut any = false;
                for id in of {
                    any |= pending::is_any_again(state, id)?;
                }
                Ok(any)
            })?;
            if !left {
                self.going.left.store(0, Ordering::Relaxed);
                return Ok(());
            }
            if self.going.is_cancelled() {
                return Err(Early::Cancelled);
            }
            let pending: u64 = {
                let inner = self.facts.lock();
                ids.iter()
                    .filter_map(|id| inner.targets.get(id))
                    .map(|facts| facts.pending)
                    .sum()
            };
            self.going.left.fetch_min(pending, Ordering::Relaxed);
            self.show();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// After a cancellation: nothing of it is left but what is live.
    fn take_back(&self) -> Result<(), Early> {
        let view = self.going.view.clone();
        self.ask(move |_, engine| {
            engine.abandon_rebuild(&view);
            Ok(())
        })?;
        self.clear()?;
        for target in &self.targets {
            let id = target.id;
            while self.ask(move |state, _| {
                let forgotten = pending::forget_again(state, id, CLEARED_TOGETHER)?;
                state.commit(state.committed());
                Ok(forgotten)
            })? > 0
            {}
        }
        let view = self.going.view.clone();
        self.ask_and_count(move |state, engine| Ok(engine.end_rebuild(state, &view)?))
    }

    fn snapshot(&self) -> Result<Snapshot, Early> {
        self.ask(|state, _| Ok(state.snapshot()?))
    }

    fn show(&self) {
        let progress = self.going.progress().progress;
        for target in &self.targets {
            if let Some(facts) = self.facts.lock().targets.get_mut(&target.id) {
                facts.rebuild = Some(progress);
            }
        }
    }

    fn pause(&self, rows: u64) {
        if let Some(pause) = self.pause_per_row {
            let until = Instant::now() + pause * u32::try_from(rows).unwrap_or(u32::MAX);
            while Instant::now() < until && !self.going.is_cancelled() && !self.going.is_stopping()
            {
                std::thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
            }
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State, &mut Engine) -> Result<T, PipelineError> + Send + 'static,
    ) -> Result<T, Early> {
        self.errand(f, false)
    }

    /// The same, where it changes what is pending.
    fn ask_and_count<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State, &mut Engine) -> Result<T, PipelineError> + Send + 'static,
    ) -> Result<T, Early> {
        self.errand(f, true)
    }

    fn errand<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State, &mut Engine) -> Result<T, PipelineError> + Send + 'static,
        count: bool,
    ) -> Result<T, Early> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::With(Box::new(move |state, engine| {
                let answered = f(state, engine);
                if answered.is_err() {
                    // Half of it must not be committed with what comes next.
                    state.rollback();
                }
                let _ = answer.send(answered);
                Ok(count)
            })))
            .map_err(|_| Early::Stopping)?;
        answered
            .blocking_recv()
            .map_err(|_| Early::Stopping)?
            .map_err(|error| Early::Failed(error.to_string()))
    }
}

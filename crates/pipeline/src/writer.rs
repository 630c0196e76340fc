//! Writers: pending keys to a sink, and acknowledgements back.
//!
//! In: a wake-up that keys are pending. Out: requests to the sink, one in flight per key; acknowledgements to the projector.
//!
//! Always: values come from one snapshot at a transaction boundary; a key is cleared only by an acknowledgement; after an ambiguous
//! outcome there is a fence before the next write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rand::Rng;
use readside_model::{Body, DocumentForm, Lsn, Version};
use readside_projection::pending::{self, Queued};
use readside_projection::{Rendered, RenderedKey, TargetId, ViewExec};
use readside_sink::{
    Batch, DeadReason, Marker, Outcome, Sink, SinkError, ViewTarget, ViewWatermark, ViewWrites,
    Visibility, Write, WriterScope,
};
use readside_state::Snapshot;
use readside_telemetry::WriteOutcome;
use tokio::sync::{Notify, oneshot, watch};
use tracing::{error, info, warn};

use crate::PipelineError;
use crate::ViewState;
use crate::facts::Facts;
use crate::failpoint::failpoint;
use crate::projector::{AcknowledgedItem, Acknowledgement, Command};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Keys in one batch at most.
const BATCH_KEYS: usize = 4_096;
/// Keys of one moment of a sink that shows one moment of all its views; above it, it catches up in pieces.
const MOMENT_KEYS: usize = 100_000;
/// Rows of a sink looked at together for strays.
const STRAYS_PAGE: usize = 1_000;
const MARKER_EVERY: Duration = Duration::from_secs(1);
/// How long a sink that asks for time is left alone.
const LATER: Duration = Duration::from_millis(500);

/// A view in a sink.
pub(crate) struct Target {
    pub(crate) id: TargetId,
    pub(crate) view: Arc<ViewExec>,
    pub(crate) layout: ViewTarget,
    /// A row without a value keeps its last good copy.
    pub(crate) keep_failed: bool,
    pub(crate) waker: Arc<Notify>,
}

/// A sink and all that goes into it.
pub(crate) struct SinkWorker {
    pub(crate) name: String,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) commands: Sender<Command>,
    pub(crate) instance: String,
    pub(crate) owner_epoch: String,
    /// Added to an end LSN to give a version; raised when the sink went its own way.
    pub(crate) offset: std::sync::atomic::AtomicU64,
    /// Somebody waits for a watermark.
    pub(crate) hurry: Arc<Notify>,
}

/// A rendered key on its way.
struct Sent {
    key: Vec<u8>,
    sink_key: RenderedKey,
    /// Which of the batch's writes it is: several keys of state can have one text, and one of them at most has a row.
    write: usize,
    present: bool,
    /// The query's own error on this row.
    failed: Option<String>,
}

/// What came of rendering some of a target's keys.
struct RenderedBatch {
    writes: Vec<Write>,
    sent: Vec<Sent>,
    /// Keys that need no request: they keep what the sink has.
    kept: Vec<Sent>,
    /// Nothing pending is left out.
    complete: bool,
}

pub(crate) enum Next {
    /// Go on at once.
    More,
    /// Go on, but give the sink time.
    Later,
    /// Nothing is pending.
    Idle,
    /// The sink lost what we had written, or went its own way: open it again.
    Reopen,
}

impl SinkWorker {
    /// Keeps the sink up to date until told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let mut backoff = BACKOFF_MIN;
        while !*stop.borrow() {
            match self.open().await {
                Ok(()) => {
                    backoff = BACKOFF_MIN;
                    self.facts.sink_up(&self.name, None);
                    self.set_state(ViewState::Live, None);
                    if let Err(error) = self.serve(stop.clone()).await {
                        warn!(sink = self.name, "{error}");
                        self.facts.sink_up(&self.name, Some(error.to_string()));
                    }
                }
                Err(error) => {
                    warn!(sink = self.name, retry_in = ?backoff, "cannot open the sink: {error}");
                    if matches!(error, SinkError::Operator { .. } | SinkError::Fenced(_)) {
                        self.set_state(ViewState::Halted, Some(error.to_string()));
                    }
                    self.facts.sink_up(&self.name, Some(error.to_string()));
                }
            }
            pause(backoff, &stop).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn set_state(&self, state: ViewState, error: Option<String>) {
        let mut inner = self.facts.lock();
        for target in &self.targets {
            if let Some(facts) = inner.targets.get_mut(&target.id) {
                facts.state = state;
                facts.error.clone_from(&error);
            }
        }
    }

    /// Prepares the sink, fences off earlier lives, and compares its marker with what we know to have written there.
    pub(crate) async fn open(&self) -> Result<(), SinkError> {
        let layouts: Vec<ViewTarget> = self.targets.iter().map(|t| t.layout.clone()).collect();
        self.sink.prepare(&layouts).await?;
        self.sink.fence().await?;
        let found = self.sink.read_marker().await?;
        let known = self.known_marker().await?;
        let mut refill = Vec::new();
        for target in &self.targets {
            let view = &target.layout.view;
            let before = known
                .as_ref()
                .and_then(|m| m.views.get(view))
                .map(|w| w.watermark);
            let now = found
                .as_ref()
                .and_then(|m| m.views.get(view))
                .map(|w| w.watermark);
            if before.is_some_and(|before| now.is_none_or(|now| now < before)) {
                error!(
                    sink = self.name,
                    view, "the sink went back in time: all of its rows are written again"
                );
                refill.push(Arc::clone(target));
            } else if now.is_some() && !self.is_accounted(target).await? {
                info!(
                    sink = self.name,
                    view, "the sink may hold rows that are not known here: it is read through"
                );
                refill.push(Arc::clone(target));
            }
        }
        let floor = found
            .as_ref()
            .map_or(0, |m| m.offset)
            .max(known.as_ref().map_or(0, |m| m.offset));
        self.offset
            .fetch_max(floor, std::sync::atomic::Ordering::Relaxed);
        let mut from_nothing = BTreeMap::new();
        if !refill.is_empty() {
            self.mark_all(&refill).await?;
            for target in &refill {
                self.mark_strays(target).await?;
                from_nothing.insert(target.id, Lsn::ZERO);
            }
        }
        let marker = self.marker(Some(&from_nothing));
        self.sink.write_marker(&marker).await?;
        self.remember(marker).await?;
        self.set_accounted().await
    }

    /// Whether all that the sink holds for a target is known here.
    async fn is_accounted(&self, target: &Target) -> Result<bool, SinkError> {
        let (view, id) = (target.layout.view.clone(), target.id);
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |_, engine| {
            let _ = answer.send(engine.is_accounted(&view, id));
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    async fn set_accounted(&self) -> Result<(), SinkError> {
        let targets: Vec<(String, TargetId)> = self
            .targets
            .iter()
            .map(|target| (target.layout.view.clone(), target.id))
            .collect();
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, engine| {
            for (view, id) in &targets {
                if !engine.is_accounted(view, *id) {
                    engine.set_accounted(state, view, *id)?;
                }
            }
            let _ = answer.send(());
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    /// The marker that we know to have reached the sink, as state has it.
    async fn known_marker(&self) -> Result<Option<Marker>, SinkError> {
        let name = self.marker_key();
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, _| {
            let found = readside_projection::facts::get(state, &name)?;
            let _ = answer.send(found.and_then(|bytes| serde_json::from_slice(&bytes).ok()));
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    async fn remember(&self, marker: Marker) -> Result<(), SinkError> {
        let name = self.marker_key();
        let bytes =
            serde_json::to_vec(&marker).map_err(|e| SinkError::Unavailable(e.to_string()))?;
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, _| {
            readside_projection::facts::put(state, &name, &bytes)?;
            let _ = answer.send(());
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    fn marker_key(&self) -> String {
        format!("marker/{}", self.name)
    }

    /// Marks for deletion what the sink has for this view and neither the view nor our memory of what we wrote knows: rows that came
    /// back with an older state of the sink.
    pub(crate) async fn mark_strays(&self, target: &Arc<Target>) -> Result<(), SinkError> {
        let Some(index) = self.targets.iter().position(|t| t.id == target.id) else {
            return Ok(());
        };
        if self.sink.visibility() == Visibility::AfterRefresh {
            // What was written and not refreshed yet is not found by reading.
            self.sink.refresh(index).await?;
        }
        let mut after = None;
        loop {
            let page = self.sink.read_page(index, after, STRAYS_PAGE).await?;
            let found: Vec<RenderedKey> = page
                .rows
                .iter()
                .map(|row| RenderedKey {
                    parts: key_parts(&row.key, &row.body, &target.layout),
                    text: Arc::clone(&row.key),
                })
                .collect();
            self.mark_unknown(target, found).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Marks for deletion those of these keys of the sink that the view does not have.
    pub(crate) async fn mark_unknown(
        &self,
        target: &Arc<Target>,
        found: Vec<RenderedKey>,
    ) -> Result<(), SinkError> {
        let (view, id) = (Arc::clone(&target.view), target.id);
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, _| {
            let marked = readside_projection::written::mark_strays(state, &view, id, &found)?;
            let _ = answer.send(());
            Ok(marked > 0)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    pub(crate) async fn mark_all(&self, targets: &[Arc<Target>]) -> Result<(), SinkError> {
        for target in targets {
            let (view, id) = (target.layout.view.clone(), target.id);
            let (answer, answered) = oneshot::channel();
            self.with(Box::new(move |state, engine| {
                engine.mark_all(state, &view, id)?;
                let _ = answer.send(());
                Ok(true)
            }))?;
            answered.await.map_err(|_| stopping())?;
        }
        Ok(())
    }

    #[allow(clippy::type_complexity, reason = "what a command takes")]
    fn with(
        &self,
        f: Box<
            dyn FnOnce(
                    &mut readside_state::State,
                    &mut readside_projection::Engine,
                ) -> Result<bool, PipelineError>
                + Send,
        >,
    ) -> Result<(), SinkError> {
        self.commands.send(Command::With(f)).map_err(|_| stopping())
    }

    /// The marker as of now; `at` gives other watermarks than the acknowledged ones.
    pub(crate) fn marker(&self, at: Option<&BTreeMap<TargetId, Lsn>>) -> Marker {
        let inner = self.facts.lock();
        let offset = self.offset.load(std::sync::atomic::Ordering::Relaxed);
        let views = self
            .targets
            .iter()
            .map(|target| {
                let acknowledged = inner
                    .targets
                    .get(&target.id)
                    .map_or(Lsn::ZERO, |t| t.acknowledged);
                let watermark = at
                    .and_then(|at| at.get(&target.id))
                    .copied()
                    .unwrap_or(acknowledged);
                (
                    target.layout.view.clone(),
                    ViewWatermark {
                        generation: target.layout.generation,
                        watermark,
                    },
                )
            })
            .collect();
        Marker {
            instance: self.instance.clone(),
            owner_epoch: self.owner_epoch.clone(),
            offset,
            version_max: inner.published.0 + offset,
            views,
        }
    }

    /// Writes until the sink has to be opened again or the run stops.
    async fn serve(self: &Arc<Self>, stop: watch::Receiver<bool>) -> Result<(), SinkError> {
        let mut tasks = tokio::task::JoinSet::new();
        match self.sink.writer_scope() {
            WriterScope::PerView => {
                for i in 0..self.targets.len() {
                    let (worker, stop) = (Arc::clone(self), stop.clone());
                    tasks.spawn(async move { worker.write_view(i, stop).await });
                }
                let (worker, stop) = (Arc::clone(self), stop.clone());
                tasks.spawn(async move { worker.keep_marker(stop).await });
            }
            WriterScope::PerSink => {
                let (worker, stop) = (Arc::clone(self), stop.clone());
                tasks.spawn(async move { worker.write_moments(stop).await });
            }
        }
        if self.sink.visibility() == Visibility::AfterRefresh {
            for i in 0..self.targets.len() {
                let (worker, stop) = (Arc::clone(self), stop.clone());
                tasks.spawn(async move { worker.refresh_view(i, stop).await });
            }
        }
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended
                .unwrap_or_else(|e| Err(SinkError::Unavailable(format!("a writer ended: {e}"))));
            if let Err(error) = ended {
                result = Err(error);
                tasks.abort_all();
            }
        }
        result
    }

    async fn write_view(&self, index: usize, stop: watch::Receiver<bool>) -> Result<(), SinkError> {
        let target = &self.targets[index];
        while !*stop.borrow() {
            match self.write_batch(index).await? {
                Next::More => {}
                Next::Later => tokio::time::sleep(jitter(LATER)).await,
                Next::Idle => {
                    let mut stop = stop.clone();
                    tokio::select! {
                        () = target.waker.notified() => {}
                        _ = stop.changed() => {}
                        () = tokio::time::sleep(Duration::from_secs(5)) => {}
                    }
                }
                Next::Reopen => {
                    return Err(SinkError::Lost(
                        "the sink has to be opened again".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn write_batch(&self, index: usize) -> Result<Next, SinkError> {
        let target = Arc::clone(&self.targets[index]);
        let snapshot = self.snapshot().await?;
        let computed_at = snapshot.committed().published;
        let (form, bytes_max) = (self.sink.form(), self.sink.batch_bytes_max());
        let rendered = {
            let target = Arc::clone(&target);
            aside(move || render(&snapshot, &target, form, BATCH_KEYS, bytes_max))
                .await?
                .map_err(broken)?
        };
        if rendered.sent.is_empty() && rendered.kept.is_empty() {
            return Ok(Next::Idle);
        }
        failpoint("writer.rendered");
        let batch = Batch {
            position: computed_at,
            version: self.version(computed_at),
            views: vec![ViewWrites {
                target: index,
                writes: rendered.writes,
            }],
            marker: None,
        };
        let mut outcomes = Vec::new();
        if !rendered.sent.is_empty() {
            outcomes = self.request(&batch).await?.pop().unwrap_or_default();
        }
        failpoint("writer.acknowledged");
        self.facts.sink_up(&self.name, None);
        self.settle(&target, computed_at, rendered.sent, outcomes, rendered.kept)
            .await
    }

    async fn request(&self, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError> {
        let started = Instant::now();
        let outcomes = self.sink.write(batch).await?;
        if let Some(sink) = self.facts.lock().sinks.get(&self.name) {
            sink.metrics.observe_request(started.elapsed());
        }
        Ok(outcomes)
    }

    fn version(&self, at: Lsn) -> Version {
        Version(at.0 + self.offset.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Tells the projector what became of the keys.
    async fn settle(
        &self,
        target: &Arc<Target>,
        computed_at: Lsn,
        sent: Vec<Sent>,
        outcomes: Vec<Outcome>,
        kept: Vec<Sent>,
    ) -> Result<Next, SinkError> {
        let mut items = Vec::with_capacity(sent.len() + kept.len());
        let mut again = 0_u64;
        let mut refused = 0_u64;
        let mut applied = 0_u64;
        let mut newer: Option<Version> = None;
        for sent in sent {
            let Some(outcome) = outcomes.get(sent.write).cloned() else {
                continue;
            };
            let item = |sent: Sent, dead: Option<String>| AcknowledgedItem {
                dead: dead.or(sent.failed),
                key: sent.key,
                sink_key: sent.sink_key,
                present: sent.present,
            };
            match outcome {
                Outcome::Applied => {
                    applied += 1;
                    items.push(item(sent, None));
                }
                Outcome::Refused(DeadReason(reason)) => {
                    refused += 1;
                    items.push(item(sent, Some(reason)));
                }
                Outcome::Newer(version) => newer = newer.max(Some(version)),
                Outcome::Retry(reason) => {
                    if again == 0 {
                        info!(
                            sink = self.name,
                            view = target.layout.view,
                            "the sink asks for time: {reason}"
                        );
                    }
                    again += 1;
                }
            }
        }
        items.extend(kept.into_iter().map(|sent| AcknowledgedItem {
            dead: sent.failed,
            key: sent.key,
            sink_key: sent.sink_key,
            present: true,
        }));
        if let Some(facts) = self.facts.lock().targets.get(&target.id) {
            facts.metrics.add_writes(WriteOutcome::Applied, applied);
            facts.metrics.add_writes(WriteOutcome::Refused, refused);
            facts.metrics.add_writes(WriteOutcome::Retry, again);
        }
        let (done, told) = oneshot::channel();
        let acknowledgement = Acknowledgement {
            target: target.id,
            computed_at,
            items,
            done,
        };
        self.commands
            .send(Command::Acknowledge(acknowledgement))
            .map_err(|_| stopping())?;
        told.await.map_err(|_| stopping())?;
        if let Some(Version(version)) = newer {
            error!(
                sink = self.name,
                view = target.layout.view,
                "the sink holds versions that this instance never issued: all rows are written again above them"
            );
            let published = self.facts.lock().published.0;
            self.offset.fetch_max(
                version.saturating_sub(published) + 1,
                std::sync::atomic::Ordering::Relaxed,
            );
            self.mark_all(std::slice::from_ref(target)).await?;
            return Ok(Next::Reopen);
        }
        Ok(if again > 0 { Next::Later } else { Next::More })
    }

    /// Everything that is pending at one moment, in one transaction with the position.
    async fn write_moments(&self, stop: watch::Receiver<bool>) -> Result<(), SinkError> {
        while !*stop.borrow() {
            match self.write_moment().await? {
                Next::More => {}
                Next::Later => tokio::time::sleep(jitter(LATER)).await,
                Next::Reopen => {
                    return Err(SinkError::Lost(
                        "the sink has to be opened again".to_owned(),
                    ));
                }
                Next::Idle => {
                    let mut changed = self.facts.moved.subscribe();
                    let mut stop = stop.clone();
                    let wakers = self.targets.iter().map(|t| Box::pin(t.waker.notified()));
                    tokio::select! {
                        _ = futures::future::select_all(wakers) => {}
                        _ = stop.changed() => {}
                        () = async { let _ = changed.changed().await; tokio::time::sleep(MARKER_EVERY).await; } => {}
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn write_moment(&self) -> Result<Next, SinkError> {
        let snapshot = self.snapshot().await?;
        let computed_at = snapshot.committed().published;
        let (form, targets) = (self.sink.form(), self.targets.clone());
        let rendered = aside(move || {
            let mut out = Vec::new();
            let mut watermarks = BTreeMap::new();
            let mut room = MOMENT_KEYS;
            for target in &targets {
                let rendered = render(&snapshot, target, form, room, usize::MAX)?;
                room = room.saturating_sub(rendered.sent.len()).max(1);
                if rendered.complete {
                    watermarks.insert(target.id, computed_at);
                }
                out.push(rendered);
            }
            Ok::<_, PipelineError>((out, watermarks))
        });
        let (rendered, watermarks) = rendered.await?.map_err(broken)?;
        let complete = rendered.iter().all(|r| r.complete);
        if let Some(facts) = self.facts.lock().sinks.get_mut(&self.name) {
            facts.consistent = complete;
        }
        if rendered
            .iter()
            .all(|r| r.sent.is_empty() && r.kept.is_empty())
        {
            return Ok(Next::Idle);
        }
        failpoint("writer.rendered");
        let mut views = Vec::new();
        let mut waiting = Vec::new();
        for (target, mut rendered) in rendered.into_iter().enumerate() {
            views.push(ViewWrites {
                target,
                writes: std::mem::take(&mut rendered.writes),
            });
            waiting.push(rendered);
        }
        let marker = self.marker(Some(&watermarks));
        let batch = Batch {
            position: computed_at,
            version: self.version(computed_at),
            views,
            marker: Some(marker.clone()),
        };
        let outcomes = self.request(&batch).await?;
        failpoint("writer.acknowledged");
        self.facts.sink_up(&self.name, None);
        // It is there with what it tells of. Once keys are cleared, only this says that the sink may not be older.
        self.remember(marker).await?;
        let mut next = Next::More;
        for ((target, rendered), outcomes) in self.targets.iter().zip(waiting).zip(outcomes) {
            if rendered.sent.is_empty() && rendered.kept.is_empty() {
                continue;
            }
            match self
                .settle(target, computed_at, rendered.sent, outcomes, rendered.kept)
                .await?
            {
                Next::Reopen => return Ok(Next::Reopen),
                Next::Later => next = Next::Later,
                Next::More | Next::Idle => {}
            }
        }
        Ok(next)
    }

    /// Rewrites the marker as watermarks move.
    async fn keep_marker(&self, stop: watch::Receiver<bool>) -> Result<(), SinkError> {
        let mut last = self.marker(None);
        loop {
            pause(MARKER_EVERY, &stop).await;
            self.renew_marker(&mut last).await?;
            if *stop.borrow() {
                return Ok(());
            }
        }
    }

    /// Writes the marker if it says anything else than `last`.
    pub(crate) async fn renew_marker(&self, last: &mut Marker) -> Result<(), SinkError> {
        let marker = self.marker(None);
        if marker.views != last.views || marker.offset != last.offset {
            self.sink.write_marker(&marker).await?;
            failpoint("marker.written");
            self.remember(marker.clone()).await?;
            *last = marker;
        }
        Ok(())
    }

    /// Makes acknowledged writes visible, and the watermark follow.
    async fn refresh_view(
        &self,
        index: usize,
        stop: watch::Receiver<bool>,
    ) -> Result<(), SinkError> {
        while !*stop.borrow() {
            self.refresh_once(index).await?;
            let mut stop = stop.clone();
            tokio::select! {
                () = self.hurry.notified() => {}
                _ = stop.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        Ok(())
    }

    /// Makes what has been acknowledged until now visible, if anything has.
    pub(crate) async fn refresh_once(&self, index: usize) -> Result<(), SinkError> {
        let target = &self.targets[index];
        let (acknowledged, visible) = {
            let inner = self.facts.lock();
            inner
                .targets
                .get(&target.id)
                .map_or((Lsn::ZERO, Lsn::ZERO), |t| (t.acknowledged, t.watermark))
        };
        if acknowledged > visible {
            self.sink.refresh(index).await?;
            if let Some(facts) = self.facts.lock().targets.get_mut(&target.id) {
                facts.watermark = facts.watermark.max(acknowledged);
            }
            self.facts.notify();
        }
        Ok(())
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot, SinkError> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Snapshot(answer))
            .map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?.map_err(broken)
    }
}

/// Renders pending keys, oldest first, until one of the limits is met.
fn render(
    snapshot: &Snapshot,
    target: &Target,
    form: DocumentForm,
    keys_max: usize,
    bytes_max: usize,
) -> Result<RenderedBatch, PipelineError> {
    let mut out = RenderedBatch {
        writes: Vec::new(),
        sent: Vec::new(),
        kept: Vec::new(),
        complete: true,
    };
    let mut bytes = 0;
    let mut after: Option<Queued> = None;
    let mut by_text: HashMap<Arc<str>, usize> = HashMap::new();
    'all: loop {
        let queued = pending::queued(snapshot, target.id, after.as_ref(), 512)?;
        if queued.is_empty() {
            break;
        }
        for queued in &queued {
            if out.sent.len() >= keys_max || bytes >= bytes_max {
                out.complete = false;
                break 'all;
            }
            let sink_key = target.view.sink_key(snapshot, &queued.key)?;
            let (body, failed) = match target.view.render(snapshot, &queued.key, form)? {
                Rendered::Absent => (None, None),
                Rendered::Row(body) => (Some(body), None),
                Rendered::Failed(error) => (None, Some(error.message)),
            };
            let mut sent = Sent {
                key: queued.key.clone(),
                sink_key,
                write: out.writes.len(),
                present: body.is_some(),
                failed,
            };
            if sent.failed.is_some() && target.keep_failed {
                out.kept.push(sent);
                continue;
            }
            bytes += sent.sink_key.text.len() + body.as_ref().map_or(0, body_bytes);
            sent.write = *by_text
                .entry(Arc::clone(&sent.sink_key.text))
                .or_insert(sent.write);
            match out.writes.get_mut(sent.write) {
                Some(write) => write.body = body.or_else(|| write.body.take()),
                None => out.writes.push(Write {
                    key: Arc::clone(&sent.sink_key.text),
                    key_parts: sent.sink_key.parts.clone(),
                    body,
                }),
            }
            out.sent.push(sent);
        }
        after = queued.into_iter().last();
    }
    for sent in &mut out.sent {
        sent.present = out
            .writes
            .get(sent.write)
            .is_some_and(|write| write.body.is_some());
    }
    Ok(out)
}

fn body_bytes(body: &Body) -> usize {
    match body {
        Body::Json(json) => json.len(),
        Body::Columns(columns) => columns.iter().flatten().map(bytes::Bytes::len).sum(),
    }
}

/// Runs what computes for long where it holds up nobody; in place where there is no runtime.
async fn aside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, SinkError> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(f)
            .await
            .map_err(|e| SinkError::Unavailable(e.to_string())),
        Err(_) => Ok(f()),
    }
}

async fn pause(for_at_most: Duration, stop: &watch::Receiver<bool>) {
    let mut stop = stop.clone();
    if *stop.borrow() {
        return;
    }
    tokio::select! {
        _ = stop.changed() => {}
        () = tokio::time::sleep(jitter(for_at_most)) => {}
    }
}

fn jitter(around: Duration) -> Duration {
    around.mul_f64(rand::rng().random_range(0.75..1.25))
}

fn stopping() -> SinkError {
    SinkError::Unavailable("readside is stopping".to_owned())
}

fn broken(error: PipelineError) -> SinkError {
    SinkError::Operator {
        message: error.to_string(),
        hint: "see the log; restart readside".to_owned(),
    }
}

/// The key pieces of a row as a sink has it: from its columns where it has any, else from the key text.
fn key_parts(text: &str, body: &Body, layout: &ViewTarget) -> Vec<Option<Arc<str>>> {
    if let Body::Columns(columns) = body {
        let shown = layout.key.iter().map(|column| {
            let value = columns.get((*column)?)?.as_ref()?;
            std::str::from_utf8(value).ok().map(Arc::from)
        });
        return shown.collect();
    }
    if layout.key.is_empty() {
        return Vec::new();
    }
    let parts = text.split(':').map(|part| match part {
        "%N" | "%X" => None,
        "%Z" => Some(Arc::from("")),
        part => Some(Arc::from(part.replace("%3A", ":").replace("%25", "%"))),
    });
    parts.collect()
}

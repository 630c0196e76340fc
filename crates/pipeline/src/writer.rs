//! Writers: pending keys to a sink, and acknowledgements back.
//!
//! In: a wake-up that keys are pending. Out: requests to the sink, one in flight per key; acknowledgements to the projector.
//!
//! Always: values come from one snapshot at a transaction boundary; a key is cleared only by an acknowledgement; after an ambiguous
//! outcome there is a fence before the next write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rand::Rng;
use readside_model::{Lsn, Version};
use readside_plan::Plan;
use readside_projection::TargetId;
use readside_sink::{
    Batch, DeadReason, Marker, Outcome, Sink, SinkError, ViewTarget, ViewWrites, Visibility,
    WriterScope,
};
use readside_telemetry::WriteOutcome;
use tokio::sync::{Notify, oneshot, watch};
use tracing::{error, info, warn};

use crate::PipelineError;
use crate::ViewState;
use crate::facts::Facts;
use crate::failpoint::failpoint;
use crate::projector::{AcknowledgedItem, Acknowledgement, Command, Sight};
use crate::rendering::{Sent, aside, render};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Keys in one batch at most.
const BATCH_KEYS: usize = 4_096;
/// Keys of one moment of a sink that shows one moment of all its views; above it, it catches up in pieces.
const MOMENT_KEYS: usize = 100_000;
/// Keys of a view in one moment that are only written again.
const MOMENT_AGAIN: usize = 2_000;
const MARKER_EVERY: Duration = Duration::from_secs(1);
/// How often a sink that says nothing by itself is looked at.
const AUDIT_EVERY: Duration = Duration::from_secs(10);
/// How long a sink that asks for time is left alone.
const LATER: Duration = Duration::from_millis(500);

/// A view in a sink.
pub(crate) struct Target {
    pub(crate) id: TargetId,
    pub(crate) plan: Arc<Plan>,
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
    pub(crate) offset: AtomicU64,
    /// How much of it state knows of.
    pub(crate) raised: AtomicU64,
    /// Batches that were written with the marker.
    pub(crate) sequence: AtomicU64,
    /// Somebody waits for a watermark.
    pub(crate) hurry: Arc<Notify>,
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
        let sight = self.sight().await?;
        let computed_at = sight.snapshot.committed().published;
        let generation = sight.generation;
        let (form, bytes_max) = (self.sink.form(), self.sink.batch_bytes_max());
        let rendered = {
            let target = Arc::clone(&target);
            aside(move || render(&sight, &target, form, BATCH_KEYS, bytes_max, usize::MAX))
                .await?
                .map_err(broken)?
        };
        if rendered.sent.is_empty() && rendered.kept.is_empty() {
            return Ok(Next::Idle);
        }
        failpoint("writer.rendered");
        let batch = Batch {
            position: computed_at,
            version: self.version(computed_at, generation),
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
        self.settle(
            &target,
            (computed_at, generation),
            rendered.sent,
            outcomes,
            rendered.kept,
        )
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

    /// The version of what is computed from this sight: other content at the same position has another one.
    fn version(&self, at: Lsn, generation: u64) -> Version {
        Version(at.0 + self.offset.load(Ordering::Relaxed) + generation)
    }

    /// Tells the projector what became of the keys.
    async fn settle(
        &self,
        target: &Arc<Target>,
        (computed_at, generation): (Lsn, u64),
        sent: Vec<Sent>,
        outcomes: Vec<Outcome>,
        kept: Vec<Sent>,
    ) -> Result<Next, SinkError> {
        let mut items = Vec::with_capacity(sent.len() + kept.len());
        let mut again = 0_u64;
        let mut refused = 0_u64;
        let mut applied = 0_u64;
        let mut above = 0_u64;
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
                Outcome::Newer(version) => {
                    above += 1;
                    newer = newer.max(Some(version));
                }
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
            facts.metrics.add_writes(WriteOutcome::Newer, above);
            facts.metrics.add_writes(WriteOutcome::Retry, again);
        }
        let index = self.targets.iter().position(|t| t.id == target.id);
        let (done, told) = oneshot::channel();
        let acknowledgement = Acknowledgement {
            target: target.id,
            computed_at,
            generation,
            items,
            receipt: index.and_then(|index| self.sink.receipt(index)),
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
            self.raise_offset_to(version.saturating_sub(published) + 1);
            self.mark_all(std::slice::from_ref(target)).await?;
            return Ok(Next::Reopen);
        }
        Ok(if again > 0 { Next::Later } else { Next::More })
    }

    /// Everything that is pending at one moment, in one transaction with the position.
    async fn write_moments(&self, stop: watch::Receiver<bool>) -> Result<(), SinkError> {
        let mut last = self.marker(None);
        let mut audited = Instant::now();
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
                    if audited.elapsed() >= AUDIT_EVERY {
                        self.tend(&mut last, true).await?;
                        audited = Instant::now();
                    }
                    let mut stop = stop.clone();
                    let wakers = self.targets.iter().map(|t| Box::pin(t.waker.notified()));
                    tokio::select! {
                        _ = futures::future::select_all(wakers) => {}
                        _ = stop.changed() => {}
                        () = tokio::time::sleep(AUDIT_EVERY.saturating_sub(audited.elapsed())) => {}
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn write_moment(&self) -> Result<Next, SinkError> {
        let sight = self.sight().await?;
        let computed_at = sight.snapshot.committed().published;
        let generation = sight.generation;
        let (form, targets) = (self.sink.form(), self.targets.clone());
        let bytes_max = self.sink.batch_bytes_max();
        let rendered = aside(move || {
            let mut out = Vec::new();
            let mut watermarks = BTreeMap::new();
            let (mut room, mut room_bytes) = (MOMENT_KEYS, bytes_max);
            for target in &targets {
                let rendered = render(&sight, target, form, room, room_bytes, MOMENT_AGAIN)?;
                // What is only written again takes no room from what is out of date in other views.
                let (again, again_bytes) = rendered.again;
                room = room.saturating_sub(rendered.sent.len() - again);
                room_bytes = room_bytes.saturating_sub(rendered.bytes - again_bytes);
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
        self.sequence.fetch_add(1, Ordering::Relaxed);
        let marker = self.marker(Some(&watermarks));
        let batch = Batch {
            position: computed_at,
            version: self.version(computed_at, generation),
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
                .settle(
                    target,
                    (computed_at, generation),
                    rendered.sent,
                    outcomes,
                    rendered.kept,
                )
                .await?
            {
                Next::Reopen => return Ok(Next::Reopen),
                Next::Later => next = Next::Later,
                Next::More | Next::Idle => {}
            }
        }
        Ok(next)
    }

    /// Rewrites the marker as watermarks move, and looks after a sink that nothing is written to.
    async fn keep_marker(&self, stop: watch::Receiver<bool>) -> Result<(), SinkError> {
        let mut last = self.marker(None);
        let mut audited = Instant::now();
        loop {
            pause(MARKER_EVERY, &stop).await;
            let audit = audited.elapsed() >= AUDIT_EVERY && !*stop.borrow();
            self.tend(&mut last, audit).await?;
            if audit {
                audited = Instant::now();
            }
            if *stop.borrow() {
                return Ok(());
            }
        }
    }

    /// Writes the marker if it says anything else than `last`. With `audit` the sink is asked whether it still has what it acknowledged,
    /// and the marker is written all the same, which fails where another stands.
    pub(crate) async fn tend(&self, last: &mut Marker, audit: bool) -> Result<(), SinkError> {
        if audit {
            self.sink.audit().await?;
        }
        let marker = self.marker(None);
        if audit || marker.views != last.views || marker.offset != last.offset {
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
        let before = {
            let inner = self.facts.lock();
            inner
                .targets
                .get(&target.id)
                .map(|t| (t.acknowledged, t.watermark, t.refills))
        };
        let Some((acknowledged, visible, refills)) = before else {
            return Ok(());
        };
        if acknowledged > visible {
            self.sink.refresh(index).await?;
            if let Some(facts) = self.facts.lock().targets.get_mut(&target.id)
                && facts.refills == refills
            {
                // Unless the sink was found to have gone back meanwhile: then this is not there any more.
                facts.watermark = facts.watermark.max(acknowledged);
            }
            self.facts.notify();
        }
        Ok(())
    }

    pub(crate) async fn sight(&self) -> Result<Sight, SinkError> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Sight(answer))
            .map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?.map_err(broken)
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

pub(crate) fn stopping() -> SinkError {
    SinkError::Unavailable("readside is stopping".to_owned())
}

pub(crate) fn broken(error: PipelineError) -> SinkError {
    SinkError::Operator {
        message: error.to_string(),
        hint: "see the log; restart readside".to_owned(),
    }
}

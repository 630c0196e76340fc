//! A run: parts started in order, watched, and ended in order; started again when the source changed under them.
//!
//! Always: no sink is written before state has reached the changelog's durable end as found at the start; the changelog outlives
//! its readers; state is the last to be closed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use readside_model::Lsn;
use readside_projection::TargetId;
use readside_sink::{Sink, SinkError, Visibility};
use readside_source::{
    PublicationState, SqlClient, TableChange, TableFingerprint, WalStatus, broken_identities,
    connect_sql, enum_labels, publication_state, slot_status, table_fingerprints, withdraw_tables,
};
use readside_telemetry::{Metrics, Retained};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::capture::Capture;
use crate::config::RunConfig;
use crate::error::PipelineRemedy;
use crate::facts::{Facts, Rate, SinkFacts, SourceFacts, TargetFacts};
use crate::failpoint::failpoint;
use crate::horizon::Horizon;
use crate::interrupt::Interrupt;
use crate::projector::{Command, Projector};
use crate::rebuild::Rebuilds;
use crate::startup::{OWED, Opened, layout, open, random_name, store_fingerprints};
use crate::writer::{SinkWorker, Target};
use crate::{Phase, PipelineError, ViewState, WaitRequest, loader};

const POLL_EVERY: Duration = Duration::from_secs(5);
/// How long the writers, and then capture, may take to end what they are at.
const PART_STOP_MAX: Duration = Duration::from_secs(3);
/// How long state may take to be closed when the process is to end.
const STATE_CLOSE_MAX: Duration = Duration::from_secs(8);
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// It was told to stop.
    Stopped,
    /// Every view has reached the source's LSN at start.
    CaughtUp,
}

/// A pipeline: made once, run once, asked from anywhere meanwhile.
pub struct Pipeline {
    pub(crate) config: RunConfig,
    pub(crate) facts: Arc<Facts>,
    pub(crate) live: Mutex<Live>,
    /// Capture is to ask the source where it is.
    pub(crate) ask: Arc<Notify>,
    pub(crate) rates: Mutex<(Rate, Rate)>,
}

/// What exists only while a life of the pipeline goes on.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) workers: Vec<Arc<SinkWorker>>,
    pub(crate) rebuilds: Rebuilds,
}

impl Pipeline {
    /// A pipeline that has not been started.
    #[must_use]
    pub fn new(config: RunConfig, metrics: Metrics) -> Arc<Pipeline> {
        let source = SourceFacts {
            database: config.source.database.clone(),
            publication: config.publication.clone(),
            slot: config.slot.clone(),
            ..SourceFacts::default()
        };
        Arc::new(Pipeline {
            facts: Arc::new(Facts::new(metrics, source)),
            config,
            live: Mutex::new(Live::default()),
            ask: Arc::new(Notify::new()),
            rates: Mutex::new((Rate::new(), Rate::new())),
        })
    }

    pub(crate) fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until `stop` says so, the views have caught up (if that was asked for), or the operator is needed.
    ///
    /// # Errors
    /// What nothing but the operator can mend, or an unreachable source at the very start.
    pub async fn run(
        self: &Arc<Self>,
        stop: watch::Receiver<bool>,
    ) -> Result<RunOutcome, PipelineError> {
        let mut resynchronise: Option<String> = None;
        let mut was_up = false;
        let mut pause = RESTART_PAUSE;
        loop {
            let began = std::time::Instant::now();
            let ended = self
                .life(stop.clone(), resynchronise.as_deref(), &mut was_up)
                .await;
            *self.live() = Live::default();
            let error = match ended {
                Ok(outcome) => return Ok(outcome),
                Err(_) if *stop.borrow() => return Ok(RunOutcome::Stopped),
                Err(error) => error,
            };
            self.facts.lock().error = Some(error.to_string());
            resynchronise = match error.remedy() {
                PipelineRemedy::Resynchronise if was_up || resynchronise.is_none() => {
                    Some(error.to_string())
                }
                PipelineRemedy::Restart => None,
                PipelineRemedy::Unreachable if was_up => resynchronise,
                _ => {
                    self.facts.set_phase(Phase::Halted);
                    return Err(error);
                }
            };
            if began.elapsed() > Duration::from_secs(60) {
                pause = RESTART_PAUSE;
            }
            warn!(in_ = ?pause, "starting again: {error}");
            let mut stop = stop.clone();
            tokio::select! {
                _ = stop.changed() => return Ok(RunOutcome::Stopped),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
        }
    }

    async fn life(
        self: &Arc<Self>,
        mut stop: watch::Receiver<bool>,
        resynchronise: Option<&str>,
        was_up: &mut bool,
    ) -> Result<RunOutcome, PipelineError> {
        self.facts.set_phase(Phase::Starting);
        let interrupt = Interrupt::new(&stop);
        let opened = tokio::select! {
            opened = open(&self.config, resynchronise, &interrupt) => opened?,
            () = raised(&mut stop) => return Ok(RunOutcome::Stopped),
        };
        *was_up = true;
        {
            let mut inner = self.facts.lock();
            inner.error = None;
            // What an earlier life heard may be of another server, or of another course of its history.
            inner.source.lsn = None;
            inner.generation = 0;
            inner.source.horizon = Horizon::default();
            inner.unapplied_since = None;
        }
        let until = if self.config.until_caught_up {
            Some(self.source_position().await?)
        } else {
            None
        };

        let Opened {
            state,
            engine,
            needs,
            changelog,
            instance,
            fingerprints,
            publication,
            fresh,
        } = opened;
        self.facts.lock().source.publication_oid = publication;
        let durable = changelog.durable();
        let found_end = durable.end();
        let (commands, received) = channel();
        let advanced = Arc::new(AtomicBool::new(false));
        {
            let (commands, advanced) = (commands.clone(), Arc::clone(&advanced));
            durable.on_advance(move |_| {
                if !advanced.swap(true, std::sync::atomic::Ordering::AcqRel) {
                    let _ = commands.send(Command::Advanced);
                }
            });
        }
        let trim_to = Arc::new(AtomicU64::new(state.durable().published.0));
        let reader_from = if fresh {
            found_end
        } else {
            state.committed().published
        };
        let mut projector = Projector {
            reader: durable.reader("projection", reader_from)?,
            state,
            engine,
            facts: Arc::clone(&self.facts),
            commands: received,
            wakers: BTreeMap::new(),
            trim_to: Arc::clone(&trim_to),
            advanced,
            held: None,
            interrupt,
        };
        let (workers_stop, workers_stopping) = watch::channel(false);
        let (capture_stop, capture_stopping) = watch::channel(false);
        let owner_epoch = random_name();
        let workers = self.workers(&mut projector, &commands, &instance, &owner_epoch)?;
        for table in projector.engine.tables().values() {
            // Present from the start: a rate over a series that comes into being with its first change misses that change.
            let _ = self.facts.metrics.table(&table.table.display_name());
        }
        let capture = Capture {
            source: self.config.source.clone(),
            slot: self.config.slot.clone(),
            publication: self.config.publication.clone(),
            changelog,
            facts: Arc::clone(&self.facts),
            ask: Arc::clone(&self.ask),
            trim_to,
        };
        let mut capture = tokio::spawn(capture.run(capture_stopping));
        self.facts.lock().instance.clone_from(&instance);

        // Loads, fills and the replay of what is on disk, before any sink is written.
        self.facts.set_phase(Phase::Loading);
        let mut interrupted = stop.clone();
        let prepared = tokio::select! {
            prepared = self.prepare(&mut projector, &needs, fresh, found_end, &fingerprints, &durable, &stop) => prepared,
            ended = &mut capture => Err(match ended {
                Ok(Err(error)) => error,
                _ => PipelineError::Ended("capture"),
            }),
            () = raised(&mut interrupted) => {
                capture_stop.send_replace(true);
                let _ = tokio::time::timeout(PART_STOP_MAX, &mut capture).await;
                capture.abort();
                return Ok(RunOutcome::Stopped);
            }
        };
        if let Err(error) = prepared {
            capture_stop.send_replace(true);
            capture.abort();
            return Err(error);
        }

        let baseline = self.baseline(&projector).await?;
        let (projector_done, mut projector_ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("projector".to_owned())
            .spawn(move || {
                let _ = projector_done.send(projector.run());
            })
            .map_err(|_| PipelineError::Ended("the projector"))?;
        let mut rebuilds = Rebuilds::default();
        for view in &needs.given_up {
            error!(
                view,
                "the rebuild was interrupted each time it was begun, and is not begun any more; the view is live as it was\n  \
                 hint: the log says what ended it; then `readside rebuild {view}`"
            );
        }
        for view in &needs.rebuilds {
            rebuilds.begin(view, None, &workers)?;
        }
        *self.live() = Live {
            workers: workers.clone(),
            rebuilds,
        };
        let mut sinks = tokio::task::JoinSet::new();
        for worker in workers {
            sinks.spawn(worker.run(workers_stopping.clone()));
        }
        self.facts.set_phase(Phase::Running);
        info!("running");
        let mut projector_over = false;
        let result = tokio::select! {
            () = raised(&mut stop) => Ok(RunOutcome::Stopped),
            ended = &mut capture => Err(match ended {
                Ok(Err(error)) => error,
                _ => PipelineError::Ended("capture"),
            }),
            ended = &mut projector_ended => {
                projector_over = true;
                Err(match ended {
                    Ok(Err(error)) => error,
                    _ => PipelineError::Ended("the projector"),
                })
            }
            Some(_) = sinks.join_next() => Err(PipelineError::Ended("a sink's worker")),
            changed = self.poll(baseline) => Err(changed),
            () = self.caught_up(until) => Ok(RunOutcome::CaughtUp),
        };
        if let Err(error) = &result {
            error!("{error}");
        }
        // Whoever waits meanwhile goes on waiting if it is to start again.
        self.facts.set_phase(if result.is_ok() {
            Phase::Stopping
        } else {
            Phase::Starting
        });
        workers_stop.send_replace(true);
        let _ = tokio::time::timeout(PART_STOP_MAX, async {
            while sinks.join_next().await.is_some() {}
        })
        .await;
        sinks.abort_all();
        capture_stop.send_replace(true);
        if !capture.is_finished() {
            let _ = tokio::time::timeout(PART_STOP_MAX, &mut capture).await;
            capture.abort();
        }
        let _ = commands.send(Command::Stop);
        if !projector_over {
            tokio::select! {
                ended = &mut projector_ended => {
                    projector_over = true;
                    if let Ok(Err(error)) = ended {
                        error!("closing state: {error}");
                    }
                }
                // Whoever starts again in this process needs the state, however long it takes.
                () = async { raised(&mut stop).await; tokio::time::sleep(STATE_CLOSE_MAX).await } => warn!(
                    "state is in the middle of something and is left as it was flushed last: the next start goes on from there"
                ),
            }
        }
        if projector_over {
            // They hold snapshots, and with them the state's files, until they hear that nobody answers any more.
            let mut rebuilds = std::mem::take(&mut self.live().rebuilds);
            tokio::task::block_in_place(|| rebuilds.join());
        }
        info!("stopped");
        result
    }

    /// The targets and their sinks, registered in the facts.
    fn workers(
        &self,
        projector: &mut Projector,
        commands: &Sender<Command>,
        instance: &str,
        owner_epoch: &str,
    ) -> Result<Vec<Arc<SinkWorker>>, PipelineError> {
        let mut by_sink: BTreeMap<String, Vec<Arc<Target>>> = BTreeMap::new();
        let mut targets: BTreeMap<TargetId, TargetFacts> = BTreeMap::new();
        let mut sinks: BTreeMap<String, Arc<dyn Sink>> = BTreeMap::new();
        let mut sink_facts = BTreeMap::new();
        for (name, config) in &self.config.sinks {
            let sink =
                readside_sinks::build(config.clone(), instance, owner_epoch).map_err(|error| {
                    PipelineError::Sink {
                        sink: name.clone(),
                        error,
                    }
                })?;
            sink_facts.insert(
                name.clone(),
                SinkFacts {
                    kind: config.kind().to_owned(),
                    up: false,
                    down_since: Some(std::time::Instant::now()),
                    error: None,
                    consistent: true,
                    metrics: self.facts.metrics.sink(name),
                },
            );
            sinks.insert(name.clone(), sink);
        }
        for (exec, view) in projector.engine.views().iter().zip(&self.config.views) {
            for (into, id) in view.into.iter().zip(&exec.targets) {
                let Some(sink) = sinks.get(&into.sink) else {
                    return Err(PipelineError::Target {
                        view: view.name.clone(),
                        sink: into.sink.clone(),
                        reason: "the sink is not configured".to_owned(),
                    });
                };
                let waker = Arc::new(Notify::new());
                projector.wakers.insert(*id, Arc::clone(&waker));
                targets.insert(
                    *id,
                    TargetFacts {
                        view: view.name.clone(),
                        sink: into.sink.clone(),
                        location: into.location.clone(),
                        lag_max: view.lag_max,
                        state: ViewState::Loading,
                        acknowledged: Lsn::ZERO,
                        watermark: Lsn::ZERO,
                        refills: 0,
                        immediate: sink.visibility() == Visibility::Immediate,
                        since: None,
                        pending: 0,
                        dead: 0,
                        writes: 0,
                        error: None,
                        rebuild: None,
                        metrics: self.facts.metrics.view_sink(&view.name, &into.sink),
                        rate: Rate::new(),
                    },
                );
                by_sink
                    .entry(into.sink.clone())
                    .or_default()
                    .push(Arc::new(Target {
                        id: *id,
                        plan: Arc::clone(&exec.plan),
                        layout: layout(exec, into),
                        keep_failed: view.keep_failed,
                        waker,
                    }));
            }
        }
        {
            let mut inner = self.facts.lock();
            inner.targets = targets;
            inner.sinks = sink_facts;
        }
        let mut workers = Vec::new();
        for (name, targets) in by_sink {
            let Some(sink) = sinks.remove(&name) else {
                continue;
            };
            workers.push(Arc::new(SinkWorker {
                name,
                sink,
                targets,
                facts: Arc::clone(&self.facts),
                commands: commands.clone(),
                instance: instance.to_owned(),
                owner_epoch: owner_epoch.to_owned(),
                offset: AtomicU64::new(0),
                raised: AtomicU64::new(0),
                sequence: AtomicU64::new(0),
                hurry: Arc::new(Notify::new()),
            }));
        }
        Ok(workers)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "everything that a start has found"
    )]
    async fn prepare(
        &self,
        projector: &mut Projector,
        needs: &readside_projection::Needs,
        fresh: bool,
        found_end: Lsn,
        fingerprints: &BTreeMap<u32, TableFingerprint>,
        durable: &readside_changelog::Durable,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), PipelineError> {
        let to_load: Vec<u32> = needs
            .tables
            .iter()
            .filter_map(|oid| projector.engine.tables().get(oid))
            .flat_map(|table| {
                std::iter::once(table.table.oid).chain(table.table.leaves.iter().copied())
            })
            .collect();
        let kept: BTreeMap<u32, TableFingerprint> = fingerprints
            .iter()
            .filter(|(oid, _)| !to_load.contains(oid))
            .map(|(o, f)| (*o, f.clone()))
            .collect();
        store_fingerprints(&mut projector.state, &kept)?;
        if !needs.tables.is_empty() {
            let loaded = loader::load(
                &self.config.source,
                &projector.engine,
                &mut projector.state,
                &needs.tables,
                &self.facts,
                stop,
            )
            .await?;
            let behind = projector.state.committed().published;
            if fresh && behind > loaded.lsn {
                return Err(PipelineError::OtherSource {
                    path: self.config.data_dir.display().to_string(),
                    reason: format!(
                        "the source is at {}, and this was filled up to {behind}",
                        loaded.lsn
                    ),
                });
            }
            self.reach(projector, durable, loaded.lsn, fresh).await?;
            tokio::task::block_in_place(|| -> Result<(), PipelineError> {
                projector.adopt(&needs.tables, loaded.lsn)?;
                store_fingerprints(&mut projector.state, &loaded.fingerprints)?;
                readside_projection::facts::put(&mut projector.state, OWED, b"")?;
                projector.state.flush_now()?;
                Ok(())
            })?;
            failpoint("load.adopted");
        }
        tokio::task::block_in_place(|| projector.make_ready(&needs.views, found_end))
    }

    /// Takes the changelog up to `lsn`, waiting for the source to get there: applied, or passed over if nothing in state leads up to it.
    async fn reach(
        &self,
        projector: &mut Projector,
        durable: &readside_changelog::Durable,
        lsn: Lsn,
        pass_over: bool,
    ) -> Result<(), PipelineError> {
        loop {
            let end = durable.end();
            let at_end = tokio::task::block_in_place(|| {
                if pass_over {
                    projector.pass_over_to(lsn)
                } else {
                    projector.catch_up_to(lsn)
                }
            })?;
            if !at_end || end >= lsn {
                return Ok(());
            }
            self.ask.notify_one();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn baseline(
        &self,
        projector: &Projector,
    ) -> Result<BTreeMap<u32, TableFingerprint>, PipelineError> {
        let mut out = BTreeMap::new();
        for table in projector.engine.tables().values() {
            for oid in std::iter::once(table.table.oid).chain(table.table.leaves.iter().copied()) {
                if let Some(fingerprint) =
                    crate::startup::stored_fingerprint(&projector.state, oid)?
                {
                    out.insert(oid, fingerprint);
                }
            }
        }
        for view in projector.engine.views() {
            for (stage, alias) in view.global_lifts() {
                warn!(
                    view = view.plan.view,
                    stage,
                    alias,
                    "no join leads from here to the view's rows: a change touches all of them"
                );
            }
        }
        tokio::task::yield_now().await;
        Ok(out)
    }

    /// Watches the slot and the catalog; returns when views have to be compiled anew.
    async fn poll(&self, baseline: BTreeMap<u32, TableFingerprint>) -> PipelineError {
        let mut client: Option<SqlClient> = None;
        let oids: Vec<u32> = baseline.keys().copied().collect();
        let mut labels: Option<BTreeMap<u32, Vec<String>>> = None;
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            if client.is_none() {
                client = connect_sql(&self.config.source).await.ok();
            }
            let Some(connected) = &client else { continue };
            // A renamed label changes what rows show and leaves no other trace.
            if let Ok(now) = enum_labels(connected).await {
                if labels.as_ref().is_some_and(|before| *before != now) {
                    return PipelineError::SourceChanged(
                        "the labels of an enum were altered".to_owned(),
                    );
                }
                labels = Some(now);
            }
            match self.look(connected, &oids, &baseline).await {
                Ok(None) => {}
                Ok(Some(changed)) => return PipelineError::SourceChanged(changed),
                Err(error @ (PipelineError::Resynchronise(_) | PipelineError::Identity(_))) => {
                    return error;
                }
                Err(_) => client = None,
            }
        }
    }

    async fn look(
        &self,
        client: &SqlClient,
        oids: &[u32],
        baseline: &BTreeMap<u32, TableFingerprint>,
    ) -> Result<Option<String>, PipelineError> {
        if let Some(slot) = slot_status(client, &self.config.slot).await? {
            let retained = slot.retained_bytes.and_then(|b| u64::try_from(b).ok());
            let safe = match slot.wal_status {
                // Nothing is safe any more, and the server says nothing of it.
                Some(WalStatus::Lost) => Some(0),
                _ => slot.safe_wal_bytes.map(|b| u64::try_from(b).unwrap_or(0)),
            };
            let end = slot
                .restart_lsn
                .zip(retained)
                .and_then(|(lsn, kept)| end_that_the_stream_reaches(lsn, kept));
            self.facts.metrics.set_slot_retained(Retained {
                bytes: retained.unwrap_or(0),
                safe_bytes: safe,
            });
            let in_danger = slot.is_in_danger();
            let mut inner = self.facts.lock();
            inner.source.slot_retained_bytes = retained;
            inner.source.slot_safe_bytes = safe;
            if let Some(end) = end {
                inner.source.lsn = inner.source.lsn.max(Some(end));
                inner.source.horizon.seen(std::time::Instant::now(), end);
            }
            inner.source.slot_state = slot.wal_status.map(|status| {
                match status {
                    WalStatus::Reserved => "reserved",
                    WalStatus::Extended => "extended",
                    WalStatus::Unreserved => "unreserved",
                    WalStatus::Lost => "lost",
                }
                .to_owned()
            });
            drop(inner);
            if in_danger {
                warn!(
                    slot = self.config.slot,
                    "less than half of the WAL that the source may keep for the slot is left"
                );
            }
        }
        if let Some(oid) = self.publication_oid() {
            let relations: BTreeMap<u32, String> = baseline
                .values()
                .filter(|table| table.leaves.is_empty())
                .map(|table| (table.oid, format!("{}.{}", table.schema, table.name)))
                .collect();
            match publication_state(client, &self.config.publication, oid, &relations).await? {
                PublicationState::Intact => {}
                PublicationState::Replaced => {
                    return Err(PipelineError::Resynchronise(
                        "the publication was dropped or replaced".to_owned(),
                    ));
                }
                PublicationState::Incomplete { faults } => {
                    return Err(PipelineError::Resynchronise(format!(
                        "the publication misses changes: {}",
                        faults.join("; ")
                    )));
                }
            }
        }
        let roots: Vec<u32> = baseline.keys().copied().collect();
        let broken = broken_identities(client, &roots).await?;
        if !broken.is_empty() {
            // Published, their updates and deletes fail in the application: out with them before anything else.
            let oids: Vec<u32> = broken.iter().map(|identity| identity.oid).collect();
            withdraw_tables(client, &self.config.publication, &oids).await?;
            return Err(PipelineError::Identity(
                broken
                    .iter()
                    .map(|identity| identity.name.clone())
                    .collect(),
            ));
        }
        let now = table_fingerprints(client, oids).await?;
        for (oid, was) in baseline {
            match now.get(oid).map(|now| was.change(now)) {
                Some(TableChange::None | TableChange::Renamed) => {}
                Some(_) => return Ok(Some(format!("`{}.{}` was altered", was.schema, was.name))),
                None => return Ok(Some(format!("`{}.{}` was dropped", was.schema, was.name))),
            }
        }
        Ok(None)
    }

    fn publication_oid(&self) -> Option<u32> {
        self.facts.lock().source.publication_oid
    }

    /// Where the source is now, as the stream will call it.
    pub(crate) async fn source_position(&self) -> Result<Lsn, PipelineError> {
        let client = connect_sql(&self.config.source).await?;
        let row = client
            .query_one(
                "SELECT pg_current_wal_insert_lsn()::text, (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')",
                &[],
            )
            .await
            .map_err(readside_source::SourceError::from)?;
        let text: String = row.try_get(0).map_err(readside_source::SourceError::from)?;
        let segment: String = row.try_get(1).map_err(readside_source::SourceError::from)?;
        let lsn = text
            .parse()
            .map_err(|_| PipelineError::SourceChanged(format!("`{text}` is not an LSN")))?;
        Ok(crate::stream_lsn(lsn, segment.parse().unwrap_or(16 << 20)))
    }

    async fn caught_up(&self, until: Option<Lsn>) {
        let Some(lsn) = until else {
            return std::future::pending().await;
        };
        let request = WaitRequest {
            lsn: Some(lsn),
            ..WaitRequest::default()
        };
        loop {
            match self.wait_for(&request, lsn).await {
                Ok(answer) if answer.reached => return,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// Where WAL ends that begins at `from`, if the stream ever gets there: what is written is cut at the edge of a page, as often as not
/// within a record that is finished much later.
fn end_that_the_stream_reaches(from: Lsn, bytes: u64) -> Option<Lsn> {
    const PAGE: u64 = 8192;
    let end = Lsn(from.0.checked_add(bytes)?);
    (!end.0.is_multiple_of(PAGE)).then(|| crate::stream_lsn(end, 16 << 20))
}

/// Returns once the flag is up, or can't be raised any more.
async fn raised(stop: &mut watch::Receiver<bool>) {
    while !*stop.borrow() {
        if stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl From<SinkError> for PipelineError {
    fn from(error: SinkError) -> Self {
        PipelineError::Sink {
            sink: String::new(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_of_a_page_is_no_end_that_the_stream_is_behind() {
        let from = Lsn(0x0100_0028);
        assert_eq!(
            end_that_the_stream_reaches(from, 0x10),
            Some(Lsn(0x0100_0038))
        );
        assert_eq!(end_that_the_stream_reaches(from, 0x1FD8), None);
        // Just after a page's header is the page's start, by the stream's count.
        assert_eq!(
            end_that_the_stream_reaches(from, 0x1FD8 + 24),
            Some(Lsn(0x0100_2000))
        );
        assert_eq!(end_that_the_stream_reaches(Lsn(u64::MAX), 1), None);
    }
}

//! One life of the pipeline over the simulated disks: the production parts, and the order in which a start puts them together.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use readside_changelog::{Changelog, Options as ChangelogOptions};
use readside_model::{Lsn, SourceIdentity};
use readside_projection::{
    Engine, GeneratedColumns, TargetId, ViewSpec, facts as state_facts, load_prefix,
};
use readside_sink::{Marker, Sink, SinkError, Visibility, WriterScope};
use readside_source::SourceConfig;
use readside_state::State;
use readside_telemetry::Metrics;
use tokio::sync::Notify;

use super::World;
use super::source::Connection;
use super::views::{copied, state_options};
use crate::capture::{Capture, Reading};
use crate::config::IntoConfig;
use crate::facts::{Facts, Rate, SinkFacts, SourceFacts, TargetFacts};
use crate::interrupt::Interrupt;
use crate::projector::{Command, Projector};
use crate::startup::{OWED, begin_anew, layout_of, target_name};
use crate::writer::{Next, SinkWorker, Target};
use crate::{PipelineError, ViewState};

/// What a task of a worker has come to.
enum Done {
    Opened(Marker),
    Next(Next),
    Marker(Marker),
    Refreshed,
}

type Task = Pin<Box<dyn Future<Output = Result<Done, SinkError>> + Send>>;

/// What a worker does at the same time.
#[derive(Debug, Clone, Copy)]
enum Job {
    Write(usize),
    Moment,
    Marker,
    Refresh(usize),
}

/// A sink's worker, and its tasks as the runtime would hold them.
pub(super) struct Working {
    pub(super) worker: Arc<SinkWorker>,
    /// Index into the world's sinks.
    pub(super) sink: usize,
    opening: Option<Task>,
    /// Empty while the sink is not open.
    jobs: Vec<(Job, Option<Task>)>,
    last: Option<Marker>,
}

/// One life.
pub(super) struct Life {
    pub(super) workers: Vec<Working>,
    pub(super) projector: Projector,
    pub(super) capture: Capture,
    pub(super) reading: Reading,
    pub(super) connection: Option<Connection>,
    pub(super) facts: Arc<Facts>,
    /// Where tables were copied in this life.
    pub(super) loaded: Lsn,
    _commands: Sender<Command>,
}

fn source_config() -> &'static SourceConfig {
    static CONFIG: OnceLock<SourceConfig> = OnceLock::new();
    CONFIG.get_or_init(|| SourceConfig::parse("postgres://readside@localhost/shop").unwrap())
}

fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::new("machine")).clone()
}

impl Life {
    /// What `startup::open` and `Pipeline::life` do, in their order.
    pub(super) fn start(world: &mut World) -> Result<Life, PipelineError> {
        let mut state = State::with_base(Arc::new(world.base.clone()), state_options())?;
        let identity = SourceIdentity {
            system_id: "1".into(),
            database_oid: 5,
            database: "shop".into(),
            slot: "readside".into(),
            timeline: 1,
        };
        let stored = state_facts::get(&state, "source")?;
        let had_slot = world.server.slot.is_some();
        world.slot_is_new |= !had_slot;
        let confirmed = *world.server.slot.get_or_insert(Lsn(world.server.wal));
        let relied_on = state.committed().published;
        let options = ChangelogOptions {
            segment_bytes: 2_000,
            spool_memory_bytes: world.spool_bytes,
            ..ChangelogOptions::default()
        };
        let mut changelog =
            Changelog::open(Arc::new(world.disk.clone()), &identity, relied_on, options)?;
        let fresh = stored.is_none();
        let behind = confirmed > changelog.durable().end();
        assert!(
            fresh || world.slot_is_new || !behind,
            "{confirmed} was confirmed, and the log ends at {}",
            changelog.durable().end()
        );
        let owes = state_facts::get(&state, OWED)?.unwrap_or_default();
        let owed = !owes.is_empty();
        let ahead = changelog.durable().end() > Lsn(world.server.wal);
        let gap = !fresh && (!had_slot || behind || ahead || owes == b"log");
        let tables: BTreeSet<u32> = world.tables();
        let mut stale: BTreeSet<u32> = BTreeSet::new();
        if owed || gap {
            stale.extend(&tables);
        }
        let specs: Vec<ViewSpec> = world
            .views
            .iter()
            .map(|view| ViewSpec {
                plan: Arc::clone(&view.plan),
                targets: view
                    .sinks
                    .iter()
                    .map(|s| target_name(&into(world, *s)))
                    .collect(),
            })
            .collect();
        let (mut engine, needs) = Engine::open(
            &mut state,
            &world.catalog,
            &GeneratedColumns::new(),
            &specs,
            &stale,
        )?;
        if fresh || gap {
            begin_anew(
                &mut state,
                &mut engine,
                &mut changelog,
                &identity,
                confirmed,
                &Interrupt::new(&world.stop.subscribe()),
            )?;
            world.slot_is_new = false;
        }
        let fresh = fresh || gap || owed;
        let durable = changelog.durable();
        let found_end = durable.end();
        let (commands, received) = channel();
        let advanced = Arc::new(AtomicBool::new(false));
        {
            let (commands, advanced) = (commands.clone(), Arc::clone(&advanced));
            durable.on_advance(move |_| {
                if !advanced.swap(true, Ordering::AcqRel) {
                    let _ = commands.send(Command::Advanced);
                }
            });
        }
        let facts = Arc::new(Facts::new(metrics(), SourceFacts::default()));
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
            facts: Arc::clone(&facts),
            commands: received,
            wakers: BTreeMap::new(),
            trim_to: Arc::clone(&trim_to),
            advanced,
            held: None,
            interrupt: Interrupt::new(&world.stop.subscribe()),
        };
        world.epoch += 1;
        let workers = workers(world, &mut projector, &facts, &commands);
        let capture = Capture {
            source: source_config().clone(),
            slot: "readside".into(),
            publication: "readside".into(),
            changelog,
            facts: Arc::clone(&facts),
            ask: Arc::new(Notify::new()),
            trim_to,
        };
        let mut life = Life {
            workers,
            projector,
            capture,
            reading: Reading::default(),
            connection: None,
            facts,
            loaded: Lsn::ZERO,
            _commands: commands,
        };
        if !needs.tables.is_empty() {
            let x = life.load(world, &needs.tables)?;
            life.reach(world, x, fresh)?;
            life.projector.adopt(&needs.tables, x)?;
            state_facts::put(&mut life.projector.state, OWED, b"")?;
            life.projector.state.flush_now()?;
            life.loaded = x;
        }
        life.projector.make_ready(&needs.views, found_end)?;
        life.projector.begin()?;
        Ok(life)
    }

    /// Copies tables as they are, while the application goes on.
    fn load(&mut self, world: &mut World, tables: &[u32]) -> Result<Lsn, PipelineError> {
        let x = Lsn(world.server.wal);
        let copy = world.server.tables.clone();
        for _ in 0..world.dice.below(3) {
            world.server.commit(&mut world.dice);
        }
        let committed = self.projector.state.committed();
        self.projector.state.commit(committed);
        self.projector.state.flush_now()?;
        for oid in tables {
            let engine = &self.projector.engine;
            let shadow = engine.is_live(*oid);
            let mut loader = self.projector.state.loader(&load_prefix(*oid, shadow))?;
            while loader.clear(100)? > 0 {}
            let mut rows = Vec::new();
            for row in copy[oid].values() {
                rows.push(engine.loaded_row(*oid, *oid, &copied(engine, *oid, row))?);
            }
            rows.sort();
            loader.write(rows.iter().map(|(k, v)| (k.as_slice(), v.as_slice())))?;
            self.projector.state.adopt(loader)?;
        }
        Ok(x)
    }

    /// `Pipeline::reach`.
    fn reach(&mut self, world: &mut World, lsn: Lsn, pass_over: bool) -> Result<(), PipelineError> {
        loop {
            let at_end = if pass_over {
                self.projector.pass_over_to(lsn)?
            } else {
                self.projector.catch_up_to(lsn)?
            };
            let durable = self.capture.changelog.durable().end();
            if !at_end || durable >= lsn {
                return Ok(());
            }
            self.capture_all(world)?;
        }
    }

    /// Everything that the source has, taken in and confirmed.
    pub(super) fn capture_all(&mut self, world: &mut World) -> Result<(), PipelineError> {
        self.connect(world)?;
        if let Some(connection) = &mut self.connection {
            while connection.send(&world.server, &mut world.dice) {}
            connection.keepalive(&world.server, true);
        }
        self.read(usize::MAX)?;
        self.settle(world, true)
    }

    /// `Capture::start`.
    pub(super) fn connect(&mut self, world: &World) -> Result<(), PipelineError> {
        if self.connection.is_none() {
            let durable = self.capture.changelog.durable().end();
            let connection = world.server.connect(durable);
            assert!(
                connection.received <= durable,
                "the slot is at {}, the log ends at {durable}",
                connection.received
            );
            self.connection = Some(connection);
            self.reading = Reading::default();
        }
        Ok(())
    }

    /// Some frames of the stream.
    pub(super) fn read(&mut self, frames: usize) -> Result<(), PipelineError> {
        for _ in 0..frames {
            let Some(event) = self.connection.as_mut().and_then(Connection::read) else {
                return Ok(());
            };
            self.capture.take(event, &mut self.reading)?;
        }
        Ok(())
    }

    /// `Capture::settle`; the status may never arrive.
    pub(super) fn settle(&mut self, world: &mut World, arrives: bool) -> Result<(), PipelineError> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        let durable = self
            .capture
            .make_durable(&mut self.reading, connection.received)?;
        assert!(
            durable <= connection.received,
            "{durable} is confirmed, and only {} was received",
            connection.received
        );
        if arrives {
            world.server.slot = world.server.slot.max(Some(durable));
        }
        self.capture.told(&mut self.reading, durable);
        Ok(())
    }

    /// The connection breaks.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.reading = Reading::default();
    }

    /// One command of the projector's queue.
    pub(super) fn command(&mut self) -> Result<bool, PipelineError> {
        match self.projector.commands.try_recv() {
            Ok(command) => self.projector.command(command),
            Err(_) => Ok(false),
        }
    }
}

/// Where a view lies in a sink.
fn into(world: &World, sink: usize) -> IntoConfig {
    IntoConfig {
        sink: world.sinks[sink].0.clone(),
        location: String::new(),
        mapping: None,
    }
}

/// `Pipeline::workers`.
fn workers(
    world: &World,
    projector: &mut Projector,
    facts: &Arc<Facts>,
    commands: &Sender<Command>,
) -> Vec<Working> {
    let owner_epoch = format!("epoch {}", world.epoch);
    let mut out = Vec::new();
    for (sink, (name, server)) in world.sinks.iter().enumerate() {
        let client: Arc<dyn Sink> = Arc::new(server.client(&owner_epoch));
        let mut targets = Vec::new();
        for (exec, view) in projector.engine.views().iter().zip(&world.views) {
            for (id, at) in exec.targets.iter().zip(&view.sinks) {
                if *at != sink {
                    continue;
                }
                let waker = Arc::new(Notify::new());
                projector.wakers.insert(*id, Arc::clone(&waker));
                facts.lock().targets.insert(
                    *id,
                    target_facts(facts, &exec.plan.view, name, client.visibility()),
                );
                targets.push(Arc::new(Target {
                    id: *id,
                    plan: Arc::clone(&exec.plan),
                    layout: layout_of(&exec.plan, &into(world, sink)),
                    keep_failed: view.keep_failed,
                    waker,
                }));
            }
        }
        if targets.is_empty() {
            continue;
        }
        facts.lock().sinks.insert(
            name.clone(),
            SinkFacts {
                kind: "simulated".to_owned(),
                up: false,
                down_since: None,
                error: None,
                consistent: true,
                metrics: facts.metrics.sink(name),
            },
        );
        let worker = Arc::new(SinkWorker {
            name: name.clone(),
            sink: client,
            targets,
            facts: Arc::clone(facts),
            commands: commands.clone(),
            instance: "machine".to_owned(),
            owner_epoch: owner_epoch.clone(),
            offset: AtomicU64::new(0),
            raised: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            hurry: Arc::new(Notify::new()),
        });
        out.push(Working {
            worker,
            sink,
            opening: None,
            jobs: Vec::new(),
            last: None,
        });
    }
    out
}

fn target_facts(facts: &Facts, view: &str, sink: &str, visibility: Visibility) -> TargetFacts {
    TargetFacts {
        view: view.to_owned(),
        sink: sink.to_owned(),
        location: String::new(),
        lag_max: Duration::from_secs(60),
        state: ViewState::Loading,
        acknowledged: Lsn::ZERO,
        watermark: Lsn::ZERO,
        refills: 0,
        immediate: visibility == Visibility::Immediate,
        since: None,
        pending: 0,
        dead: 0,
        writes: 0,
        error: None,
        rebuild: None,
        metrics: facts.metrics.view_sink(view, sink),
        rate: Rate::new(),
    }
}

impl Working {
    /// Targets by id.
    pub(super) fn targets(&self) -> impl Iterator<Item = (usize, TargetId, &Arc<Target>)> {
        self.worker.targets.iter().map(|t| (self.sink, t.id, t))
    }

    /// Whether the sink is open.
    pub(super) fn is_open(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Lets one of its tasks go on by a step; starts it if need be. What `SinkWorker::{run, serve}` do around it.
    pub(super) fn step(&mut self, choice: usize) -> Result<(), SinkError> {
        if !self.is_open() {
            let worker = Arc::clone(&self.worker);
            let task = self.opening.get_or_insert_with(|| {
                Box::pin(async move {
                    worker.open().await?;
                    Ok(Done::Opened(worker.marker(None)))
                })
            });
            match poll(task) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    self.opening = None;
                    match result {
                        Ok(Done::Opened(marker)) => {
                            self.last = Some(marker);
                            self.jobs = self.all_jobs();
                        }
                        Ok(_) => {}
                        Err(error) => return passing(error),
                    }
                }
            }
            return Ok(());
        }
        let at = choice % self.jobs.len();
        let job = self.jobs[at].0;
        let (worker, last) = (Arc::clone(&self.worker), self.last.clone());
        let task = self.jobs[at]
            .1
            .get_or_insert_with(|| start(worker, job, last));
        let Poll::Ready(result) = poll(task) else {
            return Ok(());
        };
        self.jobs[at].1 = None;
        match result {
            Ok(Done::Next(Next::Reopen)) => self.jobs.clear(),
            Ok(Done::Marker(marker)) => self.last = Some(marker),
            Ok(_) => {}
            Err(error) => {
                self.jobs.clear();
                return passing(error);
            }
        }
        Ok(())
    }

    fn all_jobs(&self) -> Vec<(Job, Option<Task>)> {
        let mut jobs = Vec::new();
        let all = 0..self.worker.targets.len();
        match self.worker.sink.writer_scope() {
            WriterScope::PerView => {
                jobs.extend(all.clone().map(Job::Write));
                jobs.push(Job::Marker);
            }
            WriterScope::PerSink => jobs.push(Job::Moment),
        }
        if self.worker.sink.visibility() == Visibility::AfterRefresh {
            jobs.extend(all.map(Job::Refresh));
        }
        jobs.into_iter().map(|job| (job, None)).collect()
    }
}

fn start(worker: Arc<SinkWorker>, job: Job, last: Option<Marker>) -> Task {
    match job {
        Job::Write(i) => Box::pin(async move { worker.write_batch(i).await.map(Done::Next) }),
        Job::Moment => Box::pin(async move {
            let next = worker.write_moment().await?;
            if matches!(next, Next::Idle) {
                let mut last = worker.marker(None);
                worker.tend(&mut last, true).await?;
            }
            Ok(Done::Next(next))
        }),
        Job::Refresh(i) => {
            Box::pin(async move { worker.refresh_once(i).await.map(|()| Done::Refreshed) })
        }
        Job::Marker => Box::pin(async move {
            let mut last = last.unwrap_or_else(|| worker.marker(None));
            worker.tend(&mut last, true).await?;
            Ok(Done::Marker(last))
        }),
    }
}

fn poll(task: &mut Task) -> Poll<Result<Done, SinkError>> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Errors that a sink may have; others are defects.
fn passing(error: SinkError) -> Result<(), SinkError> {
    match error {
        SinkError::Unavailable(_) | SinkError::Lost(_) | SinkError::Fenced(_) => Ok(()),
        other => Err(other),
    }
}

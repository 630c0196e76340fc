//! Capture: the replication stream into the changelog.
//!
//! In: frames of the stream. Out: whole transactions and idle positions, durable, then confirmed.
//!
//! Always: confirmed ≤ durable; nothing is waited for between two reads but the disk; a connection that cannot be read on is closed,
//! and resumed from the durable end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use readside_changelog::{Appended, Changelog, Spool};
use readside_model::{Lsn, Timestamp, Xid};
use readside_pgoutput::{Message, decode};
use readside_source::{
    Event, Remedy, ReplicationClient, ReplicationStream, SourceConfig, SourceError, StreamOptions,
};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::PipelineError;
use crate::facts::{Facts, local_now};
use crate::failpoint::failpoint;
use crate::watchdog::Watchdog;

/// How often the server hears from us while nothing makes it sooner.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How long a server may be silent before it is asked for a sign of life. It says nothing by itself for half of its
/// `wal_sender_timeout`, which may be anything.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How many frames are taken in before they are made durable.
const FRAMES_MAX: usize = 20_000;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long an error that the operator has to mend is left alone.
const OPERATOR_PAUSE: Duration = Duration::from_secs(10);

/// The capture of one run.
pub(crate) struct Capture {
    pub(crate) source: SourceConfig,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) changelog: Changelog,
    pub(crate) facts: Arc<Facts>,
    /// Somebody wants to know where an idle source is.
    pub(crate) ask: Arc<Notify>,
    /// The changelog is not needed below this.
    pub(crate) trim_to: Arc<AtomicU64>,
}

/// What the stream is in the middle of.
#[derive(Default)]
pub(crate) struct Reading {
    spool: Option<(Spool, Lsn)>,
    pub(crate) dirty: bool,
    /// A reply was asked for and is owed.
    pub(crate) owed: bool,
    transactions: u64,
    changes: u64,
    /// When the first of the transactions that are not made durable yet was committed.
    first_commit: Option<Timestamp>,
    watchdog: Option<Watchdog>,
}

impl Capture {
    /// Runs until told to stop. Gives the changelog back, so that it is closed after everyone else.
    pub(crate) async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Changelog, PipelineError> {
        let mut backoff = BACKOFF_MIN;
        loop {
            if *stop.borrow() {
                return Ok(self.changelog);
            }
            let since = Instant::now();
            let ended = self.connection(&mut stop).await;
            let error = match ended {
                Ok(()) => return Ok(self.changelog),
                Err(error) => error,
            };
            self.facts.source_connected(false, Some(error.to_string()));
            let pause = match &error {
                PipelineError::Source(source) => match source.remedy() {
                    Remedy::Retry => backoff,
                    Remedy::Operator => OPERATOR_PAUSE,
                    Remedy::Resynchronise => {
                        return Err(PipelineError::Resynchronise(source.to_string()));
                    }
                },
                PipelineError::Changelog(changelog) if changelog.is_lack_of_room() => {
                    OPERATOR_PAUSE
                }
                _ => return Err(error),
            };
            warn!(retry_in = ?pause, "replication stream: {error}");
            if since.elapsed() > Duration::from_secs(10) {
                backoff = BACKOFF_MIN;
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn connection(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), PipelineError> {
        // A log that is full has room again only if somebody looks, and data may come before anyone else does.
        self.trim()?;
        let durable = self.changelog.durable().end();
        let client = tokio::select! {
            _ = stop.changed() => return Ok(()),
            client = ReplicationClient::connect(&self.source) => client?,
        };
        let mut stream = self.start(client, durable).await?;
        info!(from = %durable, slot = self.slot, "streaming");
        self.facts.source_connected(true, None);
        let watchdog = stream.hangup().and_then(Watchdog::over);
        if let Err(error) = &watchdog {
            warn!("no watchdog over the replication connection: {error}");
        }
        let mut reading = Reading {
            watchdog: watchdog.ok(),
            // What an earlier connection appended and did not get to sync.
            dirty: self.changelog.end() > self.changelog.durable().end(),
            ..Reading::default()
        };
        let mut status_due = tokio::time::Instant::now() + STATUS_EVERY;
        loop {
            let event = tokio::select! {
                biased;
                _ = stop.changed() => {
                    self.settle(&mut stream, &mut reading).await?;
                    return Ok(());
                }
                event = stream.next() => event?,
                () = self.ask.notified() => {
                    let durable = self.changelog.durable().end();
                    stream.send_status(durable, durable, durable, true).await?;
                    continue;
                }
                () = tokio::time::sleep_until(status_due) => {
                    status_due = tokio::time::Instant::now() + STATUS_EVERY;
                    self.trim()?;
                    reading.owed = true;
                    self.settle(&mut stream, &mut reading).await?;
                    if self.is_silent() {
                        self.ask.notify_one();
                    }
                    continue;
                }
            };
            self.take(event, &mut reading)?;
            let mut frames = 1;
            while frames < FRAMES_MAX {
                let Some(event) = stream.try_next_buffered()? else {
                    break;
                };
                self.take(event, &mut reading)?;
                frames += 1;
            }
            if reading.dirty || reading.owed {
                self.settle(&mut stream, &mut reading).await?;
            }
        }
    }

    async fn start(
        &mut self,
        mut client: ReplicationClient,
        durable: Lsn,
    ) -> Result<ReplicationStream, PipelineError> {
        let system = client.identify_system().await?;
        let identity = self.changelog.identity();
        if system.system_id != identity.system_id || system.database_oid != identity.database_oid {
            return Err(PipelineError::Resynchronise(format!(
                "the server is another one: system {} database {}, not system {} database {}",
                system.system_id, system.database_oid, identity.system_id, identity.database_oid
            )));
        }
        if system.timeline != identity.timeline {
            let history = client.timeline_history(system.timeline).await?;
            let end = history
                .iter()
                .find(|switch| switch.timeline == identity.timeline)
                .map(|switch| switch.end);
            if end.is_none_or(|end| durable > end) {
                return Err(PipelineError::Resynchronise(format!(
                    "the server is on timeline {}, which left ours ({}) before {durable}",
                    system.timeline, identity.timeline
                )));
            }
            info!(
                timeline = system.timeline,
                "the source was promoted; what is here is part of its history"
            );
            self.changelog.set_timeline(system.timeline)?;
        }
        {
            let mut inner = self.facts.lock();
            inner.source.system_id = Some(system.system_id.clone());
            inner.source.timeline = Some(system.timeline);
            inner.source.lsn = inner.source.lsn.max(Some(system.flushed));
        }
        let stream = client
            .start(
                &self.slot,
                durable,
                &self.publication,
                &StreamOptions::default(),
            )
            .await?;
        if stream.received() > durable {
            return Err(PipelineError::Resynchronise(format!(
                "the slot has been confirmed up to {}, beyond what is durable here ({durable}): somebody else used it",
                stream.received()
            )));
        }
        Ok(stream)
    }

    /// Takes a frame in.
    pub(crate) fn take(
        &mut self,
        event: Event,
        reading: &mut Reading,
    ) -> Result<(), PipelineError> {
        match event {
            Event::XLogData {
                wal_end,
                server_time,
                data,
                ..
            } => {
                self.heard(wal_end, server_time);
                self.message(data, reading)
            }
            Event::Keepalive {
                wal_end,
                server_time,
                reply_requested,
            } => {
                self.heard(wal_end, server_time);
                if reading.spool.is_none()
                    && self.changelog.append_keepalive(wal_end, server_time)? == Appended::New
                {
                    reading.dirty = true;
                }
                reading.owed |= reply_requested;
                Ok(())
            }
        }
    }

    fn heard(&self, wal_end: Lsn, server_time: Timestamp) {
        let offset = local_now().0.saturating_sub(server_time.0);
        let mut inner = self.facts.lock();
        inner.source.lsn = inner.source.lsn.max(Some(wal_end));
        inner.source.last_heard = Some(Instant::now());
        inner.source.clock_offset_micros = Some(
            inner
                .source
                .clock_offset_micros
                .map_or(offset, |o| o.min(offset)),
        );
    }

    fn is_silent(&self) -> bool {
        let heard = self.facts.lock().source.last_heard;
        heard.is_none_or(|at| at.elapsed() > SILENCE_MAX)
    }

    fn message(&mut self, data: Bytes, reading: &mut Reading) -> Result<(), PipelineError> {
        match data.first() {
            Some(b'B') => {
                if let Message::Begin(begin) = decode(&data, false).map_err(SourceError::Decode)? {
                    reading.spool = Some((self.changelog.spool(begin.xid, false), begin.final_lsn));
                }
            }
            Some(b'C') => {
                if let (Message::Commit(commit), Some((mut spool, _))) = (
                    decode(&data, false).map_err(SourceError::Decode)?,
                    reading.spool.take(),
                ) {
                    reading.changes += spool.messages();
                    reading.transactions += 1;
                    reading.first_commit.get_or_insert(commit.commit_time);
                    let appended = self.changelog.append(
                        &mut spool,
                        commit.commit_lsn,
                        commit.end_lsn,
                        commit.commit_time,
                    )?;
                    reading.dirty |= appended == Appended::New;
                    failpoint("changelog.appended");
                }
            }
            Some(b'O' | b'Y') => {}
            _ => {
                if let Some((spool, _)) = &mut reading.spool {
                    spool.push(Xid(0), data)?;
                }
            }
        }
        Ok(())
    }

    /// Makes what was taken in durable, and tells the server.
    async fn settle(
        &mut self,
        stream: &mut ReplicationStream,
        reading: &mut Reading,
    ) -> Result<(), PipelineError> {
        let durable = self.make_durable(reading, stream.received())?;
        stream.send_status(durable, durable, durable, false).await?;
        self.told(reading, durable);
        Ok(())
    }

    /// Makes what was taken in durable; gives what may be confirmed.
    pub(crate) fn make_durable(
        &mut self,
        reading: &mut Reading,
        received: Lsn,
    ) -> Result<Lsn, PipelineError> {
        if reading.dirty {
            tokio::task::block_in_place(|| match &reading.watchdog {
                Some(watchdog) => watchdog.during(|| self.changelog.sync()),
                None => self.changelog.sync(),
            })?;
            failpoint("changelog.synced");
            reading.dirty = false;
        }
        Ok(self.changelog.durable().end().min(received))
    }

    /// The server has been told of this position.
    pub(crate) fn told(&self, reading: &mut Reading, durable: Lsn) {
        reading.owed = false;
        let mut inner = self.facts.lock();
        inner.durable = self.changelog.durable().end();
        inner.changelog_bytes = self.changelog.durable().bytes();
        inner.source.confirmed = Some(durable);
        inner.source.transactions += reading.transactions;
        inner.source.changes += reading.changes;
        if let Some(commit) = reading.first_commit.take()
            && inner.durable > inner.published
        {
            inner.unapplied_since.get_or_insert(commit);
        }
        drop(inner);
        self.facts.metrics.add_transactions(reading.transactions);
        reading.transactions = 0;
        reading.changes = 0;
    }

    /// Removes the part of the log that nobody needs any more.
    pub(crate) fn trim(&mut self) -> Result<(), PipelineError> {
        let trim_to = Lsn(self.trim_to.load(Ordering::Relaxed));
        tokio::task::block_in_place(|| self.changelog.trim_below(trim_to))?;
        Ok(())
    }
}

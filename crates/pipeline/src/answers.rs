//! The pipeline's side of the admin API.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use readside_model::Lsn;
use readside_projection::dead;

use crate::facts::seconds_since;
use crate::run::Pipeline;
use crate::{
    ChangelogStatus, Control, ControlError, DeadLetter, DeadLetters, DeadLettersRequest, Phase,
    PipelineError, ProjectionStatus, Readiness, RebuildAnswer, RebuildRequest, SinkStatus,
    SourceStatus, Status, VerifyReport, VerifyRequest, ViewState, ViewStatus, WaitAnswer,
    WaitRequest, WaitedView,
};

/// Silence after which an idle source's lag starts to grow.
const SILENCE: Duration = Duration::from_secs(15);

#[async_trait]
impl Control for Pipeline {
    fn status(&self) -> Status {
        let mut inner = self.facts.lock();
        let inner = &mut *inner;
        let source_lsn = inner.source.lsn;
        let offset = inner.source.clock_offset_micros;
        let silent = inner
            .source
            .last_heard
            .map(|at| at.elapsed())
            .filter(|silence| *silence > SILENCE || !inner.source.connected)
            .map_or(0.0, |silence| silence.as_secs_f64());
        let behind = inner
            .source
            .horizon
            .behind_since(inner.durable)
            .map_or(0.0, |since| since.elapsed().as_secs_f64());
        let source_lag = silent.max(behind);
        let projection_lag = inner
            .unapplied_since
            .map_or(0.0, |since| seconds_since(since, offset));
        let (tps, cps) = {
            let mut rates = self
                .rates
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            (
                rates.0.of(inner.source.transactions),
                rates.1.of(inner.source.changes),
            )
        };
        let source = SourceStatus {
            connected: inner.source.connected,
            disconnected_seconds: inner
                .source
                .disconnected_since
                .map(|at| at.elapsed().as_secs_f64()),
            error: inner.source.error.clone(),
            database: inner.source.database.clone(),
            system_id: inner.source.system_id.clone(),
            timeline: inner.source.timeline,
            publication: inner.source.publication.clone(),
            slot: inner.source.slot.clone(),
            slot_state: inner.source.slot_state.clone(),
            slot_retained_bytes: inner.source.slot_retained_bytes,
            slot_safe_bytes: inner.source.slot_safe_bytes,
            lsn: source_lsn,
            confirmed_lsn: inner.source.confirmed,
            lag_bytes: source_lsn.map(|lsn| lsn.0.saturating_sub(inner.durable.0)),
            lag_seconds: inner.source.last_heard.map(|_| source_lag),
            transactions_per_second: tps,
            changes_per_second: cps,
        };
        let views = inner
            .targets
            .values_mut()
            .map(|target| {
                let pending = match target.since {
                    // Keys of a fill have no commit of their own.
                    Some(since) if since.0 != 0 => seconds_since(since, offset),
                    _ => 0.0,
                };
                let lag = pending.max(projection_lag).max(source_lag);
                let filled = target.watermark > Lsn::ZERO;
                ViewStatus {
                    view: target.view.clone(),
                    sink: target.sink.clone(),
                    location: target.location.clone(),
                    state: if target.state == ViewState::Live && !filled {
                        ViewState::Filling
                    } else {
                        target.state
                    },
                    generation: 1,
                    watermark: filled.then_some(target.watermark),
                    pending_keys: target.pending,
                    pending_seconds: pending,
                    lag_seconds: filled.then_some(lag),
                    lag_bytes: source_lsn
                        .filter(|_| filled)
                        .map(|lsn| lsn.0.saturating_sub(target.watermark.0)),
                    lag_max_seconds: target.lag_max.as_secs_f64(),
                    writes_per_second: target.rate.of(target.writes),
                    writes_total: target.writes,
                    dead_letters: target.dead,
                    rebuild_progress: target.rebuild,
                    error: target.error.clone(),
                }
            })
            .collect();
        Status {
            version: self.config.version.clone(),
            instance: inner.instance.clone(),
            uptime_seconds: self.facts.started.elapsed().as_secs_f64(),
            phase: inner.phase,
            error: inner.error.clone(),
            source,
            changelog: ChangelogStatus {
                durable_lsn: inner.durable,
                bytes: inner.changelog_bytes,
                bytes_max: Some(self.config.limits.changelog_bytes_max),
            },
            projection: ProjectionStatus {
                published_lsn: inner.published,
                lag_bytes: inner.durable.0.saturating_sub(inner.published.0),
                lag_seconds: projection_lag,
                state_bytes: inner.state_bytes,
                state_bytes_max: inner.state_bytes_max,
            },
            loads: inner.loads.values().cloned().collect(),
            sinks: inner
                .sinks
                .iter()
                .map(|(name, sink)| SinkStatus {
                    sink: name.clone(),
                    kind: sink.kind.clone(),
                    up: sink.up,
                    down_seconds: sink.down_since.map(|at| at.elapsed().as_secs_f64()),
                    error: sink.error.clone(),
                    consistent: sink.consistent,
                })
                .collect(),
            views,
        }
    }

    fn healthy(&self) -> bool {
        self.facts.lock().phase != Phase::Halted
    }

    fn readiness(&self) -> Readiness {
        let status = self.status();
        let mut reasons = Vec::new();
        if status.phase != Phase::Running {
            reasons.push(format!("the pipeline is {:?}", status.phase).to_lowercase());
        }
        if !status.source.connected {
            reasons.push("the replication stream is not connected".to_owned());
        }
        for view in status.views.iter().filter(|v| !v.fresh()) {
            reasons.push(match view.lag_seconds {
                Some(lag) => format!(
                    "view `{}` in sink `{}` is {lag:.0} s late",
                    view.view, view.sink
                ),
                None => format!(
                    "view `{}` in sink `{}` is not filled yet",
                    view.view, view.sink
                ),
            });
        }
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitAnswer, ControlError> {
        self.known_names(&request.views, &request.sinks)?;
        let timeline = self.facts.lock().source.timeline.unwrap_or(0);
        if let Some(asked) = request.timeline
            && timeline != 0
            && asked != timeline
        {
            return Err(ControlError::Refused(format!(
                "the source is on timeline {timeline}, and the LSN is of timeline {asked}"
            )));
        }
        let lsn = match request.lsn {
            Some(lsn) => crate::stream_lsn(lsn, 16 << 20),
            None => self.position_to_wait_for(request.timeout_ms).await?,
        };
        self.wait_for(&request, lsn).await
    }

    async fn verify(&self, request: VerifyRequest) -> Result<VerifyReport, ControlError> {
        self.known_names(&request.views, &[])?;
        crate::verify::verify(self, &request).await
    }

    async fn rebuild(&self, request: RebuildRequest) -> Result<RebuildAnswer, ControlError> {
        self.known_names(&request.views, &[])?;
        let mut live = self.live();
        let workers = live.workers.clone();
        if workers.is_empty() && !request.watch {
            return Err(ControlError::Unavailable(
                "nothing can be rebuilt before every table is loaded and every view is live\n  hint: `readside status` shows how far that is".to_owned(),
            ));
        }
        for view in &request.views {
            if request.cancel {
                live.rebuilds.cancel(view);
            } else if !request.watch {
                live.rebuilds
                    .begin(view, request.rate, &workers)
                    .map_err(ControlError::from)?;
            }
        }
        let mut rebuilds = live.rebuilds.progress();
        rebuilds.retain(|r| request.views.contains(&r.view));
        Ok(RebuildAnswer { rebuilds })
    }

    async fn dead_letters(&self, request: DeadLettersRequest) -> Result<DeadLetters, ControlError> {
        let limit = request.limit.unwrap_or(1_000);
        let workers = self.live().workers.clone();
        let mut out = DeadLetters::default();
        for worker in workers
            .iter()
            .filter(|w| request.sink.as_ref().is_none_or(|s| *s == w.name))
        {
            for target in worker
                .targets
                .iter()
                .filter(|t| request.view.as_ref().is_none_or(|v| *v == t.layout.view))
            {
                let sight = worker
                    .sight()
                    .await
                    .map_err(|e| ControlError::Unavailable(e.to_string()))?;
                let snapshot = &sight.snapshot;
                let at = snapshot.committed().published;
                let failed =
                    |e: readside_projection::ProjectionError| ControlError::Failed(e.to_string());
                out.total += dead::count(snapshot, target.id.0).map_err(failed)?;
                let room = limit.saturating_sub(out.dead_letters.len());
                for (key, letter) in dead::list(snapshot, target.id.0, room).map_err(failed)? {
                    #[allow(clippy::cast_possible_truncation, reason = "seconds of Unix time")]
                    let since = letter.since.unix_seconds() as i64;
                    out.dead_letters.push(DeadLetter {
                        view: target.layout.view.clone(),
                        sink: worker.name.clone(),
                        key: sight
                            .view(target.id)?
                            .sink_key(snapshot, &key)
                            .map_err(failed)?
                            .text
                            .to_string(),
                        reason: letter.reason,
                        lsn: at,
                        since,
                    });
                }
            }
        }
        Ok(out)
    }
}

impl Pipeline {
    fn known_names(&self, views: &[String], sinks: &[String]) -> Result<(), ControlError> {
        for name in views {
            if !self.config.views.iter().any(|v| v.name == *name) {
                let known: Vec<&str> = self.config.views.iter().map(|v| v.name.as_str()).collect();
                return Err(ControlError::Unknown {
                    what: "view",
                    name: name.clone(),
                    known: known.join(", "),
                });
            }
        }
        for name in sinks {
            if !self.config.sinks.contains_key(name) {
                let known: Vec<&str> = self.config.sinks.keys().map(String::as_str).collect();
                return Err(ControlError::Unknown {
                    what: "sink",
                    name: name.clone(),
                    known: known.join(", "),
                });
            }
        }
        Ok(())
    }

    /// Where the source is. One that is behind what was read from it is waited for until that is known here: what was read above that
    /// never happened, and says nothing of what has arrived.
    async fn position_to_wait_for(&self, limit: Option<Duration>) -> Result<Lsn, ControlError> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let lsn = self
                .source_position()
                .await
                .map_err(|e| ControlError::Unavailable(e.to_string()))?;
            let published = self.facts.lock().published;
            if lsn >= published {
                return Ok(lsn);
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Err(ControlError::Unavailable(format!(
                    "the source is at {lsn}, behind what was read from it ({published}): its tables are to be compared first"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn wait_for(
        &self,
        request: &WaitRequest,
        lsn: Lsn,
    ) -> Result<WaitAnswer, ControlError> {
        let deadline = request.timeout_ms.map(|timeout| Instant::now() + timeout);
        let mut moved = self.facts.moved.subscribe();
        loop {
            let answer = self.waited(request, lsn);
            if answer.reached || deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(answer);
            }
            match self.facts.lock().phase {
                Phase::Halted | Phase::Stopping => {
                    return Err(ControlError::Failed("the pipeline has stopped".to_owned()));
                }
                _ => {}
            }
            // An idle source says nothing on its own, and a search sink refreshes only now and then.
            if self.facts.lock().published < lsn {
                self.ask.notify_one();
            }
            for worker in &self.live().workers {
                worker.hurry.notify_waiters();
            }
            let left = deadline.map_or(Duration::from_millis(20), |at| {
                at.saturating_duration_since(Instant::now())
                    .min(Duration::from_millis(20))
            });
            tokio::select! {
                _ = moved.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    fn waited(&self, request: &WaitRequest, lsn: Lsn) -> WaitAnswer {
        let inner = self.facts.lock();
        let views: Vec<WaitedView> = inner
            .targets
            .values()
            .filter(|t| request.views.is_empty() || request.views.contains(&t.view))
            .filter(|t| request.sinks.is_empty() || request.sinks.contains(&t.sink))
            .map(|t| WaitedView {
                view: t.view.clone(),
                sink: t.sink.clone(),
                // Before its marker has been compared in this life, a sink may have gone back without our knowing.
                reached: t.watermark >= lsn && t.state == ViewState::Live,
                watermark: (t.watermark > Lsn::ZERO).then_some(t.watermark),
                dead_letters: t.dead,
            })
            .collect();
        WaitAnswer {
            reached: !views.is_empty() && views.iter().all(|v| v.reached),
            lsn,
            timeline: inner.source.timeline.unwrap_or(0),
            views,
        }
    }
}

impl From<PipelineError> for ControlError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Source(source) => ControlError::Unavailable(source.to_string()),
            other => ControlError::Failed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use readside_model::Timestamp;
    use readside_projection::TargetId;
    use readside_source::SourceConfig;
    use readside_telemetry::Metrics;

    use super::*;
    use crate::facts::{Rate, TargetFacts, local_now};
    use crate::{Limits, RunConfig};

    /// A running pipeline with one view in one sink, everything up to date at LSN 100.
    fn pipeline() -> Arc<Pipeline> {
        let metrics = Metrics::new("test");
        let config = RunConfig {
            version: "test".to_owned(),
            source: SourceConfig::parse("postgres://readside@localhost/shop").expect("a URL"),
            publication: "readside".to_owned(),
            slot: "readside".to_owned(),
            data_dir: "/nowhere".into(),
            sinks: std::collections::BTreeMap::new(),
            views: Vec::new(),
            limits: Limits::default(),
            until_caught_up: false,
        };
        let pipeline = Pipeline::new(config, metrics.clone());
        {
            let mut inner = pipeline.facts.lock();
            inner.phase = Phase::Running;
            inner.source.connected = true;
            inner.source.last_heard = Some(Instant::now());
            inner.source.lsn = Some(Lsn(100));
            inner.durable = Lsn(100);
            inner.published = Lsn(100);
            inner.targets.insert(
                TargetId(1),
                TargetFacts {
                    view: "orders".to_owned(),
                    sink: "cache".to_owned(),
                    location: String::new(),
                    lag_max: Duration::from_secs(60),
                    state: ViewState::Live,
                    acknowledged: Lsn(100),
                    watermark: Lsn(100),
                    refills: 0,
                    immediate: true,
                    since: None,
                    pending: 0,
                    dead: 0,
                    writes: 0,
                    error: None,
                    rebuild: None,
                    metrics: metrics.view_sink("orders", "cache"),
                    rate: Rate::new(),
                },
            );
        }
        pipeline
    }

    fn lag(pipeline: &Pipeline) -> f64 {
        pipeline.status().views[0].lag_seconds.expect("filled")
    }

    fn ago(seconds: i64) -> Timestamp {
        Timestamp(local_now().0 - seconds * 1_000_000)
    }

    #[test]
    fn a_view_without_pending_keys_is_late_while_the_projection_is() {
        let pipeline = pipeline();
        assert!(lag(&pipeline) < 1.0);
        assert!(pipeline.readiness().ready);
        pipeline.facts.lock().unapplied_since = Some(ago(90));
        let status = pipeline.status();
        assert!(status.projection.lag_seconds >= 90.0, "{status:?}");
        assert!(lag(&pipeline) >= 90.0);
        assert!(!pipeline.readiness().ready);
    }

    #[test]
    fn a_view_is_late_while_the_source_has_sent_nothing_of_what_it_wrote() {
        let pipeline = pipeline();
        let Some(then) = Instant::now().checked_sub(Duration::from_secs(80)) else {
            return;
        };
        pipeline.facts.lock().source.horizon.seen(then, Lsn(101));
        assert!(lag(&pipeline) >= 80.0);
        assert!(pipeline.status().source.lag_seconds >= Some(80.0));
        pipeline.facts.lock().durable = Lsn(101);
        assert!(lag(&pipeline) < 1.0);
    }

    #[test]
    fn every_view_gets_older_while_the_source_is_gone() {
        let pipeline = pipeline();
        let Some(then) = Instant::now().checked_sub(Duration::from_secs(70)) else {
            return;
        };
        {
            let mut inner = pipeline.facts.lock();
            inner.source.connected = false;
            inner.source.last_heard = Some(then);
            // A change of a moment ago waits for the sink, too.
            inner.targets.get_mut(&TargetId(1)).expect("a target").since = Some(ago(1));
        }
        let status = pipeline.status();
        assert!(lag(&pipeline) >= 70.0);
        assert!(
            (1.0..60.0).contains(&status.views[0].pending_seconds),
            "{status:?}"
        );
    }
}

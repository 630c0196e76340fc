//! Workers that make transactions at a given rate.
//!
//! In: a database with the shop. Out: committed transactions, counted.
//!
//! Always: a worker that loses its connection opens another one; a transaction that fails is rolled back and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::session::Session;
use crate::transactions::{self, Extent};

/// What to make.
#[derive(Debug, Clone)]
pub struct Load {
    /// The shop's database.
    pub url: String,
    /// Connections.
    pub workers: u32,
    /// Transactions per second over all workers; 0 is as many as can be.
    pub rate: u32,
    /// For the choices; the same seed makes the same choices in each worker.
    pub seed: u64,
}

/// What has been made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transactions committed.
    pub committed: u64,
    /// Transactions rolled back on purpose, or because there was nothing to do.
    pub rolled_back: u64,
    /// Transactions that failed: a deadlock, a constraint, a lost connection.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    committed: AtomicU64,
    rolled_back: AtomicU64,
    failed: AtomicU64,
}

/// A load that is running; it ends when dropped.
#[derive(Debug)]
pub struct Running {
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    /// Starts it.
    pub async fn start(self) -> Result<Running> {
        ensure!(self.workers > 0, "a load needs at least one worker");
        // So that a wrong URL or a missing table is an error here.
        Extent::of(&mut Session::open(&self.url).await?).await?;
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::new(Counters::default());
        let mut workers = JoinSet::new();
        for number in 0..self.workers {
            let worker = Worker {
                load: self.clone(),
                rng: StdRng::seed_from_u64(self.seed.wrapping_mul(1000) + u64::from(number)),
                counters: Arc::clone(&counters),
                stopped: stopped.clone(),
            };
            workers.spawn(worker.run());
        }
        Ok(Running {
            counters,
            stop,
            workers,
        })
    }
}

impl Running {
    /// What has been made so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            committed: self.counters.committed.load(Ordering::Relaxed),
            rolled_back: self.counters.rolled_back.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
        }
    }

    /// Lets open transactions end, and stops.
    pub async fn stop(mut self) -> Totals {
        self.stop.send_replace(true);
        while self.workers.join_next().await.is_some() {}
        self.totals()
    }
}

struct Worker {
    load: Load,
    rng: StdRng,
    counters: Arc<Counters>,
    stopped: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self) {
        let mut ticks = (self.load.rate > 0).then(|| {
            let period = f64::from(self.load.workers) / f64::from(self.load.rate);
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(period));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        });
        while !*self.stopped.borrow() {
            match Session::open(&self.load.url).await {
                Ok(session) => self.work(session, ticks.as_mut()).await,
                Err(_) => {
                    self.counters.failed.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Works until told to stop or the connection is lost.
    async fn work(&mut self, mut session: Session, mut ticks: Option<&mut tokio::time::Interval>) {
        let Ok(mut extent) = Extent::of(&mut session).await else {
            return;
        };
        for made in 1_u64.. {
            if let Some(ticks) = &mut ticks {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = self.stopped.changed() => {}
                }
            }
            if *self.stopped.borrow() || session.is_closed() {
                return;
            }
            if made % 200 == 0
                && let Ok(now) = Extent::of(&mut session).await
            {
                extent = now;
            }
            let counter = match self.transaction(&mut session, extent).await {
                Ok(true) => &self.counters.committed,
                Ok(false) => &self.counters.rolled_back,
                Err(_) => {
                    // Without a connection there is nothing to roll back.
                    let _ = session.command("ROLLBACK").await;
                    &self.counters.failed
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn transaction(
        &mut self,
        session: &mut Session,
        extent: Extent,
    ) -> Result<bool, tokio_postgres::Error> {
        let kind = transactions::choose(&mut self.rng);
        session.command("BEGIN").await?;
        let done = transactions::run(kind, session, &mut self.rng, extent).await?;
        // Some change their mind at the last step.
        let commit = done && !self.rng.random_bool(0.01);
        session
            .command(if commit { "COMMIT" } else { "ROLLBACK" })
            .await?;
        Ok(commit)
    }
}

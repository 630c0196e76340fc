//! Customers who use both services: many queries to each command, some products and customers far more often than others.
//!
//! In: the addresses of the services. Out: requests, and what the customers saw of their answers: how long they took, and how long
//! it was from a command's answer until a query showed its effect.
//!
//! Always: only the services are asked; nothing here knows a store. After each command its customer asks for what it
//! touched, with the command's position as the least one, as a page does that is shown next.

mod customer;
mod histogram;
mod seen;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use customer::Customer;
use seen::Counters;

pub use histogram::Times;
pub use seen::{ModelSeen, Seen};

/// What to send.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The command service.
    pub commands: String,
    /// The query service.
    pub queries: String,
    /// Requests per second of all customers; 0 is as many as can be.
    pub rate: u32,
    /// Queries for each command.
    pub reads_per_write: u32,
    /// Customers at a time.
    pub sessions: u32,
    /// How uneven the choices of products and customers are: 1 is not at all, 3 gives the first tenth about half of them.
    pub skew: f64,
    /// The scale that the shop was filled with, so that there is something to choose from.
    pub scale: u32,
    /// For the choices.
    pub seed: u64,
}

/// Traffic that is running; it ends when dropped.
#[derive(Debug)]
pub struct TrafficRunning {
    counters: Arc<Counters>,
    start: Instant,
    stop: watch::Sender<bool>,
    customers: JoinSet<()>,
}

impl Traffic {
    /// Starts it.
    pub async fn start(self) -> Result<TrafficRunning> {
        ensure!(self.sessions > 0, "traffic needs at least one customer");
        ensure!(self.scale > 0, "the scale must be at least 1");
        ensure!(
            self.skew.is_finite() && self.skew >= 1.0,
            "the skew must be at least 1"
        );
        let http = crate::server::http_client()?;
        // So that a wrong address is an error here.
        for service in [&self.commands, &self.queries] {
            let health = http.get(format!("{service}/healthz")).send();
            health
                .await
                .and_then(reqwest::Response::error_for_status)
                .with_context(|| format!("ask `{service}`"))?;
        }
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = watch::channel(false);
        let mut customers = JoinSet::new();
        for number in 0..self.sessions {
            let rng = StdRng::seed_from_u64(self.seed.wrapping_mul(1000) + u64::from(number));
            let customer = Customer::new(&self, http.clone(), rng, Arc::clone(&counters));
            customers.spawn(visit(customer, self.ticks(), stopped.clone()));
        }
        Ok(TrafficRunning {
            counters,
            start: Instant::now(),
            stop,
            customers,
        })
    }

    /// When each customer makes a request.
    fn ticks(&self) -> Option<tokio::time::Interval> {
        (self.rate > 0).then(|| {
            let period = f64::from(self.sessions) / f64::from(self.rate);
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(period));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        })
    }
}

async fn visit(
    mut customer: Customer,
    mut ticks: Option<tokio::time::Interval>,
    mut stopped: watch::Receiver<bool>,
) {
    // So that they don't all come at the same moment.
    let mut owed = customer.first_pause();
    while !*stopped.borrow() {
        if let Some(ticks) = &mut ticks {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopped.changed() => continue,
            }
        }
        // What follows a command at once is paid for with the pauses after it.
        if ticks.is_some() && owed > 0 {
            owed -= 1;
            continue;
        }
        owed = customer.request().await;
    }
}

impl TrafficRunning {
    /// What the customers have seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.counters.seen(self.start.elapsed())
    }

    /// Lets open requests end, and stops.
    pub async fn stop(mut self) -> Seen {
        self.stop.send_replace(true);
        while self.customers.join_next().await.is_some() {}
        self.seen()
    }
}

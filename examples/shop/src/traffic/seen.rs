//! What customers saw.
//!
//! In: each request's outcome and time. Out: counts and percentiles, as numbers, as a line and as a table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{Histogram, Times};

/// A read model, as a customer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    OrderDetails,
    UserCart,
    ProductList,
    OrderHistory,
    ProductPopularity,
    DashboardMetrics,
}

const MODELS: [(Model, &str); 6] = [
    (Model::OrderDetails, "order details"),
    (Model::UserCart, "user cart"),
    (Model::ProductList, "product list"),
    (Model::OrderHistory, "order history"),
    (Model::ProductPopularity, "popularity"),
    (Model::DashboardMetrics, "dashboard"),
];

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Found,
    Missing,
    /// 503: the read model is behind what was asked for, or its store is down.
    NotNow,
    Failed,
}

#[derive(Debug, Default)]
struct ModelCounters {
    times: Histogram,
    own: Histogram,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    commands: Histogram,
    refused: AtomicU64,
    failed_commands: AtomicU64,
    missing: AtomicU64,
    not_now: AtomicU64,
    failed_queries: AtomicU64,
    own_missing: AtomicU64,
    careless: AtomicU64,
    careless_missing: AtomicU64,
    models: [ModelCounters; 6],
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    fn model(&self, model: Model) -> &ModelCounters {
        let at = MODELS.iter().position(|(other, _)| *other == model);
        &self.models[at.unwrap_or(0)]
    }

    pub(super) fn done_command(&self, time: Duration) {
        self.commands.record(time);
    }

    pub(super) fn refused_command(&self, time: Duration) {
        self.commands.record(time);
        count(&self.refused);
    }

    pub(super) fn failed_command(&self) {
        count(&self.failed_commands);
    }

    pub(super) fn query(&self, model: Model, time: Duration, outcome: Outcome) {
        match outcome {
            Outcome::Found => {}
            Outcome::Missing => count(&self.missing),
            Outcome::NotNow => return count(&self.not_now),
            Outcome::Failed => return count(&self.failed_queries),
        }
        self.model(model).times.record(time);
    }

    /// A query that asked for its customer's own write was answered so long after the command.
    pub(super) fn own(&self, model: Model, time: Duration, shown: bool) {
        self.model(model).own.record(time);
        if !shown {
            count(&self.own_missing);
        }
    }

    /// A query right after a command that did not ask for it.
    pub(super) fn careless(&self, shown: bool) {
        count(&self.careless);
        if !shown {
            count(&self.careless_missing);
        }
    }

    pub(super) fn seen(&self, elapsed: Duration) -> Seen {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let models = MODELS.iter().map(|(model, name)| {
            let counters = self.model(*model);
            ModelSeen {
                name,
                times: counters.times.now(),
                own: counters.own.now(),
            }
        });
        Seen {
            elapsed,
            commands: self.commands.now(),
            refused: now(&self.refused),
            failed_commands: now(&self.failed_commands),
            missing: now(&self.missing),
            not_now: now(&self.not_now),
            failed_queries: now(&self.failed_queries),
            own_missing: now(&self.own_missing),
            careless: now(&self.careless),
            careless_missing: now(&self.careless_missing),
            models: models.collect(),
        }
    }
}

/// What customers have seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// For how long.
    pub elapsed: Duration,
    /// The times of commands that were answered, with a problem of the caller's or without.
    pub commands: Times,
    /// Commands that the service refused: sold out, empty cart, and the like.
    pub refused: u64,
    /// Commands without an answer, or with a fault of the service.
    pub failed_commands: u64,
    /// Queries for what isn't there.
    pub missing: u64,
    /// Queries that were told to come again.
    pub not_now: u64,
    /// Queries without an answer, or with a fault of the service.
    pub failed_queries: u64,
    /// Queries that asked for their customer's own write, were answered, and did not show it. Never happens.
    pub own_missing: u64,
    /// Queries right after a command that did not ask for it.
    pub careless: u64,
    /// Those of them that did not show it yet.
    pub careless_missing: u64,
    /// Each read model.
    pub models: Vec<ModelSeen>,
}

/// What customers have seen of one read model.
#[derive(Debug, Clone)]
pub struct ModelSeen {
    /// The read model.
    pub name: &'static str,
    /// The times of all answered queries.
    pub times: Times,
    /// From a command's answer until the answer of a query that asked for it.
    pub own: Times,
}

impl Seen {
    /// Queries that were answered.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.models.iter().map(|model| model.times.count()).sum()
    }

    /// Commands that were done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.commands.count().saturating_sub(self.refused)
    }

    /// One line.
    #[must_use]
    pub fn summary(&self) -> String {
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let per_second = |count: u64| count as f64 / seconds;
        format!(
            "{} commands ({:.1}/s, {} refused, {} failed), {} queries ({:.0}/s, {} told to come again, {} failed)",
            self.commands.count(),
            per_second(self.commands.count()),
            self.refused,
            self.failed_commands,
            self.queries(),
            per_second(self.queries()),
            self.not_now,
            self.failed_queries,
        )
    }

    /// A table of times, and the summary.
    #[must_use]
    pub fn table(&self) -> Vec<String> {
        let mut lines = vec![
            self.summary(),
            format!(
                "{:<16} {:>9} {:>9} {:>9}   {:>10} {:>9} {:>9} {:>9}",
                "", "answers", "p50", "p99", "own writes", "p50", "p99", "max"
            ),
        ];
        for model in &self.models {
            lines.push(format!(
                "{:<16} {:>9} {:>9} {:>9}   {:>10} {:>9} {:>9} {:>9}",
                model.name,
                model.times.count(),
                time(model.times.percentile(50)),
                time(model.times.percentile(99)),
                model.own.count(),
                time(model.own.percentile(50)),
                time(model.own.percentile(99)),
                time(model.own.max()),
            ));
        }
        lines.push(format!(
            "{:<16} {:>9} {:>9} {:>9}",
            "commands",
            self.commands.count(),
            time(self.commands.percentile(50)),
            time(self.commands.percentile(99)),
        ));
        lines.push(format!(
            "own writes: from a command's answer to the answer that shows it, asked for with min_lsn; {} did not show it",
            self.own_missing
        ));
        lines.push(format!(
            "without min_lsn, {} of {} queries right after a command did not show it yet",
            self.careless_missing, self.careless
        ));
        lines
    }
}

fn time(time: Option<Duration>) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        0.0..10.0 => format!("{ms:.1} ms"),
        10.0..10_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

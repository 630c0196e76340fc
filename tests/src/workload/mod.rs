//! Random transactions over any schema.
//!
//! In: a database and a seed. Out: inserts, updates, deletes, changes of keys and of parents, cascades, TRUNCATE, rolled back
//! savepoints and transactions, values that go to TOAST, unicode and NULLs, from several sessions whose transactions interleave.
//!
//! Always: the same seed on the same data runs the same statements; a statement that fails takes its savepoint with it, never
//! the transaction.

mod catalog;
mod statement;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use catalog::Catalog;
use statement::Author;

use crate::postgres;

/// What to run.
#[derive(Debug, Clone)]
pub struct Workload {
    url: String,
    seed: u64,
    transactions: u32,
    sessions: usize,
    truncate: f64,
    toast: f64,
    rows_max: i64,
    skip: Vec<String>,
}

/// What was run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Transactions committed.
    pub committed: u32,
    /// Transactions rolled back.
    pub rolled_back: u32,
    /// Statements that succeeded, by kind.
    pub statements: BTreeMap<&'static str, u32>,
    /// Statements that failed, by kind: constraints, lock time-outs.
    pub failed: BTreeMap<&'static str, u32>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} committed, {} rolled back",
            self.committed, self.rolled_back
        )?;
        for (kind, count) in &self.statements {
            let failed = self.failed.get(kind).unwrap_or(&0);
            write!(f, ", {count} {kind} ({failed} failed)")?;
        }
        Ok(())
    }
}

/// The seed of a randomised test: `READSIDE_SEED`, else by the clock; printed, so that a failure can be repeated.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("READSIDE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
            % 1_000_000
    });
    eprintln!("READSIDE_SEED={seed}");
    seed
}

/// What one session has open.
struct Session {
    client: Client,
    /// Steps to go in the open transaction.
    steps_left: u32,
    open: bool,
}

impl Workload {
    /// 300 transactions from three sessions over all tables of a database.
    #[must_use]
    pub fn new(url: &str, seed: u64) -> Self {
        Self {
            url: url.to_owned(),
            seed,
            transactions: 300,
            sessions: 3,
            truncate: 0.003,
            toast: 0.02,
            rows_max: 300,
            skip: Vec::new(),
        }
    }

    /// So many transactions.
    #[must_use]
    pub fn transactions(mut self, transactions: u32) -> Self {
        self.transactions = transactions;
        self
    }

    /// From so many sessions.
    #[must_use]
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions.max(1);
        self
    }

    /// How likely a transaction begins with TRUNCATE.
    #[must_use]
    pub fn truncate(mut self, probability: f64) -> Self {
        self.truncate = probability;
        self
    }

    /// How likely a text is long enough for TOAST.
    #[must_use]
    pub fn toast(mut self, probability: f64) -> Self {
        self.toast = probability;
        self
    }

    /// Leaves these tables alone.
    #[must_use]
    pub fn skip(mut self, tables: &[&str]) -> Self {
        self.skip = tables.iter().map(|table| (*table).to_owned()).collect();
        self
    }

    /// Inserts about so many rows into each table, parents first.
    pub async fn fill(&self, rows: u32) -> Result<Summary> {
        let client = session(&self.url).await?;
        let catalog = Catalog::read(&client, &self.skip).await?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut summary = Summary::default();
        client.batch_execute("BEGIN").await?;
        for table in catalog.parents_first() {
            for _ in 0..rows {
                let mut author = Author::new(&client, &catalog, &mut rng, &mut summary, self.toast);
                author.insert(table).await?;
            }
        }
        client.batch_execute("COMMIT").await?;
        summary.committed += 1;
        Ok(summary)
    }

    /// Runs it.
    pub async fn run(&self) -> Result<Summary> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut sessions = Vec::new();
        for _ in 0..self.sessions {
            sessions.push(Session {
                client: session(&self.url).await?,
                steps_left: 0,
                open: false,
            });
        }
        let catalog = Catalog::read(&sessions[0].client, &self.skip).await?;
        let mut summary = Summary::default();
        let mut started = 0;
        while started < self.transactions || sessions.iter().any(|session| session.open) {
            let at = rng.random_range(0..sessions.len());
            let session = &mut sessions[at];
            if !session.open {
                if started >= self.transactions {
                    continue;
                }
                started += 1;
                session.client.batch_execute("BEGIN").await?;
                session.open = true;
                session.steps_left = [1, 1, 2, 3, 5, 8][rng.random_range(0..6)];
                if rng.random_bool(self.truncate) {
                    let mut author = Author::new(
                        &session.client,
                        &catalog,
                        &mut rng,
                        &mut summary,
                        self.toast,
                    );
                    author.truncate().await?;
                }
                continue;
            }
            if session.steps_left == 0 {
                session.open = false;
                if rng.random_bool(0.08) {
                    session.client.batch_execute("ROLLBACK").await?;
                    summary.rolled_back += 1;
                } else {
                    // A deferred constraint may refuse the commit.
                    match session.client.batch_execute("COMMIT").await {
                        Ok(()) => summary.committed += 1,
                        Err(_) => summary.rolled_back += 1,
                    }
                }
                continue;
            }
            session.steps_left -= 1;
            let step = self.step(&session.client, &catalog, &mut rng, &mut summary);
            if let Err(error) = step.await {
                // A query, too, waits for a table that another session has truncated, and gives up.
                let refused = error
                    .downcast_ref::<tokio_postgres::Error>()
                    .is_some_and(|error| error.as_db_error().is_some());
                if !refused {
                    return Err(error)
                        .with_context(|| format!("seed {}, transaction {started}", self.seed));
                }
                session.client.batch_execute("ROLLBACK").await?;
                session.open = false;
                summary.rolled_back += 1;
            }
        }
        Ok(summary)
    }

    async fn step(
        &self,
        client: &Client,
        catalog: &Catalog,
        rng: &mut StdRng,
        summary: &mut Summary,
    ) -> Result<()> {
        if !rng.random_bool(0.08) {
            let mut author = Author::new(client, catalog, rng, summary, self.toast);
            return author.any(self.rows_max).await;
        }
        client.batch_execute("SAVEPOINT several").await?;
        for _ in 0..rng.random_range(1..=4) {
            let mut author = Author::new(client, catalog, rng, summary, self.toast);
            author.any(self.rows_max).await?;
        }
        let end = if rng.random_bool(0.6) {
            "ROLLBACK TO SAVEPOINT several"
        } else {
            "RELEASE SAVEPOINT several"
        };
        client.batch_execute(end).await?;
        Ok(())
    }
}

async fn session(url: &str) -> Result<Client> {
    let client = postgres::connect(url).await?;
    client
        .batch_execute(
            "SET TimeZone = 'UTC'; SET client_min_messages = error; SET lock_timeout = '40ms'; \
             SET application_name = 'workload'",
        )
        .await?;
    Ok(client)
}

//! Runs a command as one transaction, and says where in the database's log it stands.
//!
//! Always: a deadlock or a connection that breaks before the commit is tried again, since nothing was done; a commit whose answer is
//! lost is never repeated.
//!
//! **Which LSN.** After the `COMMIT`, on the same connection: `pg_current_wal_flush_lsn()`. With `synchronous_commit = on` (set here,
//! whatever the server's default is) a commit is answered after its record was flushed, so this is at or after the end of
//! that record: who has read the log up to there has read the commit. The insert position would be right as well, but it also counts
//! what other transactions have begun to write and nobody has flushed; a reader would wait for those too.

use anyhow::Result;
use serde_json::Value;
use tokio_postgres::error::SqlState;

use super::Command;
use crate::pool::{Lease, Pool};
use crate::position::{Position, parse_lsn};
use crate::problem::Problem;
use crate::session::{Options, Session};

const OPTIONS: Options = Options {
    application: "shop-command",
    settings: "-c synchronous_commit=on -c lock_timeout=5s -c statement_timeout=10s \
               -c idle_in_transaction_session_timeout=30s",
};

/// How often one command is begun.
const ATTEMPTS: u32 = 4;

const POSITION: &str =
    "SELECT lsn::text, pg_walfile_name(lsn) FROM pg_current_wal_flush_lsn() AS lsn";

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(Problem),
    Database(tokio_postgres::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

/// A command that has been done.
pub(super) struct Done {
    pub(super) id: Value,
    /// `None` if the connection broke right after the commit.
    pub(super) position: Option<Position>,
}

pub(super) struct Database {
    pool: Pool,
}

enum Attempt {
    Done(Done),
    Again(Problem),
}

impl Database {
    pub(super) fn new(url: &str, connections: usize) -> Self {
        Self {
            pool: Pool::new(url, OPTIONS, connections),
        }
    }

    pub(super) async fn check(&self) -> Result<()> {
        self.pool.lease().await?.give_back();
        Ok(())
    }

    pub(super) async fn run<C: Command>(&self, command: &C) -> Result<Done, Problem> {
        let mut last = Problem::unavailable("the database can't be reached");
        for _ in 0..ATTEMPTS {
            match self.attempt(command).await? {
                Attempt::Done(done) => return Ok(done),
                Attempt::Again(problem) => last = problem,
            }
        }
        Err(last)
    }

    async fn attempt<C: Command>(&self, command: &C) -> Result<Attempt, Problem> {
        let mut lease = self.pool.lease().await.map_err(|error| {
            Problem::unavailable(format!("the database can't be reached: {error:#}"))
        })?;
        if lease.session.command("BEGIN").await.is_err() {
            return Ok(Attempt::Again(Problem::unavailable(
                "the connection to the database is lost",
            )));
        }
        let failure = match command.run(&mut lease.session).await {
            Ok(id) => return commit(lease, id).await.map(Attempt::Done),
            Err(failure) => failure,
        };
        // If this fails, the connection is closed, and the transaction with it.
        if lease.session.command("ROLLBACK").await.is_ok() {
            lease.give_back();
        }
        let error = match failure {
            Failure::Refused(problem) => return Err(problem),
            Failure::Database(error) => error,
        };
        Ok(Attempt::Again(match error.as_db_error() {
            None => Problem::unavailable("the connection to the database is lost"),
            Some(error) => {
                let code = error.code();
                let passing = [
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::ADMIN_SHUTDOWN,
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::CANNOT_CONNECT_NOW,
                ];
                if !passing.contains(code) {
                    return Err(refusal(error));
                }
                Problem::unavailable(format!("the database says: {}", error.message()))
            }
        }))
    }
}

/// What a statement's error means to the caller.
fn refusal(error: &tokio_postgres::error::DbError) -> Problem {
    let says = error.detail().unwrap_or(error.message());
    match *error.code() {
        SqlState::UNIQUE_VIOLATION => Problem::conflict(format!("it is there already: {says}")),
        SqlState::FOREIGN_KEY_VIOLATION => Problem::conflict(says),
        SqlState::CHECK_VIOLATION | SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
            Problem::conflict(error.message())
        }
        SqlState::QUERY_CANCELED => Problem::unavailable("the database took too long"),
        _ => Problem::internal(format!(
            "the database says: {} ({})",
            error.message(),
            error.code().code()
        )),
    }
}

async fn commit(mut lease: Lease<'_>, id: Value) -> Result<Done, Problem> {
    if let Err(error) = lease.session.command("COMMIT").await {
        return Err(match error.as_db_error() {
            Some(error) => refusal(error),
            None => Problem::in_doubt("the connection to the database was lost at the commit"),
        });
    }
    let position = position(&mut lease.session).await;
    if position.is_some() {
        lease.give_back();
    }
    Ok(Done { id, position })
}

async fn position(session: &mut Session) -> Option<Position> {
    let row = session.row(POSITION, &[]).await.ok()??;
    // A WAL file's name begins with its timeline, in eight hexadecimal digits.
    let timeline = row.get::<_, String>(1);
    Some(Position {
        timeline: u32::from_str_radix(timeline.get(..8)?, 16).ok()?,
        lsn: parse_lsn(&row.get::<_, String>(0))?,
    })
}

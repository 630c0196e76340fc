//! Connections of one service to one database.
//!
//! In: a URL. Out: a connection for one piece of work.
//!
//! Always: at most so many connections; one that is not given back after its work (a failure, a request that its client gave up)
//! is closed, and with it whatever transaction was open.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::session::{Options, Session};

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Pool {
    url: String,
    options: Options,
    idle: Mutex<Vec<Session>>,
    permits: Semaphore,
}

/// A connection for one piece of work.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    pub(crate) session: Session,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(crate) fn new(url: &str, options: Options, connections: usize) -> Self {
        Self {
            url: url.to_owned(),
            options,
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(connections),
        }
    }

    /// A connection that was open a moment ago, or a new one.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>> {
        let permit = tokio::time::timeout(PATIENCE, self.permits.acquire())
            .await
            .context("all connections are busy")??;
        let session = match self.open_idle() {
            Some(session) => session,
            None => Session::open_with(&self.url, &self.options).await?,
        };
        Ok(Lease {
            pool: self,
            session,
            _permit: permit,
        })
    }

    fn open_idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| !session.is_closed());
        idle.pop()
    }
}

impl Lease<'_> {
    /// For the next piece of work. No transaction may be open.
    pub(crate) fn give_back(self) {
        let mut idle = self
            .pool
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.push(self.session);
    }
}

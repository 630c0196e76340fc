//! Whether the application waits for us.
//!
//! A long COPY holds an AccessShare lock; an ALTER TABLE of the application queues behind it, and everything else behind
//! the ALTER. A watcher asks this often, and cancels the copy when someone has waited for two seconds.

use std::time::Duration;

use tokio_postgres::Client;

use crate::SourceError;

/// A session that waits for a lock that one of ours holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The waiting session.
    pub pid: i32,
    /// The one of ours that it waits for.
    pub by: i32,
    /// For how long.
    pub waited: Duration,
}

/// Who waits for any of these sessions, longest first.
///
/// # Errors
/// When the connection breaks.
pub async fn blocked_by(client: &Client, ours: &[i32]) -> Result<Vec<Blocked>, SourceError> {
    // pg_blocking_pids is costly, so it is asked of those alone that wait for a lock.
    let rows = client
        .query(
            "SELECT w.pid, b.pid, w.waited
             FROM (SELECT l.pid, max(GREATEST(extract(epoch FROM clock_timestamp() - l.waitstart), 0))::float8 AS waited
                   FROM pg_catalog.pg_locks l WHERE NOT l.granted AND l.pid <> ALL($1) GROUP BY l.pid) w
             CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b(pid)
             WHERE b.pid = ANY($1)
             ORDER BY w.waited DESC NULLS LAST",
            &[&ours],
        )
        .await?;
    rows.into_iter()
        .map(|row| {
            let seconds: Option<f64> = row.try_get(2)?;
            Ok(Blocked {
                pid: row.try_get(0)?,
                by: row.try_get(1)?,
                waited: Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default(),
            })
        })
        .collect()
}

/// Cancels what a session of ours is doing.
///
/// # Errors
/// When the connection breaks.
pub async fn cancel_backend(client: &Client, pid: i32) -> Result<bool, SourceError> {
    Ok(client
        .query_one("SELECT pg_catalog.pg_cancel_backend($1)", &[&pid])
        .await?
        .try_get(0)?)
}

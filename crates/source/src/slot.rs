//! The slot's state: how much WAL it holds back, and whether it is in danger.

use readside_model::Lsn;
use tokio_postgres::Client;

use crate::SourceError;

/// `pg_replication_slots.wal_status`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalStatus {
    /// All that it needs is within `max_wal_size`.
    Reserved,
    /// More than that, but kept.
    Extended,
    /// No longer kept: the next checkpoint may remove it. Still recoverable by reading on quickly.
    Unreserved,
    /// Removed: the slot is of no use any more.
    Lost,
}

/// The state of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// Its name.
    pub name: String,
    /// The plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Its database.
    pub database: Option<String>,
    /// Whether that is the connection's.
    pub own_database: bool,
    /// Who is reading it.
    pub active_pid: Option<i32>,
    /// Whether its WAL is still there.
    pub wal_status: Option<WalStatus>,
    /// How much more WAL may be written before it is in danger; `None` without a limit.
    pub safe_wal_bytes: Option<i64>,
    /// Everything before this was confirmed.
    pub confirmed_flush: Option<Lsn>,
    /// From here on WAL is kept.
    pub restart_lsn: Option<Lsn>,
    /// How much WAL is kept.
    pub retained_bytes: Option<i64>,
    /// How much is not confirmed.
    pub unconfirmed_bytes: Option<i64>,
    /// `max_slot_wal_keep_size` in bytes; `None` without a limit.
    pub keep_bytes_max: Option<i64>,
    /// Why it was invalidated (17 and later).
    pub invalidation_reason: Option<String>,
    /// Synchronised to standbys (17 and later).
    pub failover: bool,
}

impl SlotStatus {
    /// Whether less than half of the allowed WAL is left.
    #[must_use]
    pub fn is_in_danger(&self) -> bool {
        match (self.wal_status, self.safe_wal_bytes, self.keep_bytes_max) {
            (Some(WalStatus::Unreserved | WalStatus::Lost), _, _) => true,
            (_, Some(safe), Some(max)) => safe < max / 2,
            _ => false,
        }
    }
}

/// The state of one slot; `None` if there is none of that name.
///
/// # Errors
/// When the connection breaks.
pub async fn slot_status(client: &Client, name: &str) -> Result<Option<SlotStatus>, SourceError> {
    let row = client
        .query_opt(
            "SELECT s.slot_name::text, s.plugin::text, s.database::text, s.database = current_database(), s.active_pid,
                    s.wal_status, s.safe_wal_size, s.confirmed_flush_lsn::text, s.restart_lsn::text,
                    pg_wal_lsn_diff(w.lsn, s.restart_lsn)::int8, pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)::int8,
                    (SELECT NULLIF(setting::int8, -1) * 1048576 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'),
                    to_jsonb(s) ->> 'invalidation_reason', COALESCE((to_jsonb(s) ->> 'failover')::bool, false)
             FROM pg_catalog.pg_replication_slots s,
                  (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) w
             WHERE s.slot_name = $1",
            &[&name],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let wal_status: Option<String> = row.try_get(5)?;
    let own: Option<bool> = row.try_get(3)?;
    Ok(Some(SlotStatus {
        name: row.try_get(0)?,
        plugin: row.try_get(1)?,
        database: row.try_get(2)?,
        own_database: own.unwrap_or(false),
        active_pid: row.try_get(4)?,
        wal_status: wal_status.as_deref().and_then(|status| match status {
            "reserved" => Some(WalStatus::Reserved),
            "extended" => Some(WalStatus::Extended),
            "unreserved" => Some(WalStatus::Unreserved),
            "lost" => Some(WalStatus::Lost),
            _ => None,
        }),
        safe_wal_bytes: row.try_get(6)?,
        confirmed_flush: lsn(row.try_get(7)?),
        restart_lsn: lsn(row.try_get(8)?),
        retained_bytes: row.try_get(9)?,
        unconfirmed_bytes: row.try_get(10)?,
        keep_bytes_max: row.try_get(11)?,
        invalidation_reason: row.try_get(12)?,
        failover: row.try_get(13)?,
    }))
}

/// The end of WAL that is written (on a standby, replayed). For display: it bounds no snapshot.
///
/// # Errors
/// When the connection breaks.
pub async fn current_wal_lsn(client: &Client) -> Result<Lsn, SourceError> {
    let text: Option<String> = client
        .query_one(
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text",
            &[],
        )
        .await?
        .try_get(0)?;
    Ok(lsn(text).unwrap_or(Lsn::ZERO))
}

fn lsn(text: Option<String>) -> Option<Lsn> {
    text?.parse().ok()
}

/// A round trip.
///
/// # Errors
/// When the connection is gone.
pub async fn ping(client: &Client) -> Result<(), SourceError> {
    client.simple_query("SELECT 1").await?;
    Ok(())
}

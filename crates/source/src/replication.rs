//! A replication connection: what can be asked before the stream runs.
//!
//! In: a [`SourceConfig`]. Out: the server's identity and timelines, slots with their snapshots, and the
//! [`ReplicationStream`] that the connection turns into.

use std::time::Duration;

use fallible_iterator::FallibleIterator;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use readside_model::Lsn;

use crate::authentication::authenticate;
use crate::config::SourceConfig;
use crate::socket::{Attempt, Attempts, Socket};
use crate::sql::{SETTINGS_BY_VERSION, options};
use crate::stream::ReplicationStream;
use crate::wire::{Frame, Wire, server_error};
use crate::{ServerError, SourceError};

/// What `IDENTIFY_SYSTEM` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The cluster's identifier: the same for a primary, its standbys and file-level copies.
    pub system_id: String,
    /// The timeline: another after each promotion.
    pub timeline: u32,
    /// The end of WAL that is flushed (on a standby, replayed).
    pub flushed: Lsn,
    /// The database of this connection.
    pub database: String,
    /// Its oid.
    pub database_oid: u32,
    /// `server_version_num`
    pub server_version: u32,
}

/// How a slot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// Stays until it is dropped, without a snapshot.
    Permanent {
        /// Synchronised to standbys (17 and later; ignored before).
        failover: bool,
    },
    /// Goes with the connection; its snapshot can be imported until the next command on it.
    TemporaryWithSnapshot,
}

/// A slot that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotCreated {
    /// Its name.
    pub name: String,
    /// X: the slot delivers exactly the transactions with `commit_lsn >= X`, the snapshot shows exactly the others.
    pub consistent_point: Lsn,
    /// The exported snapshot.
    pub snapshot_name: Option<String>,
}

/// Whether transactions are sent before they commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streaming {
    /// At commit only.
    #[default]
    Off,
    /// Pieces of open transactions beyond `logical_decoding_work_mem` (protocol 2, Postgres 14).
    On,
    /// The same with more in the abort message (protocol 4, Postgres 16).
    Parallel,
}

/// Options of the stream. Those at their defaults are not sent, since older servers refuse what they do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// `proto_version`
    pub proto_version: u8,
    /// `streaming`
    pub streaming: Streaming,
    /// `messages`: send `pg_logical_emit_message`.
    pub messages: bool,
    /// `binary`
    pub binary: bool,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions {
            proto_version: 1,
            streaming: Streaming::Off,
            messages: false,
            binary: false,
        }
    }
}

/// A step in a cluster's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineSwitch {
    /// The timeline that ended.
    pub timeline: u32,
    /// Where: nothing on it beyond this LSN is part of the history asked about.
    pub end: Lsn,
}

/// A row of a simple query.
pub(crate) type TextRow = Vec<Option<String>>;

/// An idle replication connection.
pub struct ReplicationClient {
    wire: Wire,
    user: String,
    server_version: u32,
    backend_pid: i32,
}

impl std::fmt::Debug for ReplicationClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicationClient")
            .field("user", &self.user)
            .field("server_version", &self.server_version)
            .field("backend_pid", &self.backend_pid)
            .finish_non_exhaustive()
    }
}

impl ReplicationClient {
    /// Connects to the first server of `config` that answers.
    ///
    /// # Errors
    /// What the last server tried said.
    pub async fn connect(config: &SourceConfig) -> Result<ReplicationClient, SourceError> {
        ReplicationClient::connect_with(config, &[]).await
    }

    /// The same with further settings for this session, such as `logical_decoding_work_mem`.
    ///
    /// # Errors
    /// What the last server tried said.
    pub async fn connect_with(
        config: &SourceConfig,
        settings: &[(&str, &str)],
    ) -> Result<ReplicationClient, SourceError> {
        let mut attempts = Attempts::new(config);
        while let Some(attempt) = attempts.next() {
            let opened = ReplicationClient::open(config, &attempt, settings);
            match attempts.within(&attempt, opened).await {
                Ok(client) => return Ok(client),
                Err(error) => attempts.failed(&attempt, error),
            }
        }
        Err(attempts.into_error())
    }

    async fn open(
        config: &SourceConfig,
        attempt: &Attempt<'_>,
        settings: &[(&str, &str)],
    ) -> Result<ReplicationClient, SourceError> {
        let mut wire = Wire::new(Socket::open(config, attempt).await?);
        let options = options(config, settings);
        wire.queue(|out| {
            frontend::startup_message(
                [
                    ("user", config.user.as_str()),
                    ("database", config.database.as_str()),
                    ("replication", "database"),
                    ("client_encoding", "UTF8"),
                    ("application_name", config.application_name.as_str()),
                    ("options", options.as_str()),
                ],
                out,
            )
        })?;
        authenticate(&mut wire, config).await?;
        let mut client = ReplicationClient {
            wire,
            user: config.user.clone(),
            server_version: 0,
            backend_pid: 0,
        };
        loop {
            match client.wire.message().await? {
                Message::BackendKeyData(body) => client.backend_pid = body.process_id(),
                Message::ReadyForQuery(_) => break,
                Message::ErrorResponse(body) => {
                    let error = server_error(body.fields());
                    // A role without REPLICATION is told so here.
                    return Err(SourceError::of_startup(
                        error,
                        &config.user,
                        &config.database,
                    ));
                }
                _ => return Err(client.wire.protocol("an unexpected message")),
            }
        }
        client.wire.set_during("a replication command ran");
        let version = client.value("SHOW server_version_num").await?;
        client.server_version = version.parse().map_err(|_| {
            client
                .wire
                .protocol(format!("server_version_num `{version}`"))
        })?;
        if client.server_version >= 170_000 {
            client.query(SETTINGS_BY_VERSION).await?;
        }
        Ok(client)
    }

    /// `server_version_num`
    #[must_use]
    pub fn server_version(&self) -> u32 {
        self.server_version
    }

    /// The walsender on the other side.
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.wire.socket().is_tls()
    }

    /// Runs a statement by the simple protocol.
    pub(crate) async fn query(&mut self, statement: &str) -> Result<Vec<TextRow>, SourceError> {
        self.wire.queue(|out| frontend::query(statement, out))?;
        let mut rows = Vec::new();
        let mut refused: Option<ServerError> = None;
        loop {
            match self.wire.message().await? {
                Message::DataRow(body) => {
                    let mut ranges = body.ranges();
                    let mut row = TextRow::new();
                    while let Some(range) = ranges
                        .next()
                        .map_err(|error| self.wire.protocol(error.to_string()))?
                    {
                        row.push(range.map(|range| {
                            let bytes = body.buffer().get(range).unwrap_or_default();
                            String::from_utf8_lossy(bytes).into_owned()
                        }));
                    }
                    rows.push(row);
                }
                Message::RowDescription(_)
                | Message::CommandComplete(_)
                | Message::EmptyQueryResponse => {}
                Message::ErrorResponse(body) => {
                    let error = server_error(body.fields());
                    // After a FATAL no ReadyForQuery follows.
                    if error.code.starts_with("57P") {
                        return Err(SourceError::of_server(error));
                    }
                    refused.get_or_insert(error);
                }
                Message::ReadyForQuery(_) => {
                    return match refused {
                        Some(error) => Err(SourceError::of_server(error)),
                        None => Ok(rows),
                    };
                }
                _ => return Err(self.wire.protocol("an unexpected message")),
            }
        }
    }

    /// The first column of the first row.
    async fn value(&mut self, statement: &str) -> Result<String, SourceError> {
        let rows = self.query(statement).await?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten())
            .ok_or_else(|| self.wire.protocol(format!("no answer to `{statement}`")))
    }

    /// `IDENTIFY_SYSTEM`, with the database's oid.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, SourceError> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let Some(
            [
                Some(system_id),
                Some(timeline),
                Some(flushed),
                Some(database),
                ..,
            ],
        ) = rows.first().map(Vec::as_slice)
        else {
            return Err(self.wire.protocol("an incomplete IDENTIFY_SYSTEM"));
        };
        let (system_id, database) = (system_id.clone(), database.clone());
        let (Ok(timeline), Ok(flushed)) = (timeline.parse(), flushed.parse()) else {
            return Err(self.wire.protocol("an unreadable IDENTIFY_SYSTEM"));
        };
        let oid = self
            .value("SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()")
            .await?;
        Ok(SystemIdentity {
            system_id,
            timeline,
            flushed,
            database,
            database_oid: oid
                .parse()
                .map_err(|_| self.wire.protocol("an unreadable database oid"))?,
            server_version: self.server_version,
        })
    }

    /// The switches that led to `timeline`, oldest first. Timeline 1 has none.
    ///
    /// # Errors
    /// When the server does not have that timeline's history.
    pub async fn timeline_history(
        &mut self,
        timeline: u32,
    ) -> Result<Vec<TimelineSwitch>, SourceError> {
        if timeline <= 1 {
            return Ok(Vec::new());
        }
        let rows = self.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
        match rows.first().map(Vec::as_slice) {
            Some([_, Some(content), ..]) => parse_timeline_history(content).ok_or_else(|| {
                self.wire
                    .protocol(format!("an unreadable history of timeline {timeline}"))
            }),
            _ => Err(self.wire.protocol("no TIMELINE_HISTORY")),
        }
    }

    /// Makes a slot for `pgoutput`. Waits for write transactions that are running, at most `wait_max`.
    ///
    /// # Errors
    /// [`SourceError::LockTimeout`] when they run longer; [`SourceError::SlotExists`]; [`SourceError::WalLevel`].
    pub async fn create_slot(
        &mut self,
        name: &str,
        kind: SlotKind,
        wait_max: Duration,
    ) -> Result<SlotCreated, SourceError> {
        let quoted = escape_identifier(name);
        let modern = self.server_version >= 150_000;
        let statement = match kind {
            SlotKind::Permanent { failover } if modern => {
                let failover = if failover && self.server_version >= 170_000 {
                    ", FAILOVER true"
                } else {
                    ""
                };
                format!(
                    "CREATE_REPLICATION_SLOT {quoted} LOGICAL pgoutput (SNAPSHOT 'nothing'{failover})"
                )
            }
            SlotKind::Permanent { .. } => {
                format!("CREATE_REPLICATION_SLOT {quoted} LOGICAL pgoutput NOEXPORT_SNAPSHOT")
            }
            SlotKind::TemporaryWithSnapshot if modern => {
                format!(
                    "CREATE_REPLICATION_SLOT {quoted} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"
                )
            }
            SlotKind::TemporaryWithSnapshot => {
                format!(
                    "CREATE_REPLICATION_SLOT {quoted} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
                )
            }
        };
        self.query(&format!("SET lock_timeout = {}", wait_max.as_millis()))
            .await?;
        // Resetting lock_timeout afterwards would end the exported snapshot; nothing else on this connection waits for locks.
        let rows = match self.query(&statement).await {
            Ok(rows) => rows,
            Err(SourceError::Server(error)) => {
                return Err(match error.code.as_str() {
                    "42710" => SourceError::SlotExists {
                        slot: name.to_owned(),
                    },
                    "55000" => SourceError::WalLevel(error),
                    _ => SourceError::Server(error),
                });
            }
            Err(error) => return Err(error),
        };
        let Some([Some(name), Some(point), snapshot, ..]) = rows.first().map(Vec::as_slice) else {
            return Err(self.wire.protocol("an incomplete CREATE_REPLICATION_SLOT"));
        };
        Ok(SlotCreated {
            name: name.clone(),
            consistent_point: point
                .parse()
                .map_err(|_| self.wire.protocol("an unreadable consistent point"))?,
            snapshot_name: snapshot.clone(),
        })
    }

    /// Drops a slot. One that does not exist is dropped already.
    ///
    /// # Errors
    /// [`SourceError::SlotBusy`] while someone uses it.
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), SourceError> {
        let statement = format!("DROP_REPLICATION_SLOT {}", escape_identifier(name));
        match self.query(&statement).await {
            Ok(_) => Ok(()),
            Err(SourceError::Server(error)) if error.code == "42704" => Ok(()),
            Err(SourceError::Server(error)) if error.code == "55006" => {
                Err(self.explain_slot(name, error).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Turns the connection into the stream of `slot` from `from` on.
    ///
    /// The server starts at the later of `from` and what was last confirmed, so `from` must be durable already: what lies
    /// before it is never sent again.
    ///
    /// # Errors
    /// Each state of the slot has its own; [`SourceError::AheadOfServer`] when this server never got as far as `from`.
    pub async fn start(
        mut self,
        slot: &str,
        from: Lsn,
        publication: &str,
        options: &StreamOptions,
    ) -> Result<ReplicationStream, SourceError> {
        let identity = self.identify_system().await?;
        if from > identity.flushed {
            return Err(SourceError::AheadOfServer {
                stored: from,
                server: identity.flushed,
            });
        }
        // The server truncates nothing and checks little: an unusable slot is best recognised before it is tried.
        let row = self.slot_row(slot).await?;
        let Some(confirmed) = row.confirmed else {
            return Err(SourceError::SlotUnusable {
                slot: slot.to_owned(),
                found: "a physical slot".to_owned(),
            });
        };
        let statement = start_statement(slot, from, publication, options);
        self.wire.queue(|out| frontend::query(&statement, out))?;
        loop {
            match self.wire.next().await? {
                Frame::CopyBoth => break,
                Frame::Message(Message::ErrorResponse(body)) => {
                    let error = server_error(body.fields());
                    loop {
                        if let Message::ReadyForQuery(_) = self.wire.message().await? {
                            break;
                        }
                    }
                    return Err(self.explain_slot(slot, error).await);
                }
                Frame::Message(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                _ => return Err(self.wire.protocol("an unexpected answer")),
            }
        }
        Ok(ReplicationStream::new(
            self.wire,
            publication,
            slot,
            from.max(confirmed),
        ))
    }

    /// What is known of a slot, or the error that says why it cannot be used.
    async fn slot_row(&mut self, slot: &str) -> Result<SlotRow, SourceError> {
        let rows = self
            .query(&format!(
                "SELECT plugin, database, database = current_database(), wal_status, active_pid, confirmed_flush_lsn \
                 FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
                escape_literal(slot).trim_start()
            ))
            .await?;
        let Some([plugin, database, own, wal_status, pid, confirmed]) =
            rows.first().map(Vec::as_slice)
        else {
            return Err(SourceError::SlotMissing {
                slot: slot.to_owned(),
            });
        };
        let slot = slot.to_owned();
        if plugin.as_deref() != Some("pgoutput") {
            let found = match plugin {
                Some(plugin) => format!("of plugin `{plugin}`"),
                None => "a physical slot".to_owned(),
            };
            return Err(SourceError::SlotUnusable { slot, found });
        }
        if own.as_deref() != Some("t") {
            let database = database.clone().unwrap_or_default();
            return Err(SourceError::SlotWrongDatabase { slot, database });
        }
        if wal_status.as_deref() == Some("lost") {
            let reason = "the server removed the WAL that it needs".to_owned();
            return Err(SourceError::SlotLost { slot, reason });
        }
        Ok(SlotRow {
            pid: pid.as_deref().and_then(|pid| pid.parse().ok()),
            confirmed: confirmed.as_deref().and_then(|lsn| lsn.parse().ok()),
        })
    }

    /// What an error about a slot means, by the slot's state rather than by the message's words.
    async fn explain_slot(&mut self, slot: &str, error: ServerError) -> SourceError {
        let found = match self.slot_row(slot).await {
            Ok(found) => found,
            Err(better) => return better,
        };
        let slot = slot.to_owned();
        match error.code.as_str() {
            "55006" => SourceError::SlotBusy {
                slot,
                pid: found.pid,
            },
            "42704" => SourceError::SlotMissing { slot },
            "55000" => SourceError::SlotLost {
                slot,
                reason: error.message,
            },
            _ => SourceError::of_server(error),
        }
    }

    /// A round trip.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn ping(&mut self) -> Result<(), SourceError> {
        self.query("SELECT 1").await.map(|_| ())
    }
}

struct SlotRow {
    pid: Option<i32>,
    confirmed: Option<Lsn>,
}

fn start_statement(slot: &str, from: Lsn, publication: &str, options: &StreamOptions) -> String {
    // A list of identifiers inside a literal: quoted twice.
    let publications = escape_identifier(publication);
    let mut statement = format!(
        "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '{}', publication_names {}",
        escape_identifier(slot),
        options.proto_version,
        replication_literal(&publications),
    );
    match options.streaming {
        Streaming::Off => {}
        Streaming::On => statement.push_str(", streaming 'on'"),
        Streaming::Parallel => statement.push_str(", streaming 'parallel'"),
    }
    if options.messages {
        statement.push_str(", messages 'true'");
    }
    if options.binary {
        statement.push_str(", binary 'true'");
    }
    statement.push(')');
    statement
}

/// A literal as the replication grammar has it: quotes doubled, backslashes plain.
fn replication_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Lines of `timeline <tab> LSN <tab> reason`.
fn parse_timeline_history(content: &str) -> Option<Vec<TimelineSwitch>> {
    // The column is a bytea that some servers send in hex form.
    let decoded = content.strip_prefix("\\x").and_then(|hex| {
        let bytes: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok())
            .collect();
        String::from_utf8(bytes?).ok()
    });
    let mut switches = Vec::new();
    for line in decoded.as_deref().unwrap_or(content).lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.split_whitespace();
        switches.push(TimelineSwitch {
            timeline: fields.next()?.parse().ok()?,
            end: fields.next()?.parse().ok()?,
        });
    }
    Some(switches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_in_both_of_its_forms() {
        let expected = vec![
            TimelineSwitch {
                timeline: 1,
                end: Lsn(0x0300_0148),
            },
            TimelineSwitch {
                timeline: 2,
                end: Lsn(0x1_0000_0000),
            },
        ];
        let text = "1\t0/3000148\tno recovery target specified\n\n2\t1/0\tbefore 2000-01-01\n";
        assert_eq!(parse_timeline_history(text), Some(expected.clone()));
        let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
        assert_eq!(parse_timeline_history(&format!("\\x{hex}")), Some(expected));
        assert_eq!(parse_timeline_history("nonsense"), None);
    }

    #[test]
    fn names_are_quoted_and_defaults_are_not_sent() {
        assert_eq!(
            start_statement("s", Lsn(0x10), "my\"p'", &StreamOptions::default()),
            r#"START_REPLICATION SLOT "s" LOGICAL 0/10 (proto_version '1', publication_names '"my""p''"')"#
        );
        let options = StreamOptions {
            proto_version: 4,
            streaming: Streaming::Parallel,
            messages: true,
            binary: false,
        };
        assert!(start_statement("s", Lsn(0), "p", &options).ends_with(
            "(proto_version '4', publication_names '\"p\"', streaming 'parallel', messages 'true')"
        ));
    }
}

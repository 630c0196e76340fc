//! What can go wrong with a source, and who can mend it.

use std::io;
use std::time::Duration;

use readside_model::Lsn;
use readside_pgoutput::DecodeError;
use tokio_postgres::error::DbError;

use crate::config::ConfigError;
use crate::tls::TlsError;

/// What to do about an error. Each error has exactly one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It passes: try again with back-off.
    Retry,
    /// Someone has to change something first; trying again (slowly) finds out when they have.
    Operator,
    /// What was missed cannot be had again: take new copies of the tables and compare.
    Resynchronise,
}

/// An error as the server put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// The message, in the server's language.
    pub message: String,
    /// Its detail.
    pub detail: Option<String>,
    /// Its hint.
    pub hint: Option<String>,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

impl From<&DbError> for ServerError {
    fn from(error: &DbError) -> ServerError {
        ServerError {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
        }
    }
}

/// Why something could not be done with the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The connection string.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No connection to the server.
    #[error(
        "cannot reach Postgres at `{endpoint}`: {source}\n  hint: check that it runs, listens there, and that no firewall is between"
    )]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// No connection in time.
    #[error("Postgres at `{endpoint}` did not answer within {} s\n  hint: raise `connect_timeout` if it is far away", .after.as_secs())]
    ConnectTimeout {
        /// Where.
        endpoint: String,
        /// How long it was given.
        after: Duration,
    },
    /// No TLS session.
    #[error("no TLS connection to `{endpoint}`: {source}")]
    Tls {
        /// Where.
        endpoint: String,
        /// Why.
        source: TlsError,
    },
    /// The server does not let us in.
    #[error(
        "Postgres refused `{user}`: {reason}\n  hint: check the user and password, and that pg_hba.conf has a line for this user, database and address (`replication=database` connections match the database's name)"
    )]
    Auth {
        /// The role.
        user: String,
        /// What the server, or our side of the exchange, says.
        reason: String,
        /// The connection's kind or address was refused, or the role is not there; as against the password.
        by_address: bool,
    },
    /// The database does not exist.
    #[error("database `{database}` does not exist: {server}")]
    DatabaseMissing {
        /// Its name.
        database: String,
        /// What the server says.
        server: Box<ServerError>,
    },
    /// The server is starting, stopping, or has just crashed.
    #[error("Postgres is not available: {0}")]
    Unavailable(ServerError),
    /// Every connection, walsender or slot is taken.
    #[error(
        "Postgres has no room: {0}\n  hint: raise max_connections, max_wal_senders or max_replication_slots (readside needs one slot and walsender, and one more of each while it loads tables)"
    )]
    NoRoom(ServerError),
    /// The server ended the connection, or it broke.
    #[error("the connection to Postgres ended while {during}: {source}")]
    Closed {
        /// What was going on.
        during: &'static str,
        /// How it ended.
        source: io::Error,
    },
    /// The server said something that has no meaning here.
    #[error("Postgres broke the protocol while {during}: {what}")]
    Protocol {
        /// What was going on.
        during: &'static str,
        /// What came.
        what: String,
    },
    /// The stream's payload is not pgoutput.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A right is missing.
    #[error("a privilege is missing: {0}\n  hint: `readside check` prints the SQL that grants it")]
    Privilege(ServerError),
    /// `wal_level` is not `logical`.
    #[error(
        "Postgres does not write a logical WAL: {0}\n  hint: set wal_level = logical and restart it"
    )]
    WalLevel(ServerError),
    /// Another consumer holds the slot.
    #[error("slot `{slot}` is already active{}\n  hint: stop the other consumer, or set `source.slot` to another name", .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    SlotBusy {
        /// The slot.
        slot: String,
        /// Who holds it, if that could be seen.
        pid: Option<i32>,
    },
    /// The slot is gone: so is the WAL that it kept.
    #[error(
        "slot `{slot}` does not exist\n  hint: it was dropped, or the server failed over without it; readside makes a new one and compares every table"
    )]
    SlotMissing {
        /// The slot.
        slot: String,
    },
    /// The server dropped the WAL that the slot needs.
    #[error(
        "slot `{slot}` is lost: {reason}\n  hint: readside makes a new one and compares every table; raise max_slot_wal_keep_size if this recurs"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// Why.
        reason: String,
    },
    /// The slot is of another database.
    #[error(
        "slot `{slot}` belongs to database `{database}`\n  hint: set `source.slot` to another name"
    )]
    SlotWrongDatabase {
        /// The slot.
        slot: String,
        /// Whose it is.
        database: String,
    },
    /// The slot is physical, or of another plugin.
    #[error(
        "slot `{slot}` is not a logical slot of `pgoutput` but {found}\n  hint: set `source.slot` to another name"
    )]
    SlotUnusable {
        /// The slot.
        slot: String,
        /// What it is.
        found: String,
    },
    /// The slot to be made exists.
    #[error("slot `{slot}` already exists")]
    SlotExists {
        /// The slot.
        slot: String,
    },
    /// The publication was dropped, or made after the slot.
    #[error(
        "publication `{publication}` is missing at the stream's position\n  hint: it was dropped or made after the slot; readside makes it and the slot anew and compares every table"
    )]
    PublicationMissing {
        /// The publication.
        publication: String,
    },
    /// What we have is beyond the server's WAL: another server, or one that went back.
    #[error(
        "the source is behind: it stands at {server}, readside has read up to {stored}\n  hint: a standby was promoted without the last transactions, or a backup was restored; readside compares every table"
    )]
    AheadOfServer {
        /// Ours.
        stored: Lsn,
        /// The server's end of WAL.
        server: Lsn,
    },
    /// Our own mistake, caught before it reaches the server: confirming what was never received.
    #[error("refused to confirm {asked}: this server has sent no more than {received}")]
    ConfirmBeyondReceived {
        /// What was to be confirmed.
        asked: Lsn,
        /// The end of what came from this server.
        received: Lsn,
    },
    /// A lock, or a running transaction, was waited for in vain.
    #[error(
        "gave up waiting for the application: {0}\n  hint: a long transaction is open; readside tries again"
    )]
    LockTimeout(ServerError),
    /// Somebody, perhaps our own watcher, cancelled the statement.
    #[error("the statement was cancelled: {0}")]
    Cancelled(ServerError),
    /// Deadlock or serialisation failure.
    #[error("the server gave up the transaction: {0}")]
    Conflict(ServerError),
    /// The table was dropped or renamed meanwhile.
    #[error(
        "table `{table}` is not there any more\n  hint: it was dropped, renamed or recreated; the tables are looked up again"
    )]
    TableGone {
        /// What was looked for.
        table: String,
    },
    /// The exported snapshot has ended.
    #[error("snapshot `{name}` is gone: {server}")]
    SnapshotGone {
        /// Its name.
        name: String,
        /// What the server says.
        server: Box<ServerError>,
    },
    /// Row-level security would have hidden rows.
    #[error(
        "row-level security hides rows of a table from this role: {0}\n  hint: ALTER ROLE … BYPASSRLS, or make the role a member of the table's owner"
    )]
    RowSecurity(ServerError),
    /// The server says something else.
    #[error("Postgres says: {0}")]
    Server(ServerError),
    /// The client library says something else.
    #[error("{0}")]
    Client(tokio_postgres::Error),
}

impl SourceError {
    /// Who can mend it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            SourceError::Unreachable { .. }
            | SourceError::ConnectTimeout { .. }
            | SourceError::Unavailable(_)
            | SourceError::NoRoom(_)
            | SourceError::Closed { .. }
            | SourceError::SlotBusy { .. }
            | SourceError::LockTimeout(_)
            | SourceError::Cancelled(_)
            | SourceError::Conflict(_)
            | SourceError::TableGone { .. }
            | SourceError::SnapshotGone { .. }
            | SourceError::Client(_) => Remedy::Retry,
            SourceError::Config(_)
            | SourceError::Tls { .. }
            | SourceError::Auth { .. }
            | SourceError::DatabaseMissing { .. }
            | SourceError::Protocol { .. }
            | SourceError::Decode(_)
            | SourceError::Privilege(_)
            | SourceError::WalLevel(_)
            | SourceError::SlotWrongDatabase { .. }
            | SourceError::SlotUnusable { .. }
            | SourceError::SlotExists { .. }
            | SourceError::ConfirmBeyondReceived { .. }
            | SourceError::RowSecurity(_)
            | SourceError::Server(_) => Remedy::Operator,
            SourceError::SlotMissing { .. }
            | SourceError::SlotLost { .. }
            | SourceError::PublicationMissing { .. }
            | SourceError::AheadOfServer { .. } => Remedy::Resynchronise,
        }
    }

    /// What the server itself said, where it did.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            SourceError::DatabaseMissing { server, .. }
            | SourceError::SnapshotGone { server, .. } => Some(server),
            SourceError::Unavailable(server)
            | SourceError::NoRoom(server)
            | SourceError::Privilege(server)
            | SourceError::WalLevel(server)
            | SourceError::LockTimeout(server)
            | SourceError::Cancelled(server)
            | SourceError::Conflict(server)
            | SourceError::RowSecurity(server)
            | SourceError::Server(server) => Some(server),
            _ => None,
        }
    }

    /// Sorts what the server said by its SQLSTATE, never by its words, which depend on `lc_messages`.
    pub(crate) fn of_server(error: ServerError) -> SourceError {
        match error.code.as_str() {
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => SourceError::Unavailable(error),
            "53300" | "53400" => SourceError::NoRoom(error),
            "42501" => SourceError::Privilege(error),
            "55P03" => SourceError::LockTimeout(error),
            "57014" => SourceError::Cancelled(error),
            "40001" | "40P01" => SourceError::Conflict(error),
            _ => SourceError::Server(error),
        }
    }

    /// The same while a connection is being made.
    pub(crate) fn of_startup(error: ServerError, user: &str, database: &str) -> SourceError {
        match error.code.as_str() {
            "28000" | "28P01" => SourceError::Auth {
                user: user.to_owned(),
                by_address: error.code == "28000",
                reason: error.message,
            },
            "3D000" => SourceError::DatabaseMissing {
                database: database.to_owned(),
                server: Box::new(error),
            },
            _ => SourceError::of_server(error),
        }
    }
}

impl From<tokio_postgres::Error> for SourceError {
    fn from(error: tokio_postgres::Error) -> SourceError {
        match error.as_db_error() {
            Some(db) => SourceError::of_server(db.into()),
            None if error.is_closed() => SourceError::Closed {
                during: "a query ran",
                source: io::ErrorKind::UnexpectedEof.into(),
            },
            None => SourceError::Client(error),
        }
    }
}

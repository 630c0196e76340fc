//! What can go wrong with the log.

use readside_model::{Lsn, SourceIdentity};

/// An error of the log.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// The file system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with the file's name.
        action: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process uses the directory.
    #[error(
        "changelog directory `{dir}` is in use by another process\n  hint: stop that process, or set `data.dir` to another directory"
    )]
    Locked {
        /// The directory.
        dir: String,
    },
    /// The disk is full. The same call may be made again once there is room.
    #[error(
        "no space left on the disk that holds the changelog\n  hint: free some space; the source keeps what has not been confirmed"
    )]
    DiskFull,
    /// The log has reached its limit. The same call may be made again once it was trimmed.
    #[error(
        "the changelog holds {bytes} bytes and its limit is {max}\n  hint: something has not read it for long: see `readside status`; or raise `data.changelog_bytes_max`"
    )]
    Full {
        /// What it holds.
        bytes: u64,
        /// What it may hold.
        max: u64,
    },
    /// An earlier write failed in a way that leaves the disk's content unknown.
    #[error(
        "an earlier write to the changelog failed\n  hint: restart; nothing was confirmed that is not on disk"
    )]
    Poisoned,
    /// What was once durable cannot be read back.
    #[error(
        "changelog file `{file}` is damaged at byte {offset}: {reason}\n  hint: transactions are lost here; stop readside, move its data directory away and start it again: it loads the tables anew; then let `readside verify` look for rows that are left over"
    )]
    Corrupt {
        /// The file.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The log ends before a position that was confirmed to the source, which will not send what is missing again.
    #[error(
        "the changelog ends at {durable_end}, but {confirmed} has been confirmed to the source: what lies between is lost\n  hint: was the data directory restored from a backup? Stop readside, move its data directory away and start it again: it loads the tables anew; then let `readside verify` look for rows that are left over"
    )]
    Behind {
        /// Where it ends.
        durable_end: Lsn,
        /// What was confirmed, or used.
        confirmed: Lsn,
    },
    /// The log belongs to another source.
    #[error("the changelog belongs to database `{}` (oid {}) of system {} with slot `{}`, not to database `{}` (oid {}) of system {} with slot `{}`\n  hint: set `data.dir` to a fresh directory, or mend `[source]`", found.database, found.database_oid, found.system_id, found.slot, expected.database, expected.database_oid, expected.system_id, expected.slot)]
    Identity {
        /// What the log says.
        found: Box<SourceIdentity>,
        /// What the configuration says.
        expected: Box<SourceIdentity>,
    },
    /// A file was written by another version.
    #[error(
        "changelog file `{file}` has format {found}, and this program reads {supported}\n  hint: let the version that wrote it catch up and stop, or move the data directory away to load the tables anew"
    )]
    Format {
        /// The file.
        file: String,
        /// The version on disk.
        found: u16,
        /// The version understood.
        supported: u16,
    },
    /// A transaction came out of commit order.
    #[error(
        "transaction {xid} committed at {commit}, before the end of the one before it at {end}\n  hint: is something else between readside and the source? The connection must be a replication connection to the primary"
    )]
    OutOfOrder {
        /// The transaction.
        xid: u32,
        /// Its commit.
        commit: Lsn,
        /// The end of what came before.
        end: Lsn,
    },
    /// A reader asked for what was trimmed away.
    #[error(
        "the changelog starts at {start}, and {asked} was asked for\n  hint: stop readside, move its data directory away and start it again: it loads the tables anew; then let `readside verify` look for rows that are left over"
    )]
    Trimmed {
        /// Where the log starts.
        start: Lsn,
        /// What was asked for.
        asked: Lsn,
    },
    /// A message or record that the format has no room for.
    #[error("a message of {bytes} bytes is more than the changelog can hold")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl ChangelogError {
    /// Wraps an I/O error; `action` completes "cannot …".
    pub(crate) fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return ChangelogError::DiskFull;
        }
        ChangelogError::Io {
            action: action.into(),
            source,
        }
    }

    /// Whether the same call can succeed once there is room.
    #[must_use]
    pub fn is_lack_of_room(&self) -> bool {
        matches!(self, ChangelogError::DiskFull | ChangelogError::Full { .. })
    }
}

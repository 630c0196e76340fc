//! What can go wrong with local state.

use std::path::PathBuf;

/// An error of the local state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process uses the directory.
    #[error("data directory `{}` is in use by process {pid}\n  hint: stop that process, or set `data.dir` to another directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, as far as the lock file tells.
        pid: String,
    },
    /// The file system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The disk is full.
    #[error(
        "no space left on the disk that holds the state\n  hint: free some space; nothing is lost, and the state goes on from its last flush"
    )]
    DiskFull,
    /// The store has reached the size that it was opened with.
    #[error(
        "the state has reached its `map_size` of {map_bytes} bytes\n  hint: read fewer columns or views with this instance, or give it another data directory; the size is fixed in this version"
    )]
    MapFull {
        /// The size that it was opened with.
        map_bytes: u64,
    },
    /// The store failed.
    #[error("state store")]
    Store(#[source] heed::Error),
    /// The store holds something that was never written.
    #[error(
        "the state is damaged: {0}\n  hint: move the `state` directory away and start again; the tables are then loaded anew"
    )]
    Corrupt(String),
    /// The store was written by another version.
    #[error(
        "the state has format {found}, and this program reads {supported}\n  hint: use the version that wrote it, or move the `state` directory away to load the tables anew"
    )]
    Format {
        /// The version on disk.
        found: u8,
        /// The version understood.
        supported: u8,
    },
    /// A key that is empty or starts with `0xFF`.
    #[error("a state key must not be empty or start with 0xFF")]
    ReservedKey,
    /// A load wrote a key outside of its prefix.
    #[error("a load wrote a key outside of its prefix")]
    OutsidePrefix,
    /// A flush was asked for in the middle of a group.
    #[error("uncommitted writes cannot be flushed")]
    Uncommitted,
    /// An earlier flush failed in a way that leaves the disk's content unknown.
    #[error(
        "an earlier flush of the state failed\n  hint: restart; the state goes on from its last complete flush"
    )]
    Poisoned,
    /// No snapshot of the last commit can be had while a large transaction is being applied.
    #[error("all snapshots kept for the time of a large transaction are in use")]
    NoSnapshot,
}

impl StateError {
    /// Wraps an I/O error; `action` completes "cannot …".
    pub(crate) fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return StateError::DiskFull;
        }
        StateError::Io {
            action: action.into(),
            source,
        }
    }

    /// Whether the flush may simply be tried again once there is room.
    pub(crate) fn is_lack_of_room(&self) -> bool {
        matches!(self, StateError::DiskFull | StateError::MapFull { .. })
    }
}

//! What a run is made of: everything resolved, nothing read from files or the environment any more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use readside_sinks::SinkConfig;
use readside_source::SourceConfig;

/// The configuration of a run.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The program's version, for `status`.
    pub version: String,
    /// Where the source is, and as whom to read it.
    pub source: SourceConfig,
    /// The publication.
    pub publication: String,
    /// The slot.
    pub slot: String,
    /// Where changelog and state are kept.
    pub data_dir: PathBuf,
    /// Sinks by name.
    pub sinks: BTreeMap<String, SinkConfig>,
    /// Views.
    pub views: Vec<ViewConfig>,
    /// Limits of memory and disk.
    pub limits: Limits,
    /// Stop once every view has reached the source's LSN at start.
    pub until_caught_up: bool,
}

/// A view of a run.
#[derive(Debug, Clone)]
pub struct ViewConfig {
    /// Its name.
    pub name: String,
    /// Its SQL.
    pub sql: String,
    /// How late it may be before readers should not be sent here.
    pub lag_max: Duration,
    /// A row on which the query raises an error keeps its last good copy in the sinks.
    pub keep_failed: bool,
    /// Where its rows go.
    pub into: Vec<IntoConfig>,
}

/// A place for a view's rows.
#[derive(Debug, Clone)]
pub struct IntoConfig {
    /// The sink's name.
    pub sink: String,
    /// Index, table or key template; empty for the default.
    pub location: String,
    /// A mapping that overrides the derived one, as JSON.
    pub mapping: Option<String>,
}

/// Limits of memory and disk.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The changelog does not grow past this.
    pub changelog_bytes_max: u64,
    /// State is flushed when this much has been committed in memory.
    pub state_flush_bytes: usize,
    /// State is flushed at least this often.
    pub state_flush_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            changelog_bytes_max: 64 << 30,
            state_flush_bytes: 32 << 20,
            state_flush_interval: Duration::from_secs(3),
        }
    }
}

//! What the state holds, so that a start finds out what is new: tables, indexes, views, targets, and the ids given to them.

use std::collections::{BTreeMap, BTreeSet};

use readside_model::Lsn;
use readside_state::{Read, State};
use serde::{Deserialize, Serialize};

use crate::ProjectionError;
use crate::keyspace;

const KEY: &str = "registry";

/// The state's own catalog.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The last id given to a stage, index, view or target.
    pub last_id: u32,
    /// By table oid.
    pub tables: BTreeMap<u32, TableRecord>,
    /// By what they are over.
    pub indexes: BTreeMap<String, IndexRecord>,
    /// By name.
    pub views: BTreeMap<String, ViewRecord>,
    /// Targets that are not configured any more, by view, sink and place: what was written there is still there, and remembered, so that
    /// it is brought up to date or deleted should they come back.
    #[serde(default)]
    pub retired: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A table in state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    /// `schema.name`, for messages.
    pub name: String,
    /// Names and types of all its columns when it was loaded, in order.
    pub columns: Vec<String>,
    /// Its key's columns.
    pub key: Vec<usize>,
    /// Which columns are stored, by name.
    pub stored: BTreeSet<String>,
    /// Changes of transactions that commit at or after this are to be applied; `None` while it is not loaded.
    pub valid_from: Option<Lsn>,
}

/// An index in state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexRecord {
    /// Its id.
    pub id: u32,
    /// Whether it holds every row.
    pub built: bool,
}

/// A view in state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewRecord {
    /// Of the plan that its stages were filled by.
    pub fingerprint: String,
    /// Ids of its stages, in plan order.
    pub stages: Vec<u32>,
    /// Whether its stages are filled.
    pub filled: bool,
    /// Target ids by sink and place.
    pub targets: BTreeMap<String, u32>,
    /// Targets whose keys have all been marked at least once.
    pub marked: BTreeSet<u32>,
    /// Targets of which `written` and what is pending name everything that the sink holds. Not those whose pending keys were cleared:
    /// a write may have arrived that nothing here knows of.
    #[serde(default)]
    pub accounted: BTreeSet<u32>,
    /// Targets that were retired and have come back, and have not been read through since.
    #[serde(default)]
    pub returned: BTreeSet<u32>,
    /// A rebuild that has not ended.
    #[serde(default)]
    pub rebuild: Option<RebuildRecord>,
}

/// How far a rebuild has come: what a restart has to know of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RebuildRecord {
    /// Stages that nobody reads: before the switch the new ones, after it the old ones.
    pub stages: Vec<u32>,
    /// The new stages are live; what is left is to write every row.
    pub switched: bool,
    /// How often it has been begun.
    #[serde(default)]
    pub tries: u32,
}

impl Registry {
    /// Reads it.
    pub fn load(read: &dyn Read) -> Result<Registry, ProjectionError> {
        match read.get(&keyspace::meta(KEY))? {
            None => Ok(Registry::default()),
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| ProjectionError::Corrupt(format!("the registry: {e}"))),
        }
    }

    /// Writes it.
    pub fn save(&self, state: &mut State) -> Result<(), ProjectionError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| ProjectionError::Corrupt(format!("the registry: {e}")))?;
        state.put(&keyspace::meta(KEY), &bytes)?;
        Ok(())
    }

    pub(crate) fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }
}

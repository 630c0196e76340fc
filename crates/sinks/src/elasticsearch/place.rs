//! The indexes and aliases of a view.
//!
//! In: a view's target. Out: its names, and the requests that create, recognise and remove what they name.
//!
//! | name | is |
//! | --- | --- |
//! | `orders` | an alias over the generation that readers see |
//! | `orders-g3` | the index of generation 3; its mapping's `_meta.readside` says whose it is |
//! | `orders-g3-WRITE-<opening>` | the alias that generation 3 is written through, by one opening of the sink |
//!
//! Whoever opens the sink takes the write aliases of earlier openings away, so that what is still on its way to them finds no index.
//!
//! Always: a write can't create an index. `require_alias` sees to that for documents, but a delete with a version creates
//! its index all the same; an index can't have an upper-case name, though, and an alias can.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use elasticsearch::http::Method;
use readside_sink::{SinkError, ViewTarget};
use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::Connection;
use super::mapping::index_body;

const NAME_BYTES_MAX: usize = 200;

/// Where one generation of one view is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) alias: String,
    pub(super) index: String,
    pub(super) write_alias: String,
    pub(super) shards: u64,
    /// Operations that were acknowledged since the receipts were read.
    pub(super) taken: Arc<AtomicU64>,
}

/// What `GET /{index}` tells.
#[derive(Debug, Deserialize)]
struct IndexInfo {
    #[serde(default)]
    mappings: Value,
    #[serde(default)]
    settings: Value,
    #[serde(default)]
    aliases: BTreeMap<String, Value>,
}

impl IndexInfo {
    fn owner(&self) -> (Option<&str>, Option<&str>) {
        let meta = |name: &str| {
            self.mappings
                .pointer(&format!("/_meta/readside/{name}"))?
                .as_str()
        };
        (meta("instance"), meta("view"))
    }

    fn belongs_to(&self, instance: &str, view: &str) -> bool {
        self.owner() == (Some(instance), Some(view))
    }
}

impl Place {
    /// The names, checked; `opening` tells this opening of the sink from earlier ones.
    pub(super) fn new(target: &ViewTarget, opening: &str) -> Result<Place, SinkError> {
        let alias = if target.location.is_empty() {
            &target.view
        } else {
            &target.location
        };
        let bad = |c: char| c.is_uppercase() || c.is_control() || " \"*\\<|,>/?#:".contains(c);
        let reason = if alias.len() > NAME_BYTES_MAX {
            Some("it is too long".to_owned())
        } else if alias.starts_with(['-', '_', '+', '.']) {
            Some("it may not begin with `-`, `_`, `+` or `.`".to_owned())
        } else {
            alias
                .chars()
                .find(|c| bad(*c))
                .map(|c| format!("`{c}` may not be in it"))
        };
        if let Some(reason) = reason {
            return Err(SinkError::Operator {
                message: format!(
                    "view `{}`: `{alias}` cannot be an index: {reason}",
                    target.view
                ),
                hint: format!(
                    "set `index` for this view, for example `{}`",
                    alias
                        .to_lowercase()
                        .trim_start_matches(['-', '_', '+', '.'])
                ),
            });
        }
        let index = format!("{alias}-g{}", target.generation);
        Ok(Place {
            alias: alias.clone(),
            write_alias: write_alias(&index, opening),
            index,
            shards: 1,
            taken: Arc::default(),
        })
    }

    /// Whether the index is there.
    pub(super) async fn exists(&self, connection: &Connection) -> Result<bool, SinkError> {
        Ok(get(connection, &self.index).await?.is_some())
    }

    /// Creates what is missing, and finds out how many shards there are.
    pub(super) async fn create(
        &mut self,
        connection: &Connection,
        target: &ViewTarget,
        instance: &str,
    ) -> Result<(), SinkError> {
        let body = index_body(target, instance)?;
        let readers = self.check_alias(connection, target, instance).await?;
        let info = match get(connection, &self.index).await? {
            Some(info) => info,
            None => {
                let path = format!("/{}", encode(&self.index));
                let mut body = body;
                body["aliases"] = json!({ &self.write_alias: {"is_write_index": true} });
                let result = connection.json(Method::Put, &path, Some(&body)).await;
                match (get(connection, &self.index).await?, result) {
                    (Some(info), _) => info,
                    (None, Err(error)) => return Err(error),
                    (None, Ok(_)) => {
                        return Err(SinkError::Unavailable(format!(
                            "index `{}` was created and is not there",
                            self.index
                        )));
                    }
                }
            }
        };
        if !info.belongs_to(instance, &target.view) {
            return Err(not_ours(&self.index, info.owner().0.is_some()));
        }
        let mut actions = Vec::new();
        if !info.aliases.contains_key(&self.write_alias) {
            actions.push(json!({"add": {
                "index": self.index, "alias": self.write_alias, "is_write_index": true,
            }}));
        }
        if readers.is_empty() {
            actions.push(json!({"add": {"index": self.index, "alias": self.alias}}));
        }
        change_aliases(connection, actions).await?;
        self.shards = info
            .settings
            .pointer("/index/number_of_shards")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        Ok(())
    }

    /// From now on only this opening writes: the write aliases of others are gone, and with them what was sent through them.
    pub(super) async fn fence(
        &mut self,
        connection: &Connection,
        opening: &str,
    ) -> Result<(), SinkError> {
        let Some(info) = get(connection, &self.index).await? else {
            return Ok(());
        };
        self.write_alias = write_alias(&self.index, opening);
        let prefix = format!("{}-WRITE", self.index);
        let mut actions: Vec<Value> = info
            .aliases
            .keys()
            .filter(|alias| alias.starts_with(&prefix) && **alias != self.write_alias)
            .map(|alias| json!({"remove": {"index": self.index, "alias": alias}}))
            .collect();
        actions.push(json!({"add": {
            "index": self.index, "alias": self.write_alias, "is_write_index": true,
        }}));
        change_aliases(connection, actions).await
    }

    /// The indexes that the readers' alias stands for; an error if it is not ours.
    async fn check_alias(
        &self,
        connection: &Connection,
        target: &ViewTarget,
        instance: &str,
    ) -> Result<Vec<String>, SinkError> {
        let found = list(connection, &self.alias).await?;
        for (name, info) in &found {
            if *name == self.alias {
                return Err(SinkError::Operator {
                    message: format!(
                        "view `{}`: `{}` is an index, and readers need an alias of that name",
                        target.view, self.alias
                    ),
                    hint: "set `index` for this view to a name that is free, or remove the index"
                        .to_owned(),
                });
            }
            if !info.belongs_to(instance, &target.view) {
                return Err(not_ours(name, info.owner().0.is_some()));
            }
        }
        Ok(found.into_keys().collect())
    }

    /// Points the readers' alias to this generation, and to no other.
    pub(super) async fn switch(&self, connection: &Connection) -> Result<(), SinkError> {
        let mut actions: Vec<Value> = list(connection, &self.alias)
            .await?
            .into_keys()
            .filter(|name| *name != self.index && *name != self.alias)
            .map(|name| json!({"remove": {"index": name, "alias": self.alias}}))
            .collect();
        actions.push(json!({"add": {"index": self.index, "alias": self.alias}}));
        change_aliases(connection, actions).await
    }

    /// Removes every generation that is this view's and this instance's.
    pub(super) async fn remove(
        &self,
        connection: &Connection,
        view: &str,
        instance: &str,
    ) -> Result<(), SinkError> {
        for (name, info) in list(connection, &format!("{}-g*", self.alias)).await? {
            let generation = name
                .strip_prefix(&format!("{}-g", self.alias))
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if generation && info.belongs_to(instance, view) {
                connection
                    .json(Method::Delete, &format!("/{}", encode(&name)), None)
                    .await?;
            }
        }
        Ok(())
    }
}

fn write_alias(index: &str, opening: &str) -> String {
    format!("{index}-WRITE-{opening}")
}

async fn change_aliases(connection: &Connection, actions: Vec<Value>) -> Result<(), SinkError> {
    if actions.is_empty() {
        return Ok(());
    }
    let body = json!({ "actions": actions });
    match connection
        .json(Method::Post, "/_aliases", Some(&body))
        .await?
    {
        Some(_) => Ok(()),
        None => Err(SinkError::Lost("an index is gone".to_owned())),
    }
}

/// The index of exactly this name.
async fn get(connection: &Connection, index: &str) -> Result<Option<IndexInfo>, SinkError> {
    Ok(list(connection, index).await?.remove(index))
}

/// The indexes that a name, an alias or a pattern stands for.
async fn list(
    connection: &Connection,
    expression: &str,
) -> Result<BTreeMap<String, IndexInfo>, SinkError> {
    let path = format!("/{}?expand_wildcards=all", encode(expression));
    match connection.json(Method::Get, &path, None).await? {
        Some(answer) => answer.parse(),
        None => Ok(BTreeMap::new()),
    }
}

fn not_ours(index: &str, readside: bool) -> SinkError {
    let message = if readside {
        format!("index `{index}` belongs to another readside, or to another view")
    } else {
        format!("index `{index}` is not readside's")
    };
    SinkError::Operator {
        message,
        hint: "set `index` for this view to a name that is free, or remove that index".to_owned(),
    }
}

/// A name as part of a path.
pub(super) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*') {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write;
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

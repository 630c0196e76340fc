//! The one publication that readside reads.
//!
//! Always: an explicit list of tables, no filters, no column lists, every operation, partitions as themselves. No table is
//! added whose updates would fail for it, and that is looked at again under the lock before anything is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio_postgres::Client;

use crate::SourceError;
use crate::catalog::server_version;
use crate::identity::{IdentityProblem, RelationIdentity, identities, leaves};
use crate::quote::{identifier, literal, qualified};

/// How long a change of the publication may wait for the application's locks.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a publication looks like in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// `pg_publication.oid`: another one means that it was dropped and made anew.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Whether this connection's role may alter it.
    pub owned: bool,
    /// FOR ALL TABLES.
    pub all_tables: bool,
    /// Schemas whose tables are published as a whole.
    pub schemas: Vec<String>,
    /// `publish`: insert, update, delete, truncate.
    pub operations: [bool; 4],
    /// `publish_via_partition_root`
    pub via_root: bool,
    /// Tables listed one by one.
    pub tables: BTreeMap<u32, PublishedTable>,
    /// Every table whose changes come through it, partitions as themselves (`pg_publication_tables`).
    pub effective: BTreeSet<u32>,
}

/// A table in a publication's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    /// Schema and name, quoted for SQL.
    pub name: String,
    /// It has a row filter.
    pub filtered: bool,
    /// It has a column list.
    pub column_list: bool,
}

/// What [`ensure_publication`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicationOutcome {
    /// It was as it should be.
    Unchanged,
    /// It was made.
    Created,
    /// Tables were added or removed, or options set right.
    Altered,
}

/// Why the publication is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicationError {
    /// Publishing these tables would make the application's updates fail.
    #[error("publication `{publication}` may not have every table: {}\n  hint: updates and deletes would fail in the application; give each a primary key first", list(.tables))]
    Identity {
        /// The publication.
        publication: String,
        /// The tables, and what is wrong with each.
        tables: Vec<(String, IdentityProblem)>,
    },
    /// These are not there, or are not tables.
    #[error("publication `{publication}` cannot have {}", .tables.join(", "))]
    NotTables {
        /// The publication.
        publication: String,
        /// What they are.
        tables: Vec<String>,
    },
    /// Somebody else has to do it.
    #[error(
        "this role may not set up publication `{publication}`\n  hint: have the tables' owner run: {sql}"
    )]
    NotAllowed {
        /// The publication.
        publication: String,
        /// What the owner of the tables (or a superuser) runs.
        sql: String,
    },
    /// Anything else.
    #[error(transparent)]
    Source(#[from] SourceError),
}

fn list(tables: &[(String, IdentityProblem)]) -> String {
    struct One<'a>(&'a (String, IdentityProblem));
    impl fmt::Display for One<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "`{}`: {}", self.0.0, self.0.1)
        }
    }
    tables
        .iter()
        .map(|table| One(table).to_string())
        .collect::<Vec<_>>()
        .join("; ")
}

impl From<tokio_postgres::Error> for PublicationError {
    fn from(error: tokio_postgres::Error) -> PublicationError {
        PublicationError::Source(error.into())
    }
}

/// What the publication looks like now; `None` if there is none.
///
/// # Errors
/// When the connection breaks.
pub async fn publication(client: &Client, name: &str) -> Result<Option<Publication>, SourceError> {
    let row = client
        .query_opt(
            "SELECT p.oid, pg_catalog.pg_has_role(p.pubowner, 'USAGE'), p.puballtables, p.pubinsert, p.pubupdate,
                    p.pubdelete, p.pubtruncate, p.pubviaroot
             FROM pg_catalog.pg_publication p WHERE p.pubname = $1",
            &[&name],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let oid: u32 = row.try_get(0)?;
    let version = server_version(client).await?;
    let mut tables = BTreeMap::new();
    // Row filters and column lists came with 15; read by way of JSON.
    for row in client
        .query(
            "SELECT r.prrelid, n.nspname::text, c.relname::text,
                    (to_jsonb(r) ->> 'prqual') IS NOT NULL, (to_jsonb(r) ->> 'prattrs') IS NOT NULL
             FROM pg_catalog.pg_publication_rel r
             JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE r.prpubid = $1",
            &[&oid],
        )
        .await?
    {
        let (schema, table): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        tables.insert(
            row.try_get(0)?,
            PublishedTable {
                name: qualified(&schema, &table),
                filtered: row.try_get(3)?,
                column_list: row.try_get(4)?,
            },
        );
    }
    let mut schemas = Vec::new();
    if version >= 150_000 {
        for row in client
            .query(
                "SELECT n.nspname::text FROM pg_catalog.pg_publication_namespace p
                 JOIN pg_catalog.pg_namespace n ON n.oid = p.pnnspid WHERE p.pnpubid = $1 ORDER BY 1",
                &[&oid],
            )
            .await?
        {
            schemas.push(row.try_get(0)?);
        }
    }
    let mut effective = BTreeSet::new();
    for row in client
        .query(
            "SELECT c.oid FROM pg_catalog.pg_publication_tables t
             JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
             WHERE t.pubname = $1",
            &[&name],
        )
        .await?
    {
        effective.insert(row.try_get(0)?);
    }
    Ok(Some(Publication {
        oid,
        name: name.to_owned(),
        owned: row.try_get(1)?,
        all_tables: row.try_get(2)?,
        operations: [
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
        ],
        via_root: row.try_get(7)?,
        schemas,
        tables,
        effective,
    }))
}

impl Publication {
    /// What is wrong with it for reading these relations (leaves for partitioned tables), in words; empty if nothing.
    #[must_use]
    pub fn faults(&self, needed: &BTreeMap<u32, String>) -> Vec<String> {
        let mut faults = Vec::new();
        let names = ["insert", "update", "delete", "truncate"];
        let missing: Vec<&str> = names
            .iter()
            .zip(self.operations)
            .filter(|(_, published)| !published)
            .map(|(name, _)| *name)
            .collect();
        if !missing.is_empty() {
            faults.push(format!("it does not publish {}", missing.join(", ")));
        }
        if self.via_root {
            faults.push(
                "publish_via_partition_root is on, which hides TRUNCATE of a partition".to_owned(),
            );
        }
        for table in self.tables.values() {
            if table.filtered {
                faults.push(format!("`{}` has a row filter", table.name));
            }
            if table.column_list {
                faults.push(format!("`{}` has a column list", table.name));
            }
        }
        for (oid, name) in needed {
            if !self.effective.contains(oid) {
                faults.push(format!("`{name}` is not in it"));
            }
        }
        faults
    }
}

/// The SQL that makes the publication as it should be, whoever runs it.
#[must_use]
pub fn publication_sql(name: &str, tables: &[String]) -> String {
    format!(
        "CREATE PUBLICATION {}{} WITH (publish_via_partition_root = false);",
        identifier(name),
        for_tables(tables)
    )
}

fn for_tables<S: AsRef<str>>(tables: &[S]) -> String {
    if tables.is_empty() {
        return String::new();
    }
    // ONLY, so that children by old-style inheritance don't come along.
    let tables: Vec<String> = tables
        .iter()
        .map(|table| format!("ONLY {}", table.as_ref()))
        .collect();
    format!(" FOR TABLE {}", tables.join(", "))
}

/// Makes the publication list exactly these tables (roots for partitioned ones), if it is ours; otherwise checks that it
/// can be read. Waits for the application's locks at most five seconds.
///
/// A slot must be made after this has returned, never before.
///
/// # Errors
/// [`PublicationError::Identity`] before anything is touched; [`PublicationError::NotAllowed`] with the SQL for the owner.
pub async fn ensure_publication(
    client: &Client,
    name: &str,
    tables: &[u32],
) -> Result<PublicationOutcome, PublicationError> {
    let version = server_version(client).await?;
    let wanted = look_up(client, name, tables, version).await?;
    let existing = publication(client, name).await?;
    let statements = plan(existing.as_ref(), name, &wanted.roots);
    if let Some(existing) = &existing
        && statements.is_empty()
        && existing.faults(&wanted.relations).is_empty()
    {
        return Ok(PublicationOutcome::Unchanged);
    }
    // Somebody else's publication will do if it shows what we need.
    if let Some(existing) = existing.as_ref().filter(|p| !p.owned)
        && existing.faults(&wanted.relations).is_empty()
    {
        return Ok(PublicationOutcome::Unchanged);
    }
    let allowed = match &existing {
        Some(existing) => existing.owned,
        None => may_create(client).await?,
    };
    let added: Vec<u32> = wanted
        .roots
        .keys()
        .filter(|oid| {
            existing
                .as_ref()
                .is_none_or(|p| !p.tables.contains_key(*oid))
        })
        .copied()
        .collect();
    if !allowed || !owns(client, &added).await? {
        return Err(PublicationError::NotAllowed {
            publication: name.to_owned(),
            sql: statements.join(" "),
        });
    }
    client.batch_execute("BEGIN").await?;
    let changed = change(client, name, tables, version, &statements).await;
    let end = if changed.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    client.batch_execute(end).await?;
    changed?;
    Ok(match existing {
        None => PublicationOutcome::Created,
        Some(_) => PublicationOutcome::Altered,
    })
}

async fn change(
    client: &Client,
    name: &str,
    tables: &[u32],
    version: u32,
    statements: &[String],
) -> Result<(), PublicationError> {
    client
        .batch_execute(&format!(
            "SET LOCAL lock_timeout = {}",
            LOCK_WAIT_MAX.as_millis()
        ))
        .await?;
    for statement in statements {
        client.batch_execute(statement).await?;
    }
    // The tables are locked against ALTER TABLE now: what is true here is true at the commit.
    look_up(client, name, tables, version).await?;
    Ok(())
}

struct Wanted {
    /// Root or plain table → its SQL name.
    roots: BTreeMap<u32, String>,
    /// Leaf or plain table → its SQL name.
    relations: BTreeMap<u32, String>,
}

/// Finds the tables and their leaves, and refuses those that cannot be published.
async fn look_up(
    client: &Client,
    publication: &str,
    tables: &[u32],
    version: u32,
) -> Result<Wanted, PublicationError> {
    let leaves = leaves(client, tables).await?;
    let mut oids = tables.to_vec();
    oids.extend(leaves.keys());
    let found: BTreeMap<u32, RelationIdentity> = identities(client, &oids, version).await?;
    let kinds = client
        .query(
            "SELECT oid, oid::regclass::text, relkind::text, relpersistence::text, relhassubclass
             FROM pg_catalog.pg_class WHERE oid = ANY($1)",
            &[&oids],
        )
        .await?;
    let mut unfit: Vec<String> = tables
        .iter()
        .filter(|oid| !found.contains_key(*oid))
        .map(|oid| format!("the table with oid {oid}, which is gone"))
        .collect();
    let mut roots_partitioned = BTreeSet::new();
    for row in kinds {
        let oid: u32 = row.try_get(0)?;
        let name: String = row.try_get(1)?;
        let (kind, persistence): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let what = match (kind.as_str(), persistence.as_str()) {
            ("r" | "p", "p") => {
                if kind == "p" {
                    roots_partitioned.insert(oid);
                }
                continue;
            }
            ("r" | "p", "u") => "an unlogged table",
            ("r" | "p", _) => "a temporary table",
            ("f", _) => "a foreign table",
            ("v", _) => "a view",
            ("m", _) => "a materialized view",
            _ => "not a table",
        };
        unfit.push(format!("`{name}`, {what}"));
    }
    if !unfit.is_empty() {
        return Err(PublicationError::NotTables {
            publication: publication.to_owned(),
            tables: unfit,
        });
    }
    let bad: Vec<(String, IdentityProblem)> = found
        .values()
        .filter_map(|identity| {
            let problem = *identity.usable.as_ref().err()?;
            Some((identity.name.clone(), problem))
        })
        .collect();
    if !bad.is_empty() {
        return Err(PublicationError::Identity {
            publication: publication.to_owned(),
            tables: bad,
        });
    }
    let name_of = |oid: &u32| found.get(oid).map(|i| (*oid, i.name.clone()));
    Ok(Wanted {
        roots: tables.iter().filter_map(name_of).collect(),
        relations: oids
            .iter()
            .filter(|oid| !roots_partitioned.contains(oid))
            .filter_map(name_of)
            .collect(),
    })
}

/// The statements that lead from what there is to what is wanted.
pub(crate) fn plan(
    existing: Option<&Publication>,
    name: &str,
    wanted: &BTreeMap<u32, String>,
) -> Vec<String> {
    let quoted = identifier(name);
    let Some(existing) = existing else {
        let tables: Vec<String> = wanted.values().cloned().collect();
        return vec![publication_sql(name, &tables)];
    };
    let mut statements = Vec::new();
    if existing.all_tables {
        // Cannot be altered into a list. DROP and CREATE in one transaction leave no gap in the stream.
        let tables: Vec<String> = wanted.values().cloned().collect();
        return vec![
            format!("DROP PUBLICATION {quoted};"),
            publication_sql(name, &tables),
        ];
    }
    if existing.via_root || existing.operations != [true; 4] {
        statements.push(format!(
            "ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false);"
        ));
    }
    let restricted = |table: &PublishedTable| table.filtered || table.column_list;
    let removed: Vec<&str> = existing
        .tables
        .iter()
        .filter(|(oid, table)| !wanted.contains_key(oid) || restricted(table))
        .map(|(_, table)| table.name.as_str())
        .collect();
    let added: Vec<&str> = wanted
        .iter()
        .filter(|(oid, _)| existing.tables.get(*oid).is_none_or(restricted))
        .map(|(_, name)| name.as_str())
        .collect();
    if !removed.is_empty() {
        let removed: Vec<String> = removed
            .iter()
            .map(|table| format!("ONLY {table}"))
            .collect();
        statements.push(format!(
            "ALTER PUBLICATION {quoted} DROP TABLE {};",
            removed.join(", ")
        ));
    }
    if !existing.schemas.is_empty() {
        let schemas: Vec<String> = existing.schemas.iter().map(|s| identifier(s)).collect();
        statements.push(format!(
            "ALTER PUBLICATION {quoted} DROP TABLES IN SCHEMA {};",
            schemas.join(", ")
        ));
    }
    if !added.is_empty() {
        let added: Vec<String> = added.iter().map(|table| format!("ONLY {table}")).collect();
        statements.push(format!(
            "ALTER PUBLICATION {quoted} ADD TABLE {};",
            added.join(", ")
        ));
    }
    statements
}

/// What a look at the publication finds while the stream runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicationState {
    /// As it was.
    Intact,
    /// It is gone, or another one has its name. Changes may have passed unsent, and from 18 on the server does not say so:
    /// what was missed cannot be had again.
    Replaced,
    /// It is the same one, but does not show all that is needed any more: changes are being missed now.
    Incomplete {
        /// What is wrong, in words.
        faults: Vec<String>,
    },
}

/// Compares the publication with what it was when the stream began: its oid, and the relations (leaves for partitioned
/// tables) whose changes must come through it.
///
/// # Errors
/// When the connection breaks.
pub async fn publication_state(
    client: &Client,
    name: &str,
    oid: u32,
    relations: &BTreeMap<u32, String>,
) -> Result<PublicationState, SourceError> {
    match publication(client, name).await? {
        Some(found) if found.oid == oid => {
            let faults = found.faults(relations);
            Ok(if faults.is_empty() {
                PublicationState::Intact
            } else {
                PublicationState::Incomplete { faults }
            })
        }
        Some(_) | None => Ok(PublicationState::Replaced),
    }
}

/// The tables (or leaves below them) whose identity is of no use now: published, their updates fail in the application. To be
/// asked periodically, since a key can be dropped at any time; then [`withdraw_tables`].
///
/// # Errors
/// When the connection breaks.
pub async fn broken_identities(
    client: &Client,
    tables: &[u32],
) -> Result<Vec<RelationIdentity>, SourceError> {
    let version = server_version(client).await?;
    let leaves = leaves(client, tables).await?;
    let mut oids = tables.to_vec();
    oids.extend(leaves.keys());
    let found = identities(client, &oids, version).await?;
    Ok(found
        .into_values()
        .filter(|identity| identity.usable.is_err())
        .collect())
}

/// Takes tables out of a publication of ours, because publishing them has begun to break the application.
///
/// # Errors
/// [`PublicationError::NotAllowed`] with the SQL when it is somebody else's.
pub async fn withdraw_tables(
    client: &Client,
    name: &str,
    tables: &[u32],
) -> Result<PublicationOutcome, PublicationError> {
    let Some(existing) = publication(client, name).await? else {
        return Ok(PublicationOutcome::Unchanged);
    };
    let names: Vec<String> = existing
        .tables
        .iter()
        .filter(|(oid, _)| tables.contains(oid))
        .map(|(_, table)| format!("ONLY {}", table.name))
        .collect();
    if names.is_empty() {
        return Ok(PublicationOutcome::Unchanged);
    }
    let sql = format!(
        "ALTER PUBLICATION {} DROP TABLE {};",
        identifier(name),
        names.join(", ")
    );
    if !existing.owned {
        return Err(PublicationError::NotAllowed {
            publication: name.to_owned(),
            sql,
        });
    }
    client
        .batch_execute(&format!(
            "BEGIN; SET LOCAL lock_timeout = {}; {sql} COMMIT",
            LOCK_WAIT_MAX.as_millis()
        ))
        .await?;
    Ok(PublicationOutcome::Altered)
}

/// Removes everything that readside made on the source: the slot first, then the publication if it is ours.
///
/// # Errors
/// [`SourceError::SlotBusy`] while the slot is in use; nothing is removed then.
pub async fn drop_publication_and_slot(
    client: &Client,
    name: &str,
    slot: &str,
) -> Result<(), PublicationError> {
    let row = client
        .query_opt(
            "SELECT active, active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
            &[&slot],
        )
        .await?;
    if let Some(row) = row {
        let busy = |pid| SourceError::SlotBusy {
            slot: slot.to_owned(),
            pid,
        };
        if row.try_get(0)? {
            return Err(busy(row.try_get(1)?).into());
        }
        let sql = format!("SELECT pg_drop_replication_slot({})", literal(slot));
        if let Err(error) = client.batch_execute(&sql).await {
            match error.code().map(tokio_postgres::error::SqlState::code) {
                Some("55006") => return Err(busy(None).into()),
                Some("42704") => {}
                _ => return Err(error.into()),
            }
        }
    }
    match publication(client, name).await? {
        Some(existing) if existing.owned => {
            client
                .batch_execute(&format!("DROP PUBLICATION IF EXISTS {}", identifier(name)))
                .await?;
        }
        Some(_) => {
            return Err(PublicationError::NotAllowed {
                publication: name.to_owned(),
                sql: format!("DROP PUBLICATION {};", identifier(name)),
            });
        }
        None => {}
    }
    Ok(())
}

pub(crate) async fn may_create(client: &Client) -> Result<bool, SourceError> {
    Ok(client
        .query_one(
            "SELECT pg_catalog.has_database_privilege(current_database(), 'CREATE')",
            &[],
        )
        .await?
        .try_get(0)?)
}

/// Whether this role may put all these tables into a publication.
pub(crate) async fn owns(client: &Client, tables: &[u32]) -> Result<bool, SourceError> {
    Ok(client
        .query_one(
            "SELECT COALESCE(bool_and(pg_catalog.pg_has_role(relowner, 'USAGE')), true)
             FROM pg_catalog.pg_class WHERE oid = ANY($1)",
            &[&tables],
        )
        .await?
        .try_get(0)?)
}

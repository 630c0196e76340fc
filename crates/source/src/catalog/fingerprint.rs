//! What shows that a table is no longer what it was.
//!
//! DDL sends nothing through the stream, and rewritten rows least of all. What it leaves are a new `relfilenode` and new
//! `xmin`s in `pg_attribute`; the two together say whether a table has to be copied again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::SourceError;

/// A column's traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeFingerprint {
    /// `attnum`
    pub attnum: i16,
    /// Name.
    pub name: String,
    /// `atttypid`
    pub type_oid: u32,
    /// `atttypmod`
    pub typmod: i32,
    /// The transaction that last changed the column's description.
    pub xmin: u32,
    /// What rows that were written before the column existed have in it (`attmissingval`), as text.
    pub missing: Option<String>,
}

/// A table's traces. Compare with [`TableFingerprint::change`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFingerprint {
    /// `pg_class.oid`
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `pg_class.relfilenode`; 0 for a partitioned table.
    pub relfilenode: u32,
    /// Live columns by attnum.
    pub attributes: Vec<AttributeFingerprint>,
    /// For a partitioned table, its leaves.
    pub leaves: Vec<u32>,
}

/// What happened between two fingerprints of one oid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableChange {
    /// Nothing that rows could show. A new file alone is VACUUM FULL, CLUSTER, or TRUNCATE, which the stream sends.
    None,
    /// Other names, same columns, same rows.
    Renamed,
    /// Columns were added, dropped or altered and no row was rewritten: unless the missing values say all, copy again.
    Columns,
    /// Columns changed and the rows were rewritten: what we have of them is not what they are.
    Rewritten,
    /// Partitions came or went.
    Partitions,
}

impl TableFingerprint {
    /// What happened from `self` to `later`.
    #[must_use]
    pub fn change(&self, later: &TableFingerprint) -> TableChange {
        if self.attributes != later.attributes {
            // ALTER COLUMN … RENAME changes xmin and name alone; still treated as a change of columns, since views name them.
            return if self.relfilenode == later.relfilenode {
                TableChange::Columns
            } else {
                TableChange::Rewritten
            };
        }
        if self.leaves != later.leaves {
            return TableChange::Partitions;
        }
        if (&self.schema, &self.name) != (&later.schema, &later.name) {
            return TableChange::Renamed;
        }
        TableChange::None
    }

    /// Whether a copy that was taken between the two is a copy of one and the same table. Stricter than
    /// [`TableFingerprint::change`]: any new file makes it doubtful.
    #[must_use]
    pub fn copy_is_sound(&self, later: &TableFingerprint) -> bool {
        self == later
    }
}

/// The fingerprints of these tables as they are now; those that are gone are left out.
///
/// Take it on a connection that is not inside a transaction with an old snapshot.
///
/// # Errors
/// When the connection breaks.
pub async fn table_fingerprints(
    client: &Client,
    oids: &[u32],
) -> Result<BTreeMap<u32, TableFingerprint>, SourceError> {
    let mut found = BTreeMap::new();
    let rows = client
        .query(
            "SELECT c.oid, n.nspname::text, c.relname::text, c.relfilenode,
                    ARRAY(WITH RECURSIVE below(oid) AS (
                            SELECT i.inhrelid FROM pg_catalog.pg_inherits i
                            WHERE i.inhparent = c.oid AND c.relkind = 'p' AND NOT i.inhdetachpending
                            UNION ALL
                            SELECT i.inhrelid FROM below b
                            JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid AND NOT i.inhdetachpending)
                          SELECT b.oid FROM below b JOIN pg_catalog.pg_class l ON l.oid = b.oid
                          WHERE l.relkind <> 'p' ORDER BY 1)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = ANY($1)",
            &[&oids],
        )
        .await?;
    for row in rows {
        let oid: u32 = row.try_get(0)?;
        found.insert(
            oid,
            TableFingerprint {
                oid,
                schema: row.try_get(1)?,
                name: row.try_get(2)?,
                relfilenode: row.try_get(3)?,
                attributes: Vec::new(),
                leaves: row.try_get(4)?,
            },
        );
    }
    let rows = client
        .query(
            "SELECT attrelid, attnum, attname::text, atttypid, atttypmod, xmin::text::int8, attmissingval::text
             FROM pg_catalog.pg_attribute
             WHERE attrelid = ANY($1) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum",
            &[&oids],
        )
        .await?;
    for row in rows {
        let oid: u32 = row.try_get(0)?;
        let xmin: i64 = row.try_get(5)?;
        if let Some(table) = found.get_mut(&oid) {
            table.attributes.push(AttributeFingerprint {
                attnum: row.try_get(1)?,
                name: row.try_get(2)?,
                type_oid: row.try_get(3)?,
                typmod: row.try_get(4)?,
                xmin: u32::try_from(xmin).unwrap_or(0),
                missing: row.try_get(6)?,
            });
        }
    }
    Ok(found)
}

/// The labels of every enum type in order: renaming one changes stored rows' text and sends nothing.
///
/// # Errors
/// When the connection breaks.
pub async fn enum_labels(client: &Client) -> Result<BTreeMap<u32, Vec<String>>, SourceError> {
    let mut labels: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for row in client
        .query(
            "SELECT enumtypid, enumlabel::text FROM pg_catalog.pg_enum ORDER BY enumtypid, enumsortorder",
            &[],
        )
        .await?
    {
        labels
            .entry(row.try_get(0)?)
            .or_default()
            .push(row.try_get(1)?);
    }
    Ok(labels)
}

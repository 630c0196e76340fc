//! By what the stream will name a table's rows, and whether publishing the table would break the application.
//!
//! The rules are those by which Postgres itself decides, in `RelationGetIndexList` and `CheckCmdReplicaIdentity`, and a
//! little stricter where a later, innocent change of the application would make them fail.

use std::collections::BTreeMap;
use std::fmt;

use readside_model::ReplicaIdentity;
use tokio_postgres::Client;

use crate::SourceError;
use crate::quote::qualified;

/// Why a table's identity is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityProblem {
    /// DEFAULT, and no primary key.
    NoPrimaryKey,
    /// DEFAULT, and the primary key is DEFERRABLE.
    DeferrablePrimaryKey,
    /// NOTHING.
    Nothing,
    /// USING INDEX, and that index is gone or not usable.
    IndexGone,
    /// The identity has a generated column, which the stream does not carry.
    GeneratedColumn,
    /// FULL, and there is a generated column: Postgres 18 refuses updates of such a table.
    FullWithGenerated,
    /// A partitioned table without a primary key: a partition that is made later would have none either.
    PartitionedWithoutPrimaryKey,
}

impl IdentityProblem {
    /// SQL for the table's owner, where there is one obvious statement.
    #[must_use]
    pub fn remedy_sql(self, table: &str) -> String {
        match self {
            IdentityProblem::NoPrimaryKey | IdentityProblem::PartitionedWithoutPrimaryKey => {
                format!("ALTER TABLE {table} ADD PRIMARY KEY (/* its key columns */);")
            }
            IdentityProblem::DeferrablePrimaryKey => format!(
                "ALTER TABLE {table} REPLICA IDENTITY USING INDEX /* a unique index, not deferrable, on NOT NULL columns */;"
            ),
            IdentityProblem::Nothing | IdentityProblem::IndexGone => {
                format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT; -- needs a primary key")
            }
            IdentityProblem::GeneratedColumn => format!(
                "ALTER TABLE {table} REPLICA IDENTITY USING INDEX /* a unique index on columns that are not generated */;"
            ),
            IdentityProblem::FullWithGenerated => {
                format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT; -- needs a primary key")
            }
        }
    }
}

impl fmt::Display for IdentityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdentityProblem::NoPrimaryKey => "it has no primary key",
            IdentityProblem::DeferrablePrimaryKey => "its primary key is deferrable",
            IdentityProblem::Nothing => "its replica identity is NOTHING",
            IdentityProblem::IndexGone => "the index of its replica identity is gone or not valid",
            IdentityProblem::GeneratedColumn => "its replica identity has a generated column",
            IdentityProblem::FullWithGenerated => {
                "its replica identity is FULL and it has a generated column"
            }
            IdentityProblem::PartitionedWithoutPrimaryKey => {
                "it is partitioned and has no primary key, so that a new partition would have none"
            }
        })
    }
}

/// One relation's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationIdentity {
    /// `pg_class.oid`
    pub oid: u32,
    /// Schema and name, quoted for SQL.
    pub name: String,
    /// `pg_class.relreplident`
    pub setting: char,
    /// What it amounts to, and the attnums of the columns that name a row (none under FULL without a key).
    pub usable: Result<(ReplicaIdentity, Vec<i16>), IdentityProblem>,
}

/// The identities of these relations; those that do not exist are left out. Partitions are looked at one by one: ask for
/// the leaves too.
pub(crate) async fn identities(
    client: &Client,
    oids: &[u32],
    server_version: u32,
) -> Result<BTreeMap<u32, RelationIdentity>, SourceError> {
    let rows = client
        .query(
            "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text,
                    EXISTS (SELECT FROM pg_catalog.pg_attribute a
                            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''),
                    p.indkey::int2[], p.indnkeyatts, p.indimmediate, p.indisvalid AND p.indislive,
                    r.indkey::int2[], r.indnkeyatts,
                    r.indimmediate AND r.indisvalid AND r.indislive AND r.indisunique AND r.indpred IS NULL,
                    u.indkey::int2[], u.indnkeyatts,
                    ARRAY(SELECT a.attnum FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated <> '')
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_catalog.pg_index p ON p.indrelid = c.oid AND p.indisprimary
             LEFT JOIN pg_catalog.pg_index r ON r.indrelid = c.oid AND r.indisreplident
             LEFT JOIN LATERAL (
                SELECT i.indkey, i.indnkeyatts FROM pg_catalog.pg_index i
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indislive
                  AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion
                  AND NOT EXISTS (
                    SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k(attnum)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                    WHERE NOT a.attnotnull)
                ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) u ON true
             WHERE c.oid = ANY($1)",
            &[&oids],
        )
        .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let oid: u32 = row.try_get(0)?;
        let (schema, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let kind: String = row.try_get(3)?;
        let setting: String = row.try_get(4)?;
        let setting = setting.chars().next().unwrap_or('d');
        let any_generated: bool = row.try_get(5)?;
        let primary = key(row.try_get(6)?, row.try_get(7)?);
        let primary_immediate: Option<bool> = row.try_get(8)?;
        let primary_valid: Option<bool> = row.try_get(9)?;
        let index = key(row.try_get(10)?, row.try_get(11)?);
        let index_usable: Option<bool> = row.try_get(12)?;
        let unique = key(row.try_get(13)?, row.try_get(14)?);
        let generated: Vec<i16> = row.try_get(15)?;

        let primary = match (primary, primary_valid, primary_immediate) {
            (Some(key), Some(true), Some(true)) => Ok(key),
            (Some(_), Some(true), _) => Err(IdentityProblem::DeferrablePrimaryKey),
            _ => Err(IdentityProblem::NoPrimaryKey),
        };
        let partitioned = kind == "p";
        let usable = match setting {
            // Postgres asks the partitions, not the root; the root's key is what later partitions get.
            _ if partitioned => match primary {
                Ok(key) => Ok((ReplicaIdentity::PrimaryKey, key)),
                Err(IdentityProblem::NoPrimaryKey) => {
                    Err(IdentityProblem::PartitionedWithoutPrimaryKey)
                }
                Err(problem) => Err(problem),
            },
            'f' if any_generated && server_version >= 180_000 => {
                Err(IdentityProblem::FullWithGenerated)
            }
            'f' => Ok((ReplicaIdentity::Full, unique.unwrap_or_default())),
            'i' => match (index, index_usable) {
                (Some(key), Some(true)) => Ok((ReplicaIdentity::Index, key)),
                _ => Err(IdentityProblem::IndexGone),
            },
            'n' => Err(IdentityProblem::Nothing),
            _ => primary.map(|key| (ReplicaIdentity::PrimaryKey, key)),
        };
        let usable = usable.and_then(|(identity, key)| {
            if key.iter().any(|attnum| generated.contains(attnum)) {
                if identity == ReplicaIdentity::Full {
                    return Ok((identity, Vec::new()));
                }
                return Err(IdentityProblem::GeneratedColumn);
            }
            Ok((identity, key))
        });
        found.insert(
            oid,
            RelationIdentity {
                oid,
                name: qualified(&schema, &name),
                setting,
                usable,
            },
        );
    }
    Ok(found)
}

/// The key columns of an index, without what INCLUDE adds.
fn key(attnums: Option<Vec<i16>>, count: Option<i16>) -> Option<Vec<i16>> {
    let mut attnums = attnums?;
    attnums.truncate(usize::try_from(count?).unwrap_or(0));
    Some(attnums)
}

/// The leaves below these relations: leaf → root. Plain tables have none. Takes no locks.
pub(crate) async fn leaves(
    client: &Client,
    roots: &[u32],
) -> Result<BTreeMap<u32, u32>, SourceError> {
    let rows = client
        .query(
            "WITH RECURSIVE below(root, oid) AS (
                SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.oid = ANY($1) AND c.relkind = 'p'
                UNION ALL
                SELECT b.root, i.inhrelid FROM below b
                JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid AND NOT i.inhdetachpending)
             SELECT b.oid, b.root FROM below b
             JOIN pg_catalog.pg_class c ON c.oid = b.oid WHERE c.relkind <> 'p'",
            &[&roots],
        )
        .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        found.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(found)
}

//! Reads the parts of the source's catalog that views are compiled against.
//!
//! In: an idle SQL connection as the role that reads the tables. Out: a [`Catalog`] of one moment.
//!
//! Always: no lock on any table that would make the application wait; system schemas are left out.

mod collation;
mod fingerprint;
mod user_types;

use std::collections::BTreeMap;

use readside_model::{
    Catalog, Column, Generated, RelationKind, ReplicaIdentity, Table, UniqueIndex,
};
use tokio_postgres::Client;

use crate::SourceError;
use crate::identity::{identities, leaves};
use collation::Collations;
pub use fingerprint::{
    AttributeFingerprint, TableChange, TableFingerprint, enum_labels, table_fingerprints,
};
use user_types::UserTypes;

/// Schemas that hold users' tables.
const USER_SCHEMA: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Reads the catalog. The connection must not be inside a transaction.
///
/// # Errors
/// When the connection breaks.
pub async fn load_catalog(client: &Client) -> Result<Catalog, SourceError> {
    // One snapshot for all queries.
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let loaded = load(client).await;
    client.batch_execute("ROLLBACK").await?;
    loaded
}

/// `server_version_num`
pub(crate) async fn server_version(client: &Client) -> Result<u32, SourceError> {
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await?
        .try_get(0)?;
    Ok(u32::try_from(version).unwrap_or(0))
}

async fn load(client: &Client) -> Result<Catalog, SourceError> {
    let server_version = server_version(client).await?;
    let search_path: Vec<String> = client
        .query_one("SELECT current_schemas(true)::text[]", &[])
        .await?
        .try_get(0)?;
    let collations = Collations::load(client).await?;
    let types = UserTypes::load(client).await?;
    let mut tables = tables(client).await?;
    columns(client, &mut tables, &collations, &types).await?;
    identity(client, &mut tables, server_version).await?;
    unique_indexes(client, &mut tables).await?;
    foreign_keys(client, &mut tables).await?;

    let mut views = BTreeMap::new();
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, pg_catalog.pg_get_viewdef(c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'v' AND {USER_SCHEMA}"
    );
    for row in client.query(&sql, &[]).await? {
        let definition: Option<String> = row.try_get(2)?;
        // Dropped while we looked.
        if let Some(definition) = definition {
            views.insert((row.try_get(0)?, row.try_get(1)?), definition);
        }
    }
    Ok(Catalog {
        server_version,
        search_path,
        default_collation_is_bytewise: collations.default.bytewise,
        default_ctype_is_c: collations.default.ctype_is_c,
        default_collation: collations.default.name.clone(),
        tables,
        views,
        types: types.named(),
    })
}

async fn tables(client: &Client) -> Result<BTreeMap<u32, Table>, SourceError> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8, c.relrowsecurity, \
           EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {USER_SCHEMA}"
    );
    let mut tables = BTreeMap::new();
    for row in client.query(&sql, &[]).await? {
        let oid: u32 = row.try_get(0)?;
        let kind: String = row.try_get(3)?;
        tables.insert(
            oid,
            Table {
                oid,
                schema: row.try_get(1)?,
                name: row.try_get(2)?,
                kind: match (kind.as_str(), row.try_get(6)?) {
                    ("p", _) => RelationKind::Partitioned,
                    (_, true) => RelationKind::Parent,
                    (_, false) => RelationKind::Table,
                },
                columns: Vec::new(),
                identity: Vec::new(),
                replica_identity: ReplicaIdentity::Missing,
                unique: Vec::new(),
                leaves: Vec::new(),
                foreign_keys: Vec::new(),
                estimated_rows: whole(row.try_get(4)?),
                row_security: row.try_get(5)?,
            },
        );
    }
    let roots: Vec<u32> = tables.keys().copied().collect();
    let leaves = leaves(client, &roots).await?;
    let leaf_oids: Vec<u32> = leaves.keys().copied().collect();
    let estimates = client
        .query(
            "SELECT oid, reltuples::float8 FROM pg_catalog.pg_class WHERE oid = ANY($1)",
            &[&leaf_oids],
        )
        .await?;
    let mut rows_of: BTreeMap<u32, f64> = BTreeMap::new();
    for row in estimates {
        rows_of.insert(row.try_get(0)?, row.try_get(1)?);
    }
    for (leaf, root) in leaves {
        if let Some(table) = tables.get_mut(&root) {
            table.leaves.push(leaf);
        }
    }
    for table in tables.values_mut().filter(|t| !t.leaves.is_empty()) {
        let known = table
            .leaves
            .iter()
            .filter_map(|leaf| rows_of.get(leaf))
            .filter(|&&rows| rows >= 0.0);
        let count = known.clone().count();
        table.estimated_rows = if count == 0 { -1 } else { whole(known.sum()) };
    }
    Ok(tables)
}

/// An estimate without its fraction.
fn whole(rows: f64) -> i64 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "an estimate; the cast saturates"
    )]
    let whole = rows as i64;
    whole
}

async fn columns(
    client: &Client,
    tables: &mut BTreeMap<u32, Table>,
    collations: &Collations,
    types: &UserTypes,
) -> Result<(), SourceError> {
    let oids: Vec<u32> = tables.keys().copied().collect();
    let rows = client
        .query(
            // On 18 `attnotnull` is set for constraints that were not validated, too.
            "SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod,
                    a.attnotnull AND NOT EXISTS (
                        SELECT FROM pg_catalog.pg_constraint k
                        WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated),
                    a.attcollation, a.attgenerated::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
             FROM pg_catalog.pg_attribute a
             LEFT JOIN pg_catalog.pg_attrdef d
                    ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
             WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attrelid, a.attnum",
            &[&oids],
        )
        .await?;
    for row in rows {
        let oid: u32 = row.try_get(0)?;
        let Some(table) = tables.get_mut(&oid) else {
            continue;
        };
        let collation = collations.get(row.try_get(6)?);
        let generated: String = row.try_get(7)?;
        let expression: Option<String> = row.try_get(8)?;
        table.columns.push(Column {
            attnum: row.try_get(1)?,
            name: row.try_get(2)?,
            ty: types.resolve(row.try_get(3)?),
            typmod: row.try_get(4)?,
            not_null: row.try_get(5)?,
            bytewise: collation.bytewise,
            ctype_is_c: collation.ctype_is_c,
            deterministic: collation.deterministic,
            collation: (!collation.is_default).then(|| collation.name.clone()),
            generated: expression.map(|expression| Generated {
                expression,
                stored: generated == "s",
            }),
        });
    }
    Ok(())
}

/// Attnums to places in `columns`; `None` if one of them is an expression or a system column.
fn places(table: &Table, attnums: &[i16]) -> Option<Vec<usize>> {
    attnums
        .iter()
        .map(|attnum| table.columns.iter().position(|c| c.attnum == *attnum))
        .collect()
}

async fn identity(
    client: &Client,
    tables: &mut BTreeMap<u32, Table>,
    server_version: u32,
) -> Result<(), SourceError> {
    let mut oids: Vec<u32> = tables.keys().copied().collect();
    oids.extend(tables.values().flat_map(|table| &table.leaves));
    let found = identities(client, &oids, server_version).await?;
    for table in tables.values_mut() {
        // A partitioned table is as good as its worst partition.
        let leaves_usable = table
            .leaves
            .iter()
            .all(|leaf| found.get(leaf).is_some_and(|i| i.usable.is_ok()));
        let own = found.get(&table.oid).and_then(|i| i.usable.as_ref().ok());
        if let (true, Some((identity, key))) = (leaves_usable, own)
            && let Some(key) = places(table, key)
        {
            table.replica_identity = *identity;
            table.identity = key;
        }
    }
    Ok(())
}

async fn unique_indexes(
    client: &Client,
    tables: &mut BTreeMap<u32, Table>,
) -> Result<(), SourceError> {
    let oids: Vec<u32> = tables.keys().copied().collect();
    let rows = client
        .query(
            "SELECT i.indrelid, c.relname::text, (i.indkey::int2[])[0:i.indnkeyatts - 1], i.indisprimary,
                    COALESCE((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), i.indimmediate
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = ANY($1) AND i.indisunique AND i.indisvalid AND i.indislive
               AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion
             ORDER BY i.indrelid, i.indisprimary DESC, c.relname",
            &[&oids],
        )
        .await?;
    for row in rows {
        let oid: u32 = row.try_get(0)?;
        let attnums: Vec<i16> = row.try_get(2)?;
        let Some(table) = tables.get_mut(&oid) else {
            continue;
        };
        if let Some(columns) = places(table, &attnums) {
            table.unique.push(UniqueIndex {
                name: row.try_get(1)?,
                columns,
                primary: row.try_get(3)?,
                nulls_not_distinct: row.try_get(4)?,
                immediate: row.try_get(5)?,
            });
        }
    }
    Ok(())
}

async fn foreign_keys(
    client: &Client,
    tables: &mut BTreeMap<u32, Table>,
) -> Result<(), SourceError> {
    let oids: Vec<u32> = tables.keys().copied().collect();
    let rows = client
        .query(
            "SELECT conrelid, conkey, confrelid, confkey FROM pg_catalog.pg_constraint
             WHERE contype = 'f' AND conparentid = 0 AND conrelid = ANY($1) AND confrelid = ANY($1)
             ORDER BY conrelid, conname",
            &[&oids],
        )
        .await?;
    for row in rows {
        let (own, other): (u32, u32) = (row.try_get(0)?, row.try_get(2)?);
        let (own_key, other_key): (Vec<i16>, Vec<i16>) = (row.try_get(1)?, row.try_get(3)?);
        let own_places = tables.get(&own).and_then(|t| places(t, &own_key));
        let other_places = tables.get(&other).and_then(|t| places(t, &other_key));
        if let (Some(from), Some(to), Some(table)) =
            (own_places, other_places, tables.get_mut(&own))
        {
            table.foreign_keys.push((from, other, to));
        }
    }
    Ok(())
}

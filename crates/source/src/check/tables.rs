//! The tables that views read.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::Findings;
use super::server::Role;
use crate::SourceError;
use crate::identity::{identities, leaves};
use crate::quote::{identifier, qualified};

pub(super) async fn tables(
    client: &Client,
    tables: &[u32],
    version: u32,
    role: &Role,
    findings: &mut Findings,
) -> Result<(), SourceError> {
    let leaves = leaves(client, tables).await?;
    let mut oids = tables.to_vec();
    oids.extend(leaves.keys());
    let identities = identities(client, &oids, version).await?;
    let rows = client
        .query(
            "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
                    pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.has_table_privilege(c.oid, 'SELECT'),
                    pg_catalog.row_security_active(c.oid),
                    EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = ANY($1) ORDER BY 2, 3",
            &[&oids],
        )
        .await?;
    let mut schemas_reported = BTreeMap::new();
    for row in rows {
        let oid: u32 = row.try_get(0)?;
        let (schema, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let (kind, persistence): (String, String) = (row.try_get(3)?, row.try_get(4)?);
        let table = qualified(&schema, &name);
        let what = format!("table `{table}`");
        let unfit = match (kind.as_str(), persistence.as_str()) {
            ("r" | "p", "p") => None,
            ("r" | "p", "u") => Some((
                "it is unlogged: its changes are not in the WAL",
                Some(format!(
                    "ALTER TABLE {table} SET LOGGED; -- rewrites it under an exclusive lock"
                )),
            )),
            ("r" | "p", _) => Some(("it is temporary: its changes are not in the WAL", None)),
            ("f", _) => Some(("it is a foreign table: its changes happen elsewhere", None)),
            ("m", _) => Some((
                "it is a materialized view: its changes are not in the stream; use its query",
                None,
            )),
            ("v", _) => Some(("it is a view; the tables below it are what is read", None)),
            _ => Some(("it is not a table", None)),
        };
        if let Some((reason, sql)) = unfit {
            findings.error(&what, reason, sql);
            if !matches!(kind.as_str(), "r" | "p") {
                continue;
            }
        }
        if kind == "r" && row.try_get(8)? {
            findings.error(
                &what,
                "other tables inherit from it, and a query on it reads them too; only partitioning is supported",
                None,
            );
        }
        let usage: bool = row.try_get(5)?;
        if !usage && schemas_reported.insert(schema.clone(), ()).is_none() {
            findings.error(
                format!("schema `{schema}`"),
                format!("role `{}` may not use it", role.name),
                Some(format!(
                    "GRANT USAGE ON SCHEMA {} TO {};",
                    identifier(&schema),
                    role.name
                )),
            );
        }
        if !row.try_get::<_, bool>(6)? {
            findings.error(
                &what,
                format!("role `{}` may not read it", role.name),
                Some(format!("GRANT SELECT ON {table} TO {};", role.name)),
            );
        }
        if row.try_get(7)? {
            findings.error(
                &what,
                "row-level security would hide rows from the copy",
                Some(format!("ALTER ROLE {} BYPASSRLS;", role.name)),
            );
        }
        if let Some(Err(problem)) = identities.get(&oid).map(|identity| &identity.usable) {
            findings.error(
                &what,
                format!("{problem}: publishing it would make its updates and deletes fail, so it is not published"),
                Some(problem.remedy_sql(&table)),
            );
        }
    }
    for oid in tables.iter().filter(|oid| !identities.contains_key(*oid)) {
        findings.error(format!("table with oid {oid}"), "it is gone", None);
    }
    Ok(())
}

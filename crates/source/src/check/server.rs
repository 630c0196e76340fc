//! The server's settings, the role, and this session.

use tokio_postgres::Client;

use super::Findings;
use crate::SourceError;
use crate::quote::{identifier, literal};
use crate::sql::SETTINGS;

/// The oldest server whose catalog and protocol are understood.
const VERSION_MIN: u32 = 140_000;

/// The role that this connection has.
#[derive(Debug)]
pub(super) struct Role {
    /// Quoted for SQL.
    pub(super) name: String,
    superuser: bool,
    replication: bool,
    /// A host's own role stands for REPLICATION.
    host_replication: Option<String>,
}

impl Role {
    pub(super) async fn load(client: &Client) -> Result<Role, SourceError> {
        let row = client
            .query_one(
                "SELECT r.rolname::text, r.rolsuper, r.rolreplication,
                        (SELECT h.rolname::text FROM pg_catalog.pg_roles h WHERE h.rolname = 'rds_replication'),
                        COALESCE((SELECT pg_catalog.pg_has_role(h.oid, 'MEMBER') FROM pg_catalog.pg_roles h
                                  WHERE h.rolname = 'rds_replication'), false)
                 FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
                &[],
            )
            .await?;
        let name: String = row.try_get(0)?;
        let member: bool = row.try_get(4)?;
        let replication: bool = row.try_get(2)?;
        Ok(Role {
            name: identifier(&name),
            superuser: row.try_get(1)?,
            replication: replication || member,
            host_replication: row.try_get(3)?,
        })
    }
}

pub(super) fn role(role: &Role, findings: &mut Findings) {
    if role.superuser {
        findings.note(
            format!("role `{}`", role.name),
            "it is a superuser; a role with LOGIN, REPLICATION and SELECT on the tables is enough",
            None,
        );
    } else if !role.replication {
        let sql = match &role.host_replication {
            Some(host) => format!("GRANT {} TO {};", identifier(host), role.name),
            None => format!("ALTER ROLE {} REPLICATION;", role.name),
        };
        findings.error(
            format!("role `{}`", role.name),
            "it lacks REPLICATION, so it can neither make a slot nor read one",
            Some(sql),
        );
    }
}

pub(super) async fn server(
    client: &Client,
    version: u32,
    slot: &str,
    findings: &mut Findings,
) -> Result<(), SourceError> {
    if version < VERSION_MIN {
        findings.error(
            "server version",
            format!("it is {version}; PostgreSQL 14 or later is needed"),
            None,
        );
    }
    let row = client
        .query_one(
            "SELECT current_setting('wal_level'), pg_is_in_recovery(),
                    current_setting('max_replication_slots')::int8,
                    (SELECT count(*) FROM pg_catalog.pg_replication_slots),
                    EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1),
                    EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active),
                    current_setting('max_wal_senders')::int8,
                    (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender'),
                    current_setting('max_slot_wal_keep_size'),
                    current_setting('idle_replication_slot_timeout', true),
                    (SELECT pg_catalog.pg_encoding_to_char(encoding)::text FROM pg_catalog.pg_database WHERE datname = current_database()),
                    current_setting('wal_sender_timeout')",
            &[&slot],
        )
        .await?;
    let wal_level: String = row.try_get(0)?;
    if wal_level != "logical" {
        findings.error(
            "wal_level",
            format!("it is `{wal_level}`, so changes cannot be decoded; a restart is needed after setting it (RDS and Aurora: rds.logical_replication = 1; Cloud SQL: cloudsql.logical_decoding = on)"),
            Some("ALTER SYSTEM SET wal_level = logical;".to_owned()),
        );
    }
    if row.try_get(1)? {
        findings.error(
            "server",
            "it is a standby: publications are made on the primary, and its own slots need 16 or later; connect to the primary",
            None,
        );
    }
    let exists: bool = row.try_get(4)?;
    let free = row.try_get::<_, i64>(2)? - row.try_get::<_, i64>(3)?;
    let needed = if exists { 1 } else { 2 };
    if free < needed {
        findings.error(
            "max_replication_slots",
            format!("{free} are free and {needed} are needed (one for loading tables, temporarily); a restart is needed after raising it"),
            Some(format!(
                "ALTER SYSTEM SET max_replication_slots = {};",
                row.try_get::<_, i64>(2)? + needed - free
            )),
        );
    }
    let active: bool = row.try_get(5)?;
    let free = row.try_get::<_, i64>(6)? - row.try_get::<_, i64>(7)?;
    let needed = if active { 1 } else { 2 };
    if free < needed {
        findings.error(
            "max_wal_senders",
            format!("{free} are free and {needed} are needed (one for loading tables, temporarily); a restart is needed after raising it"),
            Some(format!(
                "ALTER SYSTEM SET max_wal_senders = {};",
                row.try_get::<_, i64>(6)? + needed - free
            )),
        );
    }
    let keep: String = row.try_get(8)?;
    if keep == "-1" {
        findings.note(
            "max_slot_wal_keep_size",
            "there is no limit: while readside is down the server keeps all WAL since, until its disk is full; drop the slot if readside is not to come back",
            Some(format!("SELECT pg_drop_replication_slot({}); -- only to give readside up", literal(slot))),
        );
    } else {
        findings.warning(
            "max_slot_wal_keep_size",
            format!("it is {keep}: when readside is down for longer than it takes to write that much, the slot is lost and every table is copied and compared again"),
            None,
        );
    }
    let idle: Option<String> = row.try_get(9)?;
    if let Some(idle) = idle.filter(|idle| idle != "0") {
        findings.warning(
            "idle_replication_slot_timeout",
            format!("it is {idle}: when readside is down for longer, the slot is lost and every table is copied and compared again"),
            None,
        );
    }
    let encoding: String = row.try_get(10)?;
    if encoding == "SQL_ASCII" {
        findings.warning(
            "encoding",
            "the database is SQL_ASCII: texts that are not UTF-8 can be in it, and no document can hold them",
            None,
        );
    }
    let timeout: String = row.try_get(11)?;
    if timeout == "0" {
        findings.note(
            "wal_sender_timeout",
            "it is 0, so the server never asks whether readside still lives; a connection that was cut silently holds the slot until TCP notices",
            None,
        );
    }
    Ok(())
}

/// Whether the start-up settings arrived: some poolers drop them, and with them the certainty of what values look like.
pub(super) async fn session(client: &Client, findings: &mut Findings) -> Result<(), SourceError> {
    let mut wrong = Vec::new();
    for (name, wanted) in SETTINGS {
        let found: Option<String> = client
            .query_one("SELECT current_setting($1, true)", &[name])
            .await?
            .try_get(0)?;
        let found = found.unwrap_or_default();
        let same = match *name {
            "DateStyle" => found.starts_with("ISO"),
            _ => found.eq_ignore_ascii_case(wanted),
        };
        if !same {
            wrong.push(format!("{name} is `{found}` instead of `{wanted}`"));
        }
    }
    if !wrong.is_empty() {
        findings.error(
            "session settings",
            format!(
                "they did not arrive ({}): the connection seems to go through a pooler; connect to the server itself",
                wrong.join(", ")
            ),
            None,
        );
    }
    Ok(())
}

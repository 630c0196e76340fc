//! The publication, what else is in it, and the slot.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::Findings;
use super::server::Role;
use crate::SourceError;
use crate::identity::{identities, leaves};
use crate::publication::{may_create, owns, plan, publication as load};
use crate::quote::identifier;
use crate::slot::{WalStatus, slot_status};

pub(super) async fn publication(
    client: &Client,
    tables: &[u32],
    version: u32,
    name: &str,
    role: &Role,
    findings: &mut Findings,
) -> Result<(), SourceError> {
    let what = format!("publication `{name}`");
    let leaves = leaves(client, tables).await?;
    let mut oids = tables.to_vec();
    oids.extend(leaves.keys());
    let identities_needed = identities(client, &oids, version).await?;
    // What cannot be published is reported with the tables; it is not part of any SQL here.
    let bad_root = |root: &u32| {
        leaves.iter().any(|(leaf, of)| {
            of == root
                && identities_needed
                    .get(leaf)
                    .is_some_and(|i| i.usable.is_err())
        })
    };
    let wanted: BTreeMap<u32, String> = identities_needed
        .iter()
        .filter(|(oid, identity)| tables.contains(oid) && identity.usable.is_ok() && !bad_root(oid))
        .map(|(oid, identity)| (*oid, identity.name.clone()))
        .collect();
    let rooted: Vec<u32> = leaves.values().copied().collect();
    let relations: BTreeMap<u32, String> = identities_needed
        .iter()
        .filter(|(oid, identity)| {
            identity.usable.is_ok()
                && !rooted.contains(oid)
                && wanted.contains_key(leaves.get(oid).unwrap_or(oid))
        })
        .map(|(oid, identity)| (*oid, identity.name.clone()))
        .collect();

    let existing = load(client, name).await?;
    let statements = plan(existing.as_ref(), name, &wanted);
    let added: Vec<u32> = wanted
        .keys()
        .filter(|oid| {
            existing
                .as_ref()
                .is_none_or(|p| !p.tables.contains_key(*oid))
        })
        .copied()
        .collect();
    let ownership = owns(client, &added).await?;
    let Some(existing) = existing else {
        if may_create(client).await? && ownership {
            findings.note(what, "it does not exist yet and will be created", None);
        } else {
            findings.error(
                what,
                format!("it does not exist, and role `{}` may not create it (that takes CREATE on the database and ownership of every table)", role.name),
                Some(statements.join(" ")),
            );
        }
        return Ok(());
    };
    let faults = existing.faults(&relations);
    if !faults.is_empty() {
        let reason = faults.join("; ");
        if existing.owned && ownership {
            findings.note(&what, format!("{reason}; this will be set right"), None);
        } else {
            findings.error(&what, reason, Some(statements.join(" ")));
        }
    }
    if existing.all_tables || !existing.schemas.is_empty() {
        findings.warning(
            &what,
            "it takes in tables that the application creates later: the first without a primary key fails on its first update; list the tables instead",
            Some(statements.join(" ")),
        );
    }
    // Whatever is published and cannot be identified fails in the application now, needed or not.
    let published: Vec<u32> = existing.effective.iter().copied().collect();
    for identity in identities(client, &published, version).await?.values() {
        if let Err(problem) = identity.usable {
            let sql = if existing.tables.contains_key(&identity.oid) {
                format!(
                    "ALTER PUBLICATION {} DROP TABLE ONLY {};",
                    identifier(name),
                    identity.name
                )
            } else {
                problem.remedy_sql(&identity.name)
            };
            findings.error(
                format!("table `{}`", identity.name),
                format!("it is published and {problem}: its updates and deletes fail in the application, now"),
                Some(sql),
            );
        }
    }
    Ok(())
}

pub(super) async fn slot(
    client: &Client,
    name: &str,
    findings: &mut Findings,
) -> Result<(), SourceError> {
    let what = format!("slot `{name}`");
    let Some(status) = slot_status(client, name).await? else {
        findings.note(what, "it does not exist yet and will be created", None);
        return Ok(());
    };
    if status.plugin.as_deref() != Some("pgoutput") {
        let found = match &status.plugin {
            Some(plugin) => format!("it is of plugin `{plugin}`"),
            None => "it is a physical slot".to_owned(),
        };
        findings.error(
            what,
            format!("{found}; set `source.slot` to another name"),
            None,
        );
        return Ok(());
    }
    if !status.own_database {
        let database = status.database.clone().unwrap_or_default();
        findings.error(
            what,
            format!("it belongs to database `{database}`; set `source.slot` to another name"),
            None,
        );
        return Ok(());
    }
    if let Some(pid) = status.active_pid {
        findings.warning(
            &what,
            format!("it is in use (pid {pid}): by a readside that runs, or by another consumer; then set `source.slot` to another name"),
            None,
        );
    }
    if status.wal_status == Some(WalStatus::Lost) {
        findings.warning(
            &what,
            "the server has removed the WAL that it needs: it will be made anew, and every table copied and compared",
            None,
        );
    } else if status.is_in_danger() {
        findings.warning(
            &what,
            format!(
                "it holds back {} bytes of WAL, more than half of what max_slot_wal_keep_size allows",
                status.retained_bytes.unwrap_or(0)
            ),
            None,
        );
    }
    Ok(())
}

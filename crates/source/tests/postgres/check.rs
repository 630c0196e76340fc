use anyhow::{Result, ensure};
use readside_source::{Finding, Secret, Severity, check, connect_sql, ensure_publication};

use crate::support::{oid, server};

fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .collect()
}

#[tokio::test]
async fn a_source_that_is_ready_has_no_errors() -> Result<()> {
    let (_postgres, _config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let t = oid(&client, "t").await?;
    let findings = check(&client, &[t], "readside", "readside").await?;
    assert_eq!(errors(&findings), Vec::<&Finding>::new());
    ensure!(
        findings.iter().all(|f| f.severity == Severity::Note),
        "{findings:?}"
    );
    ensure_publication(&client, "readside", &[t]).await?;
    assert_eq!(
        errors(&check(&client, &[t], "readside", "readside").await?).len(),
        0
    );
    Ok(())
}

#[tokio::test]
async fn everything_that_is_wrong_is_found_at_once_and_its_sql_mends_it() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.t (id int PRIMARY KEY); CREATE TABLE shop.keyless (id int NOT NULL);
             CREATE TABLE shop.secret (id int PRIMARY KEY); ALTER TABLE shop.secret ENABLE ROW LEVEL SECURITY;
             CREATE UNLOGGED TABLE shop.fast (id int PRIMARY KEY);
             CREATE TABLE shop.parent (id int PRIMARY KEY); CREATE TABLE shop.kid () INHERITS (shop.parent);
             CREATE PUBLICATION readside FOR TABLE shop.keyless, shop.t WHERE (id > 5);
             CREATE ROLE reader LOGIN PASSWORD 'p'",
        )
        .await?;
    let mut config = config.with_password(Secret::new("p"));
    config.user = "reader".to_owned();
    let reader = connect_sql(&config).await?;
    let mut tables = Vec::new();
    for table in ["t", "keyless", "secret", "fast", "parent"] {
        tables.push(oid(&client, &format!("shop.{table}")).await?);
    }
    let findings = check(&reader, &tables, "readside", "readside").await?;
    let all: String = findings.iter().map(|f| format!("{f}\n")).collect();
    for expected in [
        "error: role `reader`: it lacks REPLICATION",
        "hint: ALTER ROLE reader REPLICATION;",
        "error: schema `shop`: role `reader` may not use it",
        "hint: GRANT USAGE ON SCHEMA shop TO reader;",
        "hint: GRANT SELECT ON shop.t TO reader;",
        "error: table `shop.keyless`: it has no primary key",
        "error: table `shop.keyless`: it is published and it has no primary key: its updates and deletes fail in the application, now",
        "hint: ALTER PUBLICATION readside DROP TABLE ONLY shop.keyless;",
        "error: table `shop.secret`: row-level security",
        "hint: ALTER ROLE reader BYPASSRLS;",
        "error: table `shop.fast`: it is unlogged",
        "error: table `shop.parent`: other tables inherit from it",
        "`shop.t` has a row filter",
        "`shop.secret` is not in it",
    ] {
        ensure!(all.contains(expected), "`{expected}` is not in\n{all}");
    }
    // What is printed can be run, and what it can mend is mended.
    for finding in &findings {
        let Some(sql) = finding
            .remedy_sql
            .as_deref()
            .filter(|sql| !sql.contains("/*") && !sql.contains("pg_drop"))
        else {
            continue;
        };
        if let Err(error) = client.batch_execute(sql).await {
            // The first of two remedies may have done the second's work.
            ensure!(
                error.code().is_some_and(|c| c.code() == "42704"),
                "{sql}: {error}"
            );
        }
    }
    let client_keyed = "ALTER TABLE shop.keyless ADD PRIMARY KEY (id)";
    client.batch_execute(client_keyed).await?;
    let kept: Vec<u32> = tables[..4].to_vec();
    let reader = connect_sql(&config).await?;
    let findings = check(&reader, &kept, "readside", "readside").await?;
    let left: Vec<String> = errors(&findings).iter().map(|f| f.to_string()).collect();
    // The publication is the owner's: with the tables now fit, its SQL is printed once more, and then all is well.
    ensure!(left.len() <= 1, "{left:#?}");
    for finding in errors(&findings) {
        client
            .batch_execute(finding.remedy_sql.as_deref().unwrap())
            .await?;
    }
    let findings = check(&reader, &kept, "readside", "readside").await?;
    let left: Vec<String> = errors(&findings).iter().map(|f| f.to_string()).collect();
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_server_without_a_logical_wal_or_free_slots_is_named() -> Result<()> {
    let (_postgres, _config, client) = server(&[
        ("wal_level", "replica"),
        ("max_replication_slots", "1"),
        ("max_wal_senders", "1"),
    ])
    .await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let t = oid(&client, "t").await?;
    let findings = check(&client, &[t], "readside", "readside").await?;
    let what: Vec<&str> = errors(&findings).iter().map(|f| f.what.as_str()).collect();
    assert_eq!(
        what,
        ["wal_level", "max_replication_slots", "max_wal_senders"]
    );
    Ok(())
}

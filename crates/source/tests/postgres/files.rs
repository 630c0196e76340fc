use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use readside_source::{
    ExportedSnapshot, Secret, Severity, SnapshotReader, check, connect_sql, ensure_publication,
};
use readside_tests::postgres::Postgres;

use crate::support::{WAIT, oid, server};

/// Runs a file of `sql/` as its head says.
fn psql(postgres: &Postgres, file: &str, variables: &[&str]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../sql")
        .join(file);
    let mut psql = Command::new("psql");
    psql.arg(postgres.url())
        .args(["-X", "-v", "ON_ERROR_STOP=1"]);
    for variable in variables {
        psql.args(["-v", variable]);
    }
    let done = psql.arg("-f").arg(path).output()?;
    ensure!(
        done.status.success(),
        "{file}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[tokio::test]
async fn the_role_that_the_sql_makes_can_do_all_that_is_needed_and_no_more() -> Result<()> {
    let (postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE SCHEMA shop; CREATE TABLE shop.t (id int PRIMARY KEY)")
        .await?;
    for _ in 0..2 {
        psql(&postgres, "role.sql", &["schema=shop"])?;
    }
    client
        .batch_execute(
            "ALTER ROLE readside PASSWORD 'p'; CREATE TABLE shop.later (id int PRIMARY KEY)",
        )
        .await?;
    let tables = [
        oid(&client, "shop.t").await?,
        oid(&client, "shop.later").await?,
    ];
    ensure_publication(&client, "readside", &tables).await?;
    let mut config = config.with_password(Secret::new("p"));
    config.user = "readside".to_owned();
    let reader = connect_sql(&config).await?;
    let findings = check(&reader, &tables, "readside", "readside").await?;
    ensure!(
        findings.iter().all(|f| f.severity == Severity::Note),
        "{findings:#?}"
    );
    let snapshot = ExportedSnapshot::export(&config, WAIT).await?;
    let copy = SnapshotReader::import(&config, &snapshot.name).await?;
    let mut rows = copy.copy_table(tables[1], &["id".to_owned()], None).await?;
    ensure!(rows.next_batch(10, 1000).await?.is_none());
    let error = reader
        .batch_execute("DELETE FROM shop.t")
        .await
        .unwrap_err();
    ensure!(error.code().is_some_and(|code| code.code() == "42501"));
    Ok(())
}

#[tokio::test]
async fn the_sql_lists_exactly_the_tables_that_would_break() -> Result<()> {
    let (postgres, _config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE everything (id int); ALTER TABLE everything REPLICA IDENTITY FULL;
             CREATE TABLE keyless (id int); CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
             CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
             CREATE TABLE lost (id int NOT NULL); CREATE UNIQUE INDEX lost_key ON lost (id);
             ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_key; DROP INDEX lost_key",
        )
        .await?;
    let shown = psql(&postgres, "publication.sql", &[])?;
    let listed: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(table, _)| table.trim())
        .skip(1)
        .collect();
    assert_eq!(listed, ["keyless", "late", "lost", "nothing"]);
    Ok(())
}

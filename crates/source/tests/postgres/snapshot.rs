use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use readside_pgoutput::{Column, Decoder, Message, OldKind};
use readside_source::{
    Event, ExportedSnapshot, PageRange, Secret, SnapshotReader, SourceError, SqlClient,
    StreamOptions, TableChange, blocked_by, cancel_backend, connect_sql, table_fingerprints,
};

use crate::support::{WAIT, follow, oid, server};

fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|c| (*c).to_owned()).collect()
}

async fn copy(
    reader: &SnapshotReader,
    table: u32,
    columns: &[&str],
    range: Option<PageRange>,
) -> Result<Vec<Vec<Option<String>>>, SourceError> {
    let mut copy = reader.copy_table(table, &names(columns), range).await?;
    let mut rows = Vec::new();
    while let Some(batch) = copy.next_batch(100, 1 << 20).await? {
        rows.extend(batch.into_iter().map(|row| {
            row.into_iter()
                .map(|v| v.map(|v| String::from_utf8_lossy(&v).into_owned()))
                .collect::<Vec<_>>()
        }));
    }
    assert_eq!(copy.rows_read(), u64::try_from(rows.len()).unwrap());
    Ok(rows)
}

#[tokio::test]
async fn a_copy_at_x_and_the_stream_from_x_make_the_table_while_writers_write() -> Result<()> {
    let (postgres, config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i",
        )
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    let table = oid(&client, "t").await?;
    let mut writers = Vec::new();
    for writer in 0..4_i32 {
        let connection = postgres.admin_client().await?;
        writers.push(tokio::spawn(async move {
            for i in 0..400_i32 {
                let key = (i * 7 + writer * 13) % 100 + 1;
                let sql = match (i + writer) % 5 {
                    0 => format!("DELETE FROM t WHERE id = {key}"),
                    1 | 2 => format!("INSERT INTO t VALUES ({key}, {i}) ON CONFLICT (id) DO UPDATE SET v = excluded.v + 1"),
                    3 => format!("BEGIN; UPDATE t SET v = v + 1 WHERE id = {key}; UPDATE t SET v = v * 2 % 1000 WHERE id = {key}; COMMIT"),
                    _ => format!("UPDATE t SET v = {i} WHERE id = {key}"),
                };
                // A conflict between writers is the application's affair.
                let _ = connection.batch_execute(&sql).await;
            }
        }));
    }
    for trial in 0..3 {
        tokio::time::sleep(Duration::from_millis(50 * trial)).await;
        let snapshot = ExportedSnapshot::export(&config, WAIT).await?;
        let reader = SnapshotReader::import(&config, &snapshot.name).await?;
        let x = snapshot.lsn;
        snapshot.release();
        let mut state: BTreeMap<String, String> = copy(&reader, table, &["id", "v"], None)
            .await?
            .into_iter()
            .map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap()))
            .collect();
        drop(reader);
        if trial == 2 {
            for writer in writers.drain(..) {
                writer.await?;
            }
        } else {
            // Only the last trial reads the stream, which holds everything since the slot was made.
            continue;
        }
        client
            .batch_execute("INSERT INTO t VALUES (-1, -1)")
            .await?;
        let mut decoder = Decoder::new();
        let mut applies = false;
        'read: loop {
            let Event::XLogData { data, .. } = tokio::time::timeout(WAIT, stream.next()).await??
            else {
                continue;
            };
            let text = |tuple: &readside_pgoutput::TupleData| -> Vec<String> {
                tuple
                    .shared()
                    .map(|c| match c {
                        Column::Text(t) => String::from_utf8_lossy(&t).into_owned(),
                        _ => String::new(),
                    })
                    .collect()
            };
            match decoder.decode(&data)? {
                Message::Begin(begin) => applies = begin.final_lsn >= x,
                Message::Insert(insert) if applies => {
                    let row = text(&insert.new);
                    if row[0] == "-1" {
                        break 'read;
                    }
                    ensure!(
                        state.insert(row[0].clone(), row[1].clone()).is_none(),
                        "a row was there twice"
                    );
                }
                Message::Update(update) if applies => {
                    let row = text(&update.new);
                    ensure!(update.old.is_none());
                    ensure!(
                        state.insert(row[0].clone(), row[1].clone()).is_some(),
                        "an updated row was missing"
                    );
                }
                Message::Delete(delete) if applies => {
                    ensure!(delete.old.kind == OldKind::Key);
                    ensure!(
                        state.remove(&text(&delete.old.tuple)[0]).is_some(),
                        "a deleted row was missing"
                    );
                }
                _ => {}
            }
        }
        let mut truth = BTreeMap::new();
        for row in client
            .query("SELECT id::text, v::text FROM t WHERE id > 0", &[])
            .await?
        {
            truth.insert(row.get(0), row.get(1));
        }
        assert_eq!(state, truth);
    }
    Ok(())
}

#[tokio::test]
async fn several_readers_share_a_snapshot_and_page_ranges_are_the_whole_table() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".\"select\" (\"Id\" int PRIMARY KEY, gone int, t text, n numeric, b bytea);
             ALTER TABLE \"My Shop\".\"select\" DROP COLUMN gone;
             INSERT INTO \"My Shop\".\"select\" SELECT i, repeat('ü', i % 50) || E'\\t\\n\\\\N', i / 7.0, NULL FROM generate_series(1, 5000) i",
        )
        .await?;
    let table = oid(&client, "\"My Shop\".\"select\"").await?;
    let snapshot = ExportedSnapshot::export(&config, WAIT).await?;
    let first = SnapshotReader::import(&config, &snapshot.name).await?;
    snapshot.release();
    let again = first.export_again().await?;
    let second = SnapshotReader::import(&config, &again).await?;
    client
        .batch_execute("DELETE FROM \"My Shop\".\"select\" WHERE \"Id\" > 10")
        .await?;
    let pages = first.pages(table).await?;
    ensure!(pages > 4);
    let columns = ["Id", "t", "n", "b"];
    let (low, high) = (
        PageRange {
            from: 0,
            to: Some(pages / 2),
        },
        PageRange {
            from: pages / 2,
            to: None,
        },
    );
    let (low, high) = tokio::join!(
        copy(&first, table, &columns, Some(low)),
        copy(&second, table, &columns, Some(high))
    );
    let mut rows = low?;
    ensure!(!rows.is_empty() && rows.len() < 5000);
    rows.extend(high?);
    assert_eq!(rows.len(), 5000);
    rows.sort_by_key(|row| row[0].as_ref().unwrap().parse::<i32>().unwrap());
    let text = format!("{}\t\n\\N", "ü".repeat(9));
    assert_eq!(rows[8][0].as_deref(), Some("9"));
    assert_eq!(rows[8][1].as_deref(), Some(text.as_str()));
    assert_eq!(rows[8][2].as_deref(), Some("1.2857142857142857"));
    assert_eq!(rows[8][3], None);
    Ok(())
}

#[tokio::test]
async fn a_copy_after_a_rewrite_is_empty_and_the_fingerprints_say_so() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i")
        .await?;
    let table = oid(&client, "t").await?;
    let print = |client: SqlClient| async move {
        let found = table_fingerprints(&client, &[table]).await?;
        anyhow::Ok((client, found.get(&table).cloned().unwrap()))
    };
    let (client, before) = print(client).await?;
    let snapshot = ExportedSnapshot::export(&config, WAIT).await?;
    let reader = SnapshotReader::import(&config, &snapshot.name).await?;
    client
        .batch_execute("ALTER TABLE t ALTER v TYPE bigint USING v + 1")
        .await?;
    assert_eq!(copy(&reader, table, &["id", "v"], None).await?.len(), 0);
    drop(reader);
    let (client, after) = print(client).await?;
    ensure!(!before.copy_is_sound(&after));
    assert_eq!(before.change(&after), TableChange::Rewritten);

    client.batch_execute("VACUUM FULL t").await?;
    let (client, vacuumed) = print(client).await?;
    assert_eq!(after.change(&vacuumed), TableChange::None);
    ensure!(!after.copy_is_sound(&vacuumed));
    client
        .batch_execute("ALTER TABLE t ADD c text DEFAULT 'x'")
        .await?;
    let (client, added) = print(client).await?;
    assert_eq!(vacuumed.change(&added), TableChange::Columns);
    assert_eq!(added.attributes[2].missing.as_deref(), Some("{x}"));
    client.batch_execute("ALTER TABLE t RENAME TO u").await?;
    let (_client, renamed) = print(client).await?;
    assert_eq!(added.change(&renamed), TableChange::Renamed);
    Ok(())
}

#[tokio::test]
async fn row_security_is_an_error_and_never_an_empty_copy() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE ROLE reader LOGIN REPLICATION PASSWORD 'p'; GRANT SELECT ON t TO reader; CREATE TABLE hidden (id int PRIMARY KEY)",
        )
        .await?;
    let mut config = config.with_password(Secret::new("p"));
    config.user = "reader".to_owned();
    let snapshot = ExportedSnapshot::export(&config, WAIT).await?;
    let reader = SnapshotReader::import(&config, &snapshot.name).await?;
    let error = copy(&reader, oid(&client, "t").await?, &["id"], None)
        .await
        .unwrap_err();
    ensure!(matches!(error, SourceError::RowSecurity(_)), "{error}");
    let reader = SnapshotReader::import(&config, &snapshot.name).await?;
    let error = copy(&reader, oid(&client, "hidden").await?, &["id"], None)
        .await
        .unwrap_err();
    ensure!(matches!(error, SourceError::Privilege(_)), "{error}");
    let reader = SnapshotReader::import(&config, &snapshot.name).await?;
    let error = copy(&reader, 1, &["id"], None).await.unwrap_err();
    ensure!(matches!(error, SourceError::TableGone { .. }), "{error}");
    snapshot.release();
    drop(reader);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = SnapshotReader::import(&config, "00000003-00000002-1")
        .await
        .unwrap_err();
    ensure!(matches!(error, SourceError::SnapshotGone { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_snapshot_waits_for_open_transactions_only_so_long() -> Result<()> {
    let (postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let writer = postgres.admin_client().await?;
    writer
        .batch_execute("BEGIN; INSERT INTO t VALUES (1)")
        .await?;
    let began = Instant::now();
    let error = ExportedSnapshot::export(&config, Duration::from_millis(300))
        .await
        .unwrap_err();
    ensure!(matches!(error, SourceError::LockTimeout(_)), "{error}");
    ensure!(began.elapsed() < Duration::from_secs(5));
    writer.batch_execute("COMMIT").await?;
    ExportedSnapshot::export(&config, WAIT).await?.release();
    Ok(())
}

#[tokio::test]
async fn an_application_that_waits_for_a_copy_is_seen_and_set_free() -> Result<()> {
    let (postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 50000) i")
        .await?;
    let table = oid(&client, "t").await?;
    let snapshot = ExportedSnapshot::export(&config, WAIT).await?;
    let reader = SnapshotReader::import(&config, &snapshot.name).await?;
    snapshot.release();
    let mut rows = reader.copy_table(table, &names(&["id", "v"]), None).await?;
    rows.next_batch(1, 1).await?;
    let application = postgres.admin_client().await?;
    let alter =
        tokio::spawn(async move { application.batch_execute("ALTER TABLE t ADD w int").await });
    let watcher = connect_sql(&config).await?;
    let deadline = Instant::now() + WAIT;
    let blocked = loop {
        if let Some(blocked) = blocked_by(&watcher, &[reader.backend_pid()]).await?.first() {
            break blocked.clone();
        }
        ensure!(Instant::now() < deadline, "nobody was seen to wait");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(blocked.by, reader.backend_pid());
    ensure!(cancel_backend(&watcher, reader.backend_pid()).await?);
    let error = loop {
        match rows.next_batch(10_000, 1 << 20).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the copy ended as if it were whole"),
            Err(error) => break error,
        }
    };
    ensure!(matches!(error, SourceError::Cancelled(_)), "{error}");
    tokio::time::timeout(WAIT, alter).await???;
    Ok(())
}

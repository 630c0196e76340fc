use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use readside_model::Lsn;
use readside_pgoutput::{Decoder, Message};
use readside_source::{
    Event, PublicationState, Remedy, ReplicationClient, SlotKind, SourceConfig, SourceError,
    StreamOptions, Streaming, connect_sql, current_wal_lsn, drop_publication_and_slot, publication,
    publication_state, slot_status,
};

use crate::support::{WAIT, changes, follow, oid, server, transactions, version};

#[tokio::test]
async fn every_kind_of_change_arrives_as_it_was_made() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('sad', 'glad');
             CREATE TABLE t (id int PRIMARY KEY, name text, big text, mood mood);
             ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
             CREATE TABLE f (a int, b text); ALTER TABLE f REPLICA IDENTITY FULL;
             CREATE TABLE c (id int PRIMARY KEY REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE)",
        )
        .await?;
    let mut stream = follow(
        &config,
        &client,
        &["t", "f", "c"],
        &StreamOptions::default(),
    )
    .await?;
    let mut decoder = Decoder::new();
    client
        .batch_execute(
            "INSERT INTO t VALUES (1, 'a\tb', repeat('x', 4000), 'glad'), (2, NULL, '', NULL);
             INSERT INTO c VALUES (1)",
        )
        .await?;
    client
        .batch_execute("UPDATE t SET name = 'n' WHERE id = 1")
        .await?;
    client
        .batch_execute("UPDATE t SET id = 3 WHERE id = 1")
        .await?;
    client
        .batch_execute("BEGIN; INSERT INTO f VALUES (1, 'kept'); SAVEPOINT s; INSERT INTO f VALUES (2, 'rolled back'); ROLLBACK TO s; COMMIT")
        .await?;
    client
        .batch_execute("UPDATE f SET b = NULL; DELETE FROM t WHERE id = 3")
        .await?;
    client
        .batch_execute(
            "TRUNCATE t CASCADE; SELECT pg_logical_emit_message(true, 'p', 'not asked for')",
        )
        .await?;

    let messages = transactions(&mut stream, &mut decoder, 6).await?;
    let long = "x".repeat(4000);
    let expected = [
        format!("I 1,a\tb,{long},glad"),
        "I 2,NULL,,NULL".to_owned(),
        "I 1".to_owned(),
        "U 1,n,…,glad".to_owned(),
        "U Key 1,NULL,NULL,NULL -> 3,n,…,glad".to_owned(),
        "U Key 1 -> 3".to_owned(),
        "I 1,kept".to_owned(),
        "U Full 1,kept -> 1,NULL".to_owned(),
        "D Key 3,NULL,NULL,NULL".to_owned(),
        "D Key 3".to_owned(),
        "T 2".to_owned(),
    ];
    assert_eq!(changes(&messages), expected);
    let relations: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            Message::Relation(relation) => Some((relation.oid, relation.name.as_str())),
            _ => None,
        })
        .collect();
    assert!(relations.contains(&(oid(&client, "t").await?, "t")));
    assert!(
        messages
            .iter()
            .any(|m| matches!(m, Message::Type(t) if t.name == "mood"))
    );
    // The frame: a Begin names the Commit's LSN, and positions ascend.
    let mut last = Lsn::ZERO;
    let mut open = None;
    for message in &messages {
        match message {
            Message::Begin(begin) => open = Some(begin.final_lsn),
            Message::Commit(commit) => {
                ensure!(open.take() == Some(commit.commit_lsn));
                ensure!(commit.commit_lsn > last && commit.end_lsn > commit.commit_lsn);
                ensure!(commit.commit_time.unix_seconds() > 1.7e9);
                last = commit.end_lsn;
            }
            _ => {}
        }
    }
    ensure!(stream.received() >= last);
    Ok(())
}

#[tokio::test]
async fn a_streamed_transaction_comes_in_pieces_without_what_was_rolled_back() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, filler text)")
        .await?;
    let mut oids = vec![oid(&client, "t").await?];
    readside_source::ensure_publication(&client, "readside", &oids).await?;
    oids.clear();
    let mut replication =
        ReplicationClient::connect_with(&config, &[("logical_decoding_work_mem", "64kB")]).await?;
    replication
        .create_slot("readside", SlotKind::Permanent { failover: false }, WAIT)
        .await?;
    let options = StreamOptions {
        proto_version: 2,
        streaming: Streaming::On,
        messages: true,
        binary: false,
    };
    let mut stream = replication
        .start("readside", Lsn::ZERO, "readside", &options)
        .await?;
    client
        .batch_execute(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i;
             SAVEPOINT s; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(3001, 6000) i; ROLLBACK TO s;
             SELECT pg_logical_emit_message(true, 'prefix', 'content'); COMMIT",
        )
        .await?;
    let messages = transactions(&mut stream, &mut Decoder::new(), 1).await?;
    let mut live = std::collections::BTreeMap::<u32, usize>::new();
    let mut top = None;
    let mut contents = Vec::new();
    for message in &messages {
        match message {
            Message::StreamStart(start) => top = Some(start.xid),
            Message::Insert(insert) => *live.entry(insert.xid.unwrap().0).or_default() += 1,
            Message::StreamAbort(abort) => {
                live.remove(&abort.subxid.0);
            }
            Message::Logical(logical) => {
                contents.push((logical.prefix.as_str(), &logical.content[..]))
            }
            Message::StreamCommit(commit) => ensure!(Some(commit.xid) == top),
            _ => {}
        }
    }
    assert_eq!(live.values().sum::<usize>(), 3000, "{live:?}");
    assert_eq!(contents, [("prefix", &b"content"[..])]);
    Ok(())
}

#[tokio::test]
async fn an_idle_database_lets_go_of_its_wal_when_keepalives_are_confirmed() -> Result<()> {
    let (postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE noise (n int)")
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    let before = slot_status(&client, "readside").await?.unwrap();
    client
        .batch_execute("INSERT INTO noise SELECT generate_series(1, 100000)")
        .await?;
    let written = current_wal_lsn(&client).await?;
    // Somebody else's WAL: only keepalives tell how far the server is. Asking for one makes it come at once.
    let deadline = Instant::now() + WAIT;
    let mut confirmed = Lsn::ZERO;
    while confirmed < written && Instant::now() < deadline {
        stream
            .send_status(confirmed, confirmed, confirmed, true)
            .await?;
        let event = tokio::time::timeout(WAIT, stream.next()).await??;
        if let Event::Keepalive { wal_end, .. } = event {
            confirmed = confirmed.max(wal_end);
        }
    }
    ensure!(confirmed >= written, "{confirmed} < {written}");
    stream
        .send_status(confirmed, confirmed, confirmed, false)
        .await?;
    let after = loop {
        let after = slot_status(&client, "readside").await?.unwrap();
        if after.confirmed_flush >= Some(written) {
            break after;
        }
        ensure!(Instant::now() < deadline, "{after:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ensure!(before.confirmed_flush < after.confirmed_flush);
    ensure!(after.unconfirmed_bytes < Some(100_000), "{after:?}");
    drop(postgres);
    Ok(())
}

#[tokio::test]
async fn a_position_that_was_never_received_cannot_be_confirmed() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    let beyond = Lsn(stream.received().0 + (1 << 30));
    let error = stream
        .send_status(beyond, beyond, beyond, false)
        .await
        .unwrap_err();
    ensure!(
        matches!(error, SourceError::ConfirmBeyondReceived { .. }),
        "{error}"
    );
    drop(stream);
    // Nor is a stream begun where the server has not been.
    let replication = ReplicationClient::connect(&config).await?;
    let error = replication
        .start("readside", beyond, "readside", &StreamOptions::default())
        .await
        .unwrap_err();
    ensure!(
        matches!(error, SourceError::AheadOfServer { .. }),
        "{error}"
    );
    ensure!(error.remedy() == Remedy::Resynchronise);
    Ok(())
}

#[tokio::test]
async fn what_was_not_confirmed_comes_again_and_what_was_does_not() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    for id in 1..=3 {
        client.execute("INSERT INTO t VALUES ($1)", &[&id]).await?;
    }
    let messages = transactions(&mut stream, &mut Decoder::new(), 3).await?;
    let ends: Vec<Lsn> = messages
        .iter()
        .filter_map(|m| match m {
            Message::Commit(commit) => Some(commit.end_lsn),
            _ => None,
        })
        .collect();
    let durable = ends[0];
    stream.send_status(durable, durable, durable, true).await?;
    stream.next().await?;
    drop(stream);
    let mut again = loop {
        let replication = ReplicationClient::connect(&config).await?;
        match replication
            .start("readside", durable, "readside", &StreamOptions::default())
            .await
        {
            Ok(stream) => break stream,
            // The server needs a moment to see that the first reader is gone.
            Err(SourceError::SlotBusy { pid, .. }) => {
                ensure!(pid.is_some());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(other) => return Err(other.into()),
        }
    };
    assert_eq!(again.received(), durable);
    let messages = transactions(&mut again, &mut Decoder::new(), 2).await?;
    assert_eq!(changes(&messages), ["I 2", "I 3"]);
    Ok(())
}

#[tokio::test]
async fn each_state_of_a_slot_has_its_own_error() -> Result<()> {
    let (postgres, config, client) = server(&[("max_slot_wal_keep_size", "1MB")]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let options = StreamOptions::default();
    let start = |config: SourceConfig, slot: &'static str| async move {
        let replication = ReplicationClient::connect(&config).await?;
        replication
            .start(slot, Lsn::ZERO, "readside", &StreamOptions::default())
            .await
            .map(drop)
    };

    let error = start(config.clone(), "readside").await.unwrap_err();
    ensure!(matches!(error, SourceError::SlotMissing { .. }), "{error}");
    ensure!(error.remedy() == Remedy::Resynchronise);

    let stream = follow(&config, &client, &["t"], &options).await?;
    let error = start(config.clone(), "readside").await.unwrap_err();
    ensure!(
        matches!(error, SourceError::SlotBusy { pid: Some(_), .. }),
        "{error}"
    );
    ensure!(error.remedy() == Remedy::Retry);
    let error = drop_publication_and_slot(&client, "readside", "readside")
        .await
        .unwrap_err();
    ensure!(error.to_string().contains("already active"), "{error}");

    let mut replication = ReplicationClient::connect(&config).await?;
    let error = replication
        .create_slot("readside", SlotKind::Permanent { failover: false }, WAIT)
        .await
        .unwrap_err();
    ensure!(matches!(error, SourceError::SlotExists { .. }), "{error}");

    let other = SourceConfig::parse(&postgres.create_database("other").await?)?;
    let error = start(other, "readside").await.unwrap_err();
    ensure!(
        matches!(&error, SourceError::SlotWrongDatabase { database, .. } if database == "postgres"),
        "{error}"
    );

    client
        .batch_execute("SELECT pg_create_physical_replication_slot('physical')")
        .await?;
    let error = start(config.clone(), "physical").await.unwrap_err();
    ensure!(matches!(error, SourceError::SlotUnusable { .. }), "{error}");

    drop(stream);
    // Beyond the limit, checkpoints remove the WAL.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        client
            .batch_execute("CREATE TABLE IF NOT EXISTS noise (t text); INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
            .await?;
        client.batch_execute("SELECT pg_switch_wal()").await?;
        client.batch_execute("CHECKPOINT").await?;
        let status = slot_status(&client, "readside").await?.unwrap();
        if status.wal_status == Some(readside_source::WalStatus::Lost) {
            ensure!(status.is_in_danger());
            break;
        }
        ensure!(Instant::now() < deadline, "{status:?}");
    }
    let error = start(config.clone(), "readside").await.unwrap_err();
    ensure!(matches!(error, SourceError::SlotLost { .. }), "{error}");
    ensure!(error.remedy() == Remedy::Resynchronise);

    drop_publication_and_slot(&client, "readside", "readside").await?;
    drop_publication_and_slot(&client, "readside", "readside").await?;
    ensure!(slot_status(&client, "readside").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_dropped_publication_is_recognised_in_the_stream_or_by_looking() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    let needed = BTreeMap::from([(oid(&client, "t").await?, "t".to_owned())]);
    let before = publication(&client, "readside").await?.unwrap().oid;
    let look = || publication_state(&client, "readside", before, &needed);
    assert_eq!(look().await?, PublicationState::Intact);
    client
        .batch_execute("ALTER PUBLICATION readside SET (publish = 'insert')")
        .await?;
    ensure!(matches!(look().await?, PublicationState::Incomplete { .. }));
    client
        .batch_execute("DROP PUBLICATION readside; INSERT INTO t VALUES (1)")
        .await?;
    client.batch_execute("INSERT INTO t VALUES (2)").await?;
    assert_eq!(look().await?, PublicationState::Replaced);
    client
        .batch_execute("CREATE PUBLICATION readside FOR TABLE t")
        .await?;
    assert_eq!(look().await?, PublicationState::Replaced);
    if version() >= 18 {
        // The rows pass by in silence; this is why it has to be looked at.
        client.batch_execute("INSERT INTO t VALUES (3)").await?;
        let messages = transactions(&mut stream, &mut Decoder::new(), 1).await?;
        assert_eq!(changes(&messages), ["I 3"]);
        return Ok(());
    }
    let error = loop {
        match tokio::time::timeout(WAIT, stream.next()).await? {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    ensure!(
        matches!(error, SourceError::PublicationMissing { .. }),
        "{error}"
    );
    ensure!(error.remedy() == Remedy::Resynchronise);
    Ok(())
}

#[tokio::test]
async fn a_fast_shutdown_ends_the_stream_and_does_not_hang() -> Result<()> {
    let (mut postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    client.batch_execute("INSERT INTO t VALUES (1)").await?;
    let reader = tokio::spawn(async move {
        let mut inserts = 0;
        loop {
            match stream.next().await {
                // Everything received is confirmed at once, as if it were durable.
                Ok(event) => {
                    if let Event::XLogData { data, .. } = &event {
                        inserts += usize::from(data.first() == Some(&b'I'));
                    }
                    let received = stream.received();
                    if stream
                        .send_status(received, received, received, false)
                        .await
                        .is_err()
                    {
                        continue;
                    }
                }
                Err(error) => return (inserts, error),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    postgres.stop_fast().await?;
    ensure!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let (inserts, error) = tokio::time::timeout(WAIT, reader).await??;
    assert_eq!(inserts, 1);
    ensure!(error.remedy() == Remedy::Retry, "{error}");
    let error = ReplicationClient::connect(&config).await.unwrap_err();
    ensure!(error.remedy() == Remedy::Retry, "{error}");
    postgres.restart().await?;
    connect_sql(&config).await?;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_nobody_reads_can_be_ended_from_another_thread() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, filler text)")
        .await?;
    let mut stream = follow(&config, &client, &["t"], &StreamOptions::default()).await?;
    let hangup = stream.hangup()?;
    // Far more than socket buffers hold: the walsender is stuck in the middle of it.
    client
        .batch_execute(
            "INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 100000) i",
        )
        .await?;
    tokio::time::timeout(WAIT, stream.next()).await??;
    std::thread::spawn(move || hangup.hang_up())
        .join()
        .expect("the watchdog")?;
    let deadline = Instant::now() + WAIT;
    loop {
        let status = slot_status(&client, "readside").await?.unwrap();
        if status.active_pid.is_none() {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "the slot is still held: {status:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let error = loop {
        if let Err(error) = tokio::time::timeout(WAIT, stream.next()).await? {
            break error;
        }
    };
    ensure!(error.remedy() == Remedy::Retry, "{error}");
    Ok(())
}

#[tokio::test]
async fn the_system_and_its_timelines_are_known() -> Result<()> {
    let (mut postgres, config, client) = server(&[]).await?;
    let mut replication = ReplicationClient::connect(&config).await?;
    let identity = replication.identify_system().await?;
    let row = client
        .query_one(
            "SELECT system_identifier::text, (SELECT oid FROM pg_database WHERE datname = 'postgres') FROM pg_control_system()",
            &[],
        )
        .await?;
    assert_eq!(identity.system_id, row.get::<_, String>(0));
    assert_eq!(identity.database_oid, row.get::<_, u32>(1));
    assert_eq!(
        (identity.timeline, identity.database.as_str()),
        (1, "postgres")
    );
    assert_eq!(identity.server_version / 10_000, version());
    ensure!(identity.flushed <= current_wal_lsn(&client).await?);
    ensure!(replication.timeline_history(1).await?.is_empty());

    // A file-level copy that is promoted: the same system, another timeline. (Here the server itself plays the standby.)
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    drop(follow(&config, &client, &["t"], &StreamOptions::default()).await?);
    let data: String = client
        .query_one("SELECT current_setting('data_directory')", &[])
        .await?
        .get(0);
    let before = current_wal_lsn(&client).await?;
    drop((replication, client));
    postgres.stop_fast().await?;
    std::fs::write(std::path::Path::new(&data).join("standby.signal"), "")?;
    postgres.restart().await?;
    let client = connect_sql(&config).await?;
    client.batch_execute("SELECT pg_promote()").await?;
    let mut replication = ReplicationClient::connect(&config).await?;
    let promoted = replication.identify_system().await?;
    assert_eq!(
        (&promoted.system_id, promoted.timeline),
        (&identity.system_id, 2)
    );
    let history = replication.timeline_history(2).await?;
    assert_eq!(history.len(), 1);
    ensure!(
        history[0].timeline == 1 && history[0].end >= before,
        "{history:?}"
    );
    Ok(())
}

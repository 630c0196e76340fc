//! The harness itself: servers start, break, come back and go away.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::{Duration, Instant};

use readside_tests::postgres::Postgres;
use readside_tests::proxy::{Fault, Proxy};
use readside_tests::redis::Redis;
use readside_tests::search::OpenSearch;

#[tokio::test]
async fn postgres_keeps_its_data_over_a_crash_and_a_restart() {
    for version in [15, 18] {
        let mut server = Postgres::start(version, &[("work_mem", "5MB")])
            .await
            .unwrap();
        let url = server.create_database("one").await.unwrap();
        let client = readside_tests::postgres::connect(&url).await.unwrap();
        let row = client
            .query_one(
                "SELECT current_setting('wal_level'), current_setting('work_mem'), current_setting('lc_collate', true), \
                 pg_encoding_to_char(encoding), datcollate, current_setting('server_version_num')::int / 10000
                 FROM pg_database WHERE datname = current_database()",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), "logical");
        assert_eq!(row.get::<_, &str>(1), "5MB");
        assert_eq!(row.get::<_, &str>(3), "UTF8");
        assert_eq!(row.get::<_, &str>(4), "C.UTF-8");
        assert_eq!(row.get::<_, i32>(5), i32::try_from(version).unwrap());
        client
            .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
            .await
            .unwrap();
        server.crash().await.unwrap();
        assert!(client.simple_query("SELECT 1").await.is_err());
        server.restart().await.unwrap();
        let client = server.client("one").await.unwrap();
        assert_eq!(
            client.query("SELECT id FROM t", &[]).await.unwrap().len(),
            1
        );
        server.stop_fast().await.unwrap();
        assert!(server.admin_client().await.is_err());
    }
}

#[tokio::test]
async fn a_stopped_postgres_answers_again_when_it_goes_on() {
    let mut server = Postgres::start(15, &[]).await.unwrap();
    let client = server.admin_client().await.unwrap();
    server.sigstop().unwrap();
    let query = client.simple_query("SELECT 1");
    tokio::pin!(query);
    let stalled = tokio::time::timeout(Duration::from_millis(300), &mut query).await;
    assert!(stalled.is_err());
    server.sigcont().unwrap();
    query.await.unwrap();
}

#[tokio::test]
async fn redis_keeps_its_data_over_a_restart() {
    let mut server = Redis::start().await.unwrap();
    let mut connection = server.connection().await.unwrap();
    redis::cmd("SET")
        .arg("k")
        .arg("v")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    server.stop().await.unwrap();
    assert!(server.connection().await.is_err());
    server.restart().await.unwrap();
    let mut connection = server.connection().await.unwrap();
    let value: String = redis::cmd("GET")
        .arg("k")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(value, "v");
    server.crash().await.unwrap();
    server.restart().await.unwrap();
}

#[tokio::test]
async fn several_users_share_one_search_node() {
    let (one, two) = tokio::join!(OpenSearch::shared(), OpenSearch::shared());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.url(), two.url());
    assert_ne!(one.prefix(), two.prefix());
    let index = format!("/{}a", one.prefix());
    let (status, body) = one
        .request(reqwest::Method::PUT, &index, Some("{}".to_owned()))
        .await
        .unwrap();
    assert_eq!(status, 200, "{body}");
    two.clear().await.unwrap();
    let (status, _) = one
        .request(reqwest::Method::GET, &index, None)
        .await
        .unwrap();
    assert_eq!(status, 200);
    one.clear().await.unwrap();
    let (status, _) = one
        .request(reqwest::Method::GET, &index, None)
        .await
        .unwrap();
    assert_eq!(status, 404);
}

#[tokio::test]
async fn the_proxy_breaks_open_connections_as_told() {
    let server = Redis::start().await.unwrap();
    let proxy = Proxy::start(server.port()).await.unwrap();
    let url = proxy.url(&server.url(), server.port());
    let mut connection = readside_tests::redis::connect(&url).await.unwrap();
    let ping = redis::cmd("PING");
    ping.query_async::<String>(&mut connection).await.unwrap();
    assert!(proxy.to_upstream_bytes() > 0);

    proxy.set(Fault::Delay(Duration::from_millis(100)));
    let start = Instant::now();
    ping.query_async::<String>(&mut connection).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));

    proxy.set(Fault::BlackHole);
    let mut other = connection.clone();
    let stalled =
        tokio::spawn(async move { redis::cmd("PING").query_async::<String>(&mut other).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!stalled.is_finished());
    proxy.set(Fault::Pass);
    stalled.await.unwrap().unwrap();

    proxy.set(Fault::Reset);
    assert!(ping.query_async::<String>(&mut connection).await.is_err());
    assert!(readside_tests::redis::connect(&url).await.is_err());

    proxy.set(Fault::Pass);
    let mut connection = readside_tests::redis::connect(&url).await.unwrap();
    proxy.set(Fault::CutAfter(20));
    let set = redis::cmd("SET").arg("key").arg("x".repeat(100)).to_owned();
    assert!(set.query_async::<String>(&mut connection).await.is_err());
    let mut direct = server.connection().await.unwrap();
    let kept: Option<String> = redis::cmd("GET")
        .arg("key")
        .query_async(&mut direct)
        .await
        .unwrap();
    assert_eq!(kept, None);
}

#[tokio::test]
async fn ports_are_not_given_twice() {
    let ports: Vec<_> = (0..50)
        .map(|_| readside_tests::Port::take().unwrap())
        .collect();
    let numbers: std::collections::BTreeSet<u16> = ports.iter().map(|p| p.number()).collect();
    assert_eq!(numbers.len(), 50);
}

#[tokio::test]
async fn the_oracle_reads_the_same_documents_from_every_store() {
    use readside_tests::oracle;
    let (postgres, redis, search) = tokio::join!(
        Postgres::start(15, &[]),
        Redis::start(),
        OpenSearch::shared()
    );
    let (postgres, redis, search) = (postgres.unwrap(), redis.unwrap(), search.unwrap());
    let client = postgres.admin_client().await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t AS SELECT i AS id, i / 7.0 AS n, 'naïve ' || i AS s FROM generate_series(1, 1500) i;
             CREATE SCHEMA r; CREATE TABLE r.t AS SELECT *, id::text AS _key FROM t",
        )
        .await
        .unwrap();
    let sql = "SELECT * FROM t -- all of it";
    let source = oracle::source(&postgres.url(), sql).await.unwrap();
    assert_eq!(source.len(), 1500);
    let table = oracle::table(&postgres.url(), "r", "t").await.unwrap();
    let rules = oracle::Rules {
        key: &["id"],
        unordered_arrays: false,
    };
    oracle::compare(&source, &table, rules)
        .unwrap()
        .check("table")
        .unwrap();

    let mut connection = redis.connection().await.unwrap();
    let index = format!("{}t", search.prefix());
    let mut bulk = String::new();
    for (i, document) in source.iter().enumerate() {
        redis::cmd("SET")
            .arg(format!("t:{i}"))
            .arg(document)
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
        bulk.push_str(&format!("{{\"index\":{{\"_id\":\"{i}\"}}}}\n{document}\n"));
    }
    let (status, _) = search
        .request(
            reqwest::Method::POST,
            &format!("/{index}/_bulk"),
            Some(bulk),
        )
        .await
        .unwrap();
    assert_eq!(status, 200);
    for stored in [
        oracle::redis(&redis.url(), "t:*").await.unwrap(),
        oracle::search(search.url(), &index).await.unwrap(),
    ] {
        let difference = oracle::compare(&source, &stored, rules).unwrap();
        difference.check("store").unwrap();
        assert_eq!(difference.sink_documents, 1500);
    }
    let absent = oracle::search(search.url(), "absent").await.unwrap();
    assert!(absent.is_empty());
    search.clear().await.unwrap();
}

#[tokio::test]
async fn a_random_workload_can_be_repeated_and_does_everything() {
    use readside_tests::oracle;
    use readside_tests::workload::Workload;
    const SCHEMA: &str = "
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE DOMAIN price AS numeric(8, 2) CHECK (VALUE > -1000000);
        CREATE TABLE area (id int PRIMARY KEY, name text, parent int REFERENCES area ON DELETE SET NULL);
        CREATE TABLE thing (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, area int NOT NULL REFERENCES area,
            label varchar(20), p price, m mood, tags text[], doc jsonb, body text, at timestamptz, i interval, b bytea, d date,
            u uuid, f float8, twice numeric GENERATED ALWAYS AS (p * 2) STORED);
        CREATE TABLE part (thing bigint REFERENCES thing ON DELETE CASCADE ON UPDATE CASCADE, no smallint, ok bool,
            PRIMARY KEY (thing, no));";
    let server = Postgres::start(15, &[]).await.unwrap();
    let mut contents = Vec::new();
    for name in ["one", "two"] {
        let url = server.create_database(name).await.unwrap();
        let client = server.client(name).await.unwrap();
        client.batch_execute(SCHEMA).await.unwrap();
        let workload = Workload::new(&url, 7).transactions(400).truncate(0.02);
        let filled = workload.fill(20).await.unwrap();
        assert!(filled.statements["insert"] > 30, "{filled}");
        let summary = workload.run().await.unwrap();
        for kind in [
            "insert",
            "update",
            "update many",
            "touch",
            "reparent",
            "change key",
            "delete",
            "replace",
            "upsert",
            "truncate",
        ] {
            assert!(
                summary.statements.get(kind).is_some_and(|n| *n > 0),
                "{kind}: {summary}"
            );
        }
        assert!(
            summary.rolled_back > 0 && summary.committed > 300,
            "{summary}"
        );
        let mut rows = Vec::new();
        for table in ["area", "thing", "part"] {
            let mut part = oracle::source(&url, &format!("SELECT * FROM {table}"))
                .await
                .unwrap();
            part.sort();
            rows.extend(part);
        }
        assert!(rows.len() > 20);
        contents.push(rows);
    }
    assert_eq!(contents[0], contents[1]);
}

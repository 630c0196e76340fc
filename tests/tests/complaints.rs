//! What users of other systems complain of: each must not be possible here.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::{Duration, Instant};

use readside_tests::scene::{ARRIVAL_LIMIT, Scene};
use readside_tests::until;

const ORDERS: &str = "
    CREATE TYPE status AS ENUM ('open', 'paid', 'cancelled');
    CREATE TABLE customer (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL REFERENCES customer ON DELETE CASCADE, status status NOT NULL,
        note text);
    CREATE TABLE item (orders bigint REFERENCES orders ON DELETE CASCADE, no int, product text, quantity int, PRIMARY KEY (orders, no));
    CREATE TABLE unwatched (id bigint GENERATED ALWAYS AS IDENTITY, filler text);
    INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 50) i;
    INSERT INTO orders SELECT i, 1 + i % 50, 'open' FROM generate_series(1, 2000) i;
    INSERT INTO item SELECT o.id, n, 'product ' || (o.id + n) % 97, n FROM orders o, generate_series(1, 3) n;";

const ORDER_VIEW: &str = "
    SELECT o.id, o.status, o.note, c.name AS customer,
        (SELECT jsonb_agg(jsonb_build_object('no', i.no, 'product', i.product, 'quantity', i.quantity) ORDER BY i.no)
         FROM item i WHERE i.orders = o.id) AS items
    FROM orders o JOIN customer c ON c.id = o.customer";

async fn orders() -> Scene {
    let mut scene = Scene::new(15, ORDERS).await.unwrap();
    scene.view("orders", ORDER_VIEW, &["id"]).unwrap();
    scene
}

/// As [`orders`], with nothing but Redis as a sink.
async fn orders_in_cache() -> Scene {
    let mut scene = Scene::new(15, ORDERS).await.unwrap();
    scene
        .view_in("orders", ORDER_VIEW, &["id"], &["cache"])
        .unwrap();
    scene
}

#[tokio::test]
async fn writes_made_during_the_first_load_arrive() {
    let scene = orders().await;
    let app = scene.app().await.unwrap();
    let _process = scene.project.run().await.unwrap();
    let start = Instant::now();
    let mut id = 10_000_i64;
    while start.elapsed() < Duration::from_secs(4) {
        app.batch_execute(&format!(
            "BEGIN; INSERT INTO orders VALUES ({id}, 1 + {id} % 50, 'open'); INSERT INTO item VALUES ({id}, 1, 'new', 1); \
             UPDATE orders SET status = 'paid' WHERE id = 1 + {id} % 2000; DELETE FROM item WHERE orders = 1 + ({id} * 7) % 2000 AND no = 3; COMMIT"
        ))
        .await
        .unwrap();
        id += 1;
    }
    scene.check_converged().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn deleted_and_moved_children_reach_both_parents() {
    let scene = orders().await;
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene
        .execute(
            "DELETE FROM item WHERE orders <= 100 AND no = 2;
             UPDATE item SET orders = orders + 1000 , no = no + 10 WHERE orders BETWEEN 101 AND 200;
             UPDATE orders SET customer = 50 WHERE id BETWEEN 201 AND 300;
             UPDATE customer SET name = 'renamed' WHERE id = 7;
             DELETE FROM customer WHERE id = 3",
        )
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_burst_is_drained_to_its_end() {
    let scene = orders_in_cache().await;
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let app = scene.app().await.unwrap();
    for id in 20_000..23_000 {
        app.batch_execute(&format!("INSERT INTO orders VALUES ({id}, 1, 'open')"))
            .await
            .unwrap();
    }
    scene.check_converged().await.unwrap();
}

#[tokio::test]
async fn the_slot_advances_while_the_watched_tables_are_idle() {
    let scene = orders_in_cache().await;
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let app = scene.app().await.unwrap();
    app.batch_execute(
        "INSERT INTO unwatched (filler) SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
    )
    .await
    .unwrap();
    let written: String = app
        .query_one("SELECT pg_current_wal_lsn()::text", &[])
        .await
        .unwrap()
        .get(0);
    until("the slot to advance", Duration::from_secs(60), || async {
        let row = app
            .query_one(
                "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = 'readside'",
                &[&written],
            )
            .await?;
        anyhow::ensure!(row.get::<_, bool>(0), "confirmed is before {written}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_unchanged_long_value_never_turns_into_null() {
    let mut scene = Scene::new(
        15,
        "CREATE TABLE page (id int PRIMARY KEY, hits int NOT NULL, body text, meta jsonb);
         INSERT INTO page SELECT i, 0, (SELECT string_agg(md5(i::text || n), '') FROM generate_series(1, 400) n),
            jsonb_build_object('k', (SELECT string_agg(md5(i::text || -n), '') FROM generate_series(1, 200) n))
         FROM generate_series(1, 20) i",
    )
    .await
    .unwrap();
    scene.view("pages", "SELECT * FROM page", &["id"]).unwrap();
    scene
        .view(
            "sizes",
            "SELECT id, hits, length(body) AS size, meta -> 'k' IS NULL AS empty FROM page",
            &["id"],
        )
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene
        .execute("UPDATE page SET hits = hits + 1; UPDATE page SET id = id + 100 WHERE id <= 5")
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    process.stop().await.unwrap();
    scene
        .execute("UPDATE page SET hits = hits + 1")
        .await
        .unwrap();
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn keys_of_every_type_are_told_apart() {
    let types: &[(&str, &str)] = &[
        ("int2", "(1), (-7), (32767)"),
        ("int4", "(1), (-7), (2147483647)"),
        ("int8", "(1), (-7), (9007199254740993), (9007199254740992)"),
        ("numeric", "(1), (1.5), (-0.25), (12345678901234567890.123)"),
        (
            "text",
            "(''), (' '), ('a:b'), ('a%b'), ('ß'), ('日本'), ('%N'), ('A'), ('a')",
        ),
        ("varchar(10)", "('x'), ('x '), ('X')"),
        ("char(4)", "('x'), ('xy'), ('')"),
        ("bool", "(true), (false)"),
        (
            "uuid",
            "('00000000-0000-0000-0000-000000000001'), ('ffffffff-0000-0000-0000-000000000001')",
        ),
        ("date", "('2024-02-29'), ('0044-03-15 BC'), ('infinity')"),
        ("time", "('00:00'), ('23:59:59.999999'), ('24:00')"),
        (
            "timestamp",
            "('2024-02-29 12:00'), ('2024-02-29 12:00:00.5'), ('-infinity')",
        ),
        (
            "timestamptz",
            "('2024-02-29 12:00+02'), ('2024-02-29 12:00:00.000001+00')",
        ),
        ("bytea", "('\\x00'), ('\\x'), ('\\xff25')"),
        ("mood", "('good'), ('bad'), ('so: so')"),
        ("short", "('a'), ('b')"),
    ];
    let mut schema =
        "CREATE TYPE mood AS ENUM ('good', 'bad', 'so: so'); CREATE DOMAIN short AS varchar(3);"
            .to_owned();
    for (number, (ty, values)) in types.iter().enumerate() {
        schema.push_str(&format!(
            "CREATE TABLE t{number} (k {ty} PRIMARY KEY, n int DEFAULT 0); INSERT INTO t{number} (k) VALUES {values};"
        ));
    }
    schema.push_str(
        "CREATE TABLE pair (a text, b text, n int DEFAULT 0, PRIMARY KEY (a, b));
         INSERT INTO pair (a, b) VALUES ('a', 'b:c'), ('a:b', 'c'), ('', 'a'), ('a', ''), ('%', 'Z');",
    );
    let mut scene = Scene::new(15, &schema).await.unwrap();
    for number in 0..types.len() {
        scene
            .view(
                &format!("v{number}"),
                &format!("SELECT * FROM t{number}"),
                &["k"],
            )
            .unwrap();
    }
    scene
        .view("pairs", "SELECT * FROM pair", &["a", "b"])
        .unwrap();
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let mut change = "UPDATE pair SET n = 1; DELETE FROM pair WHERE a = 'a:b';".to_owned();
    for number in 0..types.len() {
        change.push_str(&format!(
            "UPDATE t{number} SET n = 1; DELETE FROM t{number} WHERE k = (SELECT k FROM t{number} ORDER BY k DESC LIMIT 1);"
        ));
    }
    scene.execute(&change).await.unwrap();
    scene.check_converged().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_new_index_or_column_on_the_source_disturbs_no_view() {
    let scene = orders_in_cache().await;
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let before = process
        .metric("readside_load_rows_total", &[])
        .await
        .unwrap();
    scene
        .execute("CREATE INDEX ON orders (customer); ALTER TABLE unwatched ADD COLUMN more int; ANALYZE; UPDATE orders SET note = 'x' WHERE id < 10")
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    process.check_running().unwrap();
    let after = process
        .metric("readside_load_rows_total", &[])
        .await
        .unwrap();
    assert_eq!(before, after, "no table is loaded again");
}

#[tokio::test]
async fn a_large_transaction_goes_through_without_being_held_in_memory() {
    let mut scene = Scene::new(
        15,
        "CREATE TABLE big (id bigint PRIMARY KEY, filler text NOT NULL, n int NOT NULL)",
    )
    .await
    .unwrap();
    scene
        .view_in(
            "total",
            "SELECT count(*) AS rows, sum(n) AS total FROM big",
            &[],
            &["cache"],
        )
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let idle = process.resident_bytes().unwrap();
    // 300 MB in one transaction.
    scene
        .execute(
            "INSERT INTO big SELECT i, repeat(md5(i::text), 32), i % 10 FROM generate_series(1, 300000) i; \
             UPDATE big SET n = n + 1 WHERE id % 10 = 0; DELETE FROM big WHERE id % 7 = 0",
        )
        .await
        .unwrap();
    let highest = std::sync::atomic::AtomicU64::new(0);
    let watched = async {
        loop {
            if let Ok(now) = process.resident_bytes() {
                highest.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = scene.check_converged() => done.unwrap(),
        () = watched => {}
    }
    let grown = highest.into_inner().saturating_sub(idle) >> 20;
    assert!(grown < 200, "memory grew by {grown} MiB");
}

#[tokio::test]
async fn what_was_deleted_while_a_sink_was_down_is_no_ghost() {
    let mut scene = orders_in_cache().await;
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.redis.stop().await.unwrap();
    scene
        .execute("DELETE FROM orders WHERE id % 2 = 0; INSERT INTO orders VALUES (90000, 1, 'open'); DELETE FROM orders WHERE id = 90000")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.redis.restart().await.unwrap();
    scene.check_converged().await.unwrap();
}

#[tokio::test]
async fn a_new_view_rebuilds_no_other() {
    let mut scene = orders_in_cache().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    process.stop().await.unwrap();
    scene
        .view_in("customers", "SELECT * FROM customer", &["id"], &["cache"])
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let written = process
        .metric("readside_sink_writes_total", &["view=\"orders\""])
        .await
        .unwrap();
    assert!(
        written.unwrap_or(0.0) < 1.0,
        "{written:?} orders were written again"
    );
}

#[tokio::test]
async fn nothing_but_publication_and_slot_is_made_on_the_source() {
    const CENSUS: &str = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_trigger), \
        (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_extension), \
        (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_replication_slots), \
        (SELECT string_agg(relname || relreplident::text, ',' ORDER BY oid) FROM pg_class WHERE relkind = 'r')";
    let scene = orders_in_cache().await;
    let app = scene.app().await.unwrap();
    let census = || async {
        let row = app.query_one(CENSUS, &[]).await.unwrap();
        let counts: Vec<i64> = (0..8).map(|i| row.get(i)).collect();
        (counts, row.get::<_, String>(8))
    };
    let before = census().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let mut with_both = before.clone();
    with_both.0[6] += 1;
    with_both.0[7] += 1;
    assert_eq!(census().await, with_both);
    process.stop().await.unwrap();
    let dropped = scene
        .project
        .command(&["drop", "--yes"], Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert_eq!(census().await, before);
}

#[tokio::test]
async fn the_first_load_makes_no_migration_of_the_application_wait() {
    let scene = orders_in_cache().await;
    scene
        .execute("INSERT INTO orders SELECT i, 1 + i % 50, 'open', repeat('long ', 50) FROM generate_series(100001, 300000) i")
        .await
        .unwrap();
    let _process = scene.project.run().await.unwrap();
    let app = scene.app().await.unwrap();
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    let mut number = 0;
    while start.elapsed() < Duration::from_secs(8) {
        let one = Instant::now();
        number += 1;
        app.batch_execute(&format!(
            "ALTER TABLE unwatched ADD COLUMN c{number} int; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"
        ))
        .await
        .unwrap();
        longest = longest.max(one.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(longest < Duration::from_secs(4), "waited {longest:?}");
    scene.check_converged().await.unwrap();
}

#[tokio::test]
async fn a_session_reads_its_own_writes_after_waiting_for_its_lsn() {
    let scene = orders().await;
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let app = scene.app().await.unwrap();
    let mut cache = scene.redis.connection().await.unwrap();
    for round in 0..20 {
        app.batch_execute(&format!(
            "UPDATE orders SET note = 'round {round}' WHERE id = 1"
        ))
        .await
        .unwrap();
        let lsn: String = app
            .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
            .await
            .unwrap()
            .get(0);
        let waited = scene
            .project
            .command(&["wait", "--view", "orders", "--lsn", &lsn], ARRIVAL_LIMIT)
            .await
            .unwrap();
        assert_eq!(waited.code, Some(0), "{waited:?}");
        let value: String = redis::cmd("GET")
            .arg("orders:1")
            .query_async(&mut cache)
            .await
            .unwrap();
        assert!(value.contains(&format!("round {round}")), "{value}");
        let body = r#"{"query":{"term":{"_id":"1"}}}"#.to_owned();
        let path = format!("/{}orders/_search", scene.search.prefix());
        let (_, found) = scene
            .search
            .request(reqwest::Method::POST, &path, Some(body))
            .await
            .unwrap();
        assert!(found.contains(&format!("round {round}")), "{found}");
    }
    scene.clear().await.unwrap();
}

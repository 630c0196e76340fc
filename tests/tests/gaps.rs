//! Whatever takes something away (the slot, the publication, the source's last minutes, a sink's last writes), every sink ends up as the
//! views' SQL says.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::Duration;

use readside_tests::scene::{ARRIVAL_LIMIT, Scene};
use readside_tests::until;

const SHOP: &str = "
    CREATE TYPE status AS ENUM ('open', 'paid', 'cancelled');
    CREATE TABLE customer (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL REFERENCES customer, status status NOT NULL, amount int NOT NULL);
    INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 20) i;
    INSERT INTO orders SELECT i, 1 + i % 20, 'open', i FROM generate_series(1, 400) i;";

const ORDERS: &str =
    "SELECT o.id, o.status, o.amount, c.name FROM orders o JOIN customer c ON c.id = o.customer";
const TOTALS: &str =
    "SELECT customer, count(*) AS orders, sum(amount) AS total FROM orders GROUP BY customer";

async fn shop() -> Scene {
    let mut scene = Scene::new(15, SHOP).await.unwrap();
    let sinks = ["cache", "reporting"];
    scene.view_in("orders", ORDERS, &["id"], &sinks).unwrap();
    scene
        .view_in("totals", TOTALS, &["customer"], &sinks)
        .unwrap();
    scene
}

/// Until the sinks are right, without asking readside.
async fn equal(scene: &Scene, what: &str) {
    until(what, ARRIVAL_LIMIT, || async {
        scene.project.check_equal().await
    })
    .await
    .unwrap();
}

async fn drop_slot(scene: &Scene) {
    until("the slot to be free", ARRIVAL_LIMIT, || async {
        scene
            .execute("SELECT pg_drop_replication_slot('readside')")
            .await
    })
    .await
    .unwrap();
}

fn log_says(scene: &Scene, what: &str) -> bool {
    std::fs::read_to_string(scene.project.log())
        .unwrap()
        .contains(what)
}

#[tokio::test]
async fn a_dropped_index_and_a_dropped_table_under_an_idle_readside_are_made_and_filled_again() {
    let mut scene = Scene::new(15, SHOP).await.unwrap();
    scene.view("orders", ORDERS, &["id"]).unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene
        .reporting
        .client("reports")
        .await
        .unwrap()
        .batch_execute("DROP TABLE readside.orders")
        .await
        .unwrap();
    let path = format!("/{}orders-g1", scene.search.prefix());
    readside_tests::http_client()
        .delete(format!("{}{path}", scene.search.url()))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    equal(&scene, "the table and the index to be filled again").await;
    process.check_running().unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_cache_that_lost_its_last_writes_gets_them_again_and_loses_what_came_back() {
    let scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let mut connection = scene.redis.connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut image = Vec::new();
    for key in keys {
        let value: Vec<u8> = redis::cmd("GET")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        image.push((key, value));
    }
    scene
        .execute(
            "DELETE FROM orders WHERE id <= 100;
             INSERT INTO orders SELECT i, 1, 'open', i FROM generate_series(500, 510) i;
             UPDATE orders SET status = 'paid' WHERE id > 300",
        )
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    // As after a failover to a replica that had not got the last writes.
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("FLUSHDB");
    for (key, value) in &image {
        pipeline.cmd("SET").arg(key).arg(value);
    }
    pipeline.query_async::<()>(&mut connection).await.unwrap();
    equal(&scene, "the cache to be right again").await;
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_slot_that_was_dropped_after_a_kill_leaves_no_sink_at_what_lay_between() {
    let scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    // Shown to the sinks, and maybe flushed nowhere.
    scene
        .execute("UPDATE orders SET amount = -1 WHERE id <= 50")
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    process.kill9().await.unwrap();
    drop_slot(&scene).await;
    scene
        .execute("UPDATE orders SET amount = id WHERE id <= 50; DELETE FROM orders WHERE id = 51")
        .await
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    assert!(
        !log_says(&scene, "lost what it had acknowledged"),
        "the sinks had lost nothing"
    );
}

#[tokio::test]
async fn a_slot_that_the_server_gave_up_is_made_anew() {
    let scene = shop().await;
    let app = scene.app().await.unwrap();
    app.batch_execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        .await
        .unwrap();
    app.batch_execute("SELECT pg_reload_conf(); CREATE TABLE filler (t text)")
        .await
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    until("the slot to be lost", ARRIVAL_LIMIT, || async {
        app.batch_execute(
            "INSERT INTO filler SELECT repeat(md5(i::text), 100) FROM generate_series(1, 10000) i",
        )
        .await?;
        app.batch_execute("SELECT pg_switch_wal(); CHECKPOINT")
            .await?;
        let row = app
            .query_one(
                "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = 'readside'",
                &[],
            )
            .await?;
        anyhow::ensure!(row.get::<_, bool>(0), "it is not lost yet");
        Ok(())
    })
    .await
    .unwrap();
    scene.execute("UPDATE orders SET status = 'cancelled' WHERE id % 7 = 0; DELETE FROM orders WHERE id % 11 = 0").await.unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for() {
    let scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    let holder = scene.source.programs().unwrap().join("pg_recvlogical");
    let mut holder = tokio::process::Command::new(holder)
        .args([
            "--start",
            "--slot",
            "readside",
            "-o",
            "proto_version=1",
            "-o",
            "publication_names=readside",
            "-f",
            "/dev/null",
            "-d",
        ])
        .arg(scene.app_url())
        // It confirms nothing.
        .args(["-F", "0", "-s", "0"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let app = scene.app().await.unwrap();
    until("the slot to be taken", ARRIVAL_LIMIT, || async {
        let row = app
            .query_one(
                "SELECT active FROM pg_replication_slots WHERE slot_name = 'readside'",
                &[],
            )
            .await?;
        anyhow::ensure!(row.get::<_, bool>(0), "nobody has it");
        Ok(())
    })
    .await
    .unwrap();
    scene
        .execute("UPDATE orders SET status = 'paid' WHERE id < 10")
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    until("readside to say so", ARRIVAL_LIMIT, || async {
        anyhow::ensure!(log_says(&scene, "already active"), "it does not");
        Ok(())
    })
    .await
    .unwrap();
    process.check_running().unwrap();
    holder.kill().await.unwrap();
    scene.check_converged().await.unwrap();
}

#[tokio::test]
async fn a_source_that_fell_back_is_followed_by_difference() {
    for promoted in [false, true] {
        let mut scene = shop().await;
        let process = scene.project.run().await.unwrap();
        scene.check_converged().await.unwrap();
        scene.source.keep_image().await.unwrap();
        scene
            .execute("UPDATE orders SET amount = -1 WHERE id <= 50; DELETE FROM orders WHERE id > 390; INSERT INTO orders VALUES (1000, 1, 'paid', 1)")
            .await
            .unwrap();
        scene.check_converged().await.unwrap();
        scene.source.put_back_image(promoted).await.unwrap();
        scene
            .execute("UPDATE orders SET status = 'paid' WHERE id BETWEEN 20 AND 30")
            .await
            .unwrap();
        scene.check_converged().await.unwrap();
        assert_eq!(process.stop().await.unwrap(), Some(0));
        assert!(
            !log_says(&scene, "lost what it had acknowledged"),
            "the sinks had lost nothing"
        );
    }
}

#[tokio::test]
async fn a_promoted_server_that_has_everything_is_followed_without_a_copy() {
    let mut scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    process.kill9().await.unwrap();
    scene.source.keep_image().await.unwrap();
    scene.source.put_back_image(true).await.unwrap();
    scene
        .execute("UPDATE orders SET status = 'paid' WHERE id BETWEEN 20 AND 30")
        .await
        .unwrap();
    let before = std::fs::read_to_string(scene.project.log()).unwrap().len();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    let log = std::fs::read_to_string(scene.project.log()).unwrap();
    let log = log.get(before..).unwrap_or(&log);
    assert!(log.contains("the source was promoted"), "{log}");
    assert!(!log.contains("copying tables"), "{log}");
}

#[tokio::test]
async fn a_table_that_was_out_of_the_publication_is_copied_anew() {
    let scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    scene
        .execute("ALTER PUBLICATION readside DROP TABLE orders")
        .await
        .unwrap();
    scene
        .execute("UPDATE orders SET amount = -1 WHERE id <= 50; DELETE FROM orders WHERE id > 390")
        .await
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    // And while it runs.
    scene.execute("ALTER PUBLICATION readside DROP TABLE orders; UPDATE orders SET amount = -2 WHERE id <= 50").await.unwrap();
    equal(&scene, "the table to be copied anew").await;
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_lost_key_stops_readside_and_not_the_application() {
    let scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene
        .execute("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
        .await
        .unwrap();
    until("the application to write again", ARRIVAL_LIMIT, || async {
        scene
            .execute("UPDATE orders SET amount = 7 WHERE id = 7")
            .await
    })
    .await
    .unwrap();
    let ended = process.ended(ARRIVAL_LIMIT).await.unwrap();
    assert_eq!(ended.code(), Some(4));
    scene
        .execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        .await
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_renamed_label_is_shown() {
    let scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene
        .execute("UPDATE orders SET status = 'paid' WHERE id <= 20")
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    // It watches from its first look at the catalog on.
    tokio::time::sleep(Duration::from_secs(7)).await;
    scene
        .execute("ALTER TYPE status RENAME VALUE 'paid' TO 'settled'")
        .await
        .unwrap();
    equal(&scene, "the label to be renamed").await;
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_full_log_has_room_again_by_itself() {
    let mut scene = shop().await;
    scene
        .project
        .data_setting("changelog_bytes_max = \"4MB\"")
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    // Several times what it may hold, in pieces that it can take.
    for i in 0..40 {
        scene
            .execute(&format!(
                "INSERT INTO customer SELECT {i} * 100 + i, repeat(md5(i::text), 100) FROM generate_series(1000, 1099) i"
            ))
            .await
            .unwrap();
    }
    until("the log to be full", ARRIVAL_LIMIT, || async {
        anyhow::ensure!(log_says(&scene, "its limit is"), "it is not");
        Ok(())
    })
    .await
    .unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_cache_without_room_is_written_later() {
    let scene = shop().await;
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let mut connection = scene.redis.connection().await.unwrap();
    let limit = async |connection: &mut redis::aio::MultiplexedConnection, limit: &str| {
        redis::cmd("CONFIG")
            .arg(&["SET", "maxmemory", limit])
            .query_async::<()>(connection)
            .await
            .unwrap();
    };
    limit(&mut connection, "1mb").await;
    scene
        .execute("UPDATE orders SET amount = -3; DELETE FROM orders WHERE id <= 10")
        .await
        .unwrap();
    until("the cache to refuse", ARRIVAL_LIMIT, || async {
        let up = process
            .metric("readside_sink_up", &["sink=\"cache\""])
            .await?;
        anyhow::ensure!(up.is_some_and(|up| up < 0.5), "it is shown as {up:?}");
        Ok(())
    })
    .await
    .unwrap();
    limit(&mut connection, "0").await;
    scene.check_converged().await.unwrap();
    process.check_running().unwrap();
    let letters = scene
        .project
        .command(&["dead-letters", "--json"], ARRIVAL_LIMIT)
        .await
        .unwrap();
    assert!(!letters.stdout.contains("order:"), "{}", letters.stdout);
}

#[tokio::test]
async fn a_view_that_comes_back_leaves_no_ghosts() {
    let mut scene = shop().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    scene.project.remove_view("orders").unwrap();
    let process = scene.project.run().await.unwrap();
    scene
        .execute("DELETE FROM orders WHERE id <= 100")
        .await
        .unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    assert!(log_says(&scene, "not configured any more"));
    scene
        .view_in("orders", ORDERS, &["id"], &["cache", "reporting"])
        .unwrap();
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
}

#[tokio::test]
async fn two_names_for_one_place_are_told_and_do_no_harm() {
    let mut scene = Scene::new(15, SHOP).await.unwrap();
    let url = scene.redis.url().replace("127.0.0.1", "localhost");
    scene.project.redis("zcache", &url).unwrap();
    scene
        .view_in("orders", ORDERS, &["id"], &["cache"])
        .unwrap();
    scene
        .view_in("totals", TOTALS, &["customer"], &["zcache"])
        .unwrap();
    let _process = scene.project.run().await.unwrap();
    until("it to be told", ARRIVAL_LIMIT, || async {
        let status = scene
            .project
            .command(&["status", "--json"], ARRIVAL_LIMIT)
            .await?;
        anyhow::ensure!(
            status.stdout.contains("two names for one place"),
            "{}",
            status.stdout
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn it_can_be_stopped_at_any_time() {
    let scene = shop().await;
    scene
        .execute(
            "INSERT INTO orders SELECT i, 1 + i % 20, 'open', i FROM generate_series(1000, 9000) i",
        )
        .await
        .unwrap();
    for after in [0_u64, 300, 700, 1_500, 3_000] {
        let process = scene.project.run().await.unwrap();
        tokio::time::sleep(Duration::from_millis(after)).await;
        assert_eq!(
            process.stop().await.unwrap(),
            Some(0),
            "stopped after {after} ms"
        );
        scene
            .execute("UPDATE orders SET amount = amount + 1 WHERE id % 10 = 0")
            .await
            .unwrap();
    }
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
}

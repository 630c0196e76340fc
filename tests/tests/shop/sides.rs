//! What each side depends on, and what it doesn't.

use std::time::{Duration, Instant};

use readside_shop::Traffic;
use readside_tests::scene::ARRIVAL_LIMIT;
use readside_tests::shop::Service;
use readside_tests::{http_client, until};
use serde_json::json;

use crate::opened::{Done, Shop, at};

/// Commands that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop-command' AND wait_event_type = 'Lock'";

#[tokio::test]
async fn queries_need_no_write_database() {
    let mut shop = Shop::open().await;
    let item = json!([{"product_id": shop.on_sale().await, "quantity": 1}]);
    let order = json!({"customer_id": 1, "items": item});
    let placed = shop.done("place-order", order.clone()).await;
    let details = format!("order-details/{}", placed.id);
    let paths = [
        details.as_str(),
        "user-cart/4",
        "product-list?text=oak",
        "order-history/1",
        "product-popularity",
        "dashboard-metrics",
    ];
    for path in paths {
        shop.found(path, &placed).await;
        assert_eq!(
            shop.queries.query(path).await.unwrap().status,
            200,
            "{path}"
        );
    }
    // The query service has connections to what it reads, and none to the source.
    let ports = shop.queries.peer_ports().unwrap();
    let scene = &shop.scene;
    for (store, port) in [
        ("Redis", scene.redis.port()),
        ("OpenSearch", scene.search.port()),
        ("the reporting database", scene.reporting.port()),
    ] {
        assert!(ports.contains(&port), "{store} is at {port}: {ports:?}");
    }
    let source = scene.source.port();
    assert!(
        !ports.contains(&source),
        "the source is at {source}: {ports:?}"
    );
    assert!(shop.commands.peer_ports().unwrap().contains(&source));
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    let count = |database, name: &'static str| async move {
        let client: tokio_postgres::Client = database;
        client
            .query_one(sql, &[&name])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    let source = || scene.source.client("app");
    assert_eq!(count(source().await.unwrap(), "shop-query").await, 0);
    assert!(count(source().await.unwrap(), "shop-command").await > 0);
    let reporting = scene.reporting.client("reports").await.unwrap();
    assert!(count(reporting, "shop-query").await > 0);

    // Without the write database, commands are refused and queries answered.
    shop.scene.source.crash().await.unwrap();
    let answer = shop.refused("place-order", &order).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
    for path in paths {
        shop.found(path, &placed).await;
        assert_eq!(
            shop.queries.query(path).await.unwrap().status,
            200,
            "{path}"
        );
    }
    // When it is back, its connections are opened anew, and nothing has to be restarted.
    shop.scene.source.restart().await.unwrap();
    shop.database = shop.scene.app().await.unwrap();
    let placed = shop.done("place-order", order).await;
    let history = shop.found("order-history/1", &placed).await;
    assert_eq!(history["orders"][0]["order_id"], placed.id);
    // The same with the stores: a connection that broke is opened again.
    shop.scene.redis.crash().await.unwrap();
    let answer = shop.queries.query("user-cart/4").await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    shop.scene.redis.restart().await.unwrap();
    shop.scene.reporting.stop_fast().await.unwrap();
    let answer = shop.queries.query("order-history/1").await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    shop.scene.reporting.restart().await.unwrap();
    until("queries to be answered", ARRIVAL_LIMIT, || async {
        for path in paths {
            let status = shop.queries.query(path).await?.status;
            anyhow::ensure!(status == 200, "{path}: {status}");
        }
        anyhow::Ok(())
    })
    .await
    .unwrap();
    shop.close().await;
}

/// How many of a product lie in the cart of customer 8.
async fn quantity(shop: &Shop, product: i64, at_least: &Done) -> i64 {
    let cart = shop.found("user-cart/8", at_least).await;
    let mut items = cart["items"].as_array().unwrap().iter();
    let item = items.find(|item| item["product_id"] == product);
    item.unwrap()["quantity"].as_i64().unwrap()
}

#[tokio::test]
async fn a_reader_gets_what_was_asked_for_or_is_told_to_come_again() {
    let mut shop = Shop::open().await;
    let product = shop.on_sale().await;
    let fill = json!({"customer_id": 8, "product_id": product, "quantity": 1});
    let filled = shop.done("add-item-to-cart", fill.clone()).await;
    let before = quantity(&shop, product, &filled).await;

    // Redis stands still: the write can't arrive there, and the reader isn't given the old value.
    shop.scene.redis.sigstop().unwrap();
    let filled = shop.done("add-item-to-cart", fill).await;
    let path = format!("user-cart/8?min_lsn={}&wait_ms=300", filled.lsn);
    let start = Instant::now();
    let answer = shop.queries.query(&path).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
    assert_eq!(
        answer.content_type.as_deref(),
        Some("application/problem+json")
    );
    assert!(
        at(answer.body["position"].as_str().unwrap()) < at(&filled.lsn),
        "{answer:?}"
    );
    shop.scene.redis.sigcont().unwrap();
    assert_eq!(quantity(&shop, product, &filled).await, before + 1);

    // A place that nobody has written yet.
    let answer = shop
        .queries
        .query("user-cart/8?min_lsn=1:FFFFFF/0&wait_ms=50")
        .await
        .unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    // A place in another history.
    let answer = shop
        .queries
        .query("user-cart/8?min_lsn=2:0/1")
        .await
        .unwrap();
    assert_eq!(answer.status, 409, "{answer:?}");
    // A 404 says from when it is, too.
    let answer = shop.read("order-details/999999", &filled).await;
    assert_eq!(answer.status, 404, "{answer:?}");

    for (status, path) in [
        (400, "user-cart/me"),
        (400, "user-cart/8?min_lsn=0/1"),
        (400, "user-cart/8?min_lns=1:0/1"),
        (400, "user-cart/8?min_lsn=1:0/1&min_lsn=1:0/2"),
        (400, "user-cart/8?wait_ms=soon"),
        (422, "user-cart/8?wait_ms=60000&min_lsn=1:0/1"),
        (400, "product-list?sort=cheap"),
        (400, "product-list?colour=red"),
        (422, "product-list?size=0"),
        (422, "product-list?size=101"),
        (422, "product-list?page=101&size=100"),
        (422, "product-popularity?limit=1000"),
        (422, "dashboard-metrics?days=0"),
        (404, "customers"),
        (404, "order-details/999999"),
        (404, "user-cart/999999"),
    ] {
        let answer = shop.queries.query(path).await.unwrap();
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(
            answer.content_type.as_deref(),
            Some("application/problem+json")
        );
        assert_eq!(
            answer.position,
            if status == 404 {
                None
            } else {
                answer.position.clone()
            }
        );
    }

    // Without readside, there is no promise to be had, and everything else is answered.
    shop.readside.sigstop().unwrap();
    assert_eq!(shop.queries.query("user-cart/8").await.unwrap().status, 200);
    let answer = shop.queries.query(&path).await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    shop.readside.sigcont().unwrap();
    assert_eq!(quantity(&shop, product, &filled).await, before + 1);
    shop.close().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_command_done_or_not_done() {
    let shop = Shop::open().await;
    let product = shop.on_sale().await;
    let order = |note: &str| json!({"customer_id": 1, "items": [{"product_id": product, "quantity": 1}], "note": note});
    // Somebody holds the customer's row; the service waits for it, and its client doesn't.
    let holder = shop.scene.app().await.unwrap();
    holder
        .batch_execute("BEGIN; SELECT FROM customers WHERE id = 1 FOR UPDATE")
        .await
        .unwrap();
    for note in ["one", "two"] {
        let request = http_client()
            .post(format!("{}/commands/place-order", shop.commands.url()))
            .json(&order(note));
        let sent = tokio::spawn(request.send());
        until("the command to wait", Duration::from_secs(30), || async {
            let row = shop.database.query_one(WAITING, &[]).await?;
            anyhow::ensure!(row.get::<_, i64>(0) > 0, "it does not wait");
            anyhow::Ok(())
        })
        .await
        .unwrap();
        sent.abort();
        assert!(sent.await.unwrap_err().is_cancelled());
    }
    holder.batch_execute("COMMIT").await.unwrap();
    let placed = "SELECT count(*), count(DISTINCT note), min((SELECT count(*) FROM order_items i WHERE i.order_id = o.id)) \
                  FROM orders o WHERE note IN ('one', 'two')";
    until("both orders", Duration::from_secs(30), || async {
        let row = shop.database.query_one(placed, &[]).await?;
        let found: (i64, i64, Option<i64>) = (row.get(0), row.get(1), row.get(2));
        anyhow::ensure!(found == (2, 2, Some(1)), "{found:?}");
        anyhow::Ok(())
    })
    .await
    .unwrap();
    until("no transaction to be left open", Duration::from_secs(30), || async {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop-command' AND state <> 'idle'";
        let row = shop.database.query_one(open, &[]).await?;
        anyhow::ensure!(row.get::<_, i64>(0) == 0, "one is");
        anyhow::Ok(())
    })
    .await
    .unwrap();
    shop.close().await;
}

#[tokio::test]
async fn a_command_that_ran_into_a_deadlock_is_done_all_the_same() {
    let shop = Shop::open().await;
    shop.database
        .batch_execute("UPDATE products SET active = true WHERE id <= 6")
        .await
        .unwrap();
    // The command has the customer and waits for the product; somebody else the other way round, and more patiently.
    let other = shop.scene.app().await.unwrap();
    other
        .batch_execute(
            "SET deadlock_timeout = '60s'; BEGIN; SELECT FROM products WHERE id = 1 FOR UPDATE",
        )
        .await
        .unwrap();
    let add = json!({"customer_id": 1, "product_id": 1, "quantity": 1});
    let command = shop.commands.command("add-item-to-cart", &add);
    let crossing = async {
        until("the command to wait", Duration::from_secs(30), || async {
            let row = shop.database.query_one(WAITING, &[]).await?;
            anyhow::ensure!(row.get::<_, i64>(0) > 0, "it does not wait");
            anyhow::Ok(())
        })
        .await
        .unwrap();
        other
            .batch_execute("SELECT FROM customers WHERE id = 1 FOR UPDATE; COMMIT")
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(command, crossing);
    assert_eq!(answer.unwrap().status, 200);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'app'";
    until(
        "the deadlock to be counted",
        Duration::from_secs(30),
        || async {
            let row = shop.database.query_one(deadlocks, &[]).await?;
            anyhow::ensure!(row.get::<_, i64>(0) > 0, "there was none");
            anyhow::Ok(())
        },
    )
    .await
    .unwrap();

    // The same carts and products from many sides, in every order.
    let commands = (0..120).map(|number| {
        let customer = 1 + number % 2;
        let product = 1 + (number * 7) % 6;
        let add = json!({"customer_id": customer, "product_id": product, "quantity": 1});
        let price = json!({"product_id": product, "price": format!("{number}.00")});
        let name = ["add-item-to-cart", "place-order", "change-price"][number % 3];
        let body = match name {
            "add-item-to-cart" => add,
            "place-order" => json!({"customer_id": customer}),
            _ => price,
        };
        let shop = &shop;
        async move {
            let answer = shop.commands.command(name, &body).await.unwrap();
            // A cart may be empty; nothing else stands in the way.
            let empty = answer.status == 409 && answer.text.contains("is empty");
            assert!(
                matches!(answer.status, 200 | 201) || empty,
                "{name} {body}: {answer:?}"
            );
        }
    });
    futures::future::join_all(commands).await;
    shop.close().await;
}

#[tokio::test]
async fn customers_always_read_their_own_writes() {
    let shop = Shop::open().await;
    let front = Service::front(&shop.commands, &shop.queries).await.unwrap();
    let traffic = |url: &str| Traffic {
        commands: url.to_owned(),
        queries: url.to_owned(),
        rate: 0,
        reads_per_write: 12,
        sessions: 6,
        skew: 3.0,
        scale: 1,
        seed: 7,
    };
    // A wrong address is an error at once.
    assert!(traffic("http://127.0.0.1:1").start().await.is_err());
    let running = traffic(&front.url()).start().await.unwrap();
    until("commands of all kinds", ARRIVAL_LIMIT, || {
        let seen = running.seen();
        async move {
            anyhow::ensure!(seen.done() >= 150, "{}", seen.summary());
            anyhow::Ok(())
        }
    })
    .await
    .unwrap();
    let seen = running.stop().await;
    let text = seen.table().join("\n");
    assert_eq!(seen.own_missing, 0, "{text}");
    assert_eq!(
        seen.failed_commands + seen.failed_queries + seen.not_now,
        0,
        "{text}"
    );
    assert!(seen.careless > 0, "{text}");
    for model in &seen.models {
        assert!(model.times.count() > 0 && model.own.count() > 0, "{text}");
    }
    // Each customer chooses the distance between two commands around the one that was asked for.
    let ratio = seen.queries() / seen.commands.count();
    assert!(
        (6..=24).contains(&ratio),
        "{ratio} queries for a command:\n{text}"
    );
    assert_eq!(front.stop().await.unwrap(), Some(0));
    shop.close().await;
}

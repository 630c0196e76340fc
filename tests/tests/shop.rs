//! The shop's two sides, end to end: commands go to Postgres, queries are answered from the read models alone, and who has written
//! something reads it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::Duration;

use readside_shop::{SCHEMA, Traffic};
use readside_tests::readside::Process;
use readside_tests::scene::{ARRIVAL_LIMIT, Scene};
use readside_tests::shop::{Answer, Service, Stores, add_views};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// The shop at scale 1, its read models, and both services.
struct Shop {
    commands: Service,
    queries: Service,
    readside: Process,
    database: Client,
    scene: Scene,
}

impl Shop {
    async fn open() -> Self {
        let mut scene = Scene::new(15, SCHEMA).await.unwrap();
        let database = scene.app().await.unwrap();
        readside_shop::fill(&database, 1).await.unwrap();
        let prefix = scene.search.prefix().to_owned();
        add_views(&mut scene.project, &prefix).unwrap();
        let readside = scene.project.run().await.unwrap();
        scene.project.wait_caught_up(ARRIVAL_LIMIT).await.unwrap();
        let stores = Stores {
            cache: &scene.redis.url(),
            search: scene.search.url(),
            prefix: &prefix,
            reporting: &scene.reporting.url_of("reports"),
            readside: &scene.project.admin_url(),
        };
        Self {
            commands: Service::commands(&scene.app_url()).await.unwrap(),
            queries: Service::queries(&stores).await.unwrap(),
            readside,
            database,
            scene,
        }
    }

    /// Sends a command that is done.
    async fn done(&self, name: &str, body: Value) -> Done {
        let answer = self.commands.command(name, &body).await.unwrap();
        assert!(
            matches!(answer.status, 200 | 201),
            "{name} {body}: {answer:?}"
        );
        let fields: Vec<&String> = answer.body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["id", "lsn"], "a command answers with nothing else");
        Done {
            id: answer.body["id"].as_i64().unwrap(),
            lsn: answer.body["lsn"].as_str().unwrap().to_owned(),
        }
    }

    /// Sends a command that is refused.
    async fn refused(&self, name: &str, body: &Value) -> Answer {
        let answer = self.commands.command(name, body).await.unwrap();
        assert!(answer.status >= 400, "{name} {body}: {answer:?}");
        assert_eq!(
            answer.content_type.as_deref(),
            Some("application/problem+json")
        );
        assert!(answer.body["title"].is_string() && answer.body["detail"].is_string());
        answer
    }

    /// Asks for at least what a command has done.
    async fn read(&self, path: impl AsRef<str>, done: &Done) -> Answer {
        let path = path.as_ref();
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}min_lsn={}&wait_ms=15000", done.lsn);
        let answer = self.queries.query(&path).await.unwrap();
        if answer.status != 503 {
            let position = answer.position.as_ref();
            let position = position.unwrap_or_else(|| panic!("{path}: {answer:?}"));
            assert!(at(position) >= at(&done.lsn), "{position} for {}", done.lsn);
        }
        answer
    }

    async fn found(&self, path: impl AsRef<str>, done: &Done) -> Value {
        let path = path.as_ref();
        let answer = self.read(path, done).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    async fn close(self) {
        self.scene.check_converged().await.unwrap();
        assert_eq!(self.commands.stop().await.unwrap(), Some(0));
        assert_eq!(self.queries.stop().await.unwrap(), Some(0));
        assert_eq!(self.readside.stop().await.unwrap(), Some(0));
        self.scene.clear().await.unwrap();
    }
}

struct Done {
    id: i64,
    lsn: String,
}

/// A position's LSN as a number.
fn at(position: &str) -> u64 {
    let (timeline, lsn) = position.split_once(':').unwrap();
    assert_eq!(timeline, "1");
    let (high, low) = lsn.split_once('/').unwrap();
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}

/// What sells of a product: units and lines.
fn popularity(body: &Value) -> (i64, i64) {
    let product = &body["products"][0];
    let number = |name: &str| product[name].as_i64().unwrap_or(0);
    (number("units"), number("order_lines"))
}

/// All days together.
fn orders(dashboard: &Value) -> i64 {
    let days = dashboard["days"].as_array().unwrap().iter();
    days.map(|day| day["orders"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn whoever_asks_with_a_commands_position_finds_what_it_did() {
    let shop = Shop::open().await;
    let customer = shop
        .done(
            "sign-up",
            json!({"email": "test@example.com", "name": "Ida Test", "country": "SE"}),
        )
        .await
        .id;
    let product = shop
        .done(
            "add-product",
            json!({"sku": "TEST-1", "category_id": 7, "name": "Blue anvil", "price": "12.50", "tags": ["heavy"]}),
        )
        .await;
    let list = shop.found("product-list?text=anvil", &product).await;
    assert_eq!(list["total"], 1);
    assert_eq!(list["products"][0]["sku"], "TEST-1");
    let text = shop.read("product-list?text=anvil", &product).await.text;
    assert!(
        text.contains("\"price\": 12.50"),
        "a price keeps its digits: {text}"
    );
    let before = orders(&shop.found("dashboard-metrics?days=366", &product).await);
    let product = product.id;
    let mut sold = (0, 0);
    for round in 1..=20 {
        let filled = shop
            .done(
                "add-item-to-cart",
                json!({"customer_id": customer, "product_id": product, "quantity": 2}),
            )
            .await;
        assert_eq!(filled.id, customer);
        let cart = shop.found(format!("user-cart/{customer}"), &filled).await;
        assert_eq!(cart["customer"], "Ida Test");
        assert_eq!(cart["items"][0]["quantity"], 2, "round {round}: {cart}");
        assert_eq!(cart["total"].to_string(), "25.0", "round {round}: {cart}");

        let placed = shop
            .done("place-order", json!({"customer_id": customer}))
            .await;
        let id = placed.id;
        let (order, cart, history, popular, dashboard) = tokio::join!(
            shop.found(format!("order-details/{id}"), &placed),
            shop.found(format!("user-cart/{customer}"), &placed),
            shop.found(format!("order-history/{customer}"), &placed),
            shop.found(format!("product-popularity?product_id={product}"), &placed),
            shop.found("dashboard-metrics?days=366", &placed),
        );
        assert_eq!(order["customer"]["id"], customer, "{order}");
        assert_eq!(order["items"][0]["sku"], "TEST-1", "{order}");
        assert_eq!(
            order["total"].as_f64(),
            Some(29.90),
            "goods and shipping: {order}"
        );
        assert_eq!(cart["items"], json!([]), "the order has emptied it");
        assert_eq!(history["orders"][0]["order_id"], id, "{history}");
        sold = (sold.0 + 2, sold.1 + 1);
        assert_eq!(popularity(&popular), sold, "round {round}");
        assert_eq!(orders(&dashboard), before + round, "{dashboard}");

        let status = |status: &str| json!({"order_id": id, "status": status});
        if round % 2 == 0 {
            let paid = shop.done("update-order-status", status("paid")).await;
            let order = shop.found(format!("order-details/{id}"), &paid).await;
            assert_eq!(order["status"], "paid");
            assert!(order["paid_at"].is_string());
            let shipped = shop.done("update-order-status", status("shipped")).await;
            let history = shop
                .found(format!("order-history/{customer}"), &shipped)
                .await;
            assert_eq!(history["orders"][0]["status"], "shipped");
        } else {
            let cancel = json!({"order_id": id, "reason": "Too heavy."});
            let cancelled = shop.done("cancel-order", cancel).await;
            let (order, popular, dashboard) = tokio::join!(
                shop.found(format!("order-details/{id}"), &cancelled),
                shop.found(
                    format!("product-popularity?product_id={product}"),
                    &cancelled
                ),
                shop.found("dashboard-metrics?days=366", &cancelled),
            );
            assert_eq!(
                (&order["status"], &order["note"]),
                (&json!("cancelled"), &json!("Too heavy."))
            );
            sold = (sold.0 - 2, sold.1 - 1);
            assert_eq!(popularity(&popular), sold, "round {round}");
            assert_eq!(orders(&dashboard), before + round);
        }
    }
    // Items named in the command leave the cart alone.
    let items = json!([{"product_id": product, "quantity": 3}, {"product_id": 1, "quantity": 1}]);
    shop.database
        .execute("UPDATE products SET active = true WHERE id = 1", &[])
        .await
        .unwrap();
    let add = json!({"customer_id": customer, "product_id": 1, "quantity": 1});
    shop.done("add-item-to-cart", add).await;
    let placed = json!({"customer_id": customer, "items": items, "note": "Ring twice."});
    let placed = shop.done("place-order", placed).await;
    let order = shop
        .found(format!("order-details/{}", placed.id), &placed)
        .await;
    assert_eq!(order["items"].as_array().unwrap().len(), 2, "{order}");
    assert_eq!(order["note"], "Ring twice.");
    let cart = shop.found(format!("user-cart/{customer}"), &placed).await;
    assert_eq!(cart["items"].as_array().unwrap().len(), 1, "{cart}");
    let remove = json!({"customer_id": customer, "product_id": 1});
    let removed = shop.done("remove-item-from-cart", remove).await;
    let cart = shop.found(format!("user-cart/{customer}"), &removed).await;
    assert_eq!((&cart["items"], &cart["total"]), (&json!([]), &Value::Null));
    shop.close().await;
}

#[tokio::test]
async fn the_catalogue_is_found_as_it_is_now_page_by_page() {
    let shop = Shop::open().await;
    let database = &shop.database;
    let names = "SELECT p.id FROM products p JOIN categories c ON c.id = p.category_id \
                 LEFT JOIN categories d ON d.id = c.parent_id WHERE p.active AND ";
    let ids = async |rest: &str| -> Vec<i64> {
        let rows = database
            .query(&format!("{names}{rest}"), &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let total = |list: &Value| list["total"].as_u64().unwrap();

    // A category with products, then a department of several categories.
    let category = &ids("true ORDER BY p.id LIMIT 1").await[0];
    let row = database
        .query_one(
            "SELECT category_id FROM products WHERE id = $1",
            &[category],
        )
        .await
        .unwrap();
    let category: i32 = row.get(0);
    let rename = json!({"category_id": category, "name": "Quite unheard of"});
    let renamed = shop.done("rename-category", rename).await;
    let list = shop
        .found(
            "product-list?category=Quite%20unheard%20of&size=100",
            &renamed,
        )
        .await;
    let expected = ids(&format!("c.id = {category}")).await.len();
    assert!(expected > 0);
    assert_eq!(usize::try_from(total(&list)).unwrap(), expected);
    assert!(
        list["products"]
            .as_array()
            .unwrap()
            .iter()
            .all(|p| p["category"] == "Quite unheard of")
    );
    let list = shop.found("product-list?text=unheard", &renamed).await;
    assert_eq!(usize::try_from(total(&list)).unwrap(), expected);

    let rename = json!({"category_id": 6, "name": "Ölzeug"});
    let renamed = shop.done("rename-category", rename).await;
    let list = shop
        .found("product-list?category=%C3%96lzeug", &renamed)
        .await;
    let expected = ids("d.id = 6").await.len();
    assert!(expected > 0);
    assert_eq!(usize::try_from(total(&list)).unwrap(), expected);
    let list = shop
        .found("product-list?category=M%C3%B6bel", &renamed)
        .await;
    assert_eq!(total(&list), 0, "the old name finds nothing");

    // Every order of the list, page by page.
    let product = ids("true ORDER BY p.id LIMIT 1").await[0];
    let priced = shop
        .done(
            "change-price",
            json!({"product_id": product, "price": "98765.43"}),
        )
        .await;
    let reviewed = shop
        .done(
            "add-review",
            json!({"product_id": product, "customer_id": 1, "rating": 5, "title": "Sturdy"}),
        )
        .await;
    assert!(at(&reviewed.lsn) > at(&priced.lsn));
    let rating = "(SELECT round(avg(rating), 2) FROM reviews r WHERE r.product_id = p.id)";
    let reviews = "(SELECT count(*) FROM reviews r WHERE r.product_id = p.id)";
    for (sort, order) in [
        ("price", "p.price, p.id".to_owned()),
        ("-price", "p.price DESC, p.id".to_owned()),
        (
            "rating",
            format!("{rating} DESC NULLS LAST, {reviews} DESC, p.id"),
        ),
    ] {
        let mut found = Vec::new();
        for page in 1.. {
            let path = format!("product-list?sort={sort}&size=37&page={page}");
            let list = shop.found(&path, &reviewed).await;
            let products = list["products"].as_array().unwrap().clone();
            if products.is_empty() {
                assert_eq!(usize::try_from(total(&list)).unwrap(), found.len());
                break;
            }
            found.extend(
                products
                    .iter()
                    .map(|product| product["id"].as_i64().unwrap()),
            );
        }
        assert_eq!(
            found,
            ids(&format!("true ORDER BY {order}")).await,
            "sorted by {sort}"
        );
    }
    let list = shop
        .found("product-list?sort=-price&size=1", &reviewed)
        .await;
    assert_eq!(list["products"][0]["id"], product);

    let rename = json!({"product_id": product, "name": "Unmistakable gizmo"});
    let renamed = shop.done("rename-product", rename).await;
    let list = shop
        .found("product-list?text=gizmo%20unmistakable", &renamed)
        .await;
    assert_eq!(list["products"][0]["id"], product);
    let moved = shop
        .done(
            "move-product",
            json!({"product_id": product, "category_id": category}),
        )
        .await;
    let list = shop
        .found("product-list?text=gizmo%20unheard", &moved)
        .await;
    assert_eq!(
        total(&list),
        1,
        "the words are of its name and its category"
    );
    let gone = shop
        .done("take-off-sale", json!({"product_id": product}))
        .await;
    let list = shop.found("product-list?text=gizmo", &gone).await;
    assert_eq!(total(&list), 0);
    let back = shop
        .done("put-on-sale", json!({"product_id": product}))
        .await;
    let list = shop.found("product-list?text=gizmo", &back).await;
    assert_eq!(total(&list), 1);
    shop.close().await;
}

/// What all tables hold.
async fn content(database: &Client) -> Vec<String> {
    let tables = "customers categories products orders order_items carts cart_items reviews";
    let mut content = Vec::new();
    for table in tables.split(' ') {
        let sql = format!(
            "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
        );
        let row = database.query_one(&sql, &[]).await.unwrap();
        content.push(format!("{table} {}", row.get::<_, String>(0)));
    }
    content
}

#[tokio::test]
async fn a_refused_command_says_why_and_changes_nothing() {
    let shop = Shop::open().await;
    let database = &shop.database;
    database
        .batch_execute(
            "UPDATE products SET active = id <> 3 WHERE id <= 5; \
             DELETE FROM cart_items WHERE cart_id = (SELECT id FROM carts WHERE customer_id = 4); \
             UPDATE orders SET status = 'shipped' WHERE id = 1; UPDATE orders SET status = 'cancelled' WHERE id = 2; \
             UPDATE orders SET status = 'placed' WHERE id = 3",
        )
        .await
        .unwrap();
    let before = content(database).await;
    let items = |items: Value| json!({"customer_id": 1, "items": items});
    let one = |product: i64, quantity: i64| json!([{"product_id": product, "quantity": quantity}]);
    let lines: Vec<Value> = (1..=51)
        .map(|id| json!({"product_id": id, "quantity": 1}))
        .collect();
    let review = |rating: i64| json!({"product_id": 1, "customer_id": 1, "rating": rating});
    let product =
        |sku: &str, price: &str| json!({"sku": sku, "category_id": 7, "name": "A", "price": price});
    let sign_up =
        |email: &str, country: &str| json!({"email": email, "name": "A", "country": country});
    let cases: Vec<(u16, &str, Value, &str)> = vec![
        (400, "place-order", json!({}), "customer_id"),
        (
            400,
            "place-order",
            json!({"customer_id": "1"}),
            "customer_id",
        ),
        (
            400,
            "place-order",
            json!({"customer_id": 1, "itmes": []}),
            "itmes",
        ),
        (400, "place-order", json!([1, 2]), ""),
        (
            400,
            "add-item-to-cart",
            json!({"customer_id": 1, "product_id": 1, "quantity": 1.5}),
            "quantity",
        ),
        (404, "place-order-now", json!({}), "nothing here"),
        (
            404,
            "place-order",
            json!({"customer_id": 999_999}),
            "customer 999999",
        ),
        (404, "place-order", items(one(999_999, 1)), "product 999999"),
        (
            404,
            "update-order-status",
            json!({"order_id": 999_999, "status": "paid"}),
            "order 999999",
        ),
        (404, "cancel-order", json!({"order_id": -1}), "order -1"),
        (
            404,
            "add-item-to-cart",
            json!({"customer_id": 1, "product_id": 999_999, "quantity": 1}),
            "product",
        ),
        (
            404,
            "add-item-to-cart",
            json!({"customer_id": 999_999, "product_id": 1, "quantity": 1}),
            "customer",
        ),
        (
            404,
            "remove-item-from-cart",
            json!({"customer_id": 4, "product_id": 1}),
            "not in the cart",
        ),
        (
            404,
            "rename-category",
            json!({"category_id": 999, "name": "A"}),
            "category 999",
        ),
        (
            404,
            "move-product",
            json!({"product_id": 1, "category_id": 999}),
            "category 999",
        ),
        (
            404,
            "change-price",
            json!({"product_id": 999_999, "price": "1"}),
            "product 999999",
        ),
        (
            404,
            "add-review",
            json!({"product_id": 999_999, "customer_id": 1, "rating": 3}),
            "product 999999",
        ),
        (409, "place-order", json!({"customer_id": 4}), "empty"),
        (409, "place-order", items(one(3, 1)), "not on sale"),
        (
            409,
            "add-item-to-cart",
            json!({"customer_id": 1, "product_id": 3, "quantity": 1}),
            "not on sale",
        ),
        (
            409,
            "update-order-status",
            json!({"order_id": 1, "status": "paid"}),
            "shipped",
        ),
        (
            409,
            "update-order-status",
            json!({"order_id": 3, "status": "shipped"}),
            "placed",
        ),
        (409, "cancel-order", json!({"order_id": 1}), "shipped"),
        (409, "cancel-order", json!({"order_id": 2}), "cancelled"),
        (409, "add-product", product("SKU-000001", "1"), "SKU-000001"),
        (
            409,
            "sign-up",
            sign_up("customer-1@example.com", "DE"),
            "customer-1@example.com",
        ),
        (422, "place-order", items(json!([])), "items"),
        (422, "place-order", items(one(1, 0)), "items.quantity"),
        (422, "place-order", items(one(1, 1001)), "items.quantity"),
        (422, "place-order", items(lines.into()), "items"),
        (
            422,
            "place-order",
            items(json!([{"product_id": 1, "quantity": 1}, {"product_id": 1, "quantity": 2}])),
            "items",
        ),
        (
            422,
            "place-order",
            json!({"customer_id": 1, "note": "\u{0}"}),
            "note",
        ),
        (
            422,
            "update-order-status",
            json!({"order_id": 3, "status": "cancelled"}),
            "status",
        ),
        (
            422,
            "update-order-status",
            json!({"order_id": 3, "status": "lost"}),
            "status",
        ),
        (
            422,
            "add-item-to-cart",
            json!({"customer_id": 1, "product_id": 1, "quantity": 100}),
            "quantity",
        ),
        (422, "add-review", review(0), "rating"),
        (422, "add-review", review(6), "rating"),
        (
            422,
            "change-price",
            json!({"product_id": 1, "price": "-1"}),
            "price",
        ),
        (
            422,
            "change-price",
            json!({"product_id": 1, "price": "1.999"}),
            "price",
        ),
        (
            422,
            "change-price",
            json!({"product_id": 1, "price": "NaN"}),
            "price",
        ),
        (
            422,
            "rename-product",
            json!({"product_id": 1, "name": "  "}),
            "name",
        ),
        (
            422,
            "rename-category",
            json!({"category_id": 1, "name": "a".repeat(201)}),
            "name",
        ),
        (422, "add-product", product("", "1"), "sku"),
        (422, "add-product", product(&"S".repeat(33), "1"), "sku"),
        (422, "sign-up", sign_up("nobody", "DE"), "email"),
        (
            422,
            "sign-up",
            sign_up("a@example.com", "Germany"),
            "country",
        ),
    ];
    for (status, name, body, says) in cases {
        let answer = shop.refused(name, &body).await;
        assert_eq!(answer.status, status, "{name} {body}: {}", answer.text);
        if status == 422 {
            let errors = answer.body["errors"].as_array().unwrap();
            assert!(
                errors
                    .iter()
                    .any(|error| error["field"] == says && error["problem"].is_string()),
                "{name} {body}: {}",
                answer.text
            );
        } else {
            assert!(answer.text.contains(says), "{name} {body}: {}", answer.text);
        }
    }
    // All that is wrong is said at once.
    let body = json!({"sku": "", "category_id": 7, "name": "", "price": "free"});
    let answer = shop.refused("add-product", &body).await;
    assert_eq!(
        answer.body["errors"].as_array().unwrap().len(),
        3,
        "{}",
        answer.text
    );
    // Not JSON by its own account, as from a form on somebody else's page.
    let form = readside_tests::http_client()
        .post(format!("{}/commands/cancel-order", shop.commands.url()))
        .body(r#"{"order_id": 3}"#)
        .header("content-type", "text/plain");
    assert_eq!(form.send().await.unwrap().status(), 415);
    // Too many in the cart, by the sum.
    assert_eq!(content(database).await, before);
    let add = json!({"customer_id": 4, "product_id": 1, "quantity": 60});
    shop.done("add-item-to-cart", add.clone()).await;
    let before = content(database).await;
    assert_eq!(shop.refused("add-item-to-cart", &add).await.status, 409);
    assert_eq!(content(database).await, before);
    shop.close().await;
}

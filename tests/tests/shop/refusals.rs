//! Commands that are not done.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::opened::Shop;

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

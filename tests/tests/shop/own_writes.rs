//! Whoever has written something reads it.

use serde_json::{Value, json};

use crate::opened::Shop;

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

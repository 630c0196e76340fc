//! Products as the search page finds them.

use serde_json::{Value, json};

use crate::opened::{Shop, at};

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

//! The shop's page in a browser.

use std::path::Path;

use readside_tests::browser::Browser;
use readside_tests::setup;
use readside_tests::shop::Service;
use serde_json::json;

use crate::opened::{Shop, at};

/// Each read model's state: its class, the position that it was to reach, and the one that it was at.
const STATES: &str = "return [...document.querySelectorAll('article')].map(a => \
                      `${a.id} ${a.className} ${a.dataset.wanted} ${a.dataset.position}`).join('\\n')";

/// All read models have reached the position of the last command.
const ALL_REACHED: &str = "const said = document.getElementById('command').textContent.split(' at ')[1]; \
                           const all = [...document.querySelectorAll('article')]; \
                           return said !== undefined && all.length === 6 && \
                           all.every(a => a.className === 'reached' && a.dataset.wanted === said)";

async fn all_reached(browser: &Browser, begins: &str) {
    let said =
        format!("return document.getElementById('command').textContent.startsWith('{begins}')");
    let show = "return document.getElementById('command').textContent";
    browser.wait_for(begins, &said, show).await.unwrap();
    browser
        .wait_for("all read models", ALL_REACHED, STATES)
        .await
        .unwrap();
    let states = browser.run(STATES, json!([])).await.unwrap();
    for line in states.as_str().unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(at(words[3]) >= at(words[2]), "{line}");
    }
}

async fn shows(browser: &Browser, model: &str, text: &str) {
    let script = format!(
        "return document.querySelector('#model-{model} .content').innerText.includes('{text}')"
    );
    let show = format!("return document.querySelector('#model-{model} .content').innerText");
    browser
        .wait_for(&format!("`{text}` in {model}"), &script, &show)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_person_places_an_order_and_sees_every_read_model_catch_up() {
    if let Err(error) = setup::ensure(setup::BROWSER) {
        eprintln!("\nSKIPPED: no browser here, so the shop's page is NOT tested: {error:#}\n");
        return;
    }
    let shop = Shop::open().await;
    shop.database
        .batch_execute("DELETE FROM carts WHERE customer_id = 4")
        .await
        .unwrap();
    let front = Service::front(&shop.commands, &shop.queries).await.unwrap();
    let browser = Browser::start(1280, 1400).await.unwrap();
    browser.open(&front.url()).await.unwrap();
    let listed = "return document.querySelectorAll('#products button').length === 8";
    let products = "return document.getElementById('products').innerText";
    browser
        .wait_for("the list of products", listed, products)
        .await
        .unwrap();
    assert_eq!(
        browser.text("#model-cart .content").await.unwrap(),
        "customer 4 has no cart"
    );
    let disabled = "return document.getElementById('place').disabled";
    assert_eq!(browser.run(disabled, json!([])).await.unwrap(), true);

    // Two of the first and one of the third; a second one is put in and taken out again.
    for n in [1, 3, 1, 2] {
        browser
            .click(&format!("#products li:nth-child({n}) button"))
            .await
            .unwrap();
        all_reached_but_order(&browser).await;
    }
    browser
        .click("#lines li:nth-child(3) button")
        .await
        .unwrap();
    let two = "return document.querySelectorAll('#lines li').length === 2";
    let lines = "return document.getElementById('lines').innerText";
    browser.wait_for("two lines", two, lines).await.unwrap();
    all_reached_but_order(&browser).await;
    shows(&browser, "cart", "2 ×").await;
    browser.click("#place").await.unwrap();
    all_reached(&browser, "place-order").await;
    let order = browser.text("#command").await.unwrap();
    let order: i64 = order.split([' ', ':']).nth(1).unwrap().parse().unwrap();
    shows(&browser, "order", &format!("{order}, placed")).await;
    shows(&browser, "history", &order.to_string()).await;
    shows(&browser, "cart", "empty").await;
    let marked = "return document.querySelector('#model-history tr.new').innerText";
    let marked = browser.run(marked, json!([])).await.unwrap();
    assert!(
        marked.as_str().unwrap().starts_with(&order.to_string()),
        "{marked}"
    );
    let row = shop
        .database
        .query_one(
            "SELECT o.customer_id, count(*), sum(i.quantity) FROM orders o JOIN order_items i ON i.order_id = o.id \
             WHERE o.id = $1 GROUP BY 1",
            &[&order],
        )
        .await
        .unwrap();
    assert_eq!(
        (
            row.get::<_, i64>(0),
            row.get::<_, i64>(1),
            row.get::<_, i64>(2)
        ),
        (4, 2, 3)
    );
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shop-page.png");
    browser.screenshot(&picture).await.unwrap();

    browser.click("#pay").await.unwrap();
    all_reached(&browser, "update-order-status").await;
    shows(&browser, "order", &format!("{order}, paid")).await;
    browser.click("#ship").await.unwrap();
    all_reached(&browser, "update-order-status").await;
    shows(&browser, "history", "shipped").await;
    let disabled = "return document.getElementById('cancel').disabled";
    assert_eq!(
        browser.run(disabled, json!([])).await.unwrap(),
        true,
        "it has been shipped"
    );

    // A renamed category is found by its new name.
    let category: i32 = shop
        .database
        .query_one("SELECT min(category_id) FROM products WHERE active", &[])
        .await
        .unwrap()
        .get(0);
    browser
        .fill("#rename input[name=category]", &category.to_string())
        .await
        .unwrap();
    browser
        .fill("#rename input[name=name]", "<b>Brand & new</b>")
        .await
        .unwrap();
    browser.click("#rename button").await.unwrap();
    all_reached(&browser, "rename-category").await;
    browser
        .fill("#find input[name=text]", "brand new")
        .await
        .unwrap();
    shows(&browser, "search", "<b>Brand & new</b>").await;
    let total = "return document.getElementById('total').textContent";
    let expected = shop
        .database
        .query_one(
            "SELECT count(*)::text FROM products WHERE active AND category_id = $1",
            &[&category],
        )
        .await
        .unwrap()
        .get::<_, String>(0);
    let there = format!("{total} === '{expected}'");
    browser
        .wait_for("as many products as there are", &there, total)
        .await
        .unwrap();

    // What is refused is said.
    browser
        .fill("#find input[name=customer]", "999999")
        .await
        .unwrap();
    browser
        .click("#products li:nth-child(1) button")
        .await
        .unwrap();
    let said = "return document.getElementById('command').textContent.includes('there is no customer 999999')";
    browser
        .wait_for(
            "the refusal",
            said,
            "return document.getElementById('command').textContent",
        )
        .await
        .unwrap();
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
    drop(browser);
    assert_eq!(front.stop().await.unwrap(), Some(0));
    shop.close().await;
}

/// As long as no order has been placed, there are five.
async fn all_reached_but_order(browser: &Browser) {
    let script = ALL_REACHED
        .replace("('article')", "('article:not(#model-order)')")
        .replace("all.length === 6", "all.length === 5");
    browser
        .wait_for("the read models", &script, STATES)
        .await
        .unwrap();
}

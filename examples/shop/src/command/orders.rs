//! Orders: placed, paid, shipped, cancelled.

use serde::Deserialize;
use serde_json::Value;

use super::database::Failure;
use super::{Command, Routes, add};
use crate::problem::{Checks, Problem};
use crate::session::Session;

const LINES_MAX: usize = 50;
const QUANTITY_MAX: i64 = 1000;

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = add::<PlaceOrder>(routes);
    let routes = add::<UpdateOrderStatus>(routes);
    add::<CancelOrder>(routes)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    product_id: i64,
    quantity: i32,
}

/// Without `items`, what lies in the customer's cart; the cart is empty afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceOrder {
    customer_id: i64,
    items: Option<Vec<Item>>,
    note: Option<String>,
}

impl Command for PlaceOrder {
    const NAME: &'static str = "place-order";
    const CREATES: bool = true;

    fn check(&self, checks: &mut Checks) {
        checks.optional_text("note", self.note.as_deref(), 1000);
        let Some(items) = &self.items else {
            return;
        };
        checks.require(
            "items",
            (1..=LINES_MAX).contains(&items.len()),
            format!("must be 1 to {LINES_MAX} lines"),
        );
        let mut products: Vec<i64> = items.iter().map(|item| item.product_id).collect();
        products.sort_unstable();
        products.dedup();
        checks.require(
            "items",
            products.len() == items.len(),
            "must name each product once",
        );
        for item in items.iter().take(LINES_MAX) {
            checks.between("items.quantity", item.quantity.into(), 1, QUANTITY_MAX);
        }
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let customer = self.customer_id;
        super::customers::hold(session, customer).await?;
        let (products, quantities) = match &self.items {
            Some(items) => items
                .iter()
                .map(|item| (item.product_id, item.quantity))
                .unzip(),
            None => empty_cart(session, customer).await?,
        };
        on_sale(session, &products).await?;
        let order: i64 = session
            .one(
                "INSERT INTO orders (customer_id, shipping, note) \
                 SELECT $1, CASE WHEN sum(p.price * i.quantity) >= 50 THEN 0 ELSE 4.90 END, $4 \
                 FROM unnest($2::bigint[], $3::int[]) AS i(product_id, quantity) JOIN products p ON p.id = i.product_id \
                 RETURNING id",
                &[&customer, &products, &quantities, &self.note],
            )
            .await?;
        session
            .execute(
                "INSERT INTO order_items (order_id, line, product_id, quantity, unit_price) \
                 SELECT $1, i.line, p.id, i.quantity, p.price \
                 FROM unnest($2::bigint[], $3::int[]) WITH ORDINALITY AS i(product_id, quantity, line) \
                 JOIN products p ON p.id = i.product_id",
                &[&order, &products, &quantities],
            )
            .await?;
        Ok(order.into())
    }
}

/// Takes everything out of a customer's cart: products and quantities.
async fn empty_cart(session: &mut Session, customer: i64) -> Result<(Vec<i64>, Vec<i32>), Failure> {
    // The cart's row first, as whoever fills it does.
    session
        .execute(
            "UPDATE carts SET updated_at = now() WHERE customer_id = $1",
            &[&customer],
        )
        .await?;
    let rows = session
        .rows(
            "WITH taken AS (DELETE FROM cart_items WHERE cart_id = (SELECT id FROM carts WHERE customer_id = $1) \
             RETURNING product_id, quantity, added_at) \
             SELECT product_id, quantity FROM taken ORDER BY added_at, product_id",
            &[&customer],
        )
        .await?;
    if rows.is_empty() {
        return Err(Problem::conflict(format!("the cart of customer {customer} is empty")).into());
    }
    if rows.len() > LINES_MAX {
        let text = format!("an order has at most {LINES_MAX} lines, and the cart has more");
        return Err(Problem::conflict(text).into());
    }
    Ok(rows
        .iter()
        .map(|row| (row.get::<_, i64>(0), row.get::<_, i32>(1)))
        .unzip())
}

/// Holds the products so that none changes its price or is taken off sale before the order is placed.
async fn on_sale(session: &mut Session, products: &[i64]) -> Result<(), Failure> {
    let rows = session
        .rows(
            "SELECT id, active FROM products WHERE id = ANY($1) ORDER BY id FOR SHARE",
            &[&products],
        )
        .await?;
    for product in products {
        match rows.iter().find(|row| row.get::<_, i64>(0) == *product) {
            None => return Err(Problem::not_found(format!("there is no product {product}")).into()),
            Some(row) if !row.get::<_, bool>(1) => {
                return Err(Problem::conflict(format!("product {product} is not on sale")).into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The status of an order, which stays so until the end of the transaction.
async fn status(session: &mut Session, order: i64) -> Result<String, Failure> {
    let row = session
        .row(
            "SELECT status::text FROM orders WHERE id = $1 FOR UPDATE",
            &[&order],
        )
        .await?;
    match row {
        Some(row) => Ok(row.get(0)),
        None => Err(Problem::not_found(format!("there is no order {order}")).into()),
    }
}

/// A placed order is paid, a paid one is shipped.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateOrderStatus {
    order_id: i64,
    status: String,
}

impl Command for UpdateOrderStatus {
    const NAME: &'static str = "update-order-status";

    fn check(&self, checks: &mut Checks) {
        checks.require(
            "status",
            ["paid", "shipped"].contains(&self.status.as_str()),
            "must be `paid` or `shipped`",
        );
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let order = self.order_id;
        let now = status(session, order).await?;
        let statement = match (now.as_str(), self.status.as_str()) {
            ("placed", "paid") => {
                "UPDATE orders SET status = 'paid', paid_at = now() WHERE id = $1"
            }
            ("paid", "shipped") => {
                "UPDATE orders SET status = 'shipped', shipped_at = now() WHERE id = $1"
            }
            (now, wanted) => {
                let text = format!("order {order} is {now}, and can't become {wanted}");
                return Err(Problem::conflict(text).into());
            }
        };
        session.execute(statement, &[&order]).await?;
        Ok(order.into())
    }
}

/// Until an order is shipped.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelOrder {
    order_id: i64,
    reason: Option<String>,
}

impl Command for CancelOrder {
    const NAME: &'static str = "cancel-order";

    fn check(&self, checks: &mut Checks) {
        checks.optional_text("reason", self.reason.as_deref(), 1000);
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let order = self.order_id;
        let now = status(session, order).await?;
        if now != "placed" && now != "paid" {
            let text = format!("order {order} is {now}, and can't be cancelled");
            return Err(Problem::conflict(text).into());
        }
        session
            .execute(
                "UPDATE orders SET status = 'cancelled', note = coalesce($2, note) WHERE id = $1",
                &[&order, &self.reason],
            )
            .await?;
        Ok(order.into())
    }
}

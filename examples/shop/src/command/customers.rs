//! Customers, their carts and their reviews.

use serde::Deserialize;
use serde_json::Value;

use super::database::Failure;
use super::{Command, Routes, add};
use crate::problem::{Checks, Problem};
use crate::session::Session;

const QUANTITY_MAX: i64 = 99;

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = add::<SignUp>(routes);
    let routes = add::<AddItemToCart>(routes);
    let routes = add::<RemoveItemFromCart>(routes);
    add::<AddReview>(routes)
}

/// Fails unless the customer is there, who then stays until the end of the transaction.
pub(super) async fn hold(session: &mut Session, customer: i64) -> Result<(), Failure> {
    let row = session
        .row(
            "SELECT FROM customers WHERE id = $1 FOR KEY SHARE",
            &[&customer],
        )
        .await?;
    match row {
        Some(_) => Ok(()),
        None => Err(Problem::not_found(format!("there is no customer {customer}")).into()),
    }
}

/// A new customer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignUp {
    email: String,
    name: String,
    country: String,
}

impl Command for SignUp {
    const NAME: &'static str = "sign-up";
    const CREATES: bool = true;

    fn check(&self, checks: &mut Checks) {
        checks.text("name", &self.name, 200);
        checks.text("email", &self.email, 254);
        let parts = self.email.split_once('@');
        checks.require(
            "email",
            parts.is_some_and(|(name, host)| {
                !name.is_empty() && host.contains('.') && !host.contains('@')
            }) && !self.email.contains(char::is_whitespace),
            "must be an address such as \"ada@example.com\"",
        );
        checks.require(
            "country",
            self.country.len() == 2 && self.country.bytes().all(|b| b.is_ascii_uppercase()),
            "must be two capital letters",
        );
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let id: i64 = session
            .one(
                "INSERT INTO customers (email, name, country) VALUES ($1, $2, $3) RETURNING id",
                &[&self.email, &self.name, &self.country],
            )
            .await?;
        Ok(id.into())
    }
}

/// So many more of a product. The id is the customer's: one has one cart.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddItemToCart {
    customer_id: i64,
    product_id: i64,
    quantity: i32,
}

impl Command for AddItemToCart {
    const NAME: &'static str = "add-item-to-cart";

    fn check(&self, checks: &mut Checks) {
        checks.between("quantity", self.quantity.into(), 1, QUANTITY_MAX);
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        hold(session, self.customer_id).await?;
        let product = session
            .row(
                "SELECT active FROM products WHERE id = $1 FOR SHARE",
                &[&self.product_id],
            )
            .await?;
        let Some(product) = product else {
            let text = format!("there is no product {}", self.product_id);
            return Err(Problem::not_found(text).into());
        };
        if !product.get::<_, bool>(0) {
            let text = format!("product {} is not on sale", self.product_id);
            return Err(Problem::conflict(text).into());
        }
        session
            .execute(
                "INSERT INTO carts (customer_id) VALUES ($1) ON CONFLICT (customer_id) DO UPDATE SET updated_at = now()",
                &[&self.customer_id],
            )
            .await?;
        let quantity: i32 = session
            .one(
                "INSERT INTO cart_items (cart_id, product_id, quantity) \
                 SELECT id, $2, $3 FROM carts WHERE customer_id = $1 \
                 ON CONFLICT (cart_id, product_id) DO UPDATE SET quantity = cart_items.quantity + excluded.quantity \
                 RETURNING quantity",
                &[&self.customer_id, &self.product_id, &self.quantity],
            )
            .await?;
        if i64::from(quantity) > QUANTITY_MAX {
            let text = format!("a cart holds at most {QUANTITY_MAX} of a product");
            return Err(Problem::conflict(text).into());
        }
        Ok(self.customer_id.into())
    }
}

/// All of a product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveItemFromCart {
    customer_id: i64,
    product_id: i64,
}

impl Command for RemoveItemFromCart {
    const NAME: &'static str = "remove-item-from-cart";

    fn check(&self, _: &mut Checks) {}

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        hold(session, self.customer_id).await?;
        session
            .execute(
                "UPDATE carts SET updated_at = now() WHERE customer_id = $1",
                &[&self.customer_id],
            )
            .await?;
        let removed = session
            .execute(
                "DELETE FROM cart_items WHERE product_id = $2 AND cart_id = (SELECT id FROM carts WHERE customer_id = $1)",
                &[&self.customer_id, &self.product_id],
            )
            .await?;
        if removed == 0 {
            let text = format!("product {} is not in the cart", self.product_id);
            return Err(Problem::not_found(text).into());
        }
        Ok(self.customer_id.into())
    }
}

/// What a customer thinks of a product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddReview {
    product_id: i64,
    customer_id: i64,
    rating: i16,
    title: Option<String>,
    body: Option<String>,
}

impl Command for AddReview {
    const NAME: &'static str = "add-review";
    const CREATES: bool = true;

    fn check(&self, checks: &mut Checks) {
        checks.between("rating", self.rating.into(), 1, 5);
        checks.optional_text("title", self.title.as_deref(), 200);
        checks.optional_text("body", self.body.as_deref(), 5000);
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        hold(session, self.customer_id).await?;
        super::catalogue::hold(session, self.product_id).await?;
        let id: i64 = session
            .one(
                "INSERT INTO reviews (product_id, customer_id, rating, title, body) VALUES ($1, $2, $3, $4, $5) RETURNING id",
                &[
                    &self.product_id,
                    &self.customer_id,
                    &self.rating,
                    &self.title,
                    &self.body,
                ],
            )
            .await?;
        Ok(id.into())
    }
}

//! Products and categories.

use serde::Deserialize;
use serde_json::Value;

use super::database::Failure;
use super::{Command, Routes, add};
use crate::problem::{Checks, Problem};
use crate::session::Session;

const NAME_CHARACTERS_MAX: usize = 200;

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = add::<AddProduct>(routes);
    let routes = add::<RenameProduct>(routes);
    let routes = add::<ChangePrice>(routes);
    let routes = add::<MoveProduct>(routes);
    let routes = add::<PutOnSale>(routes);
    let routes = add::<TakeOffSale>(routes);
    add::<RenameCategory>(routes)
}

/// Fails unless the product is there, which then stays until the end of the transaction.
pub(super) async fn hold(session: &mut Session, product: i64) -> Result<(), Failure> {
    let row = session
        .row(
            "SELECT FROM products WHERE id = $1 FOR KEY SHARE",
            &[&product],
        )
        .await?;
    there(row.map_or(0, |_| 1), "product", product)?;
    Ok(())
}

async fn hold_category(session: &mut Session, category: i32) -> Result<(), Failure> {
    let row = session
        .row(
            "SELECT FROM categories WHERE id = $1 FOR KEY SHARE",
            &[&category],
        )
        .await?;
    there(row.map_or(0, |_| 1), "category", category.into())?;
    Ok(())
}

/// The id, if a row was changed.
fn there(rows: u64, what: &str, id: i64) -> Result<Value, Failure> {
    if rows == 0 {
        return Err(Problem::not_found(format!("there is no {what} {id}")).into());
    }
    Ok(id.into())
}

/// A product, on sale at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddProduct {
    sku: String,
    category_id: i32,
    name: String,
    price: String,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl Command for AddProduct {
    const NAME: &'static str = "add-product";
    const CREATES: bool = true;

    fn check(&self, checks: &mut Checks) {
        checks.text("sku", &self.sku, 32);
        checks.text("name", &self.name, NAME_CHARACTERS_MAX);
        checks.money("price", &self.price);
        checks.optional_text("description", self.description.as_deref(), 20_000);
        checks.require("tags", self.tags.len() <= 20, "must be at most 20");
        for tag in &self.tags {
            checks.text("tags", tag, 50);
        }
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        hold_category(session, self.category_id).await?;
        let id: i64 = session
            .one(
                "INSERT INTO products (sku, category_id, name, price, description, tags) \
                 VALUES ($1, $2, $3, $4::text::numeric, $5, $6) RETURNING id",
                &[
                    &self.sku,
                    &self.category_id,
                    &self.name,
                    &self.price,
                    &self.description,
                    &self.tags,
                ],
            )
            .await?;
        Ok(id.into())
    }
}

/// Another name for a product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenameProduct {
    product_id: i64,
    name: String,
}

impl Command for RenameProduct {
    const NAME: &'static str = "rename-product";

    fn check(&self, checks: &mut Checks) {
        checks.text("name", &self.name, NAME_CHARACTERS_MAX);
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let rows = session
            .execute(
                "UPDATE products SET name = $2, updated_at = now() WHERE id = $1",
                &[&self.product_id, &self.name],
            )
            .await?;
        there(rows, "product", self.product_id)
    }
}

/// Another price. Orders that have been placed keep theirs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangePrice {
    product_id: i64,
    price: String,
}

impl Command for ChangePrice {
    const NAME: &'static str = "change-price";

    fn check(&self, checks: &mut Checks) {
        checks.money("price", &self.price);
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let rows = session
            .execute(
                "UPDATE products SET price = $2::text::numeric, updated_at = now() WHERE id = $1",
                &[&self.product_id, &self.price],
            )
            .await?;
        there(rows, "product", self.product_id)
    }
}

/// Into another category.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveProduct {
    product_id: i64,
    category_id: i32,
}

impl Command for MoveProduct {
    const NAME: &'static str = "move-product";

    fn check(&self, _: &mut Checks) {}

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        hold_category(session, self.category_id).await?;
        let rows = session
            .execute(
                "UPDATE products SET category_id = $2, updated_at = now() WHERE id = $1",
                &[&self.product_id, &self.category_id],
            )
            .await?;
        there(rows, "product", self.product_id)
    }
}

/// It can be found and bought.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutOnSale {
    product_id: i64,
}

impl Command for PutOnSale {
    const NAME: &'static str = "put-on-sale";

    fn check(&self, _: &mut Checks) {}

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let rows = session
            .execute(
                "UPDATE products SET active = true, updated_at = now() WHERE id = $1",
                &[&self.product_id],
            )
            .await?;
        there(rows, "product", self.product_id)
    }
}

/// It can't be found or bought any more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeOffSale {
    product_id: i64,
}

impl Command for TakeOffSale {
    const NAME: &'static str = "take-off-sale";

    fn check(&self, _: &mut Checks) {}

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let rows = session
            .execute(
                "UPDATE products SET active = false, updated_at = now() WHERE id = $1",
                &[&self.product_id],
            )
            .await?;
        there(rows, "product", self.product_id)
    }
}

/// Another name for a category: each of its products is found by it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenameCategory {
    category_id: i32,
    name: String,
}

impl Command for RenameCategory {
    const NAME: &'static str = "rename-category";

    fn check(&self, checks: &mut Checks) {
        checks.text("name", &self.name, NAME_CHARACTERS_MAX);
    }

    async fn run(&self, session: &mut Session) -> Result<Value, Failure> {
        let rows = session
            .execute(
                "UPDATE categories SET name = $2 WHERE id = $1",
                &[&self.category_id, &self.name],
            )
            .await?;
        there(rows, "category", self.category_id.into())
    }
}

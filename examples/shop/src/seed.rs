//! The shop's tables and first data.

use anyhow::{Context, Result, ensure};
use tokio_postgres::Client;

use crate::SCHEMA;

const SEED: &str = include_str!("../seed.sql");

/// Creates types and tables in an empty database.
pub async fn create_schema(client: &Client) -> Result<()> {
    client
        .batch_execute(SCHEMA)
        .await
        .context("create the shop's schema")
}

/// Fills the tables; `scale` 1 is 200 products, 400 customers and 1,000 orders.
pub async fn fill(client: &Client, scale: u32) -> Result<()> {
    ensure!(scale > 0, "the scale must be at least 1");
    client
        .batch_execute(&format!(
            "BEGIN;\n{};\nCOMMIT",
            SEED.replace(":scale", &scale.to_string())
        ))
        .await
        .context("fill the shop's tables")
}

/// Both.
pub async fn create(client: &Client, scale: u32) -> Result<()> {
    create_schema(client).await?;
    fill(client, scale).await
}

//! A shop: its schema, its read models, and the transactions that its customers make.
//!
//! The application writes to Postgres and knows nothing of readside. `readside.toml` and `views/` beside this crate are what
//! somebody who runs readside next to it would write.

mod load;
mod seed;
mod session;
mod transactions;

pub use load::{Load, Running, Totals};
pub use seed::{create, create_schema, fill};

/// The schema.
pub const SCHEMA: &str = include_str!("../schema.sql");

/// The configuration, with the host names of `docker-compose.yml`.
pub const CONFIG: &str = include_str!("../readside.toml");

/// A read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// Its query.
    pub sql: &'static str,
    /// The output columns that identify a row.
    pub key: &'static [&'static str],
}

macro_rules! view {
    ($name:literal, $($key:literal),+) => {
        View { name: $name, sql: include_str!(concat!("../views/", $name, ".sql")), key: &[$($key),+] }
    };
}

/// The read models of `readside.toml`.
pub const VIEWS: &[View] = &[
    view!("product_search", "id"),
    view!("order_details", "id"),
    view!("user_cart", "cart_id"),
    view!("order_history", "customer_id", "order_id"),
    view!("product_popularity", "product_id"),
    view!("dashboard_metrics", "day"),
];

//! A shop: its schema, its read models, its two services, and what its customers do.
//!
//! The write side ([`CommandService`]) is an application on Postgres that knows nothing of readside. The read side ([`QueryService`]) knows
//! the read models and nothing of the write side. `readside.toml` and `views/` beside this crate are what somebody who runs readside
//! between them would write. [`Traffic`] sends customers to both; [`Load`] makes transactions on the database itself, more kinds and
//! faster than the services would.

mod command;
mod front;
mod load;
mod pool;
mod position;
mod problem;
mod query;
mod seed;
mod server;
mod session;
mod traffic;
mod transactions;

pub use command::CommandService;
pub use front::Front;
pub use load::{Load, Running, Totals};
pub use position::{Position, PositionError};
pub use query::QueryService;
pub use seed::{create, create_schema, fill};
pub use traffic::{ModelSeen, Seen, Times, Traffic, TrafficRunning};

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
    view!("user_cart", "customer_id"),
    view!("order_history", "customer_id", "order_id"),
    view!("product_popularity", "product_id"),
    view!("dashboard_metrics", "day"),
];

//! A reporting Postgres: a table per view, and all views of a sink at one moment.

mod config;
mod connection;
mod copy;
mod error;
mod sink;
mod table;

pub use config::PostgresConfig;
pub(crate) use sink::PostgresSink;

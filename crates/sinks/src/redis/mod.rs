//! Redis and Valkey: a JSON text per key.

mod config;
mod connection;
mod receipt;
mod sink;
mod template;

pub use config::RedisConfig;
pub(crate) use sink::RedisSink;
pub use template::{KeyTemplate, KeyTemplateError};

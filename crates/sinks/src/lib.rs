//! The sinks: Elasticsearch and OpenSearch, Redis, Postgres.

mod config;
#[cfg(feature = "redis")]
mod redis;

pub use config::{Secret, SinkConfig, build};
#[cfg(feature = "redis")]
pub use redis::{KeyTemplate, KeyTemplateError, RedisConfig};

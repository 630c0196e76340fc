//! The sinks: Elasticsearch and OpenSearch, Redis, Postgres.

mod config;
#[cfg(feature = "elasticsearch")]
mod elasticsearch;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

pub use config::{Secret, SinkConfig, build};
#[cfg(feature = "elasticsearch")]
pub use elasticsearch::ElasticsearchConfig;
#[cfg(feature = "postgres")]
pub use postgres::PostgresConfig;
#[cfg(feature = "redis")]
pub use redis::{KeyTemplate, KeyTemplateError, RedisConfig};

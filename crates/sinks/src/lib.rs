//! The sinks: Elasticsearch and OpenSearch, Redis, Postgres.

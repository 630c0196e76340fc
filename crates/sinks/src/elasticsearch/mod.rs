//! Elasticsearch and OpenSearch: a document per row, `_id` its key text, behind an alias.
//!
//! `_source` is stored as it was sent, byte for byte. That rules out `_source.excludes` (the server would write the document
//! anew, and `1.00` becomes `1.0`), so there is no field of ours in a document: content is paged by `_seq_no`, shard by shard.

mod bulk;
mod config;
mod connection;
mod mapping;
mod place;
mod receipt;
mod sink;

pub use config::ElasticsearchConfig;
pub(crate) use sink::ElasticsearchSink;

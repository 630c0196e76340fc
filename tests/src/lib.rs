//! Real services for tests, demo and benchmarks, without a container engine.
//!
//! In: a bare machine. Out: PostgreSQL, Redis, OpenSearch and the `readside` binary, each on ports and in directories of
//! its own, and an oracle that compares what the sinks hold with what the views' SQL returns on the source.
//!
//! Always: a server never outlives the process that asked for it (a shared one outlives its last user by a minute), every
//! wait has an end and an error that says what was waited for, and nothing is read from or left outside the temporary
//! directory and the cache of [`cache_dir`].
#![allow(
    clippy::print_stderr,
    reason = "a test harness tells the person who runs it what it does"
)]

pub mod browser;
mod cache;
mod child;
pub mod dashboards;
mod http;
pub mod oracle;
mod place;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod readside;
pub mod redis;
pub mod scene;
pub mod schemas;
pub mod search;
pub mod setup;
pub mod shop;
mod wait;
pub mod workload;

pub use cache::{cache_dir, workspace};
pub use http::client as http_client;
pub use place::{Port, Scratch};
pub use wait::until;

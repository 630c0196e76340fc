//! The binary as a library: command line, configuration, admin API and status page.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod admin;
pub mod cli;
pub mod client;
mod command;
pub mod config;
pub mod data_dir;
pub mod exit;
mod gauges;
pub mod output;
mod page;
pub mod position;
mod sinks;
mod view;

pub use command::main;

/// TLS everywhere is done by one provider; another part of the process may have installed it already.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

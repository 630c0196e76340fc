//! The source against real servers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod catalog;
mod check;
mod connect;
mod files;
mod publication;
mod snapshot;
mod stream;
mod support;

//! The shop's two sides, end to end: commands go to Postgres, queries are answered from the read models alone, and who has written
//! something reads it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod catalogue;
mod opened;
mod own_writes;
mod page;
mod refusals;
mod sides;

//! Aggregates that can subtract, and aggregates that collect.
//!
//! In: a function by name and argument types; the argument values of a group's rows. Out: the value that Postgres gives.
//!
//! Always: pure. [`Accumulator`]s hold what can be taken back; everything else is [`collect`]ed from an ordered list of rows.

mod accumulator;
mod call;
mod collect;
mod float_sum;
mod function;
mod numeric_sum;
mod ordered_set;
mod spread;

pub use accumulator::Accumulator;
pub use call::{AggCall, SortKey};
pub use collect::collect;
pub use function::{AggFunc, ResolvedAgg, Spread, is_aggregate, resolve, resolve_ordered_set};

//! View SQL to a checked plan: names resolved against the catalog, refusals explained.
//!
//! In: the text of a view and the source's catalog. Out: a [`Plan`](readside_plan::Plan), or a [`Refusal`] that points at what is
//! not supported and says what to write instead.
//!
//! Always: a plan means exactly what Postgres would make of the text. What can't be kept so is refused here, never at run time.

mod aggregates;
mod arena;
mod bind;
mod check;
mod compile;
mod explain;
mod planner;
mod refusal;
mod scope;
mod syntax;
mod type_facts;

pub use check::check_syntax;
pub use compile::{compile, compile_generated};
pub use explain::explain;
pub use refusal::Refusal;

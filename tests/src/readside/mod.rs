//! The real `readside` binary with a configuration of its own: started, killed at a failpoint or at any moment, and started again
//! on the same data.

mod process;
mod project;

pub(crate) use process::build;
pub use process::{Output, Process, binary, sum_of};
pub use project::{Compared, Into, Project};

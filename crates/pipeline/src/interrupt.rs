//! Whether the run is to end, for work that does not wait for anything.

use tokio::sync::watch;

use crate::PipelineError;

/// Looked at between two pieces of long work.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    pub(crate) fn new(stop: &watch::Receiver<bool>) -> Interrupt {
        Interrupt(stop.clone())
    }

    /// An error once the run is to end.
    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        if *self.0.borrow() {
            Err(PipelineError::Interrupted)
        } else {
            Ok(())
        }
    }
}

//! Moving a frozen layer into the base, beside the writer.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::StateError;
use crate::base::Base;
use crate::committed::Committed;
use crate::large::MARKER_KEY;
use crate::layer::Layer;

/// The reserved key under which the base keeps the position. It sorts after every other key.
pub(crate) const POSITION_KEY: &[u8] = &[crate::scan::RESERVED, b'p'];

/// Where flushes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlushMode {
    /// On a thread of their own.
    #[default]
    Background,
    /// In the writer, at the call after the one that froze the layer: the same steps, in an order that a test decides.
    Deferred,
}

/// A layer on its way into the base.
pub(crate) struct Frozen {
    pub(crate) layer: Layer,
    pub(crate) committed: Committed,
    worker: Option<JoinHandle<Result<(), StateError>>>,
}

impl Frozen {
    pub(crate) fn new(layer: Layer, committed: Committed) -> Self {
        Frozen {
            layer,
            committed,
            worker: None,
        }
    }

    /// Starts the work on a thread.
    pub(crate) fn spawn(&mut self, base: &Arc<dyn Base>) -> Result<(), StateError> {
        let (base, layer, committed) = (Arc::clone(base), self.layer.clone(), self.committed);
        let worker = std::thread::Builder::new()
            .name("state-flush".to_owned())
            .spawn(move || write(base.as_ref(), &layer, committed))
            .map_err(|e| StateError::io("start a thread", e))?;
        self.worker = Some(worker);
        Ok(())
    }

    /// Whether [`Frozen::finish`] would wait.
    pub(crate) fn is_running(&self) -> bool {
        self.worker.as_ref().is_some_and(|w| !w.is_finished())
    }

    /// Waits for the worker, or does the work if there is none.
    pub(crate) fn finish(&mut self, base: &dyn Base) -> Result<(), StateError> {
        match self.worker.take() {
            Some(worker) => worker.join().unwrap_or(Err(StateError::Poisoned)),
            None => write(base, &self.layer, self.committed),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            // Its result changes nothing any more, but the directory's lock must outlive it.
            let _ = worker.join();
        }
    }
}

/// One batch: the layer in key order, no marker of a large transaction, then the position.
fn write(base: &dyn Base, layer: &Layer, committed: Committed) -> Result<(), StateError> {
    let position = committed.encode();
    let mut entries = layer
        .iter()
        .chain(std::iter::once((MARKER_KEY, None)))
        .chain(std::iter::once((POSITION_KEY, Some(position.as_slice()))));
    base.apply(&mut entries)?;
    base.sync()
}

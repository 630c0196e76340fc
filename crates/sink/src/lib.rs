//! The contract of a sink, per-item outcomes, and the conformance suite.

mod claim;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;

pub use claim::{MarkerClaim, decode_marker, encode_marker, forget_views};
pub use contract::{
    Batch, DeadReason, Fence, Marker, Outcome, Page, Receipt, Row, Sink, SinkError, TargetColumn,
    ViewTarget, ViewWatermark, ViewWrites, Visibility, Write, WriterScope,
};

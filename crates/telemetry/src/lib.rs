//! Metric names, the registry and its exporter, tracing set-up.

mod disk;
mod log;
mod metrics;
mod name;
mod process;

pub use log::{LogError, LogFormat, LogOptions, start_logging};
pub use metrics::{
    Metrics, Retained, SinkMetrics, TableMetrics, VerifyResult, ViewSinkMetrics, WriteOutcome,
};
pub use name::*;

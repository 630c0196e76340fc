//! Metric names, the registry and its exporter, tracing set-up.

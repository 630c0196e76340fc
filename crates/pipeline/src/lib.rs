//! Wiring: capture, projection, writers, loads, verify, shutdown. The only crate that spawns tasks.

//! The durable log of committed transactions.

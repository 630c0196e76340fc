//! The Postgres source: replication connection, publication, slot, snapshot copy, catalog, checks.

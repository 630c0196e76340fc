-- Amazon RDS for PostgreSQL, and Aurora PostgreSQL. Run as the master user.
--
-- First, in the parameter group (for Aurora the cluster's): rds.logical_replication = 1, then reboot. That sets wal_level.
-- Check: SHOW wal_level;  must say logical.
--
-- Connect readside to the instance's (Aurora: the writer's) endpoint, not to RDS Proxy. TLS: sslmode=verify-full with
-- sslrootcert naming the bundle from https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem

CREATE ROLE readside LOGIN;
-- REPLICATION cannot be given here; this role stands for it.
GRANT rds_replication TO readside;
GRANT USAGE ON SCHEMA public TO readside;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readside;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readside;

-- The publication: see publication.sql, as the tables' owner.
--
-- Mind the storage: a slot that nobody reads keeps WAL. Watch TransactionLogsDiskUsage and OldestReplicationSlotLag.
-- Before a major version upgrade the slot has to be dropped; readside makes a new one and compares every table.

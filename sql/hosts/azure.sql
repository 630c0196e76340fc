-- Azure Database for PostgreSQL, Flexible Server. Run as the server administrator.
--
-- First set the server parameter wal_level = logical, and restart. (max_replication_slots and max_wal_senders are there too.)
-- Check: SHOW wal_level;  must say logical.

CREATE ROLE readside LOGIN;
ALTER ROLE readside REPLICATION;
GRANT USAGE ON SCHEMA public TO readside;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readside;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readside;

-- The publication: see publication.sql, as the tables' owner.
--
-- Connect to port 5432, not to the built-in PgBouncer on 6432. With high availability, slots survive a failover from
-- PostgreSQL 17 on if the slot is made with failover (readside does) and sync_replication_slots is on.

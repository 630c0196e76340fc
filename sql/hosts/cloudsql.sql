-- Google Cloud SQL for PostgreSQL. Run as postgres.
--
-- First set the flag cloudsql.logical_decoding = on (the instance restarts). That sets wal_level.
-- Check: SHOW wal_level;  must say logical.

CREATE ROLE readside LOGIN;
ALTER ROLE readside REPLICATION;
GRANT USAGE ON SCHEMA public TO readside;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readside;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readside;

-- postgres is no superuser here: it may alter the role's REPLICATION only while it has it itself:
--   ALTER USER postgres REPLICATION;
--
-- The publication: see publication.sql, as the tables' owner.
--
-- Connect by private address or the Auth Proxy (which passes replication connections on).

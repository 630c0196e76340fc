-- Neon. Run as the database's owner.
--
-- First enable logical replication in the project's settings (it cannot be turned off again; computes restart).
-- Check: SHOW wal_level;  must say logical.
--
-- Connect readside to the compute's direct host, without -pooler in its name. Roles made in the console have REPLICATION;
-- roles made by SQL have not, so make readside in the console (or by the API), then:

GRANT USAGE ON SCHEMA public TO readside;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readside;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readside;

-- The publication: see publication.sql, as the tables' owner.
--
-- A slot that is inactive for about 40 hours is removed: readside then makes a new one and compares every table. A connected
-- readside keeps the compute from being suspended.

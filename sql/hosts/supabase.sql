-- Supabase. Run as postgres. wal_level is logical already.
--
-- Connect readside to the direct connection (db.<project>.supabase.co:5432), not to the pooler (*.pooler.supabase.com):
-- neither of its modes passes replication on. The direct address is IPv6 unless the IPv4 add-on is booked.

CREATE ROLE readside LOGIN REPLICATION;
GRANT USAGE ON SCHEMA public TO readside;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readside;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readside;

-- Tables have row-level security here as a rule, and the first copy is refused without:
ALTER ROLE readside BYPASSRLS;

-- The publication: see publication.sql, as postgres. Leave supabase_realtime alone; it is another consumer's.

-- The role that readside connects as. Run by a superuser (or a role with CREATEROLE and REPLICATION) in the source's database:
--
--   psql -d shop -v ON_ERROR_STOP=1 -v schema=public -f role.sql
--
-- Then give it a password: \password readside
-- Running it again changes nothing.

\if :{?schema}
\else
  \set schema public
\endif

SELECT 'CREATE ROLE readside LOGIN REPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'readside')
\gexec

-- Reading, for the first copy of each table and for verify. Streaming itself needs no SELECT.
GRANT USAGE ON SCHEMA :"schema" TO readside;
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO readside;

-- Tables that the application's owner creates later. This holds for the role that runs it; for another owner:
--   ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA … GRANT SELECT ON TABLES TO readside;
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT ON TABLES TO readside;

-- Only if tables have row-level security. Without it readside is refused such a table; it never copies a part of one.
--   ALTER ROLE readside BYPASSRLS;

-- pg_hba.conf needs a line for this role; a replication connection to a database is matched by the database's name:
--   hostssl  shop  readside  10.0.0.0/8  scram-sha-256

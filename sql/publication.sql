-- The publication that readside reads, for a role that may not make it itself. Run by the tables' owner (who also needs CREATE
-- on the database). `readside check` prints this with your tables in it. It must exist before the slot does.

-- 1. Which tables can be published without harm? Those listed here cannot: with them in a publication, every UPDATE and DELETE
--    on them would fail. Give them a primary key first, or leave them out.
SELECT c.oid::regclass::text AS "cannot be published",
       CASE c.relreplident
         WHEN 'n' THEN 'its replica identity is NOTHING'
         WHEN 'i' THEN 'the index of its replica identity is gone or not usable'
         ELSE 'it has no primary key, or a deferrable one'
       END AS "because"
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (c.relreplident = 'f' AND c.relkind = 'r')
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indislive AND i.indimmediate
      AND CASE c.relreplident
            WHEN 'd' THEN i.indisprimary
            WHEN 'i' THEN i.indisreplident AND i.indisunique AND i.indpred IS NULL
            ELSE false
          END)
ORDER BY 1;

-- 2. The publication. List the tables that your views read; ONLY keeps tables out that merely inherit from them. Partitioned
--    tables are listed by their root, and published by partition.
--
--   SET lock_timeout = '5s';
--   CREATE PUBLICATION readside FOR TABLE ONLY public.orders, ONLY public.order_items
--     WITH (publish_via_partition_root = false);
--
-- 3. More tables later:
--
--   SET lock_timeout = '5s';
--   ALTER PUBLICATION readside ADD TABLE ONLY public.customers;
--
-- Or hand the publication to readside, which then keeps the list itself. It also has to be able to act as the tables' owner:
--
--   GRANT CREATE ON DATABASE shop TO readside;
--   GRANT owner_of_the_tables TO readside;
--   ALTER PUBLICATION readside OWNER TO readside;

-- Makes aggregate.tsv from a real Postgres (15 or later, database in UTF8 and C): psql -qAtX -v ON_ERROR_STOP=1 -f generate.sql > aggregate.tsv
-- Each line is COPY text: function, argument types and result type; the rows, as an array of composite texts; the answer.
SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET extra_float_digits = 3;
SET client_min_messages = error;
SELECT setseed(0.42);
CREATE OR REPLACE FUNCTION pg_temp.ask(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN EXECUTE q INTO r; RETURN coalesce(r, 'NULL');
EXCEPTION WHEN OTHERS THEN RETURN 'ERROR:' || sqlstate || ':' || sqlerrm; END $$;
CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pg_temp.pair AS (a int, b text);
CREATE TEMP TABLE pool (ty text, v text);
INSERT INTO pool SELECT ty, v FROM (VALUES
 ('smallint', ARRAY['1','2','-3','32767','-32768','7',NULL]),
 ('integer', ARRAY['1','2','-3','2147483647','-2147483648','100',NULL]),
 ('bigint', ARRAY['1','2','-3','9223372036854775807','-9223372036854775808','12',NULL]),
 ('numeric', ARRAY['1.50','2.5','-1.50','0','0.000','1e20','12345678901234567890.123','-0.07','3','7','NaN','Infinity','-Infinity',NULL]),
 ('numeric', ARRAY['1.50','2.5','-1.50','0.10','3','7','19.99','1000000.01','33.333',NULL]),
 ('real', ARRAY['1.5','2.25','-0.5','1e10','NaN','0.1','3','Infinity','3.4e38','3e38','-0',NULL]),
 ('double precision', ARRAY['1.5','2.25','-0.5','1e10','0.5','3','-0',NULL]),
 ('double precision', ARRAY['1.5','NaN','Infinity','-Infinity','1.7e308','1.6e308',NULL]),
 ('interval', ARRAY['1 day','1 mon','-2 hours','1 year 2 mons 3 days 04:05:06.7','00:00:00.000001','-1 mon +3 days','2147483647 days',NULL]),
 ('boolean', ARRAY['t','f','t',NULL]),
 ('text', ARRAY['a','b','','NULL','c "d"','é{}',NULL]),
 ('char(3)', ARRAY['a','b','abc','',NULL]),
 ('date', ARRAY['2024-01-01','1999-12-31','infinity','0044-03-15 BC',NULL]),
 ('timestamptz', ARRAY['2024-01-01 12:00:00.5+00','1999-12-31 00:00:00+00',NULL]),
 ('uuid', ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','00eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',NULL]),
 ('bytea', ARRAY['\x01','\xff00','\x',NULL]),
 ('mood', ARRAY['sad','ok','happy',NULL]),
 ('json', ARRAY['{"b":1, "a":2}','[1 ,2]','1.50',NULL]),
 ('jsonb', ARRAY['{"b":1, "a":2}','[1 ,2]','1.50',NULL]),
 ('integer[]', ARRAY['{1,2}','{3,4}','{5,NULL}','{-1,9}','{1,2,3}','{}','{{1}}',NULL]),
 ('integer[]', ARRAY['{1,2}','{3,4}','{5,NULL}','{-1,9}']),
 ('pair', ARRAY['(1,a)','(2,"b c")','(,)',NULL])) x(ty, a), unnest(a) v;
-- Lists of one argument; groups of every size from none to six.
CREATE TEMP TABLE lists AS SELECT ty, array_agg(v) FILTER (WHERE n > 0) vs FROM (
  SELECT g.ty, g.i, n.n, (SELECT array_agg(p.v) FROM pool p WHERE p.ty = g.ty) vs FROM (SELECT DISTINCT ty, i FROM pool, generate_series(1, 21) i) g, LATERAL (SELECT generate_series(0, g.i % 7) n) n) q,
  LATERAL (SELECT vs[1 + floor(random() * array_length(vs, 1) + 0 * n)::int] v) r GROUP BY ty, i;
CREATE TEMP TABLE f (f text, tys text[]);
INSERT INTO f VALUES
 ('count', NULL), ('array_agg', NULL), ('json_agg', NULL), ('jsonb_agg', NULL),
 ('sum', '{smallint,integer,bigint,numeric,real,double precision,interval}'), ('avg', '{smallint,integer,bigint,numeric,real,double precision,interval}'),
 ('min', '{smallint,integer,bigint,numeric,real,double precision,interval,text,char(3),date,timestamptz,mood,integer[]}'), ('max', '{smallint,integer,bigint,numeric,real,double precision,interval,text,char(3),date,timestamptz,mood,integer[]}'),
 ('bool_and', '{boolean}'), ('bool_or', '{boolean}'), ('every', '{boolean}'), ('bit_and', '{smallint,integer,bigint}'), ('bit_or', '{smallint,integer,bigint}'), ('bit_xor', '{smallint,integer,bigint}'),
 ('variance', '{integer,bigint,numeric,real,double precision}'), ('var_pop', '{integer,numeric,double precision}'), ('stddev', '{smallint,integer,bigint,numeric,real,double precision}'), ('stddev_pop', '{integer,numeric,double precision}');
COPY (SELECT f, ty, coalesce(vs::text, '{}'), pg_temp.ask(format('SELECT (%s(v::%s))::text FROM unnest(%L::text[]) v', f, CASE WHEN ty IN ('mood', 'pair') THEN 'pg_temp.' ELSE '' END || ty, coalesce(vs, '{}'))) FROM lists, f WHERE tys IS NULL OR ty = ANY(tys)) TO STDOUT;
COPY (SELECT 'string_agg', 'text,text', (SELECT array_agg((v, d)::text) FROM unnest(vs, ds) u(v, d)), pg_temp.ask(format('SELECT string_agg(v, d) FROM unnest(%L::text[], %L::text[]) u(v, d)', vs, ds)) FROM (SELECT vs, (SELECT array_agg((ARRAY[',', NULL, '; '])[1 + (random() * 2)::int]) FROM unnest(vs)) ds FROM lists WHERE ty = 'text' AND vs IS NOT NULL) x) TO STDOUT;
COPY (SELECT f, ty || ',' || ty2, (SELECT array_agg((v, d)::text) FROM unnest(vs, ds) u(v, d)), pg_temp.ask(format('SELECT (%s(v::%s, d::%s))::text FROM unnest(%L::text[], %L::text[]) u(v, d)', f, ty, ty2, vs, ds)) FROM (SELECT a.ty, a.vs, b.ty ty2, (SELECT array_agg(CASE WHEN i <= array_length(b.vs, 1) THEN b.vs[i] END) FROM generate_series(1, array_length(a.vs, 1)) i) ds FROM (SELECT ty, CASE WHEN random() < 0.9 THEN nullif(array_remove(vs, NULL), '{}') ELSE vs END vs FROM lists) a, lists b WHERE a.vs IS NOT NULL AND a.ty IN ('text', 'char(3)', 'integer', 'date', 'boolean', 'numeric', 'timestamptz', 'json', 'integer[]', 'uuid') AND b.ty IN ('integer', 'json', 'jsonb', 'numeric', 'integer[]', 'boolean') AND b.vs IS NOT NULL AND random() < 0.012) x, unnest(ARRAY['json_object_agg', 'jsonb_object_agg']) f) TO STDOUT;
COPY (SELECT f, ty, coalesce(vs::text, '{}'), pg_temp.ask(format('SELECT (%s(%s) WITHIN GROUP (ORDER BY v::%s))::text FROM unnest(%L::text[]) v', split_part(f, ' ', 1), split_part(f, ' ', 2), CASE WHEN ty = 'mood' THEN 'pg_temp.' ELSE '' END || ty, coalesce(vs, '{}'))) FROM lists, unnest(ARRAY['mode','percentile_disc 0.5','percentile_disc 0','percentile_disc 1','percentile_disc 0.3','percentile_cont 0.5','percentile_cont 0.25','percentile_cont 1.5','percentile_cont 0']) f WHERE ty IN ('integer','double precision','interval','numeric','real') OR ty IN ('text','mood','char(3)','date') AND f NOT LIKE 'percentile_cont%') TO STDOUT;

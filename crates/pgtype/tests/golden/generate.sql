-- Makes the golden files from a real Postgres (15 or later, database in UTF8 and C), so that the tests need no server:
--   for f in cast float numeric moment json order type; do psql -qAtX -v ON_ERROR_STOP=1 -v part=$f -f generate.sql > $f.tsv; done
-- Each line is COPY text: what is asked, its arguments, and last the answer or `ERROR:<sqlstate>:<message>`.
\set QUIET on
SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET extra_float_digits = 3;
SET client_min_messages = error;
SELECT setseed(0.42);
CREATE OR REPLACE FUNCTION pg_temp.ask(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN EXECUTE q INTO r; RETURN coalesce(r, 'NULL');
EXCEPTION WHEN OTHERS THEN RETURN 'ERROR:' || sqlstate || ':' || sqlerrm; END $$;
CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pg_temp.pair AS (a int, b text);
CREATE TEMP TABLE inputs (ty text, input text);
SELECT :'part' = 'cast' AS is_cast, :'part' = 'numeric' AS is_numeric, :'part' = 'moment' AS is_moment, :'part' = 'json' AS is_json, :'part' = 'order' AS is_order, :'part' = 'float' AS is_float, :'part' = 'type' AS is_type
\gset
INSERT INTO inputs SELECT ty, input FROM (VALUES
 ('boolean', ARRAY['t','true','TRUE',' yes ','y','on','1','f','false','no','n','off','of','0','o','','2','tru','truex',' t','oN','fa']),
 ('smallint', ARRAY['0','-32768','32767','32768','-32769',' 12 ','+5','','x','1.5','- 5','1e3','99999999999999999999']),
 ('integer', ARRAY['0','2147483647','2147483648','-2147483648','-2147483649','007',' 42','x','','12a']),
 ('bigint', ARRAY['9223372036854775807','9223372036854775808','-9223372036854775808','-9223372036854775809','1','x']),
 ('oid', ARRAY['0','4294967295','4294967296','-1','-2147483648','-2147483649','x','']),
 ('real', ARRAY['0','-0','1','1.5','1e6','1000000','100000','123456','1234567','0.0001','0.00001','1e-5','3.4e38','1e39','1e-46','1e-45','NaN','nan','inf','-inf','Infinity','-Infinity','+inf','0.1','16777216','16777217','33554432','8388608.5','1e10','9.5e-38','x','','1.','.5','.','1e','-nan','1e400']),
 ('double precision', ARRAY['0','-0','1','1.5','1e14','1e15','100000000000000','1000000000000000','123456789012345','1234567890123456','0.0001','0.00001','1e22','1e23','1.7976931348623157e308','1e309','4.9e-324','1e-324','NaN','inf','-Infinity','0.1','0.30000000000000004','9007199254740993','9007199254740992','5e-324','2.2250738585072014e-308','x','',' 1 ','1.','.5','1e5 ','1_000','123.456e-2','1e-400','9.5','-1e23','4.35','2e23','8.41e21','9.0e15','2.98023223876953125e-8','5.0e-320']),
 ('numeric', ARRAY['0','-0','0.0','1','1.50','-1.50','1e3','1.5e3','1.50e1','1e-3','1.0e-3','123456789012345678901234567890.123456789','.5','5.','-.5e-2','NaN','nan','inf','-inf','Infinity','+Infinity','-NaN','','.','e5','1e','1e+','1 2',' 1 ','1e131072','1e-16384','0e-5','0e500','00012.300','1_0','--1','99999999999999999999']),
 ('numeric(5,2)', ARRAY['1','1.005','999.994','999.995','-999.995','1000','NaN','inf','0.001','-0.005']),
 ('numeric(3,-2)', ARRAY['149','150','99949','99950','-150','0','50','49']),
 ('numeric(3,5)', ARRAY['0.001','0.00999','0.009995','0.01','-0.001234567','0']),
 ('numeric(9,1)', ARRAY['1234567.891','99999999.95','99999999.94']),
 ('text', ARRAY['','abc',' x ','é']),
 ('varchar(3)', ARRAY['','abc','abcd','éàüx','  ab']),
 ('char(3)', ARRAY['','a','abc','abcd','é','a  ','   ']),
 ('name', ARRAY['abc',repeat('x',70),repeat('é',40)]),
 ('bytea', ARRAY['','\x','\x00ff','\xDEADbeef','\x 0 1','\x01 02','\x0','\x0g','abc','a\\b','\001\377','\1','\999','é']),
 ('uuid', ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11','{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}','a0eebc999c0b4ef8bb6d6bb9bd380a11','a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11','{a0eebc999c0b4ef8bb6d6bb9bd380a11','x','',' a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1','a0eebc9-99c0b-4ef8-bb6d-6bb9bd380a11']),
 ('pg_temp.mood', ARRAY['sad','happy','Happy','',' ok']),
 ('integer[]', ARRAY['{}','{1}','{1,2,NULL}',' { 1 , 2 } ','{{1,2},{3,4}}','[0:1]={7,8}','[2:3][0:1]={{1,2},{3,4}}','{1,}','{,1}','{1','1','','{{1},{2,3}}','{1,{2}}','{{1},2}','{x}','[1:2]={1}','{"1"}','{null}','{1 2}','[2]={1,2}','{} x','{{}}','{{},{}}','[1:0]={}']),
 ('text[]', ARRAY['{}','{a,b}','{a b}','{"a b"}','{"NULL",NULL,null}','{"q\"x","b\\\\s"}','{""}','{"{","}","," ,"("}','{ a , b }','{a\,b}','{"a" b}','{a"b"c}','{é,"\t"}','{"a
b"}']),
 ('boolean[]', ARRAY['{t,f,true,NULL}']),
 ('numeric[]', ARRAY['{1.50,NaN,-0.0}']),
 ('timestamp[]', ARRAY['{"2024-01-01 00:00:00",infinity}']),
 ('char(3)[]', ARRAY['{a,"b ",abc}']),
 ('jsonb[]', ARRAY['{"{\"a\": 1}",null}']),
 ('pg_temp.pair', ARRAY['(1,a)','(,)','(1,"a b")','(1,"a""b")','(1,a\"b)','( 1 , a )','(1)','(1,2,3)','()','(1,"")','1,a','(1,a','(1,a) x',' (1,a) ','(x,a)','(1,"(,)")','(1, )','(1,"a\\b")']),
 ('pg_temp.pair[]', ARRAY['{"(1,a)","(2,\"b c\")",NULL}'])
 ) v(ty, a), unnest(a) input;
INSERT INTO inputs SELECT ty, input FROM (VALUES
 ('date', ARRAY['2024-02-29','2023-02-29','2024-2-3','2024/02/03','20240203','240203','02/03/2024','2/3/24','2/3/70','13/01/2024','Jan 5, 2024','January 5 2024','5 Jan 2024','2024-Jan-05','05-Jan-2024','Jan-05-2024','5-Jan-24','2024 Jan 5','Mon Jan 5 2024','infinity','-infinity','epoch','0044-03-15 BC','44-03-15 BC','0001-01-01','0000-01-01','4714-11-24 BC','4714-11-23 BC','5874897-12-31','5874898-01-01','10000-01-01','2024-01-01 12:30','2024-01-01 25:00','','x','2024-13-01','2024-00-01','2024-01-32','2024-01-00','2024.060','J2451545','99-01-08','1999-01-08','Jan 8 99 BC','2024-01','2024','12','2024-01-01T10:20:30Z','2024-01-01 10:20:30+02','  2024-01-01  ','2024-01-01 AD','May 2024','01 02 2024','2024-1-1 x','1-2-3','2024-01-01 10:00:00 America/New_York','08 Jan 99','Sept 5 2024','2024:01:01']),
 ('time', ARRAY['00:00','12:30','12:30:45','12:30:45.123456','12:30:45.1234567','24:00:00','24:00:01','25:00','12:60','12:30:60','12:30:61','1:2','1:2:3','123045','1230','12','12:30 PM','12:30 AM','01:30 pm','13:30 pm','0:30 am','23:59:59.9999995','23:59:60','12:30:45+02','12:30:45 UTC','','x','2024-01-01 12:30','12:30.5','T12:30','allballs','-12:30','12:30:45.','infinity']),
 ('timestamp', ARRAY['2024-01-01','2024-01-01 12:30','2024-01-01T12:30:45.5','2024-01-01T12:30:45.5Z','2024-01-01 12:30:45+05:30','20240101T123045','20240101 123045','2024-01-01 24:00:00','2024-01-01 12:30:45.1234565','2024-01-01 12:30 PM','Jan 1 2024 3:04 PM','1/2/2024 03:04','infinity','-infinity','epoch','0044-03-15 12:00 BC','294276-12-31 23:59:59.999999','294277-01-01','4714-11-24 BC','4714-11-23 BC','','x','2024-02-30','2024-01-01 12:30:45 UTC','2024-01-01 12:30:45 America/New_York','2024-01-01 12:30:45 Nowhere/City','Mon Jan 01 12:30:45 2024','Mon Jan 01 12:30:45 UTC 2024','2024-01-01 12','12:30 2024-01-01','12:30 01/02/2024','12:30 5-Jan-2024','12:30 Jan 5 2024','12:30:00 20240105','12:30+02 2024-01-01','2024-01-01 12:30 +02','2024-01-01T1230','2024-01-01 1230','2024-01-01 12:30z','2024-01-01t12:30','2024-01-01,12:30','10000-01-01 00:00:00','2024-1-1 1:2:3','2024-01-01 12:30:45.','2024-01-01 00:00:60','1999-12-31 23:59:59.9999999']),
 ('timestamptz', ARRAY['2024-01-01','2024-01-01 12:30:45+02','2024-01-01 12:30:45-0830','2024-01-01 12:30:45+5','2024-01-01 12:30:45 +05:30','2024-01-01T12:30:45Z','2024-01-01 12:30:45 EST','2024-07-01 12:30:45 America/New_York','2024-01-01 12:30:45 Europe/Berlin','2024-03-31 02:30:00 Europe/Berlin','2024-10-27 02:30:00 Europe/Berlin','2024-01-01 12:30:45 UTC','2024-01-01 12:30:45+16','2024-01-01 12:30:45+15:59','2024-01-01 12:30:45+02:03:04','2024-01-01 12:30 PM PST','2050-07-01 12:00 Europe/Berlin','2150-07-01 12:00 America/New_York','1850-01-01 12:00 America/New_York','infinity','-infinity','epoch','0044-03-15 BC','','x','2024-01-01 12:30:45 zulu','2024-01-01 12:30:45 gmt','294276-12-31 23:59:59+00','294276-12-31 23:59:59-01','4714-11-24 00:00:00+00 BC','4714-11-24 00:00:00+01 BC','2024-01-01 12:30:45 america/new_york','2024-01-01 12:30:45 CEST']),
 ('timestamp(3)', ARRAY['2024-01-01 12:30:45.1235','2024-01-01 12:30:45.9996','1999-12-31 23:59:59.9995','1990-01-01 00:00:00.0005']),
 ('timestamptz(0)', ARRAY['2024-01-01 12:30:45.5','2024-01-01 12:30:44.5','1990-01-01 12:30:44.5']),
 ('time(1)', ARRAY['12:30:45.25','12:30:45.26','23:59:59.99']),
 ('interval', ARRAY['1 day','1 day 02:03:04','1 mon','1 year 2 mons 3 days 4 hours 5 min 6.789 sec','-1 day','1 day -2 hours','-1 days +02:03','-1 mons +2 days -03:04:05','1-2','-1-2','+1-2','1 12:59:10','1 12:59','@ 1 minute','3 hours ago','1 day 2 hours ago','P1Y2M3DT4H5M6S','P1W','PT0.5S','P-1Y2M','P0001-02-03T04:05:06','PT36H','1.5 days','1.5 months','0.5 years','1.5 weeks','1.5 hours','1.23 years','0.1 month','-0.5 day','1 decade','2 centuries','1 millennium','100','1.5','-1.5','1 us','1500 ms','1.5 ms','1d','1d2h3m4s','1 day 1 day','1 hour 02:03','1 sec 500 ms','1 year 1-2','1 mon 1-2','1 week 1 day','1 year 1 century','2147483647 years','2147483648 years','300000000 decades','1 y 2147483647 mons','9999999999 hours','9999999999999 hours','P1Y1Y','P','PT1','P1','+-1 day','1 day 2','2 1 day','04:05:06.789','-04:05:06','04:05','1:2:3.5','25:00:00','00:60','1 y 2 mon 3 d','','x','1 foo','1 day foo','2147483647 days','2147483648 days','2147483648 months','178956970 years','178956971 years','9223372036854775807 us','1 day 00:00:00.0000005','0','1 week','-1 week','1 quarter','3.5 decades','1 month 1.5 days','-1.5 months','1 year -1 day','1 h 30 m','+1 day','1 day, 2 hours','30:20','P','PT','1e3 s','0.0000001 s','1.0000005 s','12 months','13 mons','-13 mons','100000:00:00','1 yr 2 wks','2 hrs 3 mins 4 secs','1 day 2:3 ago','04:05.5']),
 ('interval day', ARRAY['1 mon 2 days 03:04:05','5']), ('interval year', ARRAY['14 mons','5']), ('interval month', ARRAY['14 mons 3 days','5']),
 ('interval hour to minute', ARRAY['1 day 02:03:04','5']), ('interval second(1)', ARRAY['1.26','00:00:01.25','00:00:01.35']), ('interval(2)', ARRAY['1.005 s','1.015 s','1 day 00:00:00.999']), ('interval year to month', ARRAY['1-2','14 mons 5 days']), ('interval day to hour', ARRAY['1 02:03:04','5']), ('interval hour', ARRAY['5','1 day 02:03:04'])
 ) v(ty, a), unnest(a) input;
INSERT INTO inputs SELECT ty, input FROM (VALUES
 ('json', ARRAY['{}','[]','null',' {"a" : 1 , "a":2} ','"x"','1.50','1e5','-0','01','+1','1.','.5','-','tru','true','nullx','{"a"}','{a:1}','[1,]','[,1]','{"a":1,}','"\u0000"','"\ud83d\ude00"','"\ud83d"','"\x"','"a','','[1] x','{"a":{"b":[1,2,{"c":null}]}}',E'"\t"','1 2','"\u00e9"','[1,2','''a''','1e','1E+2','--1','"\ude00"','nan','"\/"','123abc','"a"b"']),
 ('jsonb', ARRAY['{}','[]','null',' {"a" : 1 , "a":2} ','{"b":1,"aa":2,"a":3,"é":4,"":5,"B":6}','"x"','1.50','1e5','1.5e3','1.0e-3','-0','-0.0','0e5','1E-10','12345678901234567890123.4500','"\u0000"','"\ud83d\ude00"','"\u0001\u007f\t\"\\\/é\b\f\n\r"','"\ud83d"','[1, 2,[3,{"a":[]}],"x",true,null]','[1 2]','{"a":1','[[[[]]]]','1e131072','1e400','{"z":{"b":2,"a":1},"y":[{"d":1,"c":2}]}','   1   ','"<>&''"'])
 ) v(ty, a), unnest(a) input;
\if :is_cast
COPY (SELECT 'text', replace(ty, 'pg_temp.', ''), input, replace(pg_temp.ask(format('SELECT (%L::%s)::text', input, ty)), 'pg_temp.', '') FROM inputs) TO STDOUT;
COPY (SELECT 'out', replace(ty, 'pg_temp.', ''), input, replace(pg_temp.ask(format('SELECT format(''%%s'', %L::%s)', input, ty)), 'pg_temp.', '') FROM inputs WHERE ty IN ('boolean', 'char(3)')) TO STDOUT;
COPY (SELECT 'json', replace(ty, 'pg_temp.', ''), input, r FROM inputs, pg_temp.ask(format('SELECT to_json(%L::%s)::text', input, ty)) r WHERE r NOT LIKE 'ERROR%') TO STDOUT;
COPY (SELECT 'jsonb', replace(ty, 'pg_temp.', ''), input, r FROM inputs, pg_temp.ask(format('SELECT to_jsonb(%L::%s)::text', input, ty)) r WHERE r NOT LIKE 'ERROR%' OR ty = 'json') TO STDOUT;
\endif
\if :is_float
-- What the server prints has to be read and printed again unchanged.
COPY (SELECT 'text', 'double precision', f, f FROM (SELECT power(2::float8, n)::text f FROM generate_series(-1074, 1023, 3) n UNION SELECT power(2::float8, n)::text FROM generate_series(-30, 90) n UNION ALL SELECT (random() * power(10::float8, n % 600 - 300))::text FROM generate_series(1, 400) n UNION ALL SELECT (trunc(random() * 1e17) * power(10::float8, n % 12))::text FROM generate_series(1, 300) n UNION ALL SELECT ((9007199254740992 + trunc(random() * 1e15)) * power(2::float8, n % 40))::text FROM generate_series(1, 400) n) x) TO STDOUT;
COPY (SELECT 'text', 'real', f, f FROM (SELECT power(2::float8, n)::float4::text f FROM generate_series(-149, 127) n UNION ALL SELECT (random() * power(10::float8, n % 70 - 35))::float4::text FROM generate_series(1, 300) n UNION ALL SELECT ((8388608 + trunc(random() * 8388608)) * power(2::float8, n % 30))::float4::text FROM generate_series(1, 400) n) x) TO STDOUT;
-- Decimals of few digits, whose doubles may print otherwise than they were written.
COPY (SELECT 'text', 'double precision', i, i::float8::text FROM (SELECT m || 'e' || e i FROM generate_series(1, 99, 7) m, generate_series(14, 30) e) x) TO STDOUT;
COPY (SELECT 'text', 'real', i, i::float4::text FROM (SELECT m || 'e' || e i FROM generate_series(1, 99, 7) m, generate_series(5, 15) e) x) TO STDOUT;
\endif
\if :is_numeric
CREATE TEMP TABLE n AS SELECT CASE WHEN k % 23 = 0 THEN (ARRAY['0','0.00','NaN','Infinity','-Infinity','1','-1','10','0.1'])[1 + k / 23 % 9]::numeric
  ELSE (CASE WHEN random() < 0.4 THEN -1 ELSE 1 END * trunc((random() * power(10::numeric, (random() * 24)::int))::numeric, (random() * 12)::int)) END AS x FROM generate_series(1, 300) k;
CREATE TEMP TABLE p AS SELECT a.x a, b.x b FROM (SELECT x, row_number() OVER () i FROM n) a JOIN (SELECT x, row_number() OVER () i FROM n) b ON b.i = (a.i * 7 + 11) % 300 + 1;
INSERT INTO p VALUES ('Infinity','Infinity'),('Infinity','-Infinity'),('Infinity',0),('NaN',0),(0,'Infinity'),(5,'-Infinity'),(1e100,3),(1,3e100),(1e-50,3),(1,7),(2,3),(10000,9999),(9999,10000),(1.0001,1e4),(99999999,1e8),(1e300,1e-300),(123456789.987654321,0.000001);
COPY (SELECT op, a, b, pg_temp.ask(format('SELECT (%L::numeric %s %L::numeric)::text', a, op, b)) FROM p, unnest(ARRAY['+','-','*','/','%']) op) TO STDOUT;
COPY (SELECT 'cmp', a, b, CASE WHEN a < b THEN '-1' WHEN a = b THEN '0' ELSE '1' END FROM p) TO STDOUT;
COPY (SELECT 'div', a, b, pg_temp.ask(format('SELECT div(%L::numeric, %L::numeric)::text', a, b)) FROM p WHERE random() < 0.3) TO STDOUT;
COPY (SELECT f, x, k, pg_temp.ask(format('SELECT %s(%L::numeric, %s)::text', f, x, k)) FROM n, unnest(ARRAY['round','trunc']) f, LATERAL (SELECT (random() * 20 - 8)::int k) r) TO STDOUT;
COPY (SELECT f, x, '', pg_temp.ask(format('SELECT (%s(%L::numeric))::text', f, x)) FROM n, unnest(ARRAY['ceil','floor','sign','abs','sqrt','trim_scale','-']) f) TO STDOUT;
COPY (SELECT 'sqrt', x, '', sqrt(x::numeric)::text FROM unnest(ARRAY['2','0.0002','1e40','1e41','1e-30','99999999','9999.9999','123456789012345678901234567890','10','100','1000','10000','100000','0.5','0.00000000000000000000000000000000007']) x) TO STDOUT;
COPY (SELECT f, x, '', pg_temp.ask(format('SELECT (%L::numeric)::%s::text', x, f)) FROM n, unnest(ARRAY['smallint','integer','bigint','double precision','real']) f WHERE random() < 0.5) TO STDOUT;
COPY (SELECT f, x, '', pg_temp.ask(format('SELECT (%L::numeric)::%s::text', x, f)) FROM unnest(ARRAY['2.5','-2.5','0.5','-0.5','32767.4','32767.5','1e400','1e-400','1e39','9223372036854775807.4','9223372036854775807.5','NaN','Infinity']) x, unnest(ARRAY['smallint','integer','bigint','double precision','real']) f) TO STDOUT;
COPY (SELECT 'from ' || f, x, '', pg_temp.ask(format('SELECT (%L::%s)::numeric::text', x, f)) FROM unnest(ARRAY['0','-0','0.1','1e20','1e-7','123456789012345678','1.5','NaN','Infinity','-Infinity','3.4e38','1e-300','0.30000000000000004','1234567.5','999999.5','9999995','99999.95','1e15','1e16','123456.7']) x, unnest(ARRAY['double precision','real']) f WHERE NOT (f = 'real' AND x = '1e-300')) TO STDOUT;
\endif
\if :is_moment
CREATE TEMP TABLE t AS SELECT timestamp '2000-01-01' + (random() * 4e9 - 2e9) * interval '1 second' ts FROM generate_series(1, 200);
INSERT INTO t VALUES ('2024-01-31'),('2024-02-29'),('2023-12-31 23:59:59.999999'),('0001-01-01'),('0001-12-31 BC'),('0044-03-15 BC'),('infinity'),('-infinity'),('294276-12-31 23:59:59.999999'),('4714-11-24 BC'),('2000-01-01'),('1999-12-31 23:59:59.5'),('1900-01-01'),('1901-01-01'),('2001-01-01'),('0100-06-01 BC'),('0101-06-01 BC'),('0099-06-01 BC'),('1000-06-01 BC'),('1001-06-01 BC'),('9999-12-31'),('10000-01-01'),('2020-12-28'),('2021-01-03'),('2021-01-04'),('0010-05-05 BC'),('0011-05-05 BC'),('0009-05-05 BC');
CREATE TEMP TABLE iv AS SELECT make_interval(months => (random() * 60 - 30)::int, days => (random() * 80 - 40)::int, secs => (random() * 3e5 - 15e4)) iv FROM generate_series(1, 200);
INSERT INTO iv VALUES ('0'),('1 mon'),('-1 mon'),('1 year'),('30 days'),('1 mon -30 days'),('24:00:00'),('-1 day +24:00:00'),('1 day -00:00:01'),('1000000 years'),('-1000000 years'),('2147483647 days'),('12 mons 40 days 50:00:00'),('-12 mons -40 days -50:00:00'),('1 mon -1 day'),('-1 mon +40 days -30:00:00'),('-1 mon +1 day');
CREATE TEMP TABLE ti AS SELECT ts, iv FROM (SELECT ts, row_number() OVER () i FROM t) a JOIN (SELECT iv, row_number() OVER () i, count(*) OVER () c FROM iv) b ON b.i = (a.i * 3) % c + 1;
COPY (SELECT 'ts + iv', ts, iv, pg_temp.ask(format('SELECT (%L::timestamp + %L::interval)::text', ts, iv)) FROM ti) TO STDOUT;
COPY (SELECT 'ts - iv', ts, iv, pg_temp.ask(format('SELECT (%L::timestamp - %L::interval)::text', ts, iv)) FROM ti) TO STDOUT;
COPY (SELECT 'ts - ts', a.ts, b.ts, pg_temp.ask(format('SELECT (%L::timestamp - %L::timestamp)::text', a.ts, b.ts)) FROM (SELECT ts, row_number() OVER () i FROM t) a JOIN (SELECT ts, row_number() OVER () i FROM t) b ON b.i = a.i % 400 + 1) TO STDOUT;
COPY (SELECT 'age', a.ts, b.ts, pg_temp.ask(format('SELECT age(%L::timestamp, %L::timestamp)::text', a.ts, b.ts)) FROM (SELECT ts, row_number() OVER () i FROM t) a JOIN (SELECT ts, row_number() OVER () i FROM t) b ON b.i = a.i % 400 + 1) TO STDOUT;
COPY (SELECT 'trunc ' || f, ts, '', pg_temp.ask(format('SELECT date_trunc(%L, %L::timestamp)::text', f, ts)) FROM t, unnest(ARRAY['microseconds','milliseconds','second','minute','hour','day','week','month','quarter','year','decade','century','millennium','dow']) f WHERE random() < 0.06 OR ts < '1600-01-01' OR ts > '2100-01-01') TO STDOUT;
COPY (SELECT 'extract ' || f, ts, '', pg_temp.ask(format('SELECT extract(%s FROM %L::timestamp)::text', f, ts)) FROM t, unnest(ARRAY['microseconds','milliseconds','second','minute','hour','day','week','month','quarter','year','decade','century','millennium','dow','isodow','doy','isoyear','epoch','julian','timezone']) f WHERE random() < 0.06 OR ts < '1600-01-01' OR ts > '2100-01-01') TO STDOUT;
COPY (SELECT 'extract date ' || f, ts::date, '', pg_temp.ask(format('SELECT extract(%s FROM %L::date)::text', f, ts::date)) FROM t, unnest(ARRAY['hour','day','week','month','quarter','year','decade','century','millennium','dow','isodow','doy','isoyear','epoch','julian']) f WHERE random() < 0.05 OR ts < '1600-01-01' OR ts > '2100-01-01') TO STDOUT;
COPY (SELECT 'extract iv ' || f, iv, '', pg_temp.ask(format('SELECT extract(%s FROM %L::interval)::text', f, iv)) FROM iv, unnest(ARRAY['microseconds','milliseconds','second','minute','hour','day','week','month','quarter','year','decade','century','millennium','epoch','dow']) f WHERE random() < 0.3) TO STDOUT;
COPY (SELECT 'trunc iv ' || f, iv, '', pg_temp.ask(format('SELECT date_trunc(%L, %L::interval)::text', f, iv)) FROM iv, unnest(ARRAY['microseconds','milliseconds','second','minute','hour','day','month','quarter','year','decade','century','millennium','week']) f WHERE random() < 0.3) TO STDOUT;
COPY (SELECT 'extract time ' || f, x, '', pg_temp.ask(format('SELECT extract(%s FROM %L::time)::text', f, x)) FROM unnest(ARRAY['00:00','12:34:56.789','24:00:00']::time[]) x, unnest(ARRAY['microseconds','milliseconds','second','minute','hour','epoch','day']) f) TO STDOUT;
COPY (SELECT f, iv, '', pg_temp.ask(format('SELECT (%s(%L::interval))::text', f, iv)) FROM iv, unnest(ARRAY['justify_hours','justify_days','justify_interval','-']) f) TO STDOUT;
COPY (SELECT op, iv, k, pg_temp.ask(format('SELECT (%L::interval %s %L::float8)::text', iv, op, k)) FROM iv, unnest(ARRAY['*','/']) op, LATERAL (SELECT (ARRAY[0, 1, 2, 3, 7, 0.5, 0.1, -1, 1.3, 12, 1e10, 30, 365.25])[1 + (random() * 12)::int] k) r) TO STDOUT;
COPY (SELECT op, a.iv, b.iv, pg_temp.ask(format('SELECT (%L::interval %s %L::interval)::text', a.iv, op, b.iv)) FROM (SELECT iv, row_number() OVER () i FROM iv) a JOIN (SELECT iv, row_number() OVER () i FROM iv) b ON b.i = a.i % 200 + 1, unnest(ARRAY['iv + iv','iv - iv']) o, substr(o, 4, 1) op) TO STDOUT;
COPY (SELECT 'at ' || z, ts, '', pg_temp.ask(format('SELECT (%L::timestamp AT TIME ZONE %L)::text', ts, z)), pg_temp.ask(format('SELECT (%L::timestamptz AT TIME ZONE %L)::text', ts, z)) FROM t, unnest(ARRAY['America/New_York','Europe/Berlin','Asia/Kolkata','Australia/Sydney','UTC','EST','+03','UTC+5','Asia/Kathmandu','Nowhere']) z WHERE ts BETWEEN '1975-01-01' AND '2200-01-01' AND random() < 0.12) TO STDOUT;
COPY (SELECT 'at ' || z, ts, '', pg_temp.ask(format('SELECT (%L::timestamp AT TIME ZONE %L)::text', ts, z)), pg_temp.ask(format('SELECT (%L::timestamptz AT TIME ZONE %L)::text', ts, z)) FROM generate_series(timestamp '2024-03-10 05:00', '2024-03-10 08:00', '15 minutes') ts, unnest(ARRAY['America/New_York']) z UNION ALL SELECT 'at ' || z, ts, '', pg_temp.ask(format('SELECT (%L::timestamp AT TIME ZONE %L)::text', ts, z)), pg_temp.ask(format('SELECT (%L::timestamptz AT TIME ZONE %L)::text', ts, z)) FROM generate_series(timestamp '2024-03-10 01:00', '2024-03-10 04:00', '15 minutes') ts, unnest(ARRAY['America/New_York']) z UNION ALL SELECT 'at ' || z, ts, '', pg_temp.ask(format('SELECT (%L::timestamp AT TIME ZONE %L)::text', ts, z)), pg_temp.ask(format('SELECT (%L::timestamptz AT TIME ZONE %L)::text', ts, z)) FROM generate_series(timestamp '2051-10-29 23:00', '2051-10-30 04:00', '15 minutes') ts, unnest(ARRAY['Europe/Berlin','Europe/London']) z UNION ALL SELECT 'at ' || z, ts, '', pg_temp.ask(format('SELECT (%L::timestamp AT TIME ZONE %L)::text', ts, z)), pg_temp.ask(format('SELECT (%L::timestamptz AT TIME ZONE %L)::text', ts, z)) FROM generate_series(timestamp '2011-12-29 20:00', '2011-12-31 12:00', '3 hours') ts, unnest(ARRAY['Pacific/Apia']) z) TO STDOUT;
COPY (SELECT 'trunc zone ' || f, ts, z, pg_temp.ask(format('SELECT date_trunc(%L, %L::timestamptz, %L)::text', f, ts, z)) FROM t, unnest(ARRAY['hour','day','week','month','year']) f, unnest(ARRAY['America/New_York','Asia/Kathmandu']) z WHERE ts BETWEEN '1975-01-01' AND '2200-01-01' AND random() < 0.1) TO STDOUT;
\endif
\if :is_json
CREATE TEMP TABLE j (j jsonb);
INSERT INTO j SELECT x::jsonb FROM unnest(ARRAY['null','true','false','0','1','1.0','-1.5','1e3','"a"','"b"','"ab"','""','[]','[1]','[1, 2]','[2, 1]','["a"]','["a","b"]','[null]','[[1]]','[[1,2],[3]]','[{"a":1}]','{}','{"a":1}','{"a":1.00}','{"a":2}','{"b":1}','{"a":1,"b":[1,2,{"c":null}]}','{"a":{"b":{"c":"x"}}}','{"aa":1,"b":2}','{"a":null,"b":[null,{"c":null}]}','["1",1]','{"1":{"0":5}}','[[],{}]','{"a":[]}','{"k\"q":1}']) x;
COPY (SELECT op, a.j, b.j, pg_temp.ask(format('SELECT (%L::jsonb %s %L::jsonb)::text', a.j, op, b.j)) FROM j a, j b, unnest(ARRAY['@>','||']) op) TO STDOUT;
COPY (SELECT 'cmp', a.j, b.j, CASE WHEN a.j < b.j THEN '-1' WHEN a.j = b.j THEN '0' ELSE '1' END FROM j a, j b) TO STDOUT;
COPY (SELECT op, a.j, k, pg_temp.ask(format('SELECT (%L::jsonb %s %L::text)::text', a.j, op, k)) FROM j a, unnest(ARRAY['a','b','','1','k"q','ab']) k, unnest(ARRAY['?','->','->>','-']) op) TO STDOUT;
COPY (SELECT op || 'int', a.j, k, pg_temp.ask(format('SELECT (%L::jsonb %s (%s))::text', a.j, op, k)) FROM j a, unnest(ARRAY[0,1,-1,-2,5]) k, unnest(ARRAY['->','->>','-']) op) TO STDOUT;
COPY (SELECT op, a.j, p, pg_temp.ask(format('SELECT (%L::jsonb %s %L)::text', a.j, op, p)) FROM j a, unnest(ARRAY['{}','{a}','{0}','{-1}','{a,b}','{a,b,c}','{b,2,c}','{b,-1}','{0,a}','{1,0}','{0,0}',' {x}']) p, unnest(ARRAY['#>','#>>','#-']) op) TO STDOUT;
COPY (SELECT 'set ' || c, a.j, p, pg_temp.ask(format('SELECT jsonb_set(%L::jsonb, %L, ''9'', %L)::text', a.j, p, c)) FROM j a, unnest(ARRAY['{}','{a}','{0}','{-1}','{-5}','{7}','{a,b}','{a,b,c}','{b,2,c}','{b,-1}','{0,a}','{z,y}']) p, unnest(ARRAY['true','false']) c) TO STDOUT;
COPY (SELECT f, a.j, '', pg_temp.ask(format('SELECT %s(%L::jsonb)::text', f, a.j)) FROM j a, unnest(ARRAY['jsonb_typeof','jsonb_array_length','jsonb_strip_nulls','jsonb_pretty']) f) TO STDOUT;
CREATE TEMP TABLE js (j text);
INSERT INTO js VALUES ('{"a" : 1.50, "b":[1 , 2], "a": "x" }'),('[1 , "a\u00e9b", {"k" : null} ]'),('"x\n"'),('null'),('{ }'),('[ ]'),('{"a":{"b" : [ 10,20 ]}}'),('{"\u0061":3}');
COPY (SELECT 'json' || op, j, k, pg_temp.ask(format('SELECT (%L::json %s %L::text)::text', j, op, k)) FROM js, unnest(ARRAY['a','b','']) k, unnest(ARRAY['->','->>']) op) TO STDOUT;
COPY (SELECT 'json' || op || 'int', j, k, pg_temp.ask(format('SELECT (%L::json %s (%s))::text', j, op, k)) FROM js, unnest(ARRAY[0,1,2,-1,-4,9]) k, unnest(ARRAY['->','->>']) op) TO STDOUT;
COPY (SELECT 'json' || op, j, p, pg_temp.ask(format('SELECT (%L::json %s %L)::text', j, op, p)) FROM js, unnest(ARRAY['{}','{a,b}','{a,b,-1}','{2,k}','{b,0}']) p, unnest(ARRAY['#>','#>>']) op) TO STDOUT;
\endif
\if :is_order
DELETE FROM inputs WHERE ty IN ('json') OR ty LIKE '%(%' AND ty <> 'char(3)' OR ty LIKE 'interval %' OR pg_temp.ask(format('SELECT (%L::%s)::text', input, ty)) LIKE 'ERROR%' OR length(input) > 100;
INSERT INTO inputs SELECT ty, input FROM (VALUES
 ('interval', ARRAY['720:00:00','30 days','1 mon','1 mon -30 days','-1 mon','24:00:00','1 day','-1 day +24:00:00']),
 ('numeric', ARRAY['1.0','1.00','10','100','99','0.01','0.1','-0.01','-10','-100','-99','12','120','123','-12','-120','-123','1000000','100001','-100001']),
 ('bigint', ARRAY['0','-1','255','256','-255','-256','-257','65535','65536','1']),
 ('text', ARRAY['a','A','ab','b','B','é','z','',' ','a b']),
 ('bytea', ARRAY['\x00','\x0000','\x01','\x0001','\x0100','\x02','\xff','\x']),
 ('text[]', ARRAY['{a}','{a,a}','{NULL}','{a,NULL}','{b}','{ab}','{{a}}','[0:0]={a}','{{a},{a}}','{{a,a}}']),
 ('pg_temp.pair', ARRAY['(1,b)','(1,)','(,b)','(2,a)','(10,a)','(-1,a)'])) v(ty, a), unnest(a) input;
COPY (SELECT 'cmp ' || replace(a.ty, 'pg_temp.', ''), a.input, b.input, pg_temp.ask(format('SELECT CASE WHEN %1$L::%3$s < %2$L::%3$s THEN -1 WHEN %1$L::%3$s = %2$L::%3$s THEN 0 ELSE 1 END::text', a.input, b.input, a.ty)) FROM (SELECT DISTINCT * FROM inputs) a JOIN (SELECT DISTINCT * FROM inputs) b USING (ty) WHERE ty !~ 'date|time|real|double' OR random() < 0.2) TO STDOUT;
\endif
\if :is_type
COPY (SELECT 'name', t.oid, coalesce(m.m::text, ''), format_type(t.oid, m.m) FROM pg_type t, (VALUES (NULL), (-1)) m(m) WHERE t.oid < 10000 AND (typtype = 'b' OR typtype = 'p') AND (typcategory <> 'A' OR typelem <> 0)) TO STDOUT;
COPY (SELECT 'name', t.oid, m.m, format_type(t.oid, m.m) FROM (VALUES ('varchar'), ('bpchar'), ('numeric'), ('time'), ('timestamp'), ('timestamptz'), ('interval'), ('_varchar'), ('_numeric')) n(n) JOIN pg_type t ON typname = n, unnest(ARRAY[3, 14, 327686, 196614, 655364, 198658, 327679, 196607, 589823, 67174399, 134283263, 268500991, 458751, 67698687, 201916415, 470351871, 201392127, 469827583, 402718719, 268435459, 2147418115]) m WHERE (n LIKE '%time%' AND m < 7 OR n LIKE '%char' AND m > 4 AND m < 100 OR n LIKE '%numeric' AND m IN (327686, 196614, 655364, 198658) OR n = 'interval' AND m > 1000 AND m NOT IN (327686, 196614, 655364, 198658))) TO STDOUT;
COPY (SELECT 'flags', oid, typcategory::text || CASE WHEN typispreferred THEN '*' ELSE '' END || CASE WHEN typcollation <> 0 THEN 'c' ELSE '' END FROM pg_type WHERE oid < 10000 AND typtype = 'b') TO STDOUT;
\endif

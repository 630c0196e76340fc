-- Expressions that mean something on their own, one a line.
1 + 2 * 3 - 4 / 2
-7/2
-7%2
7/(-2)
mod(-7,3)
3::smallint*2::smallint
3::smallint*2
5/2*2.0
2147483647::int + 1
'-2147483648'::int4 / (-1)
'-32768'::int2 / '-1'::int2
abs('-2147483648'::int4)
- '-9223372036854775808'::int8
'-9223372036854775808'::int8 % (-1)
1/0
1.0/0
1::float8/0
0::float8/0
'NaN'::float8/0
1/3::numeric
10/4.0
1.0*1.00
2.50::numeric(4,1)
round(2.5)
round(-2.5)
round(2.5::float8)
round(3.5::float8)
round(0.125,2)
round(1234.5678,-2)
trunc(-1.999,2)
to_jsonb(1.10::numeric)
to_jsonb(100::numeric(10,2))
1e3::numeric
0.0001::numeric/3
'-0'::float8
1e15::float8
1e16::float8
1e-4::float8
1e-5::float8
to_jsonb(1e20::float8)
to_jsonb('-0'::float8)
to_jsonb(0.1::real)
to_jsonb('NaN'::float8)
'NaN'::float8='NaN'::float8
'NaN'::float8>'Infinity'::float8
0.1::float4::float8
16777217::float4
123456789012345680::float8
'{"ccc":1,"bb":2,"a":3,"B":4,"é":5}'::jsonb
'1.10'::jsonb
'1e400'::jsonb = '1e400'::jsonb
'1.0'::jsonb='1'::jsonb
'"\u0041"'::jsonb
'{"b":1, "a":1.0,"b":2}'::json
'{"b":1, "a":1.0,"b":2}'::json->>'b'
'null'::jsonb IS NULL
'null'::jsonb = 'null'
'{"x":null}'::jsonb->>'x'
'{"x":null}'::jsonb->'x'
'2024-03-31 00:30+00'::timestamptz AT TIME ZONE 'Europe/Paris'
timestamp '2024-03-31 02:30' AT TIME ZONE 'Europe/Paris'
timestamp '2024-10-27 02:30' AT TIME ZONE 'Europe/Paris'
timestamp '2024-01-01 10:00' AT TIME ZONE interval '-05:00'
date '2024-03-01' - date '2024-02-28'
date '2024-01-31' + interval '1 month'
timestamp '2024-03-01'-timestamp '2023-03-01'
age(timestamp '2024-03-01', timestamp '2023-01-31')
interval '1 mon' = interval '30 days'
interval '1 day' = interval '24 hours'
date '2024-01-31' + 1
1 + date '2024-01-31'
date '2024-01-31' + time '10:00'
time '10:00' + interval '15 hours'
time '10:00' - time '11:30'
time '10:00' - interval '25 hours'
extract(epoch from timestamp '2024-01-01 00:00:00.12')
date_part('epoch', timestamp '2024-01-01 00:00:00.12')
extract(isodow from date '2024-01-07')
extract(epoch from interval '1 year 1 mon 1 day 01:00:00.5')
interval '1 mon -1 day +02:03:04.5' * 2
interval '1 year' / 7
2.5::float8 * interval '1 day 1 hour'
make_date(2024, 2, 29)
make_date(2023, 2, 29)
make_date(-44, 3, 15)
make_time(8, 15, 23.5)
make_time(24, 0, 1)
make_timestamp(2024, 7, 15, 8, 15, 23.5)
make_interval(1, 2, 3, 4, 5, 6, 7.5)
make_interval(10)
to_timestamp(1284352323.5)
date_trunc('week', timestamp '2024-01-07 10:00')
date_trunc('day', '2024-03-31 00:30+00'::timestamptz, 'America/New_York')
'['||'ab'::char(4)||']'
'ab'::char(4) = 'ab'
'ab '::char(4) = 'ab'::char(2)
'ab'::char(4) = 'ab  '::text
to_jsonb('ab'::char(4))
length('ab'::char(4))
octet_length('ab'::char(4))
'ab'::char(4) LIKE 'ab'
'ab'::char(4) LIKE 'ab  '
concat('[','ab'::char(4),']')
jsonb_build_object('ab'::char(4), 'ab'::char(4))
'a'||NULL
'a'||'b'
concat('a',NULL,1,true)
concat_ws(',','a',NULL,'b')
concat_ws(NULL,'a','b')
format('%s-%I-%L',NULL,'Ab','x')
format('%2$s %1$s %s', 'a', 'b')
format('|%10s|%-10s|', 'é', 'b')
format('%L', 'it''s \ x')
format('%', 'a')
format('%s')
format('100%%')
ARRAY[1]||NULL::int
ARRAY[1]||NULL::int[]
ARRAY[1]||2
1||ARRAY[2]
ARRAY[1,2]||ARRAY[3]
'{"a":1}'::jsonb||'{"a":2}'
'[1]'::jsonb||'2'
'1'::jsonb||'2'
'{"a":1}'::jsonb||'[2]'
true::text
concat(true)
to_jsonb(true)
true||''
1||'a'
'a'||1.50
'{1,NULL,3}'::int[]
to_jsonb('{1,NULL,3}'::int[])
array_length('{1,NULL,3}'::int[],1)
array_length('{}'::int[],1)
cardinality('{}'::int[])
3 = ANY('{1,NULL,3}'::int[])
9 = ANY('{1,NULL,3}'::int[])
9 <> ALL('{1,NULL,3}'::int[])
1 <> ALL('{1,NULL,3}'::int[])
NULL = ANY('{}'::int[])
1 = ANY(NULL::int[])
1 < ANY('{1,2}'::int8[])
1.5 = ANY('{1,2}'::int[])
'a' = ANY('{a,b}'::text[])
'a%' LIKE ANY(ARRAY['b', 'a_'])
'a' NOT LIKE 'b'
'[0:1]={5,6}'::int[]
('[0:1]={5,6}'::int[])[0]
('{5,6}'::int[])[1]
('{5,6}'::int[])[3]
('{5,6}'::int[])[NULL]
ARRAY['a','b c','NULL','','q"x','{',NULL]
array_to_string(ARRAY['a',NULL,'b'],',')
array_to_string(ARRAY['a',NULL],',','*')
array_to_string(ARRAY[true,false],',')
string_to_array('a,b,,c', ',')
string_to_array('a,b,,c', ',', '')
string_to_array('abc', NULL)
array_position(ARRAY['a','b','a'],'a')
array_position(ARRAY['a','b','a'],'a',2)
array_positions(ARRAY[1,2,1],1)
array_remove(ARRAY[1,2,1],1)
array_replace(ARRAY[1,2,1],1,9)
ARRAY[1,2] @> ARRAY[1]
ARRAY[1,2] && ARRAY[3]
ARRAY[1,NULL] @> ARRAY[NULL::int]
ARRAY[1,2] = ARRAY[1,2]
ARRAY[1,NULL] = ARRAY[1,NULL]
ARRAY[1,2] < ARRAY[1,3]
1 NOT IN (2,NULL)
1 IN (1,NULL)
1 IN (2,NULL)
CASE NULL WHEN NULL THEN 1 ELSE 2 END
CASE 1 WHEN 2 THEN 'a' WHEN 1 THEN 'b' END
CASE WHEN false THEN 1 END
CASE WHEN 1=0 THEN 1 ELSE 2.5 END
CASE WHEN true THEN 1 ELSE 2.5 END
NULL IS DISTINCT FROM NULL
1 IS NOT DISTINCT FROM 1
ROW(NULL,1) IS NULL
ROW(NULL,1) IS NOT NULL
ROW(NULL,NULL) IS NULL
ROW(1,2) = ROW(1,3)
ROW(1,2) < ROW(1,3)
ROW(1,NULL) < ROW(1,3)
ROW(0,NULL) < ROW(1,3)
ROW(1,NULL) = ROW(2,NULL)
(1,2) IN ((1,2),(3,4))
ROW(1,'a') IS DISTINCT FROM ROW(1,'b')
true AND NULL
false AND NULL
true OR NULL
false OR NULL
NOT NULL
NULL IS TRUE
NULL IS NOT TRUE
NULL::bool IS UNKNOWN
true IS NOT UNKNOWN
1 BETWEEN 0 AND 2
1 NOT BETWEEN 0 AND 2
1 BETWEEN 2 AND 0
1 BETWEEN SYMMETRIC 2 AND 0
1 BETWEEN NULL AND 0
'b'::text COLLATE "C" BETWEEN 'a' AND 'c'
'\x00ff'::bytea
to_jsonb('\x00ff'::bytea)
encode('\x00ff'::bytea,'base64')
encode('\x00ff41'::bytea,'escape')
encode('\x00ff'::bytea,'hex')
length(encode(decode(repeat('ff',60),'hex'),'base64'))
encode(decode(repeat('ff',57),'hex'),'base64')
encode(decode(repeat('ff',114),'hex'),'base64')
decode('AP8=', 'base64')
decode('AP8', 'base64')
decode('xyz', 'hex')
decode('abc', 'hex')
decode('\000a\\', 'escape')
'\x0102'::bytea || '\x03'::bytea
'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid
'small'::size < 'large'::size
to_jsonb('large'::size)
'large'::size::text
'huge'::size
greatest('small'::size, 'large')
'É' COLLATE "C.utf8" ILIKE 'é'
lower('İÉ' COLLATE "C.utf8")
upper('straße ﬁ' COLLATE "C.utf8")
initcap('o''brien-smith éa' COLLATE "C.utf8")
lower('İÉ' COLLATE "C")
upper('straße é' COLLATE "C")
initcap('o''brien-smith éa' COLLATE "C")
'a_b' LIKE 'a\_b'
'a\b' LIKE 'a\\b'
'abc' LIKE 'x\'
'x' LIKE 'x\'
'a%b' LIKE 'a!%b' ESCAPE '!'
'ab' LIKE 'ab' ESCAPE 'xx'
length(E'e\u0301')
length('👩‍👩‍👧')
left('abc',-1)
split_part('a,b,c',',',-1)
split_part('a,b,c',',',0)
lpad('abcdef',3)
lpad('ab',5)
btrim('xxaxx','x')
trim_array(ARRAY[1,2,3],2)
reverse('ab')
substr('abc',0,2)
substr('abc',2)
substring('abc', 2, -1)
replace('aaa','aa','b')
translate('abc','ab','x')
ascii('é')
chr(233)
chr(0)
chr(55296)
strpos('abc','')
repeat('ab', -1)
' 42 '::int
2.5::float8::int
3.5::float8::int
2.5::numeric::int
-2.5::numeric::int
(-2.5)::numeric::int
true::int
'abcdef'::varchar(3)
'a'::char(3)||'|'
'1e3'::numeric
'yes'::bool
'12:30'::time
'{1,2}'::int[]
1234567.891::numeric(9,1)
1234567.891::numeric(5,1)
12345::varchar(3)
'x'::int
'99999999999'::int
'abc'::date
'2024-02-30'::date
greatest(1,NULL,3)
least(NULL::int,NULL)
least(NULL,NULL)
greatest(1, 2.5)
greatest('2024-01-01'::date, '2024-01-02')
coalesce(NULL::int, 1.50)
coalesce(1, 1.5)
coalesce(NULL, NULL)
coalesce('{"a":1}'::json, NULL)
nullif('','')
nullif(1, 1.0)
nullif(1, 2.5)
nullif('a'::varchar(3), 'b')
nullif(1, NULL)
jsonb_build_object('n', coalesce(1,2.50))
jsonb_build_object('a',1,'a',2)
json_build_object('a',1,'a','x'::text,'j','[1 , 2]'::json)
jsonb_strip_nulls('{"a":null,"b":[null]}')
jsonb_build_object('j','{"a":1}'::json,'s','{"a":1}'::text)
jsonb_build_object()
jsonb_build_array()
json_build_object()
json_build_array()
jsonb_build_object(NULL, 1)
json_build_object(NULL, 1)
jsonb_build_object('a')
jsonb_build_object(1, 2, true, false, '2024-01-01'::date, 3)
jsonb_build_object(ARRAY[1], 2)
jsonb_build_array(1, 'a', NULL, true, 1.50, '2024-01-01'::timestamp, '{"x": 1}'::jsonb, ARRAY[1,2], ROW(1,'a'))
json_build_array(1, 'a', NULL, true, 1.50, '2024-01-01'::timestamp, '{"x": 1}'::jsonb, ARRAY[1,2], ROW(1,'a'))
to_jsonb(ROW(1,'a',NULL))
row_to_json(ROW(1,'a',NULL))
to_json(E'\u0001é'::text)
to_jsonb('NaN'::numeric)
to_jsonb('Infinity'::numeric)
to_jsonb(12345678901234567890123.4500::numeric)
'[1,2,3]'::jsonb->(-1)
'[1]'::jsonb->5
'{"a":{"b":[10,20]}}'::jsonb#>>'{a,b,-1}'
'{"a":{"b":[10,20]}}'::jsonb#>'{a,b}'
'{"a":{"b":[10,20]}}'::json#>>'{a,b,1}'
'"x"'::jsonb#>>'{}'
'{"a":1,"b":[1,2]}'::jsonb@>'{"b":[2]}'
'["a"]'::jsonb?'a'
'{"a":1,"b":2}'::jsonb ?| ARRAY['b','c']
'{"a":1,"b":2}'::jsonb ?& ARRAY['b','c']
'{"a":1.50}'::json->'a'
'{"a":1.50}'::jsonb->>'a'
'{"a":"1"}'::jsonb->'a'
'{"a":true}'::jsonb->>'a'
'{"a": {"b" : 1}}'::json->'a'
'{"a": {"b" : 1}}'::json->>'a'
'[1, 2]'::json->>1
'{"a":1,"b":2}'::jsonb - 'a'
'{"a":1,"b":2}'::jsonb - ARRAY['a','b']
'[1,2,3]'::jsonb - 1
'["a","b"]'::jsonb - 'a'
'{"a":{"b":1}}'::jsonb #- '{a,b}'
'1'::jsonb - 'a'
jsonb_set('{"a":{"b":1}}', '{a,c}', '2')
jsonb_set('{"a":{"b":1}}', '{a,c}', '2', false)
jsonb_typeof('null')
jsonb_array_length('{"a":1}')
jsonb_array_length('1')
jsonb_object('{a,1,b,NULL}')
json_object('{a,b}','{1,2}')
('{"a":[1,2]}'::jsonb)['a'][1]
('{"a":1}'::jsonb->'a')::int
('{"a":"1"}'::jsonb->'a')::int
('{"a":null}'::jsonb->'a')::int
('{"a":1.5}'::jsonb->'a')::numeric
('{"a":1.5}'::jsonb->>'a')::numeric
('{"a":true}'::jsonb->'a')::bool
1.5::numeric::text
'a' < 'b' COLLATE "C"
'B'::text COLLATE "C" < 'a'
md5('abc')
md5('')
to_hex(255)
to_hex(-1)
to_hex(-1::int8)
quote_ident('select')
quote_ident('Ab c')
quote_literal(E'a\\b''c')
5 & 3
5 | 3
5 # 3
~5
1 << 33
1 << 4
-8 >> 1
1::int8 << 40
1::int2 << '15'
2 ^ 10
2.0 ^ 3
2.5 ^ 2
(-8) ^ (1.0/3)
0::float8 ^ (-1)
|/ 16
sqrt(2)
sqrt(2.0)
sqrt(-1)
sqrt(-1.0)
ln(0)
exp(1)
cbrt(27)
power(2,3)
power(2.0,3)
power(0.0,0)
power(10.5,0)
power(0.0,3)
power(1.1,50)
power(123.456,7)
power(0.001,5)
div(7,2)
div(-7.5,2)
mod(7.5,2)
sign(-2.5)
sign(0::float8)
width_bucket(5.35, 0.024, 10.06, 5)
width_bucket(5.35::float8, 0.024, 10.06, 5)
gcd(12, 18)
lcm(4, 6)
lcm(2147483647, 2147483646)
scale(1.500)
trim_scale(1.500)
foo(1)
length(1)
lower(1)
'a' + 1
'1' + 1
'1' + '2'
1 = 'x'
true = 1
true > false
date '2024-01-01' = '2024-01-01'
date '2024-01-01' < timestamp '2024-01-01 00:00:01'
timestamptz '2024-01-01 00:00+02' = timestamp '2023-12-31 22:00'
date '2024-01-01' = timestamptz '2024-01-01 00:00+00'
'abc'::name = 'abc'
'1 day'::interval::text
interval '1 day' > '23 hours'
'2024-01-01'::timestamp::date
'2024-01-01 10:11:12'::timestamp::time
'infinity'::timestamp::time
'10:11:12'::time::interval
'1 day 10:11:12'::interval::time
'-1:00'::interval::time
'2024-01-01 10:11:12.789'::timestamp(1)
'2024-01-01 10:11:12.789'::timestamp::timestamp(0)
'1 day 01:02:03.789'::interval(0)
'10:11:12.99'::time(0)
'{"a":1}'::text::json
'{"a":1}'::text::jsonb
'{"a" : 1}'::json::jsonb
'{"a" : 1}'::json::text
'{"a" : 1}'::jsonb::json
'[1,2'::text::jsonb
'{1,2}'::text::int[]
'{1,2}'::int[]::text
'{1,2}'::int[]::text[]
'{1.5,2}'::numeric[]::int[]
ARRAY[1,2]::numeric(5,1)[]
ARRAY['abc','de']::varchar(2)[]
ARRAY[1,2.5,NULL]
ARRAY['a',1]
ARRAY[NULL,NULL]
ARRAY[]
'5'::jsonb->0
'5'::jsonb->-1
'5'::jsonb->1
'5'::jsonb->>0
'"a"'::jsonb->>0
'null'::jsonb->0
'null'::jsonb->>0
'5'::json->0
'{"a":1}'::jsonb->0
'5'::jsonb#>'{0}'
'"a"'::jsonb ? 'a'
'["a"]'::jsonb @> '"a"'
'"a"'::jsonb @> '["a"]'
'"a"'::jsonb ?| array['a']
jsonb_array_length('5'::jsonb)
'[1,[2,3]]'::jsonb#>>'{1,-1}'
'{"a":{"b":[1,2,{"c":"x"}]}}'::jsonb#>'{a,b,2,c}'
jsonb_build_object('a', NULL, 'b', ARRAY[1,2], 'c', '2024-01-01'::date, 'd', '1 day'::interval)
jsonb_build_array(1, 'x'::text, NULL, true, 1.50, '{"a":1}'::jsonb, '[1, 2]'::json)
json_build_object('a', 1.50, 'b', '{"x":  1}'::json)
json_build_array('x'::text, 1, '2024-01-01 10:00:00+02'::timestamptz)
to_json('2024-01-01 10:00:00'::timestamp)
to_jsonb('2024-01-01 10:00:00.120+02'::timestamptz)
to_jsonb(ARRAY[ARRAY[1,2],ARRAY[3,4]])
to_json(ARRAY['a"b','c\d',NULL])
to_jsonb('\xdead'::bytea)
to_jsonb('10:00:00'::time)
row_to_json(ROW(1,'a'::text,NULL))
to_jsonb(ROW(1.0,'a'::text,ARRAY[1]))
to_jsonb('small'::size)
jsonb_strip_nulls('{"a":null,"b":{"c":null,"d":[null]}}'::jsonb)
jsonb_typeof('1.5'::jsonb)
'{"a":1,"b":2}'::jsonb - ARRAY['a','c']
'{"a":{"b":1,"c":2}}'::jsonb #- '{a,b}'
'["a","b","a"]'::jsonb - 'a'
'[1,2,3]'::jsonb - 1
'[1,2,3]'::jsonb - -1
jsonb_set('{"a":{"b":1}}'::jsonb, '{a,c}', '2')
jsonb_set('{"a":{"b":1}}'::jsonb, '{a,c}', '2', false)
jsonb_set('[1,2]'::jsonb, '{5}', '9')
'{"n":"12.50"}'::jsonb->>'n'
('{"n":12.50}'::jsonb->>'n')::numeric
('{"n":12.50}'::jsonb->'n')::numeric
('{"n":12.6}'::jsonb->'n')::int
('{"n":true}'::jsonb->'n')::boolean
('{"n":"x"}'::jsonb->'n')::int
('{"n":"t"}'::jsonb->>'n')::boolean
('{"at":"2024-02-30"}'::jsonb->>'at')::date
('{"at":"2024-03-31T01:30:00Z"}'::jsonb->>'at')::timestamptz
('{"tags":["a","b"]}'::jsonb->'tags') ? 'b'
('{"id":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}'::jsonb->>'id')::uuid
date_trunc('week','2024-01-01'::date)
date_trunc('quarter','2024-05-31 23:59'::timestamp)
date_trunc('month','2024-03-31 22:30+00'::timestamptz AT TIME ZONE 'Europe/Berlin')
date_trunc('day','2024-03-31 22:30+00'::timestamptz, 'Europe/Berlin')
date_trunc('decade','2024-03-31'::timestamp)
date_trunc('hour','26 hours 15 min'::interval)
extract(epoch from '1 year 2 mons 3 days'::interval)
extract(epoch from '2024-01-01'::date)
extract(isoyear from '2024-12-30'::date)
extract(week from '2024-12-30'::date)
extract(dow from '2024-12-29'::timestamp)
extract(milliseconds from '10:00:01.5'::time)
extract(julian from '2024-01-01 12:00'::timestamp)
extract(timezone from '2024-01-01 12:00+02'::timestamptz)
date_part('day','2024-03-01'::timestamp - '2024-02-01'::timestamp)
'2024-01-31'::date + '1 month'::interval
'2024-03-31'::date - '1 month'::interval
('2024-01-31'::date + 30)::timestamp
'2024-03-01'::date - '2024-02-01'::date
'2024-03-31 00:30'::timestamp AT TIME ZONE 'Europe/Berlin'
'2024-03-31 02:30'::timestamp AT TIME ZONE 'Europe/Berlin'
'2024-10-27 02:30'::timestamp AT TIME ZONE 'Europe/Berlin'
'2024-10-27 00:30+00'::timestamptz AT TIME ZONE 'America/New_York'
'2024-10-27 00:30+00'::timestamptz AT TIME ZONE interval '2 hours'
timezone('Asia/Kolkata','2024-10-27 00:30+00'::timestamptz)
('2024-10-27 00:30+00'::timestamptz)::date
('2024-10-27 00:30+00'::timestamptz)::time
('2024-10-27 00:30:15.123456+00'::timestamptz)::timestamp(0)
'2024-10-27 00:30:15.5'::timestamp(0)
age('2024-03-01'::timestamp,'2024-01-31'::timestamp)
age('2024-01-31'::date,'2023-02-28'::date)
make_date(2024,2,29)
make_interval(0,1,0,2,3)
justify_interval('35 days 26 hours'::interval)
'1 mon'::interval = '30 days'::interval
'1 day'::interval * 1.5
'10 days'::interval / 3
greatest('2024-01-01'::date, NULL, '2024-02-01'::date)
to_char('2024-03-05 14:07:09.5'::timestamp,'YYYY-MM-DD HH24:MI:SS.MS')
to_char('2024-03-05'::date,'FMDD FMMonth YYYY')
to_char('2024-03-05'::date,'Dy, DD Mon YY')
to_char('2024-03-05'::date,'IYYY-"W"IW-ID')
to_char('2024-03-05 00:07'::timestamp,'HH12:MI AM')
to_char('2024-03-05'::date,'Q DDD D J')
to_char('26 hours 3 min'::interval,'HH24:MI')
to_char(1234.5,'FM9,999.00')
to_char(1234,'FM0000000')
to_char(-12,'999')
to_char(0.5,'FM990.0')
to_char(12345.678,'999,990.99')
to_char(5,'00')
format('%s-%s','a',NULL)
format('%I.%L %%','my col','it''s')
format('%1$s %1$s %2$s','a','b')
format('%-5s|%5s|','ab','cd')
concat_ws(', ', 'a', NULL, '', 'b')
concat('a', NULL, 1, true, '2024-01-01'::date)
'a'||1
1||'a'
'a'||NULL
'a'||'b'::char(3)||'c'
'ab'::char(5)||'|'
length('ab'::char(5))
'ab'::char(5) = 'ab'
'ab'::char(5) = 'ab  '::text
'ab'::char(5) LIKE 'ab'
'ab'::char(5) LIKE 'ab   '
upper('ab'::char(5))||'|'
substring('ab'::char(5),1,4)||'|'
replace('a b'::char(5),' ','_')
initcap('hello wOrld-foo bar_baz')
initcap('o''brien')
lpad('ab',5,'xy')
rpad('abc',2)
split_part('a,b,c',',',-1)
split_part('a,b,c',',',2)
strpos('abc','')
left('abcdef',-2)
right('abcdef',-2)
reverse('añb')
repeat('ab',3)
translate('12345','143','ax')
regexp_replace('a1b22','\d+','#','g')
regexp_replace('foo bar','(\w+) (\w+)','\2 \1')
'abc' ~ '^a.c$'
'ABC' ~* 'b'
'abc' !~ 'd'
ltrim('  a')
btrim('xyax','xy')
md5('abc')
encode('\x00ff'::bytea,'hex')
encode('abc'::bytea,'base64')
ascii('é')
chr(233)
overlay('abcdef','XX',3,2)
substring('abcdef',2)
substring('abcdef',0,3)
char_length('aé')
octet_length('aé')
round(2.5)
round(-2.5)
round(2.5::float8)
round(1234.567,-2)
round(1.005,2)
trunc(-1.57,1)
ceil(-1.5)
floor(-1.5::float8)
mod(-7,3)
-7/2
-7%3
7/2.0
1/3.0
10/3::numeric(10,2)
100.0*1/3
2.00*3.000
1e3::numeric
sqrt(16.0::float8)
power(2::float8,10::float8)
abs(-1.50)
sign(-2.5)
width_bucket(5.35, 0.024, 10.06, 5)
greatest(1,2.5)
least('a','b')
coalesce(NULL,1,2.5)
nullif(1,1.0)
nullif('a','b')
CASE WHEN NULL THEN 1 ELSE 2 END
CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END
CASE WHEN true THEN 1 ELSE 2.5 END
1 IN (1,NULL)
2 IN (1,NULL)
2 NOT IN (1,NULL)
2 BETWEEN 1 AND 3
NULL IS DISTINCT FROM NULL
1 IS DISTINCT FROM NULL
ROW(1,2)<ROW(1,3)
ROW(1,NULL)=ROW(1,2)
ROW(1,NULL) IS NULL
(1,2) IN ((1,2),(3,4))
1 = ANY(ARRAY[1,2,NULL])
3 = ANY(ARRAY[1,2,NULL])
3 <> ALL(ARRAY[1,2])
'a' = ANY('{a,b}'::text[])
ARRAY[1,2]||3
0||ARRAY[1,2]
ARRAY[1,2]||ARRAY[3]
ARRAY[1,2] @> ARRAY[2]
ARRAY[1,2] && ARRAY[3]
(ARRAY[1,2,3])[2]
(ARRAY[1,2,3])[5]
array_length(ARRAY[1,2,3],1)
array_length('{}'::int[],1)
cardinality('{}'::int[])
array_to_string(ARRAY['a',NULL,'c'],',')
array_to_string(ARRAY['a',NULL,'c'],',','*')
string_to_array('a,b,,c',',')
string_to_array('a,b,,c',',','')
array_position(ARRAY['a','b'],'b')
array_remove(ARRAY[1,2,1],1)
array_replace(ARRAY[1,2],2,3)
array_append(NULL::int[],1)
ARRAY['x','y']::varchar[]
'{1,2}'::int[]::text[]
ARRAY[1,2]::text
'{"a b",NULL,"c\"d"}'::text[]
'small'::size < 'large'::size
'small'::size::text||'x'
true::text
true::int
1::boolean
't'::boolean
'yes'::boolean
'12.7'::numeric::int
12.5::int
13.5::int
'12'::int8
'1e3'::float8
0.1::float4::float8
0.1::float4::text
1e15::float8::text
1e16::float8
123456789012345678::float8::text
'1.10'::numeric(10,1)
1.15::numeric(10,1)
'a0eebc999c0b4ef8bb6d6bb9bd380a11'::uuid
'\x01'::bytea||'\x02'::bytea
'abc'::bytea
'2 days 3 hours'::interval::text
'1-2'::interval
'P1Y2M3DT4H5M6S'::interval
'90 minutes'::interval
date '2024-01-01' + time '10:00'
'now-1'::text

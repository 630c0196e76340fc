SET TimeZone='UTC';
INSERT INTO member SELECT 'm'||i, '2022-01-01'::timestamptz+i*interval '5 days 7 hours', i*3-20, CASE WHEN i%3=0 THEN
  repeat('bio ',i) END, CASE i%4 WHEN 0 THEN '{}' WHEN 1 THEN '{"lang":"de","mail":true,"size":12}' WHEN 2 THEN
  '{"lang":"fr","mail":false,"size":10.50}' ELSE '{"lang":null,"tags":["x","y"]}' END::jsonb, CASE WHEN i%5>0 THEN
  ARRAY[i%3+1,i%4+1] END, CASE WHEN i>3 THEN 'm'||(i/3) END, decode(md5(i::text),'hex'), CASE i%3 WHEN 0 THEN NULL ELSE
  i%3=1 END FROM generate_series(1,30) i;
INSERT INTO section VALUES
  ('/','Root',NULL,0,false),('/dev','Dev','/',2,false),('/dev/rust','Rust','/dev',1,NULL),('/talk','Talk','/',1,true),('/talk/a b','A:B%','/talk',1,false);
INSERT INTO thread (section,author,title,slug,created,pinned,tags,views) SELECT
  (ARRAY['/','/dev','/dev/rust','/talk','/talk/a b'])[i%5+1], CASE WHEN i%7>0 THEN 'm'||(i%30+1) END, 'Thread '||i, CASE
  WHEN i%3>0 THEN 'slug-'||i END, '2023-01-01'::timestamp+i*interval '11 hours', i%10=0,
  (ARRAY['x','y','z','it''s'])[1:i%5], i*17 FROM generate_series(1,50) i;
INSERT INTO post SELECT t.id, n, CASE WHEN (t.id+n)%6>0 THEN 'm'||((t.id*n)%30+1) END, 'post '||n||' in '||t.id,
  t.created+n*interval '13 min', CASE WHEN n%3=0 THEN t.created+interval '2 days' END, CASE WHEN n>2 THEN n-2 END,
  '\x7f000001' FROM thread t, generate_series(1,4) n WHERE (t.id+n)%5>0 OR n<3;
INSERT INTO vote SELECT p.thread_id, p.no, m.name, CASE WHEN (p.thread_id+length(m.name))%3=0 THEN -1 ELSE 1 END,
  '2023-06-01'::timestamptz+p.no*interval '1 hour' FROM post p, member m WHERE (p.thread_id*p.no+m.karma)%17=0;
INSERT INTO tag SELECT i, 'tag'||i, '#'||lpad(to_hex(i*1000),6,'0') FROM generate_series(1,8) i;
INSERT INTO thread_tag SELECT t.id, g.id FROM thread t, tag g WHERE (t.id+g.id)%4=0;
INSERT INTO badge SELECT i, 'Badge '||i, i*1.50 FROM generate_series(1,5) i;
INSERT INTO message SELECT md5('g'||i)::uuid, 'm'||(i%30+1), CASE WHEN i%4>0 THEN 'm'||(i*7%30+1) END,
  '2023-02-02'::timestamptz+i*interval '19 hours', CASE WHEN i%2=0 THEN '2023-03-03'::timestamptz+i*interval '19 hours'
  END, CASE WHEN i%3>0 THEN '{"text":  "hi '||i||'", "b":1, "a":[1, 2]}' END::json FROM generate_series(1,60) i;

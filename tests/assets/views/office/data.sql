SET TimeZone='UTC';
INSERT INTO app.tenant SELECT md5('t'||i)::uuid, 'tenant-'||i, 'Tenant '||i, jsonb_build_object('theme', CASE WHEN i%2=0
  THEN 'dark' ELSE 'light' END, 'limits', jsonb_build_object('seats', i*5, 'gb', i*1.50), 'flags',
  to_jsonb((ARRAY['a','b','c'])[1:i%4])), '2023-01-01'::timestamptz + i*interval '17 days 3 hours', CASE WHEN i%7=0 THEN
  '2024-02-02'::timestamptz END FROM generate_series(1,12) i;
INSERT INTO app."User" (tenant_id,"userId",email,"displayName",roles,main_role,"createdAt",last_login,prefs) OVERRIDING
  SYSTEM VALUE SELECT md5('t'||(i%12+1))::uuid, i, 'u'||i||'@'||(ARRAY['x.com','Y.org','z.net'])[i%3+1], CASE WHEN i%5=0
  THEN NULL ELSE 'Üser '||i END, (ARRAY['owner','admin','member','guest']::app.role[])[i%4+1:i%4+1+i%2],
  (ARRAY['owner','admin','member','guest']::app.role[])[i%4+1], '2023-03-01'::timestamptz + i*interval '31 hours', CASE
  WHEN i%3>0 THEN '2024-01-01'::timestamp + i*interval '1 hour' END, CASE i%4 WHEN 0 THEN NULL WHEN 1 THEN
  '{"lang":"de","n":1.0}' WHEN 2 THEN '{"lang":"en","nested":{"a":[1,2,{"b":null}]}}' ELSE '[]' END::jsonb FROM
  generate_series(1,60) i;
INSERT INTO app.project SELECT md5('t'||(i%12+1))::uuid, i/12+1, 'Project '||i, CASE WHEN i%3>0 THEN i%12+12*(i%4) END,
  NULL, (ARRAY['red','green','blue','x y','"q"'])[1:i%5], CASE WHEN i%4>0 THEN i*100.125 END, CASE WHEN i%2=0 THEN
  '{"z": 1, "a":  [true,null]}' END::json, i%6=0 FROM generate_series(12,59) i WHERE i%12<>0 OR true ON CONFLICT DO
  NOTHING;
UPDATE app.project SET parent_id = id-1 WHERE id > 3;
INSERT INTO app.task
  (tenant_id,project_id,no,title,state,assignee_id,estimate,due,starts_at,points,weight,score,labels,attrs,code,done_at)
  SELECT p.tenant_id, p.id, n, 'Task '||n||' of '||p.name,
  (ARRAY['todo','in progress','blocked','done']::app."Task State"[])[n%4+1], CASE WHEN n%3>0 THEN (n*7)%60 END, CASE
  WHEN n%2=0 THEN n*interval '1 hour 30 min' ELSE n*interval '1 day' END, CASE WHEN n%4>0 THEN '2024-01-01'::date+n*3
  END, CASE WHEN n%2>0 THEN make_time(n,15,0) END, n%5, n/8.0, CASE WHEN n%6>0 THEN n/4.0 END, CASE WHEN n%3=0 THEN NULL
  ELSE (ARRAY['bug','ui','api'])[1:n%3] END, CASE WHEN n%2=0 THEN jsonb_build_object('pri', n%3, 'est', n/3.0, 'who',
  jsonb_build_object('id', n)) END, CASE WHEN n%2=0 THEN 'T-'||n END, CASE WHEN n%4=3 THEN
  '2024-03-31 00:30+00'::timestamptz + n*interval '1 hour' END FROM app.project p, generate_series(1,7) n;
INSERT INTO app.comment (tenant_id,project_id,task_no,author_id,reply_to,body,at,reactions) SELECT tenant_id,
  project_id, no, CASE WHEN no%2=0 THEN no*5 END, NULL, 'Body of '||no, '2024-02-01'::timestamptz +
  (project_id*no)*interval '37 min', CASE WHEN no%3=0 THEN '[{"e":"+1","n":3},{"e":"-1","n":1}]' ELSE '[]' END::jsonb
  FROM app.task WHERE no<4;
UPDATE app.comment SET reply_to = id-1 WHERE id%3=0;
INSERT INTO app.project_member SELECT u.tenant_id, p.id, u."userId", u.main_role, CASE WHEN u."userId"%2=0 THEN
  '2024-01-05'::date END FROM app."User" u JOIN app.project p USING (tenant_id) WHERE (u."userId"+p.id)%3>0;
INSERT INTO billing.plan VALUES
  ('a','Basic',9.90,'1 mon','{x}'),('pro','Pro',29.00,'1 mon','{x,y}'),('ent','Enterprise',199,'1 year',NULL);
INSERT INTO billing.subscription SELECT md5('t'||(i%12+1))::uuid, (ARRAY['a','pro','ent'])[i%3+1],
  '2023-01-01'::date+i*30, CASE WHEN i%2=0 THEN '2023-01-20'::date+i*30 END, i%9+1, CASE WHEN i%3=0 THEN 0.125 END FROM
  generate_series(1,20) i;
INSERT INTO billing.invoice (no,tenant_id,issued,due,paid_at,currency,lines,net,tax_rate,raw) SELECT
  'INV/'||lpad(i::text,4,'0'), md5('t'||(i%12+1))::uuid, '2023-06-01'::date+i*9, CASE WHEN i%3>0 THEN
  '2023-06-15'::date+i*9 END, CASE WHEN i%4>0 THEN '2023-06-20 12:00+00'::timestamptz+i*interval '9 days' END,
  (ARRAY['EUR','USD'])[i%2+1], jsonb_build_array(jsonb_build_object('sku','s'||i,'qty',i%4,'price',i*1.5),
  jsonb_build_object('sku','t','qty',1,'price',2)), i*12.34, CASE WHEN i%2=0 THEN 0.19 ELSE 0.07 END,
  decode(md5(i::text),'hex') FROM generate_series(1,40) i;

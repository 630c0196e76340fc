-- view: tasks
SELECT t.tenant_id, t.project_id, t.no, t.title, t.state, t.state::text AS state_text, u."displayName" AS assignee,
  u.email, p.name AS project, t.labels, t.attrs ->> 'pri' AS pri, t.attrs #>> '{who,id}' AS who, (t.attrs ->>
  'est')::numeric AS est, t.code, t.estimate, t.due, t.starts_at, t.weight, t.score, t.search_text, t.done_at
FROM app.task t
JOIN app.project p ON p.tenant_id = t.tenant_id AND p.id = t.project_id
LEFT JOIN app."User" u ON u.tenant_id = t.tenant_id AND u."userId" = t.assignee_id;

-- view: tenant_tree
SELECT t.id, t.slug, t.settings, (SELECT jsonb_agg(jsonb_build_object('id', p.id, 'name', p.name, 'tags', p.tags,
  'meta', p.meta, 'tasks', (SELECT COALESCE(jsonb_agg(jsonb_build_object('no', k.no, 'state', k.state, 'code', k.code,
  'est', k.estimate, 'comments', (SELECT COALESCE(jsonb_agg(jsonb_build_object('body', c.body, 'at', c.at, 'author',
  u."displayName") ORDER BY c.at, c.id), '[]'::jsonb) FROM app.comment c LEFT JOIN app."User" u ON u.tenant_id =
  c.tenant_id AND u."userId" = c.author_id WHERE c.tenant_id = k.tenant_id AND c.project_id = k.project_id AND c.task_no
  = k.no)) ORDER BY k.no), '[]') FROM app.task k WHERE (k.tenant_id, k.project_id) = (p.tenant_id, p.id))) ORDER BY
  p.id) FROM app.project p WHERE p.tenant_id = t.id) AS projects
FROM app.tenant t;

-- view: user_documents
SELECT to_jsonb(u) || jsonb_build_object('tenant', to_jsonb(t) - 'settings') AS doc, u.tenant_id, u."userId"
FROM app."User" u
JOIN app.tenant t ON t.id = u.tenant_id;

-- view: project_people
SELECT p.tenant_id, p.id, ARRAY(SELECT u.email FROM app.project_member m JOIN app."User" u ON u.tenant_id = m.tenant_id
  AND u."userId" = m.user_id WHERE m.tenant_id = p.tenant_id AND m.project_id = p.id ORDER BY m.user_id) AS emails,
  ARRAY(SELECT DISTINCT m.role FROM app.project_member m WHERE m.tenant_id = p.tenant_id AND m.project_id = p.id ORDER
  BY m.role) AS roles, (SELECT array_agg(k.estimate ORDER BY k.no) FROM app.task k WHERE k.tenant_id = p.tenant_id AND
  k.project_id = p.id) AS estimates, (SELECT sum(k.estimate) FROM app.task k WHERE k.tenant_id = p.tenant_id AND
  k.project_id = p.id) AS total_estimate
FROM app.project p;

-- view: tasks_by_state
SELECT state, count(*) AS n, sum(points) AS pts, avg(points) AS avg_pts, sum(weight) AS w, avg(score) AS sc, min(due) AS
  first_due, max(estimate) AS longest, min(starts_at) AS earliest, sum(estimate) AS est, avg(estimate) AS avg_est,
  max(code) AS max_code, min(done_at) AS d, max(state) AS st, bool_or(labels IS NULL) AS anynull
FROM app.task
GROUP BY state;

-- view: tenants_with_plan
SELECT t.id, t.name, cp.plan, cp.plan_name, cp.seats, cp.monthly
FROM app.tenant t
LEFT JOIN billing.current_plan cp ON cp.tenant_id = t.id
WHERE t.deleted_at IS NULL;

-- view: invoices_by_month
SELECT currency, date_trunc('month', issued)::date AS month, count(*) AS n, sum(net) AS net, sum(gross) AS gross,
  sum(gross) FILTER (WHERE paid_at IS NULL) AS open, string_agg(no, ',' ORDER BY no) AS nos
FROM billing.invoice
GROUP BY currency, 2;

-- view: plans_with_revenue
SELECT pl.code, pl.name, pl.price, pl.period, pl.features, (SELECT count(DISTINCT s.tenant_id) FROM billing.subscription
  s WHERE s.plan = pl.code) AS tenants, (SELECT sum(s.seats * pl.price * (1 - COALESCE(s.discount, 0))) FROM
  billing.subscription s WHERE s.plan = pl.code AND s.ended IS NULL) AS mrr
FROM billing.plan pl;

-- view: project_ancestors
SELECT p.tenant_id, p.id, p.name, pp.name AS parent, gp.name AS grandparent, (SELECT count(*) FROM app.project c WHERE
  c.tenant_id = p.tenant_id AND c.parent_id = p.id) AS children
FROM app.project p
LEFT JOIN app.project pp ON pp.tenant_id = p.tenant_id AND pp.id = p.parent_id
LEFT JOIN app.project gp ON gp.tenant_id = pp.tenant_id AND gp.id = pp.parent_id;

-- view: open_tasks_by_project
SELECT o.tenant_id, o.project_id, count(*) AS open, count(o.due) AS with_due
FROM app.open_task o
GROUP BY o.tenant_id, o.project_id;

-- view: comment_threads
SELECT c.id, c.body, r.body AS reply_to, (SELECT jsonb_agg(x.body ORDER BY x.id) FROM app.comment x WHERE x.reply_to =
  c.id) AS replies, c.reactions -> 0 AS first_reaction, c.at AT TIME ZONE 'UTC' AS at_utc, (c.at AT TIME ZONE
  'Asia/Kolkata')::date AS day
FROM app.comment c
LEFT JOIN app.comment r ON r.id = c.reply_to;

-- view: users_shown
SELECT u.tenant_id, u."userId", u."displayName" AS "Display Name", COALESCE(u."displayName", split_part(u.email, '@',
  1)) AS shown, lower(u.email) AS email, u.prefs -> 'lang' AS lang, u.prefs ? 'nested' AS nested, jsonb_typeof(u.prefs)
  AS ty, u.last_login::date AS d, u.roles[1] AS r1, array_length(u.roles, 1) AS nroles, u.roles::text[] AS rt,
  array_to_string(u.roles, ',') AS rs, date_trunc('hour', u.last_login) AS h
FROM app."User" u;

-- view: tenant_activity
SELECT t.id, t.name, x.*
FROM app.tenant t
JOIN LATERAL (SELECT count(*) AS users, max(u.last_login) AS last_seen, count(*) FILTER (WHERE u.main_role IN ('owner',
  'admin')) AS admins FROM app."User" u WHERE u.tenant_id = t.id) x ON true;

-- view: next_due_tasks
SELECT t.id, l.no, l.title
FROM app.tenant t
CROSS JOIN LATERAL (SELECT k.project_id, k.no, k.title FROM app.task k WHERE k.tenant_id = t.id AND k.due IS NOT NULL
  ORDER BY k.due, k.project_id, k.no LIMIT 2) l;

-- view: labelled_states
SELECT DISTINCT t.tenant_id, t.state, t.code
FROM app.task t
WHERE t.labels && ARRAY['ui','api'];

-- view: tasks_by_priority
SELECT attrs -> 'pri' AS pri, count(*) AS n, jsonb_agg(attrs ORDER BY tenant_id, project_id, no) AS all_attrs
FROM app.task
GROUP BY attrs -> 'pri';

-- view: tasks_by_estimate
SELECT estimate, count(*) AS n, array_agg(title ORDER BY title) AS titles
FROM app.task
GROUP BY estimate;

-- view: tasks_by_labels
SELECT labels, count(*) AS n
FROM app.task
GROUP BY labels;

-- view: large_customers
SELECT i.tenant_id, t.name, sum(i.gross) AS gross, CASE WHEN sum(i.gross) > 100 THEN 'A' ELSE 'B' END AS class,
  max(i.issued) - min(i.issued) AS span, (array_agg(i.no ORDER BY i.issued DESC, i.no))[1] AS last_no
FROM billing.invoice i
JOIN app.tenant t ON t.id = i.tenant_id
GROUP BY i.tenant_id, t.name
HAVING count(*) > 1 AND sum(i.net) IS NOT NULL;

-- view: project_progress
WITH m AS (SELECT tenant_id, project_id, count(*) AS members FROM app.project_member GROUP BY 1, 2), k AS (SELECT
  tenant_id, project_id, count(*) FILTER (WHERE state = 'done') AS done, count(*) AS total FROM app.task GROUP BY 1, 2)
  SELECT p.tenant_id, p.id, p.name, COALESCE(m.members, 0) AS members, round(100.0 * k.done / NULLIF(k.total, 0), 1) AS
  pct
FROM app.project p
LEFT JOIN m ON m.tenant_id = p.tenant_id AND m.project_id = p.id
LEFT JOIN k ON (k.tenant_id, k.project_id) = (p.tenant_id, p.id);

-- view: owned_projects
SELECT p.tenant_id, p.id
FROM app.project p
WHERE (p.tenant_id, p.id) IN (SELECT m.tenant_id, m.project_id FROM app.project_member m WHERE m.role = 'owner');

-- view: users_by_role
SELECT tn.id, COALESCE((SELECT jsonb_object_agg(u.main_role, u.n ORDER BY u.main_role) FROM (SELECT main_role, count(*)
  AS n FROM app."User" WHERE tenant_id = tn.id GROUP BY main_role) u), '{}'::jsonb) AS roles
FROM app.tenant tn;

-- view: project_rows
SELECT row_to_json(p) AS doc, to_json(p.tags) AS tags, p.meta -> 'a' AS a, p.meta ->> 'z' AS z, p.tenant_id, p.id
FROM app.project p;

-- view: arrays_of_domains
SELECT code, ARRAY(SELECT s.plan FROM billing.subscription s WHERE s.plan = pl.code ORDER BY s.tenant_id, s.started) AS
  plans, ARRAY(SELECT i.net FROM billing.invoice i ORDER BY i.no) AS nets, array_agg(pl.price) AS p
FROM billing.plan pl
GROUP BY code;

-- view: padded_keys
SELECT COALESCE(s.plan, '???') AS plan, NULLIF(s.plan, 'a') AS np, CASE WHEN s.seats > 3 THEN s.plan ELSE 'small' END AS
  c, s.plan = 'a' AS is_a, s.plan || '|' AS piped, s.plan::text || '|' AS textpiped, concat(s.plan, '|') AS cc,
  format('%s|', s.plan) AS ff, length(s.plan) AS l, s.plan LIKE 'a%' AS lk, s.tenant_id, s.started
FROM billing.subscription s;

-- view: padded_codes
SELECT k.tenant_id, k.project_id, k.no, COALESCE(k.code, 'none') AS code, k.code = 'T-2' AS is2, k.code IN ('T-2',
  'T-4') AS in24, length(k.code) AS l, k.code || 'x' AS x, to_jsonb(k.code) AS j, jsonb_build_array(k.code, k.state,
  k.weight, k.score) AS arr, k.code::varchar(3) AS v3, rtrim(k.code) AS rt, ARRAY[k.code, 'abc'] AS arr2,
  greatest(k.code, 'T-3') AS g
FROM app.task k;

-- view: latest_invoices
SELECT t.id, l.issued, l.no, l.gross
FROM app.tenant t
LEFT JOIN (SELECT DISTINCT ON (tenant_id) tenant_id, issued, no, gross FROM billing.invoice ORDER BY tenant_id, issued
  DESC, no) l ON l.tenant_id = t.id;

-- view: last_comments
WITH latest AS (SELECT DISTINCT ON (tenant_id, project_id, task_no) * FROM app.comment ORDER BY tenant_id, project_id,
  task_no, at DESC, id DESC) SELECT k.tenant_id, k.project_id, k.no, k.title, l.body AS last_comment, l.at
FROM app.task k
LEFT JOIN latest l ON l.tenant_id = k.tenant_id AND l.project_id = k.project_id AND l.task_no = k.no;

-- view: revenue_by_plan
SELECT plan_name, count(*) AS n, sum(monthly) AS mrr
FROM billing.current_plan
GROUP BY plan_name;

-- view: invoice_percentiles
SELECT percentile_cont(0.5) WITHIN
GROUP (ORDER BY net) AS med, percentile_disc(0.9) WITHIN
GROUP (ORDER BY net DESC) AS p90, mode() WITHIN
GROUP (ORDER BY currency) AS cur, currency
FROM billing.invoice
GROUP BY currency;

-- view: tenant_percentiles
SELECT (SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY i.gross) FROM billing.invoice i WHERE i.tenant_id = t.id) AS
  q1, (SELECT array_agg(i.net) FROM billing.invoice i WHERE i.tenant_id = t.id) AS nets, (SELECT mode() WITHIN GROUP
  (ORDER BY k.estimate) FROM app.task k WHERE k.tenant_id = t.id) AS est, t.id
FROM app.tenant t;

-- view: domain_expressions
SELECT ARRAY[i.net] AS a, ARRAY[i.net, 1] AS b, coalesce(i.net, 1) AS c, coalesce(i.net, i.net) AS d, CASE WHEN i.net >
  5 THEN i.net END AS e, greatest(i.net, i.net) AS f, nullif(i.net, 1) AS g, array_append(ARRAY[i.net], i.net) AS h,
  (ARRAY[i.net])[1] AS j, i.net || 'x' AS k, i.no
FROM billing.invoice i;

-- view: padded_lists
SELECT s.plan, ARRAY[s.plan, 'a'] AS x, s.plan IN ('a', 'pro') AS y, s.plan = ANY (ARRAY['a','ent']) AS z, s.plan = ANY
  ('{a,ent}') AS zz, s.plan::text = 'a  ' AS w, s.plan < 'b' AS lt, s.tenant_id, s.started
FROM billing.subscription s
WHERE s.plan <> 'zzz';

-- view: users_by_roles
SELECT roles, main_role, count(*) AS n
FROM app."User"
GROUP BY roles, main_role;

-- view: users_by_preferences
SELECT prefs, count(*) AS n
FROM app."User"
GROUP BY prefs;

-- view: invoices_by_row
SELECT (tenant_id, currency) AS pair, count(*) AS n
FROM billing.invoice
GROUP BY (tenant_id, currency);

-- view: later_tasks
SELECT p.tenant_id, p.id, p.name, (SELECT count(*) FROM app.task k WHERE k.tenant_id = p.tenant_id AND k.project_id =
  p.id AND k.due > '2024-01-05') AS later, (SELECT count(*) FROM app.task k WHERE k.tenant_id = p.tenant_id AND
  k.project_id >= p.id) AS ge
FROM app.project p;

-- view: active_tenants
SELECT t.id, EXISTS (SELECT 1 FROM app."User" u WHERE u.tenant_id = t.id AND u.last_login > t.created_at) AS active,
  (SELECT max(u.last_login) FROM app."User" u WHERE u.tenant_id = t.id AND u."createdAt" > t.created_at) AS newest
FROM app.tenant t;

-- view: settings
SELECT t.id, t.settings -> 'limits' ->> 'gb' AS gb, (t.settings -> 'limits' ->> 'gb')::numeric * 2 AS gb2, t.settings #>
  '{limits,seats}' AS seats, t.settings -> 'flags' -> -1 AS last_flag, jsonb_array_length(t.settings -> 'flags') AS nf,
  t.settings @> '{"theme":"dark"}' AS dark, t.settings ->> 'theme' IN ('dark') AS d2, jsonb_build_object('limits',
  t.settings -> 'limits', 'n', (t.settings -> 'limits' -> 'seats')::int) AS doc, t.settings['limits']['seats'] AS sub
FROM app.tenant t;

-- view: moments
SELECT i.tenant_id, date_trunc('month', i.paid_at) AS m, date_trunc('month', i.paid_at, 'America/New_York') AS m2,
  date_trunc('day', i.issued) AS d, extract(epoch FROM i.paid_at) AS ep, extract(week FROM i.issued) AS wk, i.paid_at AT
  TIME ZONE 'Europe/London' AS lon, (i.issued + time '10:00') AT TIME ZONE 'Asia/Tokyo' AS tok, to_char(i.paid_at,
  'Dy DD Mon YYYY HH12:MI AM') AS ch, i.paid_at::date - i.issued AS dd, i.paid_at - i.issued::timestamptz AS iv, i.no,
  i.issued + interval '1 month' AS nextm, (i.issued + interval '1 month')::date AS nd, date_part('doy', i.issued) AS
  doy, age(i.paid_at, i.issued::timestamptz) AS ag, i.issued BETWEEN '2023-07-01' AND '2023-12-31' AS h2, i.issued::text
  AS it, i.paid_at::text AS pt
FROM billing.invoice i;

-- view: numbered_invoices
SELECT tenant_id, issued, no, gross, row_number() OVER (PARTITION BY tenant_id ORDER BY issued, no) AS seq, 'INV-' ||
  lpad((row_number() OVER (PARTITION BY tenant_id ORDER BY issued, no))::text, 3, '0') AS label
FROM billing.invoice;

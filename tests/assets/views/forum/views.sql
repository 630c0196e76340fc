-- view: threads
SELECT t.id, t.title, t.section, s.title AS section_title, m.name AS author, m.karma, (SELECT count(*) FROM post p WHERE
  p.thread_id = t.id) AS posts, (SELECT max(p.created) FROM post p WHERE p.thread_id = t.id) AS last_post_at, lp.author
  AS last_author, (SELECT array_agg(g.label ORDER BY g.label) FROM thread_tag tt JOIN tag g ON g.id = tt.tag_id WHERE
  tt.thread_id = t.id) AS labels, (SELECT COALESCE(sum(v.value), 0) FROM vote v WHERE v.thread_id = t.id) AS score
FROM thread t
JOIN section s ON s.path = t.section
LEFT JOIN member m ON m.name = t.author
LEFT JOIN LATERAL (SELECT p.author FROM post p WHERE p.thread_id = t.id ORDER BY p.created DESC, p.no DESC LIMIT 1) lp
  ON true;

-- view: members
SELECT m.name, m.joined, m.settings ->> 'lang' AS lang, (m.settings ->> 'mail')::boolean AS mail, (m.settings ->>
  'size')::numeric AS size, ARRAY(SELECT b.name FROM badge b WHERE b.id = ANY (m.badges) ORDER BY b.level) AS badges,
  (SELECT count(*) FROM thread t WHERE t.author = m.name) AS threads, (SELECT count(*) FROM post p WHERE p.author =
  m.name) AS posts, (SELECT sum(v.value) FROM vote v JOIN post p ON p.thread_id = v.thread_id AND p.no = v.post_no WHERE
  p.author = m.name) AS received, (SELECT sum(value) FROM vote v WHERE v.member = m.name) AS given
FROM member m;

-- view: sections
SELECT s.path, s.title, p.title AS parent, (SELECT jsonb_agg(jsonb_build_object('path', c.path, 'title', c.title,
  'threads', (SELECT count(*) FROM thread t WHERE t.section = c.path)) ORDER BY c.position, c.path) FROM section c WHERE
  c.parent = s.path) AS children
FROM section s
LEFT JOIN section p ON p.path = s.parent
WHERE s.hidden IS NOT TRUE;

-- view: scored_posts
SELECT p.thread_id, p.no, p.body, r.body AS in_reply_to, COALESCE(v.score, 0) AS score, COALESCE(v.up, 0) AS up,
  COALESCE(v.down, 0) AS down
FROM post p
LEFT JOIN post r ON r.thread_id = p.thread_id AND r.no = p.reply_no
LEFT JOIN (SELECT thread_id, post_no, sum(value) AS score, count(*) FILTER (WHERE value = 1) AS up, count(*) FILTER
  (WHERE value = -1) AS down FROM vote GROUP BY thread_id, post_no) v ON v.thread_id = p.thread_id AND v.post_no = p.no;

-- view: conversations
SELECT least(sender, recipient) AS a, greatest(sender, recipient) AS b, count(*) AS n, max(sent) AS last
FROM message
WHERE sender IS NOT NULL AND recipient IS NOT NULL
GROUP BY least(sender, recipient), greatest(sender, recipient);

-- view: tagged
SELECT t.id, t.title, 'x' = ANY (t.tags) AS x, t.tags @> ARRAY['y']::text[] AS y, t.tags <> '{}' AS any_tags,
  array_length(t.tags, 1) AS n, t.tags
FROM thread t
WHERE t.tags && '{x,z}' AND NOT (t.pinned AND t.views > 100);

-- view: top_authors
SELECT author, count(*) AS n
FROM post
GROUP BY author
ORDER BY n DESC, author NULLS LAST
LIMIT 5;

-- view: thread_authors
SELECT t.id, t.title, (SELECT string_agg(p.author, ', ' ORDER BY p.no) FROM post p WHERE p.thread_id = t.id) AS authors,
  (SELECT string_agg(DISTINCT p.author, ', ') FROM post p WHERE p.thread_id = t.id) AS uniq, (SELECT jsonb_agg(DISTINCT
  p.author) FROM post p WHERE p.thread_id = t.id) AS ja
FROM thread t;

-- view: member_rows
SELECT m.name, (SELECT jsonb_agg(t ORDER BY t.id) FROM thread t WHERE t.author = m.name) AS threads, (SELECT
  json_agg(p.*) FROM post p WHERE p.author = m.name) AS posts
FROM member m;

-- view: silent_members
SELECT m.name
FROM member m
WHERE m.name NOT IN (SELECT p.author FROM post p WHERE p.author IS NOT NULL);

-- view: not_in_with_nulls
SELECT m.name
FROM member m
WHERE m.name NOT IN (SELECT p.author FROM post p);

-- view: bodies_by_number
SELECT p.thread_id, jsonb_object_agg(p.no, p.body) AS bodies, json_object_agg(p.no, p.author ORDER BY p.no) AS authors
FROM post p
GROUP BY p.thread_id;

-- view: title_shapes
SELECT regexp_replace(title, '\d+', '#') AS shape, count(*) AS n
FROM thread
GROUP BY 1;

-- view: labels
SELECT t.id, t.title || COALESCE(' [' || t.slug || ']', '') AS label, char_length(t.title) AS len, substring(t.title, 1,
  5) AS s, strpos(t.title, ' ') AS sp, translate(t.title, 'Th', 'tH') AS tr, to_char(t.created,
  'YYYY-MM-DD"T"HH24:MI:SS') AS iso, to_char(t.views, '999,999') AS vw, t.views::numeric / 3 AS v3, t.views::float8 / 3
  AS vf, (t.views / 3)::int2 AS vs
FROM thread t;

-- view: latest_per_section
SELECT DISTINCT ON (section) section, id, title, created
FROM thread
ORDER BY section, created DESC, id;

-- view: hot_threads
SELECT s.path, t.id, t.n
FROM section s
LEFT JOIN LATERAL (SELECT t.id, (SELECT count(*) FROM post p WHERE p.thread_id = t.id) AS n FROM thread t WHERE
  t.section = s.path ORDER BY t.views DESC, t.id LIMIT 2) t ON true;

-- view: latest_posts
SELECT m.name, p.thread_id, p.no
FROM member m
LEFT JOIN post p ON p.author = m.name
ORDER BY p.created DESC NULLS LAST, m.name, p.thread_id, p.no
LIMIT 5;

-- view: any_of_a_subquery
SELECT t.id, ARRAY(SELECT g.label FROM tag g WHERE g.id = ANY (SELECT tt.tag_id FROM thread_tag tt WHERE tt.thread_id =
  t.id) ORDER BY g.label) AS labels
FROM thread t;

-- view: above_average
SELECT m.name, m.karma, CASE WHEN m.karma >= (SELECT avg(karma) FROM member) THEN 'above' ELSE 'below' END AS pos,
  m.karma - (SELECT max(karma) FROM member) AS diff
FROM member m;

-- view: section_totals
SELECT s.path, t.cnt, t.views, p.posts
FROM section s
LEFT JOIN (SELECT section, count(*) AS cnt, sum(views) AS views FROM thread GROUP BY section) t ON t.section = s.path
LEFT JOIN (SELECT t.section, count(*) AS posts FROM post p JOIN thread t ON t.id = p.thread_id GROUP BY t.section) p ON
  p.section = s.path;

-- view: top_thread
SELECT m.name, (SELECT jsonb_build_object('id', t.id, 'title', t.title, 'posts', (SELECT count(*) FROM post p WHERE
  p.thread_id = t.id)) FROM thread t WHERE t.author = m.name ORDER BY t.views DESC, t.id LIMIT 1) AS top
FROM member m;

-- view: member_documents
SELECT m.name, ARRAY(SELECT jsonb_build_object('t', t.id, 'last', (SELECT p.body FROM post p WHERE p.thread_id = t.id
  ORDER BY p.no DESC LIMIT 1)) FROM thread t WHERE t.author = m.name ORDER BY t.id LIMIT 2) AS docs
FROM member m;

-- view: voted_posts
SELECT t.id, (SELECT jsonb_agg(jsonb_build_object('no', p.no, 'votes', v.n, 'voters', v.who) ORDER BY p.no) FROM post p
  LEFT JOIN LATERAL (SELECT count(*) AS n, array_agg(vv.member ORDER BY vv.member) AS who FROM vote vv WHERE
  vv.thread_id = p.thread_id AND vv.post_no = p.no) v ON true WHERE p.thread_id = t.id) AS posts
FROM thread t;

-- view: all_posts_voted
SELECT t.*
FROM thread t
WHERE NOT EXISTS (SELECT 1 FROM post p WHERE p.thread_id = t.id AND NOT EXISTS (SELECT 1 FROM vote v WHERE v.thread_id =
  p.thread_id AND v.post_no = p.no));

-- view: nested_joins
SELECT t.id, t.title, a.name AS author_name, i.name AS inviter, ii.name AS inviters_inviter
FROM thread t
LEFT JOIN (member a LEFT JOIN (member i LEFT JOIN member ii ON ii.name = i.invited_by) ON i.name = a.invited_by) ON
  a.name = t.author;

-- view: near_karma
SELECT a.name AS a, b.name AS b
FROM member a
JOIN member b ON a.karma BETWEEN b.karma - 3 AND b.karma + 3 AND a.name < b.name;

-- view: buckets
SELECT CASE WHEN karma < 0 THEN 'neg' ELSE 'pos' END AS bucket, is_mod, count(*) AS n
FROM member
GROUP BY bucket, is_mod;

-- view: ranked_threads
SELECT id, section, title, views, rank() OVER (PARTITION BY section ORDER BY views DESC) AS r, dense_rank() OVER (ORDER
  BY section) AS d
FROM thread;

-- view: author_places
SELECT author, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS place
FROM post
GROUP BY author;

-- view: last_post_of_thread
WITH r AS (SELECT p.*, row_number() OVER (PARTITION BY p.thread_id ORDER BY p.created DESC, p.no DESC) AS rn FROM post
  p) SELECT t.id, t.title, r.author, r.body
FROM thread t
LEFT JOIN r ON r.thread_id = t.id AND r.rn = 1;

-- view: latest_two_posts
SELECT t.id, (SELECT jsonb_agg(jsonb_build_object('no', x.no, 'rn', x.rn) ORDER BY x.rn) FROM (SELECT p.no, row_number()
  OVER (ORDER BY p.created DESC, p.no) AS rn FROM post p WHERE p.thread_id = t.id) x WHERE x.rn <= 2) AS latest
FROM thread t;

-- view: first_two_threads
SELECT section, id, title
FROM (SELECT section, id, title, row_number() OVER (PARTITION BY section ORDER BY views DESC, id) rn FROM thread) x
WHERE rn <= 2;

-- view: leaderboard
SELECT name, karma, row_number() OVER (ORDER BY karma DESC, name) AS pos
FROM member
ORDER BY pos
LIMIT 5;

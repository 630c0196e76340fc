-- Writes the tables of this directory from a PostgreSQL 15: psql -AtXq -f generate.sql, in this directory.
-- They are what overload resolution (manual, chapter 10) decides over: names, argument types, results.
\pset fieldsep '\t'
\o types.tsv
-- oid, name, category, preferred, element type of a true array
SELECT t.oid, t.typname, t.typcategory, t.typispreferred,
       CASE WHEN t.typelem <> 0 AND t.typname NOT IN ('oidvector', 'int2vector') AND t.typsubscript = 'array_subscript_handler'::regproc THEN (SELECT typname FROM pg_type e WHERE e.oid = t.typelem) ELSE '-' END
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = 'pg_catalog' AND t.typtype IN ('b', 'p', 'r', 'm')
  AND NOT EXISTS (SELECT FROM pg_type e JOIN pg_class c ON c.reltype = e.oid WHERE e.oid = t.typelem)
ORDER BY t.oid;
\o operators.tsv
-- name, left, right, result, function
SELECT oprname, CASE WHEN oprleft = 0 THEN '-' ELSE (SELECT typname FROM pg_type WHERE oid = oprleft) END,
       (SELECT typname FROM pg_type WHERE oid = oprright), (SELECT typname FROM pg_type WHERE oid = oprresult),
       (SELECT CASE WHEN l.lanname = 'internal' THEN p.prosrc ELSE p.proname || '_sql' END FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = oprcode)
FROM pg_operator WHERE oprresult <> 0 AND oprcode <> 0 ORDER BY oprname COLLATE "C", oid;
\o functions.tsv
-- name, argument types, number of defaults, element type if variadic, result, volatility, strict, returns set, function
SELECT proname, (SELECT coalesce(string_agg((SELECT typname FROM pg_type WHERE oid = a), ',' ORDER BY o), '-') FROM unnest(proargtypes::oid[]) WITH ORDINALITY x (a, o)),
       pronargdefaults, CASE WHEN provariadic = 0 THEN '-' ELSE (SELECT typname FROM pg_type WHERE oid = provariadic) END,
       (SELECT typname FROM pg_type WHERE oid = prorettype), provolatile, proisstrict, proretset,
       CASE WHEN l.lanname = 'internal' THEN prosrc ELSE proname || '_sql' END
FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace JOIN pg_language l ON l.oid = prolang
WHERE n.nspname = 'pg_catalog' AND prokind = 'f'
  AND (SELECT typtype <> 'p' OR typname LIKE 'any%' OR typname IN ('record', 'void') FROM pg_type WHERE oid = prorettype)
  AND NOT proargtypes::oid[] && ARRAY['internal'::regtype::oid, 'cstring'::regtype::oid]
  AND (proname !~ '^pg_' OR proname IN ('pg_typeof', 'pg_size_pretty'))
  AND proname !~ '^(binary_upgrade|gin|gist|spg|brin|RI_|lo_|ts_|has_|hash|bt(?!rim)|txid|inet|dist_|path_|poly_|box_|circle_|lseg|point_|tsquery|on_|jsonb_path)'
ORDER BY proname COLLATE "C", p.oid;
\o casts.tsv
-- source, target, context (i implicit, a assignment, e explicit), method (f function, b binary, i text), function
SELECT (SELECT typname FROM pg_type WHERE oid = castsource), (SELECT typname FROM pg_type WHERE oid = casttarget), castcontext, castmethod,
       coalesce((SELECT prosrc FROM pg_proc p WHERE p.oid = castfunc), '-')
FROM pg_cast ORDER BY castsource, casttarget;

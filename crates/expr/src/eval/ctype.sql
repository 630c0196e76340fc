-- What ctype.tsv was made from, on a PostgreSQL 15 with LC_CTYPE C.UTF-8 (glibc 2.36): one row per character; runs with one
-- distance between neighbours (1 or 2) and one shift were then written as ranges, characters below 128 left out.
COPY (
    SELECT i, ascii(lower(chr(i))), ascii(upper(chr(i))), (initcap(chr(i) || 'A') LIKE '%a')::int AS alphanumeric
    FROM generate_series(1, 1114111) i WHERE i NOT BETWEEN 55296 AND 57343 ORDER BY i
) TO STDOUT;

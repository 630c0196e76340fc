//! What is refused, where, and with which words.

#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

fn refused(sql: &str) -> String {
    match readside_sql::compile("v", sql, &fixture::shop()) {
        Ok(plan) => panic!("`{sql}` was accepted:\n{plan:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_refusal_points_into_the_text() {
    assert_eq!(
        refused(
            "-- orders and whose they are\nSELECT o.id,\n       c.nam\nFROM orders o\nJOIN customers c ON c.id = o.customer_id;"
        ),
        "view `v`, line 3, column 8: column c.nam does not exist\n\
         \x20   c.nam\n\
         \x20   ^^^^^\n\
         \x20 hint: did you mean `c.name`?"
    );
    assert_eq!(
        refused("SELECT o.id FROM orders o WHERE o.placed_at > now() - interval '1 day'"),
        "view `v`, line 1, column 47: `now` changes without any change to the data, so a view over it cannot be kept fresh\n\
         \x20   SELECT o.id FROM orders o WHERE o.placed_at > now() - interval '1 day'\n\
         \x20                                                 ^^^\n\
         \x20 hint: show the column itself, and compare it where the view is read"
    );
}

/// First line after the position, without the rest.
fn reason(sql: &str) -> String {
    let text = refused(sql);
    let first = text.lines().next().unwrap();
    first.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn a_file_holds_one_select() {
    assert_eq!(reason(""), "the file holds no query");
    assert_eq!(reason("-- nothing\n"), "the file holds no query");
    assert_eq!(
        reason("INSERT INTO orders DEFAULT VALUES"),
        "a view is a SELECT, not INSERT"
    );
    assert_eq!(
        reason("SELECT id FROM orders; SELECT id FROM customers"),
        "a view is one SELECT, and a second statement begins here"
    );
    assert!(
        readside_sql::compile("v", "SELECT id FROM orders; ; -- done\n", &fixture::shop()).is_ok()
    );
}

#[test]
fn names_are_looked_up_as_postgres_does() {
    for (sql, expected) in [
        (
            "SELECT id FROM orderz",
            "relation \"orderz\" does not exist",
        ),
        (
            "SELECT id FROM documents",
            "other tables inherit from `public.documents`, so a query on it reads their rows too, which is not supported",
        ),
        (
            "SELECT id FROM other.orders",
            "relation \"other.orders\" does not exist",
        ),
        ("SELECT nope FROM orders", "column \"nope\" does not exist"),
        (
            "SELECT x.id FROM orders o",
            "missing FROM-clause entry for table \"x\"",
        ),
        (
            "SELECT orders.id FROM orders o",
            "missing FROM-clause entry for table \"orders\"",
        ),
        (
            "SELECT id FROM orders o JOIN customers c ON c.id = o.customer_id",
            "column reference \"id\" is ambiguous",
        ),
        (
            "SELECT o.id FROM orders o JOIN customers o ON true",
            "table name \"o\" specified more than once",
        ),
        (
            "SELECT id FROM orders JOIN order_items USING (nothing)",
            "column \"nothing\" specified in USING clause does not exist in left table",
        ),
        (
            // A derived table does not see what stands beside it.
            "SELECT c.id FROM customers c, (SELECT c.id AS x) d",
            "missing FROM-clause entry for table \"c\"",
        ),
        (
            "SELECT id, name AS id FROM customers",
            "columns 1 and 2 of the output are both named \"id\"",
        ),
        ("SELECT \"ID\" FROM orders", "column \"ID\" does not exist"),
    ] {
        assert_eq!(reason(sql), expected, "{sql}");
    }
}

#[test]
fn grouping_is_checked_as_postgres_does() {
    for (sql, expected) in [
        (
            "SELECT status, id FROM orders GROUP BY status",
            "column \"orders.id\" must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        (
            "SELECT name, count(*) FROM customers GROUP BY email",
            "column \"customers.name\" must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        (
            "SELECT id % 2 AS m, (SELECT count(*) FROM customers c WHERE c.id = o.id % 2) AS n FROM orders o GROUP BY id % 2",
            "subquery uses ungrouped column \"o.id\" from outer query",
        ),
        (
            "SELECT count(*) FROM orders WHERE count(*) > 1",
            "aggregate functions are not allowed in WHERE",
        ),
        (
            "SELECT count(*) FROM orders GROUP BY count(*)",
            "aggregate functions are not allowed in GROUP BY",
        ),
        (
            "SELECT sum(count(*)) FROM orders",
            "aggregate function calls cannot be nested",
        ),
        (
            "SELECT id FROM orders WHERE note",
            "argument of WHERE must be type boolean, not type text",
        ),
        (
            "SELECT id FROM orders ORDER BY 3",
            "ORDER BY position 3 is not in select list",
        ),
        (
            "SELECT raw, count(*) FROM products GROUP BY raw",
            "could not identify an equality operator for type json",
        ),
        (
            "SELECT search, count(*) FROM products GROUP BY search",
            "values of type tsvector can be shown, but not grouped or compared",
        ),
        (
            "SELECT DISTINCT status FROM orders ORDER BY id",
            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
        ),
    ] {
        assert_eq!(reason(sql), expected, "{sql}");
    }
}

#[test]
fn grammar_that_the_parser_lets_through_is_refused() {
    assert_eq!(
        reason("SELECT id FROM orders WHERE 1 < 2 = true"),
        "syntax error at or near \"=\": comparisons do not chain"
    );
    assert!(reason("SELECT id FROM").starts_with("syntax error"));
}

#[test]
fn what_cannot_be_kept_is_refused_with_a_remedy() {
    for (sql, expected) in [
        (
            "SELECT id, sum(shipping) OVER (ORDER BY id) AS n FROM orders",
            "this window function is not supported yet: row_number, rank and dense_rank OVER (PARTITION BY … ORDER BY …) are",
        ),
        (
            "SELECT id FROM orders WHERE rank() OVER (ORDER BY id) = 1",
            "window functions are not allowed in WHERE",
        ),
        (
            "SELECT customer_id FROM orders GROUP BY customer_id HAVING rank() OVER (ORDER BY count(*)) = 1",
            "window functions are not allowed in HAVING",
        ),
        (
            "SELECT max(rank() OVER (ORDER BY id)) AS m FROM orders",
            "window functions are not allowed in aggregate function calls",
        ),
        (
            "SELECT id, rank() AS r FROM orders",
            "window function rank requires an OVER clause",
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
            "a recursive query is not supported yet",
        ),
        (
            "SELECT id FROM orders UNION ALL SELECT id FROM customers",
            "UNION is not supported yet",
        ),
        (
            "SELECT customers.id FROM customers FULL JOIN orders ON orders.customer_id = customers.id",
            "FULL JOIN is not supported yet",
        ),
        (
            "SELECT unnest(tags) AS t FROM products",
            "`unnest` returns rows, which is not supported yet",
        ),
        (
            "SELECT status, count(*) FROM orders GROUP BY ROLLUP (status)",
            "grouping sets, ROLLUP and CUBE are not supported yet",
        ),
        (
            "SELECT id FROM orders LIMIT 3",
            "LIMIT without ORDER BY shows any rows",
        ),
        (
            "SELECT id FROM orders ORDER BY id OFFSET 3",
            "OFFSET at the top of a view is not supported",
        ),
        (
            "SELECT my.secret(id) AS x FROM orders",
            "`my.secret` is a function of the source's own, which readside cannot run",
        ),
        (
            "SELECT at FROM log",
            "table `public.log` has no key by which its rows can be told apart",
        ),
        (
            "SELECT t FROM broken",
            "in the source's view `broken`: `now` changes without any change to the data, so a view over it cannot be kept fresh",
        ),
        (
            "SELECT c.id, o.id AS order_id FROM customers c JOIN LATERAL (SELECT id FROM orders WHERE customer_id > c.id ORDER BY id LIMIT 2) o ON true",
            "this subquery may give several rows for each row that it is joined to, and they have no key of their own",
        ),
        (
            "SELECT (SELECT id, note FROM orders) AS x FROM customers",
            "subquery must return only one column",
        ),
        (
            "SELECT id FROM orders FOR UPDATE",
            "a view does not lock rows",
        ),
    ] {
        assert_eq!(reason(sql), expected, "{sql}");
        assert!(refused(sql).contains("\n  hint: "), "{sql}");
    }
}

#[test]
fn text_order_that_cannot_be_followed_is_refused_only_where_it_matters() {
    let sql = "SELECT c.id, ARRAY(SELECT o.note FROM orders o WHERE o.customer_id = c.id ORDER BY o.note) AS notes FROM customers c";
    assert_eq!(
        reason(sql),
        "text is sorted by the collation \"de_DE\" here, whose order readside cannot follow"
    );
    assert_eq!(
        reason("SELECT max(note) AS last FROM orders"),
        "text is sorted by the collation \"de_DE\" here, whose order readside cannot follow"
    );
    let catalog = fixture::shop();
    let with_c = sql.replace("ORDER BY o.note", "ORDER BY o.note COLLATE \"C\"");
    readside_sql::compile("v", &with_c, &catalog).unwrap();
    readside_sql::compile("v", "SELECT id FROM orders ORDER BY note", &catalog).unwrap();
    readside_sql::compile(
        "v",
        "SELECT note, count(*) FROM orders GROUP BY note",
        &catalog,
    )
    .unwrap();
}

#[test]
fn aggregates_are_refused_as_postgres_does() {
    for (sql, expected) in [
        (
            "SELECT jsonb_agg('x') FROM orders",
            "could not determine polymorphic type because input has type unknown",
        ),
        (
            "SELECT array_agg(NULL) FROM orders",
            "function array_agg(unknown) is not unique",
        ),
        (
            "SELECT mode(id) FROM orders",
            "WITHIN GROUP is required for ordered-set aggregate mode",
        ),
        (
            "SELECT sum(id) WITHIN GROUP (ORDER BY id) FROM orders",
            "sum is not an ordered-set aggregate, so it cannot have WITHIN GROUP",
        ),
    ] {
        assert_eq!(reason(sql), expected, "{sql}");
    }
}

//! Which stages and keys a view is given.

#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

use readside_expr::Expr;
use readside_plan::{FromItem, Head, Plan, Relation};

fn plan(sql: &str) -> Plan {
    readside_sql::compile("v", sql, &fixture::shop()).unwrap_or_else(|r| panic!("{r}"))
}

fn explained(sql: &str) -> String {
    readside_sql::explain(&plan(sql), &fixture::shop())
}

/// `name` or `name (hidden)`, in order.
fn key(sql: &str) -> String {
    plan(sql)
        .key
        .pieces
        .iter()
        .map(|p| match p.column {
            Some(_) => p.name.clone(),
            None => format!("{} (hidden)", p.name),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn many_to_one_joins_are_keyed_by_the_many_side() {
    assert_eq!(
        explained(
            "SELECT o.id, c.name FROM customers c JOIN orders o ON o.customer_id = c.id LEFT JOIN customers b ON b.id = c.boss_id"
        ),
        "view v\n\
         \x20 key: id\n\
         \x20 stage 0: rows of v\n\
         \x20   from: public.customers c, public.orders o, public.customers b\n\
         \x20   rows keyed by: o\n"
    );
}

#[test]
fn keys_follow_from_unique_columns_equalities_and_constants() {
    for (sql, expected) in [
        ("SELECT * FROM orders", "id"),
        ("SELECT name, id FROM customers", "id"),
        // One to many: both sides, and what they share once.
        (
            "SELECT o.id, i.line FROM orders o LEFT JOIN order_items i ON i.order_id = o.id",
            "id, line",
        ),
        (
            "SELECT i.line, i.order_id FROM orders o JOIN order_items i ON i.order_id = o.id",
            "line, order_id",
        ),
        // The shown column is the other side of an equality.
        (
            "SELECT o.id, i.line FROM orders o JOIN order_items i ON i.order_id = o.id",
            "id, line",
        ),
        // A junction, its tables in between.
        (
            "SELECT p.id, t.tag, p.name FROM products p JOIN product_tags t ON t.product_id = p.id",
            "id, tag",
        ),
        // Unique by another column than the primary key.
        (
            "SELECT o.id, c.name FROM orders o JOIN customers c ON c.email = o.note",
            "id",
        ),
        ("SELECT email FROM customers", "_key_1 (hidden)"),
        (
            "SELECT o.note, i.quantity FROM orders o JOIN order_items i ON i.order_id = o.id",
            "_key_1 (hidden), _key_2 (hidden)",
        ),
        // Not an equality, so nothing follows.
        (
            "SELECT a.id AS a, b.id AS b FROM orders a JOIN orders b ON b.id > a.id",
            "a, b",
        ),
        ("SELECT count(*) AS n FROM orders", ""),
        (
            "SELECT DISTINCT status, customer_id FROM orders",
            "status, customer_id",
        ),
        (
            "SELECT DISTINCT ON (customer_id) id, customer_id FROM orders ORDER BY customer_id, placed_at DESC, id",
            "customer_id",
        ),
        // First rows, joined by what they are the first of.
        (
            "SELECT c.id, l.note FROM customers c LEFT JOIN (SELECT DISTINCT ON (customer_id) * FROM orders ORDER BY customer_id, id) l ON l.customer_id = c.id",
            "id",
        ),
        (
            "SELECT id, placed_at FROM orders ORDER BY placed_at DESC, id LIMIT 5",
            "id",
        ),
    ] {
        assert_eq!(key(sql), expected, "{sql}");
    }
}

#[test]
fn a_missing_side_is_marked_in_the_key() {
    let plan =
        plan("SELECT o.id, i.line FROM orders o LEFT JOIN order_items i ON i.order_id = o.id");
    let sides: Vec<bool> = plan
        .key
        .pieces
        .iter()
        .map(|p| p.nullable_side.is_some())
        .collect();
    assert_eq!(sides, [false, true]);
    assert_eq!(plan.stages[0].block.key.len(), 2);
}

#[test]
fn outer_joins_that_a_condition_needs_are_inner() {
    let inner = plan(
        "SELECT o.id, i.line FROM orders o LEFT JOIN order_items i ON i.order_id = o.id WHERE i.quantity > 1",
    );
    assert!(matches!(
        inner.stages[0].block.query.from,
        Some(FromItem::Inner { .. })
    ));
    assert!(inner.key.pieces.iter().all(|p| p.nullable_side.is_none()));
    let outer = plan(
        "SELECT o.id, i.line FROM orders o LEFT JOIN order_items i ON i.order_id = o.id WHERE i.quantity IS NULL",
    );
    assert!(matches!(
        outer.stages[0].block.query.from,
        Some(FromItem::Left { .. })
    ));
}

#[test]
fn right_joins_are_turned_around() {
    let plan =
        plan("SELECT o.id, c.name FROM customers c RIGHT JOIN orders o ON o.customer_id = c.id");
    let Some(FromItem::Left { left, .. }) = &plan.stages[0].block.query.from else {
        panic!("not an outer join");
    };
    assert_eq!(
        plan.stages[0].block.occurrences[usize::from(left.occurrences()[0].0)].alias,
        "o"
    );
    assert!(!plan.columns[1].not_null);
}

#[test]
fn a_grouping_is_keyed_by_what_determines_the_rest() {
    assert_eq!(
        explained(
            "SELECT c.id, c.name, b.name AS boss, count(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN customers b ON b.id = c.boss_id GROUP BY c.id, c.name, b.name"
        ),
        "view v\n\
         \x20 key: id\n\
         \x20 stage 0: group by c.id\n\
         \x20   from: public.orders o, public.customers c, public.customers b\n\
         \x20   rows keyed by: o\n\
         \x20   remembered: one row per group, 1 aggregate: c.id integer, count(*) bigint\n\
         \x20 stage 1: rows of v\n\
         \x20   from: stage 0 (group by c.id), public.customers c, public.customers b\n\
         \x20   rows keyed by: by c.id\n"
    );
    // A join on the group column determines the other table's columns.
    assert_eq!(
        key(
            "SELECT o.customer_id, c.name, count(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY o.customer_id, c.name"
        ),
        "customer_id"
    );
    // Not every condition of the outer join follows from the group column, so the name stays in the key.
    assert_eq!(
        key(
            "SELECT o.customer_id, c.name, count(*) AS n FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND o.note = 'x' GROUP BY o.customer_id, c.name"
        ),
        "customer_id, name"
    );
}

#[test]
fn a_grouping_by_constants_is_still_a_grouping() {
    let plan = plan(
        "SELECT email, name, count(*) AS n FROM customers WHERE email = 'a@b' GROUP BY email, name",
    );
    let Head::Group { keys, .. } = &plan.stages[0].head else {
        panic!("not a grouping");
    };
    assert_eq!(
        keys.len(),
        1,
        "without a key there would be a row where Postgres has none"
    );
}

#[test]
fn a_subquery_that_comes_to_one_value_is_a_stage() {
    assert_eq!(
        explained(
            "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c"
        ),
        "view v\n\
         \x20 key: id\n\
         \x20 stage 0: group by o.customer_id\n\
         \x20   from: public.orders o\n\
         \x20   rows keyed by: o\n\
         \x20   remembered: one row per group, 1 aggregate: o.customer_id integer, count(*) bigint\n\
         \x20 stage 1: rows of v\n\
         \x20   from: public.customers c, stage 0 (group by o.customer_id)\n\
         \x20   rows keyed by: c\n"
    );
    let stages = |sql: &str| {
        plan(sql)
            .stages
            .iter()
            .map(|s| s.label.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        stages(
            "SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.status = 'paid')"
        ),
        ["group by o.customer_id", "rows of v"]
    );
    assert_eq!(
        stages("SELECT c.id FROM customers c WHERE c.id IN (SELECT o.customer_id FROM orders o)"),
        ["group by o.customer_id", "rows of v"]
    );
    // NOT IN has its own rules for NULL.
    assert_eq!(
        stages(
            "SELECT c.id FROM customers c WHERE c.id NOT IN (SELECT o.customer_id FROM orders o)"
        ),
        ["rows of v"]
    );
    assert_eq!(
        stages(
            "SELECT c.id, (SELECT o.note FROM orders o WHERE o.customer_id = c.id ORDER BY o.placed_at, o.id LIMIT 1) AS n FROM customers c"
        ),
        ["first row per o.customer_id", "rows of v"]
    );
    // Tied by more than an equality: computed for each row.
    assert_eq!(
        stages(
            "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id > c.id) AS n FROM customers c"
        ),
        ["rows of v"]
    );
    // All rows are in the document anyway.
    assert_eq!(
        stages(
            "SELECT c.id, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.id) AS ids FROM customers c"
        ),
        ["rows of v"]
    );
}

#[test]
fn an_empty_group_counts_as_zero_only_where_it_does_in_postgres() {
    let select = |sql: &str| {
        let plan = plan(sql);
        plan.stages.last().unwrap().block.query.select[1].clone()
    };
    let scalar = select(
        "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c",
    );
    assert!(matches!(scalar, Expr::Coalesce(_)), "{scalar:?}");
    let derived = select(
        "SELECT c.id, g.n FROM customers c LEFT JOIN (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) g ON g.customer_id = c.id",
    );
    assert!(matches!(derived, Expr::Column(_)), "{derived:?}");
}

#[test]
fn common_table_expressions_and_source_views_are_inlined() {
    assert_eq!(
        explained(
            "WITH big AS (SELECT order_id, total FROM order_totals WHERE total > 10) SELECT o.id, a.name, big.total FROM orders o JOIN active_customers a ON a.id = o.customer_id LEFT JOIN big ON big.order_id = o.id"
        ),
        "view v\n\
         \x20 key: id\n\
         \x20 stage 0: group by o.id\n\
         \x20   from: public.orders o, public.order_items i\n\
         \x20   rows keyed by: i\n\
         \x20   remembered: one row per group, 1 aggregate: o.id bigint, sum(numeric) numeric\n\
         \x20 stage 1: rows of v\n\
         \x20   from: public.orders o, public.customers, stage 0 (group by o.id), public.orders o\n\
         \x20   rows keyed by: o\n"
    );
}

#[test]
fn an_inlined_expression_is_null_where_its_side_is_missing() {
    let plan = plan(
        "SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT id, coalesce(note, '-') AS n FROM orders) x ON x.id = c.id",
    );
    let select = &plan.stages[0].block.query.select[1];
    let Expr::Case { branches, .. } = select else {
        panic!("{select:?}");
    };
    assert!(matches!(branches[0].0, Expr::Present(_)));
}

#[test]
fn lateral_rows_are_kept_with_their_keys() {
    let sql = "SELECT c.id, o.id AS order_id FROM customers c LEFT JOIN LATERAL (SELECT o.id FROM orders o WHERE o.customer_id = c.id ORDER BY o.placed_at DESC, o.id LIMIT 3) o ON true";
    assert_eq!(key(sql), "id, order_id");
    let plan = plan(sql);
    assert!(matches!(plan.stages[0].head, Head::TopN { limit: 3, .. }));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn a_condition_on_a_row_number_keeps_only_the_first_rows() {
    let ranked = |function: &str, condition: &str| {
        let plan = plan(&format!(
            "SELECT id, n FROM (SELECT id, {function}() OVER (PARTITION BY customer_id ORDER BY placed_at, id) AS n FROM orders) x {condition}"
        ));
        match plan.stages[0].head {
            Head::TopN { limit, .. } => limit,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(ranked("row_number", "WHERE n = 1"), 1);
    assert_eq!(ranked("row_number", "WHERE 4 > n AND id > 2"), 3);
    assert_eq!(ranked("row_number", "WHERE n <= 2 OR id = 1"), u64::MAX);
    // Several rows may be of one rank.
    assert_eq!(ranked("rank", "WHERE n = 1"), u64::MAX);
    assert_eq!(ranked("row_number", ""), u64::MAX);
    // LIMIT chooses among all of the rows.
    let plan = plan(
        "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY id) AS n FROM orders ORDER BY id LIMIT 5) x WHERE n = 1",
    );
    assert!(matches!(
        plan.stages[0].head,
        Head::TopN {
            limit: u64::MAX,
            ..
        }
    ));
}

#[test]
fn verify_shows_hidden_keys_and_breaks_ties() {
    assert_eq!(
        plan("SELECT id FROM orders ; -- done").verify_sql,
        "SELECT id FROM orders"
    );
    assert_eq!(
        plan("SELECT email FROM customers").verify_sql,
        "SELECT email, \"customers\".\"id\" AS _key_1 FROM customers"
    );
    assert_eq!(
        plan("SELECT c.name, count(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id").verify_sql,
        "SELECT c.name, count(*) AS n, c.id AS _key_1 FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id"
    );
    let tied = plan(
        "SELECT c.id, (SELECT o.note FROM orders o WHERE o.customer_id = c.id ORDER BY o.placed_at LIMIT 1) AS n FROM customers c",
    );
    assert_eq!(
        tied.verify_sql,
        "SELECT c.id, (SELECT o.note FROM orders o WHERE o.customer_id = c.id ORDER BY o.placed_at, \"o\".\"id\" LIMIT 1) AS n FROM customers c"
    );
    assert_eq!(tied.warnings.len(), 1, "{:?}", tied.warnings);
}

#[test]
fn lists_without_a_defined_order_are_named() {
    let unordered = |list: &str| {
        let plan = plan(&format!("SELECT c.id, {list} AS l FROM customers c"));
        plan.unordered.iter().map(|u| u.column).collect::<Vec<_>>()
    };
    let orders = "FROM orders o WHERE o.customer_id = c.id";
    for (list, expected) in [
        (format!("ARRAY(SELECT o.id {orders})"), true),
        (format!("ARRAY(SELECT o.id {orders} ORDER BY o.id)"), false),
        (
            format!("ARRAY(SELECT o.id {orders} ORDER BY o.placed_at)"),
            true,
        ),
        // Equal rows are the same value.
        (
            format!("ARRAY(SELECT o.placed_at {orders} ORDER BY o.placed_at)"),
            false,
        ),
        (
            format!("(SELECT array_agg(DISTINCT o.placed_at) {orders})"),
            false,
        ),
        (
            format!("(SELECT jsonb_agg(o.note ORDER BY o.placed_at, o.id) {orders})"),
            false,
        ),
        (format!("(SELECT jsonb_agg(o.note) {orders})"), true),
        (
            format!("(SELECT jsonb_agg(x) FROM (SELECT o.id {orders} ORDER BY o.id) x)"),
            false,
        ),
        (
            format!(
                "(SELECT jsonb_agg(jsonb_build_object('l', ARRAY(SELECT i.line FROM order_items i WHERE i.order_id = o.id)) ORDER BY o.id) {orders})"
            ),
            true,
        ),
        (format!("(SELECT count(*) {orders})"), false),
    ] {
        assert_eq!(
            unordered(&list),
            if expected { vec![1] } else { vec![] },
            "{list}"
        );
    }
}

#[test]
fn columns_are_named_and_typed_as_postgres_does() {
    let plan = plan(
        "SELECT id, lower(name), name::varchar(3) AS v, 'x'::text, CASE WHEN active THEN 1 END, ARRAY[1], \
         (SELECT 1 AS one), EXISTS (SELECT 1), id + 1, coalesce(email, '') FROM customers",
    );
    let shown: Vec<String> = plan
        .columns
        .iter()
        .map(|c| format!("{} {}", c.name, c.ty.name()))
        .collect();
    assert_eq!(
        shown,
        [
            "id integer",
            "lower text",
            "v character varying",
            "text text",
            "case integer",
            "array integer[]",
            "one integer",
            "exists boolean",
            "?column? integer",
            "coalesce text",
        ]
    );
    let star = self::plan(
        "SELECT * FROM order_items NATURAL JOIN (SELECT id AS order_id, note FROM orders) o",
    );
    let names: Vec<&str> = star.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "order_id",
            "line",
            "product_id",
            "quantity",
            "unit_price",
            "note"
        ]
    );
}

#[test]
fn operators_bind_as_in_postgres() {
    // -2 ^ 2 is (-2) ^ 2, and OTHER operators group to the left.
    let same = |a: &str, b: &str| {
        let of = |e: &str| {
            plan(&format!("SELECT id, {e} AS e FROM customers"))
                .stages
                .remove(0)
                .block
                .query
                .select
                .remove(1)
        };
        assert_eq!(of(a), of(b), "{a}");
    };
    same("- 2 ^ 2", "(-2) ^ 2");
    same("-id::int", "-(id::int)");
    same("NOT id = 1", "NOT (id = 1)");
    same("id = 1 IS NULL", "(id = 1) IS NULL");
    same("1 + 2 * 3 - 4", "(1 + (2 * 3)) - 4");
    same("name || 'a' LIKE 'b'", "(name || 'a') LIKE 'b'");
}

#[test]
fn generated_columns_are_computed() {
    let catalog = fixture::shop();
    let expr = readside_sql::compile_generated(&catalog.tables[&4], 5, &catalog).unwrap();
    assert!(!expr.columns().is_empty());
    plan("SELECT id, label FROM products");
    let mut broken = catalog.clone();
    let table = broken.tables.get_mut(&4).unwrap();
    table.columns[5].generated.as_mut().unwrap().expression = "my_function(id)".to_owned();
    let refusal =
        readside_sql::compile("v", "SELECT id, label FROM products", &broken).unwrap_err();
    assert!(
        refusal
            .message
            .contains("generated column `public.products.label` cannot be computed"),
        "{refusal}"
    );
    readside_sql::compile("v", "SELECT id, name FROM products", &broken).unwrap();
}

#[test]
fn the_fingerprint_follows_what_determines_the_rows() {
    let of = |sql: &str| plan(sql).fingerprint;
    assert_eq!(of("SELECT id FROM orders"), of("SELECT id FROM orders;"));
    assert_ne!(
        of("SELECT id FROM orders"),
        of("SELECT id FROM orders WHERE id > 1")
    );
    let mut catalog = fixture::shop();
    catalog.tables.get_mut(&2).unwrap().identity = vec![0, 1];
    let other = readside_sql::compile("v", "SELECT id, customer_id FROM orders", &catalog).unwrap();
    assert_ne!(other.fingerprint, of("SELECT id, customer_id FROM orders"));
}

#[test]
fn blocks_are_numbered_from_zero() {
    let plan = plan(
        "SELECT c.id, (SELECT jsonb_agg(o.id ORDER BY o.id) FROM orders o WHERE o.customer_id = c.id) AS os, c.id IN (SELECT boss_id FROM customers) AS boss FROM customers c",
    );
    for stage in &plan.stages {
        let block = &stage.block;
        for occ in &block.key {
            assert!(usize::from(occ.0) < block.occurrences.len());
        }
        for e in &block.query.select {
            for id in readside_plan::subqueries_of(e) {
                assert!(usize::from(id.0) < block.subqueries.len());
            }
        }
        for o in &block.occurrences {
            if let Relation::Stage(id) = o.relation {
                assert!(usize::from(id.0) < plan.stages.len());
            }
        }
    }
}

#[test]
fn aggregates_have_the_types_that_postgres_gives_them() {
    for (sql, expected) in [
        ("array_agg(shipping)", "price[]"),
        ("max(shipping)", "numeric"),
        ("array_agg(status)", "order_status[]"),
        ("mode() WITHIN GROUP (ORDER BY status)", "order_status"),
        (
            "percentile_cont(0.5) WITHIN GROUP (ORDER BY shipping)",
            "double precision",
        ),
        (
            "percentile_disc(0.5) WITHIN GROUP (ORDER BY id DESC)",
            "bigint",
        ),
        ("json_agg(note)", "json"),
    ] {
        let plan = plan(&format!(
            "SELECT customer_id, {sql} AS x FROM orders GROUP BY customer_id"
        ));
        assert_eq!(
            readside_pgtype::format_type(&plan.columns[1].ty, -1),
            expected,
            "{sql}"
        );
    }
}

#[test]
fn sums_of_floats_are_known_to_be_inexact_wherever_they_go() {
    for (sql, expected) in [
        ("SELECT customer_id, sum(shipping) AS s, count(*) AS n FROM orders GROUP BY customer_id", &[][..]),
        ("SELECT customer_id, sum(shipping::float8) AS s, count(*) AS n FROM orders GROUP BY customer_id", &[1]),
        ("SELECT c.id, (SELECT avg(o.id::real) FROM orders o WHERE o.customer_id = c.id) AS a FROM customers c", &[1]),
        (
            "SELECT c.id, c.name, jsonb_build_object('s', x.s) AS doc FROM customers c
             LEFT JOIN (SELECT customer_id, stddev(id::float8) AS s FROM orders GROUP BY customer_id ORDER BY customer_id LIMIT 3) x ON x.customer_id = c.id",
            &[2],
        ),
        ("SELECT max(s) AS m FROM (SELECT sum(id::float8) AS s FROM orders GROUP BY customer_id) x", &[0]),
    ] {
        assert_eq!(plan(sql).inexact, expected, "{sql}");
    }
}

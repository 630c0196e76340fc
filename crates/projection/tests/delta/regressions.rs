//! What random cases found, at its smallest.

use std::sync::Arc;

use crate::dice::Dice;
use crate::history::{Change, Row, Tables};
use crate::keeps;
use crate::schema::{ColumnSpec, Schema, TableSpec, Ty};
use crate::world::{World, rows_of};

/// Tables by columns; the first column is the key.
fn schema(tables: &[(&str, &[(&str, Ty)])]) -> Schema {
    let tables = tables
        .iter()
        .enumerate()
        .map(|(i, (name, columns))| TableSpec {
            oid: 100 + u32::try_from(i).unwrap(),
            name: (*name).to_owned(),
            columns: columns
                .iter()
                .enumerate()
                .map(|(i, (name, ty))| ColumnSpec {
                    name: (*name).to_owned(),
                    ty: *ty,
                    not_null: i == 0,
                })
                .collect(),
            key: 1,
            unique: None,
        });
    Schema {
        plain: false,
        tables: tables.collect(),
    }
}

/// A row, `-` for NULL.
fn row(text: &str) -> Row {
    text.split(' ')
        .map(|v| (v != "-").then(|| v.to_owned()))
        .collect()
}

/// A view over rows `table values`, and batches of changes: `+table values`, `-table values`, or `~table values` for an update by key.
fn kept(schema: &Schema, sql: &str, rows: &[&str], batches: &[&[&str]]) {
    let plan = Arc::new(readside_sql::compile("v", sql, &schema.catalog()).unwrap());
    let mut tables = Tables::empty(schema);
    let mut dice = Dice::new(1);
    let named = |text: &str| {
        let (name, values) = text.split_once(' ').unwrap();
        (
            schema.tables.iter().find(|t| t.name == name).unwrap(),
            row(values),
        )
    };
    for text in rows {
        let (table, row) = named(text);
        tables.apply(table, &Change::Insert(row));
    }
    let mut world = World::fill(schema, &plan, &tables);
    let mut before = rows_of(&mut world);
    for (number, batch) in batches.iter().enumerate() {
        let mut changes = Vec::new();
        for text in *batch {
            let (table, row) = named(&text[1..]);
            let change = match text.as_bytes()[0] {
                b'+' => Change::Insert(row),
                b'-' => Change::Delete(row),
                _ => {
                    let old = tables
                        .rows(table)
                        .find(|other| other[0] == row[0])
                        .unwrap()
                        .clone();
                    Change::Update { old, new: row }
                }
            };
            tables.apply(table, &change);
            changes.push((table, change));
        }
        let marked = world.apply(schema, &[changes], &mut dice);
        before = keeps(schema, &plan, &tables, &world, before, &marked, number);
    }
}

#[test]
fn a_nested_side_that_is_absent_is_not_an_outer_side_that_is() {
    let schema = schema(&[
        ("a", &[("id", Ty::Int)]),
        ("b", &[("id", Ty::Int), ("x", Ty::Int)]),
        ("c", &[("id", Ty::Int), ("x", Ty::Int)]),
    ]);
    let sql = "SELECT a.id AS g, count(*) AS n, string_agg(c.id::text, ',' ORDER BY c.id) AS ids
               FROM a LEFT JOIN (b LEFT JOIN c ON c.x = b.x) ON b.id = a.id GROUP BY a.id";
    kept(
        &schema,
        sql,
        &["a 1", "b 1 5", "c 7 5"],
        &[
            &["~a 1"],
            &["+c 8 5"],
            &["-c 7 5"],
            &["-c 8 5"],
            &["-b 1 5"],
            &["+b 1 5", "+c 9 5"],
        ],
    );
}

#[test]
fn not_in_hears_of_the_first_row_and_of_the_first_null() {
    let schema = schema(&[
        ("a", &[("id", Ty::Int), ("x", Ty::Int)]),
        ("b", &[("id", Ty::Int), ("x", Ty::Int)]),
    ]);
    for sql in [
        "SELECT a.id FROM a WHERE a.x NOT IN (SELECT b.x FROM b)",
        "SELECT a.id, a.x IN (SELECT b.x FROM b) AS found FROM a",
        "SELECT count(*) AS n FROM a WHERE a.x NOT IN (SELECT b.x FROM b)",
    ] {
        let batches: &[&[&str]] = &[
            &["+b 1 9"],
            &["+b 2 -"],
            &["-b 1 9"],
            &["-b 2 -"],
            &["+b 3 5"],
        ];
        kept(&schema, sql, &["a 1 5", "a 2 -", "a 3 6"], batches);
    }
}

#[test]
fn a_group_shows_its_first_rows_key_whatever_came_before() {
    let schema = schema(&[("a", &[("id", Ty::Int), ("x", Ty::Number)])]);
    for sql in [
        "SELECT x, count(*) AS n FROM a GROUP BY x",
        "SELECT DISTINCT x FROM a",
        "SELECT sum(DISTINCT x) AS s FROM a",
    ] {
        let batches: &[&[&str]] = &[
            &["+a 1 1.00"],
            &["-a 2 1.0"],
            &["+a 3 1"],
            &["-a 1 1.00"],
            &["~a 3 2.50"],
            &["+a 0 2.5"],
        ];
        kept(&schema, sql, &["a 2 1.0"], batches);
    }
}

#[test]
fn a_zero_that_changes_its_sign_is_a_change() {
    let schema = schema(&[("a", &[("id", Ty::Int), ("x", Ty::Float)])]);
    for sql in [
        "SELECT x, count(*) AS n FROM a GROUP BY x",
        "SELECT max(x) AS m, array_agg(x ORDER BY id) AS l, sum(DISTINCT x) AS s FROM a",
        "SELECT id, x FROM a ORDER BY id LIMIT 1",
    ] {
        kept(
            &schema,
            sql,
            &["a 1 -0"],
            &[&["~a 1 0"], &["+a 2 -0"], &["~a 1 -0"]],
        );
    }
}

#[test]
fn a_row_that_goes_uncovers_what_its_absence_joins() {
    let schema = schema(&[
        ("a", &[("id", Ty::Int)]),
        ("b", &[("id", Ty::Int), ("a", Ty::Int)]),
        ("c", &[("id", Ty::Int), ("n", Ty::Int)]),
    ]);
    let counted = "SELECT a.id, c.id AS c FROM a LEFT JOIN LATERAL (SELECT count(*) AS n FROM b WHERE b.a = a.id) x ON true LEFT JOIN c ON c.n = x.n";
    let coalesced = "SELECT a.id, c.id AS c FROM a LEFT JOIN b ON b.id = a.id LEFT JOIN c ON c.n = coalesce(b.a, 0)";
    let inner =
        "SELECT a.id, c.id AS c FROM a LEFT JOIN b ON b.id = a.id JOIN c ON c.n = coalesce(b.a, 0)";
    let nested = "SELECT c.id, EXISTS (SELECT 1 FROM a LEFT JOIN b ON b.id = a.id WHERE coalesce(b.a, 0) = c.n) AS found FROM c";
    for sql in [counted, coalesced, inner, nested] {
        let batches: &[&[&str]] = &[
            &["-b 1 1"],
            &["+b 1 1"],
            &["~b 1 2"],
            &["-b 1 2"],
            &["-a 1", "+b 1 1"],
        ];
        kept(
            &schema,
            sql,
            &["a 1", "b 1 1", "c 10 0", "c 11 1", "c 12 0"],
            batches,
        );
    }
}

#[test]
fn a_row_that_is_pushed_out_of_a_limit_counts_under_its_own_value() {
    let schema = schema(&[
        ("a", &[("id", Ty::Int), ("x", Ty::Int)]),
        ("b", &[("id", Ty::Int), ("x", Ty::Int)]),
    ]);
    let sql = "SELECT a.id, a.x IN (SELECT b.x FROM b WHERE b.id > a.id ORDER BY b.id LIMIT 1) AS first FROM a";
    let lateral = "SELECT a.id, l.x FROM a LEFT JOIN LATERAL (SELECT b.x FROM b WHERE b.id > a.id ORDER BY b.id LIMIT 1) l ON l.x = a.x";
    for sql in [sql, lateral] {
        kept(
            &schema,
            sql,
            &["a 1 5", "a 2 6", "b 9 5"],
            &[&["+b 8 6"], &["+b 7 1"], &["-b 8 6"], &["-b 7 1"]],
        );
    }
}

#[test]
fn a_condition_of_a_side_without_a_key_does_not_bind_the_rest() {
    let schema = schema(&[
        ("a", &[("id", Ty::Int), ("x", Ty::Int)]),
        ("b", &[("id", Ty::Int), ("x", Ty::Int)]),
    ]);
    let sql = "SELECT a.id, b.x FROM a LEFT JOIN b ON b.id = a.x AND a.id IN (1, 2)";
    kept(
        &schema,
        sql,
        &["b 5 1"],
        &[&["+a 1 5", "+a 3 5"], &["~a 3 4"], &["~b 5 2"], &["-a 3 4"]],
    );
}

#[test]
fn a_limit_keeps_rows_whose_key_is_null_or_absent() {
    let schema = schema(&[
        ("a", &[("id", Ty::Int), ("x", Ty::Int)]),
        ("b", &[("id", Ty::Int), ("x", Ty::Int)]),
    ]);
    kept(
        &schema,
        "SELECT a.x, count(*) AS n FROM a GROUP BY a.x ORDER BY count(*) DESC, a.x LIMIT 2",
        &["a 1 -", "a 2 -", "a 3 5"],
        &[
            &["+a 4 -"],
            &["+a 5 6", "+a 6 6"],
            &["-a 1 -", "-a 2 -"],
            &["~a 4 7"],
            &["~a 4 -", "-a 5 6"],
        ],
    );
    kept(
        &schema,
        "SELECT a.id, b.id AS b, b.x FROM a LEFT JOIN b ON b.x = a.x ORDER BY a.id, b.id LIMIT 3",
        &["a 1 5", "a 2 6", "b 7 5"],
        &[
            &["-b 7 5"],
            &["+b 7 5", "+b 8 5"],
            &["+b 9 6"],
            &["~b 8 6"],
            &["~a 1 -"],
            &["-a 2 6"],
        ],
    );
}

#[test]
fn ranks_move_with_the_rows_before_them() {
    let schema = schema(&[("a", &[("id", Ty::Int), ("x", Ty::Int), ("y", Ty::Int)])]);
    for sql in [
        "SELECT id, rank() OVER (PARTITION BY x ORDER BY y DESC) AS r, dense_rank() OVER (PARTITION BY x ORDER BY y DESC) AS d,
                row_number() OVER (ORDER BY y NULLS FIRST, id) AS n FROM a",
        "SELECT x, id FROM (SELECT id, x, row_number() OVER (PARTITION BY x ORDER BY y, id) AS n FROM a) r WHERE n = 1",
        "SELECT x, sum(y) AS s, rank() OVER (ORDER BY sum(y)) AS r FROM a GROUP BY x",
    ] {
        kept(
            &schema,
            sql,
            &["a 1 1 5", "a 2 1 5", "a 3 1 4", "a 4 - 2", "a 5 - -"],
            &[
                &["+a 6 1 5"],
                &["~a 1 1 3"],
                &["~a 4 1 9"],
                &["~a 2 - 1", "-a 3 1 4"],
                &["-a 5 - -", "-a 6 1 5"],
            ],
        );
    }
}

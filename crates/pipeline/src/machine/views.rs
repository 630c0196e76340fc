//! The views of the machine, and what they are on given tables by another way: a fresh engine over a fresh state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use readside_model::{
    Body, Catalog, Column, DocumentForm, Lsn, RelationKind, ReplicaIdentity, Table, UniqueIndex,
};
use readside_pgtype::Type;
use readside_plan::Plan;
use readside_projection::{Engine, GeneratedColumns, Rendered, ViewExec, ViewSpec, pending};
use readside_state::sim::SimBase;
use readside_state::{FlushMode, Options, State};

use super::source::{SHAPES, Shape, Tables};

/// Views by name; of each the ways in which it may be configured over time.
pub(super) const VIEWS: [(&str, &[&str]); 9] = [
    (
        "plain",
        &[
            "SELECT id, customer_id, status FROM orders WHERE status <> 'cancelled'",
            "SELECT id, customer_id, status FROM orders WHERE status = 'cancelled'",
            "SELECT id, customer_id, status, amount, note FROM orders",
        ],
    ),
    (
        "joined",
        &[
            "SELECT o.id, c.name, c.city, o.amount FROM orders o JOIN customers c ON c.id = o.customer_id",
        ],
    ),
    (
        "parent",
        &[
            "SELECT o.id, o.note, ARRAY(SELECT i.qty FROM items i WHERE i.order_id = o.id ORDER BY i.line) AS quantities, \
             (SELECT jsonb_agg(jsonb_build_object('line', i.line, 'price', i.price) ORDER BY i.line) FROM items i \
             WHERE i.order_id = o.id) AS items FROM orders o",
        ],
    ),
    (
        "per_customer",
        &[
            "SELECT c.id, c.name, count(o.id) AS orders, sum(o.amount) AS total, min(o.amount) AS least, max(o.note) AS note \
             FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name",
        ],
    ),
    (
        "totals",
        &["SELECT count(*) AS orders, sum(amount) AS total, avg(amount) AS mean FROM orders"],
    ),
    (
        "busy",
        &[
            "SELECT status, count(*) AS orders, max(amount) AS most FROM orders GROUP BY status HAVING count(*) > 1",
            "SELECT status, count(DISTINCT customer_id) AS customers, max(amount) AS most FROM orders GROUP BY status HAVING count(*) > 2",
        ],
    ),
    (
        "optional",
        &[
            "SELECT c.id AS customer, o.id AS order_id, c.bio, i.line, i.price FROM customers c \
           LEFT JOIN orders o ON o.customer_id = c.id LEFT JOIN items i ON i.order_id = o.id",
        ],
    ),
    (
        "latest",
        &[
            "SELECT DISTINCT ON (o.customer_id) o.customer_id, o.id, o.amount FROM orders o ORDER BY o.customer_id, o.id DESC",
        ],
    ),
    ("failing", &["SELECT id, 100 / amount AS share FROM orders"]),
];

/// The catalog.
pub(super) fn catalog() -> Catalog {
    Catalog {
        server_version: 150_000,
        search_path: vec!["pg_catalog".to_owned(), "public".to_owned()],
        default_collation_is_bytewise: true,
        default_ctype_is_c: false,
        default_collation: "C.UTF-8".to_owned(),
        tables: SHAPES.iter().map(|s| (s.oid, table(s))).collect(),
        views: BTreeMap::new(),
        types: BTreeMap::new(),
    }
}

fn table(shape: &Shape) -> Table {
    let ty = |oid| match oid {
        20 => Type::Int8,
        23 => Type::Int4,
        1700 => Type::Numeric,
        _ => Type::Text,
    };
    Table {
        oid: shape.oid,
        schema: "public".to_owned(),
        name: shape.name.to_owned(),
        kind: RelationKind::Table,
        columns: shape
            .columns
            .iter()
            .enumerate()
            .map(|(i, (name, oid))| Column {
                attnum: i16::try_from(i + 1).unwrap(),
                name: (*name).to_owned(),
                ty: ty(*oid),
                typmod: -1,
                not_null: shape.key.contains(&i),
                bytewise: true,
                ctype_is_c: false,
                deterministic: true,
                collation: None,
                generated: None,
            })
            .collect(),
        identity: shape.key.to_vec(),
        replica_identity: if shape.full {
            ReplicaIdentity::Full
        } else {
            ReplicaIdentity::PrimaryKey
        },
        unique: vec![UniqueIndex {
            name: format!("{}_pkey", shape.name),
            columns: shape.key.to_vec(),
            primary: true,
            nulls_not_distinct: false,
            immediate: true,
        }],
        leaves: Vec::new(),
        foreign_keys: Vec::new(),
        estimated_rows: -1,
        row_security: false,
    }
}

/// Compiles a view.
pub(super) fn compile(name: &str, sql: &str, catalog: &Catalog) -> Arc<Plan> {
    match readside_sql::compile(name, sql, catalog) {
        Ok(plan) => Arc::new(plan),
        Err(refusal) => panic!("{name}: {refusal}"),
    }
}

/// State options of a test: nothing happens by the clock.
pub(super) fn state_options() -> Options {
    Options {
        flush_bytes: usize::MAX / 8,
        flush_interval: Duration::ZERO,
        flush_mode: FlushMode::Deferred,
        ..Options::default()
    }
}

/// A row of a copy, as the columns that are to be loaded.
pub(super) fn copied(engine: &Engine, oid: u32, row: &[Option<String>]) -> Vec<Option<Bytes>> {
    let table = &engine.tables()[&oid].table;
    let wanted = engine.columns_to_load(oid);
    wanted
        .iter()
        .map(|name| {
            let at = table.columns.iter().position(|c| c.name == *name).unwrap();
            row[at]
                .as_ref()
                .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        })
        .collect()
}

/// What a view should be in a sink: bodies by key text, and keys whose row raises an error.
#[derive(Debug, Default, Clone)]
pub(super) struct Content {
    pub(super) json: BTreeMap<String, Body>,
    pub(super) columns: BTreeMap<String, Body>,
    pub(super) failed: BTreeSet<String>,
}

/// State and views as computed from given tables alone.
pub(super) struct Fresh {
    pub(super) state: State,
    pub(super) engine: Engine,
    pub(super) contents: BTreeMap<String, Content>,
}

/// Computes everything from scratch.
pub(super) fn fresh(catalog: &Catalog, plans: &[Arc<Plan>], tables: &Tables) -> Fresh {
    let mut state = State::with_base(Arc::new(SimBase::new()), state_options()).unwrap();
    let specs: Vec<ViewSpec> = plans
        .iter()
        .map(|plan| ViewSpec {
            plan: Arc::clone(plan),
            targets: vec!["fresh".to_owned()],
        })
        .collect();
    let (mut engine, needs) = Engine::open(
        &mut state,
        catalog,
        &GeneratedColumns::new(),
        &specs,
        &BTreeSet::new(),
    )
    .unwrap();
    for oid in &needs.tables {
        for row in tables[oid].values() {
            let (key, row) = engine
                .loaded_row(*oid, *oid, &copied(&engine, *oid, row))
                .unwrap();
            state.put(&key, &row).unwrap();
        }
    }
    state.commit(state.committed());
    for oid in &needs.tables {
        engine.adopt_table(&mut state, *oid, Lsn(1)).unwrap();
    }
    let mut contents = BTreeMap::new();
    for view in &needs.views {
        engine.fill(&mut state, view, &mut |_| Ok(())).unwrap();
        let exec = engine
            .views()
            .iter()
            .find(|v| v.plan.view == *view)
            .unwrap();
        contents.insert(view.clone(), content(&state, exec));
    }
    Fresh {
        state,
        engine,
        contents,
    }
}

fn content(state: &State, exec: &ViewExec) -> Content {
    let mut out = Content::default();
    let snapshot = state.snapshot().unwrap();
    let mut seen = BTreeSet::new();
    for queued in pending::queued(&snapshot, exec.targets[0], None, usize::MAX).unwrap() {
        let text = exec
            .sink_key(&snapshot, &queued.key)
            .unwrap()
            .text
            .to_string();
        assert!(
            seen.insert(text.clone()),
            "two keys of view `{}` have the text {text:?}",
            exec.plan.view
        );
        match exec
            .render(&snapshot, &queued.key, DocumentForm::Json)
            .unwrap()
        {
            Rendered::Absent => {}
            Rendered::Failed(_) => {
                out.failed.insert(text);
            }
            Rendered::Row(body) => {
                out.json.insert(text.clone(), body);
                if let Rendered::Row(body) = exec
                    .render(&snapshot, &queued.key, DocumentForm::Columns)
                    .unwrap()
                {
                    out.columns.insert(text, body);
                }
            }
        }
    }
    out
}

//! Views over real schemas, filled from a real Postgres' tables and compared with what Postgres returns for them.
//!
//! The schemas are those of `tests/assets/views`. `READSIDE_ACCEPTANCE` names a directory with more, as `<schema>/schema.sql`,
//! `<schema>/data.sql` and `<schema>/views/*.sql`. Each view is reported as exact, differing or refused.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use readside_model::{Body, Catalog, DocumentForm};
use readside_pgtype::{key_text, parse_value};
use readside_plan::{Plan, Relation};
use readside_projection::{
    Engine, GeneratedColumns, Rendered, ViewSpec, columns_to_load, loaded_row, pending,
};
use readside_source::{
    ExportedSnapshot, SnapshotReader, SourceConfig, SqlClient, column_difference, connect_sql,
    load_catalog,
};
use readside_state::sim::SimBase;
use readside_state::{Options, State};
use readside_tests::postgres::Postgres;

#[tokio::test(flavor = "multi_thread")]
async fn views_over_our_schemas_are_what_postgres_returns() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/assets/views");
    let found = judge(&root).await?;
    ensure!(found.exact > 90, "only {} views compared", found.exact);
    ensure!(found.refused.is_empty(), "refused: {:?}", found.refused);
    ensure!(found.wrong.is_empty(), "these differ: {:?}", found.wrong);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs READSIDE_ACCEPTANCE"]
async fn views_over_real_schemas_are_what_postgres_returns() -> Result<()> {
    let root = PathBuf::from(
        std::env::var("READSIDE_ACCEPTANCE").context("READSIDE_ACCEPTANCE is not set")?,
    );
    let found = judge(&root).await?;
    ensure!(found.wrong.is_empty(), "these differ: {:?}", found.wrong);
    Ok(())
}

/// How views fared.
#[derive(Debug, Default)]
struct Found {
    exact: usize,
    refused: Vec<String>,
    wrong: Vec<String>,
}

/// Compares every view below a directory.
async fn judge(root: &Path) -> Result<Found> {
    let postgres = Postgres::start(15, &[]).await?;
    let mut found = Found::default();
    for schema in subdirectories(root)? {
        if !schema.join("schema.sql").exists() {
            continue;
        }
        let name = schema.file_name().unwrap().to_string_lossy().into_owned();
        let url = postgres.create_database(&name).await?;
        for file in ["schema.sql", "data.sql"] {
            let psql = Command::new(postgres.programs()?.join("psql"))
                .args(["-qX", "-d", &url, "-f"])
                .arg(schema.join(file))
                .output()?;
            ensure!(
                psql.status.success(),
                "{name}/{file}: {}",
                String::from_utf8_lossy(&psql.stderr)
            );
        }
        let config = SourceConfig::parse(&url)?;
        let client = connect_sql(&config).await?;
        let catalog = load_catalog(&client).await?;
        for (view, sql) in views(&schema)? {
            let plan = match readside_sql::compile(&view, &sql, &catalog) {
                Ok(plan) => plan,
                Err(refusal) => {
                    let theirs = client.prepare(&sql).await.is_ok();
                    let theirs = if theirs { "takes" } else { "refuses too" };
                    println!("refused  {name}/{view}, which Postgres {theirs}: {refusal}");
                    found.refused.push(format!("{name}/{view}"));
                    continue;
                }
            };
            match compare(&config, &client, &catalog, plan).await {
                Ok(rows) => {
                    println!("exact    {name}/{view}: {rows} rows");
                    found.exact += 1;
                }
                Err(error) => {
                    println!("differs  {name}/{view}: {error:#}");
                    found.wrong.push(format!("{name}/{view}"));
                }
            }
        }
    }
    Ok(found)
}

/// The views of a schema by name: those of `views.sql`, each after a line `-- view: name`, and each file of `views/`.
fn views(schema: &Path) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    if let Ok(all) = std::fs::read_to_string(schema.join("views.sql")) {
        for view in all.split("-- view: ").skip(1) {
            let (name, sql) = view.split_once('\n').context("a view without a query")?;
            out.insert(name.trim().to_owned(), sql.to_owned());
        }
    }
    if schema.join("views").is_dir() {
        for file in std::fs::read_dir(schema.join("views"))? {
            let file = file?.path();
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            out.insert(name, std::fs::read_to_string(&file)?);
        }
    }
    Ok(out)
}

fn subdirectories(root: &Path) -> Result<Vec<PathBuf>> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(root)?
        .map(|f| Ok(f?.path()))
        .collect::<Result<_>>()?;
    out.retain(|p| p.is_dir());
    out.sort();
    Ok(out)
}

/// Fills an engine with the view's tables, and compares documents, columns and keys.
async fn compare(
    config: &SourceConfig,
    client: &SqlClient,
    catalog: &Catalog,
    plan: Plan,
) -> Result<usize> {
    let plan = Arc::new(plan);
    let described = client.prepare(&plan.sql).await?;
    let ours = plan.columns.iter().map(|c| (c.name.as_str(), &c.ty));
    if let Some(difference) = column_difference(described.columns(), ours, catalog) {
        bail!("{difference}");
    }
    let mut generated = GeneratedColumns::new();
    for stage in &plan.stages {
        for occurrence in &stage.block.occurrences {
            let Relation::Table(oid) = occurrence.relation else {
                continue;
            };
            for (i, column) in catalog.tables[&oid].columns.iter().enumerate() {
                if column.generated.is_some()
                    && let Ok(expr) =
                        readside_sql::compile_generated(&catalog.tables[&oid], i, catalog)
                {
                    generated.entry(oid).or_default().insert(i, expr);
                }
            }
        }
    }
    let mut state = State::with_base(Arc::new(SimBase::new()), Options::default())?;
    let spec = ViewSpec {
        plan: Arc::clone(&plan),
        targets: vec!["t".to_owned()],
    };
    let (mut engine, needs) =
        Engine::open(&mut state, catalog, &generated, &[spec], &BTreeSet::new())?;
    let snapshot = ExportedSnapshot::export(config, Duration::from_secs(10)).await?;
    let reader = SnapshotReader::import(config, &snapshot.name).await?;
    let lsn = snapshot.lsn;
    snapshot.release();
    for oid in &needs.tables {
        let table = &engine.tables()[oid];
        let leaves = if table.table.leaves.is_empty() {
            vec![*oid]
        } else {
            table.table.leaves.clone()
        };
        for leaf in leaves {
            let mut copy = reader
                .copy_table(leaf, &columns_to_load(table), None)
                .await?;
            while let Some(rows) = copy.next_batch(10_000, 1 << 24).await? {
                for row in rows {
                    let (key, row) = loaded_row(table, false, leaf, &row)?;
                    state.put(&key, &row)?;
                }
            }
        }
    }
    state.commit(state.committed());
    for oid in &needs.tables {
        engine.adopt_table(&mut state, *oid, lsn)?;
    }
    engine.fill(&mut state, &plan.view, &mut |_| Ok(()))?;
    let view = Arc::clone(&engine.views()[0]);
    let mut documents = BTreeMap::new();
    let mut columns = BTreeMap::new();
    for queued in pending::queued(&state, view.targets[0], None, usize::MAX)? {
        let key = view.sink_key(&state, &queued.key)?;
        match view.render(&state, &queued.key, DocumentForm::Json)? {
            Rendered::Row(Body::Json(text)) => {
                ensure!(
                    documents.insert(key.text.clone(), text).is_none(),
                    "two rows have key {}",
                    key.text
                );
            }
            other => bail!("key {} is {other:?}", key.text),
        }
        if let Rendered::Row(Body::Columns(texts)) =
            view.render(&state, &queued.key, DocumentForm::Columns)?
        {
            let mut all: Vec<Option<String>> = texts
                .iter()
                .map(|t| t.as_ref().map(|t| String::from_utf8_lossy(t).into_owned()))
                .collect();
            for (piece, part) in plan.key.pieces.iter().zip(&key.parts) {
                if piece.column.is_none() {
                    all.push(part.as_ref().map(ToString::to_string));
                }
            }
            columns.insert(key.text.clone(), all);
        }
    }
    let mut theirs = Vec::new();
    let query = format!("SELECT to_jsonb(v.*)::text FROM ({}) v", plan.sql);
    for row in client.query(&query, &[]).await? {
        theirs.push(loosen(&plan, &row.get::<_, String>(0)));
    }
    let mut ours: Vec<String> = documents
        .values()
        .map(|d| loosen(&plan, &String::from_utf8_lossy(d)))
        .collect();
    ours.sort();
    theirs.sort();
    first_difference(&ours, &theirs).context("documents")?;
    let mut rows = Vec::new();
    for message in client.simple_query(&plan.verify_sql).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            let hidden = plan.key.pieces.iter().filter(|p| p.column.is_none());
            let mut texts: Vec<Option<String>> = (0..row.len())
                .map(|i| row.get(i).map(str::to_owned))
                .collect();
            // A key is written in the form that all equal values share.
            for (text, piece) in texts.iter_mut().skip(plan.columns.len()).zip(hidden) {
                if let Some(text) = text {
                    *text = key_text(&parse_value(&piece.ty, text)?, &piece.ty);
                }
            }
            rows.push(show(&plan, &texts));
        }
    }
    let mut ours: Vec<String> = columns.values().map(|texts| show(&plan, texts)).collect();
    ours.sort();
    rows.sort();
    first_difference(&ours, &rows).context("columns and hidden keys")?;
    Ok(ours.len())
}

/// A document with what compares as a multiset sorted.
fn loosen(plan: &Plan, document: &str) -> String {
    if plan.unordered.is_empty() {
        return document.to_owned();
    }
    let mut object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(document).unwrap();
    for unordered in &plan.unordered {
        let name = &plan.columns[unordered.column].name;
        if let Some(serde_json::Value::Array(elements)) = object.get_mut(name) {
            elements.sort_by_key(ToString::to_string);
        }
    }
    serde_json::to_string(&object).unwrap()
}

fn show(plan: &Plan, texts: &[Option<String>]) -> String {
    let parts: Vec<String> = texts
        .iter()
        .enumerate()
        .filter(|(i, _)| !plan.unordered.iter().any(|u| u.column == *i))
        .map(|(_, t)| t.as_ref().map_or("NULL".to_owned(), |t| format!("{t:?}")))
        .collect();
    parts.join(", ")
}

fn first_difference(ours: &[String], theirs: &[String]) -> Result<()> {
    let mine: BTreeSet<&String> = ours.iter().collect();
    let other: BTreeSet<&String> = theirs.iter().collect();
    let extra: Vec<&&String> = mine.difference(&other).take(2).collect();
    let missing: Vec<&&String> = other.difference(&mine).take(2).collect();
    ensure!(
        ours == theirs,
        "{} rows against {}\n  ours only:   {extra:#?}\n  theirs only: {missing:#?}",
        ours.len(),
        theirs.len()
    );
    Ok(())
}

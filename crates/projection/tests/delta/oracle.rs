//! The same random views asked of a real Postgres.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use readside_model::{Body, DocumentForm};
use readside_pgtype::{key_text, parse_value};
use readside_projection::{Rendered, pending};
use readside_source::{SourceConfig, SqlClient, connect_sql};
use readside_tests::postgres::Postgres;
use tokio_postgres::SimpleQueryMessage;

use crate::dice::Dice;
use crate::history::{Tables, inserts};
use crate::number;
use crate::schema::{Schema, TYPES, TableSpec};
use crate::views::Views;
use crate::world::World;

const VIEWS: u64 = 40;

/// The hidden keys of a top-level LIMIT over a join come from the joined rows, not from the place of the row among the first.
#[tokio::test(flavor = "multi_thread")]
async fn first_rows_of_a_join_have_the_keys_of_their_rows() -> Result<()> {
    let postgres = Postgres::start(15, &[]).await?;
    let schema = Schema::random(&mut Dice::new(208), true);
    let client = database(&postgres, 208, &schema).await?;
    let mut tables = Tables::empty(&schema);
    let mut dice = Dice::new(1);
    for table in &schema.tables {
        for _ in 0..20 {
            tables.change(table, &mut dice, schema.plain);
        }
    }
    client.batch_execute(&inserts(&schema, &tables)).await?;
    let (a, b) = (&schema.tables[0], &schema.tables[1]);
    let key = |alias: &str, table: &TableSpec| -> Vec<String> {
        table.columns[..table.key]
            .iter()
            .map(|c| format!("{alias}.{}", c.name))
            .collect()
    };
    let order = [key("x", a), key("y", b)].concat().join(", ");
    let sql = format!(
        "SELECT 1 AS one FROM {} x CROSS JOIN {} y ORDER BY {order} LIMIT 3",
        a.name, b.name
    );
    ensure!(compare(&client, &schema, &tables, &sql).await?, "refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_views_are_what_postgres_returns() -> Result<()> {
    let postgres = Postgres::start(15, &[]).await?;
    let only = number("ORACLE_SEED");
    let from = number("ORACLE_FROM").unwrap_or(0);
    let cases = number("ORACLE_CASES").unwrap_or(6);
    let mut failed = Vec::new();
    let mut compared = 0;
    let seeds = match only {
        Some(only) => only / 1000..only / 1000 + 1,
        None => from..from + cases,
    };
    for seed in seeds {
        let mut dice = Dice::new(seed);
        let schema = Schema::random(&mut dice, true);
        let client = database(&postgres, seed, &schema).await?;
        let mut tables = Tables::empty(&schema);
        for table in &schema.tables {
            for _ in 0..dice.range(3, 14) {
                tables.change(table, &mut dice, schema.plain);
            }
        }
        client.batch_execute(&inserts(&schema, &tables)).await?;
        for number in 0..VIEWS {
            let id = seed * 1000 + number;
            if only.is_some_and(|only| only != id) {
                continue;
            }
            let sql = Views::new(&mut Dice::new(id), &schema, false).view();
            match compare(&client, &schema, &tables, &sql).await {
                Ok(true) => compared += 1,
                Ok(false) => {}
                Err(error) => {
                    println!("view {id}: {error:#}\n  {sql}");
                    if only.is_some() {
                        println!("{}", inserts(&schema, &tables));
                    }
                    failed.push(id);
                }
            }
        }
    }
    println!("{compared} views compared");
    ensure!(
        failed.is_empty(),
        "these differ: {failed:?}; replay one with ORACLE_SEED"
    );
    Ok(())
}

async fn database(postgres: &Postgres, seed: u64, schema: &Schema) -> Result<SqlClient> {
    let name = format!("s{seed}");
    let url = postgres.create_database(&name).await?;
    let client = connect_sql(&SourceConfig::parse(&url)?).await?;
    client.batch_execute(TYPES).await?;
    for table in &schema.tables {
        client.batch_execute(&table.ddl()).await?;
    }
    Ok(client)
}

/// Compares documents, and columns with the hidden keys; false if the view is refused.
async fn compare(client: &SqlClient, schema: &Schema, tables: &Tables, sql: &str) -> Result<bool> {
    let theirs = client
        .query(&format!("SELECT to_jsonb(v.*)::text FROM ({sql}) v"), &[])
        .await;
    let plan = match readside_sql::compile("v", sql, &schema.catalog()) {
        Ok(plan) => Arc::new(plan),
        Err(refusal) => {
            // What Postgres takes must be refused for a reason of ours.
            let text = refusal.to_string();
            ensure!(
                theirs.is_err() || !text.contains("syntax error"),
                "refused: {text}"
            );
            return Ok(false);
        }
    };
    let theirs = match theirs {
        Ok(rows) => rows,
        // A query that fails as a whole has no answer; nor does one that sorts or groups by a constant.
        Err(error) if error.code().is_some_and(|c| c.code().starts_with("22")) => return Ok(false),
        Err(error)
            if error
                .as_db_error()
                .is_some_and(|e| e.message().contains("non-integer constant")) =>
        {
            return Ok(false);
        }
        Err(error) => {
            return Err(
                anyhow::Error::from(error).context("accepted, but Postgres does not take it")
            );
        }
    };
    let world = World::fill(schema, &plan, tables);
    let view = Arc::clone(&world.engine.views()[0]);
    let mut documents = BTreeMap::new();
    let mut rows = Vec::new();
    for queued in pending::queued(&world.state, view.targets[0], None, usize::MAX)? {
        let key = view.sink_key(&world.state, &queued.key)?;
        let Rendered::Row(Body::Json(text)) =
            view.render(&world.state, &queued.key, DocumentForm::Json)?
        else {
            anyhow::bail!("key {} has no document", key.text);
        };
        ensure!(
            documents
                .insert(key.text.clone(), String::from_utf8(text.to_vec())?)
                .is_none(),
            "two rows have key {}",
            key.text
        );
        if let Rendered::Row(Body::Columns(texts)) =
            view.render(&world.state, &queued.key, DocumentForm::Columns)?
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
            rows.push(all);
        }
    }
    let mut ours: Vec<String> = documents.into_values().collect();
    let mut theirs: Vec<String> = theirs.iter().map(|row| row.get(0)).collect();
    ours.sort();
    theirs.sort();
    same(&ours, &theirs, "documents")?;
    let mut verified = Vec::new();
    for message in client.simple_query(&plan.verify_sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
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
            verified.push(texts);
        }
    }
    let shown = |rows: Vec<Vec<Option<String>>>| {
        let mut out: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        out.sort();
        out
    };
    same(&shown(rows), &shown(verified), "columns and hidden keys")?;
    Ok(true)
}

fn same(ours: &[String], theirs: &[String], what: &str) -> Result<()> {
    let only = |a: &[String], b: &[String]| {
        a.iter()
            .filter(|x| !b.contains(x))
            .take(2)
            .cloned()
            .collect::<Vec<_>>()
    };
    ensure!(
        ours == theirs,
        "{what}: {} rows against {}\n  ours only:   {:#?}\n  theirs only: {:#?}",
        ours.len(),
        theirs.len(),
        only(ours, theirs),
        only(theirs, ours)
    );
    Ok(())
}

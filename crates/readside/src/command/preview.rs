//! `preview VIEW`: some rows of a view, as each sink would get them.
//!
//! In: the view's SQL, run on the source. Out: for each row and sink the key and the document or the columns.

use std::fmt::Write;

use readside_model::{KeyPart, encode_key_text};
use readside_pgtype::{key_text, parse_value};
use readside_plan::Plan;
use readside_source::SqlClient;
use serde_json::json;
use tokio_postgres::SimpleQueryMessage;

use crate::cli::PreviewArgs;
use crate::config::{Config, Place, ViewConfig, ViewSinkConfig};
use crate::exit::{Ending, Failure};
use crate::output::{Output, Tone};
use crate::view;

/// A row of the view.
struct Row {
    /// The key text.
    key: String,
    /// The columns' texts in output order.
    columns: Vec<Option<String>>,
    /// `to_jsonb(row)::text`
    document: String,
}

pub(crate) async fn preview(
    config: &Config,
    args: &PreviewArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let view = view::find(config, &args.view).map_err(Failure::refused)?;
    if let Some(sink) = &args.sink
        && !view.into.iter().any(|into| into.sink == *sink)
    {
        let names: Vec<&str> = view.into.iter().map(|into| into.sink.as_str()).collect();
        return Err(Failure::refused(format_args!(
            "view `{}` is not written into a sink `{sink}`\n  hint: its sinks are {}",
            view.name,
            crate::config::quoted(&names)
        )));
    }
    let client = readside_source::connect_sql(&config.source.connection).await?;
    let catalog = readside_source::load_catalog(&client).await?;
    let plan = readside_sql::compile(&view.name, &view.sql, &catalog).map_err(Failure::refused)?;
    let rows = rows(&client, &plan, args.limit).await?;
    for into in &view.into {
        if args.sink.as_ref().is_none_or(|sink| *sink == into.sink) {
            show(view, into, &plan, &rows, output);
        }
    }
    if rows.is_empty() {
        output.note(format_args!("view `{}` has no rows", view.name));
    }
    Ok(Ending::Done)
}

/// Runs the oracle's query, hidden key columns included, with a limit.
async fn rows(client: &SqlClient, plan: &Plan, limit: u32) -> Result<Vec<Row>, Failure> {
    let mut hidden = String::new();
    for piece in plan.key.pieces.iter().filter(|p| p.column.is_none()) {
        let name = piece.name.replace('\'', "''");
        let _ = write!(hidden, " - '{name}'");
    }
    // The line break ends a comment that may stand last in the view.
    let sql = format!(
        "SELECT v.*, (to_jsonb(v.*){hidden})::text FROM ({}\n) AS v LIMIT {limit}",
        plan.verify_sql
    );
    let messages = client
        .simple_query(&sql)
        .await
        .map_err(|error| Failure::from(readside_source::SourceError::from(error)))?;
    let mut out = Vec::new();
    for message in messages {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let texts: Vec<Option<String>> = (0..row.len())
            .map(|i| row.get(i).map(str::to_owned))
            .collect();
        let (columns, rest) = texts
            .split_at_checked(plan.columns.len())
            .unwrap_or((&texts, &[]));
        let (document, hidden) = rest
            .split_last()
            .map_or((None, rest), |(d, h)| (d.clone(), h));
        out.push(Row {
            key: key_of(plan, columns, hidden),
            columns: columns.to_vec(),
            document: document.unwrap_or_default(),
        });
    }
    Ok(out)
}

/// The key text of a row. An absent side can't be told from NULL here; only a hidden or nullable piece can be either.
fn key_of(plan: &Plan, columns: &[Option<String>], hidden: &[Option<String>]) -> String {
    let mut hidden = hidden.iter();
    let parts: Vec<KeyPart> = plan
        .key
        .pieces
        .iter()
        .map(|piece| {
            let text = match piece.column {
                Some(column) => columns.get(column),
                None => hidden.next(),
            };
            let Some(Some(text)) = text else {
                return if piece.nullable_side.is_some() {
                    KeyPart::Absent
                } else {
                    KeyPart::Null
                };
            };
            KeyPart::Text(match parse_value(&piece.ty, text) {
                Ok(value) => key_text(&value, &piece.ty),
                Err(_) => text.clone(),
            })
        })
        .collect();
    encode_key_text(&parts)
}

fn show(view: &ViewConfig, into: &ViewSinkConfig, plan: &Plan, rows: &[Row], output: &Output) {
    let target = view::target(view, into, plan);
    let template = view::key_template(&target, &into.place);
    let place = match &into.place {
        Place::Index(index) => format!("index {index}"),
        Place::Table(table) => format!("table {table}"),
        Place::Key(Some(key)) => format!("key {key}"),
        Place::Key(None) => format!("key {}:…", view.name),
    };
    if !output.json {
        output.result(output.tint(
            &format!("{} → {}, {place}", view.name, into.sink),
            Tone::Dim,
        ));
    }
    for row in rows {
        let key = template
            .as_ref()
            .map_or_else(|| row.key.clone(), |t| t.render(&row.key));
        let columns = || {
            plan.columns
                .iter()
                .zip(&row.columns)
                .map(|(column, text)| (column.name.clone(), text.clone()))
        };
        match (&into.place, output.json) {
            (Place::Table(_), true) => {
                let columns: Vec<serde_json::Value> = columns()
                    .map(|(name, value)| json!({ "name": name, "value": value }))
                    .collect();
                output.json_result(&json!({
                    "view": view.name, "sink": into.sink, "key": key, "columns": columns,
                }));
            }
            (Place::Index(_) | Place::Key(_), true) => output.json_result(&json!({
                "view": view.name, "sink": into.sink, "key": key, "document": row.document,
            })),
            (Place::Table(_), false) => {
                output.result(output.tint(&key, Tone::Good));
                for (name, value) in columns() {
                    let value = value.unwrap_or_else(|| output.tint("NULL", Tone::Dim));
                    output.result(format_args!("  {name}: {value}"));
                }
            }
            (Place::Index(_) | Place::Key(_), false) => {
                output.result(format_args!(
                    "{}\n  {}",
                    output.tint(&key, Tone::Good),
                    row.document
                ));
            }
        }
    }
}

//! `explain VIEW`: the plan.

use readside_pgtype::format_type;
use readside_plan::Plan;
use serde_json::json;

use crate::cli::ExplainArgs;
use crate::config::Config;
use crate::exit::{Ending, Failure};
use crate::output::Output;
use crate::view;

pub(crate) async fn explain(
    config: &Config,
    args: &ExplainArgs,
    output: &Output,
) -> Result<Ending, Failure> {
    let view = view::find(config, &args.view).map_err(Failure::refused)?;
    let client = readside_source::connect_sql(&config.source.connection).await?;
    let catalog = readside_source::load_catalog(&client).await?;
    let plan = readside_sql::compile(&view.name, &view.sql, &catalog).map_err(Failure::refused)?;
    view::described(&client, &catalog, &plan)
        .await
        .map_err(Failure::refused)?;
    let mut text = readside_sql::explain(&plan, &catalog);
    text.push_str(&readside_projection::explain_paths(&plan, &catalog).map_err(Failure::stopped)?);
    if output.json {
        output.json_result(&as_json(&plan, &text));
    } else {
        output.result(text.trim_end());
    }
    Ok(Ending::Done)
}

fn as_json(plan: &Plan, text: &str) -> serde_json::Value {
    json!({
        "view": plan.view,
        "key": plan.key.pieces.iter().map(|piece| json!({
            "name": piece.name,
            "type": format_type(&piece.ty, -1),
            "shown": piece.column.is_some(),
            "nullable": piece.nullable,
        })).collect::<Vec<_>>(),
        "columns": plan.columns.iter().map(|column| json!({
            "name": column.name,
            "type": format_type(&column.ty, column.typmod),
            "not_null": column.not_null,
        })).collect::<Vec<_>>(),
        "stages": plan.stages.iter().map(|stage| json!({
            "label": stage.label,
            "relations": stage.block.occurrences.iter().map(|o| o.alias.as_str()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "warnings": plan.warnings,
        "fingerprint": plan.fingerprint,
        "text": text,
    })
}

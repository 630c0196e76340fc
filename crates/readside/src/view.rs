//! Views as a whole: compiled against a catalog, checked against their sinks, laid out as targets.
//!
//! In: the configuration and the source's catalog. Out: a plan for each view, or every refusal at once.

use std::collections::{BTreeMap, BTreeSet};

use readside_model::Catalog;
use readside_plan::{Plan, Relation};
use readside_sink::{TargetColumn, ViewTarget};
use readside_sinks::KeyTemplate;
use readside_source::{SqlClient, column_difference};
use readside_sql::compile;

use crate::config::{Config, Place, SinkKind, ViewConfig, ViewSinkConfig};

/// Compiles every view. Refusals are in the order of the views' names.
pub(crate) fn compile_all(
    config: &Config,
    catalog: &Catalog,
) -> (BTreeMap<String, Plan>, Vec<String>) {
    let mut plans = BTreeMap::new();
    let mut refusals = Vec::new();
    for view in config.views.values() {
        match compile(&view.name, &view.sql, catalog) {
            Ok(plan) => {
                for into in &view.into {
                    refusals.extend(place_refusal(config, view, into, &plan));
                }
                plans.insert(view.name.clone(), plan);
            }
            Err(refusal) => refusals.push(refusal.to_string()),
        }
    }
    (plans, refusals)
}

/// What speaks against this view at this place of this sink, now that its key and columns are known.
fn place_refusal(
    config: &Config,
    view: &ViewConfig,
    into: &ViewSinkConfig,
    plan: &Plan,
) -> Option<String> {
    let sink = config.sinks.get(&into.sink)?;
    match sink.kind {
        SinkKind::Redis => {
            let target = target(view, into, plan);
            KeyTemplate::parse(
                &target.location,
                &view.name,
                &target.columns,
                &target.key,
            )
            .err()
            .map(|error| format!("view `{}` in sink `{}`: {error}", view.name, into.sink))
        }
        SinkKind::Elasticsearch | SinkKind::Postgres => duplicate_column(plan).map(|name| {
            format!(
                "view `{}` in sink `{}`: two columns are called `{name}`\n  hint: name one of them with AS",
                view.name, into.sink
            )
        }),
    }
}

fn duplicate_column(plan: &Plan) -> Option<&str> {
    let mut seen = BTreeSet::new();
    plan.columns
        .iter()
        .map(|c| c.name.as_str())
        .find(|name| !seen.insert(*name))
}

/// How a view is laid out in a sink.
pub(crate) fn target(view: &ViewConfig, into: &ViewSinkConfig, plan: &Plan) -> ViewTarget {
    ViewTarget {
        view: view.name.clone(),
        location: into.location(),
        columns: plan
            .columns
            .iter()
            .map(|c| TargetColumn {
                name: c.name.clone(),
                ty: c.ty.clone(),
                typmod: c.typmod,
                not_null: c.not_null,
            })
            .collect(),
        key: plan.key.pieces.iter().map(|p| p.column).collect(),
        key_nullable: plan.key.pieces.is_empty()
            || plan
                .key
                .pieces
                .iter()
                .any(|p| p.nullable || p.column.is_none()),
        mapping: into.mapping.clone(),
        generation: 1,
    }
}

/// The oids of the tables (roots of partitioned ones) that the plans read.
pub(crate) fn tables_of<'p>(plans: impl IntoIterator<Item = &'p Plan>) -> BTreeSet<u32> {
    plans
        .into_iter()
        .flat_map(|plan| &plan.stages)
        .flat_map(|stage| &stage.block.occurrences)
        .filter_map(|occurrence| match occurrence.relation {
            Relation::Table(oid) => Some(oid),
            Relation::Stage(_) | Relation::Query(_) | Relation::Grouping => None,
        })
        .collect()
}

/// The view of this name, or what to say to whoever asked.
pub(crate) fn find<'c>(config: &'c Config, name: &str) -> Result<&'c ViewConfig, String> {
    config.views.get(name).ok_or_else(|| {
        let names: Vec<&str> = config.views.keys().map(String::as_str).collect();
        let hint = match crate::config::nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is {}", crate::config::quoted(&names)),
        };
        format!("view `{name}` is not configured\n  hint: {hint}")
    })
}

/// Whether a place is a Redis key, for `preview`.
pub(crate) fn key_template(target: &ViewTarget, place: &Place) -> Option<KeyTemplate> {
    match place {
        Place::Key(_) => {
            KeyTemplate::parse(&target.location, &target.view, &target.columns, &target.key).ok()
        }
        Place::Index(_) | Place::Table(_) => None,
    }
}

/// Compares a plan's columns with what the source says of its query. A difference means that readside understands the query
/// otherwise than Postgres does, so it must not be run.
pub(crate) async fn described(
    client: &SqlClient,
    catalog: &Catalog,
    plan: &Plan,
) -> Result<(), String> {
    let view = &plan.view;
    let statement = client.prepare(&plan.sql).await.map_err(|error| {
        let said = error
            .as_db_error()
            .map_or_else(|| error.to_string(), |db| db.message().to_owned());
        format!("view `{view}`: Postgres refuses the query: {said}")
    })?;
    let ours = plan.columns.iter().map(|c| (c.name.as_str(), &c.ty));
    if let Some(difference) = column_difference(statement.columns(), ours, catalog) {
        return Err(format!(
            "view `{view}`: {difference}\n  hint: please report this query"
        ));
    }
    Ok(())
}

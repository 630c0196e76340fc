//! A plan in words: key, stages, what is remembered, warnings.

use std::collections::BTreeSet;
use std::fmt::Write;

use readside_expr::Expr;
use readside_model::Catalog;
use readside_plan::{Block, Head, Plan, Query, Relation, Stage, SubqueryKind};

use crate::arena::each_expr;
use crate::type_facts;

/// What `explain` prints of a plan. Paths and indexes are known to the projection only.
#[must_use]
pub fn explain(plan: &Plan, catalog: &Catalog) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "view {}", plan.view);
    let _ = writeln!(out, "  key: {}", key(plan));
    for (i, stage) in plan.stages.iter().enumerate() {
        let _ = writeln!(out, "  stage {i}: {}", stage.label);
        let _ = writeln!(out, "    from: {}", from(plan, &stage.block, catalog));
        let rows = names(&stage.block, &stage.block.key);
        if !rows.is_empty() {
            let _ = writeln!(out, "    rows keyed by: {rows}");
        }
        let nested = stage
            .block
            .subqueries
            .iter()
            .filter(|s| !matches!(s.kind, SubqueryKind::Exists))
            .count();
        if nested > 0 {
            let _ = writeln!(out, "    subqueries evaluated per row: {nested}");
        }
        match &stage.head {
            Head::Sink => {}
            Head::Group { keys, aggregates } => {
                let columns: Vec<String> = stage
                    .columns
                    .iter()
                    .map(|c| format!("{} {}", c.name, type_facts::name(&c.ty)))
                    .collect();
                let _ = writeln!(
                    out,
                    "    remembered: one row per {}, {} aggregate{}: {}",
                    if keys.is_empty() { "view" } else { "group" },
                    aggregates.len(),
                    if aggregates.len() == 1 { "" } else { "s" },
                    columns.join(", ")
                );
            }
            Head::TopN {
                partition, limit, ..
            } => {
                let rows = match limit {
                    &u64::MAX => "all rows".to_owned(),
                    limit => format!("the first {limit}"),
                };
                let _ = writeln!(
                    out,
                    "    remembered: {rows} per {} partition column(s), in order",
                    partition.len()
                );
            }
        }
    }
    for column in &plan.unordered {
        if let Some(column) = plan.columns.get(column.column) {
            let _ = writeln!(
                out,
                "  note: the order inside `{}` is not defined by the query; it is compared as a multiset",
                column.name
            );
        }
    }
    for column in plan.inexact.iter().filter_map(|i| plan.columns.get(*i)) {
        let _ = writeln!(
            out,
            "  note: `{}` adds floats, which Postgres rounds at each step: it is compared but for the last digits",
            column.name
        );
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "  warning: {warning}");
    }
    out
}

fn key(plan: &Plan) -> String {
    if plan.key.pieces.is_empty() {
        return "none, the view has one row".to_owned();
    }
    plan.key
        .pieces
        .iter()
        .map(|p| {
            let hidden = if p.column.is_none() { " (hidden)" } else { "" };
            format!("{}{hidden}", p.name)
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn from(plan: &Plan, block: &Block, catalog: &Catalog) -> String {
    let occs = block
        .query
        .from
        .as_ref()
        .map(readside_plan::FromItem::occurrences)
        .unwrap_or_default();
    if occs.is_empty() {
        return "nothing".to_owned();
    }
    occs.iter()
        .filter_map(|occ| block.occurrences.get(usize::from(occ.0)))
        .map(|o| match &o.relation {
            Relation::Table(oid) => match catalog.tables.get(oid) {
                Some(table) if table.name == o.alias => table.display_name(),
                Some(table) => format!("{} {}", table.display_name(), o.alias),
                None => o.alias.clone(),
            },
            Relation::Stage(id) => match plan.stages.get(usize::from(id.0)) {
                Some(stage) => format!("stage {} ({})", id.0, stage.label),
                None => format!("stage {}", id.0),
            },
            Relation::Query(_) => format!("subquery {}", o.alias),
            Relation::Grouping => o.alias.clone(),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn names(block: &Block, occs: &[readside_expr::OccId]) -> String {
    occs.iter()
        .filter_map(|occ| block.occurrences.get(usize::from(occ.0)))
        .map(|o| o.alias.clone())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The table columns that a stage reads: oid and column index.
pub(crate) fn columns_read(stage: &Stage) -> BTreeSet<(u32, usize)> {
    let block = &stage.block;
    let mut out = BTreeSet::new();
    let mut read = |e: &Expr| {
        e.walk(&mut |part| {
            if let Expr::Column(c) = part
                && let Some(o) = block.occurrences.get(usize::from(c.occ.0))
                && let Relation::Table(oid) = o.relation
            {
                out.insert((oid, usize::from(c.column)));
            }
        });
    };
    let mut visit = |query: &Query| each_expr(query, &mut |e| read(e));
    visit(&block.query);
    for o in &block.occurrences {
        if let Relation::Query(query) = &o.relation {
            visit(query);
        }
    }
    for subquery in &block.subqueries {
        visit(&subquery.query);
    }
    match &stage.head {
        Head::Sink => {}
        Head::Group { keys, aggregates } => {
            keys.iter().for_each(&mut read);
            for call in aggregates {
                call.args.iter().for_each(&mut read);
                call.order.iter().for_each(|k| read(&k.expr));
                call.filter.iter().for_each(&mut read);
            }
        }
        Head::TopN {
            partition, order, ..
        } => {
            partition.iter().for_each(&mut read);
            order.iter().for_each(|k| read(&k.expr));
        }
    }
    for subquery in &block.subqueries {
        if let SubqueryKind::In { equals, .. } = &subquery.kind {
            read(equals);
        }
    }
    out
}

//! What a plan costs at run time, for `explain`: the way from a change to the view's rows, and the indexes kept for it.
//!
//! In: a plan and the catalog. Out: text; no state is needed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use readside_expr::Expr;
use readside_model::Catalog;
use readside_plan::{Plan, Relation};

use crate::access::{Access, IndexDef, Step};
use crate::load::row_key;
use crate::view::{Known, StageExec, ViewExec, stage_key};
use crate::{ProjectionError, RelationId};

/// Paths and indexes of a plan.
///
/// # Errors
/// When the plan cannot be run.
pub fn explain_paths(plan: &Plan, catalog: &Catalog) -> Result<String, ProjectionError> {
    let mut indexes: Vec<IndexDef> = Vec::new();
    let mut index = |def: IndexDef| -> u32 {
        let at = indexes
            .iter()
            .position(|known| *known == def)
            .unwrap_or_else(|| {
                indexes.push(def);
                indexes.len() - 1
            });
        u32::try_from(at).unwrap_or(u32::MAX)
    };
    let stage_ids: Vec<u32> = (0..plan.stages.len())
        .map(|i| u32::try_from(i).unwrap_or(u32::MAX))
        .collect();
    let mut known = Known {
        table_keys: &|oid| {
            let Some(table) = catalog.tables.get(&oid) else {
                return Vec::new();
            };
            let key = row_key(table).unwrap_or_default();
            key.into_iter()
                .map(|k| {
                    (
                        u16::try_from(k).unwrap_or(u16::MAX),
                        table.columns[k].ty.clone(),
                    )
                })
                .collect()
        },
        table_columns: &|oid| catalog.tables.get(&oid).map_or(0, |t| t.columns.len()),
        table_not_null: &|oid, column| {
            let table = catalog.tables.get(&oid);
            table
                .and_then(|t| t.columns.get(usize::from(column)))
                .is_some_and(|c| c.not_null)
        },
        stages: plan
            .stages
            .iter()
            .zip(&stage_ids)
            .map(|(stage, id)| {
                let (key, single) = stage_key(stage);
                (*id, key, single)
            })
            .collect(),
        indexes: &mut index,
    };
    let view = ViewExec::new(Arc::new(plan.clone()), &stage_ids, Vec::new(), &mut known)?;
    let mut out = String::from("paths:\n");
    for (i, (stage, exec)) in plan.stages.iter().zip(&view.stages).enumerate() {
        for (occurrence, occ) in stage.block.occurrences.iter().zip(&exec.block.occs) {
            let Some(lift) = &occ.lift else { continue };
            let of = match occurrence.relation {
                Relation::Table(oid) => catalog
                    .tables
                    .get(&oid)
                    .map_or_else(|| oid.to_string(), |t| t.display_name()),
                Relation::Stage(id) => format!("stage {}", id.0 + 1),
                Relation::Query(_) | Relation::Grouping => continue,
            };
            let _ = write!(out, "  stage {}: a change of `{}` ({of})", i + 1, occ.alias);
            let mut ways: Vec<String> = Vec::new();
            steps(&lift.steps, exec, &indexes, plan, catalog, &mut ways);
            for variant in &lift.variants {
                steps(&variant.steps, exec, &indexes, plan, catalog, &mut ways);
            }
            if ways.is_empty() {
                out.push_str(" names its row");
            } else {
                let _ = write!(out, " leads to {}", ways.join(", then "));
            }
            if lift.global {
                out.push_str("; it touches every row of the view");
            }
            out.push('\n');
        }
    }
    out.push_str("indexes:\n");
    if indexes.is_empty() {
        out.push_str("  none\n");
    }
    for def in &indexes {
        let _ = writeln!(out, "  {}", index_text(def, plan, catalog));
    }
    Ok(out)
}

fn steps(
    steps: &[Step],
    exec: &StageExec,
    indexes: &[IndexDef],
    plan: &Plan,
    catalog: &Catalog,
    out: &mut Vec<String>,
) {
    for step in steps {
        let Step::Bind { occ, access, .. } = step else {
            continue;
        };
        let alias = exec
            .block
            .occs
            .get(usize::from(occ.0))
            .map_or("?", |o| o.alias.as_str());
        out.push(match access {
            Access::Key(_) | Access::Fixed => format!("`{alias}` by its key"),
            Access::Index { id, .. } => {
                match usize::try_from(*id).ok().and_then(|id| indexes.get(id)) {
                    Some(def) => format!(
                        "`{alias}` by the index on {}",
                        index_text(def, plan, catalog)
                    ),
                    None => format!("`{alias}` by an index"),
                }
            }
            Access::Scan | Access::Nested => format!("every row of `{alias}`"),
        });
    }
}

fn index_text(def: &IndexDef, plan: &Plan, catalog: &Catalog) -> String {
    let names: BTreeMap<u16, String>;
    let of = match def.relation {
        RelationId::Table(oid) => {
            let table = catalog.tables.get(&oid);
            names = table.map_or_else(BTreeMap::new, |t| {
                numbered(t.columns.iter().map(|c| c.name.clone()))
            });
            table.map_or_else(|| oid.to_string(), |t| t.display_name())
        }
        RelationId::Stage(id) => {
            let stage = usize::try_from(id).ok().and_then(|id| plan.stages.get(id));
            names = stage.map_or_else(BTreeMap::new, |s| {
                numbered(s.columns.iter().map(|c| c.name.clone()))
            });
            format!("stage {}", id + 1)
        }
    };
    let parts: Vec<String> = def
        .parts
        .iter()
        .map(|(expr, _)| match expr {
            Expr::Column(c) => names
                .get(&c.column)
                .cloned()
                .unwrap_or_else(|| "?".to_owned()),
            _ => "an expression".to_owned(),
        })
        .collect();
    format!("{of} ({})", parts.join(", "))
}

fn numbered(names: impl Iterator<Item = String>) -> BTreeMap<u16, String> {
    names
        .enumerate()
        .map(|(i, name)| (u16::try_from(i).unwrap_or(u16::MAX), name))
        .collect()
}

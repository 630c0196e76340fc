//! The entry points: a view, and a generated column.

use readside_expr::{Expr, OccId};
use readside_model::{Catalog, Table};
use readside_plan::{Plan, Relation};
use sha2::{Digest, Sha256};
use sqlparser::tokenizer::Span;

use crate::arena::NamedColumn;
use crate::bind::{Binder, column_of_table};
use crate::planner::Planner;
use crate::refusal::{Checked, Problem, Refusal};
use crate::scope::{NamedTable, Names, Scope};
use crate::syntax::{parse_expression, parse_view, without_semicolon};
use crate::type_facts;

/// Raised whenever the same plan would give other rows.
const COMPILER_VERSION: u32 = 2;

/// Compiles the SQL of a view.
///
/// # Errors
/// What is not supported, with its position, the reason and what to write instead.
pub fn compile(view: &str, sql: &str, catalog: &Catalog) -> Result<Plan, Refusal> {
    let mut plan = plan(view, sql, catalog).map_err(|p| p.into_refusal(view, sql))?;
    plan.fingerprint = fingerprint(&plan);
    Ok(plan)
}

fn plan(view: &str, sql: &str, catalog: &Catalog) -> Checked<Plan> {
    let syntax = parse_view(sql)?;
    let mut binder = Binder::new(catalog);
    let bound = binder.query(&syntax, &Scope::ROOT)?;
    if bound.columns.is_empty() {
        return Err(Problem::hinted(
            Span::empty(),
            "the select list is empty",
            "name at least one column",
        ));
    }
    for (at, column) in bound.columns.iter().enumerate() {
        if let Some(earlier) = bound.columns[..at]
            .iter()
            .position(|c| c.name == column.name)
        {
            return Err(Problem::hinted(
                bound.spans.get(at).copied().unwrap_or_else(Span::empty),
                format!(
                    "columns {} and {} of the output are both named \"{}\"",
                    earlier + 1,
                    at + 1,
                    column.name
                ),
                "give each column a name of its own with AS",
            ));
        }
    }
    let planner = Planner::new(binder.arena, binder.texts);
    let plan = planner.plan(view, without_semicolon(sql), &syntax, bound)?;
    check_generated(&plan, catalog)?;
    Ok(plan)
}

/// Compiles the expression of a generated column over the table's columns, which are those of `OccId(0)`.
///
/// # Errors
/// An expression that is not supported; the refusal's view is `schema.table.column`.
pub fn compile_generated(table: &Table, column: usize, catalog: &Catalog) -> Result<Expr, Refusal> {
    let name = table.columns.get(column).map_or("?", |c| c.name.as_str());
    let shown = format!("{}.{name}", table.display_name());
    let text = table
        .columns
        .get(column)
        .and_then(|c| c.generated.as_ref())
        .map_or("", |g| g.expression.as_str());
    generated(table, column, text, catalog).map_err(|p| p.into_refusal(&shown, text))
}

fn generated(table: &Table, column: usize, text: &str, catalog: &Catalog) -> Checked<Expr> {
    let Some(target) = table.columns.get(column) else {
        return Err(Problem::at(Span::empty(), "there is no such column"));
    };
    let syntax = parse_expression(text)?;
    let mut binder = Binder::new(catalog);
    let occ: OccId = binder.arena.add_occ(
        Relation::Table(table.oid),
        table.name.clone(),
        Span::empty(),
    )?;
    let mut columns = Vec::new();
    for (i, c) in table.columns.iter().enumerate() {
        columns.push(NamedColumn {
            name: c.name.clone(),
            typed: column_of_table(catalog, occ, i, c, Span::empty())?,
        });
    }
    let names = Names {
        columns: columns.clone(),
        tables: vec![NamedTable {
            alias: table.name.clone(),
            schema: Some(table.schema.clone()),
            columns,
            occ: Some(occ),
            nullable: false,
        }],
    };
    let scope = Scope {
        parent: None,
        ctes: &[],
        names: Some(&names),
        level: None,
    };
    let typed = binder.expression(&syntax, &scope)?;
    let shown = type_facts::name(&target.ty);
    readside_expr::cast(
        typed,
        &target.ty,
        target.typmod,
        readside_expr::CastContext::Assignment,
    )
    .map(|t| t.expr)
    .map_err(|e| {
        Problem::at(
            Span::empty(),
            format!(
                "the generated value does not fit type {shown}: {}",
                e.message
            ),
        )
    })
}

/// A view may read a generated column only if readside can compute it: the stream does not always carry it.
fn check_generated(plan: &Plan, catalog: &Catalog) -> Checked<()> {
    for stage in &plan.stages {
        for (table, column) in crate::explain::columns_read(stage) {
            let Some(table) = catalog.tables.get(&table) else {
                continue;
            };
            let is_generated = table
                .columns
                .get(column)
                .is_some_and(|c| c.generated.is_some());
            if is_generated && let Err(refusal) = compile_generated(table, column, catalog) {
                return Err(Problem::hinted(
                    Span::empty(),
                    format!(
                        "generated column `{}` cannot be computed by readside: {}",
                        refusal.view, refusal.message
                    ),
                    "leave the column out of the view, or write an expression over its base columns",
                ));
            }
        }
    }
    Ok(())
}

/// A digest of everything that determines the rows.
fn fingerprint(plan: &Plan) -> String {
    let mut plan = plan.clone();
    plan.warnings.clear();
    let mut digest = Sha256::new();
    digest.update(COMPILER_VERSION.to_be_bytes());
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(format!("{plan:?}"));
    digest
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            use std::fmt::Write;
            let _ = write!(text, "{byte:02x}");
            text
        })
}

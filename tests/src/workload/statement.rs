//! Random statements.

use std::collections::BTreeMap;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::catalog::{Catalog, Kind, Table};
use super::{Summary, value};

/// A row as texts, by column.
type Row = Vec<Option<String>>;

/// Writes statements into the open transaction of a session.
pub(super) struct Author<'a> {
    client: &'a Client,
    catalog: &'a Catalog,
    rng: &'a mut StdRng,
    summary: &'a mut Summary,
    toast: f64,
}

impl<'a> Author<'a> {
    pub(super) fn new(
        client: &'a Client,
        catalog: &'a Catalog,
        rng: &'a mut StdRng,
        summary: &'a mut Summary,
        toast: f64,
    ) -> Self {
        Self {
            client,
            catalog,
            rng,
            summary,
            toast,
        }
    }

    /// One statement, or a few that belong together, on a random table.
    pub(super) async fn any(&mut self, rows_max: i64) -> Result<()> {
        let table = self.rng.random_range(0..self.catalog.tables.len());
        let rows = self.count(table, "").await?;
        let full = rows > rows_max;
        match self.rng.random_range(0..100) {
            0..34 if !full => self.insert(table).await,
            // Few rows are kept, so that there is something to change.
            0..34 | 87..97 if rows < 5 => self.insert(table).await,
            0..34 | 87..97 => self.delete(table).await,
            34..60 => self.update(table).await,
            60..69 => self.reparent(table).await,
            69..74 => self.change_key(table).await,
            74..79 => self.update_many(table).await,
            79..82 => self.touch(table).await,
            82..87 => self.replace(table).await,
            _ => self.upsert(table).await,
        }
    }

    /// Runs a statement in a savepoint of its own; whether it succeeded.
    async fn run(&mut self, kind: &'static str, sql: &str) -> Result<bool> {
        self.client.batch_execute("SAVEPOINT one").await?;
        let (end, counts) = match self.client.batch_execute(sql).await {
            Ok(()) => ("RELEASE SAVEPOINT one", &mut self.summary.statements),
            Err(error) if error.as_db_error().is_some() => {
                ("ROLLBACK TO SAVEPOINT one", &mut self.summary.failed)
            }
            Err(error) => return Err(error.into()),
        };
        *counts.entry(kind).or_default() += 1;
        let succeeded = end.starts_with("RELEASE");
        self.client.batch_execute(end).await?;
        Ok(succeeded)
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Row>> {
        let answer = self.client.simple_query(sql).await?;
        Ok(answer
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|i| row.get(i).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect())
    }

    async fn count(&self, table: usize, condition: &str) -> Result<i64> {
        let name = &self.catalog.tables[table].name;
        let rows = self
            .rows(&format!("SELECT count(*) FROM {name} {condition}"))
            .await?;
        let count = rows.first().and_then(|row| row.first()?.as_ref());
        Ok(count.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Up to `many` random rows that meet a condition.
    async fn pick(&mut self, table: usize, condition: &str, many: i64) -> Result<Vec<Row>> {
        let count = self.count(table, condition).await?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let offset = self.rng.random_range(0..=(count - many).max(0));
        let table = &self.catalog.tables[table];
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|c| format!("{}::text", c.name))
            .collect();
        let order: Vec<String> = table
            .key
            .iter()
            .map(|at| format!("{}::text COLLATE \"C\"", table.columns[*at].name))
            .collect();
        self.rows(&format!(
            "SELECT {} FROM {} {condition} ORDER BY {} OFFSET {offset} LIMIT {many}",
            columns.join(", "),
            table.name,
            order.join(", ")
        ))
        .await
    }

    /// Values for foreign keys, from rows that are there; `None` if there are none where there must be.
    async fn parents(
        &mut self,
        table: usize,
        only: Option<usize>,
    ) -> Result<Option<BTreeMap<usize, Option<String>>>> {
        let mut values: BTreeMap<usize, Option<String>> = BTreeMap::new();
        let catalog = self.catalog;
        for (number, key) in catalog.tables[table].foreign_keys.iter().enumerate() {
            if only.is_some_and(|only| only != number) {
                continue;
            }
            let nullable = key
                .columns
                .iter()
                .all(|at| !catalog.tables[table].columns[*at].not_null);
            let leave_out = nullable
                && self
                    .rng
                    .random_bool(if key.target == table { 0.5 } else { 0.15 });
            // Columns that an earlier key has set bind this one.
            let target = &catalog.tables[key.target];
            let bound: Vec<String> = key
                .columns
                .iter()
                .zip(&key.target_columns)
                .filter_map(|(at, there)| {
                    let value = values.get(at)?;
                    Some(equals(target, *there, value.as_deref()))
                })
                .collect();
            let condition = if bound.is_empty() {
                String::new()
            } else {
                format!("WHERE {}", bound.join(" AND "))
            };
            let parent = if leave_out {
                None
            } else {
                self.pick(key.target, &condition, 1).await?.pop()
            };
            if parent.is_none() && !nullable {
                return Ok(None);
            }
            for (at, there) in key.columns.iter().zip(&key.target_columns) {
                let value = parent.as_ref().and_then(|row| row[*there].clone());
                values.entry(*at).or_insert(value);
            }
        }
        Ok(Some(values))
    }

    /// A new row's columns and values; `None` if it has no parent.
    async fn new_row(
        &mut self,
        table: usize,
        keep: &BTreeMap<usize, Option<String>>,
    ) -> Result<Option<BTreeMap<usize, Option<String>>>> {
        let Some(mut values) = self.parents(table, None).await? else {
            return Ok(None);
        };
        values.extend(keep.clone());
        let catalog = self.catalog;
        for (at, column) in catalog.tables[table].columns.iter().enumerate() {
            if values.contains_key(&at) || column.computed {
                continue;
            }
            if column.has_default && (column.kind == Kind::Other || self.rng.random_bool(0.85)) {
                continue;
            }
            values.insert(at, value::random(self.rng, column, self.toast));
        }
        Ok(Some(values))
    }

    pub(super) async fn insert(&mut self, table: usize) -> Result<()> {
        if let Some(values) = self.new_row(table, &BTreeMap::new()).await? {
            let sql = insert(&self.catalog.tables[table], &values);
            self.run("insert", &sql).await?;
        }
        Ok(())
    }

    async fn upsert(&mut self, table: usize) -> Result<()> {
        let catalog = self.catalog;
        let target = &catalog.tables[table];
        let Some(row) = self.pick(table, "", 1).await?.pop() else {
            return self.insert(table).await;
        };
        if !target.has_primary_key {
            return self.insert(table).await;
        }
        let keep = target
            .key
            .iter()
            .map(|at| (*at, row[*at].clone()))
            .collect();
        let Some(values) = self.new_row(table, &keep).await? else {
            return Ok(());
        };
        let key: Vec<&str> = target
            .key
            .iter()
            .map(|at| target.columns[*at].name.as_str())
            .collect();
        let set: Vec<String> = values
            .keys()
            .filter(|at| !target.key.contains(at))
            .map(|at| format!("{0} = EXCLUDED.{0}", target.columns[*at].name))
            .collect();
        let action = if set.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", set.join(", "))
        };
        let sql = format!(
            "{} ON CONFLICT ({}) DO {action}",
            insert(target, &values),
            key.join(", ")
        );
        self.run("upsert", &sql).await?;
        Ok(())
    }

    /// Columns that are neither key nor reference.
    fn plain(&self, table: usize) -> Vec<usize> {
        let table = &self.catalog.tables[table];
        (0..table.columns.len())
            .filter(|at| {
                let in_key = table.has_primary_key && table.key.contains(at);
                let refers = table
                    .foreign_keys
                    .iter()
                    .any(|key| key.columns.contains(at));
                !in_key
                    && !refers
                    && !table.columns[*at].computed
                    && table.columns[*at].kind != Kind::Other
            })
            .collect()
    }

    async fn update(&mut self, table: usize) -> Result<()> {
        let plain = self.plain(table);
        let Some(row) = self.pick(table, "", 1).await?.pop() else {
            return Ok(());
        };
        let many = self.rng.random_range(1..=3);
        let columns: Vec<usize> = plain.choose_multiple(self.rng, many).copied().collect();
        let mut values = BTreeMap::new();
        for at in columns {
            let column = &self.catalog.tables[table].columns[at];
            values.insert(at, value::random(self.rng, column, self.toast));
        }
        self.change("update", table, &row, &values).await
    }

    async fn change(
        &mut self,
        kind: &'static str,
        table: usize,
        row: &Row,
        values: &BTreeMap<usize, Option<String>>,
    ) -> Result<()> {
        if !values.is_empty() {
            let table = &self.catalog.tables[table];
            let sql = format!(
                "UPDATE {} SET {} WHERE {}",
                table.name,
                assignments(table, values),
                identifies(table, row)
            );
            self.run(kind, &sql).await?;
        }
        Ok(())
    }

    async fn update_many(&mut self, table: usize) -> Result<()> {
        let plain = self.plain(table);
        let many = self.rng.random_range(2..15);
        let rows = self.pick(table, "", many).await?;
        let Some(at) = plain.choose(self.rng).copied() else {
            return Ok(());
        };
        if rows.is_empty() {
            return Ok(());
        }
        let table = &self.catalog.tables[table];
        let value = value::random(self.rng, &table.columns[at], self.toast);
        let rows: Vec<String> = rows
            .iter()
            .map(|row| format!("({})", identifies(table, row)))
            .collect();
        let sql = format!(
            "UPDATE {} SET {} WHERE {}",
            table.name,
            assignments(table, &BTreeMap::from([(at, value)])),
            rows.join(" OR ")
        );
        self.run("update many", &sql).await?;
        Ok(())
    }

    /// An update that changes nothing: long values travel as "unchanged".
    async fn touch(&mut self, table: usize) -> Result<()> {
        let Some(at) = self.plain(table).choose(self.rng).copied() else {
            return Ok(());
        };
        if let Some(row) = self.pick(table, "", 1).await?.pop() {
            let table = &self.catalog.tables[table];
            let sql = format!(
                "UPDATE {} SET {1} = {1} WHERE {2}",
                table.name,
                table.columns[at].name,
                identifies(table, &row)
            );
            self.run("touch", &sql).await?;
        }
        Ok(())
    }

    async fn reparent(&mut self, table: usize) -> Result<()> {
        let keys = self.catalog.tables[table].foreign_keys.len();
        if keys == 0 {
            return self.update(table).await;
        }
        let Some(row) = self.pick(table, "", 1).await?.pop() else {
            return Ok(());
        };
        let only = self.rng.random_range(0..keys);
        match self.parents(table, Some(only)).await? {
            Some(values) => self.change("reparent", table, &row, &values).await,
            None => Ok(()),
        }
    }

    async fn change_key(&mut self, table: usize) -> Result<()> {
        let catalog = self.catalog;
        let target = &catalog.tables[table];
        let free: Vec<usize> = target
            .key
            .iter()
            .copied()
            .filter(|at| {
                target.has_primary_key
                    && !target.columns[*at].computed
                    && !target
                        .foreign_keys
                        .iter()
                        .any(|key| key.columns.contains(at))
            })
            .collect();
        let Some(at) = free.choose(self.rng).copied() else {
            return self.reparent(table).await;
        };
        let Some(row) = self.pick(table, "", 1).await?.pop() else {
            return Ok(());
        };
        let value = value::random(self.rng, &target.columns[at], 0.0);
        self.change("change key", table, &row, &BTreeMap::from([(at, value)]))
            .await
    }

    async fn delete(&mut self, table: usize) -> Result<()> {
        let Some(row) = self.pick(table, "", 1).await?.pop() else {
            return Ok(());
        };
        let catalog = self.catalog;
        let target = &catalog.tables[table];
        // Children that would forbid it go first, as an application does it; sometimes.
        if self.rng.random_bool(0.6) {
            for child in &catalog.tables {
                for key in child.foreign_keys.iter().filter(|key| key.target == table) {
                    let condition: Vec<String> = key
                        .columns
                        .iter()
                        .zip(&key.target_columns)
                        .map(|(at, there)| equals(child, *at, row[*there].as_deref()))
                        .collect();
                    let sql = format!(
                        "DELETE FROM {} WHERE {}",
                        child.name,
                        condition.join(" AND ")
                    );
                    self.run("delete children", &sql).await?;
                }
            }
        }
        let sql = format!(
            "DELETE FROM {} WHERE {}",
            target.name,
            identifies(target, &row)
        );
        self.run("delete", &sql).await?;
        Ok(())
    }

    /// Deletes a row and inserts another one with its key, in one transaction.
    async fn replace(&mut self, table: usize) -> Result<()> {
        let Some(row) = self.pick(table, "", 1).await?.pop() else {
            return Ok(());
        };
        let catalog = self.catalog;
        let target = &catalog.tables[table];
        let sql = format!(
            "DELETE FROM {} WHERE {}",
            target.name,
            identifies(target, &row)
        );
        if !target.has_primary_key || !self.run("replace", &sql).await? {
            return Ok(());
        }
        let keep = target
            .key
            .iter()
            .filter(|at| !target.columns[**at].computed)
            .map(|at| (*at, row[*at].clone()))
            .collect();
        if let Some(values) = self.new_row(table, &keep).await? {
            self.run("replace", &insert(target, &values)).await?;
        }
        Ok(())
    }

    pub(super) async fn truncate(&mut self) -> Result<()> {
        let catalog = self.catalog;
        let leaves: Vec<&Table> = catalog
            .tables
            .iter()
            .filter(|table| !table.is_referenced)
            .collect();
        let leaf = leaves.choose(self.rng).copied();
        let table = match leaf {
            Some(leaf) if self.rng.random_bool(0.85) => leaf,
            _ => &catalog.tables[self.rng.random_range(0..catalog.tables.len())],
        };
        let cascade = if table.is_referenced { " CASCADE" } else { "" };
        self.run("truncate", &format!("TRUNCATE {}{cascade}", table.name))
            .await?;
        Ok(())
    }
}

fn literal(value: Option<&str>, sql_type: &str) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(text) => format!("'{}'::{sql_type}", text.replace('\'', "''")),
    }
}

/// `column = value`, NULLs included; by text for types without an equality.
fn equals(table: &Table, at: usize, value: Option<&str>) -> String {
    let column = &table.columns[at];
    match value {
        None => format!("{} IS NULL", column.name),
        Some(_) if column.kind == Kind::Json || column.kind == Kind::Other => {
            format!("{}::text = {}", column.name, literal(value, "text"))
        }
        Some(_) => format!("{} = {}", column.name, literal(value, &column.sql_type)),
    }
}

fn identifies(table: &Table, row: &Row) -> String {
    let parts: Vec<String> = table
        .key
        .iter()
        .map(|at| equals(table, *at, row[*at].as_deref()))
        .collect();
    parts.join(" AND ")
}

fn assignments(table: &Table, values: &BTreeMap<usize, Option<String>>) -> String {
    let parts: Vec<String> = values
        .iter()
        .map(|(at, value)| {
            let column = &table.columns[*at];
            format!(
                "{} = {}",
                column.name,
                literal(value.as_deref(), &column.sql_type)
            )
        })
        .collect();
    parts.join(", ")
}

fn insert(table: &Table, values: &BTreeMap<usize, Option<String>>) -> String {
    if values.is_empty() {
        return format!("INSERT INTO {} DEFAULT VALUES", table.name);
    }
    let names: Vec<&str> = values
        .keys()
        .map(|at| table.columns[*at].name.as_str())
        .collect();
    let values: Vec<String> = values
        .iter()
        .map(|(at, value)| literal(value.as_deref(), &table.columns[*at].sql_type))
        .collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        names.join(", "),
        values.join(", ")
    )
}

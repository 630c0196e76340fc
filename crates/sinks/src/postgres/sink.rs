//! Postgres as a sink.
//!
//! In: everything pending at one moment, by view. Out: one transaction: rows staged by COPY, merged, and the marker.
//!
//! Always: readers see whole batches; a batch is applied once or not at all, and the marker with it. A row that the server
//! refuses is found by bisection between savepoints and left out.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use readside_model::{Body, DocumentForm};
use readside_sink::{
    Batch, Fence, Marker, MarkerClaim, Outcome, Page, Row, Sink, SinkError, ViewTarget, Visibility,
    Write, WriterScope, decode_marker, encode_marker, forget_views,
};
use readside_source::{SourceConfig, SqlClient};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::SimpleQueryRow;

use super::config::PostgresConfig;
use super::connection::{
    Live, MARKER_TABLE, TABLES_TABLE, connect, execute, holds, read_marker, rows, table_exists,
    within,
};
use super::copy::{MESSAGE_BYTES, put_line};
use super::error::WriteError;
use super::table::{Table, literal, quoted};

const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
const READ_KEYS_MAX: usize = 500;
const SERVER_VERSION_MIN: i32 = 130_000;
const SCHEMA_COMMENT: &str = "made by readside";

/// A reporting Postgres.
pub(crate) struct PostgresSink {
    config: SourceConfig,
    schema: String,
    instance: String,
    claim: MarkerClaim,
    tables: RwLock<Arc<Vec<Table>>>,
    /// `pg_class.oid` of each table, as it was prepared.
    oids: RwLock<Vec<Option<String>>>,
    writer: Mutex<Option<Live>>,
    reader: Mutex<Option<SqlClient>>,
}

impl PostgresSink {
    pub(crate) fn new(
        config: &PostgresConfig,
        instance: &str,
        owner_epoch: &str,
    ) -> Result<PostgresSink, SinkError> {
        Ok(PostgresSink {
            schema: config.schema.clone(),
            config: config.connection()?,
            instance: instance.to_owned(),
            claim: MarkerClaim::new(owner_epoch),
            tables: RwLock::new(Arc::new(Vec::new())),
            oids: RwLock::new(Vec::new()),
            writer: Mutex::new(None),
            reader: Mutex::new(None),
        })
    }

    /// The writing connection, taken out: what fails or is cancelled leaves none behind, and the next use fences.
    async fn take(&self, slot: &mut MutexGuard<'_, Option<Live>>) -> Result<Live, SinkError> {
        match slot.take() {
            Some(live) if !live.client.is_closed() => Ok(live),
            _ => Live::open(&self.config, &self.schema, &self.instance, &self.claim).await,
        }
    }

    fn tables(&self) -> Arc<Vec<Table>> {
        Arc::clone(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn table(&self, target: usize) -> Result<Table, SinkError> {
        self.tables()
            .get(target)
            .cloned()
            .ok_or_else(|| SinkError::Operator {
                message: format!("target {target} was not prepared"),
                hint: "report this as a defect".to_owned(),
            })
    }

    async fn read(&self, sql: &str) -> Result<Vec<SimpleQueryRow>, SinkError> {
        let mut slot = self.reader.lock().await;
        let client = match slot.take() {
            Some(client) if !client.is_closed() => client,
            _ => connect(&self.config, "readside reader").await?,
        };
        let rows = rows(&client, sql).await?;
        *slot = Some(client);
        Ok(rows)
    }

    /// The oids of these tables; `None` for one that is not there.
    async fn oids_of(&self, tables: &[Table]) -> Result<Vec<Option<String>>, SinkError> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<String> = tables
            .iter()
            .map(|table| format!("to_regclass({})::oid", literal(&table.path())))
            .collect();
        let found = self.read(&format!("SELECT {}", list.join(", "))).await?;
        let row = found.first();
        Ok((0..tables.len())
            .map(|i| row.and_then(|row| row.get(i)).map(str::to_owned))
            .collect())
    }

    /// The schema, the tables for what we keep, and our row.
    async fn create_own(&self, live: &mut Live) -> Result<(), SinkError> {
        let schema = quoted(&[&self.schema]);
        let exists = holds(
            &live.client,
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
            &[&self.schema],
        )
        .await?;
        if !exists {
            let sql = format!(
                "CREATE SCHEMA IF NOT EXISTS {schema}; COMMENT ON SCHEMA {schema} IS {}",
                literal(SCHEMA_COMMENT)
            );
            execute(&live.client, &sql).await?;
        }
        if !table_exists(&live.client, &self.schema, TABLES_TABLE).await? {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY, instance text NOT NULL, view text NOT NULL)",
                quoted(&[&self.schema, TABLES_TABLE])
            );
            execute(&live.client, &sql).await?;
        }
        if !table_exists(&live.client, &self.schema, MARKER_TABLE).await? {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {} (instance text PRIMARY KEY, fence bigint NOT NULL, \
                 position pg_lsn, marker text)",
                quoted(&[&self.schema, MARKER_TABLE])
            );
            execute(&live.client, &sql).await?;
            live.fence = None;
        }
        if live.fence.is_none() {
            live.raise_fence(&self.schema, &self.instance).await?;
        }
        Ok(())
    }

    /// Whose a table of this name is: instance and view.
    async fn owner(
        &self,
        client: &SqlClient,
        name: &str,
    ) -> Result<Option<(String, String)>, SinkError> {
        let sql = format!(
            "SELECT instance, view FROM {} WHERE name = {}",
            quoted(&[&self.schema, TABLES_TABLE]),
            literal(name)
        );
        let rows = rows(client, &sql).await?;
        Ok(rows
            .first()
            .and_then(|row| Some((row.get(0)?.to_owned(), row.get(1)?.to_owned()))))
    }

    /// Takes a view out of the stored marker whose table is about to be made anew.
    async fn forget(&self, client: &SqlClient, target: &ViewTarget) -> Result<(), SinkError> {
        let Some(stored) = read_marker(client, &self.schema, &self.instance).await? else {
            return Ok(());
        };
        let Some(text) = forget_views(&stored, &[(&target.view, target.generation)])? else {
            return Ok(());
        };
        let judged = self.claim.judge(Some(&stored));
        let sql = format!(
            "UPDATE {} SET marker = {} WHERE instance = {} AND marker = {}",
            quoted(&[&self.schema, MARKER_TABLE]),
            literal(&text),
            literal(&self.instance),
            literal(&stored)
        );
        execute(client, &sql).await?;
        // What this life has not read or written yet, it still has to.
        if judged.is_ok() && self.claim.accepted().is_some() {
            self.claim.written(&text);
        }
        Ok(())
    }

    async fn create_table(
        &self,
        live: &Live,
        table: &Table,
        target: &ViewTarget,
    ) -> Result<(), SinkError> {
        let client = &live.client;
        let ours = (self.instance.clone(), table.view.clone());
        let register = format!(
            "INSERT INTO {} (name, instance, view) VALUES ({}, {}, {}) \
             ON CONFLICT (name) DO UPDATE SET instance = EXCLUDED.instance, view = EXCLUDED.view",
            quoted(&[&self.schema, TABLES_TABLE]),
            literal(&table.name),
            literal(&self.instance),
            literal(&table.view)
        );
        if !table_exists(client, &self.schema, &table.name).await? {
            self.forget(client, target).await?;
            let sql = format!("BEGIN; {}; {register}; COMMIT", table.create());
            return execute(client, &sql).await;
        }
        let owner = self.owner(client, &table.name).await?;
        if owner.as_ref() != Some(&ours) {
            let message = match owner {
                None => format!("table {} is not readside's", table.path()),
                Some((instance, view)) if instance == self.instance => {
                    format!("table {} belongs to view `{view}`", table.path())
                }
                Some(_) => format!("table {} belongs to another readside", table.path()),
            };
            return Err(SinkError::Operator {
                message,
                hint: "set `table` for this view to a name that is free, or remove that table"
                    .to_owned(),
            });
        }
        if self.has_shape(client, table).await? {
            return Ok(());
        }
        let empty = holds(
            client,
            &format!("SELECT NOT EXISTS (SELECT FROM {})", table.path()),
            &[],
        )
        .await?;
        if !empty {
            return Err(SinkError::Operator {
                message: format!(
                    "table {} has other columns or another key than view `{}`",
                    table.path(),
                    table.view
                ),
                hint: format!(
                    "`DROP TABLE {}` so that it is made anew and filled, or set `table` for this view to another name",
                    table.path()
                ),
            });
        }
        self.forget(client, target).await?;
        let sql = format!(
            "BEGIN; DROP TABLE {}; {}; COMMIT",
            table.path(),
            table.create()
        );
        execute(client, &sql).await
    }

    /// Whether a table has the columns and the primary key that it should have, by letting the server make such a one.
    async fn has_shape(&self, client: &SqlClient, table: &Table) -> Result<bool, SinkError> {
        execute(client, &format!("BEGIN; {}", table.create_shape())).await?;
        let sql = format!(
            "WITH shapes AS (SELECT c.relname = 'readside_shape' AND c.relpersistence = 't' AS wanted, \
             (SELECT array_agg(ROW(a.attname, a.atttypid, a.atttypmod)::text ORDER BY a.attnum) FROM pg_attribute a \
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns, \
             (SELECT array_agg(a.attname ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, n) \
              JOIN pg_attribute a ON a.attnum = k.attnum \
              WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid) AS key \
             FROM pg_class c WHERE c.oid IN ('pg_temp.readside_shape'::regclass, {}::regclass)) \
             SELECT count(*) = 1 FROM (SELECT DISTINCT columns, key FROM shapes) s",
            literal(&table.path())
        );
        let same = holds(client, &sql, &[]).await;
        execute(client, "ROLLBACK").await?;
        same
    }

    /// Merges these writes; a row that is refused by itself is an outcome.
    async fn merge(
        &self,
        live: &mut Live,
        table: &Table,
        target: usize,
        writes: &[Write],
    ) -> Result<Vec<Outcome>, SinkError> {
        let mut outcomes = vec![Outcome::Applied; writes.len()];
        if writes.is_empty() {
            return Ok(outcomes);
        }
        if live.staged.insert(target) {
            execute(&live.client, &table.create_stage(target)).await?;
        }
        let mut ranges: Vec<Range<usize>> = Vec::new();
        ranges.push(0..writes.len());
        while let Some(range) = ranges.pop() {
            let Some(part) = writes.get(range.clone()) else {
                continue;
            };
            match stage_and_merge(&live.client, table, target, part).await {
                Ok(()) => {}
                Err(WriteError::Sink(error)) => return Err(error),
                Err(WriteError::Row(reason)) => {
                    execute(
                        &live.client,
                        "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part",
                    )
                    .await?;
                    if range.len() == 1 {
                        outcomes[range.start] = Outcome::Refused(reason);
                    } else {
                        let middle = range.start + range.len() / 2;
                        ranges.push(middle..range.end);
                        ranges.push(range.start..middle);
                    }
                }
            }
        }
        Ok(outcomes)
    }

    async fn apply(&self, live: &mut Live, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError> {
        let tables = self.tables();
        live.begin(&self.schema, &self.instance, &self.claim)
            .await?;
        let mut outcomes = Vec::with_capacity(batch.views.len());
        for view in &batch.views {
            let table = match tables.get(view.target) {
                Some(table) => table,
                None => return Err(self.table(view.target).err().unwrap_or_else(gone)),
            };
            outcomes.push(self.merge(live, table, view.target, &view.writes).await?);
        }
        let text = batch.marker.as_ref().map(encode_marker).transpose()?;
        self.commit(live, text.as_deref(), Some(&batch.position.to_string()))
            .await?;
        Ok(outcomes)
    }

    /// Ends the transaction, with the marker if there is a new one.
    async fn commit(
        &self,
        live: &Live,
        marker: Option<&str>,
        position: Option<&str>,
    ) -> Result<(), SinkError> {
        let Some(text) = marker else {
            return execute(&live.client, "COMMIT").await;
        };
        let position = position.map(|p| format!(", position = {}", literal(p)));
        let sql = format!(
            "UPDATE {} SET marker = {}{} WHERE instance = {}; COMMIT",
            quoted(&[&self.schema, MARKER_TABLE]),
            literal(text),
            position.unwrap_or_default(),
            literal(&self.instance)
        );
        self.claim.attempted(text);
        execute(&live.client, &sql).await?;
        self.claim.written(text);
        Ok(())
    }

    async fn drop_table(&self, client: &SqlClient, table: &Table) -> Result<(), SinkError> {
        let owner = self.owner(client, &table.name).await?;
        if owner != Some((self.instance.clone(), table.view.clone())) {
            return Ok(());
        }
        // Never CASCADE: what others built on it stays, and the error names it.
        let sql = format!(
            "BEGIN; DROP TABLE IF EXISTS {}; DELETE FROM {} WHERE name = {}; COMMIT",
            table.path(),
            quoted(&[&self.schema, TABLES_TABLE]),
            literal(&table.name)
        );
        execute(client, &sql).await
    }

    /// Our tables where no instance needs them any more, and the schema if we made it and it is empty.
    async fn drop_own(&self, client: &SqlClient) -> Result<(), SinkError> {
        let marker = quoted(&[&self.schema, MARKER_TABLE]);
        let tables = quoted(&[&self.schema, TABLES_TABLE]);
        let sql = format!(
            "DELETE FROM {marker} WHERE instance = {}",
            literal(&self.instance)
        );
        execute(client, &sql).await?;
        let unused = format!(
            "SELECT NOT EXISTS (SELECT FROM {marker}) AND NOT EXISTS (SELECT FROM {tables})"
        );
        if !holds(client, &unused, &[]).await? {
            return Ok(());
        }
        execute(client, &format!("DROP TABLE {marker}, {tables}")).await?;
        let ours = "SELECT EXISTS (SELECT FROM pg_namespace n WHERE nspname = $1 AND obj_description(oid, 'pg_namespace') = $2 \
            AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid) \
            AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid) \
            AND NOT EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid))";
        if holds(client, ours, &[&self.schema, &SCHEMA_COMMENT]).await? {
            execute(client, &format!("DROP SCHEMA {}", quoted(&[&self.schema]))).await?;
        }
        Ok(())
    }
}

fn gone() -> SinkError {
    SinkError::Lost("the table is gone".to_owned())
}

/// One part of a batch inside a savepoint.
async fn stage_and_merge(
    client: &SqlClient,
    table: &Table,
    target: usize,
    writes: &[Write],
) -> Result<(), WriteError> {
    let stage = table.stage(target);
    within::<_, WriteError>(client.batch_execute(&format!("SAVEPOINT part; DELETE FROM {stage}")))
        .await?;
    let copy = format!("COPY {stage} FROM STDIN");
    let sink = within::<_, WriteError>(client.copy_in::<_, Bytes>(&copy)).await?;
    let mut sink = std::pin::pin!(sink);
    let mut message = BytesMut::with_capacity(MESSAGE_BYTES * 2);
    for write in writes {
        put_line(&mut message, table, write)?;
        if message.len() >= MESSAGE_BYTES {
            within::<_, WriteError>(sink.send(message.split().freeze())).await?;
        }
    }
    if !message.is_empty() {
        within::<_, WriteError>(sink.send(message.freeze())).await?;
    }
    within::<_, WriteError>(sink.as_mut().finish()).await?;
    let mut sql = String::new();
    if writes.iter().any(|w| w.body.is_none()) {
        sql.push_str(&table.merge_deletes(target));
        sql.push_str("; ");
    }
    if writes.iter().any(|w| w.body.is_some()) {
        sql.push_str(&table.merge_rows(target));
        sql.push_str("; ");
    }
    sql.push_str("RELEASE SAVEPOINT part");
    within::<_, WriteError>(client.batch_execute(&sql)).await
}

/// A row of a page or of [`Table::of_keys`]: the key text, then the columns.
fn row(table: &Table, found: &SimpleQueryRow) -> Option<Row> {
    let body = (0..table.columns.len())
        .map(|i| {
            found
                .get(i + 1)
                .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        })
        .collect();
    Some(Row {
        key: Arc::from(found.get(0)?),
        body: Body::Columns(body),
    })
}

#[async_trait]
impl Sink for PostgresSink {
    fn form(&self) -> DocumentForm {
        DocumentForm::Columns
    }

    fn visibility(&self) -> Visibility {
        Visibility::Immediate
    }

    fn writer_scope(&self) -> WriterScope {
        WriterScope::PerSink
    }

    fn batch_bytes_max(&self) -> usize {
        BATCH_BYTES_MAX
    }

    async fn check(&self) -> Result<Vec<String>, SinkError> {
        let client = connect(&self.config, "readside check").await?;
        let sql = format!(
            "SELECT current_setting('server_version_num'), pg_is_in_recovery(), \
             has_database_privilege(current_database(), 'TEMPORARY'), \
             CASE WHEN EXISTS (SELECT FROM pg_namespace WHERE nspname = {schema}) \
                  THEN has_schema_privilege({schema}, 'CREATE') AND has_schema_privilege({schema}, 'USAGE') \
                  ELSE has_database_privilege(current_database(), 'CREATE') END, \
             quote_ident(current_user), quote_ident(current_database()), \
             (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()), \
             EXISTS (SELECT FROM pg_namespace WHERE nspname = {schema})",
            schema = literal(&self.schema)
        );
        let rows = rows(&client, &sql).await?;
        let field = |i: usize| rows.first().and_then(|row| row.get(i)).unwrap_or_default();
        let refuse = |message: String, hint: String| Err(SinkError::Operator { message, hint });
        let version: i32 = field(0).parse().unwrap_or(SERVER_VERSION_MIN);
        let (user, database) = (field(4), field(5));
        if version < SERVER_VERSION_MIN {
            return refuse(
                format!("this Postgres is version {}", version / 10_000),
                "Postgres 13 or later is needed".to_owned(),
            );
        }
        if field(1) == "t" {
            return refuse(
                "this Postgres is a standby".to_owned(),
                "name the primary in the sink's `url`".to_owned(),
            );
        }
        if field(2) != "t" {
            return refuse(
                format!("role {user} may not make temporary tables, which rows are staged in"),
                format!("GRANT TEMPORARY ON DATABASE {database} TO {user}"),
            );
        }
        if field(3) != "t" {
            let schema = quoted(&[&self.schema]);
            return if field(7) == "t" {
                refuse(
                    format!("role {user} may not make tables in schema {schema}"),
                    format!("GRANT CREATE, USAGE ON SCHEMA {schema} TO {user}"),
                )
            } else {
                refuse(
                    format!("schema {schema} is missing, and role {user} may not make it"),
                    format!("CREATE SCHEMA {schema} AUTHORIZATION {user}"),
                )
            };
        }
        let mut warnings = Vec::new();
        if field(6) != "UTF8" {
            warnings.push(format!(
                "database {database} has encoding {}: rows with other characters will be refused\n  hint: use a database with encoding UTF8",
                field(6)
            ));
        }
        Ok(warnings)
    }

    async fn prepare(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        let mut tables: Vec<Table> = Vec::with_capacity(targets.len());
        for target in targets {
            let table = Table::new(&self.schema, target)?;
            if tables.iter().any(|other| other.name == table.name) {
                return Err(SinkError::Operator {
                    message: format!("two views go to the table {}", table.path()),
                    hint: "set `table` for one of them".to_owned(),
                });
            }
            tables.push(table);
        }
        let mut slot = self.writer.lock().await;
        let mut live = self.take(&mut slot).await?;
        self.create_own(&mut live).await?;
        for (table, target) in tables.iter().zip(targets) {
            self.create_table(&live, table, target).await?;
        }
        for target in std::mem::take(&mut live.staged) {
            execute(
                &live.client,
                &format!("DROP TABLE IF EXISTS pg_temp.readside_stage_{target}"),
            )
            .await?;
        }
        let oids = self.oids_of(&tables).await?;
        *self.oids.write().unwrap_or_else(PoisonError::into_inner) = oids;
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tables);
        *slot = Some(live);
        Ok(())
    }

    async fn fence(&self) -> Result<Fence, SinkError> {
        let mut slot = self.writer.lock().await;
        // Whatever was under way has been dropped with its connection; a new one raises the fence.
        let live = self.take(&mut slot).await?;
        let live = match execute(&live.client, "SELECT 1").await {
            Ok(()) => live,
            Err(_) => Live::open(&self.config, &self.schema, &self.instance, &self.claim).await?,
        };
        *slot = Some(live);
        Ok(Fence::established())
    }

    async fn read_marker(&self) -> Result<Option<Marker>, SinkError> {
        let mut slot = self.writer.lock().await;
        let live = self.take(&mut slot).await?;
        let text = if table_exists(&live.client, &self.schema, MARKER_TABLE).await? {
            read_marker(&live.client, &self.schema, &self.instance).await?
        } else {
            None
        };
        let marker = text.as_deref().map(decode_marker).transpose()?;
        self.claim.seen(text.as_deref());
        *slot = Some(live);
        Ok(marker)
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), SinkError> {
        let text = encode_marker(marker)?;
        let mut slot = self.writer.lock().await;
        let mut live = self.take(&mut slot).await?;
        if live.fence.is_none() {
            self.create_own(&mut live).await?;
        }
        live.begin(&self.schema, &self.instance, &self.claim)
            .await?;
        self.commit(&live, Some(&text), None).await?;
        *slot = Some(live);
        Ok(())
    }

    async fn audit(&self) -> Result<(), SinkError> {
        let tables = self.tables();
        let found = self.oids_of(&tables).await?;
        let known = self
            .oids
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for ((table, known), found) in tables.iter().zip(known).zip(found) {
            if found.is_none() || found != known {
                return Err(SinkError::Lost(format!(
                    "table {} was dropped",
                    table.path()
                )));
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError> {
        let mut slot = self.writer.lock().await;
        let mut live = self.take(&mut slot).await?;
        let outcomes = self.apply(&mut live, batch).await?;
        *slot = Some(live);
        Ok(outcomes)
    }

    async fn refresh(&self, _target: usize) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read_page(
        &self,
        target: usize,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page, SinkError> {
        let table = self.table(target)?;
        let limit = limit.max(1);
        let cursor: Option<Vec<String>> = after
            .map(|token| serde_json::from_str(&token))
            .transpose()
            .map_err(|_| SinkError::Operator {
                message: "a page that this sink never gave".to_owned(),
                hint: "report this as a defect".to_owned(),
            })?;
        let found = self.read(&table.page(cursor.as_deref(), limit)).await?;
        let next = match found.last() {
            Some(last) if found.len() == limit => {
                let first = table.columns.len() + 1;
                let values: Option<Vec<&str>> = (first..first + table.cursor_width())
                    .map(|i| last.get(i))
                    .collect();
                values.map(|values| serde_json::json!(values).to_string())
            }
            _ => None,
        };
        Ok(Page {
            rows: found
                .iter()
                .filter_map(|found| row(&table, found))
                .collect(),
            next,
        })
    }

    async fn read_keys(&self, target: usize, keys: &[Arc<str>]) -> Result<Vec<Row>, SinkError> {
        let table = self.table(target)?;
        let mut out = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(READ_KEYS_MAX) {
            let found = self.read(&table.of_keys(chunk)).await?;
            out.extend(found.iter().filter_map(|found| row(&table, found)));
        }
        Ok(out)
    }

    async fn drop_all(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        let mut slot = self.writer.lock().await;
        let live = self.take(&mut slot).await?;
        let registered = table_exists(&live.client, &self.schema, TABLES_TABLE).await?;
        if registered && table_exists(&live.client, &self.schema, MARKER_TABLE).await? {
            for target in targets {
                let table = Table::new(&self.schema, target)?;
                self.drop_table(&live.client, &table).await?;
            }
            self.drop_own(&live.client).await?;
        }
        self.claim.seen(None);
        Ok(())
    }
}

//! An exact copy of tables at a known position X.
//!
//! The temporary slot's consistent point is X; its exported snapshot shows exactly the transactions whose commit LSN is
//! below X, and the main slot's stream, from X on (`commit_lsn >= X`), exactly the others. Nothing else fixes a position to
//! a snapshot.
//!
//! Always: the copy says so when row-level security would hide rows; locks on the application's tables are AccessShare and
//! waited for only briefly.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use readside_model::Lsn;
use tokio_postgres::CopyOutStream;

use crate::SourceError;
use crate::config::SourceConfig;
use crate::copy_text::{Row, split_row};
use crate::quote::{identifier, literal, qualified};
use crate::replication::{ReplicationClient, SlotKind};
use crate::sql::{SqlClient, connect_sql};

/// How long a copy waits for a table that the application has locked against reading.
const TABLE_LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// A snapshot that others can import, and its position.
#[derive(Debug)]
pub struct ExportedSnapshot {
    /// X.
    pub lsn: Lsn,
    /// Its name for `SET TRANSACTION SNAPSHOT`.
    pub name: String,
    /// The temporary slot lives as long as its connection, the exported snapshot until the next command on it.
    connection: ReplicationClient,
}

impl ExportedSnapshot {
    /// Makes a temporary slot and exports its snapshot. Waits for running write transactions, at most `wait_max`.
    ///
    /// # Errors
    /// [`SourceError::LockTimeout`] when one runs longer; [`SourceError::NoRoom`] without a spare slot.
    pub async fn export(
        config: &SourceConfig,
        wait_max: Duration,
    ) -> Result<ExportedSnapshot, SourceError> {
        let mut connection = ReplicationClient::connect(config).await?;
        // The process id makes it unique among live connections; a temporary slot outlives none.
        let name = format!("readside_load_{}", connection.backend_pid());
        let created = connection
            .create_slot(&name, SlotKind::TemporaryWithSnapshot, wait_max)
            .await?;
        let Some(snapshot) = created.snapshot_name else {
            return Err(SourceError::Protocol {
                during: "a snapshot was exported",
                what: "no snapshot came with the slot".to_owned(),
            });
        };
        Ok(ExportedSnapshot {
            lsn: created.consistent_point,
            name: snapshot,
            connection,
        })
    }

    /// The walsender that holds the slot.
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.connection.backend_pid()
    }

    /// Lets the slot go; to be called as soon as the first reader has the snapshot, since the slot holds back WAL and the
    /// catalog's cleaning. Dropping it does the same.
    pub fn release(self) {
        drop(self.connection);
    }
}

/// One connection that sees the snapshot.
#[derive(Debug)]
pub struct SnapshotReader {
    client: SqlClient,
    backend_pid: i32,
}

/// A piece of a table's file, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// The first page.
    pub from: u32,
    /// The page behind the last; `None` to the end, wherever that is by then.
    pub to: Option<u32>,
}

/// A copy of one relation that is under way.
pub struct CopyStream {
    rows: Pin<Box<CopyOutStream>>,
    columns: usize,
    /// The end was seen; the driver must not be asked again.
    ended: bool,
    rows_read: u64,
    bytes_read: u64,
}

impl std::fmt::Debug for CopyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyStream")
            .field("rows_read", &self.rows_read)
            .field("bytes_read", &self.bytes_read)
            .finish_non_exhaustive()
    }
}

impl SnapshotReader {
    /// Connects and imports the snapshot, which lives on with this reader.
    ///
    /// # Errors
    /// [`SourceError::SnapshotGone`] when it has ended.
    pub async fn import(
        config: &SourceConfig,
        snapshot: &str,
    ) -> Result<SnapshotReader, SourceError> {
        let client = connect_sql(config).await?;
        let statement = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET TRANSACTION SNAPSHOT {}; SET LOCAL row_security = off; SET LOCAL lock_timeout = {}",
            literal(snapshot),
            TABLE_LOCK_WAIT_MAX.as_millis()
        );
        client
            .batch_execute(&statement)
            .await
            .map_err(|error| match SourceError::from(error) {
                SourceError::Server(server) => SourceError::SnapshotGone {
                    name: snapshot.to_owned(),
                    server: Box::new(server),
                },
                other => other,
            })?;
        let backend_pid = client.backend_pid().await?;
        Ok(SnapshotReader {
            client,
            backend_pid,
        })
    }

    /// A name under which more readers can import the same snapshot, as long as this one lives.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn export_again(&self) -> Result<String, SourceError> {
        Ok(self
            .client
            .query_one("SELECT pg_catalog.pg_export_snapshot()", &[])
            .await?
            .try_get(0)?)
    }

    /// The server process, for [`blocked_by`](crate::blocked_by).
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// The connection, for further reads in the snapshot.
    #[must_use]
    pub fn client(&self) -> &SqlClient {
        &self.client
    }

    /// How many pages a relation's file has now; what to cut into [`PageRange`]s.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn pages(&self, relation: u32) -> Result<u32, SourceError> {
        let pages: Option<i64> = self
            .client
            .query_one(
                "SELECT pg_catalog.pg_relation_size($1::oid::regclass) / current_setting('block_size')::int8",
                &[&relation],
            )
            .await?
            .try_get(0)?;
        Ok(u32::try_from(pages.unwrap_or(0)).unwrap_or(u32::MAX))
    }

    /// Starts copying a plain table or a leaf partition: these columns, in this order, as text.
    ///
    /// The relation's name cannot change between its look-up and the copy. Its *rows* can have been rewritten since the
    /// snapshot, which empties the copy without an error: compare [`table_fingerprints`](crate::table_fingerprints) from
    /// before the snapshot with those after the copy.
    ///
    /// # Errors
    /// [`SourceError::TableGone`], [`SourceError::LockTimeout`], [`SourceError::RowSecurity`], [`SourceError::Privilege`].
    /// The reader is of no further use after any of them.
    pub async fn copy_table(
        &self,
        relation: u32,
        columns: &[String],
        range: Option<PageRange>,
    ) -> Result<CopyStream, SourceError> {
        let name = self.lock(relation).await?;
        let list: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
        let mut query = format!("COPY (SELECT {} FROM ONLY {name}", list.join(", "));
        if let Some(range) = range {
            query.push_str(&format!(" WHERE ctid >= '({},0)'", range.from));
            if let Some(to) = range.to {
                query.push_str(&format!(" AND ctid < '({to},0)'"));
            }
        }
        query.push_str(") TO STDOUT");
        let rows = self
            .client
            .copy_out(&query)
            .await
            .map_err(|error| copy_error(error, &name))?;
        Ok(CopyStream {
            rows: Box::pin(rows),
            columns: columns.len(),
            ended: false,
            rows_read: 0,
            bytes_read: 0,
        })
    }

    /// Pins the relation's name for the rest of the transaction.
    async fn lock(&self, relation: u32) -> Result<String, SourceError> {
        let gone = || SourceError::TableGone {
            table: format!("with oid {relation}"),
        };
        // The catalog as it is now, not as the snapshot has it: the lock is about now.
        let row = self
            .client
            .query_one(
                "SELECT (pg_catalog.pg_identify_object_as_address('pg_catalog.pg_class'::regclass, $1, 0)).object_names",
                &[&relation],
            )
            .await
            .map_err(|_| gone())?;
        let names: Option<Vec<String>> = row.try_get(0)?;
        let Some([schema, table]) = names.as_deref() else {
            return Err(gone());
        };
        let name = qualified(schema, table);
        self.client
            .batch_execute(&format!("LOCK TABLE ONLY {name} IN ACCESS SHARE MODE"))
            .await
            .map_err(|error| copy_error(error, &name))?;
        let same: bool = self
            .client
            .query_one(
                "SELECT pg_catalog.to_regclass($1)::oid IS NOT DISTINCT FROM $2",
                &[&name, &relation],
            )
            .await?
            .try_get(0)?;
        if same { Ok(name) } else { Err(gone()) }
    }
}

fn copy_error(error: tokio_postgres::Error, table: &str) -> SourceError {
    match SourceError::from(error) {
        SourceError::Server(error)
            if matches!(error.code.as_str(), "42P01" | "3F000" | "42703") =>
        {
            SourceError::TableGone {
                table: table.to_owned(),
            }
        }
        // Both "permission denied" and "query would be affected by row-level security policy".
        SourceError::Privilege(error) if error.message.contains("row-level security") => {
            SourceError::RowSecurity(error)
        }
        other => other,
    }
}

impl CopyStream {
    /// The next rows, at most about this many and this much; `None` at the end. Each row has the columns that were asked
    /// for, `None` for NULL, else the type's text.
    ///
    /// # Errors
    /// When the copy is cancelled or the connection breaks.
    pub async fn next_batch(
        &mut self,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Option<Vec<Row>>, SourceError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while !self.ended && batch.len() < rows_max && bytes < bytes_max {
            let Some(line) = self.rows.next().await else {
                self.ended = true;
                break;
            };
            let line: Bytes = line?;
            bytes += line.len();
            let row = split_row(&line, self.columns).ok_or_else(|| SourceError::Protocol {
                during: "a table was copied",
                what: "a line that does not have the columns asked for".to_owned(),
            })?;
            batch.push(row);
        }
        self.rows_read += u64::try_from(batch.len()).unwrap_or(0);
        self.bytes_read += u64::try_from(bytes).unwrap_or(0);
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// All batches as a stream.
    pub fn into_batches(
        self,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Stream<Item = Result<Vec<Row>, SourceError>> {
        futures_util::stream::try_unfold(self, move |mut copy| async move {
            let batch = copy.next_batch(rows_max, bytes_max).await?;
            Ok(batch.map(|batch| (batch, copy)))
        })
    }

    /// Rows so far.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// Bytes of COPY text so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

//! The writing connection, and the fence around it.
//!
//! In: the sink's schema. Out: a connection whose transactions are the only ones of this instance that can still commit.
//!
//! The marker row has a number that every new connection raises. A transaction first locks the row and compares the number,
//! so what an earlier connection still has on the way is rolled back. Backends of earlier connections are ended as well, lest
//! a lock of theirs outlive a network that swallowed them.
//!
//! | `_readside_marker` | |
//! | --- | --- |
//! | `instance` | whose it is |
//! | `fence` | raised by each connection |
//! | `position` | the source's position that all tables of this instance show |
//! | `marker` | the marker as JSON |

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use readside_sink::{MarkerClaim, SinkError};
use readside_source::{SourceConfig, SqlClient, connect_sql};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::ToSql;

use super::error::{connect_error, sink_error};
use super::table::{literal, quoted};

pub(super) const MARKER_TABLE: &str = "_readside_marker";
pub(super) const TABLES_TABLE: &str = "_readside_tables";

/// What the server itself ends; the pause beyond it is for the network.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(330);
const SETTINGS: &str = "SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '10min'; \
    SET synchronous_commit = on; SET jit = off; SET search_path = pg_catalog, pg_temp";

/// A connection for writing.
pub(super) struct Live {
    pub(super) client: SqlClient,
    /// The number of the marker row that this connection set, once there is such a row.
    pub(super) fence: Option<i64>,
    /// The staging tables that exist in this session.
    pub(super) staged: BTreeSet<usize>,
}

/// An answer, or [`SinkError::Unavailable`] if it takes too long.
pub(super) async fn within<T, E: From<SinkError> + From<tokio_postgres::Error>>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, E> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(SinkError::Unavailable("no answer in time".to_owned()).into()),
    }
}

/// The same, where every error is one of the sink.
async fn answer<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SinkError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(result) => result.map_err(|error| sink_error(&error)),
        Err(_) => Err(SinkError::Unavailable("no answer in time".to_owned())),
    }
}

/// A session with the settings that every statement relies on.
pub(super) async fn connect(config: &SourceConfig, name: &str) -> Result<SqlClient, SinkError> {
    let config = config.clone().with_application_name(name);
    let client = connect_sql(&config)
        .await
        .map_err(|error| connect_error(&error))?;
    let settings = format!(
        "SET statement_timeout = '{}s'; {SETTINGS}",
        STATEMENT_TIMEOUT.as_secs()
    );
    answer(client.batch_execute(&settings)).await?;
    Ok(client)
}

/// The rows of the last statement, as the types' output functions print them.
pub(super) async fn rows(
    client: &SqlClient,
    sql: &str,
) -> Result<Vec<tokio_postgres::SimpleQueryRow>, SinkError> {
    let messages = answer(client.simple_query(sql)).await?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect())
}

/// One boolean.
pub(super) async fn holds(
    client: &SqlClient,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<bool, SinkError> {
    let row = answer(client.query_one(sql, parameters)).await?;
    row.try_get(0).map_err(|error| sink_error(&error))
}

pub(super) async fn execute(client: &SqlClient, sql: &str) -> Result<(), SinkError> {
    answer(client.batch_execute(sql)).await
}

pub(super) async fn table_exists(
    client: &SqlClient,
    schema: &str,
    table: &str,
) -> Result<bool, SinkError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2)";
    holds(client, sql, &[&schema, &table]).await
}

impl Live {
    /// Connects, ends earlier connections of this instance, and raises the fence if there is one yet.
    pub(super) async fn open(
        config: &SourceConfig,
        schema: &str,
        instance: &str,
        claim: &MarkerClaim,
    ) -> Result<Live, SinkError> {
        let client = connect(config, &format!("readside/{instance}/{schema}")).await?;
        let mut live = Live {
            client,
            fence: None,
            staged: BTreeSet::new(),
        };
        let exists = table_exists(&live.client, schema, MARKER_TABLE).await?;
        if exists {
            let stored = read_marker(&live.client, schema, instance).await?;
            // Whether it is gone or went back is for whoever reads it.
            if let Err(SinkError::Fenced(reason)) = claim.judge(stored.as_deref()) {
                return Err(SinkError::Fenced(reason));
            }
        }
        // The server cuts long names, so its own idea of ours is compared.
        execute(
            &live.client,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
             AND application_name = current_setting('application_name') \
             AND usename = current_user AND datname = current_database()",
        )
        .await?;
        if exists {
            live.raise_fence(schema, instance).await?;
        }
        Ok(live)
    }

    /// Adds the marker row if it is missing; earlier connections' transactions can't commit any more.
    pub(super) async fn raise_fence(
        &mut self,
        schema: &str,
        instance: &str,
    ) -> Result<(), SinkError> {
        let sql = format!(
            "INSERT INTO {table} AS m (instance, fence) VALUES ({instance}, 1) \
             ON CONFLICT (instance) DO UPDATE SET fence = m.fence + 1 RETURNING fence",
            table = quoted(&[schema, MARKER_TABLE]),
            instance = literal(instance),
        );
        let rows = rows(&self.client, &sql).await?;
        let fence = rows.first().and_then(|row| row.get(0)?.parse().ok());
        self.fence = Some(fence.ok_or_else(|| {
            SinkError::Unavailable("the marker row could not be written".to_owned())
        })?);
        Ok(())
    }

    /// Begins a transaction that holds the marker row, or says why it may not go on.
    pub(super) async fn begin(
        &self,
        schema: &str,
        instance: &str,
        claim: &MarkerClaim,
    ) -> Result<(), SinkError> {
        let Some(fence) = self.fence else {
            return Err(SinkError::Lost(
                "the sink's schema is not prepared".to_owned(),
            ));
        };
        let sql = format!(
            "BEGIN; SELECT fence, marker FROM {} WHERE instance = {} FOR UPDATE",
            quoted(&[schema, MARKER_TABLE]),
            literal(instance)
        );
        let rows = rows(&self.client, &sql).await?;
        let Some(row) = rows.first() else {
            return Err(SinkError::Lost("the sink's marker row is gone".to_owned()));
        };
        claim.judge(row.get(1))?;
        if row.get(0) != Some(fence.to_string().as_str()) {
            return Err(SinkError::Unavailable(
                "another connection of this process has taken over".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The text of the marker, if there is a row with one.
pub(super) async fn read_marker(
    client: &SqlClient,
    schema: &str,
    instance: &str,
) -> Result<Option<String>, SinkError> {
    let sql = format!(
        "SELECT marker FROM {} WHERE instance = {}",
        quoted(&[schema, MARKER_TABLE]),
        literal(instance)
    );
    let rows = rows(client, &sql).await?;
    Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
}

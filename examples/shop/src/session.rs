//! A connection of the application, with its prepared statements.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, NoTls, Row, Statement};

pub(crate) struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// How a connection presents itself, and with which settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Its name in `pg_stat_activity`.
    pub(crate) application: &'static str,
    /// Settings as of `PGOPTIONS`, after those of the URL.
    pub(crate) settings: &'static str,
}

impl Session {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let options = Options {
            application: "shop",
            settings: "",
        };
        Self::open_with(url, &options).await
    }

    pub(crate) async fn open_with(url: &str, options: &Options) -> Result<Self> {
        let mut config: tokio_postgres::Config = url.parse().context("parse the database's URL")?;
        let settings = [config.get_options().unwrap_or_default(), options.settings].join(" ");
        config
            .application_name(options.application)
            .options(settings.trim())
            .connect_timeout(Duration::from_secs(10));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            // The next statement on the client has the error.
            let _ = connection.await;
        });
        Ok(Self {
            client,
            statements: HashMap::new(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&mut self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(crate) async fn command(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.query_opt(&statement, parameters).await
    }

    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, parameters).await
    }

    /// The first column of the one row that a statement returns.
    pub(crate) async fn one<T>(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<T, tokio_postgres::Error>
    where
        T: for<'a> FromSql<'a>,
    {
        let statement = self.statement(sql).await?;
        self.client
            .query_one(&statement, parameters)
            .await?
            .try_get(0)
    }
}

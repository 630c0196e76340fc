//! What most end-to-end tests need: a source with a schema, the three sinks, and a project that reads from one into the others.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use crate::postgres::Postgres;
use crate::readside::{Into, Project};
use crate::redis::Redis;
use crate::schemas::Schema;
use crate::search::OpenSearch;

/// The sinks, by the names that they have in the configuration.
pub const SINKS: [&str; 3] = ["cache", "search", "reporting"];

/// How long anything in a test may take to arrive.
pub const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);

/// Servers and a project. All of it goes when dropped.
#[derive(Debug)]
pub struct Scene {
    /// The project; dropped first.
    pub project: Project,
    /// The source, with the database `app`.
    pub source: Postgres,
    /// The sink `reporting`, with the database `reports`.
    pub reporting: Postgres,
    /// The sink `cache`.
    pub redis: Redis,
    /// The sink `search`.
    pub search: OpenSearch,
}

impl Scene {
    /// A source of this version with this schema; the search node is the shared one.
    pub async fn new(version: u32, schema: &str) -> Result<Self> {
        Self::with(version, schema, OpenSearch::shared()).await
    }

    /// A source of this version with this schema, and its views in all three sinks.
    pub async fn of(version: u32, schema: &Schema) -> Result<Self> {
        let mut scene = Self::new(version, schema.sql).await?;
        scene.views(schema)?;
        Ok(scene)
    }

    /// As [`new`](Self::new), with a search node that can be stopped.
    pub async fn with_own_search(version: u32, schema: &str) -> Result<Self> {
        Self::with(version, schema, OpenSearch::start()).await
    }

    async fn with(
        version: u32,
        schema: &str,
        search: impl Future<Output = Result<OpenSearch>>,
    ) -> Result<Self> {
        let (source, reporting, redis, search) = tokio::try_join!(
            Postgres::start(version, &[]),
            Postgres::start(15, &[]),
            Redis::start(),
            search
        )?;
        let url = source.create_database("app").await?;
        source
            .client("app")
            .await?
            .batch_execute(schema)
            .await
            .context("create the schema")?;
        let reports = reporting.create_database("reports").await?;
        let mut project = Project::new(&url, "readside")?;
        project
            .redis("cache", &redis.url())?
            .search("search", search.url())?
            .postgres("reporting", &reports, "readside")?;
        Ok(Self {
            project,
            source,
            reporting,
            redis,
            search,
        })
    }

    /// Adds a view to all three sinks; `key` is for the oracle.
    pub fn view(&mut self, name: &str, sql: &str, key: &[&str]) -> Result<()> {
        self.view_in(name, sql, key, &SINKS)
    }

    /// Adds a view to some sinks.
    pub fn view_in(&mut self, name: &str, sql: &str, key: &[&str], sinks: &[&str]) -> Result<()> {
        self.view_with(name, sql, key, sinks, &[])
    }

    /// Adds all views of a schema to all three sinks.
    pub fn views(&mut self, schema: &Schema) -> Result<()> {
        for (name, sql, key) in schema.views {
            self.view_with(name, sql, key, &SINKS, schema.free_json)?;
        }
        Ok(())
    }

    /// `free_json` names columns that hold JSON of any shape: what a search node can't index, it only stores.
    fn view_with(
        &mut self,
        name: &str,
        sql: &str,
        key: &[&str],
        sinks: &[&str],
        free_json: &[&str],
    ) -> Result<()> {
        let stored: Vec<String> = free_json
            .iter()
            .map(|column| format!(r#""{column}": {{"type": "object", "enabled": false}}"#))
            .collect();
        let mapping = format!(r#"{{"properties": {{{}}}}}"#, stored.join(", "));
        let into: Vec<Into> = sinks
            .iter()
            .map(|sink| match *sink {
                // The node is shared with other tests.
                "search" => {
                    let into = Into::index(sink, &format!("{}{name}", self.search.prefix()));
                    if stored.is_empty() {
                        into
                    } else {
                        into.with_mapping(&mapping)
                    }
                }
                _ => Into::sink(sink),
            })
            .collect();
        self.project.view(name, sql, &into)?.key(name, key)?;
        Ok(())
    }

    /// A connection of the application.
    pub async fn app(&self) -> Result<Client> {
        self.source.client("app").await
    }

    /// The URL of the application's database.
    #[must_use]
    pub fn app_url(&self) -> String {
        self.source.url_of("app")
    }

    /// Runs statements of the application, in one transaction if there are several.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.app()
            .await?
            .batch_execute(sql)
            .await
            .with_context(|| format!("run {sql}"))
    }

    /// Waits until everything has arrived, and fails if anything differs.
    pub async fn check_converged(&self) -> Result<()> {
        self.project.check_converged(ARRIVAL_LIMIT).await
    }

    /// Removes what the test has put into the shared search node.
    pub async fn clear(&self) -> Result<()> {
        self.search.clear().await
    }
}

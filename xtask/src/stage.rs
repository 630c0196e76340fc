//! The shop and its read models on servers of their own.

use anyhow::Result;
use readside_tests::postgres::Postgres;
use readside_tests::readside::Project;
use readside_tests::redis::Redis;
use readside_tests::search::OpenSearch;
use readside_tests::shop;

/// Everything that runs beside readside. Stopped, and its directories removed, when dropped.
pub(crate) struct Stage {
    pub(crate) source: Postgres,
    pub(crate) reporting: Postgres,
    pub(crate) redis: Redis,
    pub(crate) search: OpenSearch,
}

impl Stage {
    pub(crate) async fn start() -> Result<Self> {
        eprintln!("starting PostgreSQL (source and reporting), Redis and OpenSearch");
        let (source, reporting, redis, search) = tokio::try_join!(
            Postgres::start(15, &[]),
            Postgres::start(15, &[]),
            Redis::start(),
            OpenSearch::start()
        )?;
        Ok(Self {
            source,
            reporting,
            redis,
            search,
        })
    }

    /// The shop's database, created and filled.
    pub(crate) async fn create_shop(&self, scale: u32) -> Result<String> {
        eprintln!("loading the shop");
        let url = self.source.create_database("shop").await?;
        readside_shop::create(&self.source.client("shop").await?, scale).await?;
        Ok(url)
    }

    /// A project with the shop's read models in the three sinks.
    pub(crate) async fn project(&self, shop_url: &str) -> Result<Project> {
        let reports = self.reporting.create_database("reports").await?;
        let mut project = Project::new(shop_url, "readside")?;
        project
            .redis("cache", &self.redis.url())?
            .search("search", self.search.url())?
            .postgres("reporting", &reports, "readside")?;
        shop::add_views(&mut project, "")?;
        Ok(project)
    }
}

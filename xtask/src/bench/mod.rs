//! `cargo xtask bench`: how fast, as ratios to what the machine and Postgres' own tools do in the same run.
//!
//! In: nothing but this machine. Out: a table; no verdict, since a machine that does other things meanwhile tells nothing.

mod catch_up;
mod freshness;
mod sample;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use readside_tests::postgres::Postgres;
use readside_tests::readside::{Into, Project};
use readside_tests::redis::Redis;

use crate::cargo;

/// `bench`'s options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Transactions in the backlog to catch up with
    #[arg(long, default_value_t = 50_000)]
    transactions: u32,
    /// How long freshness is measured, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Transactions per second meanwhile
    #[arg(long, default_value_t = 100)]
    rate: u32,
}

/// An order as a document with its lines.
const VIEW: &str = "SELECT o.id, o.status, o.note, o.placed_at, c.name AS customer,
    (SELECT jsonb_agg(jsonb_build_object('line', i.line, 'sku', p.sku, 'name', p.name, 'quantity', i.quantity, 'price', i.unit_price)
                      ORDER BY i.line)
     FROM order_items i JOIN products p ON p.id = i.product_id WHERE i.order_id = o.id) AS items
FROM orders o JOIN customers c ON c.id = o.customer_id";

/// Servers that wait for the disk as they do in earnest, the shop, and a project with one view in Redis.
struct Bench {
    source: Postgres,
    redis: Redis,
    project: Project,
    shop: String,
}

impl Bench {
    async fn new() -> Result<Self> {
        let binary = cargo::release_binary()?;
        let (source, redis) = tokio::try_join!(
            Postgres::start(15, &[("fsync", "on"), ("max_wal_size", "4GB")]),
            Redis::start_with(&[("appendonly", "no")])
        )?;
        let shop = source.create_database("shop").await?;
        let client = source.client("shop").await?;
        readside_shop::create(&client, 5).await?;
        let mut project = Project::new(&shop, "readside")?;
        project
            .use_binary(&binary)
            .redis("cache", &redis.url())?
            .view("orders", VIEW, &[Into::sink("cache")])?
            .key("orders", &["id"])?;
        Ok(Self {
            source,
            redis,
            project,
            shop,
        })
    }

    /// A second slot at the present place, for `pg_recvlogical`.
    async fn create_slot(&self, name: &str) -> Result<()> {
        self.source
            .client("shop")
            .await?
            .query(
                "SELECT pg_create_logical_replication_slot($1::text::name, 'pgoutput')",
                &[&name],
            )
            .await
            .with_context(|| format!("create slot `{name}`"))?;
        Ok(())
    }
}

/// `pg_recvlogical`, which Debian has in the client's package.
fn pg_recvlogical() -> Result<PathBuf> {
    let path = PathBuf::from("/usr/lib/postgresql/15/bin/pg_recvlogical");
    if !path.is_file() {
        bail!("`pg_recvlogical` is missing\n  hint: sudo apt-get install -y postgresql-client-15");
    }
    Ok(path)
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let bench = Bench::new().await?;
    catch_up::measure(&bench, options.transactions).await?;
    freshness::measure(&bench, options.rate, options.seconds).await?;
    Ok(ExitCode::SUCCESS)
}

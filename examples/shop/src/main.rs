//! The shop's application from the command line: its tables, its two services, its page, and customers for them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use readside_shop::{CommandService, Front, Load, QueryService, Traffic};
use tokio_postgres::NoTls;

/// The shop: creates its tables, serves commands and queries, and sends customers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Creates the tables, and fills them, unless they are there.
    Seed {
        /// The shop's database.
        #[arg(long, env = "SHOP_URL")]
        url: String,
        /// 1 is 200 products, 400 customers and 1,000 orders.
        #[arg(long, env = "SHOP_SCALE", default_value_t = 5)]
        scale: u32,
    },
    /// Serves commands: the write side, on the shop's database.
    Command {
        /// The shop's database.
        #[arg(long, env = "SHOP_URL")]
        url: String,
        /// Where to listen.
        #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:7401")]
        listen: SocketAddr,
        /// Connections to the database, at most.
        #[arg(long, default_value_t = 8)]
        connections: usize,
    },
    /// Serves queries: the read side, on the read models alone.
    Query {
        /// Redis.
        #[arg(long, env = "SHOP_CACHE_URL")]
        cache: String,
        /// OpenSearch.
        #[arg(long, env = "SHOP_SEARCH_URL")]
        search: String,
        /// The index of the products there.
        #[arg(long, env = "SHOP_PRODUCTS_INDEX", default_value = "products")]
        products: String,
        /// The reporting Postgres.
        #[arg(long, env = "SHOP_REPORTING_URL", hide_env_values = true)]
        reporting: String,
        /// The admin server of `readside run`, which knows how far the read models have come.
        #[arg(
            long,
            env = "SHOP_READSIDE_URL",
            default_value = "http://127.0.0.1:7377"
        )]
        readside: String,
        /// Its token.
        #[arg(long, env = "READSIDE_TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// Where to listen.
        #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:7402")]
        listen: SocketAddr,
        /// Connections to the reporting database, at most.
        #[arg(long, default_value_t = 8)]
        connections: usize,
    },
    /// Serves the page, and both services behind it.
    Front {
        /// The command service.
        #[arg(long, env = "SHOP_COMMANDS", default_value = "http://127.0.0.1:7401")]
        commands: String,
        /// The query service.
        #[arg(long, env = "SHOP_QUERIES", default_value = "http://127.0.0.1:7402")]
        queries: String,
        /// Where to listen.
        #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:7400")]
        listen: SocketAddr,
    },
    /// Sends customers to both services until it is stopped.
    Traffic {
        /// The command service.
        #[arg(long, env = "SHOP_COMMANDS", default_value = "http://127.0.0.1:7401")]
        commands: String,
        /// The query service.
        #[arg(long, env = "SHOP_QUERIES", default_value = "http://127.0.0.1:7402")]
        queries: String,
        /// Requests per second; 0 is as many as can be.
        #[arg(long, env = "SHOP_RATE", default_value_t = 200)]
        rate: u32,
        /// Queries for each command.
        #[arg(long, env = "SHOP_READS_PER_WRITE", default_value_t = 100)]
        reads_per_write: u32,
        /// Customers at a time.
        #[arg(long, env = "SHOP_SESSIONS", default_value_t = 16)]
        sessions: u32,
        /// How uneven the choices are: 1 is not at all, 3 gives the first tenth about half of them.
        #[arg(long, default_value_t = 3.0)]
        skew: f64,
        /// The scale that the shop was filled with.
        #[arg(long, env = "SHOP_SCALE", default_value_t = 5)]
        scale: u32,
        /// Ends after so many seconds.
        #[arg(long)]
        seconds: Option<u64>,
        /// For the choices.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Makes transactions on the database itself until it is stopped, as an application without services does.
    Load {
        /// The shop's database.
        #[arg(long, env = "SHOP_URL")]
        url: String,
        /// Transactions per second; 0 is as many as can be.
        #[arg(long, env = "SHOP_RATE", default_value_t = 50)]
        rate: u32,
        /// Connections.
        #[arg(long, env = "SHOP_WORKERS", default_value_t = 4)]
        workers: u32,
        /// Ends after so many seconds.
        #[arg(long)]
        seconds: Option<u64>,
        /// For the choices.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the results of commands")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Part::Seed { url, scale } => seed(&url, scale).await?,
        Part::Command {
            url,
            listen,
            connections,
        } => {
            let service = CommandService {
                url,
                listen,
                connections,
            };
            service.serve().await?;
        }
        Part::Query {
            cache,
            search,
            products,
            reporting,
            readside,
            token,
            listen,
            connections,
        } => {
            let service = QueryService {
                cache,
                search,
                products,
                reporting,
                readside,
                token,
                listen,
                connections,
            };
            service.serve().await?;
        }
        Part::Front {
            commands,
            queries,
            listen,
        } => {
            let front = Front {
                commands,
                queries,
                listen,
            };
            front.serve().await?;
        }
        Part::Traffic {
            commands,
            queries,
            rate,
            reads_per_write,
            sessions,
            skew,
            scale,
            seconds,
            seed,
        } => {
            let traffic = Traffic {
                commands,
                queries,
                rate,
                reads_per_write,
                sessions,
                skew,
                scale,
                seed,
            };
            let running = traffic.start().await?;
            let mut every = tokio::time::interval(Duration::from_secs(10));
            every.tick().await;
            let end = end(seconds);
            tokio::pin!(end);
            loop {
                tokio::select! {
                    done = &mut end => break done?,
                    _ = every.tick() => println!("{}", running.seen().summary()),
                }
            }
            println!("{}", running.stop().await.table().join("\n"));
        }
        Part::Load {
            url,
            rate,
            workers,
            seconds,
            seed,
        } => {
            let load = Load {
                url,
                workers,
                rate,
                seed,
            };
            let running = load.start().await?;
            end(seconds).await?;
            let totals = running.stop().await;
            println!(
                "{} transactions committed, {} rolled back, {} failed",
                totals.committed, totals.rolled_back, totals.failed
            );
        }
    }
    Ok(())
}

async fn seed(url: &str, scale: u32) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let there = client
        .query_one("SELECT to_regclass('orders') IS NOT NULL", &[])
        .await?;
    if !there.get::<_, bool>(0) {
        readside_shop::create(&client, scale).await?;
    }
    drop(client);
    driver.await??;
    Ok(())
}

/// The time is up, or somebody stops us.
async fn end(seconds: Option<u64>) -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let time = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => {}
        _ = terminate.recv() => {}
        stop = tokio::signal::ctrl_c() => stop?,
    }
    Ok(())
}

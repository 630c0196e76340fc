//! `shop seed` and `shop load`: the shop's application, from the command line.

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use readside_shop::Load;
use tokio_postgres::NoTls;

/// The shop's application: creates its tables and makes its transactions.
#[derive(Debug, Parser)]
struct Arguments {
    /// The shop's database.
    #[arg(long, env = "SHOP_URL")]
    url: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Creates the tables, and fills them, unless they are there.
    Seed {
        /// 1 is 200 products, 400 customers and 1,000 orders.
        #[arg(long, env = "SHOP_SCALE", default_value_t = 5)]
        scale: u32,
    },
    /// Makes transactions until it is stopped.
    Load {
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
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Seed { scale } => {
            let (client, connection) = tokio_postgres::connect(&arguments.url, NoTls).await?;
            let driver = tokio::spawn(connection);
            let there = client
                .query_one("SELECT to_regclass('orders') IS NOT NULL", &[])
                .await?;
            if !there.get::<_, bool>(0) {
                readside_shop::create(&client, scale).await?;
            }
            drop(client);
            driver.await??;
        }
        Command::Load {
            rate,
            workers,
            seconds,
            seed,
        } => {
            let load = Load {
                url: arguments.url,
                workers,
                rate,
                seed,
            };
            let running = load.start().await?;
            let end = async {
                match seconds {
                    Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => {}
                stop = tokio::signal::ctrl_c() => stop?,
            }
            let totals = running.stop().await;
            #[allow(clippy::print_stdout, reason = "the result of the command")]
            {
                println!(
                    "{} transactions committed, {} rolled back, {} failed",
                    totals.committed, totals.rolled_back, totals.failed
                );
            }
        }
    }
    Ok(())
}

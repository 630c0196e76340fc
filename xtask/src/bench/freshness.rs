//! Freshness: from the application's COMMIT until the document can be read in Redis, under a steady load; against what nobody
//! can beat: until `pg_recvlogical` has received it, plus a write to disk, plus a round trip to Redis.
//!
//! Always: a clock starts just before COMMIT is sent, for both.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::sample::{Sample, millis};
use super::{Bench, pg_recvlogical};

const LIMIT: Duration = Duration::from_secs(300);
/// A document that takes longer is an error.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn measure(bench: &Bench, rate: u32, seconds: u32) -> Result<()> {
    let process = bench.project.run().await?;
    bench.project.wait_caught_up(LIMIT).await?;
    let mut ours = to_redis(bench, rate, seconds).await?;
    process.stop().await?;
    let mut received = to_receiver(bench, rate, seconds.min(10)).await?;
    let mut disk = fdatasync(bench)?;
    let mut redis = round_trip(bench).await?;

    let parts = [
        received.percentile(50),
        disk.percentile(50),
        redis.percentile(50),
    ];
    let floor: Duration = parts.iter().sum();
    println!(
        "\nfreshness: {rate} transactions/s for {seconds} s, COMMIT sent until readable in Redis"
    );
    println!(
        "  readside            p50 {}, p99 {}",
        millis(ours.percentile(50)),
        millis(ours.percentile(99))
    );
    println!(
        "  floor               {} = received by pg_recvlogical {} + fdatasync {} + Redis round trip {}",
        millis(floor),
        millis(parts[0]),
        millis(parts[1]),
        millis(parts[2])
    );
    println!(
        "  ratio of p50        {:.2}  (to reach: at most 3)",
        ours.percentile(50).as_secs_f64() / floor.as_secs_f64()
    );
    Ok(())
}

/// One transaction that marks an order; answers with the time just before COMMIT.
async fn mark(client: &Client, order: i64, note: &str) -> Result<Instant> {
    client.batch_execute("BEGIN").await?;
    client
        .execute(
            "UPDATE orders SET note = $2 WHERE id = $1",
            &[&order, &note],
        )
        .await?;
    client
        .execute(
            "UPDATE order_items SET quantity = 1 + quantity % 9 WHERE order_id = $1",
            &[&order],
        )
        .await?;
    let start = Instant::now();
    client.batch_execute("COMMIT").await?;
    Ok(start)
}

async fn orders(client: &Client) -> Result<Vec<i64>> {
    let rows = client
        .query("SELECT id FROM orders ORDER BY id LIMIT 5000", &[])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn to_redis(bench: &Bench, rate: u32, seconds: u32) -> Result<Sample> {
    let client = bench.source.client("shop").await?;
    let orders = orders(&client).await?;
    let sample = Arc::new(Mutex::new(Sample::default()));
    let connection = bench.redis.connection().await?;
    let mut waiting = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    for (number, order) in (0..rate * seconds).zip(orders.iter().cycle()) {
        ticks.tick().await;
        let note = format!("fresh {number}.");
        let start = mark(&client, *order, &note).await?;
        let mut connection = connection.clone();
        let sample = Arc::clone(&sample);
        let key = format!("orders:{order}");
        waiting.spawn(async move {
            loop {
                let value: Option<String> = redis_get(&mut connection, &key).await?;
                if value.is_some_and(|value| value.contains(&note)) {
                    sample.lock().await.add(start.elapsed());
                    return anyhow::Ok(());
                }
                if start.elapsed() > ARRIVAL_LIMIT {
                    bail!(
                        "`{key}` has not arrived within {} s",
                        ARRIVAL_LIMIT.as_secs()
                    );
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
    }
    while let Some(one) = waiting.join_next().await {
        one??;
    }
    let sample = std::mem::take(&mut *sample.lock().await);
    Ok(sample)
}

async fn redis_get(
    connection: &mut redis::aio::MultiplexedConnection,
    key: &str,
) -> Result<Option<String>> {
    Ok(redis::cmd("GET").arg(key).query_async(connection).await?)
}

async fn to_receiver(bench: &Bench, rate: u32, seconds: u32) -> Result<Sample> {
    bench.create_slot("receiver").await?;
    let mut receiver = tokio::process::Command::new(pg_recvlogical()?)
        .args(["--dbname", &bench.shop, "--slot", "receiver", "--start"])
        .args(["--file", "-", "--fsync-interval=0"])
        .args(["-o", "proto_version=1", "-o", "publication_names=readside"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("run `pg_recvlogical`")?;
    let mut output = receiver.stdout.take().context("its output")?;
    let client = bench.source.client("shop").await?;
    let orders = orders(&client).await?;
    let mut sample = Sample::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    let mut buffer = vec![0; 1 << 20];
    for (number, order) in (0..rate * seconds).zip(orders.iter().cycle()) {
        ticks.tick().await;
        let note = format!("received {number}.");
        let mut seen = Vec::new();
        let arrival = async {
            while !seen.windows(note.len()).any(|part| part == note.as_bytes()) {
                let read = output.read(&mut buffer).await?;
                anyhow::ensure!(read > 0, "`pg_recvlogical` has ended");
                seen.extend_from_slice(&buffer[..read]);
            }
            Ok(Instant::now())
        };
        let (start, end) = tokio::try_join!(mark(&client, *order, &note), async {
            tokio::time::timeout(ARRIVAL_LIMIT, arrival).await?
        })?;
        sample.add(end.saturating_duration_since(start));
    }
    receiver.kill().await?;
    Ok(sample)
}

fn fdatasync(bench: &Bench) -> Result<Sample> {
    let path = bench.project.dir().join("fdatasync");
    let mut file = File::create(&path).context("create a file")?;
    let mut sample = Sample::default();
    for _ in 0..200 {
        file.write_all(&[7; 1024])?;
        let start = Instant::now();
        file.sync_data()?;
        sample.add(start.elapsed());
    }
    Ok(sample)
}

async fn round_trip(bench: &Bench) -> Result<Sample> {
    let mut connection = bench.redis.connection().await?;
    let mut sample = Sample::default();
    for _ in 0..1000 {
        let start = Instant::now();
        redis_get(&mut connection, "orders:1").await?;
        sample.add(start.elapsed());
    }
    Ok(sample)
}

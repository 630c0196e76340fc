//! Catching up: a backlog that came while readside was down, drained end to end into Redis, against `pg_recvlogical` that drains
//! the same backlog to nowhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Bench, pg_recvlogical};

const LIMIT: Duration = Duration::from_secs(900);

/// Each call makes transactions of an order, three lines and a payment.
const BACKLOG: &str = "
    CREATE SCHEMA bench;
    CREATE PROCEDURE bench.backlog(transactions int) LANGUAGE plpgsql AS $$
    DECLARE
        o bigint;
    BEGIN
        FOR n IN 1..transactions LOOP
            INSERT INTO orders (customer_id, note) VALUES (1 + n % 2000, 'backlog ' || n) RETURNING id INTO o;
            INSERT INTO order_items SELECT o, l, 1 + (n * 7 + l * 13) % 1000, l, 9.90 FROM generate_series(1, 3) l;
            UPDATE orders SET status = 'paid', paid_at = now() WHERE id = o;
            COMMIT;
        END LOOP;
    END $$";

pub(super) async fn measure(bench: &Bench, transactions: u32) -> Result<()> {
    // Publication, slot and the first load.
    let process = bench.project.run().await?;
    bench.project.wait_caught_up(LIMIT).await?;
    let exit = process.stop().await?;
    if exit != Some(0) {
        bail!("`readside run` ended with exit code {exit:?}");
    }
    for slot in ["drain_before", "drain_after"] {
        bench.create_slot(slot).await?;
    }
    let client = bench.source.client("shop").await?;
    client.batch_execute(BACKLOG).await?;
    eprintln!("making a backlog of {transactions} transactions");
    client
        .batch_execute(&format!("CALL bench.backlog({transactions})"))
        .await
        .context("make the backlog")?;
    let end: String = client
        .query_one("SELECT pg_current_wal_lsn()::text", &[])
        .await?
        .get(0);

    let before = drain(bench, "drain_before", &end).await?;
    let start = Instant::now();
    let process = bench.project.run().await?;
    let waited = bench
        .project
        .command(&["wait", "--lsn", &end], LIMIT)
        .await?;
    let ours = start.elapsed();
    if waited.code != Some(0) {
        bail!("`readside wait` failed: {}", waited.stderr);
    }
    let after = drain(bench, "drain_after", &end).await?;
    bench.project.check_equal().await?;
    process.stop().await?;

    let theirs = (before + after) / 2;
    let rate = |time: Duration| f64::from(transactions) / time.as_secs_f64();
    println!(
        "\ncatch-up: {transactions} transactions of 5 row changes, documents of three lines into Redis"
    );
    println!(
        "  pg_recvlogical to nowhere  {:>8.0} transactions/s  ({:.1} s and {:.1} s)",
        rate(theirs),
        before.as_secs_f64(),
        after.as_secs_f64()
    );
    println!(
        "  readside into Redis        {:>8.0} transactions/s  ({:.1} s, from its start)",
        rate(ours),
        ours.as_secs_f64()
    );
    println!(
        "  ratio                      {:>8.2}  (to reach: 0.3; the design's aim: 0.5)",
        theirs.as_secs_f64() / ours.as_secs_f64()
    );
    Ok(())
}

/// How long `pg_recvlogical` takes to drain a slot up to `end`.
async fn drain(bench: &Bench, slot: &str, end: &str) -> Result<Duration> {
    let start = Instant::now();
    let output = tokio::process::Command::new(pg_recvlogical()?)
        .args([
            "--dbname",
            &bench.shop,
            "--slot",
            slot,
            "--start",
            "--no-loop",
        ])
        .args(["--endpos", end, "--file", "/dev/null", "--fsync-interval=0"])
        .args(["-o", "proto_version=1", "-o", "publication_names=readside"])
        .kill_on_drop(true)
        .output()
        .await
        .context("run `pg_recvlogical`")?;
    if !output.status.success() {
        bail!(
            "`pg_recvlogical` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(start.elapsed())
}

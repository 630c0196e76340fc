//! Each expression of dashboards and rules has an answer, and each alert fires in the state that it is for and clears after it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use readside_tests::dashboards::{self, answered, check_everything};
use readside_tests::postgres::Postgres;
use readside_tests::prometheus::{Alert, Prometheus, rule_file, values};
use readside_tests::proxy::{Fault, Proxy};
use readside_tests::readside::{Into, Process, Project};
use readside_tests::redis::Redis;
use readside_tests::until;
use tokio_postgres::Client;

/// How long anything may take to be seen.
const LIMIT: Duration = Duration::from_secs(60);
/// What has no answer while all is well and the source sets the slot no limit.
const EMPTY_WHEN_WELL: [&str; 3] = ["ALERTS", "< +Inf", "readside_rebuild_progress_ratio"];
/// What has none either when the slot is near its limit.
const EMPTY_WITHOUT_REBUILD: [&str; 1] = ["readside_rebuild_progress_ratio"];
/// What only `promtool` shows: it takes a state as large as the address space that is set aside for it.
const NOT_LIVE: [&str; 1] = ["ReadsideStateNearLimit"];

/// A small file system of its own, so that it can be nearly full; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    const BYTES: u64 = 200 << 20;

    /// `None` where we may not mount anything.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={}", Self::BYTES),
                "tmpfs",
            ])
            .arg(at)
            .status()
            .unwrap();
        status.success().then(|| Self(at.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the process that uses it may be about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The alerts as they come and go.
struct Watch {
    prometheus: Prometheus,
    fired: BTreeSet<String>,
    cleared: BTreeSet<String>,
}

impl Watch {
    async fn matching(&self, name: &str, labels: &[(&str, &str)]) -> Result<Vec<Alert>> {
        let firing = self.prometheus.firing().await?;
        Ok(firing
            .into_iter()
            .filter(|alert| {
                alert.name() == name
                    && labels
                        .iter()
                        .all(|(l, v)| alert.labels.get(*l).is_some_and(|value| value == v))
            })
            .collect())
    }

    /// Waits until it fires; its texts have to be whole then.
    async fn fires(&mut self, name: &str, labels: &[(&str, &str)]) {
        let alert = until(&format!("{name} {labels:?} to fire"), LIMIT, || async {
            let found = self.matching(name, labels).await?;
            found.into_iter().next().context("it does not")
        })
        .await
        .unwrap();
        for (what, text) in &alert.annotations {
            assert!(
                !text.contains("<no value>") && !text.contains("error") && !text.contains("{{"),
                "{name}: {what} is {text}"
            );
        }
        eprintln!("fires: {}", alert.annotations["summary"]);
        self.fired.insert(name.to_owned());
    }

    /// Waits until it does not fire any more.
    async fn clears(&mut self, name: &str, labels: &[(&str, &str)]) {
        assert!(self.fired.contains(name), "{name} has not fired");
        until(&format!("{name} {labels:?} to clear"), LIMIT, || async {
            let found = self.matching(name, labels).await?;
            ensure!(found.is_empty(), "it still fires: {found:?}");
            Ok(())
        })
        .await
        .unwrap();
        self.cleared.insert(name.to_owned());
    }

    /// Waits until the dashboard's row "which part is behind" names this one.
    async fn names_part(&self, part: &str) {
        let expression = format!("readside:part_behind:bool{{part=\"{part}\"}} == 1");
        until(&expression, LIMIT, || async {
            let found = self.prometheus.query(&expression).await?;
            ensure!(!found.is_empty(), "it keeps up");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Waits until nothing fires at all.
    async fn all_is_well(&mut self) {
        until("all alerts to clear", LIMIT, || async {
            let firing = self.prometheus.firing().await?;
            let names: Vec<&str> = firing.iter().map(Alert::name).collect();
            ensure!(names.is_empty(), "{names:?} fire");
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// Every metric of ours and the labels that it has besides those of its target.
fn labels_that_are_promised(name: &str) -> &'static [&'static str] {
    use readside_telemetry as named;
    match name {
        named::CHANGES_TOTAL | named::LOAD_ROWS_TOTAL => &["table"],
        named::SINK_UP | named::SINK_REQUEST_SECONDS => &["sink"],
        named::SINK_WRITES_TOTAL => &["outcome", "sink", "view"],
        named::VIEW_STATE => &["sink", "state", "view"],
        named::VIEW_LAG_SECONDS
        | named::VIEW_LAG_MAX_SECONDS
        | named::VIEW_LAG_BYTES
        | named::VIEW_PENDING_KEYS
        | named::VIEW_PENDING_SECONDS
        | named::VIEW_FRESHNESS_SECONDS
        | named::DEAD_LETTERS
        | named::REBUILD_PROGRESS_RATIO
        | named::VERIFY_MISMATCHES
        | named::VERIFY_LAST_SUCCESS_TIMESTAMP_SECONDS => &["sink", "view"],
        named::SLOT_STATE => &["state"],
        named::PHASE => &["phase"],
        named::BUILD_INFO => &["version"],
        _ => &[],
    }
}

/// All labels of a metric in Prometheus.
fn promised(name: &str) -> BTreeSet<String> {
    ["job", "instance", "__name__"]
        .iter()
        .chain(labels_that_are_promised(name))
        .map(|label| (*label).to_owned())
        .collect()
}

/// What `/metrics` shows while all is well: all that there is, with the labels that are promised.
async fn check_metrics(prometheus: &Prometheus) {
    for name in readside_telemetry::ALL {
        if *name == readside_telemetry::REBUILD_PROGRESS_RATIO {
            // See `check_that_a_rebuild_is_seen`.
            continue;
        }
        let mut found: BTreeSet<String> = BTreeSet::new();
        for series in [(*name).to_owned(), format!("{name}_count")] {
            found.extend(prometheus.labels_of(&series).await.unwrap().into_keys());
        }
        assert_eq!(found, promised(name), "the labels of `{name}`");
    }
}

/// A rebuild is seen while it goes on, and not after it.
async fn check_that_a_rebuild_is_seen(project: &Project, prometheus: &Prometheus) {
    let name = readside_telemetry::REBUILD_PROGRESS_RATIO;
    let going_on = format!("{name}{{view=\"orders\"}} > 0");
    let (rebuilt, seen) = tokio::join!(
        project.command(&["rebuild", "orders", "--rate", "500"], LIMIT * 2),
        until(&going_on, LIMIT, || async {
            let found = prometheus.query(&going_on).await?;
            let sample = found.first().context("no rebuild is seen")?;
            ensure!((0.0..=1.0).contains(&sample.value), "{sample:?}");
            Ok(sample.labels.keys().cloned().collect::<BTreeSet<String>>())
        })
    );
    let rebuilt = rebuilt.unwrap();
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert_eq!(seen.unwrap(), promised(name));
    until("the rebuild to be over", LIMIT, || async {
        let found = prometheus.query(name).await?;
        ensure!(found.is_empty(), "{found:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// So many keys go through, and every count on the way moves by as much.
async fn check_that_counts_move(project: &Project, process: &Process, client: &Client) {
    const KEYS: f64 = 3000.0;
    let counts = [
        ("readside_changes_total", "table=\"public.orders\""),
        (
            "readside_view_freshness_seconds_count",
            "sink=\"reporting\"",
        ),
        (
            "readside_sink_writes_total",
            "outcome=\"applied\",sink=\"reporting\"",
        ),
    ];
    let mut before = Vec::new();
    for (name, label) in counts {
        before.push(process.metric(name, &[label]).await.unwrap().unwrap());
    }
    let changelog = process
        .metric("readside_changelog_bytes", &[])
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO orders SELECT 1000 + i, 'new' FROM generate_series(1, 3000) i")
        .await
        .unwrap();
    project.wait_caught_up(LIMIT).await.unwrap();
    for ((name, label), before) in counts.into_iter().zip(before) {
        let now = process.metric(name, &[label]).await.unwrap().unwrap();
        // The application adds some of its own, but not thousands.
        assert!(now >= before + KEYS, "`{name}` went from {before} to {now}");
    }
    let now = process
        .metric("readside_changelog_bytes", &[])
        .await
        .unwrap();
    assert!(
        now > changelog,
        "the changelog has {now:?} bytes, as before"
    );
    let loaded = process
        .metric("readside_load_rows_total", &["public.orders"])
        .await
        .unwrap();
    assert_eq!(loaded, Some(200.0));
}

const SCHEMA: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, status text NOT NULL, note text);
    CREATE TABLE ratio (id int PRIMARY KEY, whole int NOT NULL, part int NOT NULL);
    INSERT INTO orders SELECT i, 'open' FROM generate_series(1, 200) i;
    INSERT INTO ratio SELECT i, 100, i FROM generate_series(1, 50) i;";

/// An application that changes something all the time, until dropped.
struct Application(tokio::task::JoinHandle<()>);

impl Application {
    fn start(url: String) -> Self {
        Self(tokio::spawn(async move {
            let mut n = 0_u32;
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let Ok(client) = readside_tests::postgres::connect(&url).await else {
                    continue;
                };
                loop {
                    n += 1;
                    let change = format!(
                        "UPDATE orders SET status = 'state {n}' WHERE id = 1 + {n} % 200; \
                         UPDATE ratio SET whole = {n} WHERE id = 1 + {n} % 50"
                    );
                    if client.batch_execute(&change).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `readside verify`, which has to find this (0) or something (1).
async fn verify(project: &Project, args: &[&str], code: i32) {
    let mut all = vec!["verify"];
    all.extend(args);
    let output = project.command(&all, LIMIT * 2).await.unwrap();
    assert_eq!(output.code, Some(code), "{output:?}");
}

/// Writes this much WAL that no table has a part in.
async fn write_wal(client: &Client, megabytes: u32) {
    client
        .batch_execute(&format!(
            "SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1048576))) FROM generate_series(1, {megabytes})"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn every_expression_has_an_answer_and_every_alert_fires_and_clears() {
    let (mut source, reporting, mut redis) = tokio::try_join!(
        Postgres::start(15, &[]),
        Postgres::start(15, &[]),
        Redis::start()
    )
    .unwrap();
    let url = source.create_database("app").await.unwrap();
    source
        .client("app")
        .await
        .unwrap()
        .batch_execute(SCHEMA)
        .await
        .unwrap();
    let reports = reporting.create_database("reports").await.unwrap();
    let to_redis = Proxy::start(redis.port()).await.unwrap();
    let to_reporting = Proxy::start(reporting.port()).await.unwrap();
    let mut project = Project::new(&url, "readside").unwrap();
    project
        .redis("cache", &redis.url())
        .unwrap()
        .postgres("reporting", &reports, "readside")
        .unwrap()
        .sink_by("cache", &to_redis.url(&redis.url(), redis.port()))
        .unwrap()
        .sink_by("reporting", &to_reporting.url(&reports, reporting.port()))
        .unwrap()
        .view(
            "orders",
            "SELECT id, status FROM orders",
            &[Into::sink("cache"), Into::sink("reporting")],
        )
        .unwrap()
        .lag_max("orders", "3s")
        .unwrap()
        .view(
            "ratios",
            "SELECT id, whole / part AS share FROM ratio",
            &[Into::sink("cache")],
        )
        .unwrap()
        .data_setting("changelog_bytes_max = \"100MB\"\nstate_flush_interval = \"1h\"")
        .unwrap();
    let disk = SmallDisk::mount(&project.data());
    let mut watch = Watch {
        prometheus: Prometheus::start(&[("> 691200", "> 45"), ("> 10737418240", "> 33554432")])
            .await
            .unwrap(),
        fired: BTreeSet::new(),
        cleared: BTreeSet::new(),
    };

    // Nothing is scraped; then a readside whose source is down; then one whose cache takes no connection.
    watch.fires("ReadsideAbsent", &[]).await;
    source.crash().await.unwrap();
    to_redis.set(Fault::BlackHole);
    let process = project.start(&[]).await.unwrap();
    let target = project.admin_url().replace("http://", "");
    watch.prometheus.scrape(&target).await.unwrap();
    watch.clears("ReadsideAbsent", &[]).await;
    watch.fires("ReadsideNotRunning", &[]).await;
    watch.fires("ReadsideSourceDisconnected", &[]).await;
    source.restart().await.unwrap();
    let application = Application::start(url.clone());
    watch.clears("ReadsideNotRunning", &[]).await;
    watch.clears("ReadsideSourceDisconnected", &[]).await;
    watch
        .fires("ReadsideViewNotLive", &[("sink", "cache")])
        .await;
    watch.fires("ReadsideSinkDown", &[("sink", "cache")]).await;
    to_redis.set(Fault::Pass);
    watch.clears("ReadsideViewNotLive", &[]).await;
    watch.clears("ReadsideSinkDown", &[]).await;

    // All is well.
    project.wait_caught_up(LIMIT).await.unwrap();
    verify(&project, &[], 0).await;
    watch.all_is_well().await;
    check_everything(&watch.prometheus, &EMPTY_WHEN_WELL)
        .await
        .unwrap();
    for wrong in [
        "readside_dead_lettres",
        "sum by (veiw) (readside_dead_letters)",
        "readside_dead_letters{veiw=\"orders\"}",
        "readside_dead_letters{view=\"odrers\"}",
    ] {
        let found = answered(&watch.prometheus, wrong, "", false).await;
        assert!(found.is_err(), "nothing is found wrong with `{wrong}`");
    }
    let named = answered(
        &watch.prometheus,
        "readside_dead_letters",
        "{{veiw}}",
        false,
    )
    .await;
    assert!(named.is_err());
    check_metrics(&watch.prometheus).await;
    let client = source.client("app").await.unwrap();
    check_that_counts_move(&project, &process, &client).await;
    check_that_a_rebuild_is_seen(&project, &watch.prometheus).await;
    let sql = dashboards::runbook_sql().unwrap();
    assert!(sql.len() > 5);
    for block in sql {
        let client = source.client("app").await.unwrap();
        let ran = client.batch_execute(&block).await;
        ran.unwrap_or_else(|error| panic!("{error}: {block}"));
    }

    // A sink that is killed, one that answers nothing, and a source that keeps WAL for a transaction that is left open.
    redis.crash().await.unwrap();
    to_reporting.set(Fault::BlackHole);
    let open = source.client("app").await.unwrap();
    open.batch_execute("BEGIN; UPDATE orders SET note = 'mine' WHERE id = 200")
        .await
        .unwrap();
    let admin = source.client("app").await.unwrap();
    write_wal(&admin, 48).await;
    watch.fires("ReadsideSinkDown", &[("sink", "cache")]).await;
    watch.fires("ReadsideViewLate", &[("sink", "cache")]).await;
    watch
        .fires("ReadsideViewStuck", &[("sink", "reporting")])
        .await;
    watch.names_part("sink").await;
    watch.fires("ReadsideSlotRetainsMuch", &[]).await;
    redis.restart().await.unwrap();
    to_reporting.set(Fault::Pass);
    admin
        .batch_execute("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
        .await
        .unwrap();
    admin
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    watch.fires("ReadsideSlotNearLimit", &[]).await;
    watch.clears("ReadsideSlotRetainsMuch", &[]).await;
    watch.clears("ReadsideSinkDown", &[]).await;
    watch.clears("ReadsideViewStuck", &[]).await;
    watch.clears("ReadsideViewLate", &[]).await;
    check_everything(&watch.prometheus, &EMPTY_WITHOUT_REBUILD)
        .await
        .unwrap();
    open.batch_execute("ROLLBACK").await.unwrap();
    until("the slot to advance", LIMIT, || async {
        // What the slot may forget is written down at a checkpoint.
        admin.batch_execute("CHECKPOINT").await?;
        let found = watch.matching("ReadsideSlotNearLimit", &[]).await?;
        ensure!(found.is_empty(), "it keeps the WAL");
        Ok(())
    })
    .await
    .unwrap();
    watch.clears("ReadsideSlotNearLimit", &[]).await;

    // A row without a value; one that somebody else wrote; a disk that is nearly full; no verify for long.
    admin
        .batch_execute("UPDATE ratio SET part = 0 WHERE id = 7")
        .await
        .unwrap();
    let mut connection = redis.connection().await.unwrap();
    redis::cmd("SET")
        .arg("orders:100000")
        .arg("{}")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    let filler = project.data().join("filler");
    if disk.is_some() {
        let status = Command::new("fallocate")
            .args([
                "-l",
                &(SmallDisk::BYTES * 93 / 100 - used(&project.data())).to_string(),
            ])
            .arg(&filler)
            .status()
            .unwrap();
        assert!(status.success());
    }
    verify(&project, &["orders"], 1).await;
    watch
        .fires(
            "ReadsideVerifyMismatch",
            &[("view", "orders"), ("sink", "cache")],
        )
        .await;
    watch
        .fires(
            "ReadsideDeadLetters",
            &[("view", "ratios"), ("sink", "cache")],
        )
        .await;
    if disk.is_some() {
        watch.fires("ReadsideDiskNearlyFull", &[]).await;
        fs::remove_file(&filler).unwrap();
        watch.clears("ReadsideDiskNearlyFull", &[]).await;
    }
    verify(&project, &["orders", "--repair"], 1).await;
    verify(&project, &["orders"], 0).await;
    watch.clears("ReadsideVerifyMismatch", &[]).await;
    admin
        .batch_execute("UPDATE ratio SET part = 7 WHERE id = 7")
        .await
        .unwrap();
    watch.clears("ReadsideDeadLetters", &[]).await;
    watch
        .fires("ReadsideVerifyOverdue", &[("view", "ratios")])
        .await;
    verify(&project, &[], 0).await;
    watch.clears("ReadsideVerifyOverdue", &[]).await;

    // A source that stops.
    source.stop_fast().await.unwrap();
    watch.fires("ReadsideSourceDisconnected", &[]).await;
    watch.names_part("source").await;
    watch.fires("ReadsideViewLate", &[("view", "orders")]).await;
    source.restart().await.unwrap();
    watch.clears("ReadsideSourceDisconnected", &[]).await;
    watch.clears("ReadsideViewLate", &[]).await;

    // A changelog that is not trimmed, since state is not flushed; then a readside that is killed.
    source
        .client("app")
        .await
        .unwrap()
        .batch_execute("UPDATE orders SET note = repeat('x', 1048576) WHERE id <= 84")
        .await
        .unwrap();
    watch.fires("ReadsideChangelogNearLimit", &[]).await;
    process.kill9().await.unwrap();
    watch.fires("ReadsideDown", &[]).await;
    let _process = project.run().await.unwrap();
    watch.clears("ReadsideDown", &[]).await;
    watch.clears("ReadsideChangelogNearLimit", &[]).await;
    project.wait_caught_up(LIMIT).await.unwrap();
    drop(application);
    project.check_converged(LIMIT).await.unwrap();

    let mut expected: BTreeSet<String> = values(&rule_file("alerts.yml").unwrap(), "alert")
        .filter(|name| !NOT_LIVE.contains(name))
        .map(str::to_owned)
        .collect();
    if disk.is_none() {
        expected.remove("ReadsideDiskNearlyFull");
    }
    assert_eq!(watch.fired, expected);
    assert_eq!(watch.cleared, expected);
}

#[tokio::test]
async fn a_source_that_has_nothing_to_say_is_not_late() {
    // It says nothing by itself, ever.
    let source = Postgres::start(15, &[("wal_sender_timeout", "0")])
        .await
        .unwrap();
    let redis = Redis::start().await.unwrap();
    let url = source.create_database("app").await.unwrap();
    let client = source.client("app").await.unwrap();
    client.batch_execute(SCHEMA).await.unwrap();
    let mut project = Project::new(&url, "readside").unwrap();
    project
        .redis("cache", &redis.url())
        .unwrap()
        .view(
            "orders",
            "SELECT id, status FROM orders",
            &[Into::sink("cache")],
        )
        .unwrap();
    let process = project.run().await.unwrap();
    project.wait_caught_up(LIMIT).await.unwrap();
    for _ in 0..80 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let lag = process
            .metric("readside_source_lag_seconds", &[])
            .await
            .unwrap();
        // Silence counts from fifteen seconds on.
        assert!(lag.is_some_and(|lag| lag < 15.0), "{lag:?}");
    }
}

/// Bytes in use on the file system of a path.
fn used(path: &Path) -> u64 {
    let output = Command::new("df")
        .args(["--output=used", "-B1"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .nth(1)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

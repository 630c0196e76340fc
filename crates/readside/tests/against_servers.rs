//! The real binary against a real Postgres and a real Redis: `check`, `explain`, `preview`, `drop`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod place;

use place::{readside, texts};
use readside_tests::postgres::Postgres;
use readside_tests::redis::Redis;

const SCHEMA: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'fine');
CREATE DOMAIN amount AS numeric(10, 2) CHECK (VALUE >= 0);
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, mood mood);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, total amount, note text, code char(4));
CREATE TABLE lines (order_id bigint NOT NULL, sku text NOT NULL, quantity int NOT NULL, PRIMARY KEY (order_id, sku));
CREATE TABLE events (what text);
INSERT INTO customers VALUES (1, 'Zoë', 'fine'), (2, 'Bo', NULL);
INSERT INTO orders VALUES (10, 1, 12.50, E'a "note"\nof two lines', 'ab'), (11, 2, NULL, NULL, 'cd');
INSERT INTO lines VALUES (10, 'a:b', 2), (10, 'c%d', 1), (11, '', 5);
"#;

/// One column has the name that whoever wraps the query may give to its rows.
const ORDERS: &str = "-- what a reader sees of an order\nSELECT o.id, o.total, o.note, o.code, c.name AS customer, c.mood AS v\n\
                      FROM orders o JOIN customers c ON c.id = o.customer_id;\n-- the end\n";
const LINES: &str = "SELECT quantity, sku, order_id FROM lines -- no semicolon";

struct Scene {
    postgres: Postgres,
    redis: Redis,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Scene {
        let postgres = Postgres::start(15, &[]).await.unwrap();
        let redis = Redis::start().await.unwrap();
        let url = postgres.create_database("shop").await.unwrap();
        let client = postgres.client("shop").await.unwrap();
        client.batch_execute(SCHEMA).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let scene = Scene {
            postgres,
            redis,
            dir,
        };
        scene.write("orders.sql", ORDERS);
        scene.write("lines.sql", LINES);
        scene.configure(&url, "");
        scene
    }

    fn configure(&self, url: &str, more: &str) {
        self.write(
            "readside.toml",
            &format!(
                "[source]\nurl = \"{url}\"\n[sinks.cache]\ntype = \"redis\"\nurl = \"{}\"\n\
                 [views.orders]\nquery = \"orders.sql\"\ninto = [{{ sink = \"cache\", key = \"order:{{id}}\" }}]\n\
                 [views.lines]\nquery = \"lines.sql\"\ninto = [{{ sink = \"cache\" }}]\n{more}",
                self.redis.url()
            ),
        );
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// The daemon, whose address is `address`, once it answers.
    async fn daemon(&self, address: &str) -> Daemon {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_readside"))
            .current_dir(self.dir.path())
            .args(["run", "--listen", address])
            .env_clear()
            .stdin(std::process::Stdio::null())
            .stderr(std::fs::File::create(self.dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let daemon = Daemon(child);
        for _ in 0..300 {
            if std::net::TcpStream::connect(address).is_ok() {
                return daemon;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!(
            "{}",
            std::fs::read_to_string(self.dir.path().join("log")).unwrap()
        );
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        texts(&readside(self.dir.path(), args, &[]))
    }
}

/// A running `readside run`; killed when dropped.
struct Daemon(std::process::Child);

impl Daemon {
    /// SIGTERM, and the exit code that follows.
    fn stop(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        std::process::Command::new("kill")
            .arg(&pid)
            .status()
            .unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_every_problem_of_views_and_source_at_once() {
    let scene = Scene::new().await;
    let (code, stdout, stderr) = scene.run(&["check"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("publication `readside`: it does not exist yet"),
        "{stdout}"
    );

    scene.write("events.sql", "SELECT what FROM events");
    scene.write("bad.sql", "SELECT id,\n  nme\nFROM customers");
    scene.configure(
        &scene.postgres.url_of("shop"),
        "[views.events]\nquery = \"events.sql\"\ninto = [{ sink = \"cache\" }]\n\
         [views.bad]\nquery = \"bad.sql\"\ninto = [{ sink = \"cache\" }]\n\
         [views.by_name]\nquery = \"orders.sql\"\ninto = [{ sink = \"cache\", key = \"by-name:{customer}\" }]\n",
    );
    let (code, stdout, _) = scene.run(&["check"]);
    assert_eq!(code, 2, "{stdout}");
    for said in [
        "view `bad`, line 2, column 3: ",
        "    nme\n    ^^^",
        "view `by_name` in sink `cache`: key template `by-name:{customer}`: ",
        "events",
    ] {
        assert!(stdout.contains(said), "{said}\n{stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_the_sql_for_a_role_that_may_not_create_anything() {
    let scene = Scene::new().await;
    let client = scene.postgres.client("shop").await.unwrap();
    client
        .batch_execute("CREATE ROLE reader LOGIN PASSWORD 'x'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        .await
        .unwrap();
    let url = format!(
        "postgres://reader:x@127.0.0.1:{}/shop",
        scene.postgres.port()
    );
    scene.configure(&url, "");
    let (code, stdout, _) = scene.run(&["check", "--json"]);
    assert_eq!(code, 1, "{stdout}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let sql: Vec<&str> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["grade"] == "error")
        .filter_map(|p| p["sql"].as_str())
        .collect();
    assert!(
        sql.iter()
            .any(|s| s.contains("ALTER ROLE reader REPLICATION")),
        "{sql:?}"
    );
    let publication = sql
        .iter()
        .find(|s| s.contains("CREATE PUBLICATION"))
        .unwrap();
    // Whoever may runs what was printed, and then nothing stands in the way.
    client.batch_execute(publication).await.unwrap();
    client
        .batch_execute("ALTER ROLE reader REPLICATION")
        .await
        .unwrap();
    let (code, stdout, _) = scene.run(&["check"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(!stdout.contains(":x@"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_shows_keys_and_documents_as_the_sink_would_get_them() {
    let scene = Scene::new().await;
    let (code, stdout, stderr) = scene.run(&["preview", "orders", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let client = scene.postgres.client("shop").await.unwrap();
    let query = ORDERS.split(';').next().unwrap();
    for line in stdout.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = row["key"].as_str().unwrap().strip_prefix("order:").unwrap();
        let document: String = client
            .query_one(
                &format!("SELECT to_jsonb(v.*)::text FROM ({query}) v WHERE id = {id}"),
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(row["document"], document.as_str());
    }
    assert_eq!(stdout.lines().count(), 2, "{stdout}");

    let (_, stdout, _) = scene.run(&["preview", "lines", "--sink", "cache"]);
    for key in ["lines:a%3Ab:10\n", "lines:c%25d:10\n", "lines:%Z:11\n"] {
        assert!(stdout.contains(key), "{key}\n{stdout}");
    }
    let (_, stdout, _) = scene.run(&["preview", "lines", "--limit", "1"]);
    assert_eq!(stdout.matches("quantity").count(), 1, "{stdout}");
    let (code, _, stderr) = scene.run(&["preview", "lines", "--sink", "search"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("its sinks are `cache`"), "{stderr}");
    let (code, _, stderr) = scene.run(&["preview", "order"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("did you mean `orders`?"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_the_key_and_agrees_with_postgres_about_the_columns() {
    let scene = Scene::new().await;
    let (code, stdout, stderr) = scene.run(&["explain", "orders", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(plan["key"][0]["name"], "id");
    let types: Vec<&str> = plan["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(types[0], "bigint");
    assert_eq!(types[2..], ["text", "character(4)", "text", "mood"]);
    let (code, stdout, _) = scene.run(&["explain", "orders"]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("view orders\n"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_users_types_and_rows_are_of_the_types_that_postgres_says() {
    let scene = Scene::new().await;
    scene.write(
        "kinds.sql",
        "SELECT c.id, c, ARRAY[c.mood] AS moods, ARRAY(SELECT o.total FROM orders o) AS totals,
                (SELECT array_agg(o ORDER BY o.id) FROM orders o) AS orders FROM customers c",
    );
    scene.configure(
        &scene.postgres.url_of("shop"),
        "[views.kinds]\nquery = \"kinds.sql\"\ninto = [{ sink = \"cache\" }]\n",
    );
    let (code, stdout, stderr) = scene.run(&["explain", "kinds", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let types: Vec<&str> = plan["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        ["integer", "record", "mood[]", "amount[]", "record[]"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_removes_slot_and_publication_and_says_so() {
    let scene = Scene::new().await;
    let client = scene.postgres.client("shop").await.unwrap();
    client
        .batch_execute("CREATE PUBLICATION readside FOR TABLE orders")
        .await
        .unwrap();
    client
        .batch_execute("SELECT pg_create_logical_replication_slot('readside', 'pgoutput')")
        .await
        .unwrap();
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots)";
    let (code, ..) = scene.run(&["drop"]);
    assert_eq!(code, 2, "it has to be confirmed");
    let count: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
    let (code, _, stderr) = scene.run(&["drop", "--sinks", "--yes"]);
    assert_eq!(
        code, 4,
        "what was written can't be told without the data directory: {stderr}"
    );
    let (code, stdout, stderr) = scene.run(&["drop", "--yes"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("removed slot `readside` and publication `readside`"));
    let count: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_without_the_right_to_create_prints_the_sql_and_ends_with_4() {
    let scene = Scene::new().await;
    let client = scene.postgres.client("shop").await.unwrap();
    client
        .batch_execute("CREATE ROLE reader LOGIN REPLICATION PASSWORD 'x'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        .await
        .unwrap();
    let url = format!(
        "postgres://reader:x@127.0.0.1:{}/shop",
        scene.postgres.port()
    );
    scene.configure(&url, "[admin]\nlisten = \"127.0.0.1:0\"\n");
    let (code, stdout, stderr) = scene.run(&["run", "--until-caught-up"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stdout.contains("\nCREATE PUBLICATION"), "{stdout}");
    // What was printed can be run as it stands.
    client.batch_execute(&stdout).await.unwrap();
    let (code, stdout, stderr) = scene.run(&["run", "--until-caught-up"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_there_when_wait_returns_and_sigterm_ends_the_run_cleanly() {
    let scene = Scene::new().await;
    let port = readside_tests::Port::take().unwrap();
    let address = format!("127.0.0.1:{}", port.number());
    let daemon = scene.daemon(&address).await;
    let run = |args: &[&str]| {
        texts(&readside(
            scene.dir.path(),
            args,
            &[("READSIDE_LISTEN", &address)],
        ))
    };
    let client = scene.postgres.client("shop").await.unwrap();
    // The first fill takes a moment.
    let mut waited = run(&["wait", "--timeout", "60s"]);
    for _ in 0..100 {
        if waited.0 == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        waited = run(&["wait", "--timeout", "60s"]);
    }
    assert_eq!(waited.0, 0, "{waited:?}");

    client
        .batch_execute("UPDATE customers SET name = 'Zoe' WHERE id = 1")
        .await
        .unwrap();
    let lsn: String = client
        .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
        .await
        .unwrap()
        .get(0);
    let (code, stdout, stderr) = run(&["wait", "--view", "orders", "--lsn", &format!("1:{lsn}")]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let mut redis = scene.redis.connection().await.unwrap();
    let document: String = redis::cmd("GET")
        .arg("order:10")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(document.contains(r#""customer": "Zoe""#), "{document}");

    let (code, stdout, stderr) = run(&["verify", "--json"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    redis::cmd("SET")
        .arg("order:10")
        .arg("{}")
        .exec_async(&mut redis)
        .await
        .unwrap();
    redis::cmd("DEL")
        .arg("order:11")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let (code, stdout, _) = run(&["verify", "orders", "--json"]);
    assert_eq!(code, 1);
    assert_eq!(
        stdout.trim_end(),
        r#"{"views":[{"view":"orders","sink":"cache","missing":["11"],"stale":["10"],"ghost":[],"in_doubt":[]}]}"#
    );
    let (code, ..) = run(&["verify", "--repair"]);
    assert_eq!(code, 1, "it differed");
    assert_eq!(run(&["wait"]).0, 0);
    let (code, stdout, _) = run(&["verify"]);
    assert_eq!(code, 0, "{stdout}");

    let (code, _, stderr) = run(&["wait", "--view", "nope"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("`nope`") && stderr.contains("lines, orders"),
        "{stderr}"
    );
    let (code, _, stderr) = run(&["wait", "--lsn", "FFFFFF/0", "--timeout", "1s"]);
    assert!(matches!(code, 1 | 2), "{code} {stderr}");
    let (code, stdout, _) = run(&["status"]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("order:{id}") && stdout.contains("lines:…"),
        "{stdout}"
    );

    let (code, _, stderr) = run(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 4, "one data directory, one process");
    assert!(stderr.contains("is in use by another readside"), "{stderr}");
    let (code, _, stderr) = run(&["drop", "--yes"]);
    assert_eq!(code, 4, "not while it runs: {stderr}");

    let began = std::time::Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(began.elapsed().as_secs() < 10);

    // A sink that lost everything meanwhile is not taken for one that has caught up.
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    let (code, _, stderr) = run(&["run", "--until-caught-up"]);
    assert_eq!(code, 0, "{stderr}");
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap();
    assert_eq!(
        keys,
        2 + 3 + 1 + 2,
        "orders, lines, the marker and two receipts"
    );

    let (code, _, stderr) = run(&["drop", "--sinks", "--yes"]);
    assert_eq!(code, 0, "{stderr}");
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap();
    assert_eq!(keys, 0, "nothing of ours is left");
}

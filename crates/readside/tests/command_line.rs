//! The real binary, without any server: help, refusals, exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod place;

use std::path::Path;

use place::{readside, texts};

/// A file of `tests/expected`; with `READSIDE_BLESS` set it is written instead.
fn assert_expected(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/expected")
        .join(name);
    if std::env::var_os("READSIDE_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{name} differs; READSIDE_BLESS=1 accepts it\n--- expected\n{expected}\n--- actual\n{actual}"
    );
}

const COMMANDS: [&str; 9] = [
    "check",
    "preview",
    "explain",
    "run",
    "status",
    "wait",
    "verify",
    "dead-letters",
    "drop",
];

#[test]
fn help_reads_as_expected() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = texts(&readside(dir.path(), &["--help"], &[]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let mut all = stdout;
    for command in COMMANDS {
        let (code, stdout, _) = texts(&readside(dir.path(), &[command, "--help"], &[]));
        assert_eq!(code, 0, "{command}");
        // The flags of every command are shown once, above.
        let own: Vec<&str> = stdout.lines().collect();
        all.push_str(&format!("\n==== {command}\n"));
        all.push_str(&own.join("\n"));
        all.push('\n');
    }
    assert_expected("help.txt", &all);
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["frobnicate"][..],
        &["wait", "--lsn", "nonsense"],
        &["wait", "--timeout", "10"],
        &["explain"],
        &["status", "--log-format", "xml"],
        &["status", "--log", "readside=loudly"],
    ] {
        let (code, stdout, stderr) = texts(&readside(dir.path(), args, &[]));
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}");
        assert!(stderr.starts_with("error: "), "{args:?} {stderr}");
    }
}

#[test]
fn without_a_file_every_command_that_needs_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["explain", "v"][..],
        &["preview", "v"],
        &["run"],
        &["drop", "--yes"],
        &["status", "--config", "elsewhere.toml"],
    ] {
        let (code, _, stderr) = texts(&readside(dir.path(), args, &[]));
        assert_eq!(code, 2, "{args:?}");
        assert!(
            stderr.contains(".toml` can't be read") && stderr.contains("hint: "),
            "{args:?} {stderr}"
        );
    }
    let (code, stdout, stderr) = texts(&readside(dir.path(), &["check"], &[]));
    assert_eq!((code, stderr.as_str()), (2, "1 problem\n"));
    assert!(stdout.contains("`readside.toml` can't be read"), "{stdout}");
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn client_commands_end_with_3_when_nobody_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    for args in [&["status"][..], &["wait"], &["verify"], &["dead-letters"]] {
        let (code, stdout, stderr) = texts(&readside(
            dir.path(),
            args,
            &[("READSIDE_LISTEN", &address)],
        ));
        assert_eq!((code, stdout.as_str()), (3, ""), "{args:?}");
        assert!(
            stderr.starts_with(&format!("error: no readside at `{address}`: ")),
            "{args:?} {stderr}"
        );
    }
}

const CONFIG: &str = r#"
[source]
url = "postgres://nobody@127.0.0.1:PORT/shop"
password = { env = "PW" }
[sinks.cache]
type = "redis"
url = "redis://127.0.0.1:PORT"
[views.orders]
query = "orders.sql"
into = [{ sink = "cache" }]
"#;

fn project(sql: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("PORT", &free_port().to_string());
    std::fs::write(dir.path().join("readside.toml"), config).unwrap();
    std::fs::write(dir.path().join("orders.sql"), sql).unwrap();
    dir
}

#[test]
fn check_offline_needs_neither_secrets_nor_servers() {
    let dir = project("SELECT id FROM orders;\n");
    let (code, stdout, stderr) = texts(&readside(dir.path(), &["check", "--offline"], &[]));
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let (code, ..) = texts(&readside(
        dir.path(),
        &["check"],
        &[("READSIDE_OFFLINE", "1")],
    ));
    assert_eq!(code, 0);
    let (code, stdout, _) = texts(&readside(dir.path(), &["check"], &[]));
    assert_eq!(code, 2);
    assert!(
        stdout.contains("the environment variable `PW` is not set"),
        "{stdout}"
    );
}

#[test]
fn check_offline_points_at_a_syntax_error() {
    let dir = project("SELECT id,\nFROM orders WHERE (id = 1");
    let (code, stdout, _) = texts(&readside(dir.path(), &["check", "--offline"], &[]));
    assert_eq!(code, 2);
    assert!(stdout.contains("view `orders`, line 2, column"), "{stdout}");
    let (code, stdout, _) = texts(&readside(
        dir.path(),
        &["check", "--offline", "--json"],
        &[],
    ));
    assert_eq!(code, 2);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["problems"][0]["grade"], "refused");
}

#[test]
fn check_reports_source_and_sinks_that_do_not_answer_together() {
    let dir = project("SELECT id FROM orders");
    let (code, stdout, _) = texts(&readside(dir.path(), &["check"], &[("PW", "hunter2")]));
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("cannot reach Postgres"), "{stdout}");
    assert!(
        stdout.matches("error: ").count() >= 2,
        "the sink does not answer either: {stdout}"
    );
    assert!(!stdout.contains("hunter2"), "{stdout}");
}

#[test]
fn drop_asks_and_without_a_terminal_refuses() {
    let dir = project("SELECT id FROM orders");
    let (code, stdout, stderr) = texts(&readside(
        dir.path(),
        &["drop", "--sinks"],
        &[("PW", "hunter2")],
    ));
    assert_eq!((code, stdout.as_str()), (2, ""));
    for said in [
        "slot `readside`",
        "publication `readside`",
        "sink `cache`",
        "add --yes",
    ] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

//! The conformance suite and the Postgres sink's own promises, against a real Postgres.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use readside_model::{Body, KeyPart, Lsn, Version, encode_key_text};
use readside_pgtype::{EnumType, OtherType, RecordType, Type};
use readside_sink::conformance::{self, Probe, Violation};
use readside_sink::{
    Batch, Marker, Outcome, Sink, SinkError, TargetColumn, ViewTarget, ViewWrites, Write,
};
use readside_sinks::{SinkConfig, build};
use readside_tests::postgres::Postgres;
use serde_json::json;
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

struct PostgresProbe {
    server: Mutex<Postgres>,
    url: String,
}

fn failed(error: impl std::fmt::Debug) -> Violation {
    Violation::Probe(format!("{error:?}"))
}

impl PostgresProbe {
    async fn start() -> PostgresProbe {
        let server = Postgres::start(15, &[]).await.unwrap();
        PostgresProbe {
            url: server.url(),
            server: Mutex::new(server),
        }
    }

    async fn client(&self) -> Result<Client, Violation> {
        readside_tests::postgres::connect(&self.url)
            .await
            .map_err(failed)
    }

    async fn execute(&self, sql: &str) -> Result<(), Violation> {
        self.client()
            .await?
            .batch_execute(sql)
            .await
            .map_err(failed)
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Violation> {
        let messages = self
            .client()
            .await?
            .simple_query(sql)
            .await
            .map_err(failed)?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|i| row.get(i).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect())
    }
}

#[async_trait]
impl Probe for PostgresProbe {
    fn open(&self, instance: &str, owner_epoch: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let config = json!({"type": "postgres", "url": self.url, "schema": "Read Models"});
        build(
            serde_json::from_value(config).unwrap(),
            instance,
            owner_epoch,
        )
    }

    fn location(&self, view: &str) -> String {
        format!("{view} table")
    }

    async fn content(&self, target: &ViewTarget) -> Result<BTreeMap<String, Body>, Violation> {
        let exists = self
            .rows(&format!(
                "SELECT 1 FROM pg_tables WHERE schemaname = 'Read Models' AND tablename = '{}'",
                target.location
            ))
            .await?;
        if exists.is_empty() {
            return Ok(BTreeMap::new());
        }
        let columns: Vec<String> = target
            .columns
            .iter()
            .map(|c| format!("\"{}\"", c.name))
            .collect();
        let sql = format!(
            "SELECT {}, {} FROM \"Read Models\".\"{}\"",
            if target.key_nullable { "_key" } else { "id" },
            columns.join(", "),
            target.location
        );
        let rows = self.rows(&sql).await?;
        Ok(rows
            .into_iter()
            .map(|mut row| {
                let columns = row
                    .split_off(1)
                    .into_iter()
                    .map(|v| v.map(Bytes::from))
                    .collect();
                (row.remove(0).unwrap(), Body::Columns(columns))
            })
            .collect())
    }

    async fn plant_ghost(
        &self,
        target: &ViewTarget,
        key: &str,
        _body: &Body,
    ) -> Result<(), Violation> {
        self.execute(&format!(
            "INSERT INTO \"Read Models\".\"{}\" VALUES ({key}, 'ghost')",
            target.location
        ))
        .await
    }

    async fn plant_foreign(&self, target: &ViewTarget) -> Result<(), Violation> {
        self.execute(&format!(
            "CREATE TABLE \"Read Models\".\"{}s\" (id bigint)",
            target.location
        ))
        .await
    }

    async fn foreign_is_intact(&self, target: &ViewTarget) -> Result<bool, Violation> {
        let rows = self
            .rows(&format!(
                "SELECT to_regclass('\"Read Models\".\"{}s\"')",
                target.location
            ))
            .await?;
        Ok(rows[0][0].is_some())
    }

    async fn occupy(&self, view: &str) -> Result<Option<String>, Violation> {
        let location = self.location(view);
        self.execute(&format!(
            "CREATE TABLE \"Read Models\".\"{location}\" (id bigint PRIMARY KEY, name text)"
        ))
        .await?;
        Ok(Some(location))
    }

    async fn remove_place(&self, target: &ViewTarget) -> Result<bool, Violation> {
        self.execute(&format!(
            "DROP TABLE \"Read Models\".\"{}\"",
            target.location
        ))
        .await?;
        Ok(true)
    }

    async fn remove_marker(&self, instance: &str) -> Result<(), Violation> {
        self.execute(&format!(
            "DELETE FROM \"Read Models\"._readside_marker WHERE instance = '{instance}'"
        ))
        .await
    }

    fn refused_body(&self, id: i64) -> Option<Body> {
        Some(Body::Columns(vec![
            Some(Bytes::from(format!("{id}x"))),
            Some(Bytes::from_static(b"not a number")),
        ]))
    }

    fn keeps_versions(&self) -> bool {
        false
    }

    async fn restart_server(&self) -> Result<(), Violation> {
        self.server.lock().await.restart().await.map_err(failed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let probe = PostgresProbe::start().await;
    conformance::run(&probe).await.unwrap();
}

fn target(view: &str, columns: &[(&str, Type)], key: &[usize]) -> ViewTarget {
    ViewTarget {
        view: view.to_owned(),
        location: String::new(),
        columns: columns
            .iter()
            .map(|(name, ty)| TargetColumn {
                name: (*name).to_owned(),
                ty: ty.clone(),
                typmod: -1,
                not_null: false,
            })
            .collect(),
        key: key.iter().copied().map(Some).collect(),
        key_nullable: false,
        mapping: None,
        generation: 1,
    }
}

fn marker(version: u64) -> Marker {
    Marker {
        instance: "i".to_owned(),
        owner_epoch: "e".to_owned(),
        offset: 0,
        version_max: version,
        sink: String::new(),
        raised: 0,
        sequence: 0,
        views: BTreeMap::new(),
    }
}

fn batch(version: u64, views: Vec<Vec<Write>>) -> Batch {
    Batch {
        position: Lsn(version),
        version: Version(version),
        views: views
            .into_iter()
            .enumerate()
            .map(|(target, writes)| ViewWrites { target, writes })
            .collect(),
        marker: Some(marker(version)),
    }
}

fn write(key: &[&str], columns: Option<&[Option<&str>]>) -> Write {
    let parts: Vec<KeyPart> = key.iter().map(|k| KeyPart::Text((*k).to_owned())).collect();
    Write {
        key: Arc::from(encode_key_text(&parts)),
        key_parts: key.iter().map(|k| Some(Arc::from(*k))).collect(),
        body: columns.map(|columns| {
            Body::Columns(
                columns
                    .iter()
                    .map(|c| c.map(|c| Bytes::copy_from_slice(c.as_bytes())))
                    .collect(),
            )
        }),
    }
}

fn all_applied(outcomes: &[Vec<Outcome>]) -> bool {
    outcomes.iter().flatten().all(|o| *o == Outcome::Applied)
}

async fn prepared(probe: &PostgresProbe, targets: &[ViewTarget]) -> Arc<dyn Sink> {
    let sink = probe.open("i", "e").unwrap();
    sink.fence().await.unwrap();
    sink.prepare(targets).await.unwrap();
    sink
}

/// Each type's text comes back, as a primary key where it can be one.
#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_was_given() {
    let probe = PostgresProbe::start().await;
    let mood = Type::Enum(Arc::new(EnumType {
        oid: 20_000,
        name: "mood".to_owned(),
        labels: Vec::new(),
    }));
    let pair = Type::Record(Arc::new(RecordType {
        oid: 2249,
        fields: Vec::new(),
    }));
    let inet = Type::Other(Arc::new(OtherType {
        oid: 869,
        name: "inet".to_owned(),
    }));
    let cases: Vec<(Type, Vec<&str>, bool)> = vec![
        (Type::Bool, vec!["t", "f"], true),
        (Type::Int2, vec!["-32768", "7"], true),
        (Type::Int8, vec!["9223372036854775807"], true),
        (
            Type::Numeric,
            vec![
                "1.00",
                "0",
                "-0.5000",
                "NaN",
                "Infinity",
                "100",
                "123456789012345678901234567890.10",
            ],
            true,
        ),
        (Type::Float4, vec!["0.1", "-Infinity", "1e+30"], true),
        (Type::Float8, vec!["-0", "NaN", "0.1", "1e-300"], true),
        (
            Type::Text,
            vec!["", " ", "a:b%", "é\\n\n\t\u{1}", "\\N", "'"],
            true,
        ),
        (Type::Bpchar, vec!["a  ", "b"], true),
        (Type::Bytea, vec!["\\x00ff", "\\x"], true),
        (
            Type::Date,
            vec!["2024-02-29", "0044-03-15 BC", "infinity"],
            true,
        ),
        (Type::Time, vec!["24:00:00", "00:00:00.000001"], true),
        (
            Type::TimestampTz,
            vec![
                "2024-02-29 12:00:00.123456+00",
                "-infinity",
                "0044-03-15 00:00:00+00 BC",
            ],
            true,
        ),
        (
            Type::Uuid,
            vec!["11111111-2222-3333-4444-555555555555"],
            true,
        ),
        (mood, vec!["happy, very", "sad"], true),
        (
            Type::Interval,
            vec!["1 mon -1 days +02:03:04.5", "24:00:00", "1 day"],
            false,
        ),
        (Type::Json, vec!["{\"b\":1,  \"a\":[1, 2]}"], false),
        (Type::Jsonb, vec!["{\"a\": [1, 2.50], \"b\": null}"], false),
        (
            Type::Array(Arc::new(Type::Text)),
            vec!["{}", "{a,NULL,\"b c\",\"\\\"\"}"],
            false,
        ),
        (pair, vec!["(1,\"a b\")"], false),
        (inet, vec!["10.0.0.0/8"], false),
    ];
    let columns = |ty: &Type| [("k", ty.clone()), ("v", ty.clone())];
    let targets: Vec<ViewTarget> = cases
        .iter()
        .enumerate()
        .map(|(i, (ty, _, _))| target(&format!("v{i}"), &columns(ty), &[0]))
        .collect();
    let sink = prepared(&probe, &targets).await;
    let key = |ty: &Type, text: &str| match ty {
        Type::Numeric if text.contains('.') => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Type::Bpchar => text.trim_end().to_owned(),
        Type::Bool => (if text == "t" { "true" } else { "false" }).to_owned(),
        Type::Float8 if text == "-0" => "0".to_owned(),
        _ => text.to_owned(),
    };
    let views: Vec<Vec<Write>> = cases
        .iter()
        .map(|(ty, values, _)| {
            values
                .iter()
                .map(|v| write(&[&key(ty, v)], Some(&[Some(v), Some(v)])))
                .collect()
        })
        .collect();
    let outcomes = sink.write(&batch(8, views.clone())).await.unwrap();
    assert!(all_applied(&outcomes), "{outcomes:?}");
    for (i, (ty, _, primary)) in cases.iter().enumerate() {
        let expected: BTreeMap<String, Body> = views[i]
            .iter()
            .map(|w| (w.key.to_string(), w.body.clone().unwrap()))
            .collect();
        let mut found = BTreeMap::new();
        let mut after = None;
        loop {
            let page = sink.read_page(i, after, 2).await.unwrap();
            found.extend(
                page.rows
                    .into_iter()
                    .map(|row| (row.key.to_string(), row.body)),
            );
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, expected, "{ty:?}");
        let keys: Vec<Arc<str>> = views[i].iter().map(|w| Arc::clone(&w.key)).collect();
        assert_eq!(
            sink.read_keys(i, &keys).await.unwrap().len(),
            keys.len(),
            "{ty:?}"
        );
        let hidden = probe
            .rows(&format!("SELECT 1 FROM information_schema.columns WHERE table_name = 'v{i}' AND column_name = '_key'"))
            .await
            .unwrap();
        assert_eq!(hidden.is_empty(), *primary, "{ty:?}");
    }
    let deletes = views
        .into_iter()
        .map(|v| v.into_iter().map(|w| Write { body: None, ..w }).collect())
        .collect();
    assert!(all_applied(&sink.write(&batch(16, deletes)).await.unwrap()));
    for i in 0..cases.len() {
        assert!(sink.read_page(i, None, 10).await.unwrap().rows.is_empty());
    }
}

fn two_views() -> [ViewTarget; 2] {
    [
        target("orders", &[("id", Type::Int8), ("n", Type::Numeric)], &[0]),
        target("totals", &[("day", Type::Date), ("n", Type::Numeric)], &[0]),
    ]
}

/// A reader in the middle of many batches never sees one view ahead of the other.
#[tokio::test(flavor = "multi_thread")]
async fn readers_see_all_views_at_one_moment() {
    let probe = PostgresProbe::start().await;
    let sink = prepared(&probe, &two_views()).await;
    let at = |version: u64| {
        let n = version.to_string();
        batch(
            version,
            vec![
                vec![write(&["1"], Some(&[Some("1"), Some(&n)]))],
                vec![write(
                    &["2024-01-01"],
                    Some(&[Some("2024-01-01"), Some(&n)]),
                )],
            ],
        )
    };
    sink.write(&at(8)).await.unwrap();
    let client = probe.client().await.unwrap();
    let reader = tokio::spawn(async move {
        let sql = "SELECT n = (SELECT n FROM \"Read Models\".totals) AND ('0/' || to_hex(n::bigint))::pg_lsn = \
                   (SELECT position FROM \"Read Models\"._readside_marker) FROM \"Read Models\".orders";
        for _ in 0..300 {
            assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
        }
    });
    let mut version = 16;
    while !reader.is_finished() {
        sink.write(&at(version)).await.unwrap();
        version += 8;
    }
    reader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_row_is_not_written_and_a_changed_scale_is() {
    let probe = PostgresProbe::start().await;
    let sink = prepared(&probe, &two_views()[..1]).await;
    let row = |n: &str| batch(8, vec![vec![write(&["1"], Some(&[Some("1"), Some(n)]))]]);
    let state = async || {
        probe
            .rows("SELECT xmin, n FROM \"Read Models\".orders")
            .await
            .unwrap()
    };
    sink.write(&row("1.0")).await.unwrap();
    let first = state().await;
    sink.write(&row("1.0")).await.unwrap();
    assert_eq!(state().await, first);
    sink.write(&row("1.00")).await.unwrap();
    assert_eq!(state().await[0][1].as_deref(), Some("1.00"));
}

/// A transaction of an earlier life that still holds the marker row, on a connection that nobody reads any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_life_cannot_commit_after_the_fence() {
    let probe = PostgresProbe::start().await;
    let former = prepared(&probe, &two_views()[..1]).await;
    let row = |n: &str| batch(8, vec![vec![write(&["1"], Some(&[Some("1"), Some(n)]))]]);
    former.write(&row("1")).await.unwrap();
    // Somebody holds the row that is to be merged, so the former life's transaction stays open.
    let holder = probe.client().await.unwrap();
    holder
        .batch_execute("BEGIN; UPDATE \"Read Models\".orders SET n = n")
        .await
        .unwrap();
    let late = {
        let former = Arc::clone(&former);
        let batch = row("2");
        tokio::spawn(async move { former.write(&batch).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let successor = probe.open("i", "e2").unwrap();
    successor.fence().await.unwrap();
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(late.await.unwrap().is_err());
    let rows = probe
        .rows("SELECT n FROM \"Read Models\".orders")
        .await
        .unwrap();
    assert_eq!(rows[0][0].as_deref(), Some("1"));
    // Nor does it write on: its place is taken.
    let mut taken = marker(16);
    taken.owner_epoch = "e2".to_owned();
    successor.prepare(&two_views()[..1]).await.unwrap();
    successor.write_marker(&taken).await.unwrap();
    assert!(matches!(
        former.write(&row("3")).await,
        Err(SinkError::Unavailable(_) | SinkError::Fenced(_))
    ));
    assert!(matches!(
        former.write(&row("3")).await,
        Err(SinkError::Fenced(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_shape_is_made_anew_only_if_it_is_empty() {
    let probe = PostgresProbe::start().await;
    let [old, _] = two_views();
    let new = target("orders", &[("id", Type::Int8), ("name", Type::Text)], &[0]);
    let sink = prepared(&probe, std::slice::from_ref(&old)).await;
    sink.prepare(std::slice::from_ref(&new)).await.unwrap();
    let row = write(&["1"], Some(&[Some("1"), Some("one")]));
    sink.write(&batch(8, vec![vec![row]])).await.unwrap();
    let error = sink.prepare(&[old]).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Operator { hint, .. } if hint.contains("DROP TABLE")),
        "{error}"
    );
    let rows = probe
        .rows("SELECT name FROM \"Read Models\".orders")
        .await
        .unwrap();
    assert_eq!(rows[0][0].as_deref(), Some("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_is_lost_and_a_missing_right_is_for_the_operator() {
    let probe = PostgresProbe::start().await;
    let sink = prepared(&probe, &two_views()[..1]).await;
    probe
        .execute("DROP TABLE \"Read Models\".orders")
        .await
        .unwrap();
    let row = || batch(8, vec![vec![write(&["1"], Some(&[Some("1"), None]))]]);
    assert!(matches!(sink.write(&row()).await, Err(SinkError::Lost(_))));
    sink.prepare(&two_views()[..1]).await.unwrap();
    assert!(all_applied(&sink.write(&row()).await.unwrap()));
    probe
        .execute("DROP SCHEMA \"Read Models\" CASCADE")
        .await
        .unwrap();
    assert!(matches!(sink.write(&row()).await, Err(SinkError::Lost(_))));

    probe
        .execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        .await
        .unwrap();
    let url = probe.url.replace("postgres:postgres@", "guest:guest@");
    let config: SinkConfig =
        serde_json::from_value(json!({"type": "postgres", "url": url, "schema": "reports"}))
            .unwrap();
    let error = build(config, "i", "e").unwrap().check().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("CREATE SCHEMA \"reports\" AUTHORIZATION guest"),
        "{error}"
    );
    let config: SinkConfig = serde_json::from_value(
        json!({"type": "postgres", "url": url, "password": "wrong", "schema": "reports"}),
    )
    .unwrap();
    let error = build(config, "i", "e").unwrap().check().await.unwrap_err();
    assert!(matches!(error, SinkError::Operator { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_others_built_on_is_not_dropped_from_under_them() {
    let probe = PostgresProbe::start().await;
    let [orders, totals] = two_views();
    let sink = prepared(&probe, &[orders.clone(), totals.clone()]).await;
    probe
        .execute("CREATE VIEW dashboard AS SELECT sum(n) FROM \"Read Models\".totals")
        .await
        .unwrap();
    let error = sink
        .drop_all(&[orders.clone(), totals.clone()])
        .await
        .unwrap_err();
    assert!(matches!(&error, SinkError::Operator { .. }), "{error}");
    probe.rows("SELECT * FROM dashboard").await.unwrap();
    probe.execute("DROP VIEW dashboard").await.unwrap();
    sink.drop_all(&[orders, totals]).await.unwrap();
    let left = probe
        .rows("SELECT 1 FROM pg_namespace WHERE nspname = 'Read Models'")
        .await
        .unwrap();
    assert!(left.is_empty());
}

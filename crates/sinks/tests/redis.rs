//! The conformance suite and Redis' own promises, against a real Redis.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use readside_model::{Body, Lsn, Version};
use readside_pgtype::Type;
use readside_sink::conformance::{self, Probe, Violation};
use readside_sink::{Batch, Outcome, Sink, SinkError, TargetColumn, ViewTarget, ViewWrites, Write};
use readside_sinks::{SinkConfig, build};
use readside_tests::redis::Redis;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

struct RedisProbe {
    server: Mutex<Redis>,
    url: String,
}

fn failed(error: impl std::fmt::Display) -> Violation {
    Violation::Probe(error.to_string())
}

fn config(url: &str) -> SinkConfig {
    serde_json::from_value(serde_json::json!({"type": "redis", "url": url})).unwrap()
}

/// The key text in a key of `<view>-rows:{…}`, which is what the suite's views get.
fn key_text(target: &ViewTarget, key: &str) -> Option<String> {
    let text = key.strip_prefix(&format!("{}-rows:", target.view));
    match target.key.is_empty() {
        true => (key == target.location).then(|| "%G".to_owned()),
        false => text.map(str::to_owned),
    }
}

impl RedisProbe {
    async fn connection(&self) -> Result<MultiplexedConnection, Violation> {
        readside_tests::redis::connect(&self.url)
            .await
            .map_err(failed)
    }
}

#[async_trait]
impl Probe for RedisProbe {
    fn open(&self, instance: &str, owner_epoch: &str) -> Result<Arc<dyn Sink>, SinkError> {
        build(config(&self.url), instance, owner_epoch)
    }

    fn location(&self, view: &str) -> String {
        match view {
            "c_keys" => format!("{view}-rows:{{a}}:{{b}}"),
            "c_global" => format!("{view}-rows"),
            _ => format!("{view}-rows:{{id}}"),
        }
    }

    async fn content(&self, target: &ViewTarget) -> Result<BTreeMap<String, Body>, Violation> {
        let mut connection = self.connection().await?;
        let keys: Vec<String> = connection
            .keys(format!("{}-rows*", target.view))
            .await
            .map_err(failed)?;
        let mut content = BTreeMap::new();
        for key in keys {
            let Some(mut text) = key_text(target, &key) else {
                continue;
            };
            // A hashed key of two pieces ends with the second one, which is empty.
            if target.key.len() == 2 && text.starts_with("%H") {
                text.pop();
            }
            let value: redis::RedisResult<Vec<u8>> = connection.get(&key).await;
            if let Ok(value) = value {
                content.insert(text, Body::Json(Bytes::from(value)));
            }
        }
        content.retain(|key, _| !key.contains(":lock") && !key.starts_with("cart"));
        Ok(content)
    }

    async fn plant_ghost(
        &self,
        target: &ViewTarget,
        key: &str,
        body: &Body,
    ) -> Result<(), Violation> {
        let Body::Json(text) = body else {
            return Err(failed("another form"));
        };
        let key = format!("{}-rows:{key}", target.view);
        let mut connection = self.connection().await?;
        connection.set(key, &text[..]).await.map_err(failed)
    }

    async fn plant_foreign(&self, target: &ViewTarget) -> Result<(), Violation> {
        let mut connection = self.connection().await?;
        let view = &target.view;
        let _: () = connection
            .set(format!("{view}-rows:7:lock"), "1")
            .await
            .map_err(failed)?;
        let _: () = connection
            .set(format!("{view}-rows:cart"), "1")
            .await
            .map_err(failed)?;
        let _: () = connection
            .set(format!("cart-{view}"), "1")
            .await
            .map_err(failed)?;
        let _: () = connection
            .rpush("list-of-the-application", 1)
            .await
            .map_err(failed)?;
        // Even the form of our keys is no proof: only what is a row of the view goes.
        connection
            .set(format!("cart-{view}:1"), "{\"id\": 1}")
            .await
            .map_err(failed)
    }

    async fn foreign_is_intact(&self, target: &ViewTarget) -> Result<bool, Violation> {
        let mut connection = self.connection().await?;
        let view = &target.view;
        let keys = [
            format!("{view}-rows:7:lock"),
            format!("{view}-rows:cart"),
            format!("cart-{view}"),
            format!("cart-{view}:1"),
            "list-of-the-application".to_owned(),
        ];
        let count: usize = connection.exists(&keys).await.map_err(failed)?;
        Ok(count == keys.len())
    }

    async fn occupy(&self, _view: &str) -> Result<Option<String>, Violation> {
        Ok(None)
    }

    async fn remove_place(&self, _target: &ViewTarget) -> Result<bool, Violation> {
        Ok(false)
    }

    async fn remove_marker(&self, instance: &str) -> Result<(), Violation> {
        let mut connection = self.connection().await?;
        connection
            .del(format!("readside:{instance}:marker"))
            .await
            .map_err(failed)
    }

    fn refused_body(&self, _id: i64) -> Option<Body> {
        Some(Body::Json(Bytes::from(vec![b'x'; 6 * 1024 * 1024])))
    }

    fn keeps_versions(&self) -> bool {
        false
    }

    async fn restart_server(&self) -> Result<(), Violation> {
        self.server.lock().await.restart().await.map_err(failed)
    }
}

async fn probe(settings: &[(&str, &str)]) -> RedisProbe {
    let server = Redis::start_with(settings).await.unwrap();
    RedisProbe {
        url: server.url(),
        server: Mutex::new(server),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let probe = probe(&[("appendfsync", "always"), ("proto-max-bulk-len", "5mb")]).await;
    conformance::run(&probe).await.unwrap();
}

/// A value above the server's limit makes it close the connection; only that row may suffer.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_above_the_servers_limit_is_refused_alone() {
    let probe = probe(&[("proto-max-bulk-len", "1mb")]).await;
    let sink = prepared(&probe, "i", "v:{id}").await;
    let mut writes = vec![put(1, "{\"id\": 1}"), put(2, ""), put(3, "{\"id\": 3}")];
    writes[1].body = probe.refused_body(2);
    let outcomes = sink.write(&batch(writes)).await.unwrap().concat();
    assert!(
        matches!(
            &outcomes[..],
            [Outcome::Applied, Outcome::Refused(_), Outcome::Applied]
        ),
        "{outcomes:?}"
    );
    let mut connection = probe.connection().await.unwrap();
    let count: usize = connection.exists(&["v:1", "v:2", "v:3"]).await.unwrap();
    assert_eq!(count, 2);
}

fn target(location: &str) -> ViewTarget {
    ViewTarget {
        view: "v".to_owned(),
        location: location.to_owned(),
        columns: vec![TargetColumn {
            name: "id".to_owned(),
            ty: Type::Int8,
            typmod: -1,
            not_null: true,
        }],
        key: vec![Some(0)],
        key_nullable: false,
        mapping: None,
        generation: 1,
    }
}

async fn prepared(probe: &RedisProbe, instance: &str, location: &str) -> Arc<dyn Sink> {
    let sink = probe.open(instance, "e").unwrap();
    sink.prepare(&[target(location)]).await.unwrap();
    sink
}

fn put(id: i64, text: &str) -> Write {
    Write {
        key: Arc::from(id.to_string()),
        key_parts: vec![Some(Arc::from(id.to_string()))],
        body: Some(Body::Json(Bytes::copy_from_slice(text.as_bytes()))),
    }
}

fn batch(writes: Vec<Write>) -> Batch {
    Batch {
        position: Lsn(8),
        version: Version(8),
        views: vec![ViewWrites { target: 0, writes }],
        marker: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_means_later_and_not_a_dead_letter() {
    let probe = probe(&[("maxmemory", "3mb"), ("maxmemory-policy", "noeviction")]).await;
    let sink = prepared(&probe, "i", "v:{id}").await;
    let filler = format!("{{\"id\": \"{}\"}}", "x".repeat(100_000));
    let writes: Vec<Write> = (0..100).map(|id| put(id, &filler)).collect();
    let error = sink.write(&batch(writes)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error}");
    let mut connection = probe.connection().await.unwrap();
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "100mb"])
        .query_async(&mut connection)
        .await
        .unwrap();
    sink.fence().await.unwrap();
    let writes: Vec<Write> = (0..100).map(|id| put(id, &filler)).collect();
    let outcomes = sink.write(&batch(writes)).await.unwrap().concat();
    assert!(outcomes.iter().all(|o| *o == Outcome::Applied));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicting_policy_is_warned_of_and_a_replica_refused() {
    let evicting = probe(&[("maxmemory-policy", "allkeys-lru")]).await;
    let warnings = evicting.open("i", "e").unwrap().check().await.unwrap();
    assert!(
        warnings
            .iter()
            .any(|w| w.contains("allkeys-lru") && w.contains("hint:")),
        "{warnings:?}"
    );

    let port = evicting.server.lock().await.port();
    let replica = probe(&[("replicaof", &format!("127.0.0.1 {port}"))]).await;
    let error = replica.open("i", "e").unwrap().check().await.unwrap_err();
    assert!(matches!(error, SinkError::Operator { .. }), "{error}");
    let sink = prepared(&replica, "i", "v:{id}").await;
    let error = sink.write(&batch(vec![put(1, "{}")])).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error}");
    assert!(evicting.open("i", "e").unwrap().check().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_for_the_operator() {
    let probe = probe(&[]).await;
    let mut connection = probe.connection().await.unwrap();
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "right horse"])
        .query_async(&mut connection)
        .await
        .unwrap();
    let open = |password: &str| {
        let config = serde_json::json!({"type": "redis", "url": probe.url, "password": password});
        build(serde_json::from_value(config).unwrap(), "i", "e").unwrap()
    };
    let error = open("wrong").check().await.unwrap_err();
    assert!(matches!(error, SinkError::Operator { .. }), "{error}");
    assert!(!error.to_string().contains("wrong horse"));
    open("right horse").check().await.unwrap();
}

/// The rest of a stopped process: its commands are on the wire, and the server has not read them yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_former_life_has_on_the_wire_cannot_overtake() {
    let probe = probe(&[]).await;
    let former = prepared(&probe, "i", "v:{id}").await;
    former
        .write(&batch(vec![put(1, "{\"id\": 0}")]))
        .await
        .unwrap();
    probe.server.lock().await.sigstop().unwrap();
    let late = {
        let former = Arc::clone(&former);
        tokio::spawn(async move {
            former
                .write(&batch(vec![put(1, "{\"id\": \"late\"}")]))
                .await
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let successor = probe.open("i", "e2").unwrap();
    let fence = {
        let successor = Arc::clone(&successor);
        tokio::spawn(async move { successor.fence().await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    probe.server.lock().await.sigcont().unwrap();
    fence.await.unwrap().unwrap();
    // Whatever the former life sent has taken effect by now, or never will.
    let mut connection = probe.connection().await.unwrap();
    let _: () = connection.set("v:1", "new").await.unwrap();
    let _ = late.await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let value: String = connection.get("v:1").await.unwrap();
    assert_eq!(value, "new");
    // Its connection is gone: the clients under our name are the successor's alone.
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(list.matches("name=readside/i ").count(), 1, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_redis_is_unavailable_within_the_time_limit() {
    let sink = build(config("redis://127.0.0.1:1"), "i", "e").unwrap();
    let result = tokio::time::timeout(Duration::from_secs(10), sink.check())
        .await
        .unwrap();
    assert!(matches!(result, Err(SinkError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_to_whom_the_ca_vouches_for_and_to_nobody_else() {
    let scratch = readside_tests::Scratch::new("redis-tls").unwrap();
    let (key, certificate) = (
        scratch.path().join("key.pem"),
        scratch.path().join("certificate.pem"),
    );
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let port = readside_tests::Port::take().unwrap();
    let number = port.number().to_string();
    let _server = probe(&[
        ("tls-port", &number),
        ("tls-cert-file", certificate.to_str().unwrap()),
        ("tls-key-file", key.to_str().unwrap()),
        ("tls-auth-clients", "no"),
    ])
    .await;
    let open = |host: &str, ca: Option<&std::path::Path>| {
        let url = format!("rediss://{host}:{number}");
        let config = serde_json::json!({"type": "redis", "url": url, "ca": ca});
        build(serde_json::from_value(config).unwrap(), "i", "e").unwrap()
    };
    open("127.0.0.1", Some(&certificate)).check().await.unwrap();
    open("localhost", Some(&certificate)).check().await.unwrap();
    assert!(open("127.0.0.1", None).check().await.is_err());
    assert!(open("127.0.0.2", Some(&certificate)).check().await.is_err());
}

/// Everything in the server as it is, to be put back.
async fn image(connection: &mut MultiplexedConnection) -> Vec<(String, Vec<u8>)> {
    let keys: Vec<String> = connection.keys("*").await.unwrap();
    let mut image = Vec::new();
    for key in keys {
        let value: Vec<u8> = connection.get(&key).await.unwrap();
        image.push((key, value));
    }
    image
}

async fn set_back(connection: &mut MultiplexedConnection, image: &[(String, Vec<u8>)]) {
    let _: () = redis::cmd("FLUSHDB").query_async(connection).await.unwrap();
    for (key, value) in image {
        let _: () = connection.set(key, value).await.unwrap();
    }
}

#[tokio::test]
async fn a_loss_of_the_last_batch_alone_is_told_by_the_receipt() {
    let probe = probe(&[]).await;
    let mut connection = probe.connection().await.unwrap();
    let target = target("v:{id}");
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    assert_eq!(sink.read_receipts().await.unwrap(), [None]);
    sink.write(&batch(vec![put(1, "{\"id\": 1}")]))
        .await
        .unwrap();
    let before = image(&mut connection).await;
    let first = sink.receipt(0).unwrap();
    let gone = Write {
        body: None,
        ..put(1, "")
    };
    sink.write(&batch(vec![gone, put(2, "{\"id\": 2}")]))
        .await
        .unwrap();
    let second = sink.receipt(0).unwrap();
    assert!(second.covers(&first) && !first.covers(&second));
    sink.audit().await.unwrap();

    set_back(&mut connection, &before).await;
    let audited = sink.audit().await;
    assert!(matches!(audited, Err(SinkError::Lost(_))), "{audited:?}");
    // Whoever writes on all the same does not hide it.
    for _ in 0..2 {
        let written = sink.write(&batch(vec![put(3, "{\"id\": 3}")])).await;
        assert!(matches!(written, Err(SinkError::Lost(_))), "{written:?}");
    }
    let again = probe.open("i", "e2").unwrap();
    again.prepare(std::slice::from_ref(&target)).await.unwrap();
    let found = again.read_receipts().await.unwrap().remove(0).unwrap();
    assert_eq!(found, first);
    // Once that has been read it is counted on from there.
    again
        .write(&batch(vec![put(4, "{\"id\": 4}")]))
        .await
        .unwrap();
    again.audit().await.unwrap();
    again.drop_all(std::slice::from_ref(&target)).await.unwrap();
    assert!(
        image(&mut connection)
            .await
            .iter()
            .all(|(key, _)| !key.starts_with("readside:"))
    );
}

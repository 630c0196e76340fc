//! The conformance suite and the search sink's own promises, against a real OpenSearch, or the server that
//! `READSIDE_TEST_SEARCH_URL` names (which is not restarted then).
#![cfg(feature = "elasticsearch")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use readside_model::{Body, Lsn, Version};
use readside_pgtype::Type;
use readside_sink::conformance::{self, Probe, Violation};
use readside_sink::{Batch, Outcome, Sink, SinkError, TargetColumn, ViewTarget, ViewWrites, Write};
use readside_sinks::{SinkConfig, build};
use readside_tests::search::OpenSearch;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Mutex;

struct SearchProbe {
    /// None for a server that was there before.
    server: Mutex<Option<OpenSearch>>,
    url: String,
    prefix: String,
}

fn failed(error: impl std::fmt::Display) -> Violation {
    Violation::Probe(error.to_string())
}

impl SearchProbe {
    async fn start() -> SearchProbe {
        if let Ok(url) = std::env::var("READSIDE_TEST_SEARCH_URL") {
            return SearchProbe {
                url,
                prefix: format!("t{}-", std::process::id()),
                server: Mutex::new(None),
            };
        }
        let server = OpenSearch::start().await.unwrap();
        SearchProbe {
            url: server.url().to_owned(),
            prefix: server.prefix().to_owned(),
            server: Mutex::new(Some(server)),
        }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, String), Violation> {
        let method = method.parse().map_err(|_| failed("method"))?;
        let mut request =
            readside_tests::http_client().request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(failed)?))
    }

    async fn ok(&self, method: &str, path: &str, body: Option<Value>) -> Result<String, Violation> {
        let (status, text) = self.call(method, path, body).await?;
        if status >= 300 {
            return Err(failed(format!("{method} {path}: {status} {text}")));
        }
        Ok(text)
    }
}

#[derive(serde::Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(serde::Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(serde::Deserialize)]
struct Hit<'a> {
    _id: String,
    #[serde(borrow)]
    _source: &'a RawValue,
}

#[async_trait]
impl Probe for SearchProbe {
    fn open(&self, instance: &str, owner_epoch: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let config: SinkConfig =
            serde_json::from_value(json!({"type": "elasticsearch", "url": self.url})).unwrap();
        build(config, instance, owner_epoch)
    }

    fn location(&self, view: &str) -> String {
        format!("{}{view}", self.prefix)
    }

    async fn content(&self, target: &ViewTarget) -> Result<BTreeMap<String, Body>, Violation> {
        let (status, text) = self
            .call(
                "POST",
                &format!("/{}/_search?size=10000", target.location),
                Some(json!({})),
            )
            .await?;
        if status == 404 {
            return Ok(BTreeMap::new());
        }
        let found: Found<'_> = serde_json::from_str(&text).map_err(failed)?;
        Ok(found
            .hits
            .hits
            .into_iter()
            .map(|hit| {
                (
                    hit._id,
                    Body::Json(Bytes::copy_from_slice(hit._source.get().as_bytes())),
                )
            })
            .collect())
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
        let response = readside_tests::http_client()
            .put(format!(
                "{}/{}/_doc/{key}?refresh=true",
                self.url, target.location
            ))
            .header("content-type", "application/json")
            .body(text.clone())
            .send()
            .await
            .map_err(failed)?;
        response.error_for_status().map(drop).map_err(failed)
    }

    async fn plant_foreign(&self, target: &ViewTarget) -> Result<(), Violation> {
        for name in ["", "-g1x", "-other"] {
            if !name.is_empty() {
                let path = format!("/{}{name}/_doc/1?refresh=true", target.location);
                self.ok("PUT", &path, Some(json!({"a": 1}))).await?;
            }
        }
        // The form of our names, but not ours.
        self.ok("PUT", &format!("/{}-g7", target.location), Some(json!({})))
            .await
            .map(drop)
    }

    async fn foreign_is_intact(&self, target: &ViewTarget) -> Result<bool, Violation> {
        for name in ["-g1x", "-other", "-g7"] {
            let (status, _) = self
                .call("GET", &format!("/{}{name}", target.location), None)
                .await?;
            if status != 200 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn occupy(&self, view: &str) -> Result<Option<String>, Violation> {
        let location = self.location(view);
        self.ok("PUT", &format!("/{location}"), Some(json!({})))
            .await?;
        Ok(Some(location))
    }

    async fn remove_place(&self, target: &ViewTarget) -> Result<bool, Violation> {
        let path = format!("/{}-g{}", target.location, target.generation);
        self.ok("DELETE", &path, None).await?;
        Ok(true)
    }

    async fn remove_marker(&self, instance: &str) -> Result<(), Violation> {
        self.ok("DELETE", &format!("/.readside-{instance}"), None)
            .await
            .map(drop)
    }

    fn refused_body(&self, id: i64) -> Option<Body> {
        let text = format!("{{\"id\": {id}, \"name\": {{\"not\": \"a text\"}}}}");
        Some(Body::Json(Bytes::from(text)))
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn restart_server(&self) -> Result<(), Violation> {
        match &mut *self.server.lock().await {
            Some(server) => server.restart().await.map_err(failed),
            None => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opensearch_keeps_the_contract_and_its_own_promises() {
    let probe = SearchProbe::start().await;
    documents_come_back_byte_for_byte(&probe).await;
    every_shard_is_read(&probe).await;
    readers_are_switched_between_generations(&probe).await;
    nothing_is_written_into_a_dropped_index(&probe).await;
    columns_have_the_fields_of_their_types(&probe).await;
    operations_are_counted_as_the_server_counts_them(&probe).await;
    another_index_of_the_name_is_not_taken_for_ours(&probe).await;
    a_request_of_an_earlier_opening_finds_no_index(&probe).await;
    conformance::run(&probe).await.unwrap();
}

async fn operations_are_counted_as_the_server_counts_them(probe: &SearchProbe) {
    let mut target = target(probe, "receipts", &[("id", Type::Int8)]);
    target.mapping = Some(r#"{"settings": {"index.number_of_shards": 2}}"#.to_owned());
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    let start = sink.read_receipts().await.unwrap().remove(0).unwrap();
    assert_eq!(start.count, 0);
    let row = Some("{\"id\": 1}");
    for (version, writes) in [
        (
            8,
            vec![
                ("1", row),
                ("2", row),
                ("3", Some("{\"id\": {\"not\": \"a number\"}}")),
            ],
        ),
        (16, vec![("1", None), ("4", None)]),
        // Overtaken, and repeated.
        (12, vec![("1", row)]),
        (16, vec![("1", None), ("2", row)]),
    ] {
        sink.write(&batch(version, &writes)).await.unwrap();
    }
    sink.audit().await.unwrap();
    let counted = sink.receipt(0).unwrap();
    let other = probe.open("i", "e").unwrap();
    other.prepare(std::slice::from_ref(&target)).await.unwrap();
    let found = other.read_receipts().await.unwrap().remove(0).unwrap();
    assert_eq!(found, counted);
    assert!(found.covers(&counted) && !start.covers(&counted));
}

async fn another_index_of_the_name_is_not_taken_for_ours(probe: &SearchProbe) {
    let target = target(probe, "replaced", &[("id", Type::Int8)]);
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    sink.fence().await.unwrap();
    sink.read_receipts().await.unwrap();
    sink.write(&batch(8, &[("1", Some("{\"id\": 1}"))]))
        .await
        .unwrap();
    let known = sink.receipt(0).unwrap();
    sink.audit().await.unwrap();
    let index = format!("/{}-g1", target.location);
    let text = probe.ok("GET", &index, None).await.unwrap();
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    let of_index = whole
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap()
        .take();
    probe.ok("DELETE", &index, None).await.unwrap();
    assert!(matches!(sink.audit().await, Err(SinkError::Lost(_))));
    // As a restored one would look: mapping and aliases are there.
    let body = json!({"mappings": of_index["mappings"], "aliases": of_index["aliases"]});
    probe.ok("PUT", &index, Some(body)).await.unwrap();
    for id in 2..5 {
        sink.write(&batch(8 * id, &[("2", Some("{\"id\": 2}"))]))
            .await
            .unwrap();
    }
    let audited = sink.audit().await;
    assert!(matches!(audited, Err(SinkError::Lost(_))), "{audited:?}");
    let found = sink.read_receipts().await.unwrap().remove(0).unwrap();
    assert!(found.count >= known.count && !found.covers(&known));
}

async fn a_request_of_an_earlier_opening_finds_no_index(probe: &SearchProbe) {
    let target = target(probe, "fence", &[("id", Type::Int8)]);
    let first = probe.open("i", "first").unwrap();
    first.prepare(std::slice::from_ref(&target)).await.unwrap();
    first.fence().await.unwrap();
    first
        .write(&batch(8, &[("1", Some("{\"id\": 1}"))]))
        .await
        .unwrap();
    let second = probe.open("i", "second").unwrap();
    second.prepare(std::slice::from_ref(&target)).await.unwrap();
    second.fence().await.unwrap();
    // The key is not there, and nothing tells the server that it must not come back.
    let late = first.write(&batch(16, &[("9", Some("{\"id\": 9}"))])).await;
    assert!(matches!(late, Err(SinkError::Lost(_))), "{late:?}");
    let late = first.write(&batch(16, &[("1", None)])).await;
    assert!(matches!(late, Err(SinkError::Lost(_))), "{late:?}");
    second
        .write(&batch(24, &[("2", Some("{\"id\": 2}"))]))
        .await
        .unwrap();
    second.refresh(0).await.unwrap();
    let content = probe.content(&target).await.unwrap();
    assert_eq!(content.keys().collect::<Vec<_>>(), ["1", "2"]);
    // An opening fences off what it sent before, too.
    second.fence().await.unwrap();
    second
        .write(&batch(32, &[("3", Some("{\"id\": 3}"))]))
        .await
        .unwrap();
    let text = probe
        .ok("GET", &format!("/{}-g1/_alias", target.location), None)
        .await
        .unwrap();
    assert_eq!(text.matches("-WRITE-").count(), 1, "{text}");
}

fn target(probe: &SearchProbe, view: &str, columns: &[(&str, Type)]) -> ViewTarget {
    ViewTarget {
        view: view.to_owned(),
        location: probe.location(view),
        columns: columns
            .iter()
            .map(|(name, ty)| TargetColumn {
                name: (*name).to_owned(),
                ty: ty.clone(),
                typmod: -1,
                not_null: false,
            })
            .collect(),
        key: vec![Some(0)],
        key_nullable: false,
        mapping: None,
        generation: 1,
    }
}

fn batch(version: u64, writes: &[(&str, Option<&str>)]) -> Batch {
    let writes = writes
        .iter()
        .map(|(key, text)| Write {
            key: Arc::from(*key),
            key_parts: vec![Some(Arc::from(*key))],
            body: text.map(|t| Body::Json(Bytes::copy_from_slice(t.as_bytes()))),
        })
        .collect();
    Batch {
        position: Lsn(version),
        version: Version(version),
        views: vec![ViewWrites { target: 0, writes }],
        marker: None,
    }
}

fn all_applied(outcomes: &[Vec<Outcome>]) -> bool {
    outcomes.iter().flatten().all(|o| *o == Outcome::Applied)
}

async fn documents_come_back_byte_for_byte(probe: &SearchProbe) {
    let target = target(
        probe,
        "bytes",
        &[("id", Type::Int8), ("n", Type::Numeric), ("j", Type::Jsonb)],
    );
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    let text = "{\"j\": {\"z\": [], \"a\": null, \"e\": {}, \"ü\": \"\\u0001 \\\\ \\\" é 🦀\"}, \"n\": 1.00, \"id\": 1}";
    let huge = "{\"j\": {\"z\": [1, 2.50]}, \"n\": 12345678901234567890123456789.000, \"id\": 2}";
    let written = batch(8, &[("1", Some(text)), ("2", Some(huge))]);
    assert!(all_applied(&sink.write(&written).await.unwrap()));
    sink.refresh(0).await.unwrap();
    let content = probe.content(&target).await.unwrap();
    assert_eq!(
        content["1"],
        Body::Json(Bytes::from_static(text.as_bytes()))
    );
    assert_eq!(
        content["2"],
        Body::Json(Bytes::from_static(huge.as_bytes()))
    );
    let page = sink.read_page(0, None, 10).await.unwrap();
    let rows: BTreeMap<String, Body> = page
        .rows
        .into_iter()
        .map(|r| (r.key.to_string(), r.body))
        .collect();
    assert_eq!(rows, content);
    let keys = [Arc::from("1"), Arc::from("3")];
    let rows = sink.read_keys(0, &keys).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].body, content["1"]);
}

async fn every_shard_is_read(probe: &SearchProbe) {
    let mut target = target(probe, "shards", &[("id", Type::Int8)]);
    target.mapping = Some(r#"{"settings": {"index.number_of_shards": 3}}"#.to_owned());
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(&[target]).await.unwrap();
    let ids: Vec<String> = (0..300).map(|id| id.to_string()).collect();
    let texts: Vec<String> = ids.iter().map(|id| format!("{{\"id\": {id}}}")).collect();
    let writes: Vec<(&str, Option<&str>)> = ids
        .iter()
        .zip(&texts)
        .map(|(id, t)| (id.as_str(), Some(t.as_str())))
        .collect();
    assert!(all_applied(&sink.write(&batch(8, &writes)).await.unwrap()));
    sink.refresh(0).await.unwrap();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = sink.read_page(0, after, 7).await.unwrap();
        found.extend(page.rows.into_iter().map(|row| row.key.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    found.sort_by_key(|id| id.parse::<u64>().unwrap());
    assert_eq!(found, ids);
}

async fn readers_are_switched_between_generations(probe: &SearchProbe) {
    let old = target(probe, "switch", &[("id", Type::Int8)]);
    let new = ViewTarget {
        generation: 2,
        ..old.clone()
    };
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&old)).await.unwrap();
    sink.write(&batch(8, &[("1", Some("{\"id\": 1}"))]))
        .await
        .unwrap();
    sink.refresh(0).await.unwrap();

    let next = probe.open("i", "e").unwrap();
    next.prepare(std::slice::from_ref(&new)).await.unwrap();
    next.write(&batch(16, &[("2", Some("{\"id\": 2}"))]))
        .await
        .unwrap();
    next.refresh(0).await.unwrap();
    let seen = |content: BTreeMap<String, Body>| content.into_keys().collect::<Vec<_>>();
    assert_eq!(seen(probe.content(&old).await.unwrap()), ["1"]);
    next.switch(0).await.unwrap();
    next.switch(0).await.unwrap();
    assert_eq!(seen(probe.content(&old).await.unwrap()), ["2"]);
    // The old one is still written, for a rollback.
    assert!(all_applied(
        &sink
            .write(&batch(24, &[("3", Some("{\"id\": 3}"))]))
            .await
            .unwrap()
    ));
    sink.refresh(0).await.unwrap();
    assert_eq!(seen(probe.content(&old).await.unwrap()), ["2"]);
    sink.switch(0).await.unwrap();
    assert_eq!(seen(probe.content(&old).await.unwrap()), ["1", "3"]);
    sink.drop_all(std::slice::from_ref(&old)).await.unwrap();
    let (status, _) = probe
        .call("GET", &format!("/{}-g2", old.location), None)
        .await
        .unwrap();
    assert_eq!(status, 404);
}

/// A delete with a version would create an index of the alias' name, were that name possible for an index.
async fn nothing_is_written_into_a_dropped_index(probe: &SearchProbe) {
    let target = target(probe, "dropped", &[("id", Type::Int8)]);
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    probe
        .ok("DELETE", &format!("/{}-g1", target.location), None)
        .await
        .unwrap();
    for writes in [
        vec![("1", None), ("2", Some("{\"id\": 2}"))],
        vec![("1", None)],
        vec![("2", Some("{\"id\": 2}"))],
    ] {
        let result = sink.write(&batch(8, &writes)).await;
        assert!(matches!(result, Err(SinkError::Lost(_))), "{result:?}");
    }
    let pattern = format!("/_cat/indices/{}*?h=index", target.location);
    assert_eq!(probe.ok("GET", &pattern, None).await.unwrap(), "");
    assert!(matches!(sink.refresh(0).await, Err(SinkError::Lost(_))));
    assert!(matches!(
        sink.read_page(0, None, 10).await,
        Err(SinkError::Lost(_))
    ));
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    assert!(all_applied(
        &sink
            .write(&batch(8, &[("2", Some("{\"id\": 2}"))]))
            .await
            .unwrap()
    ));
}

async fn columns_have_the_fields_of_their_types(probe: &SearchProbe) {
    let columns = [
        ("id", Type::Int8),
        ("t", Type::Text),
        ("at", Type::TimestampTz),
        ("f", Type::Float8),
        ("b", Type::Bytea),
        ("tags", Type::Array(Arc::new(Type::Text))),
        ("items", Type::Jsonb),
    ];
    let target = target(probe, "fields", &columns);
    let sink = probe.open("i", "e").unwrap();
    sink.prepare(std::slice::from_ref(&target)).await.unwrap();
    let rows = [
        (
            "1",
            "{\"t\": \"Red Shoe\", \"at\": \"2024-02-29T12:00:00.123456+00:00\", \"f\": 1.5, \"b\": \"\\\\x00ff\", \"id\": 1, \
               \"tags\": [\"x\", \"y\"], \"items\": [{\"sku\": \"2024-01-01\", \"price\": 10}]}",
        ),
        (
            "2",
            "{\"t\": \"Blue\", \"at\": \"infinity\", \"f\": \"NaN\", \"b\": null, \"id\": 2, \"tags\": null, \
               \"items\": [{\"sku\": \"no date\", \"price\": 10.75}]}",
        ),
        (
            "3",
            "{\"t\": null, \"at\": \"0044-03-15T00:00:00+00:00 BC\", \"f\": \"Infinity\", \"b\": null, \"id\": 3, \"tags\": [], \
               \"items\": null}",
        ),
    ];
    let writes: Vec<(&str, Option<&str>)> = rows.iter().map(|(k, t)| (*k, Some(*t))).collect();
    let outcomes = sink.write(&batch(8, &writes)).await.unwrap();
    assert!(all_applied(&outcomes), "{outcomes:?}");
    sink.refresh(0).await.unwrap();
    for (query, expected) in [
        (json!({"match": {"t": "shoe"}}), vec!["1"]),
        (json!({"term": {"t.keyword": "Red Shoe"}}), vec!["1"]),
        (
            json!({"range": {"at": {"gte": "2024-02-29", "lt": "2024-03-01"}}}),
            vec!["1"],
        ),
        (json!({"term": {"tags.keyword": "y"}}), vec!["1"]),
        (json!({"range": {"items.price": {"gt": 10.5}}}), vec!["2"]),
        (json!({"term": {"items.sku.keyword": "no date"}}), vec!["2"]),
        (json!({"term": {"_ignored": "at"}}), vec!["2", "3"]),
    ] {
        let path = format!("/{}/_search", target.location);
        let text = probe
            .ok("POST", &path, Some(json!({"query": query, "sort": ["id"]})))
            .await
            .unwrap();
        let found: Found<'_> = serde_json::from_str(&text).unwrap();
        let found: Vec<&str> = found.hits.hits.iter().map(|hit| hit._id.as_str()).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable() {
    let config = json!({"type": "elasticsearch", "url": "http://127.0.0.1:1"});
    let sink = build(serde_json::from_value(config).unwrap(), "i", "e").unwrap();
    assert!(matches!(sink.check().await, Err(SinkError::Unavailable(_))));
}

#[tokio::test]
async fn a_name_that_no_index_can_have_is_refused_with_a_remedy() {
    let config = json!({"type": "elasticsearch", "url": "http://127.0.0.1:1"});
    let sink = build(serde_json::from_value(config).unwrap(), "i", "e").unwrap();
    let target = ViewTarget {
        view: "Orders".to_owned(),
        location: String::new(),
        columns: Vec::new(),
        key: Vec::new(),
        key_nullable: true,
        mapping: None,
        generation: 1,
    };
    let error = sink.prepare(&[target]).await.unwrap_err().to_string();
    assert!(
        error.contains("hint: set `index`") && error.contains("`orders`"),
        "{error}"
    );
}

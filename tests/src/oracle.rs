//! The judge: what a view's SQL returns on the source, against what a sink holds.
//!
//! In: documents as text, one per row, from both sides. Out: which are missing, stale or ghosts.
//!
//! Always: compared byte for byte; only where a view has aggregates without an order are arrays compared as multisets.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use serde_json::value::RawValue;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{http_client, postgres};

/// Settings under which a value's text is the same everywhere.
const CANONICAL: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
     SET bytea_output = 'hex'; SET extra_float_digits = 1; SET row_security = off; SET statement_timeout = '120s'";

/// What a view's SQL returns on the source: `to_jsonb(row)::text` of each row.
pub async fn source(url: &str, sql: &str) -> Result<Vec<String>> {
    let client = postgres::connect(url).await?;
    let sql = sql.trim().trim_end_matches(';');
    // The line break ends a comment at the end of the view.
    rows(
        &client,
        &format!("SELECT to_jsonb(v.*)::text FROM (\n{sql}\n) v"),
    )
    .await
}

/// The rows of a table that a Postgres sink keeps, as [`source`] has them.
pub async fn table(url: &str, schema: &str, table: &str) -> Result<Vec<String>> {
    let client = postgres::connect(url).await?;
    rows(
        &client,
        &format!("SELECT (to_jsonb(t.*) - '_key')::text FROM \"{schema}\".\"{table}\" t"),
    )
    .await
}

async fn rows(client: &Client, sql: &str) -> Result<Vec<String>> {
    client.batch_execute(CANONICAL).await?;
    let answer = client
        .simple_query(sql)
        .await
        .with_context(|| format!("run {sql}"))?;
    Ok(answer
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect())
}

/// The values of all Redis keys that match a pattern (`order:*`).
pub async fn redis(url: &str, pattern: &str) -> Result<Vec<String>> {
    let mut connection = crate::redis::connect(url).await?;
    let mut cursor = 0_u64;
    let mut keys = std::collections::BTreeSet::new();
    loop {
        let (next, page): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut connection)
            .await?;
        keys.extend(page);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let keys: Vec<String> = keys.into_iter().collect();
    let mut documents = Vec::with_capacity(keys.len());
    for page in keys.chunks(1000) {
        let values: Vec<Option<String>> = redis::cmd("MGET")
            .arg(page)
            .query_async(&mut connection)
            .await?;
        documents.extend(values.into_iter().flatten());
    }
    Ok(documents)
}

/// One of the keys that match a pattern, with its value.
pub async fn redis_one(
    server: &crate::redis::Redis,
    pattern: &str,
) -> Result<Option<(String, String)>> {
    let mut connection = server.connection().await?;
    let mut cursor = 0_u64;
    loop {
        let (next, page): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(100)
            .query_async(&mut connection)
            .await?;
        for key in page {
            let value: Option<String> = redis::cmd("GET")
                .arg(&key)
                .query_async(&mut connection)
                .await?;
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(None);
        }
    }
}

/// The `_source` of all documents of an index or alias, as the node's bytes; refreshed first. An index that isn't there is
/// empty.
pub async fn search(url: &str, index: &str) -> Result<Vec<String>> {
    #[derive(Debug)]
    struct Page {
        scroll: String,
        sources: Vec<String>,
    }
    fn page(text: &str) -> Result<Page> {
        let body: BTreeMap<&str, &RawValue> =
            serde_json::from_str(text).context("read a page of hits")?;
        let scroll = body.get("_scroll_id").context("no `_scroll_id`")?;
        let hits: BTreeMap<&str, &RawValue> =
            serde_json::from_str(body.get("hits").context("no `hits`")?.get())?;
        let hits: Vec<BTreeMap<&str, &RawValue>> =
            serde_json::from_str(hits.get("hits").context("no `hits.hits`")?.get())?;
        Ok(Page {
            scroll: serde_json::from_str(scroll.get())?,
            sources: hits
                .iter()
                .filter_map(|hit| Some(hit.get("_source")?.get().to_owned()))
                .collect(),
        })
    }
    let client = http_client();
    let refreshed = client
        .post(format!("{url}/{index}/_refresh"))
        .send()
        .await?;
    if refreshed.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let mut text = client
        .post(format!("{url}/{index}/_search?scroll=1m&size=1000"))
        .header("content-type", "application/json")
        .body(r#"{"sort":["_doc"]}"#)
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    let mut documents = Vec::new();
    loop {
        let page = page(&text)?;
        if page.sources.is_empty() {
            // Best effort: it ends by itself in a minute.
            let _ = client
                .delete(format!("{url}/_search/scroll"))
                .header("content-type", "application/json")
                .body(serde_json::json!({ "scroll_id": page.scroll }).to_string())
                .send()
                .await;
            return Ok(documents);
        }
        documents.extend(page.sources);
        text = client
            .post(format!("{url}/_search/scroll"))
            .header("content-type", "application/json")
            .body(serde_json::json!({ "scroll": "1m", "scroll_id": page.scroll }).to_string())
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?;
    }
}

/// How documents are told apart and compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules<'a> {
    /// The output columns that identify a row. Without any, documents are a multiset: what differs is missing and a ghost.
    pub key: &'a [&'a str],
    /// The view has aggregates without an order: arrays are multisets.
    pub unordered_arrays: bool,
}

/// What differs between source and sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows on the source.
    pub source_rows: usize,
    /// Documents in the sink.
    pub sink_documents: usize,
    /// On the source only.
    pub missing: Vec<String>,
    /// Both sides, as (source, sink), where they differ.
    pub stale: Vec<(String, String)>,
    /// In the sink only.
    pub ghosts: Vec<String>,
}

impl Difference {
    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.stale.is_empty() && self.ghosts.is_empty()
    }

    /// An error that shows it, if there is one.
    pub fn check(&self, what: &str) -> Result<()> {
        if self.is_none() {
            return Ok(());
        }
        bail!("{what}: {self}");
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rows on the source, {} documents in the sink; {} missing, {} stale, {} ghosts",
            self.source_rows,
            self.sink_documents,
            self.missing.len(),
            self.stale.len(),
            self.ghosts.len()
        )?;
        for document in self.missing.iter().take(5) {
            writeln!(f, "  missing {document}")?;
        }
        for (source, sink) in self.stale.iter().take(5) {
            writeln!(f, "  stale   {source}\n  in sink {sink}")?;
        }
        for document in self.ghosts.iter().take(5) {
            writeln!(f, "  ghost   {document}")?;
        }
        Ok(())
    }
}

/// Compares the documents of both sides.
pub fn compare(source: &[String], sink: &[String], rules: Rules<'_>) -> Result<Difference> {
    let mut expected = keyed(source, rules)?;
    let mut difference = Difference {
        source_rows: source.len(),
        sink_documents: sink.len(),
        ..Difference::default()
    };
    for (key, documents) in keyed(sink, rules)? {
        let wanted = expected.entry(key).or_default();
        for document in documents {
            if let Some(at) = wanted.iter().position(|other| *other == document) {
                wanted.swap_remove(at);
            } else if !rules.key.is_empty() && !wanted.is_empty() {
                difference.stale.push((wanted.swap_remove(0), document));
            } else {
                difference.ghosts.push(document);
            }
        }
    }
    difference.missing = expected.into_values().flatten().collect();
    Ok(difference)
}

fn keyed(documents: &[String], rules: Rules<'_>) -> Result<BTreeMap<String, Vec<String>>> {
    let mut keyed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for document in documents {
        let text = if rules.unordered_arrays {
            with_sorted_arrays(document)?
        } else {
            document.clone()
        };
        let key = if rules.key.is_empty() {
            text.clone()
        } else {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(document)
                .with_context(|| format!("not a JSON object: {document}"))?;
            let parts: Vec<&str> = rules
                .key
                .iter()
                .map(|column| fields.get(*column).map_or("absent", |value| value.get()))
                .collect();
            parts.join(" ")
        };
        keyed.entry(key).or_default().push(text);
    }
    Ok(keyed)
}

/// The same JSON with each array's items in the order of their texts. Numbers and strings keep their text.
fn with_sorted_arrays(json: &str) -> Result<String> {
    match json.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            let mut items = items
                .iter()
                .map(|item| with_sorted_arrays(item.get()))
                .collect::<Result<Vec<_>>>()?;
            items.sort_unstable();
            Ok(format!("[{}]", items.join(", ")))
        }
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
            let fields = fields
                .iter()
                .map(|(name, value)| {
                    let name = serde_json::Value::from(name.as_str());
                    Ok(format!("{name}: {}", with_sorted_arrays(value.get())?))
                })
                .collect::<Result<Vec<_>>>()?;
            Ok(format!("{{{}}}", fields.join(", ")))
        }
        _ => Ok(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(documents: &[&str]) -> Vec<String> {
        documents.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn missing_stale_and_ghost_are_told_apart_by_key() {
        let source = texts(&[
            r#"{"a": 1, "b": 1}"#,
            r#"{"a": 2, "b": 1}"#,
            r#"{"a": 3, "b": 1}"#,
        ]);
        let sink = texts(&[
            r#"{"a": 1, "b": 1}"#,
            r#"{"a": 2, "b": 2}"#,
            r#"{"a": 4, "b": 1}"#,
        ]);
        let rules = Rules {
            key: &["a"],
            unordered_arrays: false,
        };
        let difference = compare(&source, &sink, rules).unwrap();
        assert_eq!(difference.missing, texts(&[r#"{"a": 3, "b": 1}"#]));
        assert_eq!(difference.ghosts, texts(&[r#"{"a": 4, "b": 1}"#]));
        assert_eq!(difference.stale.len(), 1);
        assert!(difference.check("view").is_err());
        assert!(compare(&source, &source, rules).unwrap().is_none());
    }

    #[test]
    fn a_multiset_counts_equal_documents() {
        let twice = texts(&["{}", "{}"]);
        let once = texts(&["{}"]);
        let difference = compare(&twice, &once, Rules::default()).unwrap();
        assert_eq!(difference.missing.len(), 1);
        let difference = compare(&once, &twice, Rules::default()).unwrap();
        assert_eq!(difference.ghosts.len(), 1);
    }

    #[test]
    fn bytes_count_unless_arrays_have_no_order() {
        let one = texts(&[r#"{"n": 1.0, "a": [{"x": [2, 1]}, 3]}"#]);
        let two = texts(&[r#"{"n": 1.0, "a": [3, {"x": [1, 2]}]}"#]);
        let three = texts(&[r#"{"n": 1.00, "a": [3, {"x": [1, 2]}]}"#]);
        let loose = Rules {
            key: &[],
            unordered_arrays: true,
        };
        assert!(!compare(&one, &two, Rules::default()).unwrap().is_none());
        assert!(compare(&one, &two, loose).unwrap().is_none());
        assert!(!compare(&one, &three, loose).unwrap().is_none());
    }
}

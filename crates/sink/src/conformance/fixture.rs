//! Views, rows and batches of the suite.
//!
//! Two shapes: `(id bigint, name text)` keyed by `id`, and `(a text, b integer, v text)` keyed by a nullable `(a, b)`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use readside_model::{Body, DocumentForm, KeyPart, Lsn, Version, encode_key_text};
use readside_pgtype::Type;

use super::{Probe, Violation};
use crate::{
    Batch, Marker, Outcome, Sink, SinkError, TargetColumn, ViewTarget, ViewWatermark, ViewWrites,
    Visibility, Write, WriterScope,
};

const RECONNECT_LIMIT: Duration = Duration::from_secs(120);

/// One sink with one prepared view.
pub(super) struct Fixture<'a> {
    pub(super) probe: &'a dyn Probe,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) target: ViewTarget,
    pub(super) instance: String,
    pub(super) owner_epoch: String,
    case: &'static str,
    version: AtomicU64,
}

fn column(name: &str, ty: Type, not_null: bool) -> TargetColumn {
    TargetColumn {
        name: name.to_owned(),
        ty,
        typmod: -1,
        not_null,
    }
}

/// `(id, name)` by `id`.
pub(super) fn by_id(probe: &dyn Probe, view: &str) -> ViewTarget {
    ViewTarget {
        view: view.to_owned(),
        location: probe.location(view),
        columns: vec![
            column("id", Type::Int8, true),
            column("name", Type::Text, false),
        ],
        key: vec![Some(0)],
        key_nullable: false,
        mapping: None,
        generation: 1,
    }
}

/// `(a, b, v)` by `(a, b)`, which may be NULL.
pub(super) fn by_pair(probe: &dyn Probe, view: &str) -> ViewTarget {
    ViewTarget {
        columns: vec![
            column("a", Type::Text, false),
            column("b", Type::Int4, false),
            column("v", Type::Text, false),
        ],
        key: vec![Some(0), Some(1)],
        key_nullable: true,
        ..by_id(probe, view)
    }
}

/// `(total)` without a key.
pub(super) fn global(probe: &dyn Probe, view: &str) -> ViewTarget {
    ViewTarget {
        columns: vec![column("total", Type::Int8, false)],
        key: Vec::new(),
        key_nullable: true,
        ..by_id(probe, view)
    }
}

/// A row in the sink's form; names are shorter first, then bytewise, as in `jsonb`.
pub(super) fn body(form: DocumentForm, fields: &[(&str, Option<&str>, bool)]) -> Body {
    match form {
        DocumentForm::Columns => Body::Columns(
            fields
                .iter()
                .map(|(_, value, _)| value.map(|v| Bytes::copy_from_slice(v.as_bytes())))
                .collect(),
        ),
        DocumentForm::Json => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _, _)| (name.len(), *name));
            let fields: Vec<String> = sorted
                .iter()
                .map(|(name, value, quoted)| {
                    let value = match value {
                        None => "null".to_owned(),
                        Some(value) if *quoted => serde_json::Value::from(*value).to_string(),
                        Some(value) => (*value).to_owned(),
                    };
                    format!("\"{name}\": {value}")
                })
                .collect();
            Body::Json(Bytes::from(format!("{{{}}}", fields.join(", "))))
        }
    }
}

impl<'a> Fixture<'a> {
    /// A sink for this case alone, with its view prepared.
    pub(super) async fn new(
        probe: &'a dyn Probe,
        case: &'static str,
        target: ViewTarget,
    ) -> Result<Fixture<'a>, Violation> {
        let instance = format!("i{}", target.view);
        let owner_epoch = "first".to_owned();
        let sink = probe.open(&instance, &owner_epoch)?;
        let fixture = Fixture {
            probe,
            sink,
            target,
            instance,
            owner_epoch,
            case,
            version: AtomicU64::new(1 << 33),
        };
        fixture.sink.fence().await?;
        fixture
            .sink
            .prepare(std::slice::from_ref(&fixture.target))
            .await?;
        Ok(fixture)
    }

    pub(super) fn ensure(
        &self,
        holds: bool,
        what: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        if holds {
            return Ok(());
        }
        Err(self.broken(what()))
    }

    pub(super) fn broken(&self, what: String) -> Violation {
        Violation::Broken {
            case: self.case,
            what,
        }
    }

    pub(super) fn next_version(&self) -> u64 {
        self.version.fetch_add(8, Ordering::Relaxed)
    }

    /// A row of [`by_id`].
    pub(super) fn put(&self, id: i64, name: &str) -> Write {
        let id = id.to_string();
        Write {
            key: Arc::from(encode_key_text(&[KeyPart::Text(id.clone())])),
            key_parts: vec![Some(Arc::from(id.as_str()))],
            body: Some(body(
                self.sink.form(),
                &[("id", Some(&id), false), ("name", Some(name), true)],
            )),
        }
    }

    pub(super) fn delete(&self, id: i64) -> Write {
        Write {
            body: None,
            ..self.put(id, "")
        }
    }

    /// A row of [`by_pair`]; the value tells the row apart.
    pub(super) fn put_pair(&self, a: &KeyPart, b: &KeyPart, value: &str) -> Write {
        let text = |part: &KeyPart| match part {
            KeyPart::Text(text) => Some(text.clone()),
            KeyPart::Null | KeyPart::Absent => None,
        };
        let (shown_a, shown_b) = (text(a), text(b));
        Write {
            key: Arc::from(encode_key_text(&[a.clone(), b.clone()])),
            key_parts: vec![
                shown_a.as_deref().map(Arc::from),
                shown_b.as_deref().map(Arc::from),
            ],
            body: Some(body(
                self.sink.form(),
                &[
                    ("a", shown_a.as_deref(), true),
                    ("b", shown_b.as_deref(), false),
                    ("v", Some(value), true),
                ],
            )),
        }
    }

    pub(super) fn marker(&self, version: u64) -> Marker {
        let watermark = ViewWatermark {
            generation: self.target.generation,
            watermark: Lsn(version),
        };
        Marker {
            instance: self.instance.clone(),
            owner_epoch: self.owner_epoch.clone(),
            offset: 0,
            version_max: version,
            sink: String::new(),
            raised: 0,
            sequence: 0,
            views: BTreeMap::from([(self.target.view.clone(), watermark)]),
        }
    }

    pub(super) fn batch(&self, version: u64, writes: Vec<Write>) -> Batch {
        let per_sink = self.sink.writer_scope() == WriterScope::PerSink;
        Batch {
            position: Lsn(version),
            version: Version(version),
            views: vec![ViewWrites { target: 0, writes }],
            marker: per_sink.then(|| self.marker(version)),
        }
    }

    /// Writes, and demands that every row is applied.
    pub(super) async fn apply(&self, writes: Vec<Write>) -> Result<Batch, Violation> {
        let batch = self.batch(self.next_version(), writes);
        self.apply_batch(&batch).await?;
        Ok(batch)
    }

    pub(super) async fn apply_batch(&self, batch: &Batch) -> Result<(), Violation> {
        let outcomes = self.write(batch).await?;
        let bad = outcomes
            .iter()
            .find(|outcome| **outcome != Outcome::Applied);
        self.ensure(bad.is_none(), || {
            format!("a write was not applied: {bad:?}")
        })
    }

    pub(super) async fn write(&self, batch: &Batch) -> Result<Vec<Outcome>, Violation> {
        let outcomes = self.sink.write(batch).await?;
        let shape = |counts: Vec<usize>| format!("{counts:?}");
        let expected = shape(batch.views.iter().map(|v| v.writes.len()).collect());
        let found = shape(outcomes.iter().map(Vec::len).collect());
        self.ensure(expected == found, || {
            format!("outcomes by view and write: {found} for {expected}")
        })?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Writes until the server is back; demands a fence before each attempt.
    pub(super) async fn apply_when_back(&self, writes: Vec<Write>) -> Result<(), Violation> {
        let batch = self.batch(self.next_version(), writes);
        let started = tokio::time::Instant::now();
        loop {
            let attempt = async {
                self.sink.fence().await?;
                self.sink.write(&batch).await
            };
            let pause = match attempt.await {
                Ok(outcomes) if outcomes.iter().flatten().all(|o| *o == Outcome::Applied) => {
                    return Ok(());
                }
                Ok(outcomes) => format!("{outcomes:?}"),
                Err(SinkError::Unavailable(reason)) => reason,
                Err(error) => return Err(error.into()),
            };
            self.ensure(started.elapsed() < RECONNECT_LIMIT, || {
                format!("still not written after the server came back: {pause}")
            })?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Demands that readers see exactly these rows.
    pub(super) async fn expect(&self, writes: &[Write]) -> Result<(), Violation> {
        if self.sink.visibility() == Visibility::AfterRefresh {
            self.sink.refresh(0).await?;
        }
        let found = self.probe.content(&self.target).await?;
        let expected: BTreeMap<String, Body> = writes
            .iter()
            .filter_map(|w| Some((w.key.to_string(), w.body.clone()?)))
            .collect();
        let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
        let differing: Vec<String> = keys
            .into_iter()
            .filter(|key| expected.get(*key) != found.get(*key))
            .take(5)
            .map(|key| {
                let (expected, found) = (expected.get(key), found.get(key));
                format!("`{key}`: expected {expected:?}, found {found:?}")
            })
            .collect();
        self.ensure(differing.is_empty(), || differing.join("; "))
    }
}

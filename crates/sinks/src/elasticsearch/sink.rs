//! Elasticsearch or OpenSearch as a sink.
//!
//! In: batches of whole documents with a version. Out: `_bulk` requests, several in flight.
//!
//! Always: a late request of an earlier opening finds no index under the alias that it was sent to. One that had found it, and waits
//! in the server's queue, has a version by which it changes nothing while the server remembers what overtook it: an hour for
//! deletes, and until a restart, which no queue outlives either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use elasticsearch::http::Method;
use futures_util::{StreamExt, TryStreamExt, stream};
use readside_model::{Body, DocumentForm};
use readside_sink::{
    Batch, Fence, Marker, MarkerClaim, Outcome, Page, Receipt, Row, Sink, SinkError, ViewTarget,
    ViewWrites, Visibility, WriterScope, decode_marker, encode_marker, forget_views,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bulk;
use super::config::ElasticsearchConfig;
use super::connection::Connection;
use super::place::{Place, encode};
use super::receipt;

const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
const REQUESTS_IN_FLIGHT: usize = 4;
const READ_KEYS_MAX: usize = 500;
/// `index.max_result_window`
const PAGE_ROWS_MAX: usize = 10_000;
/// The server keeps versions in 63 bits.
const VERSION_MAX: u64 = i64::MAX.unsigned_abs();
const SERVER_MAJOR_MIN_ELASTICSEARCH: u64 = 7;
const SERVER_MAJOR_MIN_OPENSEARCH: u64 = 1;

/// A search server.
pub(crate) struct ElasticsearchSink {
    connection: Connection,
    instance: String,
    marker_index: String,
    claim: MarkerClaim,
    owner_epoch: String,
    /// Counts openings in the life of this object.
    openings: AtomicU64,
    /// The highest version that is known to be ours.
    issued_max: AtomicU64,
    places: RwLock<Arc<Vec<Place>>>,
    /// The receipts as they were read, by place.
    receipts: RwLock<Vec<Option<Receipt>>>,
}

#[derive(Deserialize)]
struct Banner {
    version: BannerVersion,
}

#[derive(Deserialize)]
struct BannerVersion {
    number: String,
    distribution: Option<String>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    _id: String,
    #[serde(borrow)]
    _source: Option<&'a RawValue>,
    #[serde(default)]
    sort: Vec<i64>,
}

#[derive(Deserialize)]
struct SearchAnswer<'a> {
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Documents<'a> {
    #[serde(borrow)]
    docs: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct StoredMarker {
    _seq_no: i64,
    _primary_term: i64,
    _source: MarkerSource,
}

#[derive(Deserialize)]
struct MarkerSource {
    marker: String,
}

impl ElasticsearchSink {
    pub(crate) fn new(
        config: &ElasticsearchConfig,
        instance: &str,
        owner_epoch: &str,
    ) -> Result<ElasticsearchSink, SinkError> {
        Ok(ElasticsearchSink {
            connection: Connection::new(config.transport()?),
            instance: instance.to_owned(),
            marker_index: format!(".readside-{}", instance.to_lowercase()),
            claim: MarkerClaim::new(owner_epoch),
            owner_epoch: owner_epoch.to_lowercase(),
            openings: AtomicU64::new(0),
            issued_max: AtomicU64::new(0),
            places: RwLock::new(Arc::new(Vec::new())),
            receipts: RwLock::new(Vec::new()),
        })
    }

    fn place(&self, target: usize) -> Result<Place, SinkError> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places
            .get(target)
            .cloned()
            .ok_or_else(|| SinkError::Operator {
                message: format!("target {target} was not prepared"),
                hint: "report this as a defect".to_owned(),
            })
    }

    fn places(&self) -> Arc<Vec<Place>> {
        Arc::clone(&self.places.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_places(&self, places: Vec<Place>) {
        *self
            .receipts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Vec::new();
        *self.places.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(places);
    }

    /// The name of this opening in write aliases.
    fn opening(&self) -> String {
        format!(
            "{}-{}",
            self.owner_epoch,
            self.openings.load(Ordering::Acquire)
        )
    }

    fn lost(place: &Place) -> SinkError {
        SinkError::Lost(format!("index `{}` is gone", place.index))
    }

    async fn stored_marker(&self) -> Result<Option<StoredMarker>, SinkError> {
        let path = format!("/{}/_doc/marker", encode(&self.marker_index));
        let answer = self.connection.json(Method::Get, &path, None).await?;
        answer.map(|answer| answer.parse()).transpose()
    }

    /// An error if another process has taken over. Whether the marker is gone or went back is for whoever reads it.
    async fn still_owned(&self) -> Result<(), SinkError> {
        let stored = self.stored_marker().await?;
        match self
            .claim
            .judge(stored.as_ref().map(|s| s._source.marker.as_str()))
        {
            Err(SinkError::Fenced(reason)) => Err(SinkError::Fenced(reason)),
            _ => Ok(()),
        }
    }

    /// Takes views out of the stored marker whose indexes are about to be created anew.
    async fn forget(&self, lost: &[(&str, u64)]) -> Result<(), SinkError> {
        let Some(stored) = self.stored_marker().await? else {
            return Ok(());
        };
        let judged = self.claim.judge(Some(&stored._source.marker));
        if let Err(SinkError::Fenced(reason)) = judged {
            return Err(SinkError::Fenced(reason));
        }
        let Some(text) = forget_views(&stored._source.marker, lost)? else {
            return Ok(());
        };
        let path = format!(
            "/{}/_doc/marker?if_seq_no={}&if_primary_term={}",
            encode(&self.marker_index),
            stored._seq_no,
            stored._primary_term
        );
        let body = json!({ "marker": text });
        self.connection
            .json(Method::Put, &path, Some(&body))
            .await?;
        // What this life has not read or written yet, it still has to.
        if judged.is_ok() && self.claim.accepted().is_some() {
            self.claim.written(&text);
        }
        Ok(())
    }

    async fn create_marker_index(&self) -> Result<(), SinkError> {
        let path = format!("/{}", encode(&self.marker_index));
        if self
            .connection
            .json(Method::Get, &path, None)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let body = json!({
            "settings": {"index.hidden": true, "index.number_of_shards": 1,
                "index.default_pipeline": "_none", "index.final_pipeline": "_none"},
            "mappings": {"dynamic": false, "_meta": {"readside": {"instance": self.instance}}},
        });
        match self.connection.json(Method::Put, &path, Some(&body)).await {
            Err(SinkError::Operator { message, .. })
                if message.starts_with("resource_already_exists") =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn write_view(
        &self,
        view: &ViewWrites,
        batch: &Batch,
        issued_max: u64,
    ) -> Result<Vec<Outcome>, SinkError> {
        let place = self.place(view.target)?;
        let parts: Vec<Vec<Outcome>> = stream::iter(bulk::chunks(&view.writes))
            .map(|chunk| {
                bulk::send(
                    &self.connection,
                    &place,
                    view.writes.get(chunk).unwrap_or_default(),
                    batch.version,
                    issued_max,
                )
            })
            .buffered(REQUESTS_IN_FLIGHT)
            .try_collect()
            .await?;
        Ok(parts.concat())
    }
}

fn row(hit: &Hit<'_>) -> Option<Row> {
    let source = hit._source?;
    Some(Row {
        key: Arc::from(hit._id.as_str()),
        body: Body::Json(Bytes::copy_from_slice(source.get().as_bytes())),
    })
}

#[async_trait]
impl Sink for ElasticsearchSink {
    fn form(&self) -> DocumentForm {
        DocumentForm::Json
    }

    fn visibility(&self) -> Visibility {
        Visibility::AfterRefresh
    }

    fn writer_scope(&self) -> WriterScope {
        WriterScope::PerView
    }

    fn batch_bytes_max(&self) -> usize {
        BATCH_BYTES_MAX
    }

    async fn check(&self) -> Result<Vec<String>, SinkError> {
        let answer = self.connection.json(Method::Get, "/", None).await?;
        let banner: Option<Banner> = answer.and_then(|answer| answer.parse().ok());
        let Some(banner) = banner else {
            return Err(SinkError::Operator {
                message: "what answers there is neither Elasticsearch nor OpenSearch".to_owned(),
                hint: "check the sink's `url`".to_owned(),
            });
        };
        let opensearch = banner.version.distribution.as_deref() == Some("opensearch");
        let (name, major_min) = if opensearch {
            ("OpenSearch", SERVER_MAJOR_MIN_OPENSEARCH)
        } else {
            ("Elasticsearch", SERVER_MAJOR_MIN_ELASTICSEARCH)
        };
        let number = banner.version.number;
        let major: Option<u64> = number
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if major.is_some_and(|major| major < major_min) {
            return Err(SinkError::Operator {
                message: format!("{name} {number} is too old"),
                hint: format!("{name} {major_min} or later is needed"),
            });
        }
        let mut warnings = Vec::new();
        let health = self
            .connection
            .json(Method::Get, "/_cluster/health", None)
            .await;
        if let Ok(Some(answer)) = health {
            let value: Value = answer.parse()?;
            if value.get("status").and_then(Value::as_str) == Some("red") {
                warnings.push(
                    "the search cluster's status is red: some of its data is not available\n  hint: see `GET /_cluster/allocation/explain`"
                        .to_owned(),
                );
            }
        }
        Ok(warnings)
    }

    async fn prepare(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        let opening = self.opening();
        let mut places: Vec<Place> = Vec::with_capacity(targets.len());
        for target in targets {
            let place = Place::new(target, &opening)?;
            if places.iter().any(|other| other.index == place.index) {
                return Err(SinkError::Operator {
                    message: format!("two views go to the index `{}`", place.alias),
                    hint: "set `index` for one of them".to_owned(),
                });
            }
            places.push(place);
        }
        // Whoever has been fenced off makes no way in again for what it sent.
        self.still_owned().await?;
        let mut missing: Vec<(&str, u64)> = Vec::new();
        for (place, target) in places.iter().zip(targets) {
            if !place.exists(&self.connection).await? {
                missing.push((target.view.as_str(), target.generation));
            }
        }
        if !missing.is_empty() {
            self.forget(&missing).await?;
        }
        for (place, target) in places.iter_mut().zip(targets) {
            place
                .create(&self.connection, target, &self.instance)
                .await?;
        }
        self.set_places(places);
        Ok(())
    }

    async fn switch(&self, target: usize) -> Result<(), SinkError> {
        self.place(target)?.switch(&self.connection).await
    }

    async fn fence(&self) -> Result<Fence, SinkError> {
        self.still_owned().await?;
        self.openings.fetch_add(1, Ordering::AcqRel);
        let opening = self.opening();
        let mut places = self.places().to_vec();
        for place in &mut places {
            place.fence(&self.connection, &opening).await?;
        }
        self.set_places(places);
        Ok(Fence::established())
    }

    async fn read_marker(&self) -> Result<Option<Marker>, SinkError> {
        let stored = self.stored_marker().await?;
        let text = stored.map(|stored| stored._source.marker);
        let marker = text.as_deref().map(decode_marker).transpose()?;
        if let Some(marker) = &marker {
            self.issued_max
                .fetch_max(marker.version_max, Ordering::AcqRel);
        }
        self.claim.seen(text.as_deref());
        Ok(marker)
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), SinkError> {
        let text = encode_marker(marker)?;
        let stored = self.stored_marker().await?;
        self.claim
            .judge(stored.as_ref().map(|s| s._source.marker.as_str()))?;
        let condition = match &stored {
            Some(stored) => format!(
                "if_seq_no={}&if_primary_term={}",
                stored._seq_no, stored._primary_term
            ),
            None => {
                self.create_marker_index().await?;
                "op_type=create".to_owned()
            }
        };
        let path = format!("/{}/_doc/marker?{condition}", encode(&self.marker_index));
        self.claim.attempted(&text);
        let body = Bytes::from(json!({ "marker": text }).to_string());
        let answer = self
            .connection
            .request(Method::Put, &path, Some(body), "application/json")
            .await?;
        match answer.status {
            200..=299 => {
                self.claim.written(&text);
                self.issued_max
                    .fetch_max(marker.version_max, Ordering::AcqRel);
                Ok(())
            }
            409 => {
                let stored = self.stored_marker().await?;
                self.claim
                    .judge(stored.as_ref().map(|s| s._source.marker.as_str()))?;
                Err(SinkError::Unavailable(
                    "the marker changed meanwhile".to_owned(),
                ))
            }
            _ => Err(answer.error()),
        }
    }

    async fn read_receipts(&self) -> Result<Vec<Option<Receipt>>, SinkError> {
        let places = self.places();
        let mut found = Vec::with_capacity(places.len());
        for place in places.iter() {
            let receipt = receipt::read(&self.connection, place).await?;
            place.taken.store(0, Ordering::Release);
            found.push(receipt);
        }
        *self
            .receipts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = found.clone();
        Ok(found)
    }

    fn receipt(&self, target: usize) -> Option<Receipt> {
        let places = self.places();
        let receipts = self.receipts.read().unwrap_or_else(PoisonError::into_inner);
        let mut receipt = receipts.get(target)?.clone()?;
        receipt.count += places.get(target)?.taken.load(Ordering::Acquire);
        Some(receipt)
    }

    async fn audit(&self) -> Result<(), SinkError> {
        for (target, place) in self.places().iter().enumerate() {
            let known = self.receipt(target);
            let found = receipt::read(&self.connection, place)
                .await?
                .ok_or_else(|| Self::lost(place))?;
            if known.is_some_and(|known| !found.covers(&known)) {
                return Err(SinkError::Lost(format!(
                    "index `{}` is another one, or lost writes that it had acknowledged",
                    place.index
                )));
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError> {
        if batch.version.0 > VERSION_MAX {
            return Err(SinkError::Operator {
                message: format!(
                    "version {} is more than a search server can hold",
                    batch.version.0
                ),
                hint: "report this as a defect".to_owned(),
            });
        }
        let before = self.issued_max.fetch_max(batch.version.0, Ordering::AcqRel);
        let issued_max = before.max(batch.version.0);
        let mut outcomes = Vec::with_capacity(batch.views.len());
        for view in &batch.views {
            outcomes.push(self.write_view(view, batch, issued_max).await?);
        }
        Ok(outcomes)
    }

    async fn refresh(&self, target: usize) -> Result<(), SinkError> {
        let place = self.place(target)?;
        let path = format!("/{}/_refresh", encode(&place.index));
        let answer = self.connection.json(Method::Post, &path, None).await?;
        answer.map(drop).ok_or_else(|| Self::lost(&place))
    }

    async fn read_page(
        &self,
        target: usize,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page, SinkError> {
        let place = self.place(target)?;
        let bad_token = || SinkError::Operator {
            message: "a page that this sink never gave".to_owned(),
            hint: "report this as a defect".to_owned(),
        };
        let (shard, seq_no) = match &after {
            None => (0, -1),
            Some(token) => {
                let (shard, seq_no) = token.split_once(':').ok_or_else(bad_token)?;
                let shard: u64 = shard.parse().map_err(|_| bad_token())?;
                let seq_no: i64 = seq_no.parse().map_err(|_| bad_token())?;
                (shard, seq_no)
            }
        };
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        // `_seq_no` is unique within a shard, and a row that is rewritten meanwhile moves on, so it comes at least once.
        let path = format!(
            "/{}/_search?preference=_shards:{shard}%7C_local&allow_partial_search_results=false",
            encode(&place.index)
        );
        let body = json!({
            "size": limit,
            "sort": [{"_seq_no": {"order": "asc", "unmapped_type": "long"}}],
            "search_after": [seq_no],
            "track_total_hits": false,
        });
        let answer = self
            .connection
            .json(Method::Post, &path, Some(&body))
            .await?;
        let answer = answer.ok_or_else(|| Self::lost(&place))?;
        let hits = answer.parse::<SearchAnswer<'_>>()?.hits.hits;
        let last = hits.last().and_then(|hit| hit.sort.first().copied());
        let next = match last {
            Some(seq_no) if hits.len() == limit => Some(format!("{shard}:{seq_no}")),
            _ if shard + 1 < place.shards => Some(format!("{}:-1", shard + 1)),
            _ => None,
        };
        Ok(Page {
            rows: hits.iter().filter_map(row).collect(),
            next,
        })
    }

    async fn read_keys(&self, target: usize, keys: &[Arc<str>]) -> Result<Vec<Row>, SinkError> {
        let place = self.place(target)?;
        let path = format!("/{}/_mget", encode(&place.index));
        let mut rows = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(READ_KEYS_MAX) {
            let ids: Vec<&str> = chunk.iter().map(|key| &**key).collect();
            let answer = self
                .connection
                .json(Method::Post, &path, Some(&json!({ "ids": ids })))
                .await?
                .ok_or_else(|| Self::lost(&place))?;
            rows.extend(answer.parse::<Documents<'_>>()?.docs.iter().filter_map(row));
        }
        Ok(rows)
    }

    async fn drop_all(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        for target in targets {
            Place::new(target, &self.opening())?
                .remove(&self.connection, &target.view, &self.instance)
                .await?;
        }
        let path = format!("/{}", encode(&self.marker_index));
        self.connection.json(Method::Delete, &path, None).await?;
        self.claim.seen(None);
        Ok(())
    }
}

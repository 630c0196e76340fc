//! Redis as a sink.
//!
//! In: batches of whole JSON texts. Out: one `SET` or `DEL` per key, pipelined.
//!
//! Always: values are whole, so a repeated batch changes nothing; order per key is the caller's and the connection's. The last pipeline
//! of a batch ends with its receipt.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use readside_model::{Body, DocumentForm};
use readside_sink::{
    Batch, DeadReason, Fence, Marker, Outcome, Page, Receipt, Row, Sink, SinkError, ViewTarget,
    ViewWrites, Visibility, WriterScope, decode_marker, encode_marker,
};
use redis::{FromRedisValue, Pipeline, RedisError, Value, cmd};
use serde::de::IgnoredAny;

use super::config::RedisConfig;
use super::connection::{Connections, Live, info_field, is_refusal};
use super::receipt::{Receipts, receipt, set_back};
use super::template::{KeyTemplate, KeyTemplateError};

const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
const PIPELINE_BYTES_MAX: usize = 1024 * 1024;
const PIPELINE_COMMANDS_MAX: usize = 1000;
/// How many keys one `MGET` asks for.
const READ_KEYS_MAX: usize = 500;
/// How many `SCAN` calls one page may take where few keys match.
const SCANS_PER_PAGE_MAX: usize = 64;
const VERSION_MIN: u64 = 6;

/// Replaces the marker if it is one of the accepted ones; answers with what stands there otherwise.
const MARKER_SCRIPT: &str = "local now = redis.call('GET', KEYS[1]) \
    local accepted = #ARGV == 1 \
    for i = 2, #ARGV do if (now or '') == ARGV[i] then accepted = true end end \
    if accepted then redis.call('SET', KEYS[1], ARGV[1]) return {1} end \
    return {0, now}";

/// A Redis or Valkey that is not a Cluster.
pub(crate) struct RedisSink {
    connections: Connections,
    instance: String,
    targets: RwLock<Arc<Vec<Place>>>,
    receipts: Receipts,
}

/// A view's keys.
struct Place {
    view: String,
    template: KeyTemplate,
    columns: Vec<String>,
}

impl RedisSink {
    pub(crate) fn new(
        config: &RedisConfig,
        instance: &str,
        owner_epoch: &str,
    ) -> Result<RedisSink, SinkError> {
        let (client, db) = config.client()?;
        Ok(RedisSink {
            connections: Connections::new(client, db, instance, owner_epoch),
            instance: instance.to_owned(),
            targets: RwLock::new(Arc::new(Vec::new())),
            receipts: Receipts::new(instance),
        })
    }

    fn places(&self) -> Arc<Vec<Place>> {
        Arc::clone(&self.targets.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn write_view(
        &self,
        live: &Live,
        place: &Place,
        view: &ViewWrites,
    ) -> Result<Vec<Outcome>, SinkError> {
        let mut outcomes = vec![Outcome::Applied; view.writes.len()];
        if !self.receipts.is_known(&place.view) {
            let found = self.stored_receipts(live, &[&place.view]).await?;
            self.receipts
                .accept(&place.view, found.first().copied().flatten());
        }
        let mut chunk = Chunk::default();
        for (i, write) in view.writes.iter().enumerate() {
            if chunk.is_full() {
                self.send(live, &mut chunk, &mut outcomes).await?;
            }
            let key = place.template.render(&write.key);
            match &write.body {
                None => chunk.add(i, key.len(), cmd("DEL").arg(key).take()),
                Some(Body::Json(text)) if text.len() > live.document_bytes_max => {
                    outcomes[i] = Outcome::Refused(DeadReason(format!(
                        "the document has {} bytes, and the server takes {} at most",
                        text.len(),
                        live.document_bytes_max
                    )));
                }
                Some(Body::Json(text)) => {
                    let bytes = key.len() + text.len();
                    chunk.add(i, bytes, cmd("SET").arg(key).arg(&text[..]).take());
                }
                Some(Body::Columns(_)) => return Err(wrong_form()),
            }
        }
        if view.writes.is_empty() {
            return Ok(outcomes);
        }
        let (command, count) = self.receipts.attempt(&place.view);
        chunk.pipeline.add_command(command);
        let answer = self.send(live, &mut chunk, &mut outcomes).await?;
        self.receipts
            .answered(&place.view, count, &answer.unwrap_or(Value::Nil))?;
        Ok(outcomes)
    }

    /// The numbers of these views' last batches, as the server has them.
    async fn stored_receipts(
        &self,
        live: &Live,
        views: &[&str],
    ) -> Result<Vec<Option<u64>>, SinkError> {
        if views.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = views.iter().map(|view| self.receipts.key(view)).collect();
        let reply = self.connections.query(live, cmd("MGET").arg(keys)).await?;
        let texts: Vec<Option<String>> = convert(reply)?;
        Ok(texts
            .into_iter()
            .map(|text| text.and_then(|text| text.parse().ok()))
            .collect())
    }

    /// Sends what has been collected; gives the reply to what is in the pipeline behind the items.
    async fn send(
        &self,
        live: &Live,
        chunk: &mut Chunk,
        outcomes: &mut [Outcome],
    ) -> Result<Option<Value>, SinkError> {
        let Chunk {
            pipeline, items, ..
        } = std::mem::take(chunk);
        let mut replies = self
            .connections
            .pipeline(live, &pipeline)
            .await?
            .into_iter();
        for (item, reply) in items.into_iter().zip(replies.by_ref()) {
            if let Value::ServerError(error) = reply {
                let error = RedisError::from(error);
                if !is_refusal(&error) {
                    return Err(self.connections.failed(live, error).await);
                }
                outcomes[item] = Outcome::Refused(DeadReason(error.to_string()));
            }
        }
        match replies.next() {
            Some(Value::ServerError(error)) => {
                Err(self.connections.failed(live, error.into()).await)
            }
            other => Ok(other),
        }
    }

    /// The values of these keys, `None` for what is absent or not a string.
    async fn values(&self, live: &Live, keys: &[String]) -> Result<Vec<Option<Bytes>>, SinkError> {
        let mut out = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(READ_KEYS_MAX) {
            let reply = self.connections.query(live, cmd("MGET").arg(chunk)).await?;
            let values: Vec<Option<Vec<u8>>> = convert(reply)?;
            out.extend(values.into_iter().map(|v| v.map(Bytes::from)));
        }
        Ok(out)
    }

    /// Some keys of this place from a cursor on, and the next cursor (0 at the end).
    async fn scan(
        &self,
        live: &Live,
        place: &Place,
        cursor: u64,
        limit: usize,
    ) -> Result<(Vec<(String, String)>, u64), SinkError> {
        let mut command = cmd("SCAN");
        command
            .arg(cursor)
            .arg("MATCH")
            .arg(place.template.scan_pattern())
            .arg("COUNT")
            .arg(limit.max(10));
        let reply = self.connections.query(live, &command).await?;
        let (next, names): (u64, Vec<Vec<u8>>) = convert(reply)?;
        let keys = names
            .into_iter()
            .filter_map(|name| {
                let name = String::from_utf8(name).ok()?;
                Some((place.template.parse_key(&name)?, name))
            })
            .collect();
        Ok((keys, next))
    }

    async fn drop_place(&self, live: &Live, place: &Place) -> Result<(), SinkError> {
        let mut cursor = 0;
        loop {
            let (keys, next) = self.scan(live, place, cursor, 1000).await?;
            let names: Vec<String> = keys.into_iter().map(|(_, name)| name).collect();
            let values = self.values(live, &names).await?;
            let ours: Vec<&String> = names
                .iter()
                .zip(&values)
                .filter(|(_, value)| value.as_ref().is_some_and(|v| place.wrote(v)))
                .map(|(name, _)| name)
                .collect();
            if !ours.is_empty() {
                self.connections.query(live, cmd("DEL").arg(ours)).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

impl Place {
    fn new(target: &ViewTarget) -> Result<Place, KeyTemplateError> {
        Ok(Place {
            view: target.view.clone(),
            template: KeyTemplate::parse(
                &target.location,
                &target.view,
                &target.columns,
                &target.key,
            )?,
            columns: target.columns.iter().map(|c| c.name.clone()).collect(),
        })
    }

    /// Whether a value looks like a row of this view: an object with exactly its columns.
    fn wrote(&self, value: &[u8]) -> bool {
        let Ok(fields) =
            serde_json::from_slice::<std::collections::HashMap<String, IgnoredAny>>(value)
        else {
            return false;
        };
        fields.len() == self.columns.len() && self.columns.iter().all(|c| fields.contains_key(c))
    }
}

#[derive(Default)]
struct Chunk {
    pipeline: Pipeline,
    items: Vec<usize>,
    bytes: usize,
}

impl Chunk {
    fn add(&mut self, item: usize, bytes: usize, command: redis::Cmd) {
        self.pipeline.add_command(command);
        self.items.push(item);
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.items.len() >= PIPELINE_COMMANDS_MAX || self.bytes >= PIPELINE_BYTES_MAX
    }
}

fn convert<T: FromRedisValue>(value: Value) -> Result<T, SinkError> {
    T::from_redis_value(value)
        .map_err(|error| SinkError::Unavailable(format!("an unexpected reply: {error}")))
}

fn wrong_form() -> SinkError {
    SinkError::Operator {
        message: "a document in another form than this sink's".to_owned(),
        hint: "report this as a defect".to_owned(),
    }
}

fn unknown_target(target: usize) -> SinkError {
    SinkError::Operator {
        message: format!("target {target} was not prepared"),
        hint: "report this as a defect".to_owned(),
    }
}

#[async_trait]
impl Sink for RedisSink {
    fn form(&self) -> DocumentForm {
        DocumentForm::Json
    }

    fn visibility(&self) -> Visibility {
        Visibility::Immediate
    }

    fn writer_scope(&self) -> WriterScope {
        WriterScope::PerView
    }

    fn batch_bytes_max(&self) -> usize {
        BATCH_BYTES_MAX
    }

    async fn check(&self) -> Result<Vec<String>, SinkError> {
        let live = self.connections.live().await?;
        let info: String = convert(self.connections.query(&live, &cmd("INFO")).await?)?;
        let field = |name: &str| info_field(&info, name).unwrap_or_default();
        let refuse = |message: &str, hint: &str| {
            Err(SinkError::Operator {
                message: message.to_owned(),
                hint: hint.to_owned(),
            })
        };
        if field("role") == "slave" {
            return refuse(
                "this Redis is a replica",
                "name the master in the sink's `url`",
            );
        }
        if field("cluster_enabled") == "1" {
            return refuse(
                "this Redis is a node of a Cluster",
                "name a Redis that is not one",
            );
        }
        let version = field("redis_version");
        let major: Option<u64> = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if major.is_some_and(|major| major < VERSION_MIN) {
            return refuse(
                &format!("Redis {version} is too old"),
                "Redis 6 or later is needed",
            );
        }
        // The marker is written by a script; a user without that right is better told now.
        let script = "return redis.call('GET', KEYS[1])";
        self.connections
            .query(
                &live,
                cmd("EVAL")
                    .arg(script)
                    .arg(1)
                    .arg(&self.connections.marker_key),
            )
            .await?;
        let mut warnings = Vec::new();
        let policy = field("maxmemory_policy");
        if policy != "noeviction" && !policy.starts_with("volatile-") {
            let policy = if policy.is_empty() { "unknown" } else { policy };
            warnings.push(format!(
                "`maxmemory-policy` is {policy}: Redis may evict rows of read models\n  hint: set it to `noeviction` or to one of `volatile-*`"
            ));
        }
        Ok(warnings)
    }

    async fn prepare(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        let operator = |message: String, hint: &str| SinkError::Operator {
            message,
            hint: hint.to_owned(),
        };
        let mut places: Vec<Place> = Vec::with_capacity(targets.len());
        for target in targets {
            let place = Place::new(target).map_err(|error| {
                let hint = error.hint.clone();
                operator(
                    format!(
                        "view `{}`: key template `{}`: {}",
                        target.view, error.template, error.reason
                    ),
                    &hint,
                )
            })?;
            if let Some(other) = places
                .iter()
                .find(|p| p.template.may_collide(&place.template))
            {
                return Err(operator(
                    format!(
                        "views `{}` and `{}` may write to the same keys",
                        other.view, place.view
                    ),
                    "give each a key template that begins with a word of its own",
                ));
            }
            places.push(place);
        }
        self.connections.live().await?;
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(places);
        Ok(())
    }

    async fn fence(&self) -> Result<Fence, SinkError> {
        self.connections.fence().await?;
        Ok(Fence::established())
    }

    async fn read_marker(&self) -> Result<Option<Marker>, SinkError> {
        let live = self.connections.live().await?;
        let reply = self
            .connections
            .query(&live, cmd("GET").arg(&self.connections.marker_key))
            .await?;
        let text: Option<String> = convert(reply)?;
        let marker = text.as_deref().map(decode_marker).transpose()?;
        self.connections.claim.seen(text.as_deref());
        Ok(marker)
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), SinkError> {
        let text = encode_marker(marker)?;
        let mut command = cmd("EVAL");
        command
            .arg(MARKER_SCRIPT)
            .arg(1)
            .arg(&self.connections.marker_key)
            .arg(&text);
        for accepted in self.connections.claim.accepted().unwrap_or_default() {
            command.arg(accepted.unwrap_or_default());
        }
        let live = self.connections.live().await?;
        self.connections.claim.attempted(&text);
        let reply = self.connections.query(&live, &command).await?;
        let (written, stored) = match reply {
            Value::Array(values) => {
                let mut values = values.into_iter();
                let written: i64 = convert(values.next().unwrap_or(Value::Nil))?;
                let stored: Option<String> = convert(values.next().unwrap_or(Value::Nil))?;
                (written == 1, stored)
            }
            other => {
                return Err(SinkError::Unavailable(format!(
                    "an unexpected reply: {other:?}"
                )));
            }
        };
        if !written {
            self.connections.claim.judge(stored.as_deref())?;
            return Err(SinkError::Unavailable(
                "the marker changed meanwhile".to_owned(),
            ));
        }
        self.connections.claim.written(&text);
        Ok(())
    }

    async fn read_receipts(&self) -> Result<Vec<Option<Receipt>>, SinkError> {
        let places = self.places();
        let live = self.connections.live().await?;
        let views: Vec<&str> = places.iter().map(|place| place.view.as_str()).collect();
        let found = self.stored_receipts(&live, &views).await?;
        Ok(views
            .into_iter()
            .zip(found)
            .map(|(view, found)| self.receipts.accept(view, found))
            .collect())
    }

    fn receipt(&self, target: usize) -> Option<Receipt> {
        let places = self.places();
        let view = &places.get(target)?.view;
        self.receipts.acknowledged(view).map(receipt)
    }

    async fn audit(&self) -> Result<(), SinkError> {
        let places = self.places();
        let live = self.connections.live().await?;
        let known: Vec<(&str, u64)> = places
            .iter()
            .filter_map(|place| {
                let acknowledged = self.receipts.acknowledged(&place.view)?;
                Some((place.view.as_str(), acknowledged))
            })
            .collect();
        let views: Vec<&str> = known.iter().map(|(view, _)| *view).collect();
        let found = self.stored_receipts(&live, &views).await?;
        for ((view, acknowledged), found) in known.into_iter().zip(found) {
            if found.unwrap_or(0) < acknowledged {
                return Err(set_back(view));
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError> {
        let places = self.places();
        let live = self.connections.live().await?;
        let mut outcomes = Vec::with_capacity(batch.views.len());
        for view in &batch.views {
            let place = places
                .get(view.target)
                .ok_or_else(|| unknown_target(view.target))?;
            outcomes.push(self.write_view(&live, place, view).await?);
        }
        Ok(outcomes)
    }

    async fn refresh(&self, _target: usize) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read_page(
        &self,
        target: usize,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page, SinkError> {
        let places = self.places();
        let place = places.get(target).ok_or_else(|| unknown_target(target))?;
        let live = self.connections.live().await?;
        // A cursor means nothing to another process of the server: its hash seed differs, and keys would be skipped.
        let mut cursor = match &after {
            None => 0,
            Some(token) => token
                .split_once(':')
                .filter(|(run_id, _)| *run_id == live.run_id)
                .and_then(|(_, cursor)| cursor.parse().ok())
                .ok_or_else(|| {
                    SinkError::Unavailable(
                        "the server was restarted while its keys were read".to_owned(),
                    )
                })?,
        };
        let mut rows = Vec::new();
        for _ in 0..SCANS_PER_PAGE_MAX {
            let (keys, next) = self.scan(&live, place, cursor, limit).await?;
            let names: Vec<String> = keys.iter().map(|(_, name)| name.clone()).collect();
            let values = self.values(&live, &names).await?;
            rows.extend(
                keys.into_iter()
                    .zip(values)
                    .filter_map(|((key, _), value)| {
                        Some(Row {
                            key: Arc::from(key),
                            body: Body::Json(value?),
                        })
                    }),
            );
            cursor = next;
            if cursor == 0 || rows.len() >= limit {
                break;
            }
        }
        let next = (cursor != 0).then(|| format!("{}:{cursor}", live.run_id));
        Ok(Page { rows, next })
    }

    async fn read_keys(&self, target: usize, keys: &[Arc<str>]) -> Result<Vec<Row>, SinkError> {
        let places = self.places();
        let place = places.get(target).ok_or_else(|| unknown_target(target))?;
        let live = self.connections.live().await?;
        let names: Vec<String> = keys.iter().map(|key| place.template.render(key)).collect();
        let values = self.values(&live, &names).await?;
        Ok(keys
            .iter()
            .zip(values)
            .filter_map(|(key, value)| {
                Some(Row {
                    key: Arc::clone(key),
                    body: Body::Json(value?),
                })
            })
            .collect())
    }

    async fn drop_all(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        let live = self.connections.live().await?;
        for target in targets {
            let place = Place::new(target).map_err(|error| SinkError::Operator {
                message: format!("key template `{}`: {}", error.template, error.reason),
                hint: error.hint.clone(),
            })?;
            self.drop_place(&live, &place).await?;
            let receipt = self.receipts.key(&place.view);
            self.connections
                .query(&live, cmd("DEL").arg(receipt))
                .await?;
        }
        self.connections
            .query(&live, cmd("DEL").arg(&self.connections.marker_key))
            .await?;
        self.connections.claim.seen(None);
        tracing::info!(instance = %self.instance, "removed the read models from Redis");
        Ok(())
    }
}

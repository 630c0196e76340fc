//! One `_bulk` request.
//!
//! In: writes with one version. Out: what became of each.
//!
//! Always: documents are sent as they are, one line each; an answer has an item for every write or is an error.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use elasticsearch::http::Method;
use readside_model::{Body, Version};
use readside_sink::{DeadReason, Outcome, SinkError, Write};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::connection::{Answer, Connection};
use super::place::{Place, encode};

/// About a thousand documents; a search server answers within a second or so.
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;
const REQUEST_WRITES_MAX: usize = 1000;

/// Cuts writes into requests.
pub(super) fn chunks(writes: &[Write]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut first = 0;
    let mut bytes = 0;
    for (i, write) in writes.iter().enumerate() {
        let size = write.key.len() + body_length(write);
        let full = bytes + size > REQUEST_BYTES_MAX || i - first >= REQUEST_WRITES_MAX;
        if i > first && full {
            out.push(first..i);
            first = i;
            bytes = 0;
        }
        bytes += size;
    }
    if first < writes.len() {
        out.push(first..writes.len());
    }
    out
}

fn body_length(write: &Write) -> usize {
    match &write.body {
        Some(Body::Json(text)) => text.len(),
        _ => 0,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Action<'a> {
    Index(Header<'a>),
    Delete(Header<'a>),
}

#[derive(Serialize)]
struct Header<'a> {
    _id: &'a str,
    version: u64,
    version_type: &'static str,
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "delete", alias = "create")]
    index: ItemResult,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    caused_by: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: Option<String>,
}

impl ItemError {
    fn text(&self) -> String {
        let mut text = format!(
            "{}: {}",
            self.kind,
            self.reason.as_deref().unwrap_or("no reason given")
        );
        if let Some(cause) = self.caused_by.as_ref().and_then(|c| c.reason.as_deref())
            && !text.contains(cause)
        {
            text = format!("{text}; {cause}");
        }
        text
    }
}

/// What one item's answer means, before versions are looked at.
enum Verdict {
    Done(Outcome),
    /// The server has a higher version.
    Conflict(String),
}

/// Sends a chunk. Halves of a request that the server finds too large are sent by themselves.
pub(super) async fn send(
    connection: &Connection,
    place: &Place,
    writes: &[Write],
    version: Version,
    issued_max: u64,
) -> Result<Vec<Outcome>, SinkError> {
    let (sent, mut outcomes) = sendable(writes)?;
    if sent.is_empty() {
        return Ok(outcomes);
    }
    let body = encode_body(writes, &sent, version)?;
    let path = format!(
        "/{}/_bulk?require_alias=true&filter_path=errors,items.*.status,items.*.error",
        encode(&place.write_alias)
    );
    let answer = connection
        .request(Method::Post, &path, Some(body), "application/x-ndjson")
        .await?;
    match answer.status {
        200..=299 => {}
        413 => {
            if let [only] = sent.as_slice() {
                outcomes[*only] = Outcome::Refused(DeadReason(
                    "the document is larger than a request to this server may be".to_owned(),
                ));
                return Ok(outcomes);
            }
            let (left, right) = writes.split_at(writes.len() / 2);
            let mut outcomes = Box::pin(send(connection, place, left, version, issued_max)).await?;
            outcomes.extend(Box::pin(send(connection, place, right, version, issued_max)).await?);
            return Ok(outcomes);
        }
        429 => {
            for i in sent {
                outcomes[i] = Outcome::Retry(answer.reason());
            }
            return Ok(outcomes);
        }
        _ => return Err(answer.error()),
    }
    let items = answer.parse::<BulkAnswer>()?.items;
    if items.len() != sent.len() {
        return Err(SinkError::Unavailable(format!(
            "{} answers to {} writes",
            items.len(),
            sent.len()
        )));
    }
    let taken = items.iter().filter(|item| item.index.error.is_none());
    let taken = u64::try_from(taken.count()).unwrap_or(0);
    place.taken.fetch_add(taken, Ordering::AcqRel);
    let mut conflicts = Vec::new();
    for (i, item) in sent.into_iter().zip(items) {
        match verdict(item.index)? {
            Verdict::Done(outcome) => outcomes[i] = outcome,
            Verdict::Conflict(reason) => conflicts.push((i, reason)),
        }
    }
    if !conflicts.is_empty() {
        settle(
            connection,
            place,
            writes,
            conflicts,
            issued_max,
            &mut outcomes,
        )
        .await?;
    }
    Ok(outcomes)
}

/// The writes that can be sent at all, and outcomes for those that can't.
fn sendable(writes: &[Write]) -> Result<(Vec<usize>, Vec<Outcome>), SinkError> {
    let mut outcomes = vec![Outcome::Applied; writes.len()];
    let mut sent = Vec::with_capacity(writes.len());
    for (i, write) in writes.iter().enumerate() {
        match &write.body {
            Some(Body::Columns(_)) => {
                return Err(SinkError::Operator {
                    message: "a document in another form than this sink's".to_owned(),
                    hint: "report this as a defect".to_owned(),
                });
            }
            // It would be taken for the next action.
            Some(Body::Json(text)) if text.contains(&b'\n') => {
                outcomes[i] =
                    Outcome::Refused(DeadReason("the document has a line break".to_owned()));
            }
            _ => sent.push(i),
        }
    }
    Ok((sent, outcomes))
}

fn encode_body(writes: &[Write], sent: &[usize], version: Version) -> Result<Bytes, SinkError> {
    let defect = |error: serde_json::Error| SinkError::Operator {
        message: format!("a key cannot be written as JSON: {error}"),
        hint: "report this as a defect".to_owned(),
    };
    let size: usize = writes
        .iter()
        .map(|w| body_length(w) + w.key.len() + 80)
        .sum();
    let mut out = Vec::with_capacity(size);
    for write in sent.iter().filter_map(|i| writes.get(*i)) {
        let header = Header {
            _id: &write.key,
            version: version.0,
            version_type: "external_gte",
        };
        match &write.body {
            Some(Body::Json(text)) => {
                serde_json::to_writer(&mut out, &Action::Index(header)).map_err(defect)?;
                out.push(b'\n');
                out.extend_from_slice(text);
            }
            _ => serde_json::to_writer(&mut out, &Action::Delete(header)).map_err(defect)?,
        }
        out.push(b'\n');
    }
    Ok(Bytes::from(out))
}

fn verdict(item: ItemResult) -> Result<Verdict, SinkError> {
    let Some(error) = &item.error else {
        // Also 404: a delete of what is not there.
        return Ok(Verdict::Done(Outcome::Applied));
    };
    let text = error.text();
    match (item.status, error.kind.as_str()) {
        // The alias is gone; see `place` for why the second says so too.
        (_, "index_not_found_exception" | "invalid_index_name_exception") | (404, _) => {
            Err(SinkError::Lost(text))
        }
        (409, "version_conflict_engine_exception") => Ok(Verdict::Conflict(text)),
        (408 | 429 | 500..=599, _) => Ok(Verdict::Done(Outcome::Retry(text))),
        (401 | 403, _) => Err(SinkError::Operator {
            message: text,
            hint: "the user needs to write to the views' indexes; an index may also be blocked for writes"
                .to_owned(),
        }),
        _ => Ok(Verdict::Done(Outcome::Refused(DeadReason(text)))),
    }
}

#[derive(Deserialize)]
struct Versions {
    docs: Vec<VersionOf>,
}

#[derive(Deserialize)]
struct VersionOf {
    _version: Option<u64>,
}

/// A conflict is fine if the server's version is one that we issued; a deleted document's is only in the message.
async fn settle(
    connection: &Connection,
    place: &Place,
    writes: &[Write],
    conflicts: Vec<(usize, String)>,
    issued_max: u64,
    outcomes: &mut [Outcome],
) -> Result<(), SinkError> {
    let ids: Vec<&Arc<str>> = conflicts
        .iter()
        .filter_map(|(i, _)| writes.get(*i).map(|w| &w.key))
        .collect();
    let path = format!("/{}/_mget?_source=false", encode(&place.index));
    let ids: Vec<&str> = ids.into_iter().map(|id| &**id).collect();
    let answer: Option<Answer> = connection
        .json(Method::Post, &path, Some(&json!({ "ids": ids })))
        .await?;
    let answer =
        answer.ok_or_else(|| SinkError::Lost(format!("index `{}` is gone", place.index)))?;
    let versions: Versions = answer.parse()?;
    for ((i, reason), found) in conflicts.into_iter().zip(versions.docs) {
        outcomes[i] = match found._version.or_else(|| version_in(&reason)) {
            Some(current) if current <= issued_max => Outcome::Applied,
            Some(current) => Outcome::Newer(Version(current)),
            None => Outcome::Retry(reason),
        };
    }
    Ok(())
}

/// The version in `… current version [9] is higher than …`.
fn version_in(reason: &str) -> Option<u64> {
    let (_, rest) = reason.split_once("current version [")?;
    let (digits, _) = rest.split_once(']')?;
    digits.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn put(key: &str, bytes: usize) -> Write {
        Write {
            key: Arc::from(key),
            key_parts: Vec::new(),
            body: Some(Body::Json(Bytes::from(vec![b' '; bytes]))),
        }
    }

    #[test]
    fn requests_are_bounded_and_cover_every_write_in_order() {
        let mut writes: Vec<Write> = (0..2500).map(|i| put(&i.to_string(), 10)).collect();
        writes.insert(7, put("large", REQUEST_BYTES_MAX * 2));
        writes.push(put("last", REQUEST_BYTES_MAX - 3));
        let chunks = chunks(&writes);
        let mut next = 0;
        for chunk in &chunks {
            assert_eq!(chunk.start, next);
            next = chunk.end;
            let bytes: usize = writes[chunk.clone()].iter().map(body_length).sum();
            assert!(chunk.len() <= REQUEST_WRITES_MAX);
            assert!(bytes <= REQUEST_BYTES_MAX || chunk.len() == 1);
        }
        assert_eq!(next, writes.len());
        assert_eq!(chunks[1].len(), 1);
    }

    #[test]
    fn a_deleted_documents_version_is_read_from_the_message() {
        let reason =
            "[77]: version conflict, current version [9] is higher than the one provided [7]";
        assert_eq!(version_in(reason), Some(9));
        assert_eq!(version_in("something else"), None);
    }
}

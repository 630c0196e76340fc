//! From pending keys to writes.
//!
//! In: a snapshot at a transaction boundary. Out: one write per key text, oldest keys first, within limits.

use std::collections::HashMap;
use std::sync::Arc;

use readside_model::{Body, DocumentForm};
use readside_projection::pending::{self, Queued};
use readside_projection::{Rendered, RenderedKey};
use readside_sink::{SinkError, Write};

use crate::PipelineError;
use crate::projector::Sight;
use crate::writer::Target;

/// A rendered key on its way.
pub(crate) struct Sent {
    pub(crate) key: Vec<u8>,
    pub(crate) sink_key: RenderedKey,
    /// Which of the batch's writes it is: several keys of state can have one text, and one of them at most has a row.
    pub(crate) write: usize,
    pub(crate) present: bool,
    /// The query's own error on this row.
    pub(crate) failed: Option<String>,
}

/// What came of rendering some of a target's keys.
pub(crate) struct RenderedBatch {
    pub(crate) writes: Vec<Write>,
    pub(crate) sent: Vec<Sent>,
    /// Keys that need no request: they keep what the sink has.
    pub(crate) kept: Vec<Sent>,
    /// Of documents and keys.
    pub(crate) bytes: usize,
    /// How many of the keys are only written again, and their part of the bytes.
    pub(crate) again: (usize, usize),
    /// Nothing pending is left out.
    pub(crate) complete: bool,
}

/// Renders pending keys, oldest first, until one of the limits is met; at most `again_max` of those that are only written again.
pub(crate) fn render(
    sight: &Sight,
    target: &Target,
    form: DocumentForm,
    keys_max: usize,
    bytes_max: usize,
    again_max: usize,
) -> Result<RenderedBatch, PipelineError> {
    let mut out = RenderedBatch {
        writes: Vec::new(),
        sent: Vec::new(),
        kept: Vec::new(),
        bytes: 0,
        again: (0, 0),
        complete: true,
    };
    let snapshot = &sight.snapshot;
    let view = sight.view(target.id)?;
    let mut after: Option<Queued> = None;
    let mut by_text: HashMap<Arc<str>, usize> = HashMap::new();
    'all: loop {
        let queued = pending::queued(snapshot, target.id, after.as_ref(), 512)?;
        if queued.is_empty() {
            break;
        }
        for queued in &queued {
            let again = queued.first >= pending::AGAIN;
            if again && out.again.0 >= again_max {
                break 'all;
            }
            if out.sent.len() >= keys_max || out.bytes >= bytes_max {
                // What is up to date there and only to be written again is not missed.
                out.complete = again;
                break 'all;
            }
            let sink_key = view.sink_key(snapshot, &queued.key)?;
            let (body, failed) = match view.render(snapshot, &queued.key, form)? {
                Rendered::Absent => (None, None),
                Rendered::Row(body) => (Some(body), None),
                Rendered::Failed(error) => (None, Some(error.message)),
            };
            let mut sent = Sent {
                key: queued.key.clone(),
                sink_key,
                write: out.writes.len(),
                present: body.is_some(),
                failed,
            };
            if sent.failed.is_some() && target.keep_failed {
                out.kept.push(sent);
                continue;
            }
            let bytes = sent.sink_key.text.len() + body.as_ref().map_or(0, body_bytes);
            out.bytes += bytes;
            if again {
                out.again.0 += 1;
                out.again.1 += bytes;
            }
            sent.write = *by_text
                .entry(Arc::clone(&sent.sink_key.text))
                .or_insert(sent.write);
            match out.writes.get_mut(sent.write) {
                Some(write) => write.body = body.or_else(|| write.body.take()),
                None => out.writes.push(Write {
                    key: Arc::clone(&sent.sink_key.text),
                    key_parts: sent.sink_key.parts.clone(),
                    body,
                }),
            }
            out.sent.push(sent);
        }
        after = queued.into_iter().last();
    }
    for sent in &mut out.sent {
        sent.present = out
            .writes
            .get(sent.write)
            .is_some_and(|write| write.body.is_some());
    }
    Ok(out)
}

fn body_bytes(body: &Body) -> usize {
    match body {
        Body::Json(json) => json.len(),
        Body::Columns(columns) => columns.iter().flatten().map(bytes::Bytes::len).sum(),
    }
}

/// Runs what computes for long where it holds up nobody; in place where there is no runtime.
pub(crate) async fn aside<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SinkError> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(f)
            .await
            .map_err(|e| SinkError::Unavailable(e.to_string())),
        Err(_) => Ok(f()),
    }
}

//! Opening a sink: is it the one that we wrote to, does it still have what it acknowledged, and what has to be written again.
//!
//! In: a sink that was just reached, and what state remembers of it. Out: keys marked pending, and a marker that says so.
//!
//! Always: what a sink lost is noticed before anything else is written to it, and the marker says that it is incomplete until it is
//! whole again; nothing but the writer deletes, a read-through only marks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use readside_model::{Body, Lsn};
use readside_projection::{RenderedKey, TargetId, facts, written};
use readside_sink::{Marker, Receipt, SinkError, ViewTarget, ViewWatermark, Visibility};
use readside_state::{Read, State};
use tokio::sync::oneshot;
use tracing::{error, info};

use crate::PipelineError;
use crate::projector::Command;
use crate::writer::{SinkWorker, Target, broken, stopping};

/// Rows of a sink looked at together for strays.
pub(crate) const STRAYS_PAGE: usize = 1_000;
/// Rows that are compared with the view's keys at once.
const STRAYS_TOGETHER: usize = 200_000;

impl SinkWorker {
    /// Prepares the sink, fences off earlier lives, and compares what it says with what we know to have written there.
    pub(crate) async fn open(&self) -> Result<(), SinkError> {
        let layouts: Vec<ViewTarget> = self.targets.iter().map(|t| t.layout.clone()).collect();
        self.sink.prepare(&layouts).await?;
        self.sink.fence().await?;
        let found = self.sink.read_marker().await?;
        if let Some(found) = &found {
            self.check_name(found)?;
        }
        let receipts = self.sink.read_receipts().await?;
        let remembered = self.remembered().await?;
        let known = &remembered.marker;
        let mut refill = Vec::new();
        let mut lost = false;
        for (index, target) in self.targets.iter().enumerate() {
            let view = &target.layout.view;
            let told = Told {
                found: found.as_ref(),
                known: known.as_ref(),
                receipt: receipts.get(index).and_then(Option::as_ref),
                known_receipt: remembered.receipts.get(index).and_then(Option::as_ref),
            };
            if told.was_set_back(view) {
                error!(
                    sink = self.name,
                    view,
                    "the sink lost what it had acknowledged: all rows of the view are written again"
                );
                lost = true;
                refill.push(Arc::clone(target));
            } else if !self.is_accounted(target, told.speaks_of(view)).await? {
                info!(
                    sink = self.name,
                    view, "the sink may hold rows that are not known here: it is read through"
                );
                refill.push(Arc::clone(target));
            }
        }
        self.raise_offset_to(offset(found.as_ref(), known.as_ref(), remembered.raised));
        self.raised.store(remembered.raised, Ordering::Relaxed);
        let sequence = [found.as_ref(), known.as_ref()]
            .into_iter()
            .flatten()
            .map(|marker| marker.sequence)
            .max();
        self.sequence
            .fetch_max(sequence.unwrap_or(0), Ordering::Relaxed);
        if lost {
            // What is written again must win over whatever is there, and never be as old as something else.
            self.raise_offset();
        }
        let mut from_nothing = BTreeMap::new();
        if !refill.is_empty() {
            self.mark_all(&refill).await?;
            for target in &refill {
                self.mark_strays(target).await?;
                from_nothing.insert(target.id, Lsn::ZERO);
            }
        }
        let marker = self.marker(Some(&from_nothing));
        self.sink.write_marker(&marker).await?;
        self.remember(marker).await?;
        self.set_accounted(receipts).await
    }

    /// Two sinks of one configuration that are the same place would fence each other off for ever.
    fn check_name(&self, found: &Marker) -> Result<(), SinkError> {
        if found.owner_epoch == self.owner_epoch && found.sink != self.name {
            return Err(SinkError::Operator {
                message: format!(
                    "`{}` and `{}` are two names for one place",
                    found.sink, self.name
                ),
                hint: "configure that server once, and let all views go into that sink".to_owned(),
            });
        }
        Ok(())
    }

    /// What was issued until now is below what is issued from now on.
    pub(crate) fn raise_offset(&self) {
        self.offset.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn raise_offset_to(&self, offset: u64) {
        self.offset.fetch_max(offset, Ordering::Relaxed);
    }

    /// What state has of this sink.
    async fn remembered(&self) -> Result<Remembered, SinkError> {
        let name = self.marker_key();
        let ids: Vec<TargetId> = self.targets.iter().map(|t| t.id).collect();
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, _| {
            let marker = facts::get(state, &name)?;
            let mut receipts = Vec::new();
            for id in ids {
                receipts.push(receipt_of(state, id)?);
            }
            let _ = answer.send(Remembered {
                marker: marker.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
                receipts,
                raised: raised(state)?,
            });
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    /// Whether all that the sink holds for a target is known here; `speaks`: the sink says that it has held something.
    async fn is_accounted(&self, target: &Target, speaks: bool) -> Result<bool, SinkError> {
        let (view, id) = (target.layout.view.clone(), target.id);
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |_, engine| {
            let known = engine.is_accounted(&view, id);
            let _ = answer.send(known || !speaks && !engine.has_returned(&view, id));
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    /// From here on all that the sinks hold is known, and counted from what they say now.
    async fn set_accounted(&self, receipts: Vec<Option<Receipt>>) -> Result<(), SinkError> {
        let targets: Vec<(String, TargetId)> = self
            .targets
            .iter()
            .map(|target| (target.layout.view.clone(), target.id))
            .collect();
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, engine| {
            for ((_, id), receipt) in targets.iter().zip(&receipts) {
                note_receipt(state, *id, receipt.as_ref())?;
            }
            for (view, id) in &targets {
                if !engine.is_accounted(view, *id) {
                    engine.set_accounted(state, view, *id)?;
                }
            }
            let _ = answer.send(());
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    pub(crate) async fn remember(&self, marker: Marker) -> Result<(), SinkError> {
        let name = self.marker_key();
        let bytes =
            serde_json::to_vec(&marker).map_err(|e| SinkError::Unavailable(e.to_string()))?;
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, _| {
            facts::put(state, &name, &bytes)?;
            let _ = answer.send(());
            Ok(false)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    fn marker_key(&self) -> String {
        format!("marker/{}", self.name)
    }

    /// Marks for deletion what the sink has for this view and neither the view nor our memory of what we wrote knows: rows that came
    /// back with an older state of the sink.
    pub(crate) async fn mark_strays(&self, target: &Arc<Target>) -> Result<(), SinkError> {
        let Some(index) = self.targets.iter().position(|t| t.id == target.id) else {
            return Ok(());
        };
        if self.sink.visibility() == Visibility::AfterRefresh {
            // What was written and not refreshed yet is not found by reading.
            self.sink.refresh(index).await?;
        }
        let mut unknown: Vec<RenderedKey> = Vec::new();
        let mut after = None;
        loop {
            let page = self.sink.read_page(index, after, STRAYS_PAGE).await?;
            let known = self.sight().await?.snapshot;
            for row in &page.rows {
                if !written::holds(&known, target.id, &row.key).map_err(|e| broken(e.into()))? {
                    unknown.push(RenderedKey {
                        parts: key_parts(&row.key, &row.body, &target.layout),
                        text: Arc::clone(&row.key),
                    });
                }
            }
            // Each look at the view's own keys goes through all of them.
            if unknown.len() >= STRAYS_TOGETHER || page.next.is_none() {
                self.mark_unknown(target, std::mem::take(&mut unknown))
                    .await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Marks for deletion those of these keys of the sink that the view does not have.
    pub(crate) async fn mark_unknown(
        &self,
        target: &Arc<Target>,
        found: Vec<RenderedKey>,
    ) -> Result<(), SinkError> {
        let id = target.id;
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, engine| {
            let Some(view) = engine.view_of(id) else {
                return Ok(false);
            };
            let marked = written::mark_strays(state, &view, id, &found)?;
            let _ = answer.send(());
            Ok(marked > 0)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    pub(crate) async fn mark_all(&self, targets: &[Arc<Target>]) -> Result<(), SinkError> {
        for target in targets {
            let (view, id) = (target.layout.view.clone(), target.id);
            let (answer, answered) = oneshot::channel();
            self.with(Box::new(move |state, engine| {
                engine.mark_all(state, &view, id)?;
                let _ = answer.send(());
                Ok(true)
            }))?;
            answered.await.map_err(|_| stopping())?;
        }
        Ok(())
    }

    #[allow(clippy::type_complexity, reason = "what a command takes")]
    pub(crate) fn with(
        &self,
        f: Box<
            dyn FnOnce(
                    &mut readside_state::State,
                    &mut readside_projection::Engine,
                ) -> Result<bool, PipelineError>
                + Send,
        >,
    ) -> Result<(), SinkError> {
        self.commands.send(Command::With(f)).map_err(|_| stopping())
    }

    /// The marker as of now; `at` gives other watermarks than the acknowledged ones.
    pub(crate) fn marker(&self, at: Option<&BTreeMap<TargetId, Lsn>>) -> Marker {
        let inner = self.facts.lock();
        let offset = self.offset.load(Ordering::Relaxed);
        let views = self
            .targets
            .iter()
            .map(|target| {
                let acknowledged = inner
                    .targets
                    .get(&target.id)
                    .map_or(Lsn::ZERO, |t| t.acknowledged);
                let watermark = at
                    .and_then(|at| at.get(&target.id))
                    .copied()
                    .unwrap_or(acknowledged);
                (
                    target.layout.view.clone(),
                    ViewWatermark {
                        generation: target.layout.generation,
                        watermark,
                    },
                )
            })
            .collect();
        Marker {
            instance: self.instance.clone(),
            owner_epoch: self.owner_epoch.clone(),
            offset,
            version_max: inner.published.0 + offset + inner.generation,
            sink: self.name.clone(),
            raised: self.raised.load(Ordering::Relaxed),
            sequence: self.sequence.load(Ordering::Relaxed),
            views,
        }
    }
}

/// What state has of a sink.
struct Remembered {
    /// The marker that is known to have reached it.
    marker: Option<Marker>,
    /// What was acknowledged, by target.
    receipts: Vec<Option<Receipt>>,
    raised: u64,
}

/// What a sink says of one view, and what is known of it.
struct Told<'a> {
    found: Option<&'a Marker>,
    known: Option<&'a Marker>,
    receipt: Option<&'a Receipt>,
    known_receipt: Option<&'a Receipt>,
}

impl Told<'_> {
    /// Whether the sink may lack something that it acknowledged for this view.
    fn was_set_back(&self, view: &str) -> bool {
        if let Some(known) = self.known_receipt
            && !self.receipt.is_some_and(|now| now.covers(known))
        {
            return true;
        }
        let Some(before) = self.known.and_then(|m| watermark(m, view)) else {
            return false;
        };
        let (Some(found), Some(now)) = (self.found, self.found.and_then(|m| watermark(m, view)))
        else {
            return true;
        };
        // Where nothing but markers is missing, nothing is. One that begins from nothing is of a refill that did not come to its end.
        found.sequence < self.known.map_or(0, |m| m.sequence)
            || now < before
                && (now == Lsn::ZERO || self.known_receipt.is_none() && found.sequence == 0)
    }

    /// Whether the sink has held something of this view.
    fn speaks_of(&self, view: &str) -> bool {
        self.found.and_then(|m| watermark(m, view)).is_some()
            || self.receipt.is_some_and(|receipt| receipt.count > 0)
    }
}

fn watermark(marker: &Marker, view: &str) -> Option<Lsn> {
    marker.views.get(view).map(|w| w.watermark)
}

/// The offset that makes versions higher than all that were issued: by what the sink says, and by what is known.
fn offset(found: Option<&Marker>, known: Option<&Marker>, raised: u64) -> u64 {
    [found, known]
        .into_iter()
        .flatten()
        .map(|marker| marker.offset + raised.saturating_sub(marker.raised))
        .max()
        .unwrap_or(raised)
}

const RAISED: &str = "offset raised";

/// By how much versions have been raised over the positions that they are made of, in every sink.
pub(crate) fn raised(state: &dyn Read) -> Result<u64, PipelineError> {
    let bytes = facts::get(state, RAISED)?;
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(0))
}

/// Raises all versions that are issued from now on; durable before a sink sees one, since state is flushed before sinks are opened.
pub(crate) fn raise_all(state: &mut State, by: u64) -> Result<(), PipelineError> {
    let raised = raised(state)?.saturating_add(by);
    Ok(facts::put(state, RAISED, raised.to_string().as_bytes())?)
}

fn receipt_key(target: TargetId) -> String {
    format!("receipt/{}", target.0)
}

/// What was acknowledged for a target.
pub(crate) fn receipt_of(
    state: &dyn Read,
    target: TargetId,
) -> Result<Option<Receipt>, PipelineError> {
    let bytes = facts::get(state, &receipt_key(target))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Remembers what was acknowledged, in the commit that clears the keys.
pub(crate) fn note_receipt(
    state: &mut State,
    target: TargetId,
    receipt: Option<&Receipt>,
) -> Result<(), PipelineError> {
    let bytes = serde_json::to_vec(&receipt)
        .map_err(|e| readside_projection::ProjectionError::Corrupt(e.to_string()))?;
    Ok(facts::put(state, &receipt_key(target), &bytes)?)
}

/// The key pieces of a row as a sink has it: from its columns where it has any, else from the key text.
pub(crate) fn key_parts(text: &str, body: &Body, layout: &ViewTarget) -> Vec<Option<Arc<str>>> {
    if let Body::Columns(columns) = body {
        let shown = layout.key.iter().map(|column| {
            let value = columns.get((*column)?)?.as_ref()?;
            std::str::from_utf8(value).ok().map(Arc::from)
        });
        return shown.collect();
    }
    if layout.key.is_empty() {
        return Vec::new();
    }
    let parts = text.split(':').map(|part| match part {
        "%N" | "%X" => None,
        "%Z" => Some(Arc::from("")),
        part => Some(Arc::from(part.replace("%3A", ":").replace("%25", "%"))),
    });
    parts.collect()
}

//! Verify: what the views' SQL returns on the source against what the sinks hold.
//!
//! In: views to compare. Out: per view and sink the keys that are missing, stale or ghosts; and those that changed in every round,
//! which are in doubt.
//!
//! A round reads the source in one statement, then waits until the sink has reached a position that is certainly past it, and reads
//! the sink. A key that differs is suspect; it is a finding when it differs in the next round too and neither side has moved, and
//! innocent as soon as both sides agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use readside_model::{Body, DocumentForm, KeyPart, encode_key_text};
use readside_pgtype::{key_text, parse_value};
use readside_plan::Plan;
use readside_source::{SourceError, connect_sql};
use tokio_postgres::SimpleQueryMessage;

use crate::digest::Digest;
use crate::run::Pipeline;
use crate::writer::{SinkWorker, Target};
use crate::{ControlError, VerifiedView, VerifyReport, VerifyRequest, WaitRequest};

const ROUNDS: usize = 6;
const PAGE: usize = 1_000;
const REACH_MAX: Duration = Duration::from_secs(120);

/// Compares.
pub(crate) async fn verify(
    pipeline: &Pipeline,
    request: &VerifyRequest,
) -> Result<VerifyReport, ControlError> {
    let workers = pipeline.live().workers.clone();
    let mut report = VerifyReport::default();
    for view in &pipeline.config.views {
        if !request.views.is_empty() && !request.views.contains(&view.name) {
            continue;
        }
        for worker in &workers {
            for (index, target) in worker
                .targets
                .iter()
                .enumerate()
                .filter(|(_, t)| t.layout.view == view.name)
            {
                let verified = compare(pipeline, worker, index, target).await?;
                if request.repair && verified.mismatches() > 0 {
                    let unavailable =
                        |e: readside_sink::SinkError| ControlError::Unavailable(e.to_string());
                    worker
                        .repair(index, target, &verified)
                        .await
                        .map_err(unavailable)?;
                }
                if let Some(facts) = pipeline.facts.lock().targets.get(&target.id) {
                    facts
                        .metrics
                        .set_verified(readside_telemetry::VerifyResult {
                            mismatches: u64::try_from(verified.mismatches()).unwrap_or(u64::MAX),
                            at: std::time::SystemTime::now(),
                        });
                }
                report.views.push(verified);
            }
        }
    }
    Ok(report)
}

async fn compare(
    pipeline: &Pipeline,
    worker: &Arc<SinkWorker>,
    index: usize,
    target: &Arc<Target>,
) -> Result<VerifiedView, ControlError> {
    let plan = &target.plan;
    let form = worker.sink.form();
    // Per suspect key what both sides had in the round before.
    let mut suspects: BTreeMap<String, (Option<Digest>, Option<Digest>)> = BTreeMap::new();
    let mut findings: BTreeMap<String, (Option<Digest>, Option<Digest>)> = BTreeMap::new();
    for round in 0..ROUNDS {
        let source = source_rows(pipeline, plan, form).await?;
        let after = pipeline.source_position().await?;
        let reach = WaitRequest {
            views: vec![target.layout.view.clone()],
            sinks: vec![worker.name.clone()],
            lsn: Some(after),
            timeline: None,
            timeout_ms: Some(REACH_MAX),
        };
        if !pipeline.wait_for(&reach, after).await?.reached {
            return Err(ControlError::Unavailable(format!(
                "view `{}` in sink `{}` did not reach {after} within {} s",
                target.layout.view,
                worker.name,
                REACH_MAX.as_secs()
            )));
        }
        let sink = sink_rows(worker, index, plan).await?;
        let keys: BTreeSet<&String> = source.keys().chain(sink.keys()).collect();
        let mut differing = BTreeMap::new();
        for key in keys {
            if round > 0 && !suspects.contains_key(key) {
                continue;
            }
            let sides = (source.get(key).copied(), sink.get(key).copied());
            let same = match &sides {
                (Some(theirs), Some(ours)) => ours.agrees(theirs, plan),
                (theirs, ours) => theirs == ours,
            };
            if !same {
                differing.insert(key.clone(), sides);
            }
        }
        for (key, sides) in &differing {
            if suspects.get(key) == Some(sides) {
                findings.insert(key.clone(), *sides);
            }
        }
        differing.retain(|key, _| !findings.contains_key(key));
        suspects = differing;
        if suspects.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut out = VerifiedView {
        view: target.layout.view.clone(),
        sink: worker.name.clone(),
        ..VerifiedView::default()
    };
    for (key, sides) in findings {
        match sides {
            (Some(_), None) => out.missing.push(key),
            (None, _) => out.ghost.push(key),
            (Some(_), Some(_)) => out.stale.push(key),
        }
    }
    out.in_doubt.extend(suspects.into_keys());
    Ok(out)
}

/// What the query returns on the source, by key text.
async fn source_rows(
    pipeline: &Pipeline,
    plan: &Plan,
    form: DocumentForm,
) -> Result<BTreeMap<String, Digest>, ControlError> {
    let client = connect_sql(&pipeline.config.source)
        .await
        .map_err(|e| ControlError::Unavailable(e.to_string()))?;
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let hidden: Vec<String> = plan
        .key
        .pieces
        .iter()
        .filter(|p| p.column.is_none())
        .map(|p| format!("'{}'", p.name.replace('\'', "''")))
        .collect();
    let columns = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
    // The simple protocol gives the output functions' text of every column.
    let mut list = columns(
        &mut plan
            .key
            .pieces
            .iter()
            .map(|p| format!("v.{}", quote(&p.name))),
    );
    if !list.is_empty() {
        list.push_str(", ");
    }
    match form {
        DocumentForm::Json if hidden.is_empty() => list.push_str("to_jsonb(v.*)::text"),
        DocumentForm::Json => list.push_str(&format!(
            "(to_jsonb(v.*) - ARRAY[{}])::text",
            hidden.join(", ")
        )),
        DocumentForm::Columns => list.push_str(&columns(
            &mut plan.columns.iter().map(|c| format!("v.{}", quote(&c.name))),
        )),
    }
    let query = format!("SELECT {list} FROM (\n{}\n) v", plan.verify_sql);
    let failed = |e: tokio_postgres::Error| {
        ControlError::Failed(format!(
            "view `{}`: the source cannot run its query: {}",
            plan.view,
            SourceError::from(e)
        ))
    };
    let rows = client.simple_query_raw(&query).await.map_err(failed)?;
    let mut rows = std::pin::pin!(rows);
    let count = plan.key.pieces.len();
    let mut out = BTreeMap::new();
    while let Some(message) = rows.next().await {
        let SimpleQueryMessage::Row(row) = message.map_err(failed)? else {
            continue;
        };
        let mut parts = Vec::with_capacity(count);
        for (i, piece) in plan.key.pieces.iter().enumerate() {
            parts.push(match row.get(i) {
                None if piece.nullable_side.is_some() => KeyPart::Absent,
                None => KeyPart::Null,
                Some(text) => {
                    let value = parse_value(&piece.ty, text)
                        .map_err(|e| ControlError::Failed(e.to_string()))?;
                    KeyPart::Text(key_text(&value, &piece.ty))
                }
            });
        }
        let digest = match form {
            DocumentForm::Json => {
                Digest::of_json(row.get(count).unwrap_or_default().as_bytes(), plan)
            }
            DocumentForm::Columns => Digest::of_columns(
                &mut (count..row.len()).map(|i| row.get(i).map(str::as_bytes)),
                plan,
            ),
        };
        out.insert(encode_key_text(&parts), digest);
    }
    Ok(out)
}

async fn sink_rows(
    worker: &Arc<SinkWorker>,
    index: usize,
    plan: &Plan,
) -> Result<BTreeMap<String, Digest>, ControlError> {
    let unavailable = |e: readside_sink::SinkError| {
        ControlError::Unavailable(format!("sink `{}`: {e}", worker.name))
    };
    if worker.sink.visibility() == readside_sink::Visibility::AfterRefresh {
        // A row that somebody else wrote is a ghost, refreshed or not.
        worker.sink.refresh(index).await.map_err(unavailable)?;
    }
    let mut out = BTreeMap::new();
    let mut after = None;
    loop {
        let page = worker
            .sink
            .read_page(index, after, PAGE)
            .await
            .map_err(unavailable)?;
        for row in page.rows {
            let digest = match &row.body {
                Body::Json(json) => Digest::of_json(json, plan),
                Body::Columns(columns) => {
                    Digest::of_columns(&mut columns.iter().map(|c| c.as_deref()), plan)
                }
            };
            out.insert(row.key.to_string(), digest);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(out),
        }
    }
}

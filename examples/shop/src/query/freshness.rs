//! Read your own writes: holds a query until its read model has reached a position.
//!
//! In: the position of a commit, as a command answered it. Out: where the read model stands, at or after that.
//!
//! Asked is readside (`POST /api/wait`, as the command `readside wait` does), for the one view in the one store that the query reads. That
//! answers from memory as soon as the store has acknowledged everything up to the position, and it makes an idle source and a
//! search index that refreshes now and then hurry.
//!
//! Always: when the time is up, the answer is 503 with `Retry-After` and how far the read model has come, not what it holds; a reader
//! who would rather have that asks without `min_lsn`. Queries without a minimum need no readside.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::Model;
use crate::position::Position;
use crate::problem::Problem;

/// How long a reader waits who doesn't say so.
const WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// How long a reader may wait.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(15);
/// What an answer may take beyond the waiting itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What a reader wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minimum {
    pub(super) position: Position,
    pub(super) wait: Option<Duration>,
}

/// What a reader got.
#[derive(Debug)]
pub(super) struct Reached {
    /// Where the read model stood at least.
    pub(super) position: String,
    pub(super) waited: Duration,
}

pub(super) struct Freshness {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WaitAnswer {
    reached: bool,
    timeline: u32,
    views: Vec<WaitedView>,
}

#[derive(Debug, Deserialize)]
struct WaitedView {
    watermark: Option<String>,
}

impl Freshness {
    pub(super) fn new(http: reqwest::Client, readside: &str, token: Option<String>) -> Self {
        Self {
            http,
            url: format!("{}/api/wait", readside.trim_end_matches('/')),
            token,
        }
    }

    pub(super) async fn reach(
        &self,
        model: Model,
        minimum: Option<Minimum>,
    ) -> Result<Option<Reached>, Problem> {
        let Some(Minimum { position, wait }) = minimum else {
            return Ok(None);
        };
        let wait = wait.unwrap_or(WAIT_DEFAULT);
        let start = Instant::now();
        let mut request = self.http.post(&self.url).timeout(wait + ANSWER_LIMIT);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let request = request.json(&json!({
            "views": [model.view],
            "sinks": [model.sink],
            "lsn": position.lsn_text(),
            "timeline": position.timeline,
            "timeout_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }));
        let unknown = |what: &dyn std::fmt::Display| {
            Problem::unavailable(format!(
                "how far the read model has come can't be asked: {what}"
            ))
        };
        let response = request.send().await.map_err(|error| unknown(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST => {
                let text = response.text().await.unwrap_or_default();
                return Err(Problem::conflict(format!(
                    "position {position} is not of the database's present history: {text}"
                )));
            }
            other => return Err(unknown(&other)),
        }
        let answer: WaitAnswer = response.json().await.map_err(|error| unknown(&error))?;
        let watermark = answer.views.into_iter().next();
        let watermark = watermark.and_then(|view| view.watermark);
        let at = watermark.map(|lsn| format!("{}:{lsn}", answer.timeline));
        if answer.reached {
            return Ok(Some(Reached {
                position: at.unwrap_or_else(|| position.to_string()),
                waited: start.elapsed(),
            }));
        }
        let detail = format!(
            "`{}` has not reached {position} within {} ms",
            model.view,
            wait.as_millis()
        );
        Err(Problem::behind(detail, at))
    }
}

//! The admin server: health, readiness, metrics, the API that the commands use, and the status page.
//!
//! In: HTTP requests; a [`Control`] that knows the answers. Out: JSON, Prometheus' text form, one page of HTML.
//!
//! Always: with a token configured, everything but `/healthz` and `/readyz` wants it (`Authorization: Bearer`, or any user name and
//! the token as password, for browsers); without one, only requests that name a loopback or numeric host are answered, so that a web
//! page elsewhere can't reach it by a name of its own.
//!
//! | path | answer |
//! | --- | --- |
//! | `GET /healthz` | 200 while the process does its work, else 503 |
//! | `GET /readyz` | 200 while streaming and every view is within its `lag_max`, else 503 and the reasons |
//! | `GET /metrics` | Prometheus' text form |
//! | `GET /api/status` | [`Status`](readside_pipeline::Status) |
//! | `POST /api/wait` | [`WaitRequest`] → `WaitAnswer`; answers after 20 s at most, so ask again with the LSN that it named |
//! | `POST /api/verify` | [`VerifyRequest`] → `VerifyReport` |
//! | `POST /api/rebuild` | [`RebuildRequest`] → `RebuildAnswer`: begins, cancels or tells |
//! | `GET /api/dead-letters` | [`DeadLettersRequest`] as query → `DeadLetters` |
//! | `GET /` | the same facts for people |

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use readside_pipeline::{
    Control, ControlError, DeadLettersRequest, RebuildRequest, VerifyRequest, WaitRequest,
};
use readside_telemetry::Metrics;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::config::{AdminConfig, Secret};
use crate::{gauges, page};

/// How long one `/api/wait` may take before it says how far things have come.
pub const WAIT_SLICE_MAX: Duration = Duration::from_secs(20);

/// What an answer other than success says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What happened, and what to do.
    pub error: String,
}

/// What the server needs.
#[derive(Clone)]
pub struct Admin {
    /// Who answers.
    pub control: Arc<dyn Control>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What clients have to show.
    pub token: Option<Secret>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Listens at the configured address.
///
/// # Errors
/// The address is taken or is not this machine's.
pub async fn bind(config: &AdminConfig) -> std::io::Result<TcpListener> {
    TcpListener::bind(config.listen).await
}

/// Serves until `stop` is done, then lets running requests end.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(admin))
        .with_graceful_shutdown(stop)
        .await
}

/// The routes.
pub fn router(admin: Admin) -> Router {
    let open = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    let guarded = Router::new()
        .route("/", get(front_page))
        .route("/metrics", get(metrics))
        .route("/api/status", get(status))
        .route("/api/wait", post(wait))
        .route("/api/verify", post(verify))
        .route("/api/rebuild", post(rebuild))
        .route("/api/dead-letters", get(dead_letters))
        .fallback(nowhere)
        .layer(from_fn_with_state(admin.clone(), guard));
    open.merge(guarded).with_state(admin)
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match &admin.token {
        Some(token) => {
            if !shows_token(request.headers(), token) {
                let error = "a token is wanted: Authorization: Bearer …".to_owned();
                let mut response =
                    (StatusCode::UNAUTHORIZED, Json(ErrorBody { error })).into_response();
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"readside\""),
                );
                return response;
            }
        }
        None => {
            if !names_loopback(request.headers()) {
                let error = "without a token, only loopback and numeric host names are answered";
                return (
                    StatusCode::FORBIDDEN,
                    Json(ErrorBody {
                        error: error.to_owned(),
                    }),
                )
                    .into_response();
            }
        }
    }
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn shows_token(headers: &HeaderMap, token: &Secret) -> bool {
    use base64::Engine;

    let Some(shown) = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
    else {
        return false;
    };
    match shown.split_once(' ') {
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => {
            same(value.trim().as_bytes(), token.expose().as_bytes())
        }
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => {
            base64::engine::general_purpose::STANDARD
                .decode(value.trim())
                .ok()
                .and_then(|pair| {
                    let at = pair.iter().position(|b| *b == b':')?;
                    pair.get(at + 1..)
                        .map(|password| same(password, token.expose().as_bytes()))
                })
                .unwrap_or(false)
        }
        _ => false,
    }
}

/// Compares in a time that does not tell where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let bare = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) {
            name
        } else {
            host
        }
    });
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || host.parse::<SocketAddr>().is_ok()
        || bare
            .strip_prefix('[')
            .and_then(|b| b.strip_suffix(']'))
            .is_some_and(|b| b.parse::<IpAddr>().is_ok())
}

async fn healthz(State(admin): State<Admin>) -> Response {
    if admin.control.healthy() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "wedged\n").into_response()
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = admin.control.readiness();
    if readiness.ready {
        return (StatusCode::OK, "ready\n").into_response();
    }
    let mut text = "not ready\n".to_owned();
    for reason in &readiness.reasons {
        text.push_str(reason);
        text.push('\n');
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    gauges::record(&admin.control.status(), &admin.metrics);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        admin.metrics.render(),
    )
        .into_response()
}

async fn front_page(State(admin): State<Admin>) -> Response {
    let control = admin.control;
    let html = page::render(&control.status(), &control.readiness());
    (
        [(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
        )],
        Html(html),
    )
        .into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    Json(admin.control.status()).into_response()
}

async fn wait(
    State(admin): State<Admin>,
    body: Result<Json<WaitRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(mut request) = body?;
    let slice = request.timeout_ms.unwrap_or(WAIT_SLICE_MAX);
    request.timeout_ms = Some(slice.min(WAIT_SLICE_MAX));
    Ok(Json(admin.control.wait(request).await?).into_response())
}

async fn verify(
    State(admin): State<Admin>,
    body: Result<Json<VerifyRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(request) = body?;
    Ok(Json(admin.control.verify(request).await?).into_response())
}

async fn rebuild(
    State(admin): State<Admin>,
    body: Result<Json<RebuildRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(request) = body?;
    Ok(Json(admin.control.rebuild(request).await?).into_response())
}

async fn dead_letters(
    State(admin): State<Admin>,
    query: Result<Query<DeadLettersRequest>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(request) = query?;
    Ok(Json(admin.control.dead_letters(request).await?).into_response())
}

async fn nowhere() -> Refusal {
    Refusal {
        status: StatusCode::NOT_FOUND,
        error: "there is nothing here".to_owned(),
    }
}

/// An answer other than success.
struct Refusal {
    status: StatusCode,
    error: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.error })).into_response()
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            error: rejection.body_text(),
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            error: rejection.body_text(),
        }
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Refusal {
        let status = match &error {
            ControlError::Unknown { .. } => StatusCode::NOT_FOUND,
            ControlError::Refused(_) => StatusCode::BAD_REQUEST,
            ControlError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal {
            status,
            error: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;

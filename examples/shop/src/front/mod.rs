//! The shop's page, and under one address with it both services.
//!
//! In: a browser's requests. Out: the page; what begins with `/commands/` or `/queries/` is handed to the service that answers it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::problem::Problem;
use crate::query::{POSITION_HEADER, WAITED_HEADER};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

const BODY_BYTES_MAX: usize = 64 * 1024;

/// What of an answer's head is handed on.
const HANDED_ON: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    POSITION_HEADER,
    WAITED_HEADER,
];

/// The page's server.
#[derive(Debug, Clone)]
pub struct Front {
    /// The command service.
    pub commands: String,
    /// The query service.
    pub queries: String,
    /// Where to listen.
    pub listen: SocketAddr,
}

struct Services {
    http: reqwest::Client,
    commands: String,
    queries: String,
}

impl Front {
    /// Serves until SIGINT or SIGTERM.
    pub async fn serve(self) -> Result<()> {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        let services = Arc::new(Services {
            http: crate::server::http_client()?,
            commands: bare(&self.commands),
            queries: bare(&self.queries),
        });
        let asset = |kind: &'static str, text: &'static str| {
            get(async move || {
                (
                    [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
                    text,
                )
            })
        };
        let routes = Router::new()
            .route("/", get(page))
            .route("/page.css", asset("text/css", STYLE))
            .route("/page.js", asset("text/javascript", SCRIPT))
            .route(
                "/commands/{*name}",
                axum::routing::post(hand_on_command).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
            )
            .route("/queries/{*name}", get(hand_on_query))
            .with_state(services);
        crate::server::serve(self.listen, routes).await
    }
}

async fn page() -> Response {
    let policy =
        HeaderValue::from_static("default-src 'self'; img-src data:; frame-ancestors 'none'");
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE)).into_response()
}

async fn hand_on_command(
    State(to): State<Arc<Services>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let mut request = to.http.request(Method::POST, url(&to.commands, &uri));
    // The service insists on JSON, which keeps pages of other sites out.
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    answer("command", request.body(body)).await
}

async fn hand_on_query(State(to): State<Arc<Services>>, uri: Uri) -> Result<Response, Problem> {
    answer(
        "query",
        to.http.request(Method::GET, url(&to.queries, &uri)),
    )
    .await
}

fn url(service: &str, uri: &Uri) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{service}{path}")
}

async fn answer(service: &str, request: reqwest::RequestBuilder) -> Result<Response, Problem> {
    let down = |error: reqwest::Error| {
        if error.is_connect() {
            Problem::unavailable(format!("the {service} service does not answer"))
        } else {
            Problem::in_doubt(format!("the {service} service broke off"))
        }
    };
    let response = request.send().await.map_err(down)?;
    let status = response.status();
    let mut headers = HeaderMap::new();
    for name in HANDED_ON {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let body = response.bytes().await.map_err(down)?;
    Ok((status, headers, body).into_response())
}

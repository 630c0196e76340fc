//! What the shop's HTTP servers have in common.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::problem::Problem;

/// Serves until SIGINT or SIGTERM, then lets running requests end.
pub(crate) async fn serve(listen: SocketAddr, routes: Router) -> Result<()> {
    let routes = routes
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Problem::not_found("there is nothing here"))
        .layer(axum::middleware::map_response(guarded));
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on `{listen}`"))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
        .await
        .context("serve")
}

/// No cache may keep an answer, no browser guess what it is.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A client with time-outs that uses no proxy.
pub(crate) fn http_client() -> Result<reqwest::Client> {
    // Somebody else in this process may have been first, with the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(std::time::Duration::from_secs(5))
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .context("make an HTTP client")
}

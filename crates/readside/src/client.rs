//! Asks a running `readside run`.
//!
//! In: its address and token. Out: its answers, or a [`Failure`] that says whether nobody was there.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::ErrorBody;
use crate::config::{AdminConfig, reachable};
use crate::exit::{Failure, REFUSED, STOPPED, UNREACHABLE};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For answers that are read from memory.
const QUICK_TIMEOUT: Duration = Duration::from_secs(15);
/// Tells a long call that its server has gone without a word.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    admin: AdminConfig,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// An answer from memory.
    Quick,
    /// As long as this, and what [`Patience::Quick`] allows.
    Beyond(Duration),
    /// As long as the connection stands.
    Endless,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// No client can be made at all.
    pub fn new(admin: AdminConfig) -> Result<Client, Failure> {
        crate::install_crypto();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .no_proxy()
            .build()
            .map_err(Failure::stopped)?;
        Ok(Client { http, admin })
    }

    fn request(&self, method: Method, path: &str, patience: Patience) -> RequestBuilder {
        let url = format!("http://{}{path}", reachable(self.admin.listen));
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.admin.token {
            request = request.bearer_auth(token.expose());
        }
        match patience {
            Patience::Quick => request.timeout(QUICK_TIMEOUT),
            Patience::Beyond(duration) => request.timeout(duration.saturating_add(QUICK_TIMEOUT)),
            Patience::Endless => request,
        }
    }

    /// GET, with a query.
    ///
    /// # Errors
    /// Nobody there, or the server's own refusal.
    pub async fn get<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        query: &Q,
    ) -> Result<A, Failure> {
        let request = self.request(Method::GET, path, Patience::Quick);
        self.answer(request.query(query)).await
    }

    /// POST of a JSON document.
    ///
    /// # Errors
    /// Nobody there, or the server's own refusal.
    pub async fn post<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &Q,
        patience: Patience,
    ) -> Result<A, Failure> {
        let request = self.request(Method::POST, path, patience);
        self.answer(request.json(body)).await
    }

    async fn answer<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, Failure> {
        let listen = reachable(self.admin.listen);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                Failure::unreachable(format_args!(
                    "what answers at `{listen}` is not this version of readside: {error}\n  \
                     hint: is another program listening there? `--listen` or `admin.listen` names the address"
                ))
            });
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(Failure::refused(format_args!(
                "readside at `{listen}` wants a token\n  hint: set READSIDE_TOKEN, or `admin.token`"
            )));
        }
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(Failure {
                code: match status {
                    StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => REFUSED,
                    StatusCode::SERVICE_UNAVAILABLE => UNREACHABLE,
                    _ => STOPPED,
                },
                message: body.error,
            }),
            Err(_) => Err(Failure::unreachable(format_args!(
                "what answers at `{listen}` is not readside (HTTP {status})\n  \
                 hint: `--listen` or `admin.listen` names the address"
            ))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let listen = reachable(self.admin.listen);
        let reason = if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            // The innermost cause is the one that says something.
            let mut cause: &dyn std::error::Error = error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            cause.to_string()
        };
        Failure::unreachable(format_args!(
            "no readside at `{listen}`: {reason}\n  \
             hint: start it with `readside run`, or name its address with --listen"
        ))
    }
}

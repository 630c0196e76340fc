//! Requests to a search server, and what its answers mean.
//!
//! In: method, path, body. Out: status and body, or a failure of the whole sink.

use bytes::Bytes;
use elasticsearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::transport::Transport;
use elasticsearch::http::{Method, request::Body};
use readside_sink::SinkError;
use serde_json::Value;

/// A server's answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// A search server.
#[derive(Clone)]
pub(super) struct Connection {
    transport: Transport,
}

struct Raw(Bytes);

impl Body for Raw {
    fn bytes(&self) -> Option<Bytes> {
        Some(self.0.clone())
    }

    fn write(&self, bytes: &mut bytes::BytesMut) -> Result<(), elasticsearch::Error> {
        bytes.extend_from_slice(&self.0);
        Ok(())
    }
}

impl Connection {
    pub(super) fn new(transport: Transport) -> Connection {
        Connection { transport }
    }

    /// Any answer, whatever its status.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        content_type: &'static str,
    ) -> Result<Answer, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let response = self
            .transport
            .send(method, path, headers, None::<&()>, body.map(Raw), None)
            .await
            .map_err(|error| unreachable_server(&error))?;
        let status = response.status_code().as_u16();
        let body = response
            .bytes()
            .await
            .map_err(|error| unreachable_server(&error))?;
        Ok(Answer { status, body })
    }

    /// A JSON request; 404 is `None`, any other failure an error.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Answer>, SinkError> {
        let bytes = body.map(|value| Bytes::from(value.to_string()));
        let answer = self
            .request(method, path, bytes, "application/json")
            .await?;
        match answer.status {
            200..=299 => Ok(Some(answer)),
            404 => Ok(None),
            _ => Err(answer.error()),
        }
    }
}

impl Answer {
    pub(super) fn parse<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, SinkError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| SinkError::Unavailable(format!("an unexpected answer: {error}")))
    }

    /// The server's own words: `type: reason`.
    pub(super) fn reason(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        match (value.pointer("/error/type"), value.pointer("/error/reason")) {
            (Some(Value::String(kind)), Some(Value::String(reason))) => format!("{kind}: {reason}"),
            _ => format!("status {}", self.status),
        }
    }

    /// What this status means to the sink as a whole.
    pub(super) fn error(&self) -> SinkError {
        let reason = self.reason();
        let operator = |hint: &str| SinkError::Operator {
            message: reason.clone(),
            hint: hint.to_owned(),
        };
        match self.status {
            401 => operator("check the sink's `username` and `password`, or its `api_key`"),
            403 => operator(
                "the user needs to create, write, read and delete the views' indexes, their aliases, and `.readside-*`; \
                 an index may also be blocked for writes",
            ),
            404 => SinkError::Lost(reason),
            408 | 429 | 500..=599 => SinkError::Unavailable(reason),
            _ => {
                operator("see the server's log; a mapping that was given for the view may be wrong")
            }
        }
    }
}

fn unreachable_server(error: &dyn std::error::Error) -> SinkError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    SinkError::Unavailable(text)
}

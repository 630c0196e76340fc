//! Where a search server is and how to get in.

use std::path::PathBuf;
use std::time::Duration;

use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Url;
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use readside_sink::SinkError;
use serde::Deserialize;

use crate::config::{Secret, read_ca, without_password};

/// A `[sinks.…]` section with `type = "elasticsearch"`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// `http://host:9200` or `https://…`.
    pub url: String,
    /// The user, for basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// An API key in its encoded form, instead of a user.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// A PEM file with an authority to trust.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for ElasticsearchConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElasticsearchConfig")
            .field("url", &without_password(&self.url))
            .field("username", &self.username)
            .field("password", &self.password)
            .field("api_key", &self.api_key)
            .field("ca", &self.ca)
            .finish()
    }
}

/// A bulk request of a busy server may take long; what takes longer is sent again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

impl ElasticsearchConfig {
    fn refusal(&self, what: &str) -> SinkError {
        SinkError::Operator {
            message: format!("`{}` {what}", without_password(&self.url)),
            hint: "an address looks like `http://host:9200`, or `https://…` for TLS".to_owned(),
        }
    }

    pub(super) fn transport(&self) -> Result<Transport, SinkError> {
        let mut url = Url::parse(&self.url)
            .map_err(|error| self.refusal(&format!("is not an address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(self.refusal("is not an address of a search server"));
        }
        let from_url = (!url.username().is_empty()).then(|| {
            let password = url.password().unwrap_or_default().to_owned();
            (url.username().to_owned(), password)
        });
        // Never part of a request line or a message.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        let credentials = match (&self.api_key, &self.username) {
            (Some(_), Some(_)) => {
                return Err(SinkError::Operator {
                    message: "both `api_key` and `username` are given".to_owned(),
                    hint: "keep one of them".to_owned(),
                });
            }
            (Some(key), None) => Some(Credentials::EncodedApiKey(key.expose().to_owned())),
            (None, Some(user)) => {
                let password = self.password.as_ref().map_or("", Secret::expose);
                Some(Credentials::Basic(user.clone(), password.to_owned()))
            }
            (None, None) => from_url.map(|(user, password)| Credentials::Basic(user, password)),
        };
        // Another part of the process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .disable_proxy()
            .enable_meta_header(false)
            .timeout(REQUEST_TIMEOUT);
        if let Some(credentials) = credentials {
            builder = builder.auth(credentials);
        }
        if let Some(ca) = &self.ca {
            let certificate = Certificate::from_pem(&read_ca(ca)?)
                .map_err(|error| self.refusal(&format!("cannot use its `ca`: {error}")))?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        builder
            .build()
            .map_err(|error| self.refusal(&format!("cannot be used: {error}")))
    }
}

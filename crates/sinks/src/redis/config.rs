//! Where a Redis is and how to get in.

use std::path::PathBuf;

use readside_sink::SinkError;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use serde::Deserialize;

use crate::config::{Secret, read_ca, without_password};

/// A `[sinks.…]` section with `type = "redis"`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://host:port/db` or `rediss://…` for TLS.
    pub url: String,
    /// The ACL user; overrides the URL's.
    #[serde(default)]
    pub username: Option<String>,
    /// The password; overrides the URL's.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A PEM file with the authority to trust instead of the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &without_password(&self.url))
            .field("username", &self.username)
            .field("password", &self.password)
            .field("ca", &self.ca)
            .finish()
    }
}

impl RedisConfig {
    fn refusal(&self, what: &str) -> SinkError {
        SinkError::Operator {
            message: format!("`{}` {what}", without_password(&self.url)),
            hint: "an address looks like `redis://host:6379/0`, or `rediss://…` for TLS".to_owned(),
        }
    }

    /// The client, which has not connected yet, and the database number.
    pub(crate) fn client(&self) -> Result<(Client, i64), SinkError> {
        let info: ConnectionInfo = self
            .url
            .as_str()
            .into_connection_info()
            .map_err(|error| self.refusal(&format!("is not an address of a Redis: {error}")))?;
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose());
        }
        let db = settings.db();
        let info = info.set_redis_settings(settings);
        let tls = self.url.starts_with("rediss://") || self.url.starts_with("valkeys://");
        if !tls && self.ca.is_some() {
            return Err(self.refusal("is not a TLS address, but a `ca` is given"));
        }
        let client = if tls {
            // Another part of the process may have installed it already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let root_cert = self.ca.as_deref().map(read_ca).transpose()?;
            Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert,
                },
            )
        } else {
            Client::open(info)
        };
        let client = client.map_err(|error| self.refusal(&format!("cannot be used: {error}")))?;
        Ok((client, db))
    }
}

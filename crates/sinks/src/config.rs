//! From a sink's section of the configuration to the sink.
//!
//! In: the section with its secrets resolved and its paths absolute. Out: an object that has not connected yet.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use readside_sink::{Sink, SinkError};
use serde::Deserialize;

/// One `[sinks.…]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum SinkConfig {
    /// Redis or Valkey.
    #[cfg(feature = "redis")]
    Redis(crate::redis::RedisConfig),
    /// Elasticsearch or OpenSearch.
    #[cfg(feature = "elasticsearch")]
    Elasticsearch(crate::elasticsearch::ElasticsearchConfig),
    /// A reporting Postgres.
    #[cfg(feature = "postgres")]
    Postgres(crate::postgres::PostgresConfig),
}

impl SinkConfig {
    /// The `type` in the configuration.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            #[cfg(feature = "redis")]
            SinkConfig::Redis(_) => "redis",
            #[cfg(feature = "elasticsearch")]
            SinkConfig::Elasticsearch(_) => "elasticsearch",
            #[cfg(feature = "postgres")]
            SinkConfig::Postgres(_) => "postgres",
        }
    }
}

/// A password or an API key: never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The sink that a section describes. Nothing is connected yet: [`Sink::check`] finds out whether it can be.
///
/// # Errors
/// [`SinkError::Operator`] for an address or a certificate that cannot be used.
pub fn build(
    config: SinkConfig,
    instance: &str,
    owner_epoch: &str,
) -> Result<Arc<dyn Sink>, SinkError> {
    match config {
        #[cfg(feature = "redis")]
        SinkConfig::Redis(config) => Ok(Arc::new(crate::redis::RedisSink::new(
            &config,
            instance,
            owner_epoch,
        )?)),
        #[cfg(feature = "elasticsearch")]
        SinkConfig::Elasticsearch(config) => Ok(Arc::new(
            crate::elasticsearch::ElasticsearchSink::new(&config, instance, owner_epoch)?,
        )),
        #[cfg(feature = "postgres")]
        SinkConfig::Postgres(config) => Ok(Arc::new(crate::postgres::PostgresSink::new(
            &config,
            instance,
            owner_epoch,
        )?)),
    }
}

/// The URL with what stands between its user and its host left out.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:***@{host}{path}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

/// The certificates of a `ca` file, in PEM.
pub(crate) fn read_ca(path: &Path) -> Result<Vec<u8>, SinkError> {
    let pem = std::fs::read(path).map_err(|error| SinkError::Operator {
        message: format!("the `ca` file `{}` cannot be read: {error}", path.display()),
        hint: "name a file with the authority's certificate in PEM".to_owned(),
    })?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(SinkError::Operator {
            message: format!(
                "the `ca` file `{}` holds no certificate in PEM",
                path.display()
            ),
            hint: "it has to begin with `-----BEGIN CERTIFICATE-----`".to_owned(),
        });
    }
    Ok(pem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let config: SinkConfig = serde_json::from_str(
            r#"{"type": "redis", "url": "redis://cache:6379/2", "password": "hunter2"}"#,
        )
        .unwrap();
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("hunter2") && shown.contains("***"),
            "{shown}"
        );
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(
            without_password("rediss://me:s3@cret@cache:6379/1"),
            "rediss://me:***@cache:6379/1"
        );
        assert_eq!(without_password("redis://cache"), "redis://cache");
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = serde_json::from_str::<SinkConfig>(
            r#"{"type": "redis", "url": "redis://cache:6379", "pasword": "x"}"#,
        )
        .unwrap_err();
        assert!(error.to_string().contains("pasword"), "{error}");
    }
}

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
}

impl SinkConfig {
    /// The `type` in the configuration.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            #[cfg(feature = "redis")]
            SinkConfig::Redis(_) => "redis",
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
    fn an_unknown_key_is_an_error() {
        let error = serde_json::from_str::<SinkConfig>(
            r#"{"type": "redis", "url": "redis://cache:6379", "pasword": "x"}"#,
        )
        .unwrap_err();
        assert!(error.to_string().contains("pasword"), "{error}");
    }
}

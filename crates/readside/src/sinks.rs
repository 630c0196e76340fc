//! From the configuration's sinks to sinks.

use std::sync::Arc;

use readside_sink::{Sink, SinkError};
use serde_json::{Map, Value};

use crate::config::{Secret, SinkConfig, SinkKind};

/// The sink's own form of its section.
///
/// # Errors
/// The sink does not know one of the settings.
pub(crate) fn settings(
    name: &str,
    config: &SinkConfig,
) -> Result<readside_sinks::SinkConfig, SinkError> {
    let mut section = Map::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            section.insert(key.to_owned(), Value::from(value));
        }
    };
    put("type", Some(config.kind.name()));
    put("url", Some(config.url.expose()));
    put("username", config.username.as_deref());
    put("password", config.password.as_ref().map(Secret::expose));
    put("api_key", config.api_key.as_ref().map(Secret::expose));
    let ca = config.ca.as_ref().map(|path| path.to_string_lossy());
    put("ca", ca.as_deref());
    if config.kind == SinkKind::Postgres {
        put("schema", Some(&config.schema));
    }
    serde_json::from_value(Value::Object(section)).map_err(|error| SinkError::Operator {
        message: format!("sink `{name}`: {error}"),
        hint: format!("see the settings of {} sinks", config.kind.name()),
    })
}

/// The sink, not connected yet.
///
/// # Errors
/// An address or certificate that can't be used.
pub(crate) fn build(
    name: &str,
    config: &SinkConfig,
    instance: &str,
    owner_epoch: &str,
) -> Result<Arc<dyn Sink>, SinkError> {
    readside_sinks::build(settings(name, config)?, instance, owner_epoch)
}

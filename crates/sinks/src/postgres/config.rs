//! Where a reporting Postgres is and how to get in.

use std::path::PathBuf;

use readside_sink::SinkError;
use readside_source::{RootCertificates, SourceConfig, SslMode};
use serde::Deserialize;

use crate::config::{Secret, without_password};

/// A `[sinks.…]` section with `type = "postgres"`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// A connection string as libpq knows them.
    pub url: String,
    /// The role; overrides the URL's.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password; overrides the URL's.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A PEM file with the authority to trust; the server is then verified unless the URL says how.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The schema of the tables, made if it is missing.
    #[serde(default = "default_schema")]
    pub schema: String,
}

fn default_schema() -> String {
    "readside".to_owned()
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("url", &without_password(&self.url))
            .field("username", &self.username)
            .field("password", &self.password)
            .field("ca", &self.ca)
            .field("schema", &self.schema)
            .finish()
    }
}

impl PostgresConfig {
    pub(super) fn connection(&self) -> Result<SourceConfig, SinkError> {
        let mut config = SourceConfig::parse(&self.url).map_err(|error| {
            let text = error.to_string();
            let (message, hint) = text.split_once("\n  hint: ").unwrap_or((
                text.as_str(),
                "an address looks like `postgres://user@host:5432/database`",
            ));
            SinkError::Operator {
                message: message.to_owned(),
                hint: hint.to_owned(),
            }
        })?;
        if let Some(user) = &self.username {
            config.user.clone_from(user);
        }
        if let Some(password) = &self.password {
            config = config.with_password(readside_source::Secret::new(password.expose()));
        }
        if let Some(ca) = &self.ca {
            config.ssl_root = Some(RootCertificates::File(ca.clone()));
            if matches!(config.ssl_mode, SslMode::Prefer | SslMode::Allow) {
                config.ssl_mode = SslMode::VerifyFull;
            }
        }
        Ok(config)
    }
}

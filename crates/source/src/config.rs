//! How to reach a Postgres server, in the words of libpq.
//!
//! In: a connection string (URL or keyword form), `PG*` environment variables, `~/.pgpass`, a password given apart.
//! Out: a [`SourceConfig`] with every default filled in.
//!
//! Always: nothing that prints a [`SourceConfig`] prints its password.

mod environment;
mod parse;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;

/// How TLS is used, as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server can; the default, as in libpq.
    #[default]
    Prefer,
    /// Always, whoever the server is. With a root certificate given it behaves as `verify-ca`.
    Require,
    /// Always, and the server's certificate is signed by a trusted authority.
    VerifyCa,
    /// Also, and it was issued to the host that was asked for.
    VerifyFull,
}

/// Whether a SCRAM authentication is bound to the TLS session, as libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBindingMode {
    /// Never.
    Disable,
    /// If the server can.
    #[default]
    Prefer,
    /// Or there is no connection: nobody in between can have had the password.
    Require,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// `sslrootcert=system`: the public authorities that browsers trust.
    System,
    /// The authorities in a PEM file.
    File(PathBuf),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A host name, or the directory of a unix socket if it starts with `/` (or `@` for an abstract one).
    pub name: String,
    /// `hostaddr`: connect here, without a name look-up; `name` is still what certificates are checked against.
    pub address: Option<std::net::IpAddr>,
    /// Its port.
    pub port: u16,
}

impl Host {
    /// Whether this is a unix socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.address.is_none() && (self.name.starts_with('/') || self.name.starts_with('@'))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_socket() {
            write!(f, "{}/.s.PGSQL.{}", self.name, self.port)
        } else if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// A password; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(password: impl Into<String>) -> Secret {
        Secret(password.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How to reach one database as one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Servers, tried in order.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// Its password, if any is needed.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// TLS.
    pub ssl_mode: SslMode,
    /// `sslrootcert`; without it `~/.postgresql/root.crt` if that is there, else the public authorities.
    pub ssl_root: Option<RootCertificates>,
    /// `sslcert` and `sslkey`.
    pub ssl_client: Option<(PathBuf, PathBuf)>,
    /// Channel binding.
    pub channel_binding: ChannelBindingMode,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// For one attempt at one server, name look-up, TLS and authentication included.
    pub connect_timeout: Duration,
    /// `options`: further `-c name=value` settings, before those that readside needs.
    pub options: String,
}

/// A connection string that says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither a URL nor `keyword=value` pairs.
    #[error(
        "the connection string is malformed: {what}\n  hint: write `postgres://user@host:5432/database` or `host=… user=… dbname=…`"
    )]
    Malformed {
        /// What is wrong with it; never quotes the string, which may hold a password.
        what: String,
    },
    /// A keyword that libpq does not have, or that readside cannot honour.
    #[error(
        "unknown connection parameter `{name}`\n  hint: known are host, hostaddr, port, user, password, passfile, dbname, sslmode, sslrootcert, sslcert, sslkey, channel_binding, application_name, connect_timeout, options"
    )]
    UnknownParameter {
        /// The keyword.
        name: String,
    },
    /// A value that the keyword cannot have.
    #[error("connection parameter `{name}` cannot be `{value}`: {reason}")]
    InvalidValue {
        /// The keyword.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        reason: &'static str,
    },
    /// No user anywhere.
    #[error(
        "the connection string names no user\n  hint: write `postgres://readside@…`, or set PGUSER"
    )]
    NoUser,
}

impl SourceConfig {
    /// Reads a connection string, with what it leaves out taken from this process' environment (`PG*`, `~/.pgpass`).
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &str) -> Result<SourceConfig, ConfigError> {
        SourceConfig::parse_in(text, &Environment::of_process())
    }

    /// Reads a connection string, with what it leaves out taken from the environment that is given.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse_in(text: &str, environment: &Environment) -> Result<SourceConfig, ConfigError> {
        environment::complete(parse::parameters(text)?, environment)
    }

    /// The same, with this password instead of any other.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> SourceConfig {
        self.password = Some(password);
        self
    }

    /// The same, shown as `name` in `pg_stat_activity`.
    #[must_use]
    pub fn with_application_name(mut self, name: impl Into<String>) -> SourceConfig {
        self.application_name = name.into();
        self
    }
}

/// `user@host:port/database`: enough to tell connections apart, nothing secret.
impl fmt::Display for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (i, host) in self.hosts.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{host}")?;
        }
        write!(f, "/{}", self.database)
    }
}

#[cfg(test)]
mod tests;

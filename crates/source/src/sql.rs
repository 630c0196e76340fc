//! Ordinary SQL connections: catalog, COPY, publication, and the Postgres sink.
//!
//! Always: values print the same whatever the database, role or server says (POSTGRES settings below), and nothing of ours
//! is cancelled by a timeout that was meant for the application.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio_postgres::config::{
    ChannelBinding as ChannelBindingUse, SslMode as DriverSslMode, SslNegotiation,
};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Client};

use crate::config::{ChannelBindingMode, SourceConfig};
use crate::socket::{Attempt, Attempts, Socket};
use crate::{ServerError, SourceError};

/// What the text form of values depends on, and the timeouts that could end a long COPY or an exported snapshot. Given at
/// start-up, they override `ALTER DATABASE … SET` and `ALTER ROLE … SET`.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// For the settings that older servers do not know: they cannot be asked for at start-up.
pub(crate) const SETTINGS_BY_VERSION: &str = "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// The start-up `options`: the user's own, then those that must hold.
pub(crate) fn options(config: &SourceConfig, further: &[(&str, &str)]) -> String {
    let mut options = config.options.clone();
    for (name, value) in SETTINGS.iter().chain(further) {
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str("-c ");
        options.push_str(name);
        options.push('=');
        for c in value.chars() {
            if c.is_whitespace() || c == '\\' {
                options.push('\\');
            }
            options.push(c);
        }
    }
    options
}

/// A connection; ends when this is dropped, whatever it was doing.
#[derive(Debug)]
pub struct SqlClient {
    client: Client,
    driver: JoinHandle<()>,
    /// Whether it is inside TLS.
    tls: bool,
}

impl SqlClient {
    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// The server process on the other side, for `pg_blocking_pids` and `pg_cancel_backend`.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn backend_pid(&self) -> Result<i32, SourceError> {
        Ok(self
            .client
            .query_one("SELECT pg_backend_pid()", &[])
            .await?
            .try_get(0)?)
    }
}

impl Deref for SqlClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for SqlClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for SqlClient {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects to the first server of `config` that answers.
///
/// # Errors
/// What the last server tried said.
pub async fn connect_sql(config: &SourceConfig) -> Result<SqlClient, SourceError> {
    let mut attempts = Attempts::new(config);
    while let Some(attempt) = attempts.next() {
        match attempts.within(&attempt, connect(config, &attempt)).await {
            Ok(client) => return Ok(client),
            Err(error) => attempts.failed(&attempt, error),
        }
    }
    Err(attempts.into_error())
}

async fn connect(config: &SourceConfig, attempt: &Attempt<'_>) -> Result<SqlClient, SourceError> {
    let socket = Socket::open(config, attempt).await?;
    let tls = socket.is_tls();
    let mut driver = tokio_postgres::Config::new();
    driver
        .user(&config.user)
        .dbname(&config.database)
        .application_name(&config.application_name)
        .options(options(config, &[]))
        // The socket is as secure as it is going to be; the driver only needs its channel binding.
        .ssl_mode(DriverSslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    driver.channel_binding(match config.channel_binding {
        ChannelBindingMode::Disable => ChannelBindingUse::Disable,
        ChannelBindingMode::Prefer => ChannelBindingUse::Prefer,
        ChannelBindingMode::Require => ChannelBindingUse::Require,
    });
    if let Some(password) = &config.password {
        driver.password(password.expose());
    }
    let (client, connection) = driver
        .connect_raw(socket, Established)
        .await
        .map_err(|error| startup_error(error, config))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a SQL connection to Postgres ended");
        }
    });
    let client = SqlClient {
        client,
        driver,
        tls,
    };
    client.simple_query(SETTINGS_BY_VERSION).await?;
    Ok(client)
}

fn startup_error(error: tokio_postgres::Error, config: &SourceConfig) -> SourceError {
    if let Some(db) = error.as_db_error() {
        return SourceError::of_startup(ServerError::from(db), &config.user, &config.database);
    }
    // Whatever the driver itself refuses before the session stands is about the password or the method, or the line broke.
    match std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(io) if io.kind() != io::ErrorKind::Other => SourceError::Closed {
            during: "the session started",
            source: io.kind().into(),
        },
        _ if error.is_closed() => SourceError::Closed {
            during: "the session started",
            source: io::ErrorKind::UnexpectedEof.into(),
        },
        source => SourceError::Auth {
            user: config.user.clone(),
            by_address: false,
            reason: match source {
                Some(source) => source.to_string(),
                None => match std::error::Error::source(&error) {
                    Some(source) => source.to_string(),
                    None => error.to_string(),
                },
            },
        },
    }
}

/// Asks the server to cancel what another connection is doing.
///
/// # Errors
/// When the server cannot be reached; whether it heeded the request is not known.
pub async fn cancel(config: &SourceConfig, token: &CancelToken) -> Result<(), SourceError> {
    let mut attempts = Attempts::new(config);
    let socket = loop {
        let Some(attempt) = attempts.next() else {
            return Err(attempts.into_error());
        };
        match attempts
            .within(&attempt, Socket::open(config, &attempt))
            .await
        {
            Ok(socket) => break socket,
            Err(error) => attempts.failed(&attempt, error),
        }
    };
    token.cancel_query_raw(socket, Established).await?;
    Ok(())
}

/// A "TLS connector" for a socket that already is what it should be.
#[derive(Debug, Clone, Copy)]
struct Established;

impl TlsConnect<Socket> for Established {
    type Stream = BoundSocket;
    type Error = Infallible;
    type Future = Ready<Result<BoundSocket, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(BoundSocket(socket)))
    }
}

/// The socket, showing its channel binding to the driver.
#[derive(Debug)]
struct BoundSocket(Socket);

impl TlsStream for BoundSocket {
    fn channel_binding(&self) -> ChannelBinding {
        match self.0.server_end_point() {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for BoundSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for BoundSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

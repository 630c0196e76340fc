//! One connected byte stream to one server: TCP or unix socket, inside TLS or not.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::SourceError;
use crate::config::{Host, SourceConfig, SslMode};
use crate::tls::{self, TlsError};

/// Whether one attempt uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsUse {
    Never,
    IfOffered,
    Always,
}

/// One way to try one server.
#[derive(Debug, Clone)]
pub(crate) struct Attempt<'a> {
    pub(crate) host: &'a Host,
    pub(crate) tls: TlsUse,
}

/// What is left to try, in order, and why what was tried failed.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    config: &'a SourceConfig,
    left: VecDeque<Attempt<'a>>,
    failure: Option<SourceError>,
}

impl<'a> Attempts<'a> {
    /// As in libpq, `allow` and `prefer` have a second choice for each server.
    pub(crate) fn new(config: &'a SourceConfig) -> Attempts<'a> {
        let mut left = VecDeque::new();
        for host in &config.hosts {
            let uses: &[TlsUse] = match config.ssl_mode {
                _ if host.is_socket() => &[TlsUse::Never],
                SslMode::Disable => &[TlsUse::Never],
                SslMode::Allow => &[TlsUse::Never, TlsUse::Always],
                SslMode::Prefer => &[TlsUse::IfOffered, TlsUse::Never],
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[TlsUse::Always],
            };
            left.extend(uses.iter().map(|&tls| Attempt { host, tls }));
        }
        Attempts {
            config,
            left,
            failure: None,
        }
    }

    /// The next way to try.
    pub(crate) fn next(&mut self) -> Option<Attempt<'a>> {
        self.left.pop_front()
    }

    /// Runs one attempt within the time that it has.
    pub(crate) async fn within<T>(
        &self,
        attempt: &Attempt<'a>,
        trying: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let after = self.config.connect_timeout;
        match tokio::time::timeout(after, trying).await {
            Ok(done) => done,
            Err(_) => Err(SourceError::ConnectTimeout {
                endpoint: attempt.host.to_string(),
                after,
            }),
        }
    }

    /// Notes a failure, and strikes out what it leaves no hope for.
    pub(crate) fn failed(&mut self, attempt: &Attempt<'a>, error: SourceError) {
        match &error {
            // Another server may be there.
            SourceError::Unreachable { .. }
            | SourceError::ConnectTimeout { .. }
            | SourceError::Closed { .. }
            | SourceError::Unavailable(_) => self.left.retain(|left| left.host != attempt.host),
            SourceError::Tls { .. } => {}
            // pg_hba.conf may let in the other kind of connection; a wrong password stays wrong.
            SourceError::Auth {
                by_address: true, ..
            } => self.left.retain(|left| left.host == attempt.host),
            _ => self.left.clear(),
        }
        // When the second choice is refused as the first was, the first refusal says more.
        match (&self.failure, &error) {
            (Some(SourceError::Auth { .. }), SourceError::Auth { .. }) => {}
            _ => self.failure = Some(error),
        }
    }

    /// Why nothing worked.
    pub(crate) fn into_error(self) -> SourceError {
        match self.failure {
            Some(error) => error,
            None => SourceError::Unreachable {
                endpoint: self.config.to_string(),
                source: io::Error::new(io::ErrorKind::NotFound, "no host is configured"),
            },
        }
    }
}

/// The stream.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Connects, and does the TLS handshake.
    pub(crate) async fn open(
        config: &SourceConfig,
        attempt: &Attempt<'_>,
    ) -> Result<Socket, SourceError> {
        let host = attempt.host;
        let unreachable = |source| SourceError::Unreachable {
            endpoint: host.to_string(),
            source,
        };
        if host.is_socket() {
            let path = match host.name.strip_prefix('@') {
                Some(name) => format!("\0{name}/.s.PGSQL.{}", host.port),
                None => host.to_string(),
            };
            return Ok(Socket::Unix(
                UnixStream::connect(path).await.map_err(unreachable)?,
            ));
        }
        let stream = match host.address {
            Some(address) => TcpStream::connect((address, host.port)).await,
            None => TcpStream::connect((host.name.as_str(), host.port)).await,
        }
        .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        // A peer that vanished without a word is noticed within two minutes.
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(4);
        socket2::SockRef::from(&stream)
            .set_tcp_keepalive(&keepalive)
            .map_err(unreachable)?;
        match attempt.tls {
            TlsUse::Never => Ok(Socket::Tcp(stream)),
            TlsUse::IfOffered | TlsUse::Always => Socket::secure(config, attempt, stream).await,
        }
    }

    async fn secure(
        config: &SourceConfig,
        attempt: &Attempt<'_>,
        mut stream: TcpStream,
    ) -> Result<Socket, SourceError> {
        let endpoint = attempt.host.to_string();
        let failed = |source| SourceError::Tls {
            endpoint: endpoint.clone(),
            source,
        };
        let Some(connector) = tls::connector(config).map_err(failed)? else {
            return Ok(Socket::Tcp(stream));
        };
        let mut request = bytes::BytesMut::new();
        postgres_protocol::message::frontend::ssl_request(&mut request);
        let closed = |source| SourceError::Closed {
            during: "TLS was asked for",
            source,
        };
        stream.write_all(&request).await.map_err(closed)?;
        // Exactly one byte is read, so nothing that a third party slipped in before the handshake is ever taken for data.
        match stream.read_u8().await.map_err(closed)? {
            b'S' => {}
            b'N' if attempt.tls == TlsUse::IfOffered => return Ok(Socket::Tcp(stream)),
            b'N' => return Err(failed(TlsError::NotOffered)),
            other => {
                return Err(SourceError::Protocol {
                    during: "TLS was asked for",
                    what: format!("0x{other:02x} instead of `S` or `N`"),
                });
            }
        }
        let name = tls::server_name(&attempt.host.name).map_err(failed)?;
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| failed(TlsError::Handshake(error)))?;
        Ok(Socket::Tls(Box::new(stream)))
    }

    /// What binds an authentication to this TLS session.
    pub(crate) fn server_end_point(&self) -> Option<Vec<u8>> {
        match self {
            Socket::Tls(stream) => {
                let (_, session) = stream.get_ref();
                tls::server_end_point(session.peer_certificates()?.first()?)
            }
            Socket::Tcp(_) | Socket::Unix(_) => None,
        }
    }

    /// A second handle to the connection below, to end it from elsewhere.
    pub(crate) fn second_handle(&self) -> io::Result<socket2::Socket> {
        match self {
            Socket::Tcp(stream) => socket2::SockRef::from(stream).try_clone(),
            Socket::Unix(stream) => socket2::SockRef::from(stream).try_clone(),
            Socket::Tls(stream) => socket2::SockRef::from(stream.get_ref().0).try_clone(),
        }
    }

    /// Whether it is inside TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

//! A TCP proxy that breaks on command.
//!
//! In: an upstream address. Out: an address to connect to instead, and a [`Fault`] that can be changed at any time and holds
//! for open connections too.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// What the proxy does to traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Connections stay open and are accepted, and not one byte goes through.
    BlackHole,
    /// Every piece is held back this long, in both directions.
    Delay(Duration),
    /// Open connections are reset, and new ones at once.
    Reset,
    /// At most this many bytes per second and direction.
    Throttle(u32),
    /// This many more bytes go to the upstream, then connections are reset: a request that arrives in part, or whose
    /// answer is lost.
    CutAfter(u64),
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    shared: Arc<Counters>,
    accept: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    to_upstream_bytes: AtomicU64,
    cut_left: AtomicU64,
}

impl Proxy {
    /// Starts one in front of a port on loopback.
    pub async fn start(upstream_port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("bind the proxy's port")?;
        let address = listener.local_addr().context("the proxy's address")?;
        let (fault, watched) = watch::channel(Fault::Pass);
        let shared = Arc::new(Counters::default());
        let counters = Arc::clone(&shared);
        let accept = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counters.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(
                    client,
                    upstream_port,
                    watched.clone(),
                    Arc::clone(&counters),
                ));
            }
        });
        Ok(Self {
            address,
            fault,
            shared,
            accept,
        })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `url` with this proxy's port in place of `upstream_port`.
    #[must_use]
    pub fn url(&self, url: &str, upstream_port: u16) -> String {
        url.replace(&format!(":{upstream_port}"), &format!(":{}", self.port()))
    }

    /// Changes what it does.
    pub fn set(&self, fault: Fault) {
        if let Fault::CutAfter(bytes) = fault {
            self.shared.cut_left.store(bytes, Ordering::SeqCst);
        }
        self.fault.send_replace(fault);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes sent to the upstream so far.
    #[must_use]
    pub fn to_upstream_bytes(&self) -> u64 {
        self.shared.to_upstream_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accept.abort();
        self.fault.send_replace(Fault::Reset);
    }
}

async fn connection(
    mut client: TcpStream,
    upstream_port: u16,
    mut fault: watch::Receiver<Fault>,
    counters: Arc<Counters>,
) {
    let now = *fault.borrow();
    if now == Fault::Reset {
        // The answer to whatever is sent is a reset, not an orderly close.
        let _ = client.set_zero_linger();
        return;
    }
    if now == Fault::BlackHole
        && fault
            .wait_for(|fault| *fault != Fault::BlackHole)
            .await
            .is_err()
    {
        return;
    }
    let Ok(mut upstream) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream_port)).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = upstream.set_nodelay(true);
    let cut = Notify::new();
    let reset = {
        let (client_read, client_write) = client.split();
        let (upstream_read, upstream_write) = upstream.split();
        let there = pump(
            client_read,
            upstream_write,
            fault.clone(),
            Some((&counters, &cut)),
        );
        let back = pump(upstream_read, client_write, fault.clone(), None);
        tokio::select! {
            _ = async { tokio::join!(there, back) } => false,
            () = cut.notified() => true,
            // An error means that the proxy was dropped, which resets too.
            _ = fault.wait_for(|fault| *fault == Fault::Reset) => true,
        }
    };
    if reset {
        let _ = client.set_zero_linger();
    }
}

/// Copies until either side closes; `upstream` is given in that direction: what it counts, and whom to tell of a cut.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    upstream: Option<(&Counters, &Notify)>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        let length = u64::try_from(read).unwrap_or(u64::MAX);
        let now = *fault.borrow();
        match now {
            Fault::Pass | Fault::Reset => {}
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::BlackHole => {
                if fault
                    .wait_for(|fault| *fault != Fault::BlackHole)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Fault::Throttle(bytes_per_second) => {
                let length = u32::try_from(read).unwrap_or(u32::MAX);
                let share = f64::from(length) / f64::from(bytes_per_second.max(1));
                tokio::time::sleep(Duration::from_secs_f64(share)).await;
            }
            Fault::CutAfter(_) => {
                if let Some((counters, cut)) = upstream {
                    let left = counters.cut_left.load(Ordering::SeqCst);
                    if length > left {
                        let rest = usize::try_from(left).unwrap_or(0);
                        let _ = to.write_all(&piece[..rest]).await;
                        cut.notify_one();
                        return;
                    }
                    counters.cut_left.store(left - length, Ordering::SeqCst);
                }
            }
        }
        if to.write_all(piece).await.is_err() {
            break;
        }
        if let Some((counters, _)) = upstream {
            counters
                .to_upstream_bytes
                .fetch_add(length, Ordering::Relaxed);
        }
    }
    let _ = to.shutdown().await;
}

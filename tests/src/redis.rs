//! A Redis server of one's own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;

use crate::child::{Child, Spec};
use crate::{Port, Scratch, setup, until};

/// A server with an append-only file, so that its data survives [`crash`](Self::crash) and [`restart`](Self::restart).
#[derive(Debug)]
pub struct Redis {
    // Dropped, and so ended, before its directory.
    process: Option<Child>,
    port: Port,
    scratch: Scratch,
    settings: Vec<(String, String)>,
}

impl Redis {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one with settings of `redis.conf` over the defaults.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        tokio::task::spawn_blocking(|| setup::ensure(&[setup::REDIS]))
            .await
            .context("prepare Redis")??;
        let mut server = Self {
            port: Port::take()?,
            scratch: Scratch::new("redis")?,
            process: None,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        server.restart().await?;
        Ok(server)
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// A connection.
    pub async fn connection(&self) -> Result<MultiplexedConnection> {
        connect(&self.url()).await
    }

    /// `kill -9`: what the append-only file has not got by then is lost.
    pub async fn crash(&mut self) -> Result<()> {
        self.end(libc::SIGKILL).await
    }

    /// Stops it cleanly.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(libc::SIGTERM).await
    }

    /// Stops the process as it is: connections stall.
    pub fn sigstop(&mut self) -> Result<()> {
        self.running()?.signal(libc::SIGSTOP)
    }

    /// Lets it go on after [`sigstop`](Self::sigstop).
    pub fn sigcont(&mut self) -> Result<()> {
        self.running()?.signal(libc::SIGCONT)
    }

    fn running(&mut self) -> Result<&mut Child> {
        self.process.as_mut().context("Redis is not running")
    }

    async fn end(&mut self, signal: i32) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.signal(signal)?;
        process.wait(Duration::from_secs(30)).await?;
        self.process = None;
        Ok(())
    }

    /// Starts it again (after [`stop`](Self::stop) if it runs), on the same port and data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        let port = self.port().to_string();
        let dir = self.scratch.path().to_path_buf();
        let mut args: Vec<OsString> = Vec::new();
        let mut settings: Vec<(&str, &str)> = vec![
            ("port", &port),
            ("bind", "127.0.0.1"),
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("save", ""),
        ];
        settings.extend(self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        for (name, value) in settings {
            args.push(format!("--{name}").into());
            args.push(value.into());
        }
        let mut process = Child::spawn(Spec {
            name: "Redis".to_owned(),
            program: "redis-server".into(),
            args,
            env: Vec::new(),
            cwd: dir,
            log: self.log(),
            as_server: false,
            last_signal: libc::SIGKILL,
            detached: false,
        })?;
        let url = self.url();
        let mut dead = None;
        until("Redis to answer", Duration::from_secs(30), || {
            dead = process.check_running().err();
            let gone = dead.is_some();
            let url = url.clone();
            async move {
                if gone {
                    return Ok(());
                }
                // While it loads its file it answers with an error.
                let mut connection = connect(&url).await?;
                redis::cmd("DBSIZE")
                    .query_async::<i64>(&mut connection)
                    .await?;
                anyhow::Ok(())
            }
        })
        .await?;
        if let Some(error) = dead {
            return Err(error);
        }
        self.process = Some(process);
        Ok(())
    }
}

/// Connects.
pub async fn connect(url: &str) -> Result<MultiplexedConnection> {
    Ok(redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?)
}

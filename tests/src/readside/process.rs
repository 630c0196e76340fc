//! The real `readside` binary, running.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::child::Child;
use crate::{cache, http_client, setup, until};

/// The binary: `READSIDE_BIN`, else the one of this build, brought up to date on the first call.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY
        .get_or_init(|| find().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn find() -> Result<PathBuf> {
    match std::env::var_os("READSIDE_BIN") {
        // It is run in other directories.
        Some(path) => std::path::absolute(path).context("the path in `READSIDE_BIN`"),
        None => build(&["readside"], "readside"),
    }
}

/// Brings a binary of these packages up to date, in the profile of this program.
pub(crate) fn build(packages: &[&str], name: &str) -> Result<PathBuf> {
    // `target/<profile>/xtask` or `target/<profile>/deps/<test>`.
    let ours = std::env::current_exe().context("the path of this program")?;
    let mut dir = ours.parent().context("the directory of this program")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("the target directory")?;
    }
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["build", "--quiet", "--bin", name])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .current_dir(cache::workspace());
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    setup::run(&mut cargo)?;
    let path = dir.join(name);
    if !path.is_file() {
        bail!("no binary at `{}`", path.display());
    }
    Ok(path)
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The running daemon; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    admin_url: String,
}

impl Process {
    pub(super) fn new(child: Child, admin_url: String) -> Self {
        Self { child, admin_url }
    }

    /// Waits until the admin server answers.
    pub async fn wait_healthy(&mut self) -> Result<()> {
        let url = format!("{}/healthz", self.admin_url);
        let client = http_client();
        let mut dead = None;
        until("readside's admin server", Duration::from_secs(30), || {
            dead = self.child.check_running().err();
            let request = dead.is_none().then(|| client.get(&url));
            async move {
                if let Some(request) = request {
                    request.send().await?.error_for_status()?;
                }
                anyhow::Ok(())
            }
        })
        .await?;
        dead.map_or(Ok(()), Err)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.ended().is_none()
    }

    /// Fails with the end of its log if it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        self.child.check_running()
    }

    /// `kill -9`.
    pub async fn kill9(mut self) -> Result<()> {
        if self.is_running() {
            self.child.signal(libc::SIGKILL)?;
        }
        self.child.wait(Duration::from_secs(10)).await?;
        Ok(())
    }

    /// Asks it to end (`SIGTERM`) and answers with its exit code.
    pub async fn stop(mut self) -> Result<Option<i32>> {
        self.child.signal(libc::SIGTERM)?;
        Ok(self.child.wait(Duration::from_secs(20)).await?.code())
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self, limit: Duration) -> Result<ExitStatus> {
        self.child.wait(limit).await
    }

    /// Stops the process as it is (`SIGSTOP`).
    pub fn sigstop(&mut self) -> Result<()> {
        self.child.signal(libc::SIGSTOP)
    }

    /// Lets it go on after [`sigstop`](Self::sigstop).
    pub fn sigcont(&mut self) -> Result<()> {
        self.child.signal(libc::SIGCONT)
    }

    /// Status and body of a GET on the admin server.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let response = http_client()
            .get(format!("{}{path}", self.admin_url))
            .send()
            .await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// The sum of a metric's series whose labels contain each of `labels` (`view="a"`); `None` if there is none.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<Option<f64>> {
        let (_, text) = self.get("/metrics").await?;
        Ok(sum_of(&text, name, labels))
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("no VmRSS")?
            .parse()
            .context("VmRSS")?;
        Ok(kib * 1024)
    }
}

/// The sum of a metric's series in Prometheus' text format whose labels contain each of `labels`.
#[must_use]
pub fn sum_of(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        if !rest.starts_with(['{', ' ']) || !labels.iter().all(|label| rest.contains(label)) {
            continue;
        }
        let value = rest
            .rsplit_once(['}', ' '])
            .and_then(|(_, value)| value.trim().parse::<f64>().ok());
        if let Some(value) = value {
            *sum.get_or_insert(0.0) += value;
        }
    }
    sum
}

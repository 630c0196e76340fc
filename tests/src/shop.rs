//! The shop of `examples/shop` as processes: its command service, its query service and its page.
//!
//! In: servers, and a project between them. Out: the real `shop` binary, running, killed when dropped.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use readside_shop::{CONFIG, VIEWS};
use serde_json::Value;

use crate::child::{Child, Spec};
use crate::readside::{Into, Project, build};
use crate::{Port, Scratch, http_client, until};

/// The `shop` binary of this build, brought up to date on the first call.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            // With readside's, so that what both depend on is built once.
            let packages = ["readside", "readside-shop"];
            build(&packages, "shop").map_err(|error| format!("{error:#}"))
        })
        .clone()
        .map_err(|error| anyhow!(error))
}

/// Adds the shop's read models to a project that has the sinks `cache`, `search` and `reporting`. Names of indexes begin
/// with `prefix`.
pub fn add_views(project: &mut Project, prefix: &str) -> Result<()> {
    let config: toml::Table = CONFIG.parse().context("read the shop's readside.toml")?;
    for view in VIEWS {
        let into = config
            .get("views")
            .and_then(|views| views.get(view.name)?.get("into")?.as_array())
            .with_context(|| format!("view `{}` goes nowhere", view.name))?;
        let into = into.iter().map(|value| target(value, view.name, prefix));
        project
            .view(view.name, view.sql, &into.collect::<Result<Vec<_>>>()?)?
            .key(view.name, view.key)?;
    }
    Ok(())
}

fn target(value: &toml::Value, view: &str, prefix: &str) -> Result<Into> {
    let text = |field: &str| value.get(field).and_then(toml::Value::as_str);
    let sink = text("sink").context("a target without a sink")?;
    Ok(if let Some(key) = text("key") {
        Into::key(sink, key)
    } else if let Some(table) = text("table") {
        Into::table(sink, table)
    } else if sink == "search" {
        Into::index(sink, &format!("{prefix}{}", text("index").unwrap_or(view)))
    } else {
        Into::sink(sink)
    })
}

/// Where the read models are.
#[derive(Debug, Clone)]
pub struct Stores<'a> {
    /// The URL of Redis.
    pub cache: &'a str,
    /// The URL of OpenSearch.
    pub search: &'a str,
    /// What the names of indexes begin with.
    pub prefix: &'a str,
    /// The URL of the reporting database.
    pub reporting: &'a str,
    /// The URL of readside's admin server.
    pub readside: &'a str,
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    // Dropped, and so ended, before its directory.
    child: Child,
    port: Port,
    scratch: Scratch,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` if it isn't JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// The header `Shop-Position`.
    pub position: Option<String>,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
}

impl Service {
    /// Starts the command service on a database.
    pub async fn commands(database: &str) -> Result<Self> {
        Self::start("command", &[("--url", database)]).await
    }

    /// Starts the query service on the read models.
    pub async fn queries(stores: &Stores<'_>) -> Result<Self> {
        let products = format!("{}products", stores.prefix);
        let options = [
            ("--cache", stores.cache),
            ("--search", stores.search),
            ("--products", &products),
            ("--reporting", stores.reporting),
            ("--readside", stores.readside),
        ];
        Self::start("query", &options).await
    }

    /// Starts the page before both.
    pub async fn front(commands: &Service, queries: &Service) -> Result<Self> {
        let (commands, queries) = (commands.url(), queries.url());
        let options = [("--commands", commands.as_str()), ("--queries", &queries)];
        Self::start("front", &options).await
    }

    async fn start(name: &str, options: &[(&str, &str)]) -> Result<Self> {
        let program = tokio::task::spawn_blocking(binary).await??;
        let (scratch, port) = (Scratch::new("shop")?, Port::take()?);
        let mut args = vec![name.into(), "--listen".into()];
        args.push(format!("127.0.0.1:{}", port.number()).into());
        for (option, value) in options {
            args.extend([option.into(), value.into()]);
        }
        let mut child = Child::spawn(Spec {
            name: format!("`shop {name}`"),
            program,
            args,
            env: Vec::new(),
            cwd: scratch.path().to_path_buf(),
            log: scratch.path().join("log"),
            as_server: false,
            last_signal: libc::SIGKILL,
            detached: false,
        })?;
        let url = format!("http://127.0.0.1:{}/healthz", port.number());
        let mut dead = None;
        let what = format!("`shop {name}` to answer");
        until(&what, Duration::from_secs(30), || {
            dead = child.check_running().err();
            let request = dead.is_none().then(|| http_client().get(&url));
            async move {
                if let Some(request) = request {
                    request.send().await?.error_for_status()?;
                }
                anyhow::Ok(())
            }
        })
        .await?;
        match dead {
            Some(error) => Err(error),
            None => Ok(Self {
                child,
                port,
                scratch,
            }),
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// Fails with the end of its log if it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        self.child.check_running()
    }

    /// Asks it to end (`SIGTERM`) and answers with its exit code.
    pub async fn stop(mut self) -> Result<Option<i32>> {
        self.child.signal(libc::SIGTERM)?;
        Ok(self.child.wait(Duration::from_secs(20)).await?.code())
    }

    /// Sends a command.
    pub async fn command(&self, name: &str, body: &Value) -> Result<Answer> {
        let url = format!("{}/commands/{name}", self.url());
        answer(http_client().post(url).json(body)).await
    }

    /// Sends a query: what stands behind `/queries/`.
    pub async fn query(&self, path: &str) -> Result<Answer> {
        answer(http_client().get(format!("{}/queries/{path}", self.url()))).await
    }

    /// The ports on other ends of its TCP connections.
    pub fn peer_ports(&self) -> Result<Vec<u16>> {
        let proc = PathBuf::from(format!("/proc/{}", self.child.pid()));
        let mut sockets = Vec::new();
        for entry in fs::read_dir(proc.join("fd")).context("read its file handles")? {
            let Ok(target) = fs::read_link(entry?.path()) else {
                continue;
            };
            let target = target.to_string_lossy().into_owned();
            if let Some(inode) = target.strip_prefix("socket:[") {
                sockets.push(inode.trim_end_matches(']').to_owned());
            }
        }
        let mut ports = Vec::new();
        for table in ["net/tcp", "net/tcp6"] {
            let text = fs::read_to_string(proc.join(table)).context("read the TCP table")?;
            for line in text.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (Some(remote), Some(state), Some(inode)) =
                    (fields.get(2), fields.get(3), fields.get(9))
                else {
                    bail!("a line of the TCP table reads {line:?}");
                };
                // Not those that only listen.
                if *state == "0A" || !sockets.iter().any(|socket| socket == inode) {
                    continue;
                }
                let port = remote.rsplit_once(':').context("a port")?.1;
                ports.push(u16::from_str_radix(port, 16).context("a port")?);
            }
        }
        Ok(ports)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (position, retry_after) = (header("shop-position"), header("retry-after"));
    let content_type = header("content-type");
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok(Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
        position,
        retry_after,
        content_type,
    })
}

//! A Prometheus of one's own, with the rules that are shipped.
//!
//! In: what it is to scrape. Out: answers to queries, alerts that fire and clear.
//!
//! Always: it runs the shipped configuration and rules; only durations, the thresholds that a test names and the scraped address are
//! others, and a text that is to be replaced has to be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::child::{Child, Spec};
use crate::{Port, Scratch, http_client, place, setup, until, workspace};

/// A series of a query's answer: its labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// All labels, the name included.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A rule that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The recorded name, or the alert's.
    pub name: String,
    /// It is an alert.
    pub alert: bool,
    /// Its expression.
    pub query: String,
    /// Why it could not be evaluated.
    pub error: Option<String>,
    /// An alert's annotations, not filled in.
    pub annotations: BTreeMap<String, String>,
    /// The labels that it adds.
    pub labels: BTreeMap<String, String>,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its labels; `alertname` is the name.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, filled in.
    pub annotations: BTreeMap<String, String>,
}

impl Alert {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }
}

/// The server; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    port: Port,
    scratch: Scratch,
}

/// The directory with the configuration that is shipped.
#[must_use]
pub fn shipped() -> PathBuf {
    workspace().join("dashboards").join("prometheus")
}

/// A file of rules that is shipped.
pub fn rule_file(name: &str) -> Result<String> {
    let path = shipped().join("rules").join(name);
    fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))
}

/// The values of all lines `key: value` of a rule file.
pub fn values<'a>(rules: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let key = format!("{key}: ");
    rules.lines().filter_map(move |line| {
        let line = line.trim_start();
        line.strip_prefix("- ").unwrap_or(line).strip_prefix(&key)
    })
}

/// Rules that wait for seconds where the shipped ones wait for minutes, with these thresholds replaced.
pub fn hastened(rules: &str, thresholds: &[(&str, &str)]) -> Result<String> {
    let mut text = String::new();
    for line in rules.lines() {
        match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => {
                text.push_str(indent);
                text.push_str("for: 1s");
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    for range in ["[1m]", "[5m]", "[1h]"] {
        text = text.replace(range, "[10s]");
    }
    for (from, to) in thresholds {
        ensure!(text.contains(from), "no rule says `{from}`");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// Runs `promtool` and gives what it printed; an error if it is not content.
pub fn promtool(args: &[&str]) -> Result<String> {
    setup::ensure(&[setup::PROMETHEUS])?;
    let output = Command::new("promtool")
        .args(args)
        .current_dir(shipped())
        .output()
        .context("run `promtool`")?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.success(),
        "`promtool {}`:\n{text}",
        args.join(" ")
    );
    Ok(text)
}

impl Prometheus {
    /// Starts one that scrapes nothing yet; `thresholds` are replaced in the alert rules.
    pub async fn start(thresholds: &[(&str, &str)]) -> Result<Self> {
        tokio::task::spawn_blocking(|| setup::ensure(&[setup::PROMETHEUS]))
            .await
            .context("prepare Prometheus")??;
        let scratch = Scratch::new("prometheus")?;
        place::give_to_server(scratch.path())?;
        let rules = scratch.path().join("rules");
        fs::create_dir(&rules).context("create `rules`")?;
        for (name, replaced) in [("recording.yml", &[][..]), ("alerts.yml", thresholds)] {
            fs::write(rules.join(name), hastened(&rule_file(name)?, replaced)?)
                .with_context(|| format!("write `{name}`"))?;
        }
        write_config(&scratch, None)?;
        let port = Port::take()?;
        let process = Child::spawn(Spec {
            name: "Prometheus".to_owned(),
            program: "prometheus".into(),
            args: [
                format!(
                    "--config.file={}",
                    scratch.path().join("prometheus.yml").display()
                ),
                format!(
                    "--storage.tsdb.path={}",
                    scratch.path().join("data").display()
                ),
                format!("--web.listen-address=127.0.0.1:{}", port.number()),
                "--web.enable-lifecycle".to_owned(),
                "--log.level=warn".to_owned(),
            ]
            .map(Into::into)
            .to_vec(),
            env: Vec::new(),
            cwd: scratch.path().to_path_buf(),
            log: scratch.path().join("log"),
            as_server: true,
            last_signal: libc::SIGKILL,
            detached: false,
        })?;
        let mut server = Self {
            process,
            port,
            scratch,
        };
        let url = server.url("/-/ready");
        let client = http_client();
        let mut dead = None;
        until("Prometheus", Duration::from_secs(60), || {
            dead = server.process.check_running().err();
            let request = dead.is_none().then(|| client.get(&url));
            async move {
                if let Some(request) = request {
                    request.send().await?.error_for_status()?;
                }
                anyhow::Ok(())
            }
        })
        .await?;
        dead.map_or(Ok(server), Err)
    }

    /// From now on it scrapes this address (`127.0.0.1:7377`).
    pub async fn scrape(&self, target: &str) -> Result<()> {
        write_config(&self.scratch, Some(target))?;
        http_client()
            .post(self.url("/-/reload"))
            .send()
            .await?
            .error_for_status()
            .context("reload Prometheus' configuration")?;
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port.number())
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let response = http_client()
            .get(self.url(path))
            .query(parameters)
            .send()
            .await?;
        let mut answer: Value = response.json().await?;
        if answer["status"] != "success" {
            bail!("{parameters:?}: {}", answer["error"]);
        }
        Ok(answer["data"].take())
    }

    /// Evaluates an expression now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let data = self
            .ask("/api/v1/query", &[("query", expression)])
            .await
            .context("evaluate")?;
        let value = |pair: &Value| -> Result<f64> {
            let text = pair[1].as_str().context("a value")?;
            text.replace("Inf", "inf").parse().context("a number")
        };
        match data["resultType"].as_str() {
            Some("vector") => data["result"]
                .as_array()
                .context("a vector")?
                .iter()
                .map(|series| {
                    Ok(Sample {
                        labels: labels(&series["metric"]),
                        value: value(&series["value"])?,
                    })
                })
                .collect(),
            Some("scalar") => Ok(vec![Sample {
                labels: BTreeMap::new(),
                value: value(&data["result"])?,
            }]),
            other => bail!("`{expression}` gives a {other:?}, not a vector"),
        }
    }

    /// All label names of the series of a metric, and for each its values.
    pub async fn labels_of(&self, metric: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let data = self.ask("/api/v1/series", &[("match[]", metric)]).await?;
        let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for series in data.as_array().context("series")? {
            for (name, value) in labels(series) {
                out.entry(name).or_default().insert(value);
            }
        }
        Ok(out)
    }

    /// The rules that are loaded.
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        let data = self.ask("/api/v1/rules", &[]).await?;
        let mut out = Vec::new();
        for group in data["groups"].as_array().context("groups")? {
            for rule in group["rules"].as_array().context("rules")? {
                let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
                out.push(Rule {
                    name: text("name"),
                    alert: rule["type"] == "alerting",
                    query: text("query"),
                    error: Some(text("lastError")).filter(|error| !error.is_empty()),
                    annotations: labels(&rule["annotations"]),
                    labels: labels(&rule["labels"]),
                });
            }
        }
        Ok(out)
    }

    /// The alerts that fire now.
    pub async fn firing(&self) -> Result<Vec<Alert>> {
        let data = self.ask("/api/v1/alerts", &[]).await?;
        Ok(data["alerts"]
            .as_array()
            .context("alerts")?
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| Alert {
                labels: labels(&alert["labels"]),
                annotations: labels(&alert["annotations"]),
            })
            .collect())
    }
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The shipped configuration with another address, at a quick pace.
fn write_config(scratch: &Scratch, target: Option<&str>) -> Result<()> {
    let path = shipped().join("prometheus.yml");
    let mut text =
        fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    let targets = target.map_or_else(|| "[]".to_owned(), |target| format!("[\"{target}\"]"));
    for (from, to) in [
        ("scrape_interval: 5s", "scrape_interval: 500ms"),
        ("evaluation_interval: 5s", "evaluation_interval: 500ms"),
        ("[\"readside:7377\"]", targets.as_str()),
    ] {
        ensure!(
            text.contains(from),
            "`{}` does not say `{from}`",
            path.display()
        );
        text = text.replace(from, to);
    }
    fs::write(scratch.path().join("prometheus.yml"), text).context("write `prometheus.yml`")
}

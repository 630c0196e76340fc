//! A configuration of one's own for the real `readside` binary.
//!
//! In: a source, sinks and views. Out: a directory with `readside.toml` and the views' files, commands run in it, the daemon
//! started on it, and a comparison of all its sinks with the source.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::process::{Output, Process, binary};
use crate::child::{Child, Spec};
use crate::oracle::{self, Difference, Rules};
use crate::{Port, Scratch, place};

/// Where one view goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Into {
    sink: String,
    place: Option<(&'static str, String)>,
    mapping: Option<String>,
}

impl Into {
    /// Into this sink, at the place that readside gives it.
    #[must_use]
    pub fn sink(sink: &str) -> Self {
        Self {
            sink: sink.to_owned(),
            place: None,
            mapping: None,
        }
    }

    /// Into a Redis sink, under keys of this template.
    #[must_use]
    pub fn key(sink: &str, template: &str) -> Self {
        Self {
            sink: sink.to_owned(),
            place: Some(("key", template.to_owned())),
            mapping: None,
        }
    }

    /// Into a search sink, under this alias.
    #[must_use]
    pub fn index(sink: &str, index: &str) -> Self {
        Self {
            sink: sink.to_owned(),
            place: Some(("index", index.to_owned())),
            mapping: None,
        }
    }

    /// Into a Postgres sink, as this table.
    #[must_use]
    pub fn table(sink: &str, table: &str) -> Self {
        Self {
            sink: sink.to_owned(),
            place: Some(("table", table.to_owned())),
            mapping: None,
        }
    }

    /// With a mapping (JSON) that overrides the derived one of a search sink.
    #[must_use]
    pub fn with_mapping(mut self, json: &str) -> Self {
        self.mapping = Some(json.to_owned());
        self
    }

    fn toml(&self, view: &str) -> String {
        let mut fields = vec![format!("sink = {}", quoted(&self.sink))];
        if let Some((what, place)) = &self.place {
            fields.push(format!("{what} = {}", quoted(place)));
        }
        if self.mapping.is_some() {
            fields.push(format!("mapping = \"views/{view}.json\""));
        }
        format!("{{ {} }}", fields.join(", "))
    }
}

/// A TOML basic string. JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Store {
    Redis,
    Search,
    Postgres { schema: String },
}

#[derive(Debug)]
struct Sink {
    name: String,
    store: Store,
    /// As readside reaches it.
    url: String,
    /// As the oracle reaches it.
    direct_url: String,
}

#[derive(Debug)]
struct View {
    name: String,
    sql: String,
    into: Vec<Into>,
    key: Vec<String>,
    unordered_arrays: bool,
    lag_max: Option<String>,
}

/// What a comparison of one view in one sink found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The view.
    pub view: String,
    /// The sink.
    pub sink: String,
    /// What differs.
    pub difference: Difference,
}

/// A directory with a configuration, views and data.
#[derive(Debug)]
pub struct Project {
    scratch: Scratch,
    admin: Port,
    binary: Option<PathBuf>,
    source_url: String,
    direct_source_url: String,
    name: String,
    extra: String,
    data_extra: String,
    sinks: Vec<Sink>,
    views: Vec<View>,
}

impl Project {
    /// One that reads from this database. Publication and slot are called `name`.
    pub fn new(source_url: &str, name: &str) -> Result<Self> {
        let scratch = Scratch::new("project")?;
        fs::create_dir(scratch.path().join("views")).context("create `views`")?;
        let project = Self {
            scratch,
            admin: Port::take()?,
            binary: None,
            source_url: source_url.to_owned(),
            direct_source_url: source_url.to_owned(),
            name: name.to_owned(),
            extra: String::new(),
            data_extra: String::new(),
            sinks: Vec::new(),
            views: Vec::new(),
        };
        project.write()?;
        Ok(project)
    }

    /// Lets readside reach the source by another URL than the oracle does: a proxy's, another role's.
    pub fn source_by(&mut self, url: &str) -> Result<&mut Self> {
        self.source_url = url.to_owned();
        self.write()?;
        Ok(self)
    }

    /// Runs this binary instead of the one of this build.
    pub fn use_binary(&mut self, path: &Path) -> &mut Self {
        self.binary = Some(path.to_path_buf());
        self
    }

    /// Adds a Redis sink.
    pub fn redis(&mut self, name: &str, url: &str) -> Result<&mut Self> {
        self.sink(name, Store::Redis, url)
    }

    /// Adds an Elasticsearch or OpenSearch sink.
    pub fn search(&mut self, name: &str, url: &str) -> Result<&mut Self> {
        self.sink(name, Store::Search, url)
    }

    /// Adds a Postgres sink.
    pub fn postgres(&mut self, name: &str, url: &str, schema: &str) -> Result<&mut Self> {
        let schema = schema.to_owned();
        self.sink(name, Store::Postgres { schema }, url)
    }

    fn sink(&mut self, name: &str, store: Store, url: &str) -> Result<&mut Self> {
        self.sinks.push(Sink {
            name: name.to_owned(),
            store,
            url: url.to_owned(),
            direct_url: url.to_owned(),
        });
        self.write()?;
        Ok(self)
    }

    /// Lets readside reach a sink by another URL than the oracle does: a proxy's.
    pub fn sink_by(&mut self, name: &str, url: &str) -> Result<&mut Self> {
        let sink = self.sinks.iter_mut().find(|sink| sink.name == name);
        url.clone_into(&mut sink.with_context(|| format!("no sink `{name}`"))?.url);
        self.write()?;
        Ok(self)
    }

    /// Adds a view.
    pub fn view(&mut self, name: &str, sql: &str, into: &[Into]) -> Result<&mut Self> {
        self.views.push(View {
            name: name.to_owned(),
            sql: sql.to_owned(),
            into: into.to_vec(),
            key: Vec::new(),
            unordered_arrays: false,
            lag_max: None,
        });
        self.write()?;
        Ok(self)
    }

    /// Tells the oracle which output columns of a view identify a row.
    pub fn key(&mut self, view: &str, columns: &[&str]) -> Result<&mut Self> {
        self.find_view(view)?.key = columns.iter().map(|c| (*c).to_owned()).collect();
        Ok(self)
    }

    /// Tells the oracle that a view has aggregates without an order.
    pub fn unordered(&mut self, view: &str) -> Result<&mut Self> {
        self.find_view(view)?.unordered_arrays = true;
        Ok(self)
    }

    /// How late a view may be, as in the configuration.
    pub fn lag_max(&mut self, view: &str, lag_max: &str) -> Result<&mut Self> {
        self.find_view(view)?.lag_max = Some(lag_max.to_owned());
        self.write()?;
        Ok(self)
    }

    fn find_view(&mut self, name: &str) -> Result<&mut View> {
        let view = self.views.iter_mut().find(|view| view.name == name);
        view.with_context(|| format!("no view `{name}`"))
    }

    /// Writes a view's SQL anew.
    pub fn set_view_sql(&mut self, name: &str, sql: &str) -> Result<&mut Self> {
        sql.clone_into(&mut self.find_view(name)?.sql);
        self.write()?;
        Ok(self)
    }

    /// Removes a view.
    pub fn remove_view(&mut self, name: &str) -> Result<&mut Self> {
        self.views.retain(|view| view.name != name);
        self.write()?;
        Ok(self)
    }

    /// Adds a line to the section `[data]`.
    pub fn data_setting(&mut self, line: &str) -> Result<&mut Self> {
        self.data_extra.push_str(line);
        self.data_extra.push('\n');
        self.write()?;
        Ok(self)
    }

    /// Appends TOML to the configuration.
    pub fn extra(&mut self, toml: &str) -> Result<&mut Self> {
        self.extra.push_str(toml);
        self.write()?;
        Ok(self)
    }

    fn write(&self) -> Result<()> {
        let mut text = format!(
            "[source]\nurl = {}\npublication = {name}\nslot = {name}\n\n[data]\ndir = \"data\"\n{}\n\
             [admin]\nlisten = \"127.0.0.1:{}\"\n",
            quoted(&self.source_url),
            self.data_extra,
            self.admin.number(),
            name = quoted(&self.name),
        );
        for sink in &self.sinks {
            let (kind, rest) = match &sink.store {
                Store::Redis => ("redis", String::new()),
                Store::Search => ("elasticsearch", String::new()),
                Store::Postgres { schema } => {
                    ("postgres", format!("schema = {}\n", quoted(schema)))
                }
            };
            text.push_str(&format!(
                "\n[sinks.{}]\ntype = \"{kind}\"\nurl = {}\n{rest}",
                sink.name,
                quoted(&sink.url)
            ));
        }
        for view in &self.views {
            let into: Vec<String> = view.into.iter().map(|into| into.toml(&view.name)).collect();
            text.push_str(&format!(
                "\n[views.{name}]\nquery = \"views/{name}.sql\"\ninto = [{}]\n",
                into.join(", "),
                name = view.name,
            ));
            if let Some(lag_max) = &view.lag_max {
                text.push_str(&format!("lag_max = {}\n", quoted(lag_max)));
            }
            let path = self.dir().join("views").join(format!("{}.sql", view.name));
            fs::write(&path, &view.sql).with_context(|| format!("write `{}`", path.display()))?;
            for mapping in view.into.iter().filter_map(|into| into.mapping.as_ref()) {
                let path = path.with_extension("json");
                fs::write(&path, mapping).with_context(|| format!("write `{}`", path.display()))?;
            }
        }
        text.push_str(&format!("\n{}", self.extra));
        let path = self.config();
        fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))
    }

    /// Compares every view in every sink with what its SQL returns on the source now.
    pub async fn compare(&self) -> Result<Vec<Compared>> {
        let all: Vec<&str> = self.sinks.iter().map(|sink| sink.name.as_str()).collect();
        self.compare_in(&all).await
    }

    /// Compares every view in these sinks with what its SQL returns on the source now.
    pub async fn compare_in(&self, sinks: &[&str]) -> Result<Vec<Compared>> {
        let mut compared = Vec::new();
        for view in &self.views {
            let source = oracle::source(&self.direct_source_url, &view.sql).await?;
            let key: Vec<&str> = view.key.iter().map(String::as_str).collect();
            let rules = Rules {
                key: &key,
                unordered_arrays: view.unordered_arrays,
            };
            for into in &view.into {
                if !sinks.contains(&into.sink.as_str()) {
                    continue;
                }
                let stored = self
                    .stored(view, into)
                    .await
                    .with_context(|| format!("read `{}` from `{}`", view.name, into.sink))?;
                compared.push(Compared {
                    view: view.name.clone(),
                    sink: into.sink.clone(),
                    difference: oracle::compare(&source, &stored, rules)?,
                });
            }
        }
        Ok(compared)
    }

    async fn stored(&self, view: &View, into: &Into) -> Result<Vec<String>> {
        let sink = self.sinks.iter().find(|sink| sink.name == into.sink);
        let sink = sink.with_context(|| format!("no sink `{}`", into.sink))?;
        let place = into.place.as_ref().map(|(_, place)| place.as_str());
        match &sink.store {
            Store::Redis => {
                let pattern = match place {
                    None => format!("{}:*", view.name),
                    Some(template) => template
                        .split('{')
                        .map(|piece| piece.split_once('}').map_or(piece, |(_, rest)| rest))
                        .collect::<Vec<_>>()
                        .join("*"),
                };
                oracle::redis(&sink.direct_url, &pattern).await
            }
            Store::Search => oracle::search(&sink.direct_url, place.unwrap_or(&view.name)).await,
            Store::Postgres { schema } => {
                oracle::table(&sink.direct_url, schema, place.unwrap_or(&view.name)).await
            }
        }
    }

    /// Fails, with what differs, unless every view in every sink equals what its SQL returns on the source.
    pub async fn check_equal(&self) -> Result<()> {
        let differing: Vec<String> = self
            .compare()
            .await?
            .iter()
            .filter(|compared| !compared.difference.is_none())
            .map(|c| format!("view `{}` in `{}`: {}", c.view, c.sink, c.difference))
            .collect();
        if !differing.is_empty() {
            bail!("{}", differing.join("\n"));
        }
        Ok(())
    }

    /// Waits until everything has arrived, then [`check_equal`](Self::check_equal).
    pub async fn check_converged(&self, limit: Duration) -> Result<()> {
        self.wait_caught_up(limit).await?;
        self.check_equal().await
    }

    /// The path of `readside.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.scratch.path().join("readside.toml")
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The daemon's log, of all its runs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// The URL of the daemon's admin server.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin.number())
    }

    async fn program(&self) -> Result<PathBuf> {
        match &self.binary {
            Some(path) => Ok(path.clone()),
            None => tokio::task::spawn_blocking(binary).await?,
        }
    }

    /// Runs a command to its end, at most for `limit`.
    pub async fn command(&self, args: &[&str], limit: Duration) -> Result<Output> {
        let binary = self.program().await?;
        let mut command = tokio::process::Command::new(binary);
        command
            .args(args)
            .arg("--config")
            .arg(self.config())
            .current_dir(self.dir())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(limit, command.output())
            .await
            .map_err(|_| {
                anyhow!(
                    "`readside {}` has not ended within {} s; the end of the daemon's log:\n{}",
                    args.join(" "),
                    limit.as_secs(),
                    place::tail(&self.log(), 25)
                )
            })?
            .context("run `readside`")?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts the daemon, without waiting for anything.
    pub async fn start(&self, env: &[(&str, &str)]) -> Result<Process> {
        let program = self.program().await?;
        let child = Child::spawn(Spec {
            name: "readside".to_owned(),
            program,
            args: vec!["run".into(), "--config".into(), self.config().into()],
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.into()))
                .collect(),
            cwd: self.dir().to_path_buf(),
            log: self.log(),
            as_server: false,
            last_signal: libc::SIGKILL,
            detached: false,
        })?;
        Ok(Process::new(child, self.admin_url()))
    }

    /// Starts the daemon and waits until its admin server answers.
    pub async fn run(&self) -> Result<Process> {
        let mut process = self.start(&[]).await?;
        process.wait_healthy().await?;
        Ok(process)
    }

    /// Starts the daemon with a failpoint armed: it dies there, as by `kill -9`, the `nth` time that it gets there.
    pub async fn run_to_failpoint(&self, failpoint: &str, nth: u32) -> Result<Process> {
        self.start(&[("READSIDE_FAILPOINT", &format!("{failpoint}:{nth}"))])
            .await
    }

    /// Waits until every view has reached, in every sink, what the source has now.
    pub async fn wait_caught_up(&self, limit: Duration) -> Result<()> {
        let output = self.command(&["wait"], limit).await?;
        if output.code != Some(0) {
            bail!(
                "`readside wait` failed ({:?}): {}{}\nthe end of the daemon's log:\n{}",
                output.code,
                output.stdout,
                output.stderr,
                place::tail(&self.log(), 25)
            );
        }
        Ok(())
    }
}

//! The configuration file: read, checked as a whole, and turned into a type that can't be invalid.
//!
//! In: the text of `readside.toml`, its place, and what surrounds it (environment, overrides). Out: a [`Config`], or every problem at
//! once, each with its line, path and remedy.
//!
//! Always: the only reader of configuration files and secrets; secrets never print; paths are relative to the file.

mod listen;
mod problem;
mod quantity;
mod secret;
mod section;
mod sink;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

pub use listen::{AdminConfig, DEFAULT_LISTEN, ListenError, parse_listen, reachable};
pub use problem::{Problem, Problems};
pub use quantity::{
    ByteSize, DURATION_HINT, QuantityError, SIZE_HINT, format_duration, parse_duration,
};
pub use secret::{Address, Secret};
pub(crate) use section::{nearest, quoted};
pub use sink::{SinkConfig, SinkKind};
pub use view::{KeyTemplate, OnError, Place, TemplateError, ViewConfig, ViewSinkConfig};

use problem::Findings;
use section::{Found, Section};

/// Where the file is looked for if nothing else is said.
pub const DEFAULT_FILE: &str = "readside.toml";

/// What a configuration depends on beside its text.
pub struct Surroundings<'a> {
    /// The environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether secrets are looked up; `check --offline` leaves them alone.
    pub resolve_secrets: bool,
    /// `--listen`, which goes before `admin.listen`.
    pub listen: Option<String>,
    /// `--token`, which goes before `admin.token`.
    pub token: Option<Secret>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("resolve_secrets", &self.resolve_secrets)
            .field("listen", &self.listen)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("`{}` can't be read: {source}\n  hint: run in the directory of `readside.toml`, or name the file with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It can be read, but not used.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// A configuration without problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// `[source]`
    pub source: SourceConfig,
    /// `[data]`
    pub data: DataConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[sinks.NAME]`, by name.
    pub sinks: BTreeMap<String, SinkConfig>,
    /// `[views.NAME]`, by name; at least one.
    pub views: BTreeMap<String, ViewConfig>,
    /// What is allowed, but should be known.
    pub warnings: Vec<String>,
}

/// The source database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// How to reach it, password included.
    pub connection: readside_source::SourceConfig,
    /// The publication; `readside` by default.
    pub publication: String,
    /// The replication slot; `readside` by default.
    pub slot: String,
}

/// The data directory and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataConfig {
    /// Where changelog and state are kept; `data` beside the file by default.
    pub dir: PathBuf,
    /// The changelog's limit on disk.
    pub changelog_bytes_max: Option<ByteSize>,
    /// State is flushed when this much has been committed in memory.
    pub state_flush_bytes: Option<ByteSize>,
    /// State is flushed at least this often.
    pub state_flush_interval: Option<Duration>,
}

impl Config {
    /// Reads and checks a file, and the files that it names.
    ///
    /// # Errors
    /// The file can't be read, or anything in it is wrong; then all of it is reported.
    pub fn load(path: &Path, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
        let text = read(path)?;
        Ok(Config::parse(&text, path, surroundings)?)
    }

    /// Checks the text of a file. `path` is where it stands: other paths are relative to its directory.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse(
        text: &str,
        path: &Path,
        surroundings: &Surroundings<'_>,
    ) -> Result<Config, Problems> {
        let file = path.display().to_string();
        let mut findings = Findings::new(text);
        let table = parse_toml(text, &mut findings);
        let base = path.parent().unwrap_or(Path::new(""));
        let reader = Reader { base, surroundings };
        let root = Section::new("", None, table.get_ref());
        let source = reader.source(&root, &mut findings);
        let data = reader.data(&root, &mut findings);
        let admin = listen::read_admin(&root, surroundings, base, &mut findings);
        let sinks = reader.sinks(&root, &mut findings);
        let views = reader.views(&root, &sinks, &mut findings);
        root.finish(&mut findings);

        let warnings = findings.finish(&file)?;
        let missing = || Problems {
            file: file.clone(),
            list: vec![Problem {
                line: None,
                path: String::new(),
                message: "is incomplete".to_owned(),
                hint: None,
            }],
        };
        Ok(Config {
            file: path.to_owned(),
            source: source.ok_or_else(missing)?,
            data: data.ok_or_else(missing)?,
            admin: admin.ok_or_else(missing)?,
            sinks: sinks
                .into_iter()
                .filter_map(|(name, s)| s.config.map(|c| (name, c)))
                .collect(),
            views: views.into_iter().map(|v| (v.name.clone(), v)).collect(),
            warnings,
        })
    }
}

/// Reads `[admin]` alone, for commands that only talk to a running process: they work whatever else is wrong with the file.
///
/// # Errors
/// The file was named and can't be read, or its `[admin]` is wrong.
pub fn load_admin(
    path: Option<&Path>,
    surroundings: &Surroundings<'_>,
) -> Result<AdminConfig, ConfigError> {
    let file = path.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match read(file) {
        Ok(text) => text,
        Err(ConfigError::Unreadable { source, .. })
            if path.is_none() && source.kind() == std::io::ErrorKind::NotFound =>
        {
            String::new()
        }
        // The address has been given, so the file is not needed.
        Err(_) if surroundings.listen.is_some() => String::new(),
        Err(error) => return Err(error),
    };
    let mut findings = Findings::new(&text);
    let table = parse_toml(&text, &mut findings);
    let root = Section::new("", None, table.get_ref());
    let base = file.parent().unwrap_or(Path::new(""));
    let admin = listen::read_admin(&root, surroundings, base, &mut findings);
    let name = file.display().to_string();
    findings.finish(&name)?;
    admin.ok_or_else(|| {
        ConfigError::Invalid(Problems {
            file: name,
            list: Vec::new(),
        })
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn parse_toml<'t>(text: &'t str, findings: &mut Findings<'_>) -> toml::Spanned<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        findings.at(
            Some(error.span().unwrap_or(0..0)),
            "",
            format!("is not TOML: {}", error.message()),
            None,
        );
    }
    table
}

struct Reader<'a> {
    base: &'a Path,
    surroundings: &'a Surroundings<'a>,
}

/// A sink as read: the kind is known even where the rest is wrong, so that views can be checked against it.
struct ReadSink {
    kind: Option<SinkKind>,
    config: Option<SinkConfig>,
}

impl Reader<'_> {
    fn source(&self, root: &Section<'_>, findings: &mut Findings<'_>) -> Option<SourceConfig> {
        let Some(section) = root.section(findings, "source") else {
            if root.value("source").is_none() {
                findings.at(
                    None,
                    "source",
                    "is missing",
                    Some("[source] says which Postgres to read: url = \"postgres://…\"".to_owned()),
                );
            }
            return None;
        };
        let url = section.required(
            findings,
            "url",
            "a connection string such as \"postgres://readside@db:5432/shop\"",
        );
        let connection = url
            .as_ref()
            .and_then(|found| parse_connection(found, findings));
        let password =
            secret::read_secret(&section, "password", self.surroundings, self.base, findings);
        let publication = identifier(&section, "publication", findings);
        let slot = section.text(findings, "slot");
        if let Some(slot) = &slot
            && !valid_slot(slot.value)
        {
            slot.refuse(
                findings,
                format!("`{}` is not a slot's name", slot.value),
                Some("lower-case letters, digits and `_`, at most 63".to_owned()),
            );
        }
        section.finish(findings);
        if Address::new(url?.value).holds_password() {
            findings.warn(
                "`source.url` holds a password; prefer `source.password` with { env = \"…\" }",
            );
        }
        let mut connection = connection?.with_application_name("readside");
        if let Some(password) = password {
            connection = connection.with_password(readside_source::Secret::new(password.expose()));
        }
        Some(SourceConfig {
            connection,
            publication: publication.unwrap_or_else(|| "readside".to_owned()),
            slot: slot.map_or_else(|| "readside".to_owned(), |s| s.value.to_owned()),
        })
    }

    fn data(&self, root: &Section<'_>, findings: &mut Findings<'_>) -> Option<DataConfig> {
        let section = root.section(findings, "data");
        let Some(section) = section else {
            return root.value("data").is_none().then(|| DataConfig {
                dir: self.base.join("data"),
                changelog_bytes_max: None,
                state_flush_bytes: None,
                state_flush_interval: None,
            });
        };
        let dir = section.text(findings, "dir").map(|d| d.value);
        let size = |findings: &mut Findings<'_>, key| {
            section.parsed(findings, key, SIZE_HINT, str::parse::<ByteSize>)
        };
        let changelog_bytes_max = size(findings, "changelog_bytes_max");
        let state_flush_bytes = size(findings, "state_flush_bytes");
        let state_flush_interval = section.parsed(
            findings,
            "state_flush_interval",
            DURATION_HINT,
            parse_duration,
        );
        section.finish(findings);
        Some(DataConfig {
            dir: self.base.join(dir.unwrap_or("data")),
            changelog_bytes_max,
            state_flush_bytes,
            state_flush_interval,
        })
    }

    fn sinks(&self, root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, ReadSink> {
        let Some(section) = root.section(findings, "sinks") else {
            return BTreeMap::new();
        };
        let mut out = BTreeMap::new();
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for (name, section) in section.sections(findings) {
            check_name(&name, "sink", &section, findings);
            let sink = sink::read_sink(&section, self.surroundings, self.base, findings);
            if let Some(config) = &sink.config
                && let Some(other) = places.insert(config.place(), name.clone())
                && let Some(url) = section.value("url")
            {
                // Each would take the place over from the other, for ever.
                url.refuse(
                    findings,
                    format!("is the place that the sink `{other}` writes to"),
                    Some(format!(
                        "let these views go into `{other}` too, or name another database or schema"
                    )),
                );
            }
            section.finish(findings);
            out.insert(name, sink);
        }
        out
    }

    fn views(
        &self,
        root: &Section<'_>,
        sinks: &BTreeMap<String, ReadSink>,
        findings: &mut Findings<'_>,
    ) -> Vec<ViewConfig> {
        let sections = root
            .section(findings, "views")
            .map(|s| s.sections(findings))
            .unwrap_or_default();
        if sections.is_empty() && root.value("views").is_none_or(|v| v.value.is_table()) {
            findings.at(
                None,
                "views",
                "is missing: there is no view to keep fresh",
                Some(
                    "[views.NAME] wants query = \"NAME.sql\" and into = [{ sink = \"…\" }]"
                        .to_owned(),
                ),
            );
        }
        let mut views = Vec::new();
        let mut taken = BTreeMap::new();
        for (name, section) in sections {
            check_name(&name, "view", &section, findings);
            let view = view::read_view(&name, &section, sinks, self.base, &mut taken, findings);
            section.finish(findings);
            views.extend(view);
        }
        let used = |sink: &String| {
            views
                .iter()
                .any(|v| v.into.iter().any(|into| into.sink == *sink))
        };
        for sink in sinks.keys().filter(|s| !used(s)) {
            findings.warn(format!("no view is written into the sink `{sink}`"));
        }
        views
    }
}

/// A connection string as libpq knows it.
pub(crate) fn parse_connection(
    found: &Found<&str>,
    findings: &mut Findings<'_>,
) -> Option<readside_source::SourceConfig> {
    match readside_source::SourceConfig::parse(found.value) {
        Ok(connection) => Some(connection),
        Err(error) => {
            found.refuse(findings, error.to_string(), None);
            None
        }
    }
}

/// Names stand in metrics, markers, keys, index and table names.
fn check_name(name: &str, what: &str, section: &Section<'_>, findings: &mut Findings<'_>) {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !(first && rest && name.len() <= 63) {
        section.refuse(
            findings,
            format!("`{name}` is not a {what}'s name"),
            Some("letters, digits, `_` and `-`, beginning with a letter, at most 63".to_owned()),
        );
    }
}

/// A name that Postgres would take in quotes.
fn identifier(section: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> Option<String> {
    let found: Found<&str> = section.text(findings, key)?;
    if found.value.len() > 63 || found.value.contains('\0') {
        found.refuse(findings, "is longer than 63 bytes", None);
        return None;
    }
    Some(found.value.to_owned())
}

fn valid_slot(slot: &str) -> bool {
    slot.len() <= 63
        && slot
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests;

//! `[sinks.NAME]`: where read models are kept.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::problem::Findings;
use super::secret::{Address, Secret, read_secret};
use super::section::{Found, Section};
use super::{ReadSink, Surroundings};

/// The kinds of sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SinkKind {
    /// Elasticsearch and OpenSearch.
    Elasticsearch,
    /// Redis and Valkey.
    Redis,
    /// A reporting Postgres.
    Postgres,
}

impl SinkKind {
    /// As `type` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SinkKind::Elasticsearch => "elasticsearch",
            SinkKind::Redis => "redis",
            SinkKind::Postgres => "postgres",
        }
    }

    fn schemes(self) -> &'static [&'static str] {
        match self {
            SinkKind::Elasticsearch => &["http", "https"],
            SinkKind::Redis => &["redis", "rediss"],
            SinkKind::Postgres => &["postgres", "postgresql"],
        }
    }
}

/// A type that there is no sink of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no sink of type `{0}`")]
pub struct UnknownKind(String);

impl FromStr for SinkKind {
    type Err = UnknownKind;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "elasticsearch" | "opensearch" => Ok(SinkKind::Elasticsearch),
            "redis" => Ok(SinkKind::Redis),
            "postgres" => Ok(SinkKind::Postgres),
            _ => Err(UnknownKind(s.to_owned())),
        }
    }
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// `type`
    pub kind: SinkKind,
    /// Where it is.
    pub url: Address,
    /// Who we are there.
    pub username: Option<String>,
    /// Our password there.
    pub password: Option<Secret>,
    /// An API key instead (Elasticsearch).
    pub api_key: Option<Secret>,
    /// PEM file of the certificate authority that its certificate must be signed by.
    pub ca: Option<PathBuf>,
    /// The schema of the tables (Postgres); `readside` by default.
    pub schema: String,
}

impl SinkConfig {
    /// What tells the place where rows lie from others, as far as a URL shows it: server, database and schema; not who we are there.
    pub(crate) fn place(&self) -> String {
        let url = self.url.expose();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut host = host.to_ascii_lowercase();
        let port = match (self.kind, scheme) {
            (SinkKind::Postgres, _) => "5432",
            (SinkKind::Redis, _) => "6379",
            (SinkKind::Elasticsearch, "https") => "443",
            (SinkKind::Elasticsearch, _) => "80",
        };
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        if !has_port {
            host = format!("{}:{port}", host.trim_end_matches(':'));
        }
        let path = match (self.kind, path.trim_matches('/')) {
            (SinkKind::Redis, "") => "0",
            (_, path) => path,
        };
        let schema = match self.kind {
            SinkKind::Postgres => self.schema.as_str(),
            _ => "",
        };
        format!("{} {host}/{path} {schema}", self.kind.name())
    }
}

const DEFAULT_SCHEMA: &str = "readside";

pub(crate) fn read_sink(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    base: &Path,
    findings: &mut Findings<'_>,
) -> ReadSink {
    const TYPE_HINT: &str = "`elasticsearch` (OpenSearch too), `redis` or `postgres`";
    let kind = if section.value("type").is_some() {
        section.parsed(findings, "type", TYPE_HINT, str::parse::<SinkKind>)
    } else {
        section.required(findings, "type", TYPE_HINT);
        None
    };
    let example = match kind {
        Some(SinkKind::Redis) => "such as \"redis://cache:6379\"",
        Some(SinkKind::Postgres) => "such as \"postgres://readside@warehouse/reports\"",
        _ => "such as \"https://search:9200\"",
    };
    let url = section.required(findings, "url", example);
    if let (Some(kind), Some(url)) = (kind, &url)
        && check_scheme(kind, url, example, findings)
        && kind == SinkKind::Postgres
    {
        super::parse_connection(url, findings);
    }
    let username = section.text(findings, "username");
    let password = read_secret(section, "password", surroundings, base, findings);
    let api_key = read_secret(section, "api_key", surroundings, base, findings);
    let ca = section.text(findings, "ca").map(|f| base.join(f.value));
    let schema = section.text(findings, "schema");
    only_for(kind, SinkKind::Elasticsearch, "api_key", section, findings);
    only_for(kind, SinkKind::Postgres, "schema", section, findings);
    if let Some(found) = section.value("api_key")
        && (section.value("username").is_some() || section.value("password").is_some())
    {
        found.refuse(
            findings,
            "stands beside `username` or `password`",
            Some("keep one of the two".to_owned()),
        );
    }
    if let (Some(ca), Some(found)) = (&ca, section.value("ca"))
        && let Err(error) = std::fs::File::open(ca)
    {
        let message = format!("`{}` can't be read: {error}", ca.display());
        found.refuse(findings, message, None);
    }
    if let Some(schema) = &schema
        && (schema.value.len() > 63 || schema.value.starts_with("pg_"))
    {
        let message = format!("`{}` can't be a schema's name", schema.value);
        schema.refuse(findings, message, None);
    }
    let config = kind.zip(url).map(|(kind, url)| SinkConfig {
        kind,
        url: Address::new(url.value),
        username: username.map(|f| f.value.to_owned()),
        password,
        api_key,
        ca,
        schema: schema.map_or_else(|| DEFAULT_SCHEMA.to_owned(), |s| s.value.to_owned()),
    });
    if let Some(config) = &config
        && config.url.holds_password()
    {
        findings.warn(format!(
            "`{}.url` holds a password; prefer `password` with {{ env = \"…\" }}",
            section.path()
        ));
    }
    ReadSink { kind, config }
}

fn check_scheme(
    kind: SinkKind,
    url: &Found<&str>,
    example: &str,
    findings: &mut Findings<'_>,
) -> bool {
    let schemes = kind.schemes();
    let fits = match url.value.split_once("://") {
        Some((scheme, rest)) => schemes.contains(&scheme) && !rest.is_empty(),
        None => kind == SinkKind::Postgres && url.value.contains('='),
    };
    if !fits {
        url.refuse(
            findings,
            format!("is not a URL of {} sink", article(kind)),
            Some(example.to_owned()),
        );
        return false;
    }
    true
}

fn article(kind: SinkKind) -> String {
    match kind {
        SinkKind::Elasticsearch => "an elasticsearch".to_owned(),
        other => format!("a {}", other.name()),
    }
}

fn only_for(
    kind: Option<SinkKind>,
    owner: SinkKind,
    key: &str,
    section: &Section<'_>,
    findings: &mut Findings<'_>,
) {
    if let (Some(kind), Some(found)) = (kind, section.value(key))
        && kind != owner
    {
        let message = format!("means nothing to {} sink", article(kind));
        found.refuse(
            findings,
            message,
            Some(format!("it belongs to type = \"{}\"", owner.name())),
        );
    }
}

//! `[views.NAME]`: a query, and where its rows go.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ReadSink;
use super::problem::Findings;
use super::quantity::{DURATION_HINT, parse_duration};
use super::section::{Found, Section, nearest, quoted};
use super::sink::SinkKind;

const LAG_MAX: Duration = Duration::from_secs(60);

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewConfig {
    /// Its name.
    pub name: String,
    /// The file of its query.
    pub query_file: PathBuf,
    /// The text of that file.
    pub sql: String,
    /// Where its rows go; at least one, each sink once.
    pub into: Vec<ViewSinkConfig>,
    /// How old its oldest invisible change may be before `/readyz` says no.
    pub lag_max: Duration,
    /// What becomes of the last good copy of a row that has no value any more, or that the sink refuses.
    pub on_error: OnError,
}

/// Where a view's rows go in one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSinkConfig {
    /// The sink's name.
    pub sink: String,
    /// The place in it.
    pub place: Place,
    /// A mapping that overrides the derived one, as JSON text (Elasticsearch).
    pub mapping: Option<String>,
}

/// A place in a sink, by the sink's kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An alias over indexes.
    Index(String),
    /// A key for each row. `None`: the view's name, `:` and the key text.
    Key(Option<KeyTemplate>),
    /// A table.
    Table(String),
}

/// What becomes of the last good copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is removed, so that no reader takes it for the truth.
    #[default]
    Remove,
    /// It stays.
    Keep,
}

impl std::str::FromStr for OnError {
    type Err = UnknownOnError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "remove" => Ok(OnError::Remove),
            "keep" => Ok(OnError::Keep),
            _ => Err(UnknownOnError(s.to_owned())),
        }
    }
}

/// Neither of the two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `remove` nor `keep`")]
pub struct UnknownOnError(String);

/// A Redis key with column names in braces: `order:{id}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyTemplate {
    text: String,
    parts: Vec<TemplatePart>,
}

/// A piece of a [`KeyTemplate`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum TemplatePart {
    /// Text as it stands.
    Text(String),
    /// The key part that this output column shows.
    Column(String),
}

/// A text that is not a key template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}`, or the other way round.
    #[error("`{0}` has a brace without its partner")]
    Braces(String),
    /// `{}`
    #[error("`{0}` has empty braces")]
    Empty(String),
    /// A column twice.
    #[error("`{0}` has a column twice")]
    Twice(String),
    /// Two columns without anything between them, so that `1` and `23` would be the same key as `12` and `3`.
    #[error("`{0}` has two columns with no text between them")]
    Adjacent(String),
    /// The key space that markers live in.
    #[error("`{0}` begins with `readside:`, which is where markers are kept")]
    Reserved(String),
}

const TEMPLATE_HINT: &str = "a key looks like `order:{id}`, with the view's key columns in braces";

impl KeyTemplate {
    /// Reads a template: `{column}`; `{{` and `}}` stand for braces. Whether its columns are the view's key is known only once the
    /// view has been compiled.
    ///
    /// # Errors
    /// Braces that don't pair, empty ones, a column twice, two columns that touch, or the key space of markers.
    pub fn parse(text: &str) -> Result<KeyTemplate, TemplateError> {
        let template = || text.to_owned();
        let mut parts: Vec<TemplatePart> = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '}' => return Err(TemplateError::Braces(template())),
                '{' => {
                    let mut column = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some('{') | None => return Err(TemplateError::Braces(template())),
                            Some(c) => column.push(c),
                        }
                    }
                    if column.is_empty() {
                        return Err(TemplateError::Empty(template()));
                    }
                    if literal.is_empty() {
                        if matches!(parts.last(), Some(TemplatePart::Column(_))) {
                            return Err(TemplateError::Adjacent(template()));
                        }
                    } else {
                        parts.push(TemplatePart::Text(std::mem::take(&mut literal)));
                    }
                    let column = TemplatePart::Column(column);
                    if parts.contains(&column) {
                        return Err(TemplateError::Twice(template()));
                    }
                    parts.push(column);
                }
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Text(literal));
        }
        if text.starts_with("readside:") {
            return Err(TemplateError::Reserved(template()));
        }
        Ok(KeyTemplate {
            text: template(),
            parts,
        })
    }

    /// Its columns in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Column(column) => Some(column.as_str()),
            TemplatePart::Text(_) => None,
        })
    }

    /// The template with its columns' names taken out: equal shapes mean the same keys.
    fn shape(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                TemplatePart::Column(_) => "{}",
                TemplatePart::Text(text) => text.as_str(),
            })
            .collect()
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ViewSinkConfig {
    /// The place as `readside_sink::ViewTarget::location` wants it.
    #[must_use]
    pub fn location(&self) -> String {
        match &self.place {
            Place::Index(name) | Place::Table(name) => name.clone(),
            Place::Key(Some(template)) => template.to_string(),
            // Empty, as for every view without a template: the sink knows its own default.
            Place::Key(None) => String::new(),
        }
    }
}

/// Which places are taken, and by which view: by kind, server, schema and place.
pub(crate) type Taken = BTreeMap<(SinkKind, String, String, String), String>;

pub(crate) fn read_view(
    name: &str,
    section: &Section<'_>,
    sinks: &BTreeMap<String, ReadSink>,
    base: &Path,
    taken: &mut Taken,
    findings: &mut Findings<'_>,
) -> Option<ViewConfig> {
    let query = section.required(findings, "query", "the file that holds its SELECT");
    let query_file = query.as_ref().map(|f| base.join(f.value));
    let sql = query
        .as_ref()
        .and_then(|found| read_text(found, base, findings));
    let lag_max = section.parsed(findings, "lag_max", DURATION_HINT, parse_duration);
    let on_error = section.parsed(
        findings,
        "on_error",
        "`remove` takes the last good copy away, `keep` leaves it",
        str::parse::<OnError>,
    );
    let mut into = Vec::new();
    match section.value("into") {
        None => section.refuse(
            findings,
            "says nowhere to write: `into` is missing",
            Some(format!(
                "into = [{{ sink = \"…\" }}]; the sinks are {}",
                quoted(&sinks.keys().collect::<Vec<_>>())
            )),
        ),
        Some(found) => {
            let elements = found.elements(findings);
            if elements.is_empty() && found.value.is_array() {
                found.refuse(
                    findings,
                    "is empty",
                    Some("into = [{ sink = \"…\" }]".to_owned()),
                );
            }
            for element in elements {
                if let Some(section) = element.section(findings) {
                    let read = read_into(name, &section, sinks, base, taken, findings);
                    section.finish(findings);
                    if let Some(read) = read {
                        if into.iter().any(|i: &ViewSinkConfig| i.sink == read.sink) {
                            element.refuse(
                                findings,
                                format!("sink `{}` is named twice", read.sink),
                                Some(
                                    "a view has one place in each sink; write a second view"
                                        .to_owned(),
                                ),
                            );
                        }
                        into.push(read);
                    }
                }
            }
        }
    }
    Some(ViewConfig {
        name: name.to_owned(),
        query_file: query_file?,
        sql: sql?,
        into,
        lag_max: lag_max.unwrap_or(LAG_MAX),
        on_error: on_error.unwrap_or_default(),
    })
}

fn read_text(found: &Found<&str>, base: &Path, findings: &mut Findings<'_>) -> Option<String> {
    let path = base.join(found.value);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let message = format!("`{}` can't be read: {error}", path.display());
            found.refuse(
                findings,
                message,
                Some("paths are relative to this file".to_owned()),
            );
            None
        }
    }
}

fn read_into(
    view: &str,
    section: &Section<'_>,
    sinks: &BTreeMap<String, ReadSink>,
    base: &Path,
    taken: &mut Taken,
    findings: &mut Findings<'_>,
) -> Option<ViewSinkConfig> {
    let names: Vec<&str> = sinks.keys().map(String::as_str).collect();
    let hint = format!("the sinks are {}", quoted(&names));
    let sink = section.required(findings, "sink", &hint);
    let index = section.text(findings, "index");
    let key = section.text(findings, "key");
    let table = section.text(findings, "table");
    let mapping_file = section.text(findings, "mapping");
    let mapping = mapping_file
        .as_ref()
        .and_then(|found| read_mapping(found, base, findings));
    let sink = sink?;
    let Some(read) = sinks.get(sink.value) else {
        let hint = match nearest(sink.value, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => hint,
        };
        sink.refuse(
            findings,
            format!("there is no sink `{}`", sink.value),
            Some(hint),
        );
        return None;
    };
    let kind = read.kind?;
    let own = match kind {
        SinkKind::Elasticsearch => "index",
        SinkKind::Redis => "key",
        SinkKind::Postgres => "table",
    };
    for (name, found) in [("index", &index), ("key", &key), ("table", &table)] {
        if let Some(found) = found
            && name != own
        {
            found.refuse(
                findings,
                format!("means nothing to the {} sink `{}`", kind.name(), sink.value),
                Some(format!("its places are named by `{own}`")),
            );
        }
    }
    if let Some(found) = &mapping_file
        && kind != SinkKind::Elasticsearch
    {
        let message = format!("means nothing to the {} sink `{}`", kind.name(), sink.value);
        found.refuse(findings, message, None);
    }
    let (place, shape) = match kind {
        SinkKind::Elasticsearch => {
            let name = index.as_ref().map_or(view, |f| f.value);
            if let Some(problem) = index_problem(name) {
                refuse_place(section, index.as_ref(), "index", name, problem, findings);
            }
            (Place::Index(name.to_owned()), name.to_owned())
        }
        SinkKind::Postgres => {
            let name = table.as_ref().map_or(view, |f| f.value);
            if let Some(problem) = table_problem(name) {
                refuse_place(section, table.as_ref(), "table", name, problem, findings);
            }
            (Place::Table(name.to_owned()), name.to_owned())
        }
        SinkKind::Redis => match &key {
            None => (Place::Key(None), format!("{view}:{{}}")),
            Some(found) => match KeyTemplate::parse(found.value) {
                Ok(template) => {
                    let shape = template.shape();
                    (Place::Key(Some(template)), shape)
                }
                Err(error) => {
                    found.refuse(findings, error.to_string(), Some(TEMPLATE_HINT.to_owned()));
                    return None;
                }
            },
        },
    };
    if let Some(config) = &read.config {
        let server = config.url.expose().trim_end_matches('/').to_owned();
        let slot = (kind, server, config.schema.clone(), shape.clone());
        match taken.get(&slot) {
            Some(other) if other != view => section.refuse(
                findings,
                format!(
                    "{own} `{shape}` of sink `{}` is taken by the view `{other}`",
                    sink.value
                ),
                Some(format!("give each view a `{own}` of its own")),
            ),
            Some(_) => {}
            None => {
                taken.insert(slot, view.to_owned());
            }
        }
    }
    Some(ViewSinkConfig {
        sink: sink.value.to_owned(),
        place,
        mapping,
    })
}

fn read_mapping(found: &Found<&str>, base: &Path, findings: &mut Findings<'_>) -> Option<String> {
    let text = read_text(found, base, findings)?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            let message = format!("`{}` is not a JSON object: {error}", found.value);
            found.refuse(findings, message, None);
            None
        }
    }
}

fn refuse_place(
    section: &Section<'_>,
    found: Option<&Found<&str>>,
    key: &str,
    name: &str,
    problem: &str,
    findings: &mut Findings<'_>,
) {
    let message = format!(
        "`{name}` can't name {key} here: {problem}",
        key = match key {
            "index" => "an index",
            _ => "a table",
        }
    );
    match found {
        Some(found) => found.refuse(findings, message, None),
        // The view's own name, which was not chosen for this.
        None => section.refuse(findings, message, Some(format!("set `{key}`"))),
    }
}

/// Elasticsearch's rules for index names, with room for the generation.
fn index_problem(name: &str) -> Option<&'static str> {
    if name.chars().any(char::is_uppercase) {
        Some("it has upper-case letters")
    } else if name.starts_with(['-', '_', '+', '.']) {
        Some("it begins with `-`, `_`, `+` or `.`")
    } else if name.contains(['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':']) {
        Some("it has one of \\ / * ? \" < > | , # : or a blank")
    } else if name.len() > 200 {
        Some("it is longer than 200 bytes")
    } else {
        None
    }
}

fn table_problem(name: &str) -> Option<&'static str> {
    if name.len() > 63 {
        Some("it is longer than 63 bytes")
    } else if name.starts_with("_readside_") {
        Some("`_readside_` is where markers are kept")
    } else if name.contains(['.', '\0']) {
        Some("it has a dot; the schema belongs to the sink")
    } else {
        None
    }
}

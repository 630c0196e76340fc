//! What can be wrong with a dashboard or a rule without asking anyone.
//!
//! In: a dashboard's JSON, expressions, a runbook's text. Out: what is wrong, one sentence each; the metrics and labels that an
//! expression uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// Suffixes that a histogram's series have.
const HISTOGRAM: [&str; 3] = ["_bucket", "_count", "_sum"];
/// Words that are no metrics.
const WORDS: [&str; 11] = [
    "and", "or", "unless", "bool", "offset", "inf", "nan", "ignoring", "on", "by", "without",
];
/// Words before a bracket that holds labels.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// What an expression speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Metrics, as written.
    pub metrics: BTreeSet<String>,
    /// Labels, in matchers and groupings.
    pub labels: BTreeSet<String>,
}

/// Reads an expression just far enough.
#[must_use]
pub fn mentioned(expression: &str) -> Mentioned {
    let mut out = Mentioned::default();
    let mut rest = expression;
    let mut last_word = String::new();
    // What encloses this place: `{`, `[`, `(`, or `l` for a bracket that holds labels.
    let mut within: Vec<char> = Vec::new();
    while let Some(c) = rest.chars().next() {
        let inside = within.last().copied();
        if c == '"' || c == '\'' {
            let body = &rest[1..];
            let mut escaped = false;
            let end = body.find(|d| {
                let ends = d == c && !escaped;
                escaped = d == '\\' && !escaped;
                ends
            });
            rest = end.map_or("", |end| &body[end + 1..]);
        } else if c.is_ascii_alphabetic() || c == '_' || c == ':' || c == '$' {
            let word: String = rest
                .chars()
                .take_while(|d| d.is_ascii_alphanumeric() || matches!(d, '_' | ':' | '$'))
                .collect();
            rest = &rest[word.len()..];
            let next = rest.trim_start().chars().next();
            match inside {
                Some('{' | 'l') => {
                    out.labels.insert(word.clone());
                }
                Some('[') => {}
                _ if word.starts_with('$') => {}
                _ if WORDS.contains(&word.to_lowercase().as_str()) => {}
                // A function, or an aggregation with its grouping in front.
                _ if next == Some('(') || GROUPING.contains(&word.as_str()) => {}
                _ if rest.trim_start().starts_with("by ")
                    || rest.trim_start().starts_with("without ") => {}
                _ => {
                    out.metrics.insert(word.clone());
                }
            }
            last_word = word;
            continue;
        } else if c.is_ascii_digit() {
            // A number or a duration, whose unit is no metric.
            rest = rest.trim_start_matches(|d: char| d.is_ascii_alphanumeric() || d == '.');
        } else {
            match c {
                '(' if GROUPING.contains(&last_word.as_str()) => within.push('l'),
                '(' | '{' | '[' => within.push(c),
                ')' | '}' | ']' => {
                    within.pop();
                }
                _ => {}
            }
            rest = &rest[c.len_utf8()..];
        }
        if !c.is_whitespace() {
            last_word.clear();
        }
    }
    out
}

/// A dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The file's name.
    pub file: String,
    json: Value,
}

/// A panel that asks something.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// Its expressions, each with the legend that names its labels.
    pub targets: Vec<(String, String)>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its query, if it has one: `label_values(metric, label)`.
    pub query: Option<(String, String)>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The directory with the dashboards that are shipped.
#[must_use]
pub fn shipped() -> PathBuf {
    workspace().join("dashboards")
}

/// All dashboards that are shipped.
pub fn read_all() -> Result<Vec<Dashboard>> {
    let dir = shipped().join("grafana");
    let mut paths: Vec<PathBuf> = fs::read_dir(&dir)
        .with_context(|| format!("read `{}`", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Dashboard> {
    let what = || format!("read `{}`", path.display());
    let json = fs::read_to_string(path).with_context(what)?;
    Ok(Dashboard {
        file: path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        json: serde_json::from_str(&json).with_context(what)?,
    })
}

/// The anchors of a text's headings, as they are made from Markdown.
#[must_use]
pub fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut out = BTreeSet::new();
    for line in markdown.lines() {
        if line.starts_with("```") {
            code = !code;
        }
        let heading = line.trim_start_matches('#');
        if code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        out.insert(
            heading
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect(),
        );
    }
    out
}

/// What there is to refer to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Metrics, recorded ones included.
    pub metrics: BTreeSet<String>,
    /// Dashboards.
    pub uids: BTreeSet<String>,
    /// Sections of the runbook.
    pub anchors: BTreeSet<String>,
}

impl Known {
    /// Whether there is such a metric; a histogram's series count.
    #[must_use]
    pub fn has(&self, metric: &str) -> bool {
        self.metrics.contains(metric)
            || HISTOGRAM.iter().any(|suffix| {
                metric
                    .strip_suffix(suffix)
                    .is_some_and(|name| self.metrics.contains(name))
            })
    }
}

impl Dashboard {
    /// One made of JSON.
    pub fn parse(file: &str, json: &str) -> Result<Self> {
        Ok(Self {
            file: file.to_owned(),
            json: serde_json::from_str(json).context("parse a dashboard")?,
        })
    }

    /// Its identifier.
    #[must_use]
    pub fn uid(&self) -> &str {
        text(&self.json["uid"])
    }

    /// Its variables.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        list(&self.json["templating"]["list"])
            .map(|variable| Variable {
                name: text(&variable["name"]).to_owned(),
                query: text(&variable["query"]["query"])
                    .strip_prefix("label_values(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .and_then(|inner| inner.rsplit_once(','))
                    .map(|(metric, label)| (metric.trim().to_owned(), label.trim().to_owned())),
            })
            .collect()
    }

    /// Its panels, those within rows included.
    fn all_panels(&self) -> Vec<&Value> {
        list(&self.json["panels"])
            .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
            .collect()
    }

    /// Its panels that ask something.
    #[must_use]
    pub fn panels(&self) -> Vec<Panel> {
        self.all_panels()
            .into_iter()
            .filter(|panel| text(&panel["type"]) != "row")
            .map(|panel| Panel {
                title: text(&panel["title"]).to_owned(),
                targets: list(&panel["targets"])
                    .map(|t| {
                        (
                            text(&t["expr"]).to_owned(),
                            text(&t["legendFormat"]).to_owned(),
                        )
                    })
                    .collect(),
            })
            .collect()
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problems(&self, known: &Known) -> Vec<String> {
        let mut found = Vec::new();
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        let mut cells: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        let variables: BTreeSet<String> = self.variables().into_iter().map(|v| v.name).collect();
        for panel in self.all_panels() {
            let title = text(&panel["title"]);
            let kind = text(&panel["type"]);
            match panel["id"].as_u64() {
                None => found.push(format!("`{title}` has no id")),
                Some(id) if !ids.insert(id) => {
                    found.push(format!("`{title}`: id {id} is taken"));
                }
                Some(_) => {}
            }
            if title.is_empty() {
                found.push(format!("a {kind} has no title"));
            }
            let at = |field: &str| panel["gridPos"][field].as_u64().unwrap_or(0);
            let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
            if w == 0 || h == 0 || x + w > 24 {
                found.push(format!("`{title}` is off the grid"));
            }
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = cells.insert(cell, title) {
                    found.push(format!("`{title}` lies on `{other}`"));
                    break;
                }
            }
            if kind == "row" {
                continue;
            }
            if !titles.insert(title) {
                found.push(format!("`{title}` is there twice"));
            }
            if text(&panel["description"]).is_empty() {
                found.push(format!("`{title}` does not say what to do"));
            }
            if text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty() {
                found.push(format!("`{title}` has no unit"));
            }
            if panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                found.push(format!("`{title}` has no thresholds"));
            }
            if text(&panel["datasource"]["uid"]) != "${datasource}" {
                found.push(format!("`{title}` has a data source of its own"));
            }
            let mut refs = BTreeSet::new();
            let mut asked = 0;
            for target in list(&panel["targets"]) {
                let name = text(&target["refId"]);
                if name.is_empty() || !refs.insert(name) {
                    found.push(format!("`{title}`: the query `{name}` is there twice"));
                }
                let expression = text(&target["expr"]);
                found.extend(
                    unknown(expression, known)
                        .into_iter()
                        .map(|problem| format!("`{title}`: {problem}")),
                );
                asked += 1;
            }
            if asked == 0 {
                found.push(format!("`{title}` asks nothing"));
            }
        }
        for variable in self.variables() {
            if let Some((metric, _)) = &variable.query {
                found.extend(
                    unknown(metric, known)
                        .into_iter()
                        .map(|problem| format!("variable `{}`: {problem}", variable.name)),
                );
            }
        }
        let mut strings = Vec::new();
        collect(&self.json, &mut strings);
        for string in strings {
            for used in used_variables(string) {
                if !used.starts_with("__") && !variables.contains(&used) {
                    found.push(format!("there is no variable `{used}`"));
                }
            }
            if let Some(uid) = string
                .strip_prefix("/d/")
                .and_then(|rest| rest.split(['?', '/']).next())
                && !known.uids.contains(uid)
            {
                found.push(format!("there is no dashboard `{uid}`"));
            }
            if let Some((_, anchor)) = string.split_once("RUNBOOK.md#")
                && !anchor.contains('$')
                && !known.anchors.contains(anchor)
            {
                found.push(format!("the runbook has no section `{anchor}`"));
            }
        }
        found
    }
}

/// What an expression uses that does not exist.
#[must_use]
pub fn unknown(expression: &str, known: &Known) -> Vec<String> {
    let metrics = mentioned(expression).metrics;
    if metrics.is_empty() {
        return vec![format!("`{expression}` asks for no metric")];
    }
    metrics
        .iter()
        .filter(|metric| !known.has(metric))
        .map(|metric| format!("there is no metric `{metric}`"))
        .collect()
}

/// Variables in a text: `$name`, `${name}`, `${name:format}`.
fn used_variables(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        let body = after.strip_prefix('{').unwrap_or(after);
        let name: String = body
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        // `${__value}` and the like are the field's own, and `$1` is none.
        if name.chars().next().is_some_and(|c| !c.is_ascii_digit()) {
            out.push(name);
        }
        rest = body;
    }
    out
}

fn collect<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn metrics_and_labels_are_told_from_everything_else() {
        for (expression, metrics, labels) in [
            ("up", &["up"][..], &[][..]),
            (
                r#"sum by (view, sink) (rate(readside_a_total{outcome=~"x|y",instance="$instance"}[$__rate_interval])) > 0"#,
                &["readside_a_total"],
                &["view", "sink", "outcome", "instance"],
            ),
            (
                "a:b:c > bool on (job, instance) group_left (version) (min without (x) (d) / 2) unless e offset 5m",
                &["a:b:c", "d", "e"],
                &["job", "instance", "version", "x"],
            ),
            (
                r#"histogram_quantile(0.99, rate(h_bucket{le!="a\"b{c}"}[5m])) and m == +Inf or time() * 1e3 > 4h"#,
                &["h_bucket", "m"],
                &["le"],
            ),
            ("(s == 0)\n  or (s < +Inf) / (s + r)", &["s", "r"], &[]),
        ] {
            let found = mentioned(expression);
            assert_eq!(found.metrics, set(metrics), "{expression}");
            assert_eq!(found.labels, set(labels), "{expression}");
        }
    }

    fn panel(id: u64, title: &str, x: u64, expression: &str) -> String {
        format!(
            r#"{{"id": {id}, "title": "{title}", "type": "stat", "description": "d", "datasource": {{"uid": "${{datasource}}"}},
                "gridPos": {{"x": {x}, "y": 0, "w": 6, "h": 4}},
                "fieldConfig": {{"defaults": {{"unit": "s", "thresholds": {{"steps": [{{"value": null}}]}}}}}},
                "targets": [{{"refId": "A", "expr": "{expression}"}}]}}"#
        )
    }

    fn problems(panels: &[String]) -> Vec<String> {
        let json = format!(
            r#"{{"uid": "u", "templating": {{"list": [
                {{"name": "datasource", "type": "datasource", "query": "prometheus"}},
                {{"name": "view", "query": {{"query": "label_values(good, view)"}}}}]}}, "panels": [{}]}}"#,
            panels.join(",")
        );
        let known = Known {
            metrics: set(&["good", "hist"]),
            uids: set(&["u"]),
            anchors: set(&["section"]),
        };
        Dashboard::parse("test.json", &json)
            .expect("a dashboard")
            .problems(&known)
    }

    #[test]
    fn a_good_dashboard_has_no_problems() {
        let found = problems(&[
            panel(1, "one", 0, "good{view=~'$view'}"),
            panel(2, "two", 6, "rate(hist_bucket[5m])"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_fault_of_a_dashboard_is_found() {
        let one = panel(1, "one", 0, "good");
        for (panels, problem) in [
            (
                vec![one.clone(), panel(1, "two", 6, "good")],
                "`two`: id 1 is taken",
            ),
            (vec![panel(1, "one", 20, "good")], "`one` is off the grid"),
            (
                vec![one.clone(), panel(2, "two", 5, "good")],
                "`two` lies on `one`",
            ),
            (
                vec![one.clone(), panel(2, "one", 6, "good")],
                "`one` is there twice",
            ),
            (
                vec![panel(1, "one", 0, "godo")],
                "`one`: there is no metric `godo`",
            ),
            (
                vec![panel(1, "one", 0, "good_bucketful")],
                "`one`: there is no metric `good_bucketful`",
            ),
            (
                vec![panel(1, "one", 0, "vector(1)")],
                "`one`: `vector(1)` asks for no metric",
            ),
            (
                vec![panel(1, "one", 0, "good{view='$veiw'}")],
                "there is no variable `veiw`",
            ),
            (
                vec![one.replace("\"d\"", "\"\"")],
                "`one` does not say what to do",
            ),
            (
                vec![one.replace("\"unit\": \"s\", ", "")],
                "`one` has no unit",
            ),
            (
                vec![one.replace("{\"value\": null}", "")],
                "`one` has no thresholds",
            ),
            (
                vec![one.replace("${datasource}", "x")],
                "`one` has a data source of its own",
            ),
            (vec![one.replace("\"id\": 1,", "")], "`one` has no id"),
            (
                vec![one.replace("\"d\"", "\"/d/nowhere?x\"")],
                "there is no dashboard `nowhere`",
            ),
            (
                vec![one.replace("\"d\"", "\"RUNBOOK.md#nothing\"")],
                "the runbook has no section `nothing`",
            ),
            (
                vec![one.replace("\"targets\"", "\"t\"")],
                "`one` asks nothing",
            ),
        ] {
            assert_eq!(problems(&panels), vec![problem.to_owned()]);
        }
    }

    #[test]
    fn headings_become_anchors() {
        let text =
            "# Runbook: what to do\n## ReadsideSinkDown\n```sh\n# not this\n```\n#nor this\n";
        assert_eq!(
            anchors(text),
            set(&["runbook-what-to-do", "readsidesinkdown"])
        );
    }
}

//! What can be wrong with a dashboard or a rule without asking anyone.
//!
//! In: a dashboard's JSON, expressions, a runbook's text. Out: what is wrong, one sentence each; the metrics and labels that an
//! expression uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{prometheus, workspace};

mod expression;
mod live;

pub use expression::{Known, Mentioned, mentioned, unknown};
pub use live::{answered, check_everything};

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

/// The runbook that is shipped.
pub fn runbook() -> Result<String> {
    let path = shipped().join("RUNBOOK.md");
    fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))
}

/// The runbook's SQL, in blocks.
pub fn runbook_sql() -> Result<Vec<String>> {
    let text = runbook()?;
    Ok(text
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(sql, _)| sql.to_owned())
        .collect())
}

/// All that dashboards, rules and alerts may refer to.
pub fn known() -> Result<Known> {
    let mut metrics: BTreeSet<String> = readside_telemetry::ALL
        .iter()
        .chain(&["up", "ALERTS"])
        .map(|name| (*name).to_owned())
        .collect();
    let recording = prometheus::rule_file("recording.yml")?;
    metrics.extend(prometheus::values(&recording, "record").map(str::to_owned));
    Ok(Known {
        metrics,
        uids: read_all()?.iter().map(|d| d.uid().to_owned()).collect(),
        anchors: anchors(&runbook()?),
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

//! Whether a running Prometheus has answers.
//!
//! In: the dashboards that are shipped, the rules that are loaded. Out: an error with the first place that has no answer, or that uses
//! a label which nothing has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Dashboard, known, mentioned, read_all, unknown};
use crate::prometheus::Prometheus;
use crate::until;

/// Puts values into an expression in place of a dashboard's variables.
fn filled_in(expression: &str, variables: &BTreeMap<String, String>) -> String {
    let mut text = expression
        .replace("$__rate_interval", "10s")
        .replace("$__range", "1m");
    for (name, value) in variables {
        text = text.replace(&format!("${{{name}}}"), value);
        text = text.replace(&format!("${name}"), value);
    }
    text
}

/// Labels that a text with `{{label}}` or `{{ $labels.label }}` names.
fn templated(text: &str) -> BTreeSet<String> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
        .map(|(inside, _)| inside.trim())
        .filter_map(|inside| match inside.strip_prefix("$labels.") {
            Some(label) => Some(label),
            None => (!inside.contains('$')).then_some(inside),
        })
        .map(str::to_owned)
        .collect()
}

/// As [`answered`], soon: some facts are asked for every few seconds only.
async fn check_expression(
    prometheus: &Prometheus,
    place: &str,
    expression: &str,
    named: &str,
    may_be_empty: bool,
) -> Result<()> {
    let what = format!("{place}: `{expression}`");
    until(&what, Duration::from_secs(20), || {
        answered(prometheus, expression, named, may_be_empty)
    })
    .await
}

/// Fails unless an expression has an answer, uses no label that its metrics don't have, and each series of the answer has the labels
/// that `named` (a legend) names.
pub async fn answered(
    prometheus: &Prometheus,
    expression: &str,
    named: &str,
    may_be_empty: bool,
) -> Result<()> {
    let found = mentioned(expression);
    let mut labels: BTreeSet<String> = BTreeSet::new();
    for metric in &found.metrics {
        let of_metric = prometheus.labels_of(metric).await?;
        ensure!(
            !of_metric.is_empty() || may_be_empty,
            "`{metric}` has no series"
        );
        labels.extend(of_metric.into_keys());
    }
    let samples = prometheus.query(expression).await?;
    if may_be_empty && labels.is_empty() {
        // Nothing of it exists now; that it can be evaluated is all that can be said.
        return Ok(());
    }
    for label in &found.labels {
        ensure!(labels.contains(label), "no metric has a label `{label}`");
    }
    ensure!(may_be_empty || !samples.is_empty(), "there is no answer");
    for sample in &samples {
        ensure!(
            may_be_empty || !sample.value.is_nan(),
            "the answer is not a number"
        );
        for label in templated(named) {
            ensure!(
                sample.labels.contains_key(&label),
                "`{named}` names `{label}`, and there is {:?}",
                sample.labels
            );
        }
    }
    Ok(())
}

async fn check_dashboard(prometheus: &Prometheus, board: &Dashboard, empty: &[&str]) -> Result<()> {
    let mut chosen = BTreeMap::new();
    for variable in board.variables() {
        let Some((metric, label)) = &variable.query else {
            continue;
        };
        let labels = prometheus.labels_of(&filled_in(metric, &chosen)).await?;
        let value = labels
            .get(label)
            .and_then(|values| values.first())
            .with_context(|| format!("variable `{}` has no value", variable.name))?;
        chosen.insert(variable.name, value.clone());
    }
    for panel in board.panels() {
        let place = format!("panel `{}`", panel.title);
        for (expression, legend) in &panel.targets {
            let expression = filled_in(expression, &chosen);
            let may_be_empty = empty.iter().any(|part| expression.contains(part));
            let legend = if legend == "__auto" { "" } else { legend };
            check_expression(prometheus, &place, &expression, legend, may_be_empty).await?;
        }
    }
    Ok(())
}

/// Fails unless every variable and panel of every dashboard and every rule has an answer; alerts, and expressions with one of the parts
/// in `empty`, may have none.
pub async fn check_everything(prometheus: &Prometheus, empty: &[&str]) -> Result<()> {
    for board in read_all()? {
        check_dashboard(prometheus, &board, empty)
            .await
            .with_context(|| format!("`{}`", board.file))?;
    }
    let known = known()?;
    for rule in prometheus.rules().await? {
        let place = format!("rule `{}`", rule.name);
        ensure!(rule.error.is_none(), "{place}: {:?}", rule.error);
        let problems = unknown(&rule.query, &known);
        ensure!(problems.is_empty(), "{place}: {}", problems.join(", "));
        let may_be_empty = rule.alert || empty.iter().any(|part| rule.query.contains(part));
        check_expression(prometheus, &place, &rule.query, "", may_be_empty).await?;
    }
    Ok(())
}

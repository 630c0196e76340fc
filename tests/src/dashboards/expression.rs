//! What an expression speaks of, and whether that exists.

use std::collections::BTreeSet;

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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(found.metrics, names(metrics), "{expression}");
            assert_eq!(found.labels, names(labels), "{expression}");
        }
    }

    fn names(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

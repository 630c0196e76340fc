//! `check`: every problem of configuration, source, sinks and views at once, with the SQL that mends it.

use std::collections::BTreeMap;
use std::time::Duration;

use readside_model::Catalog;
use readside_plan::Plan;
use readside_sink::SinkError;
use readside_source::{Remedy, Severity, SourceError, SqlClient};
use serde::Serialize;

use super::surroundings;
use crate::cli::{CheckArgs, Global};
use crate::config::{Config, ConfigError};
use crate::exit::{DONE, Failure, NOT_SO, REFUSED, UNREACHABLE};
use crate::output::{Output, Tone};
use crate::{sinks, view};

/// For one sink to answer.
const SINK_TIMEOUT: Duration = Duration::from_secs(20);

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    /// Configuration or SQL that can't be used.
    Refused,
    /// Somebody does not answer.
    Unreachable,
    /// It does not work as it is.
    Error,
    /// It works, but should be known.
    Warning,
    /// Worth knowing.
    Note,
}

/// One problem.
#[derive(Debug, Clone, Serialize)]
struct Problem {
    grade: Grade,
    /// `configuration`, `source`, `sink cache`, `view orders`.
    about: String,
    message: String,
    /// What mends it, if it is SQL.
    sql: Option<String>,
}

/// Gathers problems.
#[derive(Debug, Default, Serialize)]
struct Report {
    problems: Vec<Problem>,
}

impl Report {
    fn add(&mut self, grade: Grade, about: impl Into<String>, message: impl ToString) {
        self.problems.push(Problem {
            grade,
            about: about.into(),
            message: message.to_string(),
            sql: None,
        });
    }

    fn code(&self) -> u8 {
        let any = |grade| self.problems.iter().any(|p| p.grade == grade);
        if any(Grade::Refused) {
            REFUSED
        } else if any(Grade::Unreachable) {
            UNREACHABLE
        } else if any(Grade::Error) {
            NOT_SO
        } else {
            DONE
        }
    }

    fn source_error(&mut self, error: &SourceError) {
        let grade = match error.remedy() {
            Remedy::Retry => Grade::Unreachable,
            Remedy::Operator | Remedy::Resynchronise => Grade::Error,
        };
        self.add(grade, "source", error);
    }
}

/// The exit code; everything has been printed.
pub(crate) async fn check(
    global: &Global,
    args: &CheckArgs,
    output: &Output,
) -> Result<u8, Failure> {
    let mut report = Report::default();
    match Config::load(&global.config_file(), &surroundings(global, !args.offline)) {
        Ok(config) => {
            for warning in &config.warnings {
                report.add(Grade::Warning, "configuration", warning);
            }
            if args.offline {
                syntax(&config, &mut report);
            } else {
                everything(&config, &mut report).await;
            }
        }
        Err(ConfigError::Invalid(problems)) => {
            for problem in problems.list {
                let one = crate::config::Problems {
                    file: problems.file.clone(),
                    list: vec![problem],
                };
                report.add(Grade::Refused, "configuration", one);
            }
        }
        Err(error @ ConfigError::Unreadable { .. }) => {
            report.add(Grade::Refused, "configuration", error);
        }
    }
    tell(&report, args, output);
    Ok(report.code())
}

fn syntax(config: &Config, report: &mut Report) {
    for view in config.views.values() {
        if let Err(refusal) = readside_sql::check_syntax(&view.name, &view.sql) {
            report.add(Grade::Refused, format!("view {}", view.name), refusal);
        }
    }
}

async fn everything(config: &Config, report: &mut Report) {
    match source(config, report).await {
        Ok(()) => {}
        Err(error) => {
            report.source_error(&error);
            // Without a catalog, that much can still be said.
            syntax(config, report);
        }
    }
    for (name, sink) in &config.sinks {
        let about = format!("sink {name}");
        let checked = match sinks::build(name, sink, "check", "check") {
            Ok(sink) => match tokio::time::timeout(SINK_TIMEOUT, sink.check()).await {
                Ok(checked) => checked,
                Err(_) => Err(SinkError::Unavailable(format!(
                    "sink `{name}` did not answer within {} s",
                    SINK_TIMEOUT.as_secs()
                ))),
            },
            Err(error) => Err(error),
        };
        match checked {
            Ok(warnings) => {
                for warning in warnings {
                    report.add(Grade::Warning, about.clone(), warning);
                }
            }
            Err(error) => {
                let grade = match error {
                    SinkError::Unavailable(_) => Grade::Unreachable,
                    SinkError::Fenced(_) | SinkError::Operator { .. } | SinkError::Lost(_) => {
                        Grade::Error
                    }
                };
                report.add(grade, about, error);
            }
        }
    }
}

async fn source(config: &Config, report: &mut Report) -> Result<(), SourceError> {
    let client = readside_source::connect_sql(&config.source.connection).await?;
    let catalog = readside_source::load_catalog(&client).await?;
    let (plans, refusals) = view::compile_all(config, &catalog);
    for refusal in refusals {
        report.add(Grade::Refused, "views", refusal);
    }
    for (name, plan) in &plans {
        for warning in &plan.warnings {
            report.add(
                Grade::Warning,
                format!("view {name}"),
                format!("view `{name}`: {warning}"),
            );
        }
    }
    describe(&client, &catalog, &plans, report).await;
    let tables: Vec<u32> = view::tables_of(plans.values()).into_iter().collect();
    let findings = readside_source::check(
        &client,
        &tables,
        &config.source.publication,
        &config.source.slot,
    )
    .await?;
    for finding in findings {
        report.problems.push(Problem {
            grade: match finding.severity {
                Severity::Error => Grade::Error,
                Severity::Warning => Grade::Warning,
                Severity::Note => Grade::Note,
            },
            about: "source".to_owned(),
            message: format!("{}: {}", finding.what, finding.reason),
            sql: finding.remedy_sql,
        });
    }
    Ok(())
}

/// Compares each plan's columns with what the source itself says of the query. A difference is a defect of readside, and the view must
/// not be run.
async fn describe(
    client: &SqlClient,
    catalog: &Catalog,
    plans: &BTreeMap<String, Plan>,
    report: &mut Report,
) {
    for (name, plan) in plans {
        if let Err(message) = view::described(client, catalog, plan).await {
            report.add(Grade::Refused, format!("view {name}"), message);
        }
    }
}

/// What stands in the way on the source, as SQL to run with the reasons as comments. Whether there was any.
pub(crate) async fn tell_source_obstacles(config: &Config, output: &Output) -> bool {
    let mut report = Report::default();
    if source(config, &mut report).await.is_err() {
        return false;
    }
    let mut told = false;
    for problem in &report.problems {
        if let (Grade::Error, Some(sql)) = (problem.grade, &problem.sql) {
            output.result(format_args!("-- {}\n{sql}", problem.message));
            told = true;
        }
    }
    told
}

fn tell(report: &Report, args: &CheckArgs, output: &Output) {
    if output.json {
        output.json_result(report);
        return;
    }
    for problem in &report.problems {
        let (word, tone) = match problem.grade {
            Grade::Refused | Grade::Error | Grade::Unreachable => ("error", Tone::Bad),
            Grade::Warning => ("warning", Tone::Warn),
            Grade::Note => ("note", Tone::Dim),
        };
        let mut text = format!("{}: {}", output.tint(word, tone), problem.message);
        if let Some(sql) = &problem.sql {
            text.push_str("\n  hint: ");
            text.push_str(sql);
        }
        output.result(text);
    }
    let bad = report
        .problems
        .iter()
        .filter(|p| !matches!(p.grade, Grade::Warning | Grade::Note))
        .count();
    let scope = if args.offline {
        "configuration and SQL syntax"
    } else {
        "configuration, source, sinks and views"
    };
    if bad == 0 {
        output.result(output.tint(&format!("{scope}: nothing stands in the way"), Tone::Good));
    } else {
        let things = if bad == 1 { "problem" } else { "problems" };
        output.note(format_args!("{bad} {things}"));
    }
}

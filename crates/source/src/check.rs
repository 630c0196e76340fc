//! Everything about a source that stands in the way, at once.
//!
//! In: a SQL connection as readside's role, the tables that views read, the names of publication and slot.
//! Out: findings, each with its reason and, where SQL mends it, the SQL for whoever may run it.
//!
//! Always: only reads. Nothing that is printed can break the application when it is run.

mod publication;
mod server;
mod tables;

use std::fmt;

use tokio_postgres::Client;

use crate::SourceError;
use crate::catalog::server_version;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It works, but may stop to.
    Warning,
    /// It does not work, or would break the application.
    Error,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a setting, the role, a table, the publication, the slot.
    pub what: String,
    /// What is wrong, and what follows from it.
    pub reason: String,
    /// What to run.
    pub remedy_sql: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}: {}", self.what, self.reason)?;
        if let Some(sql) = &self.remedy_sql {
            write!(f, "\n  hint: {sql}")?;
        }
        Ok(())
    }
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        what: impl Into<String>,
        reason: impl Into<String>,
        remedy_sql: Option<String>,
    ) {
        self.0.push(Finding {
            severity,
            what: what.into(),
            reason: reason.into(),
            remedy_sql,
        });
    }

    fn error(&mut self, what: impl Into<String>, reason: impl Into<String>, sql: Option<String>) {
        self.add(Severity::Error, what, reason, sql);
    }

    fn warning(&mut self, what: impl Into<String>, reason: impl Into<String>, sql: Option<String>) {
        self.add(Severity::Warning, what, reason, sql);
    }

    fn note(&mut self, what: impl Into<String>, reason: impl Into<String>, sql: Option<String>) {
        self.add(Severity::Note, what, reason, sql);
    }
}

/// Looks at everything, worst first. `tables` are oids of tables or partition roots.
///
/// # Errors
/// When the connection breaks; never because something is wrong with the source.
pub async fn check(
    client: &Client,
    tables: &[u32],
    publication: &str,
    slot: &str,
) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Findings::default();
    let version = server_version(client).await?;
    let role = server::Role::load(client).await?;
    server::server(client, version, slot, &mut findings).await?;
    server::role(&role, &mut findings);
    server::session(client, &mut findings).await?;
    tables::tables(client, tables, version, &role, &mut findings).await?;
    publication::publication(client, tables, version, publication, &role, &mut findings).await?;
    publication::slot(client, slot, &mut findings).await?;
    let mut findings = findings.0;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

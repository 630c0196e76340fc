//! What an error of the server means to the sink.

use readside_sink::{DeadReason, SinkError};
use readside_source::{Remedy, SourceError};
use tokio_postgres::error::DbError;

/// An error while a batch is merged.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The server refuses a row for what is in it; the transaction can go on from its savepoint.
    Row(DeadReason),
    /// Anything else.
    Sink(SinkError),
}

impl From<SinkError> for WriteError {
    fn from(error: SinkError) -> WriteError {
        WriteError::Sink(error)
    }
}

impl From<tokio_postgres::Error> for WriteError {
    fn from(error: tokio_postgres::Error) -> WriteError {
        match error.as_db_error() {
            Some(db) if is_data_error(db.code().code()) => {
                WriteError::Row(DeadReason(describe(db)))
            }
            _ => WriteError::Sink(sink_error(&error)),
        }
    }
}

/// Data exceptions, broken constraints, and what does not fit an index.
fn is_data_error(code: &str) -> bool {
    matches!(code.get(..2), Some("22" | "23" | "54"))
}

fn describe(error: &DbError) -> String {
    let mut text = format!("{} (SQLSTATE {})", error.message(), error.code().code());
    if let Some(column) = error.column() {
        text = format!("column `{column}`: {text}");
    }
    text
}

/// An error of a statement.
pub(super) fn sink_error(error: &tokio_postgres::Error) -> SinkError {
    let Some(db) = error.as_db_error() else {
        let source = std::error::Error::source(error).map(|s| format!(": {s}"));
        return SinkError::Unavailable(format!("{error}{}", source.unwrap_or_default()));
    };
    let text = describe(db);
    let operator = |hint: &str| SinkError::Operator {
        message: text.clone(),
        hint: db.hint().unwrap_or(hint).to_owned(),
    };
    let code = db.code().code();
    match code {
        // A table, column, schema or temporary table that was there at `prepare`.
        "42P01" | "42703" | "3F000" => SinkError::Lost(text),
        "42501" => operator(
            "grant the role CREATE on the sink's schema and TEMPORARY on its database, and let it own the tables",
        ),
        // Not the master any more, after a failover.
        "25006" => SinkError::Unavailable(text),
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "55" | "57" | "58") => SinkError::Unavailable(text),
            Some("28") => operator("check the sink's `username` and `password`"),
            _ => operator("see the server's log"),
        },
    }
}

/// An error of connecting.
pub(super) fn connect_error(error: &SourceError) -> SinkError {
    let text = error.to_string();
    match error.remedy() {
        Remedy::Retry => SinkError::Unavailable(text),
        Remedy::Operator | Remedy::Resynchronise => {
            let (message, hint) = text
                .split_once("\n  hint: ")
                .unwrap_or((text.as_str(), "check the sink's `url`"));
            SinkError::Operator {
                message: message.to_owned(),
                hint: hint.to_owned(),
            }
        }
    }
}

//! What can stop the projection.

/// The projection cannot go on: its state or its input is not what it must be. Errors of expressions are values, not these.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The store failed.
    #[error(transparent)]
    State(#[from] readside_state::StateError),
    /// Stored bytes are not what was written.
    #[error(
        "state is damaged: {0}\n  hint: stop readside, remove its data directory and start it again; it will load the tables anew"
    )]
    Corrupt(String),
    /// The stream sent something that does not fit the catalog.
    #[error(
        "table `{table}` at {lsn}: {reason}\n  hint: the table changed; restart readside so that it reads the catalog again"
    )]
    Input {
        /// The table.
        table: String,
        /// Commit LSN.
        lsn: readside_model::Lsn,
        /// What does not fit.
        reason: String,
    },
    /// A many-to-one look-up found two rows.
    #[error(
        "view `{view}`: `{alias}` is no longer unique on the columns it is joined by\n  hint: a unique index that the plan rests on is gone; restore it, or restart readside to compile the view anew"
    )]
    NotUnique {
        /// The view.
        view: String,
        /// The occurrence.
        alias: String,
    },
    /// A plan that the projection cannot run.
    #[error("view `{view}`: {reason}")]
    Plan {
        /// The view.
        view: String,
        /// Why.
        reason: String,
    },
    /// Bytes of the replication stream that are no message.
    #[error("the changelog holds a message that cannot be read: {0}")]
    Message(String),
    /// It was asked to give up.
    #[error("interrupted")]
    Interrupted,
}

impl ProjectionError {
    /// The same with the view's name, where it could not be known.
    pub(crate) fn in_view(self, name: &str) -> ProjectionError {
        match self {
            ProjectionError::NotUnique { view, alias } if view.is_empty() => {
                ProjectionError::NotUnique {
                    view: name.to_owned(),
                    alias,
                }
            }
            other => other,
        }
    }
}

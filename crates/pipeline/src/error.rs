//! What ends a run.

use readside_changelog::ChangelogError;
use readside_projection::ProjectionError;
use readside_sink::SinkError;
use readside_source::{PublicationError, Remedy, SourceError};
use readside_sql::Refusal;
use readside_state::StateError;

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Views that cannot be kept. All of them at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))]
    Views(Vec<Refusal>),
    /// A view is not laid out as its sink needs it.
    #[error("view `{view}` in sink `{sink}`: {reason}")]
    Target {
        /// The view.
        view: String,
        /// The sink.
        sink: String,
        /// What is wrong, and a hint.
        reason: String,
    },
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The publication.
    #[error(transparent)]
    Publication(#[from] PublicationError),
    /// The changelog.
    #[error(transparent)]
    Changelog(#[from] ChangelogError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The projection.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// A sink, in a way that only the operator can mend.
    #[error("sink `{sink}`: {error}")]
    Sink {
        /// The sink.
        sink: String,
        /// What it says.
        error: SinkError,
    },
    /// The data directory.
    #[error("data directory `{path}`: {reason}")]
    DataDirectory {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// The data directory belongs to another source.
    #[error(
        "data directory `{path}` belongs to another source: {reason}\n  hint: use another `data.dir`, or remove this one to load everything anew"
    )]
    OtherSource {
        /// Where.
        path: String,
        /// What differs.
        reason: String,
    },
    /// A part ended that must never end.
    #[error("internal: {0} ended unexpectedly\n  hint: restart readside; nothing is lost")]
    Ended(&'static str),
    /// The source's tables are not what the views were compiled against.
    #[error("the source's tables changed: {0}")]
    SourceChanged(String),
    /// Tables lost the key by which the stream names their rows, and have been taken out of the publication so that the application
    /// can go on writing.
    #[error("{} lost the replica identity, and with it updates in the application would fail: taken out of the publication\n  hint: give each a primary key again and start readside; or take the views that read them out of the configuration", .0.join(", "))]
    Identity(Vec<String>),
    /// The run is to end.
    #[error("interrupted")]
    Interrupted,
    /// What was missed cannot be had again from the slot.
    #[error("the stream cannot be resumed: {0}")]
    Resynchronise(String),
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineRemedy {
    /// Start again from disk, after a pause.
    Restart,
    /// Start again with new copies of all tables, compared with what is there.
    Resynchronise,
    /// Not reachable.
    Unreachable,
    /// SQL or configuration.
    Configuration,
    /// The operator has to change something.
    Operator,
}

impl PipelineError {
    /// Each error has one answer.
    #[must_use]
    pub fn remedy(&self) -> PipelineRemedy {
        match self {
            PipelineError::Views(_) | PipelineError::Target { .. } => PipelineRemedy::Configuration,
            PipelineError::Source(error)
            | PipelineError::Publication(PublicationError::Source(error)) => match error.remedy() {
                Remedy::Retry => PipelineRemedy::Unreachable,
                Remedy::Operator => PipelineRemedy::Operator,
                Remedy::Resynchronise => PipelineRemedy::Resynchronise,
            },
            PipelineError::Projection(
                ProjectionError::Input { .. } | ProjectionError::NotUnique { .. },
            )
            | PipelineError::SourceChanged(_) => PipelineRemedy::Restart,
            PipelineError::Resynchronise(_) => PipelineRemedy::Resynchronise,
            PipelineError::Publication(_)
            | PipelineError::Changelog(_)
            | PipelineError::State(_)
            | PipelineError::Projection(_)
            | PipelineError::Sink { .. }
            | PipelineError::DataDirectory { .. }
            | PipelineError::OtherSource { .. }
            | PipelineError::Identity(_)
            | PipelineError::Interrupted
            | PipelineError::Ended(_) => PipelineRemedy::Operator,
        }
    }
}

//! What is wrong with a statement before anything runs.

use backstop_core::{
    error::{Failure, Phase},
    outcome::Outcome,
};

/// A statement or its parameters cannot be sent; says what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The text holds no statement.
    #[error("the text holds no statement")]
    Empty,
    /// The text holds more than one statement.
    #[error("the text holds two statements (the second at byte {at}); send them as a transaction")]
    Multiple {
        /// Where the second one starts.
        at: usize,
    },
    /// A string, a quoted identifier or a comment has no end.
    #[error("the {what} at byte {at} has no end")]
    Unterminated {
        /// What was begun.
        what: &'static str,
        /// Where it was begun.
        at: usize,
    },
    /// The text holds something that no engine should see.
    #[error("{0}")]
    Malformed(&'static str),
    /// The statement would block others, escape the database or change the connection.
    #[error("{what} is refused: {why}")]
    Refused {
        /// The statement.
        what: String,
        /// Why, and what to use in its place.
        why: &'static str,
    },
    /// Placeholders of more than one style.
    #[error("the statement mixes {0} and {1} placeholders; use one style")]
    MixedStyles(&'static str, &'static str),
    /// Parameters that the statement needs and that were not given.
    #[error("missing parameters: {0}")]
    Missing(String),
    /// Parameters that were given and that the statement does not use.
    #[error("unused parameters: {0}")]
    Unused(String),
    /// More parameters than the engine takes.
    #[error("{count} parameters exceed the limit of {limit}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A parameter that cannot be read.
    #[error("{0}")]
    Value(String),
    /// A message that cannot be turned into statements.
    #[error("{0}")]
    Message(String),
}

impl StatementError {
    /// A stable code in lower snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_statement",
            Self::Multiple { .. } => "multiple_statements",
            Self::Unterminated { .. } | Self::Malformed(_) => "malformed_statement",
            Self::Refused { .. } => "refused_statement",
            Self::MixedStyles(..) => "mixed_parameters",
            Self::Missing(_) => "missing_parameters",
            Self::Unused(_) => "unused_parameters",
            Self::TooMany { .. } => "too_many_parameters",
            Self::Value(_) => "invalid_value",
            Self::Message(_) => "invalid_message",
        }
    }
}

impl From<StatementError> for Failure {
    fn from(error: StatementError) -> Self {
        Self::refused(error.to_string())
            .in_phase(Phase::Admission)
            .counts_as(Outcome::NotCounted)
            .with_code(error.code())
            .caused_by(error)
    }
}

//! What is wrong with a batch as a whole; found before anything runs.

use crate::orchestrator::LookupError;

/// Why nothing of a batch was run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// It holds more operations than it may.
    #[error("a batch may hold {max} operations, not {count}")]
    TooMany {
        /// How many it holds.
        count: usize,
        /// How many it may hold.
        max: usize,
    },
    /// `max_concurrency` is 0.
    #[error("`max_concurrency` must be at least 1")]
    NoConcurrency,
    /// The arguments of an operation are nested too deeply.
    #[error("operation `{id}`: its arguments are nested more than {max} levels deep")]
    TooDeep {
        /// The operation.
        id: String,
        /// How many levels there may be.
        max: usize,
    },
    /// An id is empty, too long, or holds a control character.
    #[error("operation {position}: an id must be 1 to 64 characters that can be printed")]
    BadId {
        /// The position of the operation, counted from 0.
        position: usize,
    },
    /// Two operations have the same id; one without an id has its position.
    #[error("two operations have the id `{id}`; an operation without an id has its position")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// An operation depends on one that is not there.
    #[error("operation `{id}` depends on `{unknown}`, which is not in the batch{}", near.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    UnknownId {
        /// The operation.
        id: String,
        /// The id that is not there.
        unknown: String,
        /// The nearest id that is there.
        near: Option<String>,
    },
    /// An operation depends on itself.
    #[error("operation `{id}` depends on itself")]
    DependsOnItself {
        /// The operation.
        id: String,
    },
    /// Operations depend on each other in a ring.
    #[error("operations depend on each other in a ring: {}", ids.join(" → "))]
    Cycle {
        /// The ring; each one depends on the next, and the last on the first.
        ids: Vec<String>,
    },
    /// In a mode with an order, an operation depends on a later one.
    #[error("operation `{id}` depends on `{later}`, which comes after it")]
    OutOfOrder {
        /// The operation.
        id: String,
        /// The later one.
        later: String,
    },
    /// A reference is not of the form `#/id/path`.
    #[error("operation `{id}`: `{reference}` is no reference; write `#/id/path`, such as `#/cust/rows/0/1`")]
    BadReference {
        /// The operation.
        id: String,
        /// The text.
        reference: String,
    },
    /// The operations cannot be done in one transaction.
    #[error("the batch cannot be atomic ({}): {reason}", ids.join(", "))]
    NotAtomic {
        /// The operations that stand in the way.
        ids: Vec<String>,
        /// Why.
        reason: String,
    },
    /// The backend of an atomic batch is not there.
    #[error(transparent)]
    Backend(#[from] LookupError),
}

impl BatchError {
    /// A stable code in lower snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too_many_operations",
            Self::NoConcurrency => "no_concurrency",
            Self::TooDeep { .. } => "too_deep",
            Self::BadId { .. } => "bad_id",
            Self::DuplicateId { .. } => "duplicate_id",
            Self::UnknownId { .. } => "unknown_id",
            Self::DependsOnItself { .. } => "depends_on_itself",
            Self::Cycle { .. } => "cycle",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::BadReference { .. } => "bad_reference",
            Self::NotAtomic { .. } => "not_atomic",
            Self::Backend(_) => "unknown_backend",
        }
    }
}

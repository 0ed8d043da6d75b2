//! How a transaction runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a transaction runs; the engine's own defaults unless set.
///
/// ```
/// use backstop_sql::{Isolation, TxOptions};
///
/// let report = TxOptions::new().isolation(Isolation::Serializable).read_only().deferrable();
/// # drop(report);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TxOptions {
    /// What it sees of others; the session's default when `None`. SQLite is always serializable.
    pub isolation: Option<Isolation>,
    /// Whether every write in it is refused.
    pub read_only: bool,
    /// Whether a serializable, read-only transaction waits until it can run without conflicts (PostgreSQL).
    pub deferrable: bool,
    /// How long a statement waits for a lock; within the call's deadline when `None`.
    #[serde(skip)]
    pub lock_timeout: Option<Duration>,
}

/// What a transaction sees of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// The whole transaction sees what was committed before it began.
    RepeatableRead,
    /// As if transactions ran one after the other; conflicts end it with a definite abort, and it is run again.
    Serializable,
}

impl TxOptions {
    /// Starts with the engine's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what it sees of others.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Refuses every write in it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Waits for a moment without conflicts; has an effect on serializable, read-only ones of PostgreSQL alone.
    #[must_use]
    pub fn deferrable(mut self) -> Self {
        self.deferrable = true;
        self
    }

    /// Sets how long a statement waits for a lock.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = Some(timeout);
        self
    }
}

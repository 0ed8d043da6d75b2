//! Several operations as data: N in, N out, in request order, each with its own end.
//!
//! - **independent** (default): a graph by `depends_on` and by references to earlier results; up to
//!   `max_concurrency` at once.
//! - **sequential**: one after the other; after the first failure the rest is skipped.
//! - **atomic**: all on one SQL backend in one transaction; anything else is refused.
//!
//! A reference stands anywhere in the arguments: `{"type": "ref", "value": "#/cust/rows/0/1"}` is the value
//! at the JSON pointer `/rows/0/1` in the result of the operation `cust`, which it waits for.

mod error;
mod plan;
mod reference;
mod report;
mod run;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::run::run;
pub use self::{
    error::BatchError,
    report::{BatchReport, BatchSummary, End, ErrorView, ItemReport, Outcome, Skipped},
};

/// Several operations that are asked for together.
///
/// ```
/// use backstop::orchestrator::{Batch, BatchItem};
/// use serde_json::json;
///
/// let batch = Batch::new()
///     .then(BatchItem::new("crm", "query", json!({"sql": "SELECT wallet FROM customers"})).id("cust"))
///     .then(BatchItem::new("quotes", "get", json!({
///         "path": "v2/quote",
///         "query": {"wallet": {"type": "ref", "value": "#/cust/rows/0/0"}},
///     })));
/// assert_eq!(batch.operations.len(), 2);
///
/// let same: Batch = serde_json::from_value(json!({"mode": "sequential", "operations": [
///     {"id": "cust", "backend": "crm", "operation": "query", "arguments": {"sql": "SELECT 1"}},
/// ]})).unwrap();
/// assert_eq!(same.operations[0].backend, "crm");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// How the operations belong together; independent by default.
    #[serde(default)]
    pub mode: Mode,
    /// What a failure means for those that have not begun; of no effect in the other modes.
    #[serde(default)]
    pub on_error: OnError,
    /// Operations that run at once in the independent mode, at least 1; 16 by default.
    #[serde(default)]
    pub max_concurrency: Option<usize>,
    /// Time that all of them have together; the limit of [`BatchLimits::timeout`] by default.
    #[serde(default, rename = "timeout_ms", with = "millis")]
    pub timeout: Option<Duration>,
    /// The operations.
    pub operations: Vec<BatchItem>,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    /// A name by which others refer to it, 1 to 64 characters; its position, counted from 0, by default.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of the backend.
    pub backend: String,
    /// The name of the operation, as in [`DynBackend::operations`](backstop_supervisor::DynBackend::operations).
    pub operation: String,
    /// The arguments of the operation.
    #[serde(default)]
    pub arguments: Value,
    /// Operations that must have succeeded before, by id; those that it refers to need not be named.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Time that it has from its own start; the policy of its backend decides by default.
    #[serde(default, rename = "timeout_ms", with = "millis")]
    pub timeout: Option<Duration>,
}

/// How the operations of a batch belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each by itself, in parallel, as soon as those it depends on have succeeded.
    #[default]
    Independent,
    /// One after the other; the first failure ends it.
    Sequential,
    /// All or nothing, in one transaction of one backend.
    Atomic,
}

/// What a failure means for the operations that have not begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Nothing, unless they depend on the one that failed.
    #[default]
    Continue,
    /// They are skipped.
    Stop,
}

/// Bounds of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Operations in one batch; 100 by default.
    pub items: usize,
    /// Operations that may run at once, whatever the batch says; 64 by default.
    pub concurrency: usize,
    /// Levels of arrays and objects in the arguments of one operation; 64 by default.
    pub depth: usize,
    /// Size of the arguments of one operation after its references were filled in; 1 MiB by default.
    pub bytes: usize,
    /// Time that one batch may take, whatever it says; 60 s by default.
    pub timeout: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { items: 100, concurrency: 64, depth: 64, bytes: 1 << 20, timeout: Duration::from_secs(60) }
    }
}

impl Batch {
    /// Operations that run at once unless the batch says otherwise.
    pub const CONCURRENCY: usize = 16;

    /// Starts with no operation, in the independent mode.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with no operation, in the given mode.
    #[must_use]
    pub fn with_mode(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Adds an operation.
    #[must_use]
    pub fn then(mut self, item: BatchItem) -> Self {
        self.operations.push(item);
        self
    }

    /// Skips what has not begun when one operation fails.
    #[must_use]
    pub fn stop_on_error(mut self) -> Self {
        self.on_error = OnError::Stop;
        self
    }

    /// Sets how many operations run at once.
    #[must_use]
    pub fn max_concurrency(mut self, operations: usize) -> Self {
        self.max_concurrency = Some(operations);
        self
    }

    /// Sets the time that all operations have together.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl BatchItem {
    /// Asks `backend` for `operation`.
    pub fn new(backend: impl Into<String>, operation: impl Into<String>, arguments: Value) -> Self {
        Self {
            id: None,
            backend: backend.into(),
            operation: operation.into(),
            arguments,
            depends_on: Vec::new(),
            timeout: None,
        }
    }

    /// Gives it a name by which others refer to it.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Lets it wait until the operation of this id has succeeded.
    #[must_use]
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.depends_on.push(id.into());
        self
    }

    /// Sets the time that it has from its own start.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

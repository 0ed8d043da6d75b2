//! Many backends as one: calls by name, gathers, fallbacks, batches, statistics.
//!
//! Everything runs on the caller's thread over one shared snapshot of the backends; nothing here knows a
//! concrete backend. [`OrchestratorActor`] gives the same to those who prefer to send messages.

mod actor;
mod batch;
mod call;
mod directory;
mod fallback;
mod gather;
mod near;
mod statistics;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use serde_json::Value;

pub(crate) use self::near::near;
#[cfg(feature = "sql")]
pub use self::statistics::SlowStatement;
pub use self::{
    actor::{Collect, Execute, OrchestratorActor, RunBatch, ThreadError},
    batch::{
        Batch, BatchError, BatchItem, BatchLimits, BatchReport, BatchSummary, End, ErrorView, ItemReport,
        Mode, OnError, Outcome, Skipped,
    },
    directory::{Directory, LookupError},
    fallback::{Answer, Ended, Fallback, NoAnswer},
    gather::{AtLeast, BoxAsk, Fate, First, FirstOk, Gather, Gatherable, Gathered, Member, Slot, TooFew},
    statistics::{BackendStatistics, SlowOperation, Statistics, Totals},
};

/// A handle to all backends of a runtime; cheap to clone and usable from any thread.
#[derive(Clone)]
pub struct Orchestrator {
    shared: Arc<Shared>,
}

struct Shared {
    /// Never used twice, so that a thread finds its own actor of this orchestrator.
    id: u64,
    directory: Arc<Directory>,
    limits: BatchLimits,
    closed: AtomicBool,
}

impl Orchestrator {
    /// Works with the backends of a directory; a [`Runtime`](crate::Runtime) has made one already.
    #[must_use]
    pub fn new(directory: Arc<Directory>, limits: BatchLimits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        Self { shared: Arc::new(Shared { id, directory, limits, closed: AtomicBool::new(false) }) }
    }

    /// Returns the backends by name.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.shared.directory
    }

    /// Returns the bounds of a batch.
    #[must_use]
    pub fn limits(&self) -> &BatchLimits {
        &self.shared.limits
    }

    /// Prepares an operation by name; nothing happens until the ask is awaited.
    ///
    /// # Errors
    /// The ask ends with a rejection `unknown_backend` that lists near names, `invalid` when the operation or
    /// its arguments are wrong, and else as [`Ask`](crate::Ask).
    ///
    /// # Cancel safety
    /// Dropping the ask cancels the call.
    pub fn execute(
        &self,
        backend: impl Into<String>,
        operation: impl Into<String>,
        arguments: Value,
    ) -> BoxAsk<Value> {
        let directory = Arc::clone(self.directory());
        let (backend, operation) = (backend.into(), operation.into());
        BoxAsk::new(move |timeout| {
            Box::pin(async move { call::by_name(&directory, &backend, &operation, arguments, timeout).await })
        })
    }

    /// Prepares to ask several backends at once; the same as [`Gather::all`].
    pub fn gather<S: Gatherable>(&self, set: S) -> Gather<S> {
        Gather::all(set)
    }

    /// Runs several operations as data; each has its own end in the report.
    ///
    /// # Errors
    /// [`BatchError`] when the batch as a whole is wrong; nothing was run then.
    ///
    /// # Cancel safety
    /// Dropping it cancels the operations under way and does not begin the others.
    pub async fn batch(&self, batch: Batch) -> Result<BatchReport, BatchError> {
        batch::run(Arc::clone(self.directory()), batch, self.shared.limits).await
    }

    /// Counts what happened so far, by backend and kind of message.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        statistics::statistics(self.directory())
    }

    /// Lists the newest slow calls of all backends, newest first, at most `limit`.
    #[must_use]
    pub fn slow_calls(&self, limit: usize) -> Vec<SlowOperation> {
        statistics::slow_calls(self.directory(), limit)
    }

    /// Lists the newest slow queries of all SQL backends, newest first, at most `limit`.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn slow_queries(&self, limit: usize) -> Vec<SlowStatement> {
        statistics::slow_queries(self.directory(), limit)
    }

    /// Lets threads forget their actors of this orchestrator.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.load(Relaxed)
    }
}

impl fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator").field("backends", self.directory()).finish_non_exhaustive()
    }
}

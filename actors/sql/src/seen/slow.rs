//! The slow queries of late, within a bound.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use backstop_core::clock::{self, Instant};
use parking_lot::Mutex;
use serde::Serialize;

use super::{as_ms, epoch_ms};
use crate::Sql;

/// How many slow queries are kept; the oldest goes first.
pub const SLOW_KEPT: usize = 100;

/// A statement that took as long as the threshold or longer, from its start to the end of its answer.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SlowQuery {
    /// Its text, without parameters; an `Explain` takes it.
    pub sql: Sql,
    /// What it was run for: `query`, `execute`, `transaction` …
    pub operation: &'static str,
    /// How long it took; of a stream, until its first rows.
    #[serde(rename = "elapsed_ms", serialize_with = "as_ms")]
    pub elapsed: Duration,
    /// Rows that it returned or changed.
    pub rows: u64,
    /// The code of its error; `abandoned` where its caller went away before it ended.
    pub error: Option<Arc<str>>,
    /// When it ended, on the wall clock.
    #[serde(rename = "ended_ms", serialize_with = "epoch_ms")]
    pub ended: SystemTime,
}

impl SlowQuery {
    pub(super) fn new(
        sql: Sql,
        operation: &'static str,
        elapsed: Duration,
        rows: u64,
        error: Option<&str>,
    ) -> Self {
        Self { sql, operation, elapsed, rows, error: error.map(Arc::from), ended: SystemTime::now() }
    }
}

/// What the statements of a backend write to.
pub(super) struct Journal {
    epoch: Instant,
    threshold: Duration,
    slow: Mutex<VecDeque<SlowQuery>>,
    total: AtomicU64,
}

impl Journal {
    pub(super) fn new(threshold: Duration) -> Self {
        let threshold = if threshold.is_zero() { Duration::MAX } else { threshold };
        Self { epoch: clock::now(), threshold, slow: Mutex::default(), total: AtomicU64::new(0) }
    }

    #[inline]
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        took >= self.threshold
    }

    #[inline]
    pub(super) fn since_epoch(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }

    /// Turns instants of this journal into those of the wall clock.
    pub(super) fn wall(&self) -> impl Fn(u64) -> SystemTime + use<> {
        let (now, wall) = (self.since_epoch(clock::now()), SystemTime::now());
        move |nanos| {
            let ago = now.saturating_sub(Duration::from_nanos(nanos));
            wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
        }
    }

    pub(super) fn push(&self, query: SlowQuery) {
        let elapsed_ms = u64::try_from(query.elapsed.as_millis()).unwrap_or(u64::MAX);
        let (sql, error) = (query.sql.as_str(), query.error.as_deref());
        tracing::warn!(target: "backstop::slow_query", sql, query.operation, elapsed_ms, query.rows, error);
        self.total.fetch_add(1, Relaxed);
        let mut slow = self.slow.lock();
        slow.push_front(query);
        slow.truncate(SLOW_KEPT);
    }

    pub(super) fn list(&self, limit: usize) -> Vec<SlowQuery> {
        self.slow.lock().iter().take(limit).cloned().collect()
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }
}

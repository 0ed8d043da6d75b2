//! What happened so far, over all backends.

use std::{collections::BTreeMap, sync::Arc};

use backstop_core::{guard::SlowCall, stats::OpSnapshot};
use serde::Serialize;

use super::Directory;
use crate::durations::{DurationSnapshot, durations};

/// What happened to the operations of all backends.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Statistics {
    /// All backends together.
    pub totals: Totals,
    /// Each backend, in the order in which they were added.
    pub backends: Vec<BackendStatistics>,
    /// What the application recorded itself, by name; see [`durations`](crate::durations()).
    pub durations: BTreeMap<Arc<str>, DurationSnapshot>,
}

/// What happened to the operations of one backend.
#[derive(Clone, Debug, Serialize)]
pub struct BackendStatistics {
    /// Its name.
    pub name: String,
    /// Its kind, such as `sqlite`.
    pub kind: &'static str,
    /// All of its operations together.
    pub totals: Totals,
    /// Counts and latencies by the kind of message.
    pub operations: BTreeMap<&'static str, OpSnapshot>,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// With a reply.
    pub ok: u64,
    /// The backend's side failed.
    pub failed: u64,
    /// Refused by us, at the door or later.
    pub rejected: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Admitted and not ended yet.
    pub in_flight: usize,
}

impl Totals {
    /// Those with a reply as a share of all that ended, in percent; 100 when none has.
    #[must_use]
    pub fn success_percent(&self) -> f64 {
        let ended = self.ok + self.failed + self.rejected;
        if ended == 0 { 100.0 } else { self.ok as f64 * 100.0 / ended as f64 }
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.retries += other.retries;
        self.in_flight += other.in_flight;
    }
}

/// A call that took long, and where.
#[derive(Clone, Debug, Serialize)]
pub struct SlowOperation {
    /// The backend.
    pub backend: String,
    /// The call.
    #[serde(flatten)]
    pub call: SlowCall,
}

pub(super) fn statistics(directory: &Directory) -> Statistics {
    let mut statistics = Statistics { durations: durations().snapshot(), ..Statistics::default() };
    for backend in directory.snapshot() {
        let sum = |count: fn(&OpSnapshot) -> u64| backend.operations.values().map(count).sum::<u64>();
        let totals = Totals {
            ok: sum(|operation| operation.ok),
            failed: sum(OpSnapshot::failed),
            rejected: sum(|operation| operation.rejected) + backend.guard.refused_total,
            retries: backend.guard.retries_total,
            in_flight: backend.guard.in_flight,
        };
        statistics.totals.add(totals);
        let (name, kind, operations) = (backend.name, backend.kind, backend.operations);
        statistics.backends.push(BackendStatistics { name, kind, totals, operations });
    }
    statistics
}

/// The newest slow calls of all backends, at most `limit`.
pub(super) fn slow_calls(directory: &Directory, limit: usize) -> Vec<SlowOperation> {
    let mut slow: Vec<_> = directory
        .entries()
        .iter()
        .flat_map(|entry| {
            let calls = entry.guard().slow_calls(limit);
            calls.into_iter().map(|call| SlowOperation { backend: entry.name().into(), call })
        })
        .collect();
    slow.sort_by_key(|slow| std::cmp::Reverse(slow.call.ended));
    slow.truncate(limit);
    slow
}

/// A statement that took long, and where.
#[cfg(feature = "sql")]
#[derive(Clone, Debug, Serialize)]
pub struct SlowStatement {
    /// The backend.
    pub backend: String,
    /// The statement.
    #[serde(flatten)]
    pub query: backstop_sql::seen::SlowQuery,
}

/// The newest slow queries of all SQL backends, at most `limit`.
#[cfg(feature = "sql")]
pub(super) fn slow_queries(directory: &Directory, limit: usize) -> Vec<SlowStatement> {
    let mut slow = Vec::new();
    for entry in directory.entries() {
        let queries = entry.seen().map_or_else(Vec::new, |seen| seen.slow_queries(limit));
        slow.extend(queries.into_iter().map(|query| SlowStatement { backend: entry.name().into(), query }));
    }
    slow.sort_by_key(|slow| std::cmp::Reverse(slow.query.ended));
    slow.truncate(limit);
    slow
}

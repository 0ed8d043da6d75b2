//! Counters and latencies: one writer a lane, merged when read, so that recording costs a few nanoseconds.

mod histogram;

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;

pub use self::histogram::{Histogram, LatencySnapshot};
use crate::{
    error::{CallError, Executed},
    planted::{self, Bug},
};

/// What happened to the messages of one kind on one lane.
pub(crate) struct OpStats {
    name: &'static str,
    ok: AtomicU64,
    rejected: AtomicU64,
    failed: [AtomicU64; 3],
    latency: Histogram,
}

/// The counters of one lane, to be read from any thread.
#[derive(Default)]
pub struct LaneStats {
    ops: Mutex<Vec<Arc<OpStats>>>,
    finished: AtomicU64,
    beat: AtomicU64,
}

/// Writes the counters of one lane; stays on the lane's thread.
pub struct Recorder {
    stats: Arc<LaneStats>,
    own: RefCell<Vec<Arc<OpStats>>>,
}

/// How many messages ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpSnapshot {
    /// With a reply.
    pub ok: u64,
    /// Refused by us after they were admitted.
    pub rejected: u64,
    /// Failed, and the work was done.
    pub failed_executed: u64,
    /// Failed, and the work was not done.
    pub failed_not_executed: u64,
    /// Failed, and nobody knows.
    pub failed_unknown: u64,
    /// How long they took, from the lane to the reply.
    pub latency: LatencySnapshot,
}

/// Adds one to a counter that has one writer; cheaper than a locked add.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

impl OpStats {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            ok: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            failed: [const { AtomicU64::new(0) }; 3],
            latency: Histogram::default(),
        }
    }
}

impl OpSnapshot {
    /// Counts all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ok + self.rejected + self.failed()
    }

    /// Counts those that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed_executed + self.failed_not_executed + self.failed_unknown
    }

    fn add(&mut self, stats: &OpStats) {
        self.ok += stats.ok.load(Relaxed);
        self.rejected += stats.rejected.load(Relaxed);
        self.failed_executed += stats.failed[0].load(Relaxed);
        self.failed_not_executed += stats.failed[1].load(Relaxed);
        self.failed_unknown += stats.failed[2].load(Relaxed);
        self.latency.add(&stats.latency);
    }
}

impl LaneStats {
    /// Counts the calls that have ended on the lane.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.finished.load(Relaxed)
    }

    /// Counts the heartbeats of the lane's thread.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beat.load(Relaxed)
    }

    /// Notes that the lane's thread is alive.
    pub fn beat(&self) {
        bump(&self.beat);
    }

    /// Adds the counters of this lane to `merged`, by message name.
    pub fn merge_into(&self, merged: &mut std::collections::BTreeMap<&'static str, OpSnapshot>) {
        for op in self.ops.lock().iter() {
            merged.entry(op.name).or_default().add(op);
        }
    }
}

impl Recorder {
    /// Writes to `stats`; there must be one recorder for each.
    #[must_use]
    pub fn new(stats: Arc<LaneStats>) -> Self {
        Self { stats, own: RefCell::new(Vec::new()) }
    }

    /// Returns the counters that it writes.
    #[must_use]
    pub fn stats(&self) -> &Arc<LaneStats> {
        &self.stats
    }

    /// Notes the end of one call.
    #[inline]
    pub fn record<R>(&self, name: &'static str, result: &Result<R, CallError>, elapsed: Duration) {
        bump(&self.stats.finished);
        let mut own = self.own.borrow_mut();
        // A lane sees a handful of message kinds, so a scan beats a map; equal text may have two addresses.
        let position = own.iter().position(|op| std::ptr::eq(op.name, name) || op.name == name);
        let op = match position {
            Some(position) => &own[position],
            None => {
                let op = Arc::new(OpStats::new(name));
                self.stats.ops.lock().push(Arc::clone(&op));
                own.push(op);
                &own[own.len() - 1]
            }
        };
        op.latency.record(elapsed);
        if result.is_ok() && planted::is(Bug::CountedTwice) {
            bump(&op.ok);
        }
        bump(match result {
            Ok(_) => &op.ok,
            Err(CallError::Rejected(_)) => &op.rejected,
            Err(CallError::Failed(failure)) => match failure.executed() {
                Executed::Yes => &op.failed[0],
                Executed::No => &op.failed[1],
                Executed::Unknown => &op.failed[2],
            },
        });
    }
}

impl fmt::Debug for LaneStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneStats").field("finished", &self.finished()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("stats", &self.stats).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::{Failure, Rejection, RejectionReason};

    #[test]
    fn every_end_is_counted_once_under_its_message() {
        let recorder = Recorder::new(Arc::default());
        let failed = |executed| Err(Failure::refused("no").executed_is(executed).into());
        let rejected = Err(Rejection::new("b".into(), RejectionReason::Expired).into());
        for result in [Ok(()), Ok(()), rejected, failed(Executed::Yes), failed(Executed::No)] {
            recorder.record("get", &result, Duration::from_micros(5));
        }
        recorder.record("put", &failed(Executed::Unknown), Duration::from_micros(5));
        let mut merged = BTreeMap::new();
        recorder.stats().merge_into(&mut merged);
        let get = &merged["get"];
        assert_eq!((get.ok, get.rejected, get.failed_executed, get.failed_not_executed), (2, 1, 1, 1));
        assert_eq!(merged["put"].failed_unknown, 1);
        assert_eq!(recorder.stats().finished(), 6);
    }
}

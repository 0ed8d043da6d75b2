//! What the shared threads have done.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of one database; relaxed, because nothing is decided by them.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    commits: AtomicU64,
    operations: AtomicU64,
    group_largest: AtomicU64,
    reruns: AtomicU64,
    rollbacks: AtomicU64,
    busy: AtomicU64,
    inline_reads: AtomicU64,
    thread_reads: AtomicU64,
    opened: AtomicU64,
    logs_emptied: AtomicU64,
    log_holds: AtomicU64,
}

macro_rules! count {
    ($($method:ident $field:ident),+ $(,)?) => {$(
        pub(crate) fn $method(&self) {
            self.$field.fetch_add(1, Ordering::Relaxed);
        }
    )+};
}

impl Stats {
    count! { rerun reruns, rolled_back rollbacks, busy busy, thread_read thread_reads, opened opened,
    log_emptied logs_emptied, log_held log_holds }

    /// Inline reads are counted by the lane and handed over in bulk.
    pub(crate) fn inline_reads(&self, count: u64) {
        self.inline_reads.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, operations: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.operations.fetch_add(operations as u64, Ordering::Relaxed);
        self.group_largest.fetch_max(operations as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> SqliteSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SqliteSnapshot {
            commits_total: get(&self.commits),
            operations_total: get(&self.operations),
            group_largest: get(&self.group_largest),
            reruns_total: get(&self.reruns),
            rollbacks_total: get(&self.rollbacks),
            busy_total: get(&self.busy),
            inline_reads_total: get(&self.inline_reads),
            thread_reads_total: get(&self.thread_reads),
            connections_total: get(&self.opened),
            logs_emptied_total: get(&self.logs_emptied),
            log_holds_total: get(&self.log_holds),
            ..SqliteSnapshot::default()
        }
    }
}

/// A view of one database's writer and readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SqliteSnapshot {
    /// Commits that changed something; at [`Synchronous::Full`](crate::Synchronous::Full) each costs one sync.
    pub commits_total: u64,
    /// Operations that those commits made durable.
    pub operations_total: u64,
    /// The most operations that shared a commit.
    pub group_largest: u64,
    /// Groups that were run again without a member that had ended their transaction.
    pub reruns_total: u64,
    /// Transactions that were rolled back.
    pub rollbacks_total: u64,
    /// Times that a lock of another process was found.
    pub busy_total: u64,
    /// Reads that ended on their caller's thread.
    pub inline_reads_total: u64,
    /// Reads that a reader thread served.
    pub thread_reads_total: u64,
    /// Connections opened so far.
    pub connections_total: u64,
    /// Times that the writer paused to empty a log that reads had kept long.
    pub logs_emptied_total: u64,
    /// Times that new reads on threads were held back for it, in vain or not.
    pub log_holds_total: u64,
    /// Writes that wait for the writer.
    pub writes_waiting: usize,
    /// Reads that wait for a reader thread.
    pub reads_waiting: usize,
    /// The size of the write-ahead log in bytes; grows while a long read holds an old snapshot. What is done
    /// about it: [`SqliteOptions::wal_limit`](crate::SqliteOptions::wal_limit).
    pub wal_bytes: u64,
    /// Whether the log is over its limit, and reads kept it from being emptied though new ones were held back; an
    /// alert as long as it is so.
    pub log_is_long: bool,
}

impl SqliteSnapshot {
    /// Operations per commit so far; 0 before the first.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn operations_per_commit(&self) -> f64 {
        if self.commits_total == 0 { 0.0 } else { self.operations_total as f64 / self.commits_total as f64 }
    }
}

//! What a PostgreSQL backend shows of itself, over all lanes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// The connections of a backend and how they are used; durations in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PostgresSnapshot {
    /// Connections that are open or being opened, whatever they do.
    pub connections: usize,
    /// The most there may be.
    pub max: usize,
    /// Connections that are kept idle for what comes, see `min_idle`.
    pub min_idle: usize,
    /// Whether statements are prepared, see `prepared_statements`.
    pub prepares: bool,
    /// Connections that serve a call, a stream, or are being cleaned.
    pub active: usize,
    /// Connections that wait for a call.
    pub idle: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
    /// The median wait for a connection.
    pub acquire_p50_ms: f64,
    /// What 99 of 100 waits stayed below.
    pub acquire_p99_ms: f64,
    /// Who holds a connection for the longest time.
    pub oldest_holder: Option<HolderSnapshot>,
    /// How many hold one for longer than `leak_after`.
    pub long_leases: usize,
    /// What opening a connection failed with the last time, unless one was opened since.
    pub last_connect_error: Option<String>,
    /// Connections opened so far.
    pub created_total: u64,
    /// Attempts to open one that failed.
    pub connect_failures_total: u64,
    /// Connections closed so far, by reason.
    pub closed_total: ClosedSnapshot,
    /// Calls that waited too long for a connection.
    pub timeouts_total: u64,
    /// Cancel requests that were sent.
    pub cancels_total: u64,
    /// Connections that were proven idle and lent again after a call left them in doubt.
    pub cleaned_total: u64,
    /// Statements that were prepared.
    pub prepared_total: u64,
    /// Reads that shared a connection with another one.
    pub shared_total: u64,
    /// Messages that shared a statement with another one.
    pub merged_total: u64,
    /// The number of changes of the schema that were seen.
    pub schema_epoch: u64,
}

/// Who holds a connection, and for how long.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HolderSnapshot {
    /// Its operation.
    pub operation: &'static str,
    /// How long.
    pub held_ms: u64,
}

/// Why connections were closed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ClosedSnapshot {
    /// Lost, or broken by an error.
    pub broken: u64,
    /// Not proven idle in time after a call left it in doubt.
    pub in_doubt: u64,
    /// Gave no sign of life before use.
    pub unverified: u64,
    /// As old as they may become.
    pub lifetime: u64,
    /// Idle for too long, or more than the pool keeps.
    pub idle: u64,
    /// On a host that is no longer the right one.
    pub rerouted: u64,
    /// In favour of another lane that waited.
    pub handed_over: u64,
    /// With the backend.
    pub shutdown: u64,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Broken,
    InDoubt,
    Unverified,
    Lifetime,
    Idle,
    Rerouted,
    HandedOver,
    Shutdown,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) created: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) cancels: AtomicU64,
    pub(crate) cleaned: AtomicU64,
    pub(crate) prepared: AtomicU64,
    pub(crate) shared: AtomicU64,
    pub(crate) merged: AtomicU64,
    closed: [AtomicU64; 8],
}

impl Counts {
    pub(crate) fn closed(&self, reason: Reason, count: u64) {
        if let Some(counter) = self.closed.get(reason as usize) {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// Notes the messages of one statement.
    pub(crate) fn merged(&self, messages: usize) {
        if messages > 1 {
            self.merged.fetch_add(u64::try_from(messages).unwrap_or(u64::MAX), Relaxed);
        }
    }

    pub(crate) fn closed_snapshot(&self) -> ClosedSnapshot {
        let [broken, in_doubt, unverified, lifetime, idle, rerouted, handed_over, shutdown] =
            self.closed.each_ref().map(|counter| counter.load(Relaxed));
        ClosedSnapshot { broken, in_doubt, unverified, lifetime, idle, rerouted, handed_over, shutdown }
    }
}

//! The present state of a run, ready to be shown.

use std::time::Duration;

use super::super::chronicle::EventLine;

/// The present state of a run.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Time since the start.
    pub elapsed: Duration,
    /// How long messages are sent.
    pub duration: Duration,
    /// The seed of the run.
    pub seed: u64,
    /// The backends.
    pub rows: Vec<Row>,
    /// The faults at work, in words.
    pub faults: Vec<String>,
    /// What became of the messages so far, in words.
    pub totals: String,
    /// The newest events, oldest first.
    pub events: Vec<EventLine>,
}

/// One backend.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// `up`, `restarting`, `draining` or `stopped`.
    pub state: &'static str,
    /// `closed`, `open`, `half_open`, or the part that passes while it ramps up.
    pub breaker: String,
    /// Messages that ended per second, of late.
    pub rate: f64,
    /// The duration that half of the messages of late did not exceed.
    pub p50: Duration,
    /// The duration that 99 of 100 messages of late did not exceed.
    pub p99: Duration,
    /// Messages under way.
    pub in_flight: usize,
    /// New instances after a panic.
    pub restarts: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Messages that were refused.
    pub rejected: u64,
    /// Messages that failed.
    pub failed: u64,
}

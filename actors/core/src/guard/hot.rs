//! The settings that every call reads, each one load.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::policy::Policy;

/// Copies of settings; a call that reads them during a change may see some old and some new ones.
pub(super) struct Hot {
    timeout: AtomicU64,
    timeout_max: AtomicU64,
    attempt_timeout: AtomicU64,
    slow_after: AtomicU64,
}

/// Stands for no attempt timeout.
const NONE: u64 = u64::MAX;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NONE - 1)
}

impl Hot {
    pub(super) fn new(policy: &Policy) -> Self {
        let zero = || AtomicU64::new(0);
        let hot = Self { timeout: zero(), timeout_max: zero(), attempt_timeout: zero(), slow_after: zero() };
        hot.set(policy);
        hot
    }

    pub(super) fn set(&self, policy: &Policy) {
        self.timeout.store(nanos(policy.timeout), Relaxed);
        self.timeout_max.store(nanos(policy.timeout_max), Relaxed);
        self.attempt_timeout.store(policy.attempt_timeout.map_or(NONE, nanos), Relaxed);
        self.slow_after.store(nanos(policy.breaker.slow_after), Relaxed);
    }

    /// The time of a call that asks for `timeout`, or for the default.
    pub(super) fn timeout(&self, timeout: Option<Duration>) -> Duration {
        match timeout {
            Some(timeout) => timeout.min(Duration::from_nanos(self.timeout_max.load(Relaxed))),
            None => Duration::from_nanos(self.timeout.load(Relaxed)),
        }
    }

    pub(super) fn attempt_timeout(&self) -> Option<Duration> {
        let nanos = self.attempt_timeout.load(Relaxed);
        (nanos != NONE).then(|| Duration::from_nanos(nanos))
    }

    pub(super) fn is_slow(&self, elapsed: Duration) -> bool {
        nanos(elapsed) >= self.slow_after.load(Relaxed)
    }
}

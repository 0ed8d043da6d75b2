//! What a breaker shows of itself.

use serde::Serialize;

use super::{BreakerState, CircuitBreaker, OverrideMode, Phase};
use crate::clock::Instant;

/// A view of a breaker at one moment; times are in milliseconds from then.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakerSnapshot {
    /// What callers meet.
    pub state: BreakerState,
    /// What they would meet without override and shadow mode.
    pub machine_state: BreakerState,
    /// Counts the changes of state.
    pub generation: u64,
    /// Calls in the window.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// Slow successes among them.
    pub slow: u64,
    /// Overload signals among them.
    pub overload: u64,
    /// Failures and overload as a share of the calls, 0 to 1.
    pub failure_share: f64,
    /// Slow successes as a share of the calls, 0 to 1.
    pub slow_share: f64,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Openings that the open time has grown by; goes back while closed.
    pub attempt: u32,
    /// How much longer it stays open; `None` if it is not open, or forced open without an end.
    pub open_for_ms: Option<u64>,
    /// The part of the calls that passes, in percent: 100 at full ramp, 0 while open or half-open.
    pub ramp_percent: u8,
    /// Probes under way.
    pub probes_in_flight: usize,
    /// What opened it last.
    pub cause: String,
    /// The last error of the backend, if any.
    pub last_error: Option<String>,
    /// The order in force, if any.
    #[serde(rename = "override")]
    pub forced: Option<OverrideSnapshot>,
    /// Whether refusals are only counted.
    pub observing: bool,
    /// Times it opened.
    pub opened_total: u64,
    /// Calls refused.
    pub refused_total: u64,
    /// Calls that would have been refused if it did not only observe.
    pub shadow_refused_total: u64,
    /// Results that came after their state had ended.
    pub late_total: u64,
}

/// A view of an override.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OverrideSnapshot {
    /// What it does.
    pub mode: OverrideMode,
    /// Who gave it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How much longer it holds, in milliseconds; `None` is until it is lifted.
    pub ends_in_ms: Option<u64>,
}

impl CircuitBreaker {
    /// Shows the breaker as of `now`; does what [`Self::tick`] does first, so that nothing shown is stale.
    #[must_use]
    pub fn snapshot(&mut self, now: Instant) -> BreakerSnapshot {
        self.settle(now);
        let counts = self.window.counts(now);
        let state = self.state();
        let is_open = state == BreakerState::Open;
        BreakerSnapshot {
            state,
            machine_state: self.machine_state(),
            generation: self.generation,
            calls: counts.calls,
            failures: counts.failures,
            slow: counts.slow,
            overload: counts.overload,
            failure_share: counts.failure_share(),
            slow_share: counts.slow_share(),
            consecutive_failures: self.consecutive,
            attempt: self.open_time.attempt(&self.policy, now),
            open_for_ms: self.retry_at().filter(|_| is_open).map(|at| millis_until(at, now)),
            ramp_percent: self.ramp_percent(),
            probes_in_flight: self.probes_in_flight(),
            cause: self.cause.to_string(),
            last_error: self.last_error.as_deref().map(str::to_owned),
            forced: self.over.as_ref().map(|over| OverrideSnapshot {
                mode: over.mode,
                by: over.by.to_string(),
                reason: over.reason.to_string(),
                ends_in_ms: over.until.map(|until| millis_until(until, now)),
            }),
            observing: self.is_observing(),
            opened_total: self.totals.opened,
            refused_total: self.totals.refused,
            shadow_refused_total: self.totals.shadow_refused,
            late_total: self.totals.late,
        }
    }

    fn probes_in_flight(&self) -> usize {
        match &self.phase {
            Phase::Closed(_) => 0,
            Phase::Open(open) => usize::from(open.probing.is_some()),
            Phase::HalfOpen(half_open) => half_open.in_flight(),
        }
    }
}

pub(super) fn millis_until(at: Instant, now: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX)
}

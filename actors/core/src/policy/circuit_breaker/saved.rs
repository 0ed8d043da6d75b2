//! What a breaker hands on to the next process.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    BreakerPolicy, BreakerState, CircuitBreaker, Open, OpenTime, Override, OverrideMode, Phase, Ramp,
    open_time::after, snapshot::millis_until,
};
use crate::{
    clock::Instant,
    policy::window::{Window, WindowSlice},
};

/// The state of a breaker without instants, which mean nothing to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedBreaker {
    /// The machine's state; half-open comes back as open with a probe due, since its probes are gone.
    pub state: BreakerState,
    /// How much longer it stays open, in milliseconds; 0 if it is not.
    pub open_for_ms: u64,
    /// Counts the changes of state, so that events of both processes are in order.
    pub generation: u64,
    /// Openings that the open time has grown by.
    pub attempt: u32,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// The part of the calls that passed, in percent.
    pub ramp_percent: u8,
    /// What opened it last.
    pub cause: String,
    /// The last error of the backend, if any.
    pub last_error: Option<String>,
    /// The calls of the window, oldest first.
    pub window: Vec<WindowSlice>,
    /// The order in force, if any.
    #[serde(rename = "override")]
    pub forced: Option<SavedOverride>,
}

/// An override without instants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedOverride {
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
    /// Takes down the state as of `now`, for [`Self::restore`] in another process; counters start anew there.
    #[must_use]
    pub fn save(&mut self, now: Instant) -> SavedBreaker {
        self.settle(now);
        SavedBreaker {
            state: self.machine_state(),
            open_for_ms: if let Phase::Open(open) = &self.phase { millis_until(open.until, now) } else { 0 },
            generation: self.generation,
            attempt: self.open_time.attempt(&self.policy, now),
            consecutive_failures: self.consecutive,
            ramp_percent: self.ramp_percent(),
            cause: self.cause.to_string(),
            last_error: self.last_error.as_deref().map(str::to_owned),
            window: self.window.slices(now),
            forced: self.over.as_ref().map(|over| SavedOverride {
                mode: over.mode,
                by: over.by.to_string(),
                reason: over.reason.to_string(),
                ends_in_ms: over.until.map(|until| millis_until(until, now)),
            }),
        }
    }

    /// Goes on where another process stopped `away` ago.
    ///
    /// Open times, overrides and calls have aged by `away`, which the wall clock tells. Growth has not gone back:
    /// nothing is known of the time between.
    #[must_use]
    pub fn restore(
        policy: BreakerPolicy,
        seed: u64,
        saved: SavedBreaker,
        away: Duration,
        now: Instant,
    ) -> Self {
        let mut breaker = Self::new(policy, seed, now);
        let policy = &breaker.policy;
        let gone = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        let later = |ms: u64| after(now, Duration::from_millis(ms.saturating_sub(gone)));
        let is_closed = saved.state == BreakerState::Closed;
        breaker.phase = if is_closed {
            let index = policy.ramp.iter().position(|percent| *percent == saved.ramp_percent);
            Phase::Closed(index.and_then(|index| Ramp::new(policy, index, now)))
        } else {
            Phase::Open(Open { until: later(saved.open_for_ms), probing: None })
        };
        breaker.over = saved.forced.map(|order| Override {
            mode: order.mode,
            by: Arc::from(order.by),
            reason: Arc::from(order.reason),
            until: order.ends_in_ms.map(later),
        });
        let aged = |slice: &WindowSlice| WindowSlice { age_ms: slice.age_ms.saturating_add(gone), ..*slice };
        let slices: Vec<_> = saved.window.iter().map(aged).collect();
        breaker.window = Window::from_slices(policy.window, &slices, now);
        breaker.open_time = OpenTime::restored(saved.attempt, is_closed.then_some(now), policy);
        breaker.generation = saved.generation.saturating_add(1);
        breaker.consecutive = saved.consecutive_failures;
        breaker.cause = Arc::from(saved.cause);
        breaker.last_error = saved.last_error.map(Arc::from);
        breaker.refresh();
        breaker
    }
}

//! The circuit breaker: stops calls to a backend that does not do its work, and finds out when it does again.
//!
//! [`CircuitBreaker`] is a pure machine. It takes no lock, reads no clock and starts nothing: `now` is an
//! argument, chance comes from a seed, and what it decides is a return value. Its promises:
//!
//! - Three rules open it: the share of failures, the share of slow calls, and failures in a row. Only a result
//!   that is no success can open it, and only with enough calls in the window (failures in a row need none).
//! - A [`Permit`] belongs to the state that gave it. A result that arrives in a later state is counted as late
//!   and changes nothing.
//! - Half-open gives out leases. A probe that hangs past its lease has failed, one that is dropped gives its
//!   place back, and half-open ends within one lease and one call.
//! - The open time is drawn at random under a ceiling that doubles up to a cap, and that comes down step by
//!   step while the breaker is closed. A hint of the backend (`Retry-After`) takes its place.
//! - After recovery a growing part of the calls passes. A step with too many failures falls back one step; the
//!   three rules hold all the while.
//! - An [`Override`] stays until it is lifted or its end has come; no result and no timer changes it.
//!
//! ```
//! use std::time::Duration;
//! use backstop_core::{clock, outcome::Outcome};
//! use backstop_core::policy::circuit_breaker::{BreakerPolicy, BreakerState, CircuitBreaker};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # let _guard = runtime.enter();
//! let now = clock::now();
//! let mut breaker = CircuitBreaker::new(BreakerPolicy::default(), 1, now);
//! for _ in 0..5 {
//!     let permit = breaker.try_acquire(now).unwrap();
//!     breaker.record(permit, Outcome::Failure, Duration::ZERO, now, None, Some("connection refused"));
//! }
//! assert_eq!(breaker.state(), BreakerState::Open);
//! assert_eq!(&*breaker.open_info().cause, "5 consecutive failures");
//! assert!(breaker.try_acquire(now).is_err());
//! ```

mod control;
mod half_open;
mod health_probe;
mod machine;
mod open_time;
mod overrides;
mod permit;
mod ramp;
mod saved;
mod settings;
mod snapshot;
mod state;
mod verdict;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use self::{half_open::HalfOpen, open_time::OpenTime, permit::Kind, ramp::Ramp};
pub use self::{
    overrides::{Override, OverrideMode},
    permit::{Permit, Refusal, RefusalReason},
    saved::{SavedBreaker, SavedOverride},
    settings::{BreakerPolicy, MAX_PROBES},
    snapshot::{BreakerSnapshot, OverrideSnapshot},
    state::{BreakerState, Transition},
};
use crate::{clock::Instant, error::OpenInfo, outcome::Outcome, policy::window::Window};

/// The breaker of one backend; see the [module](self) for what it promises.
///
/// Methods that may change the state return the oldest [`Transition`] that was not reported yet. One step can
/// make two (an override ends and the breaker turns half-open), and [`Self::try_acquire`] returns none, so a
/// caller that wants each of them asks [`Self::take_transition`] until it returns `None`.
#[derive(Debug)]
pub struct CircuitBreaker {
    /// Closed, at full ramp, without an override: every call passes, and a success is only counted.
    plain: bool,
    generation: u64,
    consecutive: u32,
    window: Window,
    phase: Phase,
    over: Option<Override>,
    policy: BreakerPolicy,
    open_time: OpenTime,
    rng: fastrand::Rng,
    next_lease: u32,
    cause: Arc<str>,
    last_error: Option<Arc<str>>,
    totals: Totals,
    outbox: VecDeque<Transition>,
}

/// The machine's own state; an override lies above it and does not show here.
#[derive(Debug)]
enum Phase {
    /// With `None` at full ramp.
    Closed(Option<Ramp>),
    Open(Open),
    HalfOpen(HalfOpen),
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// The dedicated probe that is under way.
    probing: Option<half_open::Lease>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    opened: u64,
    refused: u64,
    shadow_refused: u64,
    late: u64,
}

impl CircuitBreaker {
    /// Makes a closed breaker with an empty window.
    ///
    /// Settings out of range are brought into it; [`BreakerPolicy::validate`] refuses them instead. `seed`
    /// decides the open times, so that tests repeat and processes differ.
    #[must_use]
    pub fn new(policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let policy = policy.bounded();
        Self {
            plain: true,
            generation: 0,
            consecutive: 0,
            window: Window::new(policy.window, now),
            phase: Phase::Closed(None),
            over: None,
            open_time: OpenTime::new(now),
            rng: fastrand::Rng::with_seed(seed),
            policy,
            next_lease: 0,
            cause: Arc::from("never opened"),
            last_error: None,
            totals: Totals::default(),
            outbox: VecDeque::new(),
        }
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// Returns what callers meet, as of the last call that brought a `now`; an override counts, and a breaker
    /// that only observes is closed.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match &self.over {
            Some(over) => over.mode.state(),
            None if self.policy.shadow => BreakerState::Closed,
            None => self.phase.state(),
        }
    }

    /// Counts the changes of state and the repeated openings so far; a permit of an earlier one is late.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Says whether every call passes with the same permit: closed, at full ramp, without an override.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Asks to make a call; never waits.
    ///
    /// Every permit must come back by [`Self::record`] or [`Self::release`].
    ///
    /// # Errors
    /// The [`Refusal`], which says why and, where that is known, when to ask again.
    #[inline]
    pub fn try_acquire(&mut self, now: Instant) -> Result<Permit, Refusal> {
        if self.plain {
            return Ok(Permit::plain(self.generation));
        }
        self.acquire_by_state(now)
    }

    /// Reports how the call of `permit` ended, after `elapsed`.
    ///
    /// A success that took at least [`BreakerPolicy::slow_after`] is slow. `hint` is the backend's own word on
    /// when to come back; it takes the place of the open time if this result opens the breaker. `error` is
    /// kept as the last error if the outcome is bad.
    #[inline]
    pub fn record(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        elapsed: Duration,
        now: Instant,
        hint: Option<Duration>,
        error: Option<&str>,
    ) -> Option<Transition> {
        let outcome = outcome.timed(elapsed, self.policy.slow_after);
        let is_call = matches!(permit.kind, Kind::Call { .. });
        if self.plain && is_call && outcome == Outcome::Success && permit.generation == self.generation {
            self.window.record(outcome, now);
            self.consecutive = 0;
        } else {
            self.record_by_state(permit, outcome, now, hint, error);
        }
        self.take_transition()
    }

    /// Takes a permit back whose call says nothing about the backend; leaves no trace.
    pub fn release(&mut self, permit: Permit, now: Instant) -> Option<Transition> {
        self.record_by_state(permit, Outcome::NotCounted, now, None, None);
        self.take_transition()
    }

    /// Does what time alone does: ends overrides and leases, closes or reopens half-open, moves the ramp.
    ///
    /// Every other call with a `now` does it too; this one is for a breaker without traffic.
    pub fn tick(&mut self, now: Instant) -> Option<Transition> {
        self.settle(now);
        self.take_transition()
    }

    /// Says when [`Self::tick`] has something to do next; `None` while only a call can change anything.
    ///
    /// Probes are not part of it; see [`Self::next_probe_at`].
    #[must_use]
    pub fn next_tick_at(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Closed(ramp) => ramp.as_ref().and_then(Ramp::next_at),
            Phase::Open(_) => None,
            Phase::HalfOpen(half_open) => half_open.next_at(),
        };
        let over = self.over.as_ref().and_then(|over| over.until);
        phase.into_iter().chain(over).min()
    }

    /// Takes the oldest change that was not reported yet.
    #[inline]
    pub fn take_transition(&mut self) -> Option<Transition> {
        if self.outbox.is_empty() { None } else { self.outbox.pop_front() }
    }

    /// Describes the breaker for those it refuses; two reference counts, no allocation.
    #[must_use]
    pub fn open_info(&self) -> OpenInfo {
        OpenInfo { cause: self.cause.clone(), last_error: self.last_error.clone(), retry_at: self.retry_at() }
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

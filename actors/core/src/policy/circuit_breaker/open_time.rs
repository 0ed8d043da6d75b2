//! How long a breaker stays open.
//!
//! Full jitter as in "Exponential Backoff And Jitter" (M. Brooker, AWS Architecture Blog, 2015), except that an
//! open breaker always rests for half of the first ceiling.

use std::time::Duration;

use super::BreakerPolicy;
use crate::{clock::Instant, policy::duration};

/// The growth of the open time.
#[derive(Debug)]
pub(super) struct OpenTime {
    /// How many openings the growth has behind it; stops at the one that reaches the cap, so that the way
    /// down is never longer than the way up.
    attempt: u32,
    /// Since when the breaker is closed; growth goes back from here on.
    closed_at: Option<Instant>,
}

impl OpenTime {
    pub(super) fn new(now: Instant) -> Self {
        Self { attempt: 0, closed_at: Some(now) }
    }

    pub(super) fn restored(attempt: u32, closed_at: Option<Instant>, policy: &BreakerPolicy) -> Self {
        Self { attempt: attempt.min(last_attempt(policy)), closed_at }
    }

    /// The attempt count after the time spent closed.
    pub(super) fn attempt(&self, policy: &BreakerPolicy, now: Instant) -> u32 {
        let closed = self.closed_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let steps = closed.as_nanos() / policy.open_decay.as_nanos().max(1);
        self.attempt.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    pub(super) fn on_closed(&mut self, now: Instant) {
        self.closed_at = Some(now);
    }

    /// Ends the time spent closed; growth stands still from here on.
    pub(super) fn on_opened(&mut self, policy: &BreakerPolicy, now: Instant) {
        self.attempt = self.attempt(policy, now);
        self.closed_at = None;
    }

    pub(super) fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Brings the count to where it stands before the settings change under it.
    pub(super) fn refit(&mut self, old: &BreakerPolicy, new: &BreakerPolicy, now: Instant) {
        self.attempt = self.attempt(old, now).min(last_attempt(new));
        self.closed_at = self.closed_at.map(|_| now);
    }

    /// Counts one more opening and returns when it ends; a hint above zero takes the place of the draw.
    pub(super) fn open(
        &mut self,
        policy: &BreakerPolicy,
        rng: &mut fastrand::Rng,
        hint: Option<Duration>,
        now: Instant,
    ) -> Instant {
        self.on_opened(policy, now);
        self.attempt = self.attempt.saturating_add(1).min(last_attempt(policy));
        let time = match hint.filter(|hint| !hint.is_zero()) {
            Some(hint) => hint.min(policy.hint_max),
            None => draw(rng, policy.open_for / 2, ceiling(policy, self.attempt)),
        };
        after(now, time)
    }
}

/// Adds a time to an instant; a time beyond reason is cut to ten years instead of a panic.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time.min(duration::MAX)).unwrap_or(now)
}

/// The most that attempt `attempt`, counted from 1, may stay open.
pub(super) fn ceiling(policy: &BreakerPolicy, attempt: u32) -> Duration {
    let growth = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    policy.open_for.saturating_mul(growth).min(policy.open_max)
}

/// The first attempt whose ceiling is the cap.
fn last_attempt(policy: &BreakerPolicy) -> u32 {
    (1..32).find(|attempt| ceiling(policy, *attempt) >= policy.open_max).unwrap_or(32)
}

fn draw(rng: &mut fastrand::Rng, least: Duration, most: Duration) -> Duration {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(nanos(least.min(most))..=nanos(most)))
}

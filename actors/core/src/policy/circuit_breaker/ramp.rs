//! The way from the first calls after recovery to all of them.

use super::{BreakerPolicy, open_time::after, verdict::is_bad_step};
use crate::{clock::Instant, outcome::Outcome, policy::window::Counts};

/// A step of the ramp.
///
/// A step ends well when its time is over and one of its calls has succeeded, or none was made. It ends badly as
/// soon as its share of failures is too high, without a minimum volume: a dead backend falls back on the first
/// failure, one with a few failures among many calls does not.
#[derive(Debug)]
pub(super) struct Ramp {
    index: usize,
    /// Counts the steps taken, up or down; results of an earlier one do not judge this one.
    step: u32,
    until: Instant,
    /// Percent saved up; a call costs 100.
    credit: u32,
    admitted: u32,
    pending: u32,
    counts: Counts,
}

impl Ramp {
    /// Begins at the step `index`; `None` where the settings have no such step below 100 %.
    pub(super) fn new(policy: &BreakerPolicy, index: usize, now: Instant) -> Option<Self> {
        let percent = policy.ramp_percent(index)?;
        let mut ramp = Self {
            index,
            step: 0,
            until: now,
            credit: 100 - u32::from(percent),
            admitted: 0,
            pending: 0,
            counts: Counts::default(),
        };
        ramp.enter(index, policy, now);
        Some(ramp)
    }

    fn enter(&mut self, index: usize, policy: &BreakerPolicy, now: Instant) {
        self.index = index;
        self.step = self.step.wrapping_add(1);
        self.until = after(now, policy.ramp_step);
        (self.admitted, self.pending, self.counts) = (0, 0, Counts::default());
    }

    /// Goes on to the next step if this one has ended well; `true` when the ramp is done.
    pub(super) fn advance(&mut self, policy: &BreakerPolicy, now: Instant) -> bool {
        if now < self.until || self.is_waiting() {
            return false;
        }
        if policy.ramp_percent(self.index + 1).is_none() {
            return true;
        }
        self.enter(self.index + 1, policy, now);
        false
    }

    /// Calls were made and none has a result: time alone proves nothing then.
    fn is_waiting(&self) -> bool {
        self.counts.calls == 0 && self.pending > 0
    }

    /// Lets exactly the step's part of the calls pass; returns the step.
    pub(super) fn admit(&mut self, policy: &BreakerPolicy) -> Option<u32> {
        let passes = if self.admitted < policy.ramp_min_calls {
            true
        } else {
            self.credit += u32::from(self.percent(policy));
            let passes = self.credit >= 100;
            self.credit -= if passes { 100 } else { 0 };
            passes
        };
        passes.then(|| {
            self.admitted = self.admitted.saturating_add(1);
            self.pending = self.pending.saturating_add(1);
            self.step
        })
    }

    /// Counts a result of this step; one without meaning only gives its place back.
    pub(super) fn record(&mut self, step: u32, outcome: Outcome) {
        if step == self.step {
            self.pending = self.pending.saturating_sub(1);
            self.counts.record(outcome);
        }
    }

    /// Falls back one step, or begins the first one anew, if the step went badly; to be asked after a bad result.
    pub(super) fn fall_back(&mut self, policy: &BreakerPolicy, now: Instant) {
        if is_bad_step(policy, self.counts) {
            self.enter(self.index.saturating_sub(1), policy, now);
        }
    }

    /// Finds its place in new settings; `false` where they have none.
    pub(super) fn refit(&mut self, policy: &BreakerPolicy) -> bool {
        self.index = (0..=self.index).rev().find(|index| policy.ramp_percent(*index).is_some()).unwrap_or(0);
        policy.ramp_percent(self.index).is_some()
    }

    pub(super) fn percent(&self, policy: &BreakerPolicy) -> u8 {
        policy.ramp_percent(self.index).unwrap_or(100)
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// When time alone changes something.
    pub(super) fn next_at(&self) -> Option<Instant> {
        (!self.is_waiting()).then_some(self.until)
    }
}

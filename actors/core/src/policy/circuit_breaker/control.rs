//! Orders: overrides, trip, reset and new settings.

use std::{sync::Arc, time::Duration};

use super::{
    BreakerPolicy, BreakerState, CircuitBreaker, Open, Override, OverrideMode, Phase, Ramp, Transition,
    open_time::after,
};
use crate::clock::Instant;

impl CircuitBreaker {
    /// Sets an override, in place of an earlier one.
    ///
    /// [`OverrideMode`] says what each does and what follows it. The transition tells of the override even where
    /// the state stays the same.
    pub fn force(&mut self, order: Override, now: Instant) -> Option<Transition> {
        self.settle(now);
        let from = self.state();
        let cause: Arc<str> = Arc::from(order.to_string());
        match order.mode {
            OverrideMode::ForcedOpen => {
                self.cause = cause.clone();
                self.open_time.on_opened(&self.policy, now);
                self.replace(Phase::Open(Open { until: now, probing: None }));
            }
            OverrideMode::ForcedClosed if matches!(self.phase, Phase::Closed(_)) => {
                self.phase = Phase::Closed(None);
            }
            OverrideMode::ForcedClosed | OverrideMode::Disabled => self.start_closed(now),
            OverrideMode::ObserveOnly => {}
        }
        self.over = Some(order);
        self.refresh();
        self.report(from, self.state(), cause, false, now);
        self.settle(now);
        self.take_transition()
    }

    /// Returns the override in force, if any.
    #[must_use]
    pub fn current_override(&self) -> Option<&Override> {
        self.over.as_ref()
    }

    /// Lifts the override; does nothing without one.
    pub fn clear_override(&mut self, now: Instant) -> Option<Transition> {
        self.settle(now);
        self.lift(now);
        self.take_transition()
    }

    /// Opens the breaker by order, for `open_for` or else for the growing open time.
    ///
    /// One that is open already stays open at least that long. An override, other than observe only, wins: the
    /// order is without effect then.
    pub fn trip(
        &mut self,
        cause: impl Into<Arc<str>>,
        open_for: Option<Duration>,
        now: Instant,
    ) -> Option<Transition> {
        self.settle(now);
        if self.mode().is_none_or(|mode| mode == OverrideMode::ObserveOnly) {
            let asked = open_for.map(|time| after(now, time));
            let until = match &self.phase {
                Phase::Open(open) if asked.is_some() || now < open.until => {
                    asked.map_or(open.until, |asked| asked.max(open.until))
                }
                // An open time that is over begins anew, or each trip during a probe would allow the next probe.
                Phase::Open(_) | Phase::Closed(_) | Phase::HalfOpen(_) => {
                    let drawn = self.open_time.open(&self.policy, &mut self.rng, None, now);
                    asked.unwrap_or(drawn)
                }
            };
            self.open_until(cause.into(), until, now);
        }
        self.take_transition()
    }

    /// Closes the breaker at full traffic and forgets calls, growth and last error; an override stays.
    pub fn reset(&mut self, now: Instant) -> Option<Transition> {
        self.settle(now);
        let from = self.state();
        self.open_time.reset();
        self.last_error = None;
        if self.mode() == Some(OverrideMode::ForcedOpen) {
            self.forget_calls();
        } else {
            self.start_closed(now);
            self.report(from, self.state(), Arc::from("reset"), self.is_observing(), now);
        }
        self.take_transition()
    }

    /// Puts new settings in force and keeps window, state, open time and attempt count.
    ///
    /// Settings out of range are brought into it, as in [`Self::new`]. An open time that runs goes on as drawn.
    /// A transition follows where the new settings change what callers meet.
    pub fn reconfigure(&mut self, policy: BreakerPolicy, now: Instant) -> Option<Transition> {
        self.settle(now);
        let (from, policy) = (self.state(), policy.bounded());
        self.window.resize(policy.window, now);
        self.open_time.refit(&self.policy, &policy, now);
        self.policy = policy;
        if let Phase::Closed(ramp) = &mut self.phase {
            ramp.take_if(|ramp| !ramp.refit(&self.policy));
        }
        self.refresh();
        if self.state() != from {
            self.report(from, self.state(), Arc::from("settings changed"), false, now);
        }
        self.settle(now);
        self.take_transition()
    }

    /// Ends the override and lets the machine's state show again.
    pub(super) fn lift(&mut self, now: Instant) {
        let Some(order) = self.over.take() else { return };
        let ended = order.until.filter(|until| now >= *until).unwrap_or(now);
        if let (OverrideMode::ForcedOpen, Phase::Open(open)) = (order.mode, &mut self.phase) {
            // nobody knows how the backend is by now: a probe finds out at once
            open.until = ended;
        }
        self.refresh();
        let cause = Arc::from(format!("override lifted, was {order}"));
        self.report(order.mode.state(), self.state(), cause, false, now);
    }

    fn start_closed(&mut self, now: Instant) {
        self.forget_calls();
        self.open_time.on_closed(now);
        self.replace(Phase::Closed(None));
    }

    /// The state of the machine, which an override or shadow mode hides.
    pub(super) fn machine_state(&self) -> BreakerState {
        self.phase.state()
    }

    /// The part of the calls that passes, in percent; 100 at full ramp, 0 while it is not closed.
    pub(super) fn ramp_percent(&self) -> u8 {
        match &self.phase {
            Phase::Closed(ramp) => ramp.as_ref().map_or(100, |ramp: &Ramp| ramp.percent(&self.policy)),
            Phase::Open(_) | Phase::HalfOpen(_) => 0,
        }
    }
}

//! The transitions: what a call, a result or the passing of time does to the state.

use std::{sync::Arc, time::Duration};

use super::{
    BreakerState, CircuitBreaker, HalfOpen, Kind, Open, OverrideMode, Permit, Phase, Ramp, Refusal,
    RefusalReason, Transition, open_time::after, verdict,
};
use crate::{
    clock::Instant,
    outcome::Outcome,
    planted::{self, Bug},
};

/// How many changes wait to be reported; the oldest give way, since a gauge needs the newest.
const MAX_UNREPORTED: usize = 16;

impl Phase {
    pub(super) fn state(&self) -> BreakerState {
        match self {
            Self::Closed(_) => BreakerState::Closed,
            Self::Open(_) => BreakerState::Open,
            Self::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }
}

// Admission.
impl CircuitBreaker {
    #[inline(never)]
    pub(super) fn acquire_by_state(&mut self, now: Instant) -> Result<Permit, Refusal> {
        self.settle(now);
        let kind = match self.mode() {
            Some(OverrideMode::ForcedOpen) => {
                Err(Refusal { reason: RefusalReason::ForcedOpen, retry_at: self.retry_at() })
            }
            Some(OverrideMode::ForcedClosed) => Ok(Kind::Call { step: 0 }),
            Some(OverrideMode::Disabled) => Ok(Kind::Bypass),
            Some(OverrideMode::ObserveOnly) | None => self.admit(now),
        };
        match kind {
            Ok(kind) => Ok(Permit { generation: self.generation, kind }),
            Err(_) if self.is_observing() => {
                self.totals.shadow_refused += 1;
                Ok(Permit { generation: self.generation, kind: Kind::Bypass })
            }
            Err(refusal) => {
                self.totals.refused += 1;
                Err(refusal)
            }
        }
    }

    fn admit(&mut self, now: Instant) -> Result<Kind, Refusal> {
        let grace = if self.policy.probe_first { self.policy.probe_grace } else { Duration::ZERO };
        if let Phase::Open(open) = &self.phase
            && now >= after(open.until, grace)
        {
            self.half_open("open time is over", now);
        }
        match &mut self.phase {
            Phase::Closed(None) => Ok(Kind::Call { step: 0 }),
            Phase::Open(open) => {
                let retry_at = if now < open.until { open.until } else { after(open.until, grace) };
                Err(Refusal { reason: RefusalReason::Open, retry_at: Some(retry_at) })
            }
            Phase::Closed(Some(ramp)) => match ramp.admit(&self.policy) {
                Some(step) => Ok(Kind::Call { step }),
                None => {
                    Err(Refusal { reason: RefusalReason::Ramping, retry_at: Some(ramp.until().max(now)) })
                }
            },
            Phase::HalfOpen(half_open) => {
                let lease = self.next_lease;
                if half_open.lease(lease, &self.policy, now) {
                    self.next_lease = lease.wrapping_add(1);
                    return Ok(Kind::Probe { lease });
                }
                Err(Refusal { reason: RefusalReason::ProbesTaken, retry_at: half_open.first_end() })
            }
        }
    }
}

// Results.
impl CircuitBreaker {
    #[inline(never)]
    pub(super) fn record_by_state(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        now: Instant,
        hint: Option<Duration>,
        error: Option<&str>,
    ) {
        self.settle(now);
        if permit.kind == Kind::Bypass {
            return;
        }
        if permit.generation != self.generation && !planted::is(Bug::LateResultCounts) {
            self.totals.late += u64::from(outcome != Outcome::NotCounted);
            return;
        }
        if outcome.is_bad() {
            self.keep_error(error);
        }
        match permit.kind {
            Kind::Call { step } => self.judge_call(step, outcome, now, hint),
            Kind::Probe { lease } => self.judge_probe(lease, outcome, now, hint),
            Kind::Bypass => {}
        }
    }

    fn judge_call(&mut self, step: u32, outcome: Outcome, now: Instant, hint: Option<Duration>) {
        let Phase::Closed(ramp) = &mut self.phase else { return };
        if let Some(ramp) = ramp {
            ramp.record(step, outcome);
        }
        self.window.record(outcome, now);
        match outcome {
            Outcome::NotCounted => return,
            Outcome::Success => {
                self.consecutive = 0;
                return;
            }
            Outcome::Slow => self.consecutive = 0,
            Outcome::Failure => self.consecutive = self.consecutive.saturating_add(1),
            Outcome::Overload => {}
        }
        if self.mode() == Some(OverrideMode::ForcedClosed) {
            return;
        }
        if let Some(cause) = verdict::trip(&self.policy, self.window.counts(now), self.consecutive) {
            self.open(cause, hint, now);
        } else if let Phase::Closed(Some(ramp)) = &mut self.phase {
            ramp.fall_back(&self.policy, now);
        }
    }

    fn judge_probe(&mut self, lease: u32, outcome: Outcome, now: Instant, hint: Option<Duration>) {
        let passed = match outcome {
            Outcome::NotCounted => None,
            Outcome::Success => Some(true),
            Outcome::Slow => Some(self.policy.slow_percent == 0),
            Outcome::Failure | Outcome::Overload => Some(false),
        };
        let is_known = match &mut self.phase {
            Phase::Closed(_) => false,
            Phase::HalfOpen(half_open) => half_open.end(lease, passed, now),
            Phase::Open(open) => open.probing.take_if(|probe| probe.id == lease).is_some(),
        };
        if !is_known {
            self.totals.late += u64::from(passed.is_some());
            return;
        }
        match (&self.phase, passed) {
            // a slow answer is an answer: the calls that follow judge the speed
            (Phase::Open(_), Some(_)) if !outcome.is_bad() => self.half_open("a dedicated probe passed", now),
            (Phase::Open(_), Some(_)) => self.open("a dedicated probe failed", hint, now),
            _ => self.decide(hint, now),
        }
    }

    /// Keeps the error for the next refusals; equal ones in a row cost no allocation.
    fn keep_error(&mut self, error: Option<&str>) {
        if let Some(error) = error
            && self.last_error.as_deref() != Some(error)
        {
            self.last_error = Some(Arc::from(error));
        }
    }
}

// Changes of state.
impl CircuitBreaker {
    /// Does what time alone does.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.over.as_ref().is_some_and(|over| over.is_over(now)) {
            self.lift(now);
        }
        match &mut self.phase {
            Phase::Closed(None) => {}
            Phase::Closed(Some(ramp)) => {
                if ramp.advance(&self.policy, now) {
                    self.phase = Phase::Closed(None);
                    self.refresh();
                }
            }
            Phase::Open(open) => {
                open.probing.take_if(|probe| now >= probe.until);
            }
            Phase::HalfOpen(half_open) => {
                half_open.expire(now);
                self.decide(None, now);
            }
        }
    }

    fn decide(&mut self, hint: Option<Duration>, now: Instant) {
        let Phase::HalfOpen(half_open) = &self.phase else { return };
        let (passed, failed) = half_open.results();
        let all = passed + failed;
        match half_open.verdict(&self.policy, now) {
            Some(true) => self.close(format!("{passed} of {all} probes passed"), now),
            Some(false) => self.open(format!("{failed} of {all} probes failed"), hint, now),
            None => {}
        }
    }

    /// Opens for a time that grows, or that the backend asked for.
    pub(super) fn open(&mut self, cause: impl Into<Arc<str>>, hint: Option<Duration>, now: Instant) {
        let until = self.open_time.open(&self.policy, &mut self.rng, hint, now);
        self.open_until(cause.into(), until, now);
    }

    pub(super) fn open_until(&mut self, cause: Arc<str>, until: Instant, now: Instant) {
        if !matches!(self.phase, Phase::Open(_)) {
            self.totals.opened += 1;
        }
        self.cause = cause.clone();
        self.enter(Phase::Open(Open { until, probing: None }), cause, now);
    }

    fn half_open(&mut self, cause: &str, now: Instant) {
        let half_open = HalfOpen::new(&self.policy, now);
        self.enter(Phase::HalfOpen(half_open), Arc::from(cause), now);
    }

    fn close(&mut self, cause: String, now: Instant) {
        self.cause = Arc::from(format!("recovering, only a part of the calls passes; was: {}", self.cause));
        self.forget_calls();
        self.open_time.on_closed(now);
        self.enter(Phase::Closed(Ramp::new(&self.policy, 0, now)), Arc::from(cause), now);
    }

    pub(super) fn forget_calls(&mut self) {
        self.window.clear();
        self.consecutive = 0;
    }

    /// Begins a new generation, so that nothing admitted before counts from here on.
    fn enter(&mut self, phase: Phase, cause: Arc<str>, now: Instant) {
        let from = self.phase.state();
        self.replace(phase);
        self.report(from, self.phase.state(), cause, self.is_observing(), now);
    }

    /// Begins a new generation without a word.
    pub(super) fn replace(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
        self.refresh();
    }

    pub(super) fn report(
        &mut self,
        from: BreakerState,
        to: BreakerState,
        cause: Arc<str>,
        shadow: bool,
        at: Instant,
    ) {
        if self.outbox.len() == MAX_UNREPORTED {
            self.outbox.pop_front();
        }
        let open_until = if to == BreakerState::Open { self.retry_at() } else { None };
        let generation = self.generation;
        self.outbox.push_back(Transition { from, to, cause, generation, at, open_until, shadow });
    }

    /// Finds out anew whether calls may take the short way; after every change of phase or override.
    pub(super) fn refresh(&mut self) {
        self.plain = self.over.is_none() && matches!(self.phase, Phase::Closed(None));
    }

    pub(super) fn mode(&self) -> Option<OverrideMode> {
        self.over.as_ref().map(|over| over.mode)
    }

    /// Says whether refusals are only counted.
    pub(super) fn is_observing(&self) -> bool {
        match self.mode() {
            Some(mode) => mode == OverrideMode::ObserveOnly,
            None => self.policy.shadow,
        }
    }

    /// When a call may pass, as far as the state alone tells.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        if let Some(over) = self.over.as_ref().filter(|over| over.mode == OverrideMode::ForcedOpen) {
            return over.until;
        }
        match &self.phase {
            Phase::Closed(ramp) => ramp.as_ref().map(Ramp::until),
            Phase::Open(open) => Some(open.until),
            Phase::HalfOpen(half_open) => half_open.first_end(),
        }
    }
}

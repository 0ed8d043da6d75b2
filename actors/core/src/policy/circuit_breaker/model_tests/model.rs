//! The naive model: it keeps every call and counts anew each time it is asked.

use super::*;

/// A permit of the model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    era: u64,
    number: u64,
    kind: TicketKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TicketKind {
    Call,
    Probe,
    Bypass,
}

impl Ticket {
    pub(super) fn is_probe(self) -> bool {
        self.kind == TicketKind::Probe
    }
}

/// What became of a call or a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Out,
    Ended(Outcome),
    Gone,
}

#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    at: Instant,
    fate: Fate,
}

#[derive(Debug)]
enum State {
    Closed(Option<Step>),
    Open { until: Instant, drawn: Option<(Duration, Duration)>, probe: Option<Entry> },
    HalfOpen { since: Instant, quiet: Instant, probes: Vec<Entry> },
}

/// A step of the ramp with all its calls.
#[derive(Debug)]
struct Step {
    index: usize,
    began: Instant,
    asked_credit: u32,
    calls: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Model {
    policy: BreakerPolicy,
    origin: Instant,
    state: State,
    era: u64,
    next: u64,
    /// Every result that counted since the breaker closed.
    history: Vec<(Instant, Outcome)>,
    attempt: u32,
    closed_since: Option<Instant>,
    order: Option<(OverrideMode, Option<Instant>)>,
    opened: u64,
    refused: u64,
    shadow_refused: u64,
    pub(super) late: u64,
}

impl Model {
    pub(super) fn new(policy: BreakerPolicy, origin: Instant) -> Self {
        Self {
            policy,
            origin,
            state: State::Closed(None),
            era: 0,
            next: 0,
            history: Vec::new(),
            attempt: 0,
            closed_since: Some(origin),
            order: None,
            opened: 0,
            refused: 0,
            shadow_refused: 0,
            late: 0,
        }
    }

    fn observing(&self) -> bool {
        self.order.map_or(self.policy.shadow, |(mode, _)| mode == OverrideMode::ObserveOnly)
    }

    pub(super) fn acquire(&mut self, now: Instant) -> Option<Ticket> {
        self.settle(now);
        let kind = match self.order.map(|(mode, _)| mode) {
            Some(OverrideMode::ForcedOpen) => None,
            Some(OverrideMode::ForcedClosed) => Some(TicketKind::Call),
            Some(OverrideMode::Disabled) => Some(TicketKind::Bypass),
            Some(OverrideMode::ObserveOnly) | None => self.admit(now),
        };
        let kind = match kind {
            None if self.observing() => {
                self.shadow_refused += 1;
                TicketKind::Bypass
            }
            None => {
                self.refused += 1;
                return None;
            }
            Some(kind) => kind,
        };
        Some(self.ticket(kind))
    }

    fn ticket(&mut self, kind: TicketKind) -> Ticket {
        let number = self.next;
        self.next += 1;
        Ticket { era: self.era, number, kind }
    }

    fn admit(&mut self, now: Instant) -> Option<TicketKind> {
        if let State::Open { until, .. } = self.state {
            let grace = if self.policy.probe_first { self.policy.probe_grace } else { Duration::ZERO };
            if now >= until + grace {
                self.turn(State::HalfOpen { since: now, quiet: now, probes: Vec::new() });
            }
        }
        let entry = Entry { number: self.next, at: now, fate: Fate::Out };
        match &mut self.state {
            State::Closed(None) => Some(TicketKind::Call),
            State::Open { .. } => None,
            State::Closed(Some(step)) => {
                if step.calls.len() >= self.policy.ramp_min_calls as usize {
                    step.asked_credit += u32::from(self.policy.ramp[step.index]);
                    if step.asked_credit < 100 {
                        return None;
                    }
                    step.asked_credit -= 100;
                }
                step.calls.push(entry);
                Some(TicketKind::Call)
            }
            State::HalfOpen { probes, quiet, .. } => {
                let taken = probes.iter().filter(|probe| probe.fate != Fate::Gone).count();
                (taken < self.policy.probes as usize).then(|| {
                    probes.push(entry);
                    *quiet = now;
                    TicketKind::Probe
                })
            }
        }
    }

    pub(super) fn probe(&mut self, now: Instant) -> Option<Ticket> {
        self.settle(now);
        if self.order.is_some_and(|(mode, _)| mode != OverrideMode::ObserveOnly) {
            return None;
        }
        let entry = Entry { number: self.next, at: now, fate: Fate::Out };
        match &mut self.state {
            State::Open { until, probe, .. } if now >= *until && probe.is_none() => *probe = Some(entry),
            State::HalfOpen { quiet, probes, .. }
                if now >= *quiet + self.policy.probe_grace
                    && probes.iter().all(|probe| probe.fate != Fate::Out)
                    && probes.iter().filter(|probe| probe.fate != Fate::Gone).count()
                        < self.policy.probes as usize =>
            {
                probes.push(entry);
                *quiet = now;
            }
            _ => return None,
        }
        Some(self.ticket(TicketKind::Probe))
    }

    pub(super) fn finish(&mut self, ticket: Ticket, outcome: Outcome, hint: Option<Duration>, now: Instant) {
        self.settle(now);
        let counts = u64::from(outcome != Outcome::NotCounted);
        match ticket.kind {
            TicketKind::Bypass => {}
            _ if ticket.era != self.era => self.late += counts,
            TicketKind::Call => self.finish_call(ticket.number, outcome, hint, now),
            TicketKind::Probe => {
                if !self.finish_probe(ticket.number, outcome, hint, now) {
                    self.late += counts;
                }
            }
        }
    }

    fn finish_call(&mut self, number: u64, outcome: Outcome, hint: Option<Duration>, now: Instant) {
        let fate = if outcome == Outcome::NotCounted { Fate::Gone } else { Fate::Ended(outcome) };
        if let State::Closed(Some(step)) = &mut self.state
            && let Some(call) = step.calls.iter_mut().find(|call| call.number == number)
        {
            call.fate = fate;
        }
        if outcome == Outcome::NotCounted {
            return;
        }
        self.history.push((now, outcome));
        if outcome == Outcome::Success
            || self.order.is_some_and(|(mode, _)| mode == OverrideMode::ForcedClosed)
        {
            return;
        }
        if self.must_open(now) {
            return self.open(hint, now);
        }
        let policy = &self.policy;
        if let State::Closed(Some(step)) = &mut self.state {
            let ended = step.calls.iter().filter_map(|call| match call.fate {
                Fate::Ended(outcome) => Some(outcome),
                _ => None,
            });
            let ended: Vec<_> = ended.collect();
            let bad = ended.iter().filter(|outcome| outcome.is_bad()).count();
            let slow = ended.iter().filter(|outcome| **outcome == Outcome::Slow).count();
            let percent = if policy.failure_percent == 0 { 50 } else { policy.failure_percent };
            if is_share(bad, ended.len(), percent) || is_share(slow, ended.len(), policy.slow_percent) {
                *step = Step {
                    index: step.index.saturating_sub(1),
                    began: now,
                    asked_credit: step.asked_credit,
                    calls: Vec::new(),
                };
            }
        }
    }

    fn must_open(&self, now: Instant) -> bool {
        let policy = &self.policy;
        if policy.consecutive_failures > 0 && self.row() >= policy.consecutive_failures {
            return true;
        }
        let live = self.live(now);
        let missing = (policy.minimum_calls as usize).saturating_sub(live.len());
        if missing > 0 && !policy.early_trip {
            return false;
        }
        let bad = live.iter().filter(|outcome| outcome.is_bad()).count();
        let slow = live.iter().filter(|outcome| **outcome == Outcome::Slow).count();
        let calls = live.len() + missing;
        is_share(bad, calls, policy.failure_percent) || is_share(slow, calls, policy.slow_percent)
    }

    fn row(&self) -> u32 {
        let back = self.history.iter().rev().map(|(_, outcome)| *outcome);
        let row = back.take_while(|outcome| outcome.is_bad()).filter(|outcome| *outcome == Outcome::Failure);
        u32::try_from(row.count()).unwrap()
    }

    /// The outcomes that the window still holds.
    fn live(&self, now: Instant) -> Vec<Outcome> {
        match self.policy.window {
            WindowPolicy::Count { calls } => {
                let skip = self.history.len().saturating_sub(calls as usize);
                self.history.iter().skip(skip).map(|(_, outcome)| *outcome).collect()
            }
            WindowPolicy::Time { length, buckets } => {
                let bucket = |at: Instant| (at - self.origin).as_nanos() / (length / buckets).as_nanos();
                let is_live = |at: Instant| bucket(now) - bucket(at) < u128::from(buckets);
                self.history.iter().filter(|(at, _)| is_live(*at)).map(|(_, outcome)| *outcome).collect()
            }
        }
    }

    /// `false` if the lease is over.
    fn finish_probe(&mut self, number: u64, outcome: Outcome, hint: Option<Duration>, now: Instant) -> bool {
        match &mut self.state {
            State::Closed(_) => false,
            State::Open { probe, .. } => {
                let known = probe.take_if(|probe| probe.number == number).is_some();
                match outcome {
                    _ if !known => {}
                    Outcome::NotCounted => {}
                    Outcome::Success | Outcome::Slow => {
                        self.turn(State::HalfOpen { since: now, quiet: now, probes: Vec::new() });
                    }
                    Outcome::Failure | Outcome::Overload => self.open(hint, now),
                }
                known
            }
            State::HalfOpen { probes, quiet, .. } => {
                let is_it = |probe: &&mut Entry| probe.number == number && probe.fate == Fate::Out;
                let Some(probe) = probes.iter_mut().find(is_it) else { return false };
                probe.fate = if outcome == Outcome::NotCounted { Fate::Gone } else { Fate::Ended(outcome) };
                *quiet = now;
                self.decide(hint, now);
                true
            }
        }
    }

    fn decide(&mut self, hint: Option<Duration>, now: Instant) {
        let State::HalfOpen { since, probes, .. } = &self.state else { return };
        let slow_fails = self.policy.slow_percent > 0;
        let ended = probes.iter().filter_map(|probe| match probe.fate {
            Fate::Ended(outcome) => Some(outcome),
            _ => None,
        });
        let ended: Vec<_> = ended.collect();
        let failed = |outcome: &&Outcome| outcome.is_bad() || (**outcome == Outcome::Slow && slow_fails);
        let failed = ended.iter().filter(failed).count();
        let percent = if self.policy.failure_percent == 0 { 50 } else { self.policy.failure_percent };
        let all = self.policy.probes as usize;
        let is_time = !ended.is_empty() && now >= *since + self.policy.probe_lease;
        if is_share(failed, all, percent) {
            self.open(hint, now);
        } else if ended.len() >= all || is_time {
            if is_share(failed, ended.len(), percent) { self.open(hint, now) } else { self.close(now) }
        }
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }

    fn attempt(&self, now: Instant) -> u32 {
        let closed = self.closed_since.map_or(Duration::ZERO, |since| now - since);
        let steps = closed.as_nanos() / self.policy.open_decay.as_nanos();
        self.attempt.saturating_sub(u32::try_from(steps).unwrap())
    }

    fn open(&mut self, hint: Option<Duration>, now: Instant) {
        self.opened += u64::from(!matches!(self.state, State::Open { .. }));
        // 20, 40, 80, 100: the fourth reaches the cap
        self.attempt = (self.attempt(now) + 1).min(4);
        self.closed_since = None;
        let ceiling = ms([20, 40, 80, 100][self.attempt as usize - 1]);
        let range = match hint {
            Some(hint) => (hint.min(ms(150)), hint.min(ms(150))),
            None => (ms(10), ceiling),
        };
        // until the machine tells its draw, the latest end that is allowed
        self.turn(State::Open { until: now + range.1, drawn: Some(range), probe: None });
    }

    /// Takes over the machine's draw if it lies where it may.
    pub(super) fn adopt(&mut self, actual: Instant, now: Instant) {
        if let State::Open { until, drawn, .. } = &mut self.state
            && let Some((least, most)) = drawn.take()
        {
            let time = actual.saturating_duration_since(now);
            assert!(time >= least && time <= most, "open for {time:?}, allowed {least:?} to {most:?}");
            *until = actual;
        }
    }

    fn close(&mut self, now: Instant) {
        self.history.clear();
        self.closed_since = Some(now);
        let percent = self.policy.ramp.first().copied().filter(|percent| *percent < 100);
        let step = percent.map(|percent| Step {
            index: 0,
            began: now,
            asked_credit: 100 - u32::from(percent),
            calls: Vec::new(),
        });
        self.turn(State::Closed(step));
    }

    pub(super) fn settle(&mut self, now: Instant) {
        if let Some((_, Some(until))) = self.order
            && now >= until
        {
            self.lift(until);
        }
        let (lease, policy) = (self.policy.probe_lease, &self.policy);
        match &mut self.state {
            State::Open { probe, .. } => drop(probe.take_if(|probe| now >= probe.at + lease)),
            State::HalfOpen { probes, .. } => {
                for probe in
                    probes.iter_mut().filter(|probe| probe.fate == Fate::Out && now >= probe.at + lease)
                {
                    probe.fate = Fate::Ended(Outcome::Failure);
                }
                self.decide(None, now);
            }
            State::Closed(Some(step)) if now >= step.began + policy.ramp_step => {
                let out = step.calls.iter().any(|call| call.fate == Fate::Out);
                let ended = step.calls.iter().any(|call| matches!(call.fate, Fate::Ended(_)));
                if ended || !out {
                    step.index += 1;
                    step.began = now;
                    step.calls.clear();
                    if policy.ramp.get(step.index).is_none_or(|percent| *percent >= 100) {
                        self.state = State::Closed(None);
                    }
                }
            }
            State::Closed(_) => {}
        }
    }

    fn lift(&mut self, at: Instant) {
        if let Some((OverrideMode::ForcedOpen, _)) = self.order.take()
            && let State::Open { until, .. } = &mut self.state
        {
            *until = at;
        }
    }

    pub(super) fn clear(&mut self, now: Instant) {
        self.settle(now);
        self.lift(now);
    }

    pub(super) fn force(&mut self, mode: OverrideMode, until: Option<Instant>, now: Instant) {
        self.settle(now);
        match mode {
            OverrideMode::ForcedOpen => {
                self.attempt = self.attempt(now);
                self.closed_since = None;
                self.turn(State::Open { until: now, drawn: None, probe: None });
            }
            OverrideMode::ForcedClosed if matches!(self.state, State::Closed(_)) => {
                self.state = State::Closed(None);
            }
            OverrideMode::ForcedClosed | OverrideMode::Disabled => self.close_fully(now),
            OverrideMode::ObserveOnly => {}
        }
        self.order = Some((mode, until));
    }

    fn close_fully(&mut self, now: Instant) {
        self.close(now);
        self.state = State::Closed(None);
    }

    pub(super) fn trip(&mut self, time: Duration, now: Instant) {
        self.settle(now);
        if self.order.is_some_and(|(mode, _)| mode != OverrideMode::ObserveOnly) {
            return;
        }
        let end = match self.state {
            State::Open { until, .. } => until.max(now + time),
            _ => {
                self.open(None, now);
                self.era -= 1;
                now + time
            }
        };
        self.turn(State::Open { until: end, drawn: None, probe: None });
    }

    pub(super) fn reset(&mut self, now: Instant) {
        self.settle(now);
        self.attempt = 0;
        if self.order.is_some_and(|(mode, _)| mode == OverrideMode::ForcedOpen) {
            self.history.clear();
        } else {
            self.close_fully(now);
        }
    }

    /// What the machine's view must be; what the model does not know is taken from `other`.
    pub(super) fn view(&self, other: BreakerSnapshot, now: Instant) -> BreakerSnapshot {
        let live = self.live(now);
        let count = |wanted: Outcome| live.iter().filter(|outcome| **outcome == wanted).count() as u64;
        let (state, ramp_percent, probes) = match &self.state {
            State::Closed(None) => (BreakerState::Closed, 100, 0),
            State::Closed(Some(step)) => (BreakerState::Closed, self.policy.ramp[step.index], 0),
            State::Open { probe, .. } => (BreakerState::Open, 0, usize::from(probe.is_some())),
            State::HalfOpen { probes, .. } => {
                (BreakerState::HalfOpen, 0, probes.iter().filter(|probe| probe.fate == Fate::Out).count())
            }
        };
        BreakerSnapshot {
            state: match self.order {
                Some((OverrideMode::ForcedOpen, _)) => BreakerState::Open,
                Some(_) => BreakerState::Closed,
                None if self.policy.shadow => BreakerState::Closed,
                None => state,
            },
            machine_state: state,
            generation: self.era,
            calls: live.len() as u64,
            failures: count(Outcome::Failure),
            slow: count(Outcome::Slow),
            overload: count(Outcome::Overload),
            consecutive_failures: self.row(),
            attempt: self.attempt(now),
            ramp_percent,
            probes_in_flight: probes,
            observing: self.observing(),
            opened_total: self.opened,
            refused_total: self.refused,
            shadow_refused_total: self.shadow_refused,
            late_total: self.late,
            ..other
        }
    }
}

fn is_share(part: usize, whole: usize, percent: u8) -> bool {
    percent > 0 && whole > 0 && part * 100 >= whole * usize::from(percent)
}

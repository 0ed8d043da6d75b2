//! What an operator and the control actor ask of the breaker, and how its changes are told.

use std::sync::Arc;

use super::{Guard, ProbePass};
use crate::{
    clock::{self, Instant},
    event::EventKind,
    policy::circuit_breaker::{BreakerState, CircuitBreaker, Override, Transition},
};

impl Guard {
    /// Opens the breaker by order; it heals as after any trip.
    pub fn trip(&self, cause: &str, open_for: Option<std::time::Duration>) {
        self.on_breaker(|machine| machine.trip(cause, open_for, clock::now()));
    }

    /// Closes the breaker and forgets what it has seen.
    pub fn reset(&self) {
        self.on_breaker(|machine| machine.reset(clock::now()));
    }

    /// Overrides the breaker until it is lifted or its time is up; `None` lifts it.
    pub fn force(&self, order: Option<Override>) {
        let text = order.as_ref().map_or_else(
            || "lifted".into(),
            |order| format!("{} by {}: {}", order.mode.as_str(), order.by, order.reason),
        );
        self.events.push(&self.name, EventKind::Override { order: text.into() });
        self.on_breaker(|machine| match order {
            Some(order) => machine.force(order, clock::now()),
            None => machine.clear_override(clock::now()),
        });
    }

    /// Returns the state of the breaker.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Returns when the breaker wants its next probe; `None` when it wants none.
    #[must_use]
    pub fn next_probe_at(&self) -> Option<Instant> {
        self.read_breaker(|machine| machine.next_probe_at())
    }

    /// Does what time alone does to the breaker, and says when there is something to do next; `None` while only
    /// a call or an order can change anything.
    ///
    /// The end of an open time is such a time: the tick that sees it lets calls through to be judged.
    #[must_use]
    pub fn tick(&self) -> Option<Instant> {
        self.on_breaker(|machine| machine.tick(clock::now()));
        self.read_breaker(|machine| {
            let is_open = machine.state() == BreakerState::Open;
            let opens_at = machine.open_info().retry_at.filter(|at| is_open && *at > clock::now());
            machine.next_tick_at().into_iter().chain(opens_at).min()
        })
    }

    /// Takes the right to one dedicated probe; `None` while none is due.
    #[must_use]
    pub fn begin_probe(&self) -> Option<ProbePass<'_>> {
        let permit = self.read_breaker(|machine| machine.try_probe(clock::now()))?;
        Some(ProbePass { guard: self, permit: Some(permit) })
    }

    /// Changes the breaker and tells what became of it.
    pub(super) fn on_breaker(&self, work: impl FnOnce(&mut CircuitBreaker) -> Option<Transition>) {
        let ((), transitions) = self.breaker.with(|machine| ((), work(machine)));
        self.announce(transitions);
    }

    /// Looks at the breaker; time that has passed may change it on the way.
    pub(super) fn read_breaker<R>(&self, look: impl FnOnce(&mut CircuitBreaker) -> R) -> R {
        let (result, transitions) = self.breaker.with(|machine| (look(machine), None));
        self.announce(transitions);
        result
    }

    /// Tells of changes, after the lock is gone.
    #[inline]
    pub(super) fn announce(&self, transitions: Vec<Transition>) {
        if !transitions.is_empty() {
            self.tell(transitions);
        }
    }

    #[cold]
    fn tell(&self, transitions: Vec<Transition>) {
        for transition in transitions {
            let Transition { from, to, cause, shadow, .. } = &transition;
            // Opened anew, or an override over the same state: the watcher must know, the record need not.
            if from != to {
                let (from, to, cause, shadow) = (*from, *to, Arc::clone(cause), *shadow);
                self.events.push(&self.name, EventKind::Transition { from, to, cause, shadow });
            }
            if let Some(watcher) = self.watcher.get() {
                watcher(&transition);
            }
        }
    }
}

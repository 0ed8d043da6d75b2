//! What the runtime said of itself: transitions, restarts, and the newest events in words.

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    time::Duration,
};

use backstop_core::{
    clock::Instant,
    event::{Event, EventKind, EventRing},
};
use serde::Serialize;

use super::Role;

/// The most transitions that a report lists.
const TRANSITIONS_MAX: usize = 10_000;

/// The newest events that are kept in words.
const LINES_MAX: usize = 64;

/// The state in which a breaker refuses.
const OPEN: &str = "open";

/// A breaker changed its state.
#[derive(Clone, Debug, Serialize)]
pub struct TransitionSeen {
    /// Milliseconds from the start of the run.
    pub at_ms: u64,
    /// Whose breaker.
    pub backend: Role,
    /// The state before.
    pub from: &'static str,
    /// The state after.
    pub to: &'static str,
    /// Why.
    pub cause: String,
}

/// An event in words.
#[derive(Clone, Debug)]
pub struct EventLine {
    /// Counts the lines from 1, so that a reader knows which ones are new.
    pub number: u64,
    /// Time from the start of the run.
    pub at: Duration,
    /// What happened.
    pub text: String,
}

/// Everything that was heard so far.
#[derive(Debug, Default)]
pub(super) struct Chronicle(RefCell<Heard>);

#[derive(Debug, Default)]
struct Heard {
    transitions: Vec<TransitionSeen>,
    restarts: [u64; Role::ALL.len()],
    /// Lanes whose new instance is due.
    rebuilding: HashSet<(Role, u64)>,
    lines: VecDeque<EventLine>,
    said: u64,
    missed: bool,
}

impl Chronicle {
    /// Writes down what the ring says, for as long as it is polled.
    pub(super) async fn follow(&self, events: &EventRing, started: Instant) {
        let mut seen = events.newest();
        loop {
            events.wait_after(seen).await;
            seen = self.catch_up(events, started, seen);
        }
    }

    /// Writes down what came after event number `seen`; returns the number of the newest.
    pub(super) fn catch_up(&self, events: &EventRing, started: Instant, mut seen: u64) -> u64 {
        let replay = events.since(seen);
        self.0.borrow_mut().missed |= replay.gap;
        for event in replay.events {
            seen = event.seq;
            self.note(&event, started);
        }
        seen
    }

    fn note(&self, event: &Event, started: Instant) {
        let Some(role) = Role::named(event.backend.as_str()) else { return };
        let at = event.at.saturating_duration_since(started);
        let mut heard = self.0.borrow_mut();
        match &event.kind {
            EventKind::Transition { from, to, cause, .. }
                if from != to && heard.transitions.len() < TRANSITIONS_MAX =>
            {
                heard.transitions.push(TransitionSeen {
                    at_ms: millis(at),
                    backend: role,
                    from: from.as_str(),
                    to: to.as_str(),
                    cause: cause.to_string(),
                });
            }
            EventKind::Restarting { lane, .. } => drop(heard.rebuilding.insert((role, *lane))),
            EventKind::Restarted { lane, .. } => {
                // the first instance of a lane is announced in the same way
                if !heard.rebuilding.remove(&(role, *lane)) {
                    return;
                }
                heard.restarts[role.index()] += 1;
            }
            _ => {}
        }
        drop(heard);
        if let Some(text) = in_words(&event.kind) {
            self.say(at, format!("{:<8} {text}", role.name()));
        }
    }

    /// Adds a line of the demo's own.
    pub(super) fn say(&self, at: Duration, text: String) {
        let mut heard = self.0.borrow_mut();
        heard.said += 1;
        let number = heard.said;
        if heard.lines.len() == LINES_MAX {
            heard.lines.pop_front();
        }
        heard.lines.push_back(EventLine { number, at, text });
    }

    /// Returns the lines after number `seen`, oldest first.
    #[must_use]
    pub(super) fn lines_since(&self, seen: u64) -> Vec<EventLine> {
        self.0.borrow().lines.iter().filter(|line| line.number > seen).cloned().collect()
    }

    /// Lists the transitions so far.
    #[must_use]
    pub(super) fn transitions(&self) -> Vec<TransitionSeen> {
        self.0.borrow().transitions.clone()
    }

    /// Counts how often the breaker of one backend opened.
    pub(crate) fn openings(&self, role: Role) -> u64 {
        let heard = self.0.borrow();
        heard.transitions.iter().filter(|seen| seen.backend == role && seen.to == OPEN).count() as u64
    }

    /// Says whether the breaker of one backend was open at any time of a span.
    pub(crate) fn was_open_between(&self, role: Role, from_ms: u64, to_ms: u64) -> bool {
        let heard = self.0.borrow();
        let mut own = heard.transitions.iter().filter(|seen| seen.backend == role && seen.at_ms <= to_ms);
        // either it opened within the span, or it was open already when the span began
        let before = own.clone().rfind(|seen| seen.at_ms < from_ms);
        before.is_some_and(|seen| seen.to == OPEN) || own.any(|seen| seen.at_ms >= from_ms && seen.to == OPEN)
    }

    /// Counts the new instances of one backend.
    #[must_use]
    pub(super) fn restarts(&self, role: Role) -> u64 {
        self.0.borrow().restarts[role.index()]
    }

    /// Says whether a new instance of one backend is due.
    #[must_use]
    pub(super) fn is_rebuilding(&self, role: Role) -> bool {
        self.0.borrow().rebuilding.iter().any(|(rebuilt, _)| *rebuilt == role)
    }

    /// Says whether events were lost because nobody read them in time.
    #[must_use]
    pub(super) fn missed_events(&self) -> bool {
        self.0.borrow().missed
    }
}

/// Says what happened, for people; `None` for what they need not know.
fn in_words(kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::Transition { from, to, cause, .. } if from != to => {
            format!("breaker {from} → {to}: {cause}")
        }
        EventKind::Override { order } => format!("breaker override {order}"),
        EventKind::Panicked { message, .. } => format!("panicked: {message}"),
        EventKind::Restarting { after_ms, .. } => format!("restarts in {after_ms} ms"),
        EventKind::Restarted { incarnation, .. } => format!("restarted, instance {incarnation}"),
        EventKind::RestartLimit { action } => format!("too many restarts: {action}"),
        EventKind::LaneStuck { for_ms, .. } => format!("a lane makes no progress for {for_ms} ms"),
        EventKind::ProbeFailed { error } => format!("probe failed: {error}"),
        EventKind::Alert { message } => message.to_string(),
        _ => return None,
    })
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use backstop_core::{clock, name::Name, policy::circuit_breaker::BreakerState};

    use super::*;

    #[tokio::test]
    async fn transitions_and_restarts_are_counted_and_said() {
        let (ring, chronicle, started) = (EventRing::new(16), Chronicle::default(), clock::now());
        let (from, to) = (BreakerState::Closed, BreakerState::Open);
        assert_eq!(to.as_str(), OPEN);
        let pricing = Name::from("pricing");
        ring.push(
            &pricing,
            EventKind::Transition { from, to, cause: "5 failures in a row".into(), shadow: false },
        );
        let worker = Name::from("worker");
        ring.push(&worker, EventKind::Restarted { lane: 0, incarnation: 1 });
        ring.push(&worker, EventKind::Restarting { lane: 0, after_ms: 5, reason: "panic".into() });
        ring.push(&worker, EventKind::Restarted { lane: 0, incarnation: 2 });
        ring.push(&Name::from("stranger"), EventKind::Draining);
        assert_eq!(chronicle.catch_up(&ring, started, 0), 5);
        assert_eq!((chronicle.openings(Role::Pricing), chronicle.openings(Role::Orders)), (1, 0));
        assert_eq!((chronicle.restarts(Role::Worker), chronicle.restarts(Role::Orders)), (1, 0));
        let lines = chronicle.lines_since(0);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].text.contains("closed → open: 5 failures in a row"), "{}", lines[0].text);
        assert_eq!(chronicle.lines_since(1).len(), 2);
    }

    #[test]
    fn a_breaker_that_was_open_before_a_span_is_open_within_it() {
        let chronicle = Chronicle::default();
        let seen =
            |at_ms, to| TransitionSeen { at_ms, backend: Role::Pricing, from: "", to, cause: String::new() };
        chronicle.0.borrow_mut().transitions =
            vec![seen(100, "open"), seen(300, "half_open"), seen(310, "closed")];
        let open = |from, to| chronicle.was_open_between(Role::Pricing, from, to);
        assert!(open(50, 150) && open(200, 250) && open(100, 100));
        assert!(!open(0, 99) && !open(305, 308) && !open(400, 500));
        assert!(!chronicle.was_open_between(Role::Orders, 0, 500));
    }
}

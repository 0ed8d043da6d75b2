//! The one stream of facts: transitions, restarts, overrides, alerts; numbered, bounded, replayable.
//!
//! Nothing on the path of a call writes here unless something changed. Supervisor, metrics, dashboard and
//! tests read the same record, so they cannot disagree.

use std::{collections::VecDeque, fmt, sync::Arc, time::SystemTime};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    clock::{self, Instant},
    name::Name,
    policy::circuit_breaker::BreakerState,
};

/// One fact about one backend.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counts up by one from 1, over all backends of a ring.
    pub seq: u64,
    /// When it happened, on the runtime's clock.
    #[serde(skip)]
    pub at: Instant,
    /// When it happened, on the wall clock.
    #[serde(serialize_with = "epoch_ms", rename = "time_ms")]
    pub time: SystemTime,
    /// Whom it is about.
    pub backend: Name,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

fn epoch_ms<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The backend takes calls.
    Started,
    /// The breaker changed its state.
    Transition {
        /// The state before.
        from: BreakerState,
        /// The state after.
        to: BreakerState,
        /// Why.
        cause: Arc<str>,
        /// Whether it only would have been so: the breaker observes and callers notice nothing.
        shadow: bool,
    },
    /// An operator or the supervisor overrode the breaker, or lifted the override.
    Override {
        /// What was ordered, by whom and why.
        order: Arc<str>,
    },
    /// A call panicked, so the instance that served it is replaced.
    Panicked {
        /// The lane it happened on.
        lane: u64,
        /// The panic's text.
        message: Arc<str>,
    },
    /// A new instance will be built.
    Restarting {
        /// The lane it will be built on.
        lane: u64,
        /// The delay before it, in milliseconds.
        after_ms: u64,
        /// Why.
        reason: Arc<str>,
    },
    /// A new instance serves calls.
    Restarted {
        /// The lane it serves.
        lane: u64,
        /// Counts the instances of the backend, over all lanes.
        incarnation: u64,
    },
    /// Too many instances were lost within the restart window.
    RestartLimit {
        /// What follows: `trip` or `escalate`.
        action: Arc<str>,
    },
    /// A lane started on a thread that calls the backend.
    LaneStarted {
        /// Its number.
        lane: u64,
    },
    /// A lane ended.
    LaneStopped {
        /// Its number.
        lane: u64,
    },
    /// A lane makes no progress though it has work.
    LaneStuck {
        /// Its number.
        lane: u64,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A health probe failed.
    ProbeFailed {
        /// Its error.
        error: Arc<str>,
    },
    /// Settings changed while running.
    Reconfigured,
    /// The recipe was replaced; instances follow.
    Replaced,
    /// No new calls are taken.
    Draining,
    /// The last call has ended or was given up, and the pools are closed.
    Stopped {
        /// Calls that were still under way and were given up.
        abandoned: usize,
    },
    /// Something an operator should look at.
    Alert {
        /// What.
        message: Arc<str>,
    },
    /// What an alert told of is over.
    AlertEnded {
        /// What.
        message: Arc<str>,
    },
}

/// A bounded ring of events with sequence numbers.
pub struct EventRing {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    capacity: usize,
}

struct Ring {
    next: u64,
    events: VecDeque<Arc<Event>>,
}

/// Events after some sequence number.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// Whether events between the number asked for and the first one here were dropped.
    pub gap: bool,
}

impl EventRing {
    /// Keeps the newest `capacity` events (at least 1).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let ring = Ring { next: 1, events: VecDeque::new() };
        Self { ring: Mutex::new(ring), newest: watch::Sender::new(0), capacity: capacity.max(1) }
    }

    /// Adds a fact and returns its number.
    pub fn push(&self, backend: &Name, kind: EventKind) -> u64 {
        tracing::debug!(target: "backstop::event", %backend, ?kind);
        let mut ring = self.ring.lock();
        let seq = ring.next;
        ring.next += 1;
        if ring.events.len() == self.capacity {
            ring.events.pop_front();
        }
        let (at, time) = (clock::now(), SystemTime::now());
        ring.events.push_back(Arc::new(Event { seq, at, time, backend: backend.clone(), kind }));
        drop(ring);
        self.newest.send_replace(seq);
        seq
    }

    /// Returns the events whose number is greater than `seq`.
    #[must_use]
    pub fn since(&self, seq: u64) -> Replay {
        let ring = self.ring.lock();
        let oldest = ring.events.front().map_or(ring.next, |event| event.seq);
        let skip = usize::try_from((seq + 1).saturating_sub(oldest)).unwrap_or(usize::MAX);
        Replay { events: ring.events.iter().skip(skip).cloned().collect(), gap: seq + 1 < oldest }
    }

    /// Returns the number of the newest event; 0 when there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.ring.lock().next - 1
    }

    /// Waits until an event newer than `seq` exists.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn wait_after(&self, seq: u64) {
        let mut newest = self.newest.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = newest.wait_for(|newest| *newest > seq).await;
    }
}

impl fmt::Debug for EventRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRing").field("newest", &self.newest()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_the_oldest_and_says_so() {
        let ring = EventRing::new(2);
        for _ in 0..3 {
            ring.push(&Name::from("b"), EventKind::Started);
        }
        let replay = ring.since(0);
        assert!(replay.gap);
        assert_eq!(replay.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
        assert!(!ring.since(1).gap);
        assert_eq!(ring.since(2).events.len(), 1);
        assert!(ring.since(3).events.is_empty());
    }

    #[tokio::test]
    async fn a_reader_wakes_for_the_next_event() {
        let ring = Arc::new(EventRing::new(8));
        let waiting = {
            let ring = Arc::clone(&ring);
            async move { ring.wait_after(0).await }
        };
        let writing = async { ring.push(&Name::from("b"), EventKind::Started) };
        let ((), seq) = tokio::join!(waiting, writing);
        assert_eq!(seq, 1);
    }
}

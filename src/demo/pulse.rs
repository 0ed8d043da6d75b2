//! How long the callers' own thread stood still, so that a busy machine is not taken for a late answer.

use std::{cell::RefCell, collections::VecDeque, time::Duration};

use backstop_core::clock::{self, Instant};

/// How often the pulse is taken.
const BEAT: Duration = Duration::from_millis(10);

/// A beat that is later than this is remembered.
const NOTABLE: Duration = Duration::from_millis(10);

/// The most stalls that are remembered.
const KEPT: usize = 100_000;

/// The stalls of one thread.
#[derive(Debug, Default)]
pub(super) struct Pulse(RefCell<VecDeque<Stall>>);

#[derive(Clone, Copy, Debug)]
struct Stall {
    ended: Instant,
    lasted: Duration,
}

impl Pulse {
    /// Takes the pulse of the current thread for as long as it is polled.
    pub(super) async fn beat(&self) {
        loop {
            let due = clock::now() + BEAT;
            tokio::time::sleep_until(due).await;
            let now = clock::now();
            let lasted = now.saturating_duration_since(due);
            if lasted > NOTABLE {
                self.note_stall(now, lasted);
            }
        }
    }

    pub(super) fn note_stall(&self, ended: Instant, lasted: Duration) {
        let mut stalls = self.0.borrow_mut();
        if stalls.len() == KEPT {
            stalls.pop_front();
        }
        stalls.push_back(Stall { ended, lasted });
    }

    /// Adds up the stalls that reached into a span of time.
    #[must_use]
    pub(super) fn stalled_between(&self, from: Instant, to: Instant) -> Duration {
        let stalls = self.0.borrow();
        let within = stalls.iter().filter(|stall| stall.ended >= from && stall.ended <= to + stall.lasted);
        within.map(|stall| stall.lasted).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_stalls_that_reach_into_the_span_count() {
        let (pulse, start) = (Pulse::default(), clock::now());
        let at = |ms| start + Duration::from_millis(ms);
        for ended in [100, 300, 500, 900] {
            pulse.note_stall(at(ended), Duration::from_millis(50));
        }
        assert_eq!(pulse.stalled_between(at(200), at(600)), Duration::from_millis(100));
        assert_eq!(pulse.stalled_between(at(910), at(990)), Duration::ZERO);
    }
}

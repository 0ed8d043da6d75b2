//! A window over the last N outcomes: one byte for each.

use super::{Counts, WindowSlice};
use crate::outcome::Outcome;

#[derive(Clone, Debug)]
pub(super) struct Ring {
    outcomes: Box<[Outcome]>,
    /// Where the next outcome goes; once the ring is full, the oldest one is there.
    next: usize,
    total: Counts,
}

impl Ring {
    pub(super) fn new(calls: usize) -> Self {
        // a place that holds nothing reads `NotCounted`, so that dropping it changes no sum
        let outcomes = vec![Outcome::NotCounted; calls.max(1)].into_boxed_slice();
        Self { outcomes, next: 0, total: Counts::default() }
    }

    #[inline]
    pub(super) fn record(&mut self, outcome: Outcome) {
        if outcome == Outcome::NotCounted {
            return;
        }
        let Some(place) = self.outcomes.get_mut(self.next) else { return };
        let mut forgotten = Counts::default();
        forgotten.record(std::mem::replace(place, outcome));
        self.total = self.total.minus(forgotten);
        self.total.record(outcome);
        self.next += 1;
        if self.next == self.outcomes.len() {
            self.next = 0;
        }
    }

    #[inline]
    pub(super) fn counts(&self) -> Counts {
        self.total
    }

    pub(super) fn clear(&mut self) {
        self.outcomes.fill(Outcome::NotCounted);
        self.next = 0;
        self.total = Counts::default();
    }

    /// Equal outcomes in a row make one slice.
    pub(super) fn slices(&self) -> Vec<WindowSlice> {
        let (newer, older) = self.outcomes.split_at(self.next);
        let mut slices: Vec<WindowSlice> = Vec::new();
        let mut previous = Outcome::NotCounted;
        for outcome in older.iter().chain(newer).copied() {
            match slices.last_mut() {
                Some(slice) if outcome == previous => slice.counts.record(outcome),
                _ if outcome == Outcome::NotCounted => {}
                _ => {
                    let mut counts = Counts::default();
                    counts.record(outcome);
                    slices.push(WindowSlice { age_ms: 0, counts });
                }
            }
            previous = outcome;
        }
        slices
    }

    /// Adds many outcomes; the order inside them is unknown, so the bad ones come last and stay longest.
    pub(super) fn add(&mut self, counts: Counts) {
        let good = counts.calls.saturating_sub(counts.bad() + counts.slow);
        let most = self.outcomes.len() as u64;
        for (outcome, count) in [
            (Outcome::Success, good),
            (Outcome::Slow, counts.slow),
            (Outcome::Overload, counts.overload),
            (Outcome::Failure, counts.failures),
        ] {
            (0..count.min(most)).for_each(|_| self.record(outcome));
        }
    }
}

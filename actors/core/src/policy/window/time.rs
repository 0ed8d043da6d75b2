//! A window over the last seconds: a fixed number of buckets, each a sum.

use std::time::Duration;

use super::{Counts, WindowSlice};
use crate::{clock::Instant, outcome::Outcome};

#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// The bucket that is being filled; apart from the others, so that a success costs one addition.
    current: Counts,
    /// When the current bucket is full.
    end: Instant,
    width: Duration,
    /// The buckets before it; the oldest is at `oldest`.
    past: Box<[Counts]>,
    oldest: usize,
    past_total: Counts,
}

impl Buckets {
    pub(super) fn new(length: Duration, buckets: u32, now: Instant) -> Self {
        let buckets = buckets.max(1);
        let width = (length / buckets).max(Duration::from_nanos(1));
        Self {
            current: Counts::default(),
            end: now.checked_add(width).unwrap_or(now),
            width,
            past: vec![Counts::default(); buckets as usize - 1].into_boxed_slice(),
            oldest: 0,
            past_total: Counts::default(),
        }
    }

    #[inline]
    pub(super) fn record(&mut self, outcome: Outcome, now: Instant) {
        if now >= self.end {
            self.turn(now);
        }
        self.current.record(outcome);
    }

    #[inline]
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        if now >= self.end {
            self.turn(now);
        }
        self.past_total.plus(self.current)
    }

    pub(super) fn clear(&mut self) {
        self.current = Counts::default();
        self.past.fill(Counts::default());
        self.past_total = Counts::default();
    }

    /// Opens the bucket that `now` falls into; at most as many steps as there are buckets.
    #[cold]
    fn turn(&mut self, now: Instant) {
        let width = self.width.as_nanos();
        let steps = 1 + now.saturating_duration_since(self.end).as_nanos() / width;
        for _ in 0..steps.min(self.past.len() as u128 + 1) {
            self.push();
        }
        let forward = u64::try_from(steps * width).map(Duration::from_nanos).unwrap_or(Duration::MAX);
        self.end = self.end.checked_add(forward).unwrap_or(now);
    }

    fn push(&mut self) {
        let full = std::mem::take(&mut self.current);
        if let Some(place) = self.past.get_mut(self.oldest) {
            self.past_total = self.past_total.minus(std::mem::replace(place, full)).plus(full);
            self.oldest = (self.oldest + 1) % self.past.len();
        }
    }

    pub(super) fn slices(&mut self, now: Instant) -> Vec<WindowSlice> {
        let _ = self.counts(now);
        let (newer, older) = self.past.split_at(self.oldest);
        let since_current = self.width.saturating_sub(self.end.saturating_duration_since(now));
        let back = u32::try_from(self.past.len()).unwrap_or(u32::MAX);
        older
            .iter()
            .chain(newer)
            .chain([&self.current])
            .zip((0..=back).rev())
            .filter(|(counts, _)| counts.calls > 0)
            .map(|(counts, back)| {
                let age = since_current + self.width.saturating_mul(back);
                WindowSlice { age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX), counts: *counts }
            })
            .collect()
    }

    /// Adds a slice to the bucket of its age; one that is older than the window is left out.
    ///
    /// The current bucket of a new window begins now. Ages are rounded up to whole buckets before it, so that
    /// nothing outlives the length of the window.
    pub(super) fn add(&mut self, slice: WindowSlice) {
        let back = Duration::from_millis(slice.age_ms).as_nanos().div_ceil(self.width.as_nanos());
        let (back, buckets) = (usize::try_from(back).unwrap_or(usize::MAX), self.past.len());
        if back == 0 {
            self.current = self.current.plus(slice.counts);
        } else if back <= buckets {
            // one back is the newest of the past, just before the oldest
            if let Some(place) = self.past.get_mut((self.oldest + buckets - back) % buckets) {
                *place = place.plus(slice.counts);
                self.past_total = self.past_total.plus(slice.counts);
            }
        }
    }
}

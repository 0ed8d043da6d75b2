//! Ten buckets that forget by themselves, with and without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many buckets make a window.
pub(super) const LENGTH: usize = 10;

/// Counts of the last [`LENGTH`] buckets, each stamped with the number of its bucket.
#[derive(Debug, Default)]
pub(super) struct Counts([(u32, u64); LENGTH]);

impl Counts {
    pub(super) fn add(&mut self, tick: u32) {
        let bucket = &mut self.0[tick as usize % LENGTH];
        // a thread that is late counts into the newer round: strict rather than generous
        if bucket.0 < tick {
            *bucket = (tick, 0);
        }
        bucket.1 += 1;
    }

    pub(super) fn sum(&self, tick: u32) -> u64 {
        self.0.iter().filter(|(stamp, _)| is_recent(*stamp, tick)).map(|(_, count)| count).sum()
    }
}

/// The same without a lock: the number of the bucket in the upper half of a word, its count in the lower.
///
/// A count may go to the next round of its bucket when a thread sleeps for a whole window between two
/// instructions; the budget tolerates one call more or less. A count would have to pass 2³² within one
/// bucket to overflow.
#[derive(Debug, Default)]
pub(super) struct Buckets([AtomicU64; LENGTH]);

impl Buckets {
    pub(super) fn add(&self, tick: u32) {
        let bucket = &self.0[tick as usize % LENGTH];
        let mut word = bucket.load(Relaxed);
        while stamp(word) < tick {
            let fresh = (u64::from(tick) << 32) | 1;
            match bucket.compare_exchange_weak(word, fresh, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
        // an older tick than the bucket's belongs to a thread that is a window late: not counted
        if stamp(word) == tick {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn sum(&self, tick: u32) -> u64 {
        let words = self.0.iter().map(|bucket| bucket.load(Relaxed));
        words.filter(|word| is_recent(stamp(*word), tick)).map(|word| word & u64::from(u32::MAX)).sum()
    }
}

fn stamp(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A reader a moment behind a writer sees the writer's bucket too.
fn is_recent(stamp: u32, tick: u32) -> bool {
    u64::from(stamp) + LENGTH as u64 > u64::from(tick)
}

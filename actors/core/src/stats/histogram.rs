//! A log-linear histogram of durations with one writer.
//!
//! Eight buckets an octave from 64 ns to 69 s, so a percentile is at most 12.5 % above the truth.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

const SUB_BITS: u32 = 3;
const LOWEST_OCTAVE: u32 = 6;
const OCTAVES: u32 = 31;
const BUCKETS: usize = (OCTAVES << SUB_BITS) as usize;

/// Counts durations; recording costs about 2 ns.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.max(1 << LOWEST_OCTAVE);
    let octave = nanos.ilog2();
    let sub = (nanos >> (octave - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    let index = (u64::from(octave - LOWEST_OCTAVE) << SUB_BITS) | sub;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The upper bound of a bucket, in nanoseconds.
fn bound_of(bucket: usize) -> u64 {
    let (octave, sub) = ((bucket >> SUB_BITS) as u32 + LOWEST_OCTAVE, bucket as u64 & ((1 << SUB_BITS) - 1));
    ((1 << SUB_BITS) + sub + 1) << (octave - SUB_BITS)
}

impl Histogram {
    /// Counts one duration; only one thread may record.
    pub fn record(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let bucket = &self.buckets[bucket_of(nanos)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
        self.sum_ns.store(self.sum_ns.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    /// Counts one duration, from any thread; a few nanoseconds more than [`Self::record`].
    #[inline]
    pub fn record_shared(&self, elapsed: Duration) {
        // in 64 bits, which is quicker than by way of 128
        let nanos =
            elapsed.as_secs().saturating_mul(1_000_000_000).saturating_add(elapsed.subsec_nanos().into());
        self.buckets[bucket_of(nanos)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(nanos, Relaxed);
    }
}

/// A merged view of histograms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencySnapshot {
    buckets: Vec<u64>,
    sum_ns: u64,
}

impl Default for LatencySnapshot {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], sum_ns: 0 }
    }
}

impl LatencySnapshot {
    /// Adds the counts of a histogram.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Relaxed);
        }
        self.sum_ns = self.sum_ns.wrapping_add(histogram.sum_ns.load(Relaxed));
    }

    /// Adds another view.
    pub fn merge(&mut self, other: &Self) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += bucket;
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }

    /// Takes an earlier view away, which leaves what was recorded since.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self {
            buckets: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum_ns: self.sum_ns.saturating_sub(earlier.sum_ns),
        }
    }

    /// Returns the sum of the durations.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// Counts the durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the mean; zero when empty.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.checked_div(self.count()).unwrap_or(0))
    }

    /// Returns the duration that a share of `percent` does not exceed; zero when empty.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let count = self.count();
        if count == 0 {
            return Duration::ZERO;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rank = ((percent / 100.0 * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        for (bucket, counted) in self.buckets.iter().enumerate() {
            seen += counted;
            if seen >= rank {
                return Duration::from_nanos(bound_of(bucket));
            }
        }
        Duration::from_nanos(bound_of(BUCKETS - 1))
    }
}

impl Serialize for LatencySnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let mut fields = serializer.serialize_struct("Latency", 5)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("mean_ms", &ms(self.mean()))?;
        fields.serialize_field("p50_ms", &ms(self.percentile(50.0)))?;
        fields.serialize_field("p99_ms", &ms(self.percentile(99.0)))?;
        fields.serialize_field("p999_ms", &ms(self.percentile(99.9)))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_never_below_the_truth_and_at_most_an_eighth_above() {
        for nanos in [64, 65, 100, 999, 1_000, 123_456, 5_000_000, 1_000_000_000, 60_000_000_000] {
            let histogram = Histogram::default();
            histogram.record(Duration::from_nanos(nanos));
            let mut view = LatencySnapshot::default();
            view.add(&histogram);
            let p50 = view.percentile(50.0).as_nanos() as u64;
            assert!(p50 >= nanos && p50 <= nanos + nanos / 8 + 1, "{nanos} became {p50}");
        }
    }

    #[test]
    fn extreme_durations_land_in_the_outer_buckets() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_follow_the_ranks() {
        let histogram = Histogram::default();
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        let mut view = LatencySnapshot::default();
        view.add(&histogram);
        assert!(view.percentile(99.0) >= Duration::from_micros(99));
        assert!(view.percentile(50.0) < Duration::from_micros(60));
        assert_eq!(view.count(), 100);
    }
}

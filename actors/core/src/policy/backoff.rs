//! How long to wait before the next attempt: exponential growth with a cap and jitter.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::error::ConfigError;

/// The growing delay between attempts.
///
/// Full jitter spreads the load of many callers best and finishes their work soonest of the usual kinds of
/// jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
///
/// ```
/// use backstop_core::policy::backoff::BackoffPolicy;
/// use std::time::Duration;
///
/// let delay = BackoffPolicy::default().delay(3, &mut fastrand::Rng::with_seed(1));
/// assert!(delay <= Duration::from_millis(800));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackoffPolicy {
    /// The range of the first delay; 100 ms.
    #[serde(with = "duration")]
    pub base: Duration,
    /// No delay is longer; 5 s.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// How chance enters; full.
    pub jitter: Jitter,
}

/// How chance enters a delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Anything from nothing to `min(max_delay, base · 2ⁿ)`.
    #[default]
    Full,
    /// The upper half of `min(max_delay, base · 2ⁿ⁺¹)`, so never less than `base`.
    Equal,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self { base: Duration::from_millis(100), max_delay: Duration::from_secs(5), jitter: Jitter::Full }
    }
}

impl BackoffPolicy {
    /// Draws the delay after `growth` earlier delays; 0 for the first.
    #[must_use]
    pub fn delay(&self, growth: u32, rng: &mut Rng) -> Duration {
        match self.jitter {
            Jitter::Full => between(Duration::ZERO, self.ceiling(growth), rng),
            Jitter::Equal => {
                let ceiling = self.ceiling(growth.saturating_add(1));
                between((ceiling / 2).max(self.base.min(ceiling)), ceiling, rng)
            }
        }
    }

    /// The longest delay that [`Self::delay`] can draw under full jitter: `min(max_delay, base · 2ⁿ)`.
    #[must_use]
    pub fn ceiling(&self, growth: u32) -> Duration {
        let factor = 1_u32.checked_shl(growth).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max_delay)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names `base` when it is zero or over an hour, and `max_delay` when it is under `base` or over a day.
    pub fn validate(&self) -> Result<(), ConfigError> {
        duration::check("base", self.base, Duration::from_nanos(1), Duration::from_secs(3600))?;
        duration::check("max_delay", self.max_delay, self.base, Duration::from_secs(86_400))
    }
}

fn between(low: Duration, high: Duration, rng: &mut Rng) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(nanos(low)..=nanos(high).max(nanos(low))))
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn full_jitter_uses_the_whole_range_under_the_doubling_ceiling() {
        let policy = BackoffPolicy::default();
        let mut rng = Rng::with_seed(7);
        for (growth, ceiling) in
            [(0, 100), (1, 200), (2, 400), (5, 3200), (6, 5000), (40, 5000), (u32::MAX, 5000)]
        {
            let drawn: Vec<_> = (0..1000).map(|_| policy.delay(growth, &mut rng)).collect();
            let (low, high) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
            assert!(*high <= millis(ceiling) && *high > millis(ceiling) * 9 / 10, "{growth}: {high:?}");
            assert!(*low < millis(ceiling) / 10, "{growth}: {low:?}");
        }
    }

    #[test]
    fn equal_jitter_never_waits_less_than_the_base() {
        let policy =
            BackoffPolicy { base: millis(200), max_delay: Duration::from_secs(30), jitter: Jitter::Equal };
        let mut rng = Rng::with_seed(7);
        for (growth, low, high) in [(0, 200, 400), (1, 400, 800), (7, 15_000, 30_000), (99, 15_000, 30_000)] {
            for _ in 0..1000 {
                let delay = policy.delay(growth, &mut rng);
                assert!(delay >= millis(low) && delay <= millis(high), "{growth}: {delay:?}");
            }
        }
    }

    #[test]
    fn same_seed_draws_the_same_delays() {
        let draw = || {
            let mut rng = Rng::with_seed(3);
            (0..9).map(|n| BackoffPolicy::default().delay(n, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn wrong_settings_are_named() {
        let base = BackoffPolicy { base: Duration::ZERO, ..Default::default() };
        assert_eq!(base.validate().unwrap_err().setting(), "base");
        let cap = BackoffPolicy { max_delay: millis(1), ..Default::default() };
        assert_eq!(cap.validate().unwrap_err().to_string(), "max_delay: must be from 100ms to 24h, is 1ms");
        assert!(BackoffPolicy::default().validate().is_ok());
    }

    #[test]
    fn settings_read_partly_and_refuse_unknown_keys() {
        let policy: BackoffPolicy = serde_json::from_str(r#"{"base":"50ms","jitter":"equal"}"#).unwrap();
        assert_eq!(policy, BackoffPolicy { base: millis(50), jitter: Jitter::Equal, ..Default::default() });
        assert!(serde_json::from_str::<BackoffPolicy>(r#"{"bas":"50ms"}"#).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn no_delay_leaves_its_bounds(base in 1..10_000_u64, cap in 1..100_000_u64, growth: u32, seed: u64) {
            let (base, max_delay) = (millis(base), millis(cap.max(base)));
            let mut rng = Rng::with_seed(seed);
            let full = BackoffPolicy { base, max_delay, jitter: Jitter::Full };
            prop_assert!(full.delay(growth, &mut rng) <= full.ceiling(growth));
            let equal = BackoffPolicy { jitter: Jitter::Equal, ..full }.delay(growth, &mut rng);
            prop_assert!(equal >= base && equal <= max_delay);
        }
    }
}

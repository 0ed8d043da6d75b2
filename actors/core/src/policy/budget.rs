//! How much extra load retries and hedges may cause together: a share of the recent calls.

mod ring;

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use self::ring::{Buckets, Counts};
use super::duration;
use crate::{clock::Instant, error::ConfigError};

/// How much retries and hedges of one backend may add to its calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetPolicy {
    /// Extra attempts as a share of the calls in the window, from 0 to 1; 0.2.
    pub share: f64,
    /// Extra attempts per second that are free whatever the share says, summed over the window; 1.
    pub floor_per_second: f64,
    /// How long a call or an extra attempt counts, in ten buckets; 10 s.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { share: 0.2, floor_per_second: 1.0, window: Duration::from_secs(10) }
    }
}

impl BudgetPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names `share` outside 0 to 1, `floor_per_second` outside 0 to 10 000, and `window` outside 1 s to 1 h.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(ConfigError::new("share", format!("must be from 0 to 1, is {}", self.share)));
        }
        if !(0.0..=10_000.0).contains(&self.floor_per_second) {
            let message = format!("must be from 0 to 10000 a second, is {}", self.floor_per_second);
            return Err(ConfigError::new("floor_per_second", message));
        }
        duration::check("window", self.window, Duration::from_secs(1), Duration::from_secs(3600))
    }

    /// Extra attempts that `calls` in the window allow: the larger of the share and the floor.
    #[must_use]
    pub fn allowance(&self, calls: u64) -> u64 {
        // the conversion saturates, and a share of a call is no call
        let share = (self.share * calls as f64) as u64;
        let floor = (self.floor_per_second * self.window.as_secs_f64()) as u64;
        share.max(floor)
    }
}

/// The budget of one backend for retries and hedges together; shared by its lanes.
///
/// In any ten consecutive buckets no more extra attempts are granted than [`BudgetPolicy::allowance`] says
/// at the moment of each grant. Calls are counted without a lock; grants, which are rare, take one.
#[derive(Debug)]
pub struct RetryBudget {
    origin: Instant,
    bucket: Duration,
    calls: Buckets,
    granted: Mutex<Granted>,
}

/// A view of a [`RetryBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetSnapshot {
    /// Calls in the window.
    pub calls: u64,
    /// Extra attempts granted in the window.
    pub granted: u64,
    /// Extra attempts that would be granted now.
    pub available: u64,
    /// Extra attempts granted since the start.
    pub granted_total: u64,
    /// Extra attempts refused since the start.
    pub refused_total: u64,
}

#[derive(Debug)]
struct Granted {
    policy: BudgetPolicy,
    recent: Counts,
    total: u64,
    refused: u64,
}

impl RetryBudget {
    /// Starts with no calls, so with the floor alone.
    #[must_use]
    pub fn new(policy: BudgetPolicy, now: Instant) -> Self {
        let bucket = (policy.window / ring::LENGTH as u32).max(Duration::from_nanos(1));
        let granted = Granted { policy, recent: Counts::default(), total: 0, refused: 0 };
        Self { origin: now, bucket, calls: Buckets::default(), granted: Mutex::new(granted) }
    }

    /// Returns the settings.
    #[must_use]
    pub fn policy(&self) -> BudgetPolicy {
        self.granted.lock().policy.clone()
    }

    /// Changes share and floor while calls are under way; counts and window stay as they are.
    pub fn set_policy(&self, policy: BudgetPolicy) {
        let mut granted = self.granted.lock();
        granted.policy = BudgetPolicy { window: granted.policy.window, ..policy };
    }

    /// Counts one call, however many attempts it takes; lock-free.
    pub fn deposit(&self, now: Instant) {
        self.calls.add(self.tick(now));
    }

    /// Takes one extra attempt out of the budget; `false` when there is none left.
    #[must_use]
    pub fn try_withdraw(&self, now: Instant) -> bool {
        let tick = self.tick(now);
        let mut granted = self.granted.lock();
        if granted.recent.sum(tick) >= granted.policy.allowance(self.calls.sum(tick)) {
            granted.refused += 1;
            return false;
        }
        granted.recent.add(tick);
        granted.total += 1;
        true
    }

    /// Shows the budget at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> BudgetSnapshot {
        let tick = self.tick(now);
        let calls = self.calls.sum(tick);
        let granted = self.granted.lock();
        let recent = granted.recent.sum(tick);
        BudgetSnapshot {
            calls,
            granted: recent,
            available: granted.policy.allowance(calls).saturating_sub(recent),
            granted_total: granted.total,
            refused_total: granted.refused,
        }
    }

    /// Numbers the buckets; at the shortest window the numbers last for thirteen years.
    fn tick(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.origin);
        // u64 lasts for 584 years of nanoseconds; a division of u128 costs ten times as much, on every call.
        let (since, bucket) = (nanos(since), nanos(self.bucket).max(1));
        u32::try_from(since / bucket).unwrap_or(u32::MAX)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn withdraw(budget: &RetryBudget, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| budget.try_withdraw(now)).count()
    }

    #[test]
    fn a_fifth_of_the_calls_may_be_repeated() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        (0..1000).for_each(|_| budget.deposit(start));
        assert_eq!(withdraw(&budget, start, 1000), 200);
    }

    #[test]
    fn an_idle_backend_has_one_extra_attempt_a_second() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        assert_eq!(withdraw(&budget, start, 100), 10);
        let over_an_hour: usize = (1..=3600).map(|s| withdraw(&budget, at(start, s * 1000), 5)).sum();
        assert!((3590..=3600).contains(&over_an_hour), "{over_an_hour}");
    }

    #[test]
    fn calls_and_grants_leave_the_window_after_ten_buckets() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        (0..1000).for_each(|_| budget.deposit(start));
        assert_eq!(withdraw(&budget, start, 1000), 200);
        assert_eq!(withdraw(&budget, at(start, 9_999), 1000), 0);
        assert_eq!(withdraw(&budget, at(start, 10_000), 1000), 10);
    }

    #[test]
    fn total_failure_adds_at_most_a_fifth() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        let mut extra = 0;
        for call in 0..60_000 {
            budget.deposit(at(start, call));
            extra += withdraw(&budget, at(start, call), 2);
        }
        assert!((11_500..=12_010).contains(&extra), "{extra}");
    }

    #[test]
    fn a_snapshot_shows_what_is_left() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        (0..100).for_each(|_| budget.deposit(start));
        assert_eq!(withdraw(&budget, start, 21), 20);
        let expected =
            BudgetSnapshot { calls: 100, granted: 20, available: 0, granted_total: 20, refused_total: 1 };
        assert_eq!(budget.snapshot(start), expected);
    }

    #[test]
    fn a_new_share_holds_at_once_for_the_calls_already_counted() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        (0..1000).for_each(|_| budget.deposit(start));
        budget.set_policy(BudgetPolicy { share: 0.5, ..BudgetPolicy::default() });
        assert_eq!(withdraw(&budget, start, 1000), 500);
    }

    #[test]
    fn concurrent_withdrawals_never_exceed_the_budget() {
        let start = clock::now();
        let budget = RetryBudget::new(BudgetPolicy::default(), start);
        let granted: usize = std::thread::scope(|scope| {
            let work = || {
                (0..500).for_each(|_| budget.deposit(start));
                withdraw(&budget, start, 500)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 400);
        assert_eq!(budget.snapshot(start).calls, 2000);
    }

    #[test]
    fn wrong_settings_are_named() {
        let policy = BudgetPolicy::default();
        assert!(policy.validate().is_ok());
        for (wrong, setting) in [
            (BudgetPolicy { share: -0.1, ..policy.clone() }, "share"),
            (BudgetPolicy { share: f64::NAN, ..policy.clone() }, "share"),
            (BudgetPolicy { floor_per_second: -1.0, ..policy.clone() }, "floor_per_second"),
            (BudgetPolicy { window: Duration::ZERO, ..policy }, "window"),
        ] {
            assert_eq!(wrong.validate().unwrap_err().setting(), setting);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

        #[test]
        fn agrees_with_a_full_history(steps in prop::collection::vec((0..1500_u64, 0..30_u64, 0..8_u64), 1..80)) {
            let start = clock::now();
            let policy = BudgetPolicy::default();
            let budget = RetryBudget::new(policy.clone(), start);
            let (mut now, mut calls, mut grants) = (0, Vec::new(), Vec::new());
            for (pause, deposits, tries) in steps {
                now += pause;
                let bucket = now / 1000;
                let recent = |all: &[u64]| all.iter().filter(|b| **b + 10 > bucket).count() as u64;
                for _ in 0..deposits {
                    budget.deposit(at(start, now));
                    calls.push(bucket);
                }
                for _ in 0..tries {
                    let expected = recent(&grants) < policy.allowance(recent(&calls));
                    prop_assert_eq!(budget.try_withdraw(at(start, now)), expected);
                    if expected {
                        grants.push(bucket);
                    }
                }
            }
        }
    }
}

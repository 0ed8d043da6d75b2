//! How many calls may be with a backend at once: a counter with named shares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// The largest limit a setting may hold.
const MOST: usize = 1_000_000;

/// How many calls may run at once, and which part of that belongs to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkheadPolicy {
    /// Calls that run at once, over all lanes; 1024, a safety net above the pool's own bound.
    pub limit: usize,
    /// Percent of the limit by the name of a tenant or a priority; none. What is left is for all others.
    ///
    /// A share never borrows from another, so a noisy one cannot starve a quiet one.
    pub shares: BTreeMap<String, u8>,
}

impl Default for BulkheadPolicy {
    fn default() -> Self {
        Self { limit: 1024, shares: BTreeMap::new() }
    }
}

impl BulkheadPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names `limit` outside 1 to 1 000 000, a share of nothing, and `shares` that leave less than 1 % for
    /// all others or that the limit is too small for.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MOST).contains(&self.limit) {
            return Err(ConfigError::new("limit", format!("must be from 1 to {MOST}, is {}", self.limit)));
        }
        if let Some((name, _)) = self.shares.iter().find(|(_, percent)| **percent == 0) {
            return Err(ConfigError::new(format!("shares.{name}"), "must be from 1 to 99 percent, is 0"));
        }
        let sum: u32 = self.shares.values().map(|percent| u32::from(*percent)).sum();
        if sum > 99 {
            let message = format!("must leave at least 1 percent for all others, sum to {sum}");
            return Err(ConfigError::new("shares", message));
        }
        if self.shares.len() >= self.limit {
            let message =
                format!("must be fewer than the limit of {}, are {}", self.limit, self.shares.len());
            return Err(ConfigError::new("shares", message));
        }
        Ok(())
    }
}

/// A part of a [`Bulkhead`]; [`Share::default`] is the one of all callers without a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Share(usize);

/// Counts the calls that run at once: never more than the limit, and never more of a share than its part.
///
/// After the limit was lowered more may run until enough of them have ended. The machine does not queue;
/// a caller that is refused waits in a [`WaitQueue`](super::queue::WaitQueue) or gives up.
///
/// ```
/// use backstop_core::policy::bulkhead::{Bulkhead, BulkheadPolicy, Share};
///
/// let mut bulkhead = Bulkhead::new(&BulkheadPolicy { limit: 1, ..Default::default() });
/// assert!(bulkhead.try_acquire(Share::default()));
/// assert!(!bulkhead.try_acquire(Share::default()));
/// bulkhead.release(Share::default());
/// assert!(bulkhead.try_acquire(Share::default()));
/// ```
#[derive(Clone, Debug)]
pub struct Bulkhead {
    limit: usize,
    in_use: usize,
    /// The first is the one of all others.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    name: Option<String>,
    percent: u8,
    limit: usize,
    in_use: usize,
}

/// A view of a [`Bulkhead`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkheadSnapshot {
    /// Calls that may run at once.
    pub limit: usize,
    /// Calls that run.
    pub in_use: usize,
    /// The named shares.
    pub shares: BTreeMap<String, ShareSnapshot>,
}

/// A view of one share of a [`Bulkhead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShareSnapshot {
    /// Calls of the share that may run at once.
    pub limit: usize,
    /// Calls of the share that run.
    pub in_use: usize,
}

impl Bulkhead {
    /// Starts with nothing running.
    #[must_use]
    pub fn new(policy: &BulkheadPolicy) -> Self {
        let rest = policy.shares.values().fold(100_u8, |rest, percent| rest.saturating_sub(*percent));
        let part = |name, percent| Part { name, percent, limit: 0, in_use: 0 };
        let named = policy.shares.iter().map(|(name, percent)| part(Some(name.clone()), *percent));
        let parts = std::iter::once(part(None, rest)).chain(named).collect();
        let mut bulkhead = Self { limit: 0, in_use: 0, parts };
        bulkhead.set_limit(policy.limit);
        bulkhead
    }

    /// Finds the share of that name; that of all others when there is none.
    #[must_use]
    pub fn share(&self, name: &str) -> Share {
        Share(self.parts.iter().position(|part| part.name.as_deref() == Some(name)).unwrap_or(0))
    }

    /// Takes a slot; `false` when the limit or the share is used up.
    #[must_use]
    pub fn try_acquire(&mut self, share: Share) -> bool {
        let (limit, in_use) = (self.limit, self.in_use);
        let part = self.part(share);
        if in_use >= limit || part.in_use >= part.limit {
            return false;
        }
        part.in_use += 1;
        self.in_use += 1;
        true
    }

    /// Gives a slot back that [`Self::try_acquire`] took for the same share.
    pub fn release(&mut self, share: Share) {
        let part = self.part(share);
        part.in_use = part.in_use.saturating_sub(1);
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Changes the limit, at least 1; the shares follow it, rounded down but at least one slot each.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
        let mut rest = self.limit;
        for part in self.parts.iter_mut().skip(1) {
            part.limit = (self.limit.saturating_mul(usize::from(part.percent)) / 100).max(1);
            rest = rest.saturating_sub(part.limit);
        }
        // slots lost by rounding go to the others
        self.part(Share::default()).limit = rest.max(1);
    }

    /// Calls that may run at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Calls that run.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Shows the counts.
    #[must_use]
    pub fn snapshot(&self) -> BulkheadSnapshot {
        let named = self.parts.iter().filter_map(|part| {
            let snapshot = ShareSnapshot { limit: part.limit, in_use: part.in_use };
            part.name.clone().map(|name| (name, snapshot))
        });
        BulkheadSnapshot { limit: self.limit, in_use: self.in_use, shares: named.collect() }
    }

    /// A share of another bulkhead counts as the one of all others.
    fn part(&mut self, share: Share) -> &mut Part {
        let index = if share.0 < self.parts.len() { share.0 } else { 0 };
        &mut self.parts[index]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shared(limit: usize, shares: &[(&str, u8)]) -> BulkheadPolicy {
        BulkheadPolicy { limit, shares: shares.iter().map(|(name, p)| ((*name).to_owned(), *p)).collect() }
    }

    fn fill(bulkhead: &mut Bulkhead, share: Share) -> usize {
        (0..1000).filter(|_| bulkhead.try_acquire(share)).count()
    }

    #[test]
    fn admits_exactly_its_limit() {
        let mut bulkhead = Bulkhead::new(&shared(3, &[]));
        assert_eq!(fill(&mut bulkhead, Share::default()), 3);
        bulkhead.release(Share::default());
        assert_eq!(fill(&mut bulkhead, Share::default()), 1);
    }

    #[test]
    fn a_noisy_share_takes_nothing_from_the_others() {
        let mut bulkhead = Bulkhead::new(&shared(100, &[("batch", 20), ("web", 50)]));
        let (batch, web) = (bulkhead.share("batch"), bulkhead.share("web"));
        assert_eq!(fill(&mut bulkhead, batch), 20);
        assert_eq!(fill(&mut bulkhead, Share::default()), 30);
        assert_eq!(fill(&mut bulkhead, web), 50);
    }

    #[test]
    fn callers_of_an_unknown_share_are_among_the_others() {
        let bulkhead = Bulkhead::new(&shared(10, &[("web", 50)]));
        assert_eq!(bulkhead.share("wbe"), Share::default());
    }

    #[test]
    fn a_lower_limit_holds_once_the_surplus_has_ended() {
        let mut bulkhead = Bulkhead::new(&shared(10, &[]));
        assert_eq!(fill(&mut bulkhead, Share::default()), 10);
        bulkhead.set_limit(4);
        (0..6).for_each(|_| bulkhead.release(Share::default()));
        assert!(!bulkhead.try_acquire(Share::default()));
        bulkhead.release(Share::default());
        assert!(bulkhead.try_acquire(Share::default()));
    }

    #[test]
    fn a_higher_limit_holds_at_once() {
        let mut bulkhead = Bulkhead::new(&shared(2, &[]));
        assert_eq!(fill(&mut bulkhead, Share::default()), 2);
        bulkhead.set_limit(5);
        assert_eq!(fill(&mut bulkhead, Share::default()), 3);
    }

    #[test]
    fn a_small_limit_leaves_each_share_one_slot_and_is_never_passed() {
        let mut bulkhead = Bulkhead::new(&shared(2, &[("a", 1), ("b", 1)]));
        let (a, b) = (bulkhead.share("a"), bulkhead.share("b"));
        assert_eq!([fill(&mut bulkhead, a), fill(&mut bulkhead, b)], [1, 1]);
        assert_eq!(fill(&mut bulkhead, Share::default()), 0);
    }

    #[test]
    fn a_snapshot_names_the_shares() {
        let mut bulkhead = Bulkhead::new(&shared(10, &[("web", 50)]));
        let web = bulkhead.share("web");
        assert!(bulkhead.try_acquire(web));
        let json = serde_json::to_value(bulkhead.snapshot()).unwrap();
        let expected =
            serde_json::json!({"limit": 10, "in_use": 1, "shares": {"web": {"limit": 5, "in_use": 1}}});
        assert_eq!(json, expected);
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(BulkheadPolicy::default().validate().is_ok());
        for (wrong, setting) in [
            (shared(0, &[]), "limit"),
            (shared(10, &[("web", 0)]), "shares.web"),
            (shared(10, &[("web", 60), ("batch", 40)]), "shares"),
            (shared(1, &[("web", 60)]), "shares"),
        ] {
            assert_eq!(wrong.validate().unwrap_err().setting(), setting);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn no_order_of_calls_passes_the_limit(limit in 1..20_usize, steps in prop::collection::vec((0..3_usize, any::<bool>()), 0..200)) {
            let mut bulkhead = Bulkhead::new(&shared(limit, &[("a", 30), ("b", 30)]));
            let shares = [Share::default(), bulkhead.share("a"), bulkhead.share("b")];
            let mut running = [0_usize; 3];
            for (who, acquire) in steps {
                if acquire {
                    running[who] += usize::from(bulkhead.try_acquire(shares[who]));
                } else if running[who] > 0 {
                    bulkhead.release(shares[who]);
                    running[who] -= 1;
                }
                prop_assert_eq!(bulkhead.in_use(), running.iter().sum::<usize>());
                prop_assert!(bulkhead.in_use() <= limit);
                prop_assert!(running[1] <= (limit * 30 / 100).max(1));
            }
        }
    }
}

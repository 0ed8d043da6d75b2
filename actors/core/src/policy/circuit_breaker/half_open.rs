//! The probes of a half-open breaker.

use super::{BreakerPolicy, open_time::after, verdict::reaches};
use crate::{
    clock::Instant,
    planted::{self, Bug},
};

/// A probe's place, which it loses at `until`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) id: u32,
    pub(super) since: Instant,
    pub(super) until: Instant,
}

/// One round of probes; never more than the policy's number of them, counting those that ended.
///
/// The round ends with the last result, or earlier: as soon as too many have failed, and once it has lasted as
/// long as a lease with the results that are there, at least one. So a call or a tick after that time ends it,
/// and a backend with little traffic is not half-open for long.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// When the results that are there decide, however few.
    decide_at: Instant,
    /// Since when no probe began or ended.
    quiet_since: Instant,
    leases: Vec<Lease>,
    passed: u32,
    failed: u32,
}

impl Lease {
    pub(super) fn new(id: u32, policy: &BreakerPolicy, now: Instant) -> Self {
        Self { id, since: now, until: after(now, policy.probe_lease) }
    }
}

impl HalfOpen {
    pub(super) fn new(policy: &BreakerPolicy, now: Instant) -> Self {
        Self {
            decide_at: after(now, policy.probe_lease),
            quiet_since: now,
            leases: Vec::new(),
            passed: 0,
            failed: 0,
        }
    }

    /// Gives a place away if there is one.
    pub(super) fn lease(&mut self, id: u32, policy: &BreakerPolicy, now: Instant) -> bool {
        let has_room = self.has_room(policy);
        if has_room {
            self.leases.push(Lease::new(id, policy, now));
            self.quiet_since = now;
        }
        has_room
    }

    /// Ends a probe; `passed` is `None` for one that gives its place back. `false` if its lease is over.
    pub(super) fn end(&mut self, id: u32, passed: Option<bool>, now: Instant) -> bool {
        let Some(index) = self.leases.iter().position(|lease| lease.id == id) else { return false };
        self.leases.swap_remove(index);
        self.quiet_since = now;
        match passed {
            Some(true) => self.passed += 1,
            Some(false) => self.failed += 1,
            None => {}
        }
        true
    }

    /// Fails the probes whose lease is over: a backend that hangs is not well.
    pub(super) fn expire(&mut self, now: Instant) {
        let before = self.leases.len();
        self.leases.retain(|lease| now < lease.until);
        self.failed += u32::try_from(before - self.leases.len()).unwrap_or(u32::MAX);
    }

    /// Says whether the backend is well, once that is certain or the time for more results is over.
    pub(super) fn verdict(&self, policy: &BreakerPolicy, now: Instant) -> Option<bool> {
        let (done, failed) = (self.passed + self.failed, u64::from(self.failed));
        if reaches(failed, u64::from(policy.probes), policy.probe_percent()) {
            return Some(false);
        }
        let is_time = done >= policy.probes || (done > 0 && now >= self.decide_at);
        is_time.then(|| !reaches(failed, u64::from(done), policy.probe_percent()))
    }

    pub(super) fn has_room(&self, policy: &BreakerPolicy) -> bool {
        let taken = self.leases.len() as u64 + u64::from(self.passed) + u64::from(self.failed);
        taken < u64::from(policy.probes) || planted::is(Bug::ProbesUnbounded)
    }

    /// When a dedicated probe may take a place because no user wants one; `None` while one is in use.
    pub(super) fn health_probe_at(&self, policy: &BreakerPolicy) -> Option<Instant> {
        (self.leases.is_empty() && self.has_room(policy)).then(|| after(self.quiet_since, policy.probe_grace))
    }

    /// When time alone changes something.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let decides = (self.passed + self.failed > 0).then_some(self.decide_at);
        decides.into_iter().chain(self.first_end()).min()
    }

    /// When the first lease ends.
    pub(super) fn first_end(&self) -> Option<Instant> {
        self.leases.iter().map(|lease| lease.until).min()
    }

    pub(super) fn find(&self, id: u32) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.id == id)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.leases.len()
    }

    pub(super) fn results(&self) -> (u32, u32) {
        (self.passed, self.failed)
    }
}

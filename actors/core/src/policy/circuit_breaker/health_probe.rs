//! The dedicated probe: a cheap request (`SELECT 1`, `PING`, chain head) that heals a backend without users.
//!
//! While open, one probe that passes leads to half-open, never straight to closed. While half-open and quiet,
//! probes take the places that no user wants, so that the breaker also closes without traffic.

use std::time::Duration;

use super::{CircuitBreaker, Kind, OverrideMode, Permit, Phase, Transition, half_open::Lease};
use crate::{clock::Instant, outcome::Outcome};

impl CircuitBreaker {
    /// Says whether [`Self::try_probe`] would give a permit.
    #[must_use]
    pub fn probe_due(&self, now: Instant) -> bool {
        self.next_probe_at().is_some_and(|at| now >= at)
    }

    /// Says when the next dedicated probe is due; `None` while none is wanted.
    #[must_use]
    pub fn next_probe_at(&self) -> Option<Instant> {
        match &self.over {
            // its end makes a probe due
            Some(order) if order.mode == OverrideMode::ForcedOpen => return order.until,
            Some(order) if order.mode != OverrideMode::ObserveOnly => return None,
            _ => {}
        }
        match &self.phase {
            Phase::Closed(_) => None,
            // one at a time; one that hangs makes room when its lease ends
            Phase::Open(open) => Some(open.probing.map_or(open.until, |probe| probe.until)),
            Phase::HalfOpen(half_open) => half_open.health_probe_at(&self.policy),
        }
    }

    /// Asks to make a dedicated probe; `None` while none is due. Never waits.
    ///
    /// The permit comes back by [`Self::probe_succeeded`], [`Self::probe_failed`] or [`Self::release`]. It
    /// belongs to the state that gave it, as any other.
    #[must_use]
    pub fn try_probe(&mut self, now: Instant) -> Option<Permit> {
        self.settle(now);
        if !self.probe_due(now) {
            return None;
        }
        let lease = self.next_lease;
        let is_given = match &mut self.phase {
            Phase::Closed(_) => false,
            Phase::Open(open) => {
                open.probing = Some(Lease::new(lease, &self.policy, now));
                true
            }
            Phase::HalfOpen(half_open) => half_open.lease(lease, &self.policy, now),
        };
        if !is_given {
            return None;
        }
        self.next_lease = lease.wrapping_add(1);
        Some(Permit { generation: self.generation, kind: Kind::Probe { lease } })
    }

    /// Reports that the probe of `permit` passed.
    ///
    /// An open breaker turns half-open. In half-open it is one result of the round; a slow one fails.
    pub fn probe_succeeded(&mut self, permit: Permit, now: Instant) -> Option<Transition> {
        let elapsed = self.probe_elapsed(permit, now);
        self.record(permit, Outcome::Success, elapsed, now, None, None)
    }

    /// Reports that the probe of `permit` failed, why, and when the backend wants to be asked again.
    ///
    /// An open breaker stays open for a new and longer time, or for `hint`.
    pub fn probe_failed(
        &mut self,
        permit: Permit,
        now: Instant,
        reason: &str,
        hint: Option<Duration>,
    ) -> Option<Transition> {
        self.record(permit, Outcome::Failure, Duration::ZERO, now, hint, Some(reason))
    }

    fn probe_elapsed(&self, permit: Permit, now: Instant) -> Duration {
        let Kind::Probe { lease } = permit.kind else { return Duration::ZERO };
        let found = match &self.phase {
            Phase::Closed(_) => None,
            Phase::Open(open) => open.probing.as_ref().filter(|probe| probe.id == lease),
            Phase::HalfOpen(half_open) => half_open.find(lease),
        };
        found.map_or(Duration::ZERO, |probe| now.saturating_duration_since(probe.since))
    }
}

//! When a queue stands: the smallest wait of an interval was above the target.
//!
//! The rule of db_connection 2.7 (`connection_pool.ex`), itself after Nichols and Jacobson, "Controlling
//! Queue Delay", ACM Queue 10(5), 2012.

use std::time::Duration;

use super::{Discipline, QueuePolicy};
use crate::clock::Instant;

/// The verdict on the last interval and the evidence of the present one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codel {
    ends: Option<Instant>,
    smallest: Option<Duration>,
    shedding: bool,
}

impl Codel {
    pub(super) fn is_shedding(self) -> bool {
        self.shedding
    }

    /// Notes that the first call begins to wait: after a pause longer than an interval nothing stands.
    pub(super) fn begins_to_wait(&mut self, policy: &QueuePolicy, now: Instant) {
        if self.ends.is_none_or(|ends| now >= ends + policy.interval) {
            *self = Self { ends: Some(now + policy.interval), ..Self::default() };
        }
    }

    /// Ends the interval when it is over, then says above which wait calls are shed; `None` for never.
    ///
    /// `oldest` is the wait of the call at the front. It stands in for the smallest wait of an interval in
    /// which no call was served.
    pub(super) fn judge(
        &mut self,
        policy: &QueuePolicy,
        now: Instant,
        oldest: Option<Duration>,
    ) -> Option<Duration> {
        if policy.discipline == Discipline::Fifo {
            return None;
        }
        if self.ends.is_none_or(|ends| now >= ends) {
            self.shedding = self.smallest.or(oldest).is_some_and(|smallest| smallest > policy.target);
            self.smallest = None;
            self.ends = Some(now + policy.interval);
        }
        self.shedding.then_some(policy.target * 2)
    }

    /// Notes how long the oldest had waited when a call was served; nothing when the queue was empty.
    ///
    /// With the newest first it is still the oldest that tells whether the queue stands.
    pub(super) fn observe(&mut self, waited: Duration) {
        self.smallest = Some(self.smallest.map_or(waited, |smallest| smallest.min(waited)));
    }
}

//! Which faults happen, when and for how long; scaled to the length of the run.

use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use super::Role;

/// What can be made to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The API answers, but slowly.
    Slow,
    /// The API answers with status 500; half of the writes have taken effect before.
    Fails,
    /// The API takes requests and does not answer; half of the writes have taken effect.
    Hangs,
    /// The API's listener is closed and its connections are reset.
    Dies,
    /// The worker's code panics.
    Panics,
    /// Far more calls at once than the worker's intake takes.
    Burst,
    /// Another connection holds the write lock of the database.
    Locked,
    /// All processes of the server are killed (SIGKILL); it is started again on the same data.
    Killed,
    /// All processes of the server stand still (SIGSTOP), and go on.
    Paused,
}

impl FaultKind {
    /// A word for tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Fails => "fails",
            Self::Hangs => "hangs",
            Self::Dies => "dies",
            Self::Panics => "panics",
            Self::Burst => "burst",
            Self::Locked => "locked",
            Self::Killed => "killed",
            Self::Paused => "paused",
        }
    }

    /// A sentence for the view.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::Slow => "answers, but slowly",
            Self::Fails => "answers with status 500",
            Self::Hangs => "takes requests and does not answer",
            Self::Dies => "listener closed, connections reset",
            Self::Panics => "its code panics",
            Self::Burst => "far more calls at once than it takes in",
            Self::Locked => "another connection holds the write lock",
            Self::Killed => "all processes of the server killed",
            Self::Paused => "all processes of the server stand still",
        }
    }

    /// Says whether messages must have been refused or must have failed, or it did not happen.
    #[must_use]
    pub fn must_bite(self) -> bool {
        self != Self::Slow
    }

    /// Says whether the breaker must have opened, or it did not happen.
    #[must_use]
    pub fn must_trip(self) -> bool {
        matches!(self, Self::Dies | Self::Killed)
    }
}

/// One fault of the schedule; times count from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whom it hits.
    pub role: Role,
    /// What goes wrong.
    pub kind: FaultKind,
    /// When it begins, at the earliest: never before its backend has recovered from the one before.
    pub starts: Duration,
    /// How long it lasts.
    pub lasts: Duration,
}

/// Start and length in thousandths of the run. What is left after the last one is for recovery.
const SCRIPT: [(Role, FaultKind, u32, u32); 15] = [
    (Role::Pricing, FaultKind::Slow, 80, 70),
    (Role::Pricing, FaultKind::Fails, 260, 90),
    (Role::Pricing, FaultKind::Hangs, 450, 80),
    (Role::Pricing, FaultKind::Dies, 640, 100),
    (Role::Worker, FaultKind::Panics, 150, 20),
    (Role::Worker, FaultKind::Panics, 300, 20),
    (Role::Worker, FaultKind::Burst, 420, 40),
    (Role::Worker, FaultKind::Panics, 600, 20),
    (Role::Worker, FaultKind::Panics, 780, 20),
    (Role::Orders, FaultKind::Locked, 340, 80),
    (Role::Orders, FaultKind::Locked, 700, 80),
    (Role::Payments, FaultKind::Killed, 130, 60),
    (Role::Payments, FaultKind::Paused, 560, 90),
    (Role::Savings, FaultKind::Paused, 200, 90),
    (Role::Savings, FaultKind::Killed, 480, 60),
];

/// How far chance moves a start, in thousandths of the run.
const JITTER: u32 = 15;

/// The faults of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    faults: Vec<Fault>,
}

impl Schedule {
    /// Plans the faults of a run of this length.
    #[must_use]
    pub(super) fn scaled(duration: Duration, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let part = |thousandths: u32| duration * thousandths / 1_000;
        let faults = SCRIPT.iter().map(|&(role, kind, starts, lasts)| {
            let starts = part(starts + rng.u32(0..=JITTER));
            Fault { role, kind, starts, lasts: part(lasts) }
        });
        Self { faults: faults.collect() }
    }

    /// The faults of one backend, in their order; they never overlap.
    pub(super) fn track(&self, role: Role) -> impl Iterator<Item = Fault> + '_ {
        self.faults.iter().copied().filter(move |fault| fault.role == role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_one_backend_follow_each_other_and_leave_time_to_recover() {
        for (seconds, seed) in [(5, 1), (30, 7), (3_600, 99)] {
            let duration = Duration::from_secs(seconds);
            let schedule = Schedule::scaled(duration, seed);
            for role in Role::ALL {
                let mut free_at = Duration::ZERO;
                for fault in schedule.track(role) {
                    assert!(fault.starts >= free_at, "{fault:?}");
                    free_at = fault.starts + fault.lasts + duration / 20;
                }
                assert!(free_at <= duration * 9 / 10, "{role:?} {free_at:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let plan = |seed| Schedule::scaled(Duration::from_secs(30), seed);
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn every_kind_of_fault_has_its_turn() {
        let schedule = Schedule::scaled(Duration::from_secs(5), 1);
        let happens =
            |kind| Role::ALL.iter().any(|role| schedule.track(*role).any(|fault| fault.kind == kind));
        for kind in [FaultKind::Slow, FaultKind::Fails, FaultKind::Hangs, FaultKind::Dies] {
            assert!(happens(kind), "{kind:?}");
        }
        for kind in [FaultKind::Panics, FaultKind::Burst, FaultKind::Locked] {
            assert!(happens(kind), "{kind:?}");
        }
        for role in Role::SERVERS {
            for kind in [FaultKind::Killed, FaultKind::Paused] {
                assert!(schedule.track(role).any(|fault| fault.kind == kind), "{role:?} {kind:?}");
            }
        }
    }
}

//! The counted bound in front of all lanes together; an actix mailbox is none.

use std::sync::Arc;

use serde::Serialize;

use super::Guard;
use crate::{
    error::RejectionReason,
    planted::{self, Bug},
    sync::{
        AtomicU8, AtomicU64, AtomicUsize, Notify,
        Ordering::{Relaxed, SeqCst},
    },
};

/// Whether new calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// They are.
    Open,
    /// Not any more; those under way are finished.
    Draining,
    /// Not any more; nothing is under way.
    Stopped,
}

/// Counts calls in and out.
pub(super) struct Intake {
    /// Calls under way in the low bits, calls ever admitted above: one locked operation counts both.
    count: AtomicU64,
    limit: AtomicUsize,
    admission: AtomicU8,
    refused: AtomicU64,
    abandoned: AtomicU64,
    emptied: Notify,
}

/// One call in the upper part of the count; 16 million may be under way, a trillion may be admitted.
const ADMITTED: u64 = 1 << 24;
const UNDER_WAY: u64 = ADMITTED - 1;

fn under_way(count: u64) -> usize {
    usize::try_from(count & UNDER_WAY).unwrap_or(usize::MAX)
}

/// The place of one admitted call; dropping it gives the place back.
#[derive(Debug)]
pub struct Ticket {
    guard: Arc<Guard>,
    settled: bool,
}

impl Ticket {
    /// Notes that the call ended with an answer, so that dropping the ticket does not count it as abandoned.
    pub fn settle(mut self) {
        self.settled = true;
    }

    /// Returns the guard that let the call in.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let intake = &self.guard.intake;
        if !self.settled {
            intake.abandoned.fetch_add(1, Relaxed);
            if planted::is(Bug::IntakeNotCountedBack) {
                return;
            }
        }
        let before = intake.count.fetch_sub(1, SeqCst);
        if before & UNDER_WAY == 1 && intake.admission.load(SeqCst) != Admission::Open as u8 {
            intake.emptied.notify_waiters();
        }
    }
}

impl Intake {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            count: AtomicU64::new(0),
            limit: AtomicUsize::new(limit),
            admission: AtomicU8::new(Admission::Open as u8),
            refused: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            emptied: Notify::new(),
        }
    }

    pub(super) fn enter(&self, guard: &Arc<Guard>) -> Result<Ticket, RejectionReason> {
        let limit = self.limit.load(Relaxed);
        // Count first, look afterwards: whoever drains sees either the count or makes us see the closed door.
        // That is a store and a load of another word on both sides, which only `SeqCst` keeps in order.
        let early = planted::is(Bug::DoorBeforeCount).then(|| self.admission());
        let before = self.count.fetch_add(ADMITTED + 1, SeqCst);
        let reason = match early.unwrap_or_else(|| self.admission()) {
            Admission::Open if under_way(before) < limit => {
                return Ok(Ticket { guard: Arc::clone(guard), settled: false });
            }
            Admission::Open => RejectionReason::Full { limit },
            Admission::Draining => RejectionReason::Draining,
            Admission::Stopped => RejectionReason::Stopped,
        };
        let left = under_way(self.count.fetch_sub(ADMITTED + 1, SeqCst));
        if left == 1 && !planted::is(Bug::EmptiedUntold) {
            self.emptied.notify_waiters();
        }
        self.refused();
        Err(reason)
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    pub(super) fn set_admission(&self, admission: Admission) {
        self.admission.store(admission as u8, SeqCst);
    }

    pub(super) fn admission(&self) -> Admission {
        match self.admission.load(SeqCst) {
            0 => Admission::Open,
            1 => Admission::Draining,
            _ => Admission::Stopped,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        under_way(self.count.load(SeqCst))
    }

    pub(super) fn asked(&self) -> u64 {
        self.count.load(Relaxed) / ADMITTED + self.refused.load(Relaxed)
    }

    pub(super) fn refused_total(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn abandoned(&self) -> u64 {
        self.abandoned.load(Relaxed)
    }

    pub(super) async fn idle(&self) {
        loop {
            let emptied = self.emptied.notified();
            let mut emptied = std::pin::pin!(emptied);
            // Registered before the look, so that no wake-up between the two is lost.
            emptied.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

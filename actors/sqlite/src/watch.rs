//! What may interrupt the statement that a connection runs.
//!
//! The engine's progress handler asks every [`STEPS`] steps. Unlike an interrupt handle, which another thread
//! fires at whatever runs by then, it can only ever hit the statement that it is about.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use backstop_core::clock;
use parking_lot::Mutex;

use crate::job::Ticket;

/// Steps of the engine between two looks at the clock: 10 to 50 µs.
pub(crate) const STEPS: u32 = 1_000;

const NO_BUDGET: i64 = i64::MAX;

/// The guard of one connection; the progress handler holds the other reference.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The job that runs; none while our own BEGIN, COMMIT and ROLLBACK run, which must not be interrupted.
    ticket: Mutex<Option<Arc<Ticket>>>,
    /// How often the handler may still ask.
    budget: AtomicI64,
    /// Whether the statement inserted a row with a row id.
    inserted: AtomicBool,
}

impl Default for Watch {
    fn default() -> Self {
        Self { ticket: Mutex::default(), budget: AtomicI64::new(NO_BUDGET), inserted: AtomicBool::new(false) }
    }
}

impl Watch {
    /// Lets a job's cancellation and deadline interrupt what runs, until the guard is dropped.
    pub(crate) fn job(&self, ticket: &Arc<Ticket>) -> Watching<'_> {
        *self.ticket.lock() = Some(Arc::clone(ticket));
        Watching(self)
    }

    /// Lets what runs take about `steps` steps, until the guard is dropped.
    pub(crate) fn steps(&self, steps: u32) -> Watching<'_> {
        self.budget.store(i64::from((steps / STEPS).max(1)), Ordering::Relaxed);
        Watching(self)
    }

    /// Answers the progress handler.
    pub(crate) fn interrupts(&self) -> bool {
        if self.budget.load(Ordering::Relaxed) != NO_BUDGET
            && self.budget.fetch_sub(1, Ordering::Relaxed) <= 0
        {
            return true;
        }
        self.ticket.lock().as_ref().is_some_and(|ticket| ticket.is_over(clock::now()))
    }

    pub(crate) fn note_insert(&self) {
        self.inserted.store(true, Ordering::Relaxed);
    }

    /// Says whether a row was inserted since the last question.
    pub(crate) fn take_insert(&self) -> bool {
        self.inserted.swap(false, Ordering::Relaxed)
    }
}

/// Ends the watch when it is dropped.
#[derive(Debug)]
pub(crate) struct Watching<'a>(&'a Watch);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        *self.0.ticket.lock() = None;
        self.0.budget.store(NO_BUDGET, Ordering::Relaxed);
    }
}

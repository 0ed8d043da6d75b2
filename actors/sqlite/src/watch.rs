//! What may interrupt the statement that a connection runs.
//!
//! The engine's progress handler asks every [`STEPS`] steps. Unlike an interrupt handle, which another thread
//! fires at whatever runs by then, it can only ever hit the statement that it is about.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use backstop_core::clock::{self, Instant};
use backstop_sql::RowSink;
use parking_lot::Mutex;

use crate::job::Ticket;

/// Steps of the engine between two looks at the clock: 10 to 50 µs.
pub(crate) const STEPS: u32 = 1_000;

const NO_BUDGET: i64 = i64::MAX;

/// The guard of one connection; the progress handler holds the other reference.
#[derive(Debug)]
pub(crate) struct Watch {
    /// What runs; none while our own BEGIN, COMMIT and ROLLBACK run, which must not be interrupted.
    runs: Mutex<Option<Runs>>,
    /// How often the handler may still ask.
    budget: AtomicI64,
    /// Whether the statement inserted a row with a row id.
    inserted: AtomicBool,
}

#[derive(Debug)]
enum Runs {
    Job(Arc<Ticket>),
    /// A stream whose first chunk was handed over: its reader may go, and the next chunk has its own limit.
    Stream(RowSink, Instant),
}

impl Runs {
    fn is_over(&self) -> bool {
        match self {
            Self::Job(ticket) => ticket.is_over(clock::now()),
            Self::Stream(sink, until) => sink.is_closed() || *until <= clock::now(),
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self { runs: Mutex::default(), budget: AtomicI64::new(NO_BUDGET), inserted: AtomicBool::new(false) }
    }
}

impl Watch {
    /// Lets a job's cancellation and deadline interrupt what runs, until the guard is dropped.
    pub(crate) fn job(&self, ticket: &Arc<Ticket>) -> Watching<'_> {
        *self.runs.lock() = Some(Runs::Job(Arc::clone(ticket)));
        Watching(self)
    }

    /// Lets a stream be interrupted when its reader has gone or at `until`, until the guard is dropped.
    pub(crate) fn stream(&self, sink: &RowSink, until: Instant) -> Watching<'_> {
        *self.runs.lock() = Some(Runs::Stream(sink.clone(), until));
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
        self.runs.lock().as_ref().is_some_and(Runs::is_over)
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
        *self.0.runs.lock() = None;
        self.0.budget.store(NO_BUDGET, Ordering::Relaxed);
    }
}

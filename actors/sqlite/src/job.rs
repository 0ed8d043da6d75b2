//! One piece of work for a thread, its fate, and the caller's end of it.

use std::{
    any::Any,
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use backstop_core::{
    call::{CallContext, Deadline},
    clock::{self, Instant},
    error::{Executed, Failure},
};
use backstop_sql::{
    InsertReport, Request, RowSink, Rows, TxOptions, Written,
    message::{Chunk, Chunks, TxBody},
    seen::Watched,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{error, held::Held, pool::Pool, unwind::caught};

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const WITHDRAWN: u8 = 2;

/// The fate of a job, shared by its caller and its thread.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: AtomicU8,
    cancelled: AtomicBool,
    deadline: Deadline,
}

impl Ticket {
    pub(crate) fn new(deadline: Deadline) -> Self {
        Self { state: AtomicU8::new(QUEUED), cancelled: AtomicBool::new(false), deadline }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Begins the work; `false` when the caller has withdrawn it.
    pub(crate) fn start(&self) -> bool {
        self.state.compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn was_begun(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    /// Puts begun work back after its effects were undone; `false` when nobody waits for it any more.
    pub(crate) fn requeue(&self) -> bool {
        // a failure means that it was never begun, or that it was withdrawn
        let _ = self.state.compare_exchange(RUNNING, QUEUED, Ordering::AcqRel, Ordering::Acquire);
        !self.is_abandoned()
    }

    /// The caller leaves: `true` when the work was not begun and never will be.
    pub(crate) fn withdraw(&self) -> bool {
        let withdrawn =
            self.state.compare_exchange(QUEUED, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.cancelled.store(true, Ordering::Release);
        withdrawn
    }

    /// Says whether the caller has left.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Says whether the caller has left or the deadline has passed.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.is_abandoned() || self.deadline.is_past(now)
    }
}

/// What a thread is asked to do.
pub(crate) enum Work {
    /// One statement that may write.
    One(Arc<Watched>, Arc<Request>),
    /// Statements that commit together.
    List(Vec<Arc<Watched>>, Arc<Vec<Request>>, TxOptions),
    /// Rows of one table.
    Insert(Vec<(Arc<Watched>, Chunk)>, Chunks),
    /// A closure.
    Body(Arc<dyn TxBody>, TxOptions),
    /// A transaction whose closure runs on the lane; taken by the thread that holds it.
    Held(Mutex<Option<Held>>, TxOptions),
    /// A statement that must not write.
    Read(Arc<Watched>, Arc<Request>),
    /// A statement that must not write, in chunks of so many rows.
    Stream(Arc<Watched>, Arc<Request>, usize, RowSink),
    /// Opens the database, where it is not open or its file has changed.
    Open,
    /// Writes the log back and closes the database.
    Close,
}

impl Work {
    /// What it holds its thread for, where that may be long.
    pub(crate) fn holds(&self) -> &'static str {
        match self {
            Self::Stream(..) => "query_stream",
            Self::Insert(..) => "batch_insert",
            _ => "transaction",
        }
    }

    /// How the transaction runs, where it is one.
    pub(crate) fn options(&self) -> TxOptions {
        match self {
            Self::List(_, _, options) | Self::Body(_, options) | Self::Held(_, options) => *options,
            _ => TxOptions::default(),
        }
    }
}

/// What came of it.
pub(crate) enum Reply {
    Nothing,
    Written(Written),
    List(Vec<Written>),
    Inserted(InsertReport),
    Rows(Rows),
    Any(Box<dyn Any + Send>),
}

/// One piece of work and where its answer goes.
///
/// A job that is dropped by a panic of its thread answers by itself, with what is known of its fate.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) ticket: Arc<Ticket>,
    reply: Option<oneshot::Sender<Result<Reply, Failure>>>,
}

impl Job {
    /// Makes a job and the receiver of its answer.
    pub(crate) fn new(work: Work, deadline: Deadline) -> (Self, oneshot::Receiver<Result<Reply, Failure>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, ticket: Arc::new(Ticket::new(deadline)), reply: Some(reply) }, answer)
    }

    /// Answers it, once.
    pub(crate) fn answer(mut self, result: Result<Reply, Failure>) {
        // a caller that has left hears of its fate by the ticket; its closure's reply may panic as it drops
        if let Some(Err(unheard)) = self.reply.take().map(|reply| reply.send(result)) {
            caught(|| drop(unheard));
        }
    }

    /// Says what is known of a job that nobody finishes.
    fn fate(&self) -> Executed {
        let has_effects = !matches!(self.work, Work::Read(..) | Work::Stream(..) | Work::Open | Work::Close)
            && !self.work.options().read_only;
        if has_effects && self.ticket.was_begun() && MAY_BE_DURABLE.get() {
            Executed::Unknown
        } else {
            Executed::No
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take().filter(|reply| !reply.is_closed()) {
            let _ = reply.send(Err(error::panicked(self.fate())));
        }
    }
}

thread_local! {
    /// Whether what this thread runs may have been committed. A transaction that was open when its thread
    /// panicked is rolled back with its connection.
    static MAY_BE_DURABLE: Cell<bool> = const { Cell::new(true) };
}

/// Notes that a transaction was begun: until its COMMIT, nothing of it lasts.
pub(crate) fn nothing_is_durable() {
    MAY_BE_DURABLE.set(false);
}

/// Notes that a COMMIT, or a statement that commits by itself, is about to run.
pub(crate) fn may_be_durable() {
    MAY_BE_DURABLE.set(true);
}

/// Withdraws a job when the future that waits for it is dropped.
pub(crate) struct Withdraw<'a> {
    ticket: Arc<Ticket>,
    call: &'a CallContext,
    pool: &'a Pool,
    /// Whether what was begun may last though its caller leaves.
    may_last: Cell<bool>,
    answered: bool,
}

impl<'a> Withdraw<'a> {
    pub(crate) fn new(ticket: Arc<Ticket>, call: &'a CallContext, pool: &'a Pool) -> Self {
        Self { ticket, call, pool, may_last: Cell::new(true), answered: false }
    }

    /// Notes whether what was begun may last though its caller leaves; it may unless this says otherwise.
    pub(crate) fn may_last(&self, may_last: bool) {
        self.may_last.set(may_last);
    }

    pub(crate) fn answered(mut self) {
        self.answered = true;
        if !self.ticket.was_begun() {
            self.count_late();
        }
    }

    /// Counts a call that was not begun by its deadline.
    fn count_late(&self) {
        if self.ticket.deadline().is_past(clock::now()) {
            self.pool.timed_out();
        }
    }
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        if self.ticket.withdraw() {
            self.count_late();
        } else if self.may_last.get() {
            // it runs, or has run: nobody can say any more
            self.call.sending();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backstop_core::clock;

    use super::*;

    #[test]
    fn a_job_is_begun_or_withdrawn_but_never_both() {
        let ticket = Ticket::new(Deadline::after(Duration::from_secs(1)));
        assert!(ticket.withdraw());
        assert!(!ticket.start());
        let ticket = Ticket::new(Deadline::after(Duration::from_secs(1)));
        assert!(ticket.start());
        assert!(!ticket.withdraw());
        assert!(ticket.is_over(clock::now()));
    }

    #[test]
    fn work_that_was_undone_can_be_withdrawn_again() {
        let ticket = Ticket::new(Deadline::after(Duration::from_secs(1)));
        assert!(ticket.start() && ticket.requeue());
        assert!(ticket.withdraw());
        assert!(!ticket.requeue());
    }
}

//! Many operations, one commit.
//!
//! A member that fails is undone by itself. Where its error ended the whole transaction (an interrupt, a full
//! disk, ON CONFLICT ROLLBACK), the others are run again without it, each within its deadline; nobody is
//! answered before the commit, so nobody is answered twice.

use std::{mem, thread};

use backstop_core::{
    clock,
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::Verb;

use super::Writer;
use crate::{
    error::{self, During},
    job::{Job, Reply, Work},
    options::Synchronous,
};

/// After so many runs that a member ended, each operation gets a transaction of its own.
const RUNS_MAX: usize = 3;

/// How often those who arrive while a group runs may still join it.
const JOINS_MAX: usize = 64;

/// The most members of a commit that does not wait for the disk. It is cheap, and callers who have their answers
/// bring the next ones while it runs: with 256 callers, 96 a commit make 1.5 times as many operations as all in one.
const UNSYNCED_MAX: usize = 96;

/// How often the processor is given away while callers of the last group are missing: about a microsecond each
/// where nobody else wants it. Measured with 64 callers: a commit of 40 operations becomes one of 59.
const PATIENCE_FULL: usize = 96;

/// The same where a commit does not wait for the disk and costs about 13 µs.
const PATIENCE: usize = 4;

/// How those that are left after a run go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// As a group again.
    Together,
    /// Each in a transaction of its own.
    OneByOne,
}

impl Writer<'_> {
    /// Returns the most members of a commit.
    pub(super) fn group_max(&self) -> usize {
        let options = &self.core.options;
        match options.synchronous {
            Synchronous::Full => options.group_max,
            Synchronous::Normal => options.group_max.min(UNSYNCED_MAX),
        }
    }

    /// Serves the gathered group.
    pub(super) fn serve_group(&mut self) {
        let mut jobs = mem::take(&mut self.group);
        for _ in 0..RUNS_MAX {
            drop_stale(&mut jobs);
            if jobs.len() == 1 {
                let _ = self.join_late(&mut jobs) || self.await_crowd(&mut jobs);
            }
            if jobs.len() < 2 {
                break;
            }
            let next = self.try_group(&mut jobs, JOINS_MAX);
            if !jobs.is_empty() {
                self.core.stats.rerun();
            }
            if next == Next::OneByOne {
                break;
            }
        }
        for job in jobs.drain(..) {
            self.serve_one(job);
        }
        // its memory serves the next group
        self.group = jobs;
    }

    /// Serves one operation in a transaction of its own.
    pub(super) fn serve_one(&mut self, job: Job) {
        if job.ticket.is_abandoned() {
            return;
        }
        if job.ticket.is_over(clock::now()) {
            return job.answer(Err(error::expired()));
        }
        match self.autocommit(job) {
            None => {}
            Some(job) => {
                let mut jobs = vec![job];
                // a group of one leaves nobody behind: there is no neighbour to blame
                self.try_group(&mut jobs, 0);
            }
        }
    }

    /// Runs a group once, with up to `joins` rounds of late ones; those who were not answered are left in
    /// `jobs`.
    fn try_group(&mut self, jobs: &mut Vec<Job>, joins: usize) -> Next {
        if !self.begin(jobs) {
            return Next::Together;
        }
        let mut results = Vec::with_capacity(jobs.len());
        for round in 0..=joins {
            if let Some((at, failure)) = self.run_members(jobs, &mut results) {
                self.roll_back();
                jobs.remove(at).answer(Err(failure));
                jobs.retain(|job| job.ticket.requeue());
                return Next::Together;
            }
            if round == joins || !(self.join_late(jobs) || self.await_crowd(jobs)) {
                break;
            }
        }
        self.finish(jobs, results)
    }

    /// Takes those who arrived while the members ran into the same commit; `false` when there are none.
    ///
    /// The callers of the last group come back one after the other: whoever is first wakes this thread, and
    /// the others would miss the commit by microseconds.
    fn join_late(&mut self, jobs: &mut Vec<Job>) -> bool {
        let before = jobs.len();
        if before < self.group_max() {
            self.absorb();
        }
        while jobs.len() < self.group_max() {
            match self.backlog.pop_front_if(|job| super::joins_group(&job.work)) {
                Some(job) => jobs.push(job),
                None => break,
            }
        }
        jobs.len() > before
    }

    /// Lets the callers of the last group come back before the commit is paid: gives the processor away a few
    /// times while fewer are here than were then. One caller alone never waits.
    fn await_crowd(&mut self, jobs: &mut Vec<Job>) -> bool {
        let patience = match self.core.options.synchronous {
            Synchronous::Full => PATIENCE_FULL,
            Synchronous::Normal => PATIENCE,
        };
        for _ in 0..patience {
            if jobs.len() >= self.crowd {
                return false;
            }
            thread::yield_now();
            if self.join_late(jobs) {
                return true;
            }
        }
        false
    }

    /// Counts whom the next commit should wait for: those who get their answers now and, where a commit is a
    /// sync, those who wait already. Without the latter, two halves of the callers could take turns for ever,
    /// each missing the other's sync. A commit without one is cheaper than the callers' standing still.
    fn expect(&mut self, answered: usize) {
        self.crowd = match self.core.options.synchronous {
            Synchronous::Full => answered + self.backlog.len() + self.core.writes.waiting(),
            Synchronous::Normal => answered,
        };
    }

    /// Runs the members that have no result yet; returns the one whose error ended the transaction.
    fn run_members(
        &self,
        jobs: &[Job],
        results: &mut Vec<Result<Reply, Failure>>,
    ) -> Option<(usize, Failure)> {
        let bench = self.bench()?;
        for (at, job) in jobs.iter().enumerate().skip(results.len()) {
            // withdrawn, and then nobody listens, or too late
            if !job.ticket.start() || job.ticket.deadline().is_past(clock::now()) {
                results.push(Err(error::expired()));
                continue;
            }
            let result = bench.member(&job.work, &job.ticket);
            if bench.connection.is_autocommit() {
                return Some((at, result.err().unwrap_or_else(ended_by_itself)));
            }
            results.push(result);
        }
        None
    }

    /// Commits and answers.
    fn finish(&mut self, jobs: &mut Vec<Job>, results: Vec<Result<Reply, Failure>>) -> Next {
        let done = results.iter().filter(|result| result.is_ok()).count();
        match self.commit() {
            Ok(()) => {
                if done > 0 {
                    self.core.stats.committed(done);
                }
                self.expect(jobs.len());
                for (job, result) in jobs.drain(..).zip(results) {
                    job.answer(result);
                }
                Next::Together
            }
            // a deferred foreign key speaks at the commit, and does not say whose it is
            Err(error) if error::is_constraint(&error) && jobs.len() > 1 => {
                jobs.retain(|job| job.ticket.requeue());
                Next::OneByOne
            }
            Err(error) => {
                let failure = error::failure(error, During::Commit);
                for (job, result) in jobs.drain(..).zip(results) {
                    // a member that failed and kept a part of its work has lost that part too
                    let own = result.err().filter(|own| own.executed() != Executed::Yes);
                    job.answer(Err(own.unwrap_or_else(|| failure.clone())));
                }
                Next::Together
            }
        }
    }

    /// Runs a single statement without a transaction around it; gives the job back where it needs one.
    fn autocommit(&mut self, job: Job) -> Option<Job> {
        let Work::One(statement, request) = &job.work else { return Some(job) };
        let Some(bench) = self.bench() else {
            job.answer(Err(error::lost()));
            return None;
        };
        if !job.ticket.start() {
            return None;
        }
        crate::lock::wait_until(clock::now() + super::SLICE);
        let watching = bench.watch.job(&job.ticket);
        let result = bench.one(statement, request, During::Autocommit);
        drop(watching);
        let busy = matches!(&result, Err(failure) if is_busy(failure));
        if !bench.connection.is_autocommit() {
            self.roll_back();
        }
        if busy {
            // waiting for another process's lock has one home
            return job.ticket.requeue().then_some(job);
        }
        if result.is_ok() && !matches!(statement.verb(), Verb::Select | Verb::Explain) {
            self.core.stats.committed(1);
        }
        let result = result.map_err(|failure| super::member::verdict(failure, &job.ticket));
        self.expect(1);
        job.answer(result.map(Reply::Written));
        None
    }
}

/// Takes out those whose callers have left or whose deadlines have passed.
fn drop_stale(jobs: &mut Vec<Job>) {
    let now = clock::now();
    for job in jobs.extract_if(.., |job| job.ticket.is_over(now)) {
        job.answer(Err(error::expired()));
    }
}

fn is_busy(failure: &Failure) -> bool {
    failure.kind() == FailureKind::Aborted
}

fn ended_by_itself() -> Failure {
    Failure::new(FailureKind::Aborted, "the statement ended the transaction").executed_is(Executed::No)
}

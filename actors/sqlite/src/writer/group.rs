//! Many operations, one commit.
//!
//! A member that fails is undone by itself. Where its error ended the whole transaction (an interrupt, a full
//! disk, ON CONFLICT ROLLBACK), the others are run again without it, each within its deadline; nobody is
//! answered before the commit, so nobody is answered twice.

use std::mem;

use backstop_core::{clock, error::Failure};

use super::Writer;
use crate::{
    error::{self, During},
    job::{Job, Reply, Work},
};

/// After so many runs that a member ended, each operation gets a transaction of its own.
const RUNS_MAX: usize = 3;

/// How one run of a group ended.
enum Run {
    /// Every member has its result; COMMIT comes next.
    Complete(Vec<Result<Reply, Failure>>),
    /// This member's error ended the transaction.
    Ended(usize, Failure),
}

impl Writer<'_> {
    /// Serves the gathered group.
    pub(super) fn serve_group(&mut self) {
        let mut jobs = mem::take(&mut self.group);
        for _ in 0..RUNS_MAX {
            drop_stale(&mut jobs);
            if jobs.len() < 2 || self.try_group(&mut jobs) {
                break;
            }
            self.core.stats.rerun();
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
                self.try_group(&mut jobs);
                // the transaction failed at its COMMIT, with no neighbour to blame
                for job in jobs {
                    job.answer(Err(error::expired()));
                }
            }
        }
    }

    /// Runs a group once; `true` when nobody is left to be served.
    fn try_group(&mut self, jobs: &mut Vec<Job>) -> bool {
        if !self.begin(jobs) {
            return jobs.is_empty();
        }
        match self.run_members(jobs) {
            Run::Complete(results) => self.finish(jobs, results),
            Run::Ended(at, failure) => {
                self.roll_back();
                jobs.remove(at).answer(Err(failure));
                jobs.retain(|job| job.ticket.requeue());
                jobs.is_empty()
            }
        }
    }

    fn run_members(&self, jobs: &[Job]) -> Run {
        let mut results = Vec::with_capacity(jobs.len());
        let Some(bench) = self.bench() else { return Run::Complete(results) };
        for (at, job) in jobs.iter().enumerate() {
            if !job.ticket.start() {
                results.push(Err(error::expired())); // withdrawn: nobody listens
                continue;
            }
            if job.ticket.deadline().is_past(clock::now()) {
                results.push(Err(error::expired()));
                continue;
            }
            let result = bench.member(&job.work, &job.ticket);
            if bench.connection.is_autocommit() {
                return Run::Ended(at, result.err().unwrap_or_else(ended_by_itself));
            }
            results.push(result);
        }
        Run::Complete(results)
    }

    /// Commits and answers; `false` when the members must be run again one by one.
    fn finish(&mut self, jobs: &mut Vec<Job>, results: Vec<Result<Reply, Failure>>) -> bool {
        let done = results.iter().filter(|result| result.is_ok()).count();
        match self.commit() {
            Ok(()) => {
                if done > 0 {
                    self.core.stats.committed(done);
                }
                for (job, result) in jobs.drain(..).zip(results) {
                    job.answer(result);
                }
                true
            }
            // a deferred foreign key speaks at the commit, and does not say whose it is
            Err(error) if error::is_constraint(&error) && jobs.len() > 1 => {
                jobs.retain(|job| job.ticket.requeue());
                false
            }
            Err(error) => {
                let failure = error::failure(error, During::Commit);
                for (job, result) in jobs.drain(..).zip(results) {
                    job.answer(Err(result.err().unwrap_or_else(|| failure.clone())));
                }
                true
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
        if result.is_ok() {
            self.core.stats.committed(1);
        }
        let result = result.map_err(|failure| super::member::verdict(failure, &job.ticket));
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
    failure.kind() == backstop_core::error::FailureKind::Aborted
}

fn ended_by_itself() -> Failure {
    Failure::new(backstop_core::error::FailureKind::Aborted, "the statement ended the transaction")
        .executed_is(backstop_core::error::Executed::No)
}

//! Work that cannot share a transaction: closures, maintenance, large inserts, reads of a database in memory.

use std::sync::Arc;

use backstop_core::{
    clock,
    error::{Executed, Failure},
};
use backstop_sql::{Request, Verb, Written, memo::Memo, seen::Watched};

use super::{Writer, member::verdict};
use crate::{
    connection::with_attach,
    error::{self, During, Fault},
    job::{Job, Reply, Ticket, Work},
    lock,
    run::{self, Limits},
    session, stream,
};

impl Writer<'_> {
    /// Serves one job by itself.
    pub(super) fn serve_alone(&mut self, job: Job) {
        if job.ticket.is_abandoned() {
            return;
        }
        if job.ticket.is_over(clock::now()) {
            return job.answer(Err(error::expired()));
        }
        match &job.work {
            Work::Open => job.answer(Ok(Reply::Nothing)),
            Work::Read(statement, request) => {
                let result = self.read_alone(statement, request, &job.ticket);
                job.answer(result.map(Reply::Rows));
            }
            Work::One(statement, request) => {
                let result = self.maintain(statement, request, &job.ticket);
                job.answer(result.map(Reply::Written));
            }
            Work::Stream(..) => self.stream_alone(job),
            _ => self.transact(job),
        }
    }

    /// Reads from a database in memory.
    fn read_alone(
        &self,
        statement: &Watched,
        request: &Request,
        ticket: &Arc<Ticket>,
    ) -> Result<backstop_sql::Rows, Failure> {
        let Some(bench) = self.bench().filter(|_| ticket.start()) else { return Err(error::lost()) };
        let _watching = bench.watch.job(ticket);
        let limits = Limits::of(request, bench.options);
        let noted = statement.stats.begin("query");
        let rows = run::read(bench.connection, statement, request, limits, &mut None);
        let rows = rows.map_err(|fault| verdict(fault.into_failure(During::Statement), ticket));
        noted.end(&rows, |rows| rows.len() as u64);
        rows
    }

    /// Streams from a database in memory; everybody else waits meanwhile, so its reader has less time.
    fn stream_alone(&self, job: Job) {
        let Some(bench) = self.bench().filter(|_| job.ticket.start()) else { return };
        let _lent = self.core.seen.lent().lend(job.work.holds(), clock::now());
        let idle = bench.options.stream_idle.min(bench.options.transaction_idle);
        stream::serve(bench.connection, bench.watch, bench.options, idle, job);
    }

    /// Runs VACUUM or PRAGMA outside any transaction.
    fn maintain(
        &self,
        statement: &Watched,
        request: &Request,
        ticket: &Arc<Ticket>,
    ) -> Result<Written, Failure> {
        let Some(bench) = self.bench().filter(|_| ticket.start()) else { return Err(error::lost()) };
        let longest = clock::now() + bench.options.busy_timeout;
        lock::wait_until(longest.min(ticket.deadline().instant() - super::MARGIN));
        let _watching = bench.watch.job(ticket);
        let run = || bench.one(statement, request, During::Autocommit);
        let result = if statement.verb() == Verb::Vacuum {
            with_attach(bench.connection, run)
                .unwrap_or_else(|error| Err(Fault::from(error).into_failure(During::Statement)))
        } else {
            run()
        };
        result.map_err(|failure| verdict(failure, ticket))
    }

    /// Runs a job in a transaction of its own.
    fn transact(&mut self, job: Job) {
        let mut jobs = vec![job];
        if !self.begin(&mut jobs) {
            return;
        }
        let Some(job) = jobs.pop() else { return };
        if !job.ticket.start() {
            return self.roll_back();
        }
        let lent = self.core.seen.lent().lend(job.work.holds(), clock::now());
        let mut memo = std::mem::replace(&mut self.memo, Memo::new(2));
        let read_only = job.work.options().read_only;
        let result = match self.bench() {
            Some(bench) => session::serve(&bench.read_only(read_only), &mut memo, &job.work, &job.ticket),
            None => Err(error::lost()),
        };
        self.memo = memo;
        let result = match result {
            Ok(reply) => match self.commit() {
                Ok(()) => {
                    self.core.stats.committed(1);
                    Ok(reply)
                }
                Err(error) => Err(error::failure(error, During::Commit)),
            },
            Err(failure) => {
                self.roll_back();
                Err(failure.executed_is(Executed::No))
            }
        };
        drop(lent);
        job.answer(result);
    }
}

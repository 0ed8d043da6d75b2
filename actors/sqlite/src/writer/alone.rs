//! Work that cannot share a transaction: closures, maintenance, large inserts, reads of a database in memory.

use std::sync::Arc;

use backstop_core::{
    clock::{self, Instant},
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{Dialect, Request, Statement, Tx, TxEngine, Verb, Written, memo::Memo, message::TxBody};

use super::{
    Writer,
    member::{Bench, verdict},
};
use crate::{
    connection::with_attach,
    error::{self, During, Fault},
    job::{Job, Reply, Ticket, Work},
    lock,
    run::{self, Limits},
    unwind::caught,
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
            _ => self.transact(job),
        }
    }

    /// Reads from a database in memory.
    fn read_alone(
        &self,
        statement: &Statement,
        request: &Request,
        ticket: &Arc<Ticket>,
    ) -> Result<backstop_sql::Rows, Failure> {
        let Some(bench) = self.bench().filter(|_| ticket.start()) else { return Err(error::lost()) };
        let _watching = bench.watch.job(ticket);
        let limits = Limits::of(request, bench.options);
        let rows = run::read(bench.connection, statement, request, limits, &mut None);
        rows.map_err(|fault| verdict(fault.into_failure(During::Statement), ticket))
    }

    /// Runs VACUUM or PRAGMA outside any transaction.
    fn maintain(
        &self,
        statement: &Statement,
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
        let result = match &job.work {
            Work::Body(body) => self.body(&**body, &job.ticket),
            Work::Insert(chunks, mode) => self.insert(chunks, *mode, &job.ticket),
            _ => Err(error::lost()),
        };
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
        job.answer(result);
    }

    fn insert(
        &self,
        chunks: &[(Arc<Statement>, backstop_sql::message::Chunk)],
        mode: backstop_sql::message::Chunks,
        ticket: &Arc<Ticket>,
    ) -> Result<Reply, Failure> {
        let Some(bench) = self.bench() else { return Err(error::lost()) };
        bench.insert(chunks, mode, ticket).map(Reply::Inserted).map_err(|failure| verdict(failure, ticket))
    }

    /// Runs a closure; `Ok` means that its transaction may be committed.
    fn body(&mut self, body: &dyn TxBody, ticket: &Arc<Ticket>) -> Result<Reply, Failure> {
        let mut memo = std::mem::replace(&mut self.memo, Memo::new(2));
        let Some(bench) = self.bench() else { return Err(error::lost()) };
        let mut session = Session { bench, memo: &mut memo, ticket, last: clock::now() };
        let outcome = caught(|| body.run(&mut Tx::new(&mut session)));
        let ended = session.check();
        self.memo = memo;
        match outcome {
            None => Err(Failure::new(FailureKind::CallerPanicked, "the transaction's closure panicked")),
            Some(Err(error)) => Err(error.into_failure()),
            Some(Ok(reply)) => match ended {
                Ok(()) => Ok(Reply::Any(reply)),
                Err(failure) => {
                    // nobody gets the closure's reply, and it is the user's code that drops it
                    caught(|| drop(reply));
                    Err(failure)
                }
            },
        }
    }
}

/// A closure's transaction.
struct Session<'a> {
    bench: Bench<'a>,
    memo: &'a mut Memo<Arc<Statement>>,
    ticket: &'a Arc<Ticket>,
    /// When the last statement ended.
    last: Instant,
}

impl Session<'_> {
    /// Refuses to go on when the transaction is gone, idle for too long, or wanted by nobody.
    fn check(&self) -> Result<(), Failure> {
        if self.bench.connection.is_autocommit() {
            return Err(gave_way("an earlier statement ended the transaction"));
        }
        let now = clock::now();
        if self.ticket.is_over(now) {
            let failure = Failure::new(FailureKind::Timeout, "").executed_is(Executed::No);
            return Err(verdict(failure, self.ticket));
        }
        if now.saturating_duration_since(self.last) > self.bench.options.transaction_idle {
            return Err(gave_way("the transaction was idle for too long").transient(false));
        }
        Ok(())
    }
}

impl TxEngine for Session<'_> {
    fn run(&mut self, request: &Request) -> Result<Written, Failure> {
        self.check()?;
        let parse = |text: &str| Statement::parse(text, Dialect::Sqlite).map(Arc::new);
        let statement = self.memo.get_or_make(&request.sql, parse)?;
        if super::stands_alone(&statement) {
            let what = "VACUUM and PRAGMA".to_owned();
            return Err(backstop_sql::StatementError::Refused {
                what,
                why: "they have no place in a transaction",
            }
            .into());
        }
        let _watching = self.bench.watch.job(self.ticket);
        let result = self.bench.undoable(&statement, request);
        self.last = clock::now();
        result.map_err(|failure| verdict(failure, self.ticket))
    }
}

fn gave_way(why: &'static str) -> Failure {
    Failure::new(FailureKind::Aborted, why).executed_is(Executed::No)
}

//! A transaction of one call: what runs in it, whatever thread holds it.

use std::sync::Arc;

use backstop_core::{
    clock::{self, Instant},
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{
    Dialect, Request, Statement, StatementError, Tx, TxEngine, Verb, Written, memo::Memo, message::TxBody,
    seen::Watched,
};

use crate::{
    error,
    job::{Reply, Ticket, Work},
    unwind::caught,
    writer::{Bench, verdict},
};

/// Runs work in the open transaction of `bench`; `Ok` means that it may be committed.
pub(crate) fn serve(
    bench: &Bench<'_>,
    memo: &mut Memo<Arc<Watched>>,
    work: &Work,
    ticket: &Arc<Ticket>,
) -> Result<Reply, Failure> {
    match work {
        Work::Body(body, _) => closure(bench, memo, &**body, ticket),
        Work::Held(held, _) => {
            let held = held.lock().take();
            held.ok_or_else(error::lost)?.serve(bench, ticket).map(|()| Reply::Nothing)
        }
        Work::List(statements, requests, _) => {
            let replies = bench.list(statements, requests, ticket);
            replies.map(Reply::List).map_err(|failure| verdict(failure, ticket))
        }
        Work::Insert(chunks, mode) => {
            let report = bench.insert(chunks, *mode, ticket);
            report.map(Reply::Inserted).map_err(|failure| verdict(failure, ticket))
        }
        Work::One(..) | Work::Read(..) | Work::Stream(..) | Work::Open | Work::Close => Err(error::lost()),
    }
}

/// Refuses what has no place in a transaction.
pub(crate) fn joins(statement: &Statement) -> Result<(), StatementError> {
    if matches!(statement.verb(), Verb::Vacuum | Verb::Pragma) {
        let (what, why) = ("VACUUM and PRAGMA".to_owned(), "they have no place in a transaction");
        return Err(StatementError::Refused { what, why });
    }
    Ok(())
}

/// Refuses to go on when the transaction is gone, or wanted by nobody.
pub(crate) fn goes_on(bench: &Bench<'_>, ticket: &Ticket) -> Result<(), Failure> {
    if bench.connection.is_autocommit() {
        return Err(gave_way("an earlier statement ended the transaction"));
    }
    if ticket.is_over(clock::now()) {
        let failure = Failure::new(FailureKind::Timeout, "").executed_is(Executed::No);
        return Err(verdict(failure, ticket));
    }
    Ok(())
}

/// The transaction stood still for longer than it may.
pub(crate) fn idle() -> Failure {
    gave_way("the transaction was idle for too long").transient(false)
}

fn gave_way(why: &'static str) -> Failure {
    Failure::new(FailureKind::Aborted, why).executed_is(Executed::No)
}

fn closure(
    bench: &Bench<'_>,
    memo: &mut Memo<Arc<Watched>>,
    body: &dyn TxBody,
    ticket: &Arc<Ticket>,
) -> Result<Reply, Failure> {
    let mut session = Session { bench, memo, ticket, last: clock::now() };
    let outcome = caught(|| body.run(&mut Tx::new(&mut session)));
    let ended = session.check();
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

/// The transaction of a closure that does not await.
struct Session<'a> {
    bench: &'a Bench<'a>,
    memo: &'a mut Memo<Arc<Watched>>,
    ticket: &'a Arc<Ticket>,
    /// When the last statement ended.
    last: Instant,
}

impl Session<'_> {
    fn check(&self) -> Result<(), Failure> {
        goes_on(self.bench, self.ticket)?;
        if clock::now().saturating_duration_since(self.last) > self.bench.options.transaction_idle {
            return Err(idle());
        }
        Ok(())
    }
}

impl TxEngine for Session<'_> {
    fn run(&mut self, request: &Request) -> Result<Written, Failure> {
        self.check()?;
        let parse =
            |_: &str| Watched::parse(&request.sql, Dialect::Sqlite, &self.bench.core.seen).map(Arc::new);
        let statement = self.memo.get_or_make(&request.sql, parse)?;
        joins(&statement)?;
        let _watching = self.bench.watch.job(self.ticket);
        let result = self.bench.inside(&statement, request);
        self.last = clock::now();
        result.map_err(|failure| verdict(failure, self.ticket))
    }
}

//! An open transaction: begun in one round trip, committed with proof.

use std::{rc::Rc, sync::atomic::Ordering::Relaxed};

use backstop_core::{
    call::CallContext,
    clock,
    error::{Executed, Failure, FailureKind},
    outcome::Outcome,
};
use backstop_sql::transaction::SavepointVerb;
use backstop_sql::{AsyncTxEngine, Isolation, Request, Sql, StatementError, TxOptions, Written};
use futures_util::future::LocalBoxFuture;

use crate::{
    error::{During, invalidates_statements},
    lease::Lease,
    run::Mode,
    statement::Known,
};

/// A statement in a transaction that an error has aborted.
const IN_FAILED_TRANSACTION: &str = "25P02";

/// Nothing is answered to a COMMIT of an aborted transaction that the driver lets us see. The SELECT in front of
/// it, which is refused there, costs no round trip.
const COMMIT: &str = "SELECT; COMMIT";

/// How texts become statements: the lane remembers them.
pub(crate) type Parse<'a> = &'a dyn Fn(&Sql) -> Result<Rc<Known>, StatementError>;

/// One open transaction on a lease; dropped, the lease rolls it back.
pub(crate) struct Engine<'a> {
    lease: &'a Lease,
    call: &'a CallContext,
    parse: Parse<'a>,
    /// The error that aborted it, unless it was undone by a savepoint.
    first: Option<Failure>,
    changes_schema: bool,
}

impl<'a> Engine<'a> {
    /// Begins, with the limits of the call.
    ///
    /// # Errors
    /// What the server said; nothing was done.
    pub(crate) async fn begin(
        lease: &'a Lease,
        call: &'a CallContext,
        parse: Parse<'a>,
        options: TxOptions,
    ) -> Result<Self, Failure> {
        let left = call.deadline().remaining(clock::now()).min(lease.lane().core.options().statement_timeout);
        let mut begin = begin_sql(options, left.as_millis().max(1));
        let core = &lease.lane().core;
        if !core.naming().is_on() {
            let idle = core.options().idle_in_transaction_timeout.as_millis();
            begin.push_str(&format!("; SET LOCAL idle_in_transaction_session_timeout = {idle}"));
        }
        // The first statement does not travel with it: should BEGIN fail, it would run and commit by itself.
        lease.state().in_transaction.store(true, Relaxed);
        let client = lease.connection()?;
        lease.run(call, During::Statement, false, client.batch_execute(&begin)).await.map_err(undone)?;
        Ok(Self { lease, call, parse, first: None, changes_schema: false })
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// What the server said; the transaction can only go on from a savepoint before it.
    pub(crate) async fn statement(&mut self, request: &Request) -> Result<Written, Failure> {
        let known = (self.parse)(&request.sql)?;
        let result = self.lease.statement(self.call, &known, request, Mode::Inside).await;
        if result.is_ok() {
            self.changes_schema |= known.changes_schema;
        }
        result.map_err(|failure| self.note(undone(failure)))
    }

    fn note(&mut self, failure: Failure) -> Failure {
        let failure = if invalidates_statements(&failure) {
            // the transaction is run again, with statements prepared anew
            self.lease.lane().core.schema_changed();
            failure.transient(true)
        } else {
            failure
        };
        self.first.get_or_insert_with(|| failure.clone());
        failure
    }

    /// Commits; `Ok` is proof.
    ///
    /// # Errors
    /// `executed: no` where the server rolled back, `unknown` where its answer was lost.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let (lease, call) = (self.lease, self.call);
        call.sending();
        let client = lease.connection()?;
        match lease.run(call, During::Commit, true, client.batch_execute(COMMIT)).await {
            Ok(()) => {
                lease.state().in_transaction.store(false, Relaxed);
                if self.changes_schema {
                    lease.lane().core.schema_changed();
                }
                Ok(())
            }
            Err(failure) if failure.code() == Some(IN_FAILED_TRANSACTION) => Err(rolled_back(self.first)),
            Err(failure) => {
                // an answer to COMMIT, whatever it says, ends the transaction
                let is_answered = failure.executed() == Executed::No;
                lease.state().in_transaction.store(!is_answered, Relaxed);
                Err(failure)
            }
        }
    }

    /// Rolls back; should that fail, the lease does what is left.
    pub(crate) async fn roll_back(self) {
        let Ok(client) = self.lease.connection() else { return };
        let done =
            self.lease.run(self.call, During::Statement, false, client.batch_execute("ROLLBACK")).await;
        self.lease.state().in_transaction.store(done.is_err(), Relaxed);
    }
}

/// A transaction that did not commit did nothing.
fn undone(failure: Failure) -> Failure {
    failure.executed_is(Executed::No)
}

/// An error inside was passed over, and the commit could only roll back.
fn rolled_back(first: Option<Failure>) -> Failure {
    match first {
        Some(first) if first.is_transient() => first,
        first => {
            let why = first.as_ref().map_or("an error", |first| first.message());
            let failure =
                Failure::refused(format!("the commit was a rollback, because of an earlier error: {why}"));
            let failure = failure.counts_as(Outcome::Success).with_code("commit_rolled_back");
            match first {
                Some(first) => failure.caused_by(first),
                None => failure,
            }
        }
    }
}

fn begin_sql(options: TxOptions, statement_ms: u128) -> String {
    let mut sql = String::from("BEGIN");
    sql.push_str(match options.isolation {
        None => "",
        Some(Isolation::ReadCommitted) => " ISOLATION LEVEL READ COMMITTED",
        Some(Isolation::RepeatableRead) => " ISOLATION LEVEL REPEATABLE READ",
        Some(Isolation::Serializable) => " ISOLATION LEVEL SERIALIZABLE",
    });
    // said either way, whatever the session was set to by its last user
    sql.push_str(if options.read_only { " READ ONLY" } else { " READ WRITE" });
    if options.deferrable {
        sql.push_str(" DEFERRABLE");
    }
    sql.push_str("; SET LOCAL statement_timeout = ");
    sql.push_str(&statement_ms.to_string());
    if let Some(timeout) = options.lock_timeout {
        sql.push_str("; SET LOCAL lock_timeout = ");
        sql.push_str(&timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into()).to_string());
    }
    sql
}

impl AsyncTxEngine for Engine<'_> {
    fn run<'r>(&'r mut self, request: &'r Request) -> LocalBoxFuture<'r, Result<Written, Failure>> {
        Box::pin(self.statement(request))
    }

    fn savepoint(&mut self, verb: SavepointVerb) -> LocalBoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let sql = verb.sql();
            let client = self.lease.connection()?;
            let done = self.lease.run(self.call, During::Statement, false, client.batch_execute(&sql)).await;
            match done {
                Ok(()) => {
                    if matches!(verb, SavepointVerb::RollBack(_)) {
                        self.first = None;
                    }
                    Ok(())
                }
                Err(failure) => Err(self.note(undone(failure))),
            }
        })
    }
}

/// Reports a closure of the caller that panicked; the transaction was rolled back.
pub(crate) fn panicked() -> Failure {
    Failure::new(FailureKind::CallerPanicked, "the transaction's closure panicked").executed_is(Executed::No)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn begin_says_every_option() {
        assert_eq!(begin_sql(TxOptions::new(), 5), "BEGIN READ WRITE; SET LOCAL statement_timeout = 5");
        let report = TxOptions::new().isolation(Isolation::Serializable).read_only().deferrable();
        assert_eq!(
            begin_sql(report.lock_timeout(Duration::from_millis(7)), 5),
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; SET LOCAL statement_timeout = 5; \
             SET LOCAL lock_timeout = 7"
        );
    }
}

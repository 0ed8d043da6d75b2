//! Transactions: a list of statements, or a closure that awaits.

mod closure;

use std::rc::Rc;

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure},
};
use backstop_sql::{Isolation, StatementError, Transaction, TxOptions, Written, reply::at_statement};

use crate::{
    MySql,
    error::During,
    known::Known,
    pool::{Lease, State},
    run::{self, Limits, Purpose},
    session::{Mode, seconds},
};

/// Begins a transaction, with one command whatever its options.
pub(crate) async fn begin(lease: &mut Lease, options: TxOptions) -> Result<(), Failure> {
    if options.lock_timeout.is_some() {
        // a reset brings the session's own value back
        lease.soil();
    }
    lease.command(&begin_sql(options), During::Statement, State::Open).await
}

fn begin_sql(options: TxOptions) -> String {
    let mut sql = String::new();
    if let Some(isolation) = options.isolation {
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        // it holds for the next transaction alone, which is this one: if that does not begin, the connection is closed
        sql = format!("SET TRANSACTION ISOLATION LEVEL {level}; ");
    }
    if let Some(timeout) = options.lock_timeout {
        // the server knows whole seconds alone
        sql.push_str(&format!("SET SESSION innodb_lock_wait_timeout = {}; ", seconds(timeout)));
    }
    let mode = if options.read_only { "READ ONLY" } else { "READ WRITE" };
    sql + "START TRANSACTION " + mode
}

/// Commits; from here on a lost answer leaves doubt.
pub(crate) async fn commit(lease: &mut Lease, call: &CallContext) -> Result<(), Failure> {
    call.sending();
    lease.command("COMMIT", During::Commit, State::Clean).await
}

/// Rolls back; a connection that cannot is closed, which has the server do it.
pub(crate) async fn roll_back(lease: &mut Lease) {
    if lease.state() == State::Open
        && let Err(failure) = lease.command("ROLLBACK", During::Statement, State::Clean).await
    {
        tracing::debug!(%failure, "a rollback failed, so its connection is closed");
    }
}

impl Serve<Transaction> for MySql {
    async fn serve(&self, message: &Transaction, call: &CallContext) -> Result<Vec<Written>, Failure> {
        let requests = message.requests();
        let mut statements: Vec<Rc<Known>> = Vec::with_capacity(requests.len());
        for (at, request) in requests.iter().enumerate() {
            let known = self.checked(request).map_err(|failure| at_statement(failure, at))?;
            known.within_transaction().map_err(|failure| at_statement(failure, at))?;
            statements.push(known);
        }
        if statements.is_empty() {
            return Err(StatementError::Message("the transaction has no statements".into()).into());
        }
        let mut lease = self.pool.acquire("transaction", Some(Mode::ReadWrite), call).await?;
        begin(&mut lease, message.options()).await?;
        let mut replies = Vec::with_capacity(statements.len());
        for (at, (known, request)) in statements.iter().zip(requests.iter()).enumerate() {
            let limits = Limits::of(request, self.options());
            let written = run::write(&mut lease, known, request, limits, Purpose::WITHIN, call).await;
            match written.and_then(|written| request.check_rows(&written).map(|()| written)) {
                Ok(written) => replies.push(written),
                Err(failure) => {
                    roll_back(&mut lease).await;
                    return Err(at_statement(failure.executed_is(Executed::No), at));
                }
            }
        }
        commit(&mut lease, call).await?;
        Ok(replies)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_transaction_begins_with_one_command() {
        assert_eq!(begin_sql(TxOptions::new()), "START TRANSACTION READ WRITE");
        let options = TxOptions::new().isolation(Isolation::Serializable).read_only();
        assert_eq!(
            begin_sql(options.lock_timeout(Duration::from_millis(1_001))),
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET SESSION innodb_lock_wait_timeout = 2; \
             START TRANSACTION READ ONLY"
        );
    }
}

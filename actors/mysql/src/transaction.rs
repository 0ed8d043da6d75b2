//! Transactions: a list of statements, or a closure that awaits.

mod closure;

use std::{rc::Rc, time::Duration};

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
    session::Mode,
};

/// Begins a transaction.
pub(crate) async fn begin(lease: &mut Lease, options: TxOptions) -> Result<(), Failure> {
    if let Some(isolation) = options.isolation {
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        // it holds for the next transaction alone; a call that is given up before that begins closes the connection
        let set = format!("SET TRANSACTION ISOLATION LEVEL {level}");
        lease.command(&set, During::Connect, State::Broken).await?;
    }
    if let Some(timeout) = options.lock_timeout {
        // the server knows whole seconds alone; a reset brings its own value back
        lease.soil();
        let seconds = seconds_of(timeout);
        let set = format!("SET SESSION innodb_lock_wait_timeout = {seconds}");
        lease.command(&set, During::Connect, State::Broken).await?;
    }
    let start =
        if options.read_only { "START TRANSACTION READ ONLY" } else { "START TRANSACTION READ WRITE" };
    lease.command(start, During::Statement, State::Open).await
}

fn seconds_of(timeout: Duration) -> u64 {
    timeout.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX).min(1_073_741_824)
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
    use super::*;

    #[test]
    fn a_lock_timeout_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (u64::MAX, 1_073_741_824)] {
            assert_eq!(seconds_of(Duration::from_millis(millis)), seconds);
        }
    }
}

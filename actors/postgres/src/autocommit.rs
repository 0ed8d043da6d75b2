//! One statement by itself: a read on a pipe where it is known to be short, all else on a connection of its own.

use std::{rc::Rc, sync::Arc};

use backstop_core::{
    call::CallContext,
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{Request, Rows, Written, reply};

use crate::{
    error::{invalidates_statements, is_wrong_node},
    lane::Lane,
    pipe::{Member, Pipes},
    run::Mode,
    statement::Known,
};

/// Runs the statements of a lane that are no part of a transaction.
pub(crate) struct Autocommit {
    pub(crate) lane: Arc<Lane>,
    pipes: Pipes,
}

impl Autocommit {
    pub(crate) fn new(lane: Arc<Lane>) -> Rc<Self> {
        Rc::new(Self { lane, pipes: Pipes::default() })
    }

    /// Reads; a statement that was prepared under another schema is prepared anew, once, and sent without a name if it
    /// turns out then that names are lost.
    ///
    /// # Errors
    /// What the server said, or that there was no connection; `not_a_read` where the statement returns no rows.
    ///
    /// # Cancel safety
    /// Dropped, it asks the server to stop, unless others read on the same connection.
    pub(crate) async fn read(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
        operation: &'static str,
    ) -> Result<Rows, Failure> {
        let core = &self.lane.core;
        let had_names = core.naming().is_on();
        let mut result = self.read_once(call, known, request, operation).await;
        if result.as_ref().is_err_and(invalidates_statements) {
            core.schema_changed();
            result = Box::pin(self.read_once(call, known, request, operation)).await;
        }
        if had_names && !core.naming().is_on() && result.as_ref().is_err_and(invalidates_statements) {
            result = Box::pin(self.read_once(call, known, request, operation)).await;
        }
        let written = result.map_err(|failure| self.judged(failure))?;
        written.rows.ok_or_else(reply::not_a_read)
    }

    async fn read_once(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
        operation: &'static str,
    ) -> Result<Written, Failure> {
        if known.may_share() && self.lane.core.naming().is_on() {
            return self.member(call, operation).await?.read(call, known, request).await;
        }
        // boxed, so that short statements carry no room for it
        Box::pin(async {
            let lease = self.lane.acquire(call, operation).await?;
            lease.statement(call, known, request, Mode::Read).await
        })
        .await
    }

    /// Joins a pipe, or opens one.
    pub(crate) async fn member(
        &self,
        call: &CallContext,
        operation: &'static str,
    ) -> Result<Member<'_>, Failure> {
        if let Some(member) = self.pipes.join(&self.lane) {
            return Ok(member);
        }
        let _opening = self.pipes.opening();
        let lease = self.lane.acquire(call, operation).await?;
        Ok(self.pipes.open(lease))
    }

    /// Runs a statement that may write.
    ///
    /// # Errors
    /// What the server said, or that there was no connection.
    ///
    /// # Cancel safety
    /// Dropped, it asks the server to stop; whether the statement took effect is then unknown.
    pub(crate) async fn write(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
        operation: &'static str,
    ) -> Result<Written, Failure> {
        let core = &self.lane.core;
        let had_names = core.naming().is_on();
        let mut result = self.write_once(call, known, request, operation).await;
        if result.as_ref().is_err_and(invalidates_statements) {
            // Refused before it began: the table is no longer what it was when the statement was prepared.
            core.schema_changed();
            result = Box::pin(self.write_once(call, known, request, operation)).await;
        }
        if had_names && !core.naming().is_on() && result.as_ref().is_err_and(invalidates_statements) {
            result = Box::pin(self.write_once(call, known, request, operation)).await;
        }
        if known.changes_schema && result.is_ok() {
            core.schema_changed();
        }
        result.map_err(|failure| self.judged(failure))
    }

    async fn write_once(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
        operation: &'static str,
    ) -> Result<Written, Failure> {
        let lease = self.lane.acquire(call, operation).await?;
        lease.statement(call, known, request, Mode::Write).await
    }

    /// Notes what a failure says about the host.
    pub(crate) fn judged(&self, failure: Failure) -> Failure {
        if is_wrong_node(&failure) {
            self.lane.core.wrong_node();
        }
        // changed once more while it was prepared anew: it did not begin, and the guard may try again
        if invalidates_statements(&failure) { failure.transient(true) } else { failure }
    }
}

/// Says whether a failure speaks of the statements that were sent together, so that each may be tried by itself.
pub(crate) fn is_of_the_statement(failure: &Failure) -> bool {
    let of_the_connection = matches!(
        failure.kind(),
        FailureKind::Unavailable | FailureKind::Lost | FailureKind::Exhausted | FailureKind::Auth
    );
    failure.executed() == Executed::No && !of_the_connection
}

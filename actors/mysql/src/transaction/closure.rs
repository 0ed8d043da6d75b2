//! A transaction's closure: it runs on the lane, and its statements on one connection.

use std::{any::Any, panic::AssertUnwindSafe};

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
};
use backstop_sql::{
    AsyncTx, AsyncTxEngine, Request, TransactAsync, TxError, Written,
    message::AsyncTxBody,
    transaction::{AfterCommit, SavepointVerb},
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};

use super::{begin, commit, roll_back};
use crate::{
    MySql,
    error::During,
    pool::{Lease, State},
    run::{self, Limits, Purpose},
    session::Mode,
};

/// The transaction that a closure works on.
struct Engine<'a> {
    backend: &'a MySql,
    call: &'a CallContext,
    lease: &'a mut Lease,
    /// Why the transaction must not commit, whatever the closure makes of it.
    doom: Option<Failure>,
}

impl Engine<'_> {
    /// Refuses to go on in a transaction that is gone or in doubt.
    fn is_sound(&mut self) -> Result<(), Failure> {
        if let Some(doom) = &self.doom {
            return Err(doom.clone());
        }
        if self.lease.state() == State::Open {
            return Ok(());
        }
        // a statement whose future was dropped
        let text = "a statement of the transaction was given up while it ran";
        let doom = Failure::new(FailureKind::Cancelled, text).executed_is(Executed::No);
        self.doom = Some(doom.clone());
        Err(doom)
    }

    async fn run_one(&mut self, request: &Request) -> Result<Written, Failure> {
        self.is_sound()?;
        let known = self.backend.checked(request)?;
        known.within_transaction()?;
        let limits = Limits::of(request, self.backend.options());
        let result = run::write(self.lease, &known, request, limits, Purpose::WITHIN, self.call).await;
        self.note(result)
    }

    async fn savepoint_one(&mut self, verb: SavepointVerb) -> Result<(), Failure> {
        self.is_sound()?;
        let result = self.lease.command(&verb.sql(), During::Statement, State::Open).await;
        self.note(result)
    }

    /// An abort dooms the transaction: after a deadlock all of it is gone, after a lock's timeout one statement is,
    /// and a commit of the rest would be half of it.
    fn note<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &result
            && (self.lease.is_doomed() || self.lease.state() != State::Open)
        {
            self.doom = Some(failure.clone());
        }
        result
    }
}

impl AsyncTxEngine for Engine<'_> {
    fn run<'a>(&'a mut self, request: &'a Request) -> LocalBoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.run_one(request))
    }

    fn savepoint(&mut self, verb: SavepointVerb) -> LocalBoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.savepoint_one(verb))
    }
}

type Returned = (Result<Box<dyn Any + Send>, TxError>, Vec<AfterCommit>, Option<Failure>);

/// Runs the closure; `None` where it panicked.
async fn run_body(mut engine: Engine<'_>, body: &dyn AsyncTxBody) -> Option<Returned> {
    let mut tx = AsyncTx::new(&mut engine);
    let result = AssertUnwindSafe(body.run(&mut tx)).catch_unwind().await.ok()?;
    let hooks = tx.into_hooks();
    // a closure that dropped a statement's future and returned well is found out here
    if result.is_ok() && engine.doom.is_none() {
        let _ = engine.is_sound();
    }
    Some((result, hooks, engine.doom))
}

impl<R: Send + 'static> Serve<TransactAsync<R>> for MySql {
    async fn serve(&self, message: &TransactAsync<R>, call: &CallContext) -> Result<R, Failure> {
        let mut lease = self.pool.acquire("transaction", Some(Mode::ReadWrite), call).await?;
        begin(&mut lease, message.options()).await?;
        let engine = Engine { backend: self, call, lease: &mut lease, doom: None };
        let Some((result, hooks, doom)) = run_body(engine, &**message.body()).await else {
            roll_back(&mut lease).await;
            let text = "the closure of a transaction panicked";
            return Err(Failure::new(FailureKind::CallerPanicked, text).executed_is(Executed::No));
        };
        let reply = match (result, doom) {
            (Ok(reply), None) => reply,
            (_, Some(doom)) => {
                roll_back(&mut lease).await;
                return Err(doom.executed_is(Executed::No));
            }
            (Err(error), None) => {
                roll_back(&mut lease).await;
                return Err(error.into_failure());
            }
        };
        commit(&mut lease, call).await?;
        drop(lease);
        for hook in hooks {
            hook();
        }
        reply.downcast().map(|reply| *reply).map_err(|_| {
            Failure::new(FailureKind::Decode, "the closure returned another type than it promised")
                .in_phase(Phase::Decode)
                .executed_is(Executed::Yes)
        })
    }
}

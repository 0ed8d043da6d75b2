//! A transaction whose closure awaits: the closure runs on the lane, its statements on the thread that holds
//! the transaction.
//!
//! The two ends share a channel of commands. When the lane's end goes, because the closure failed, panicked or
//! lost its caller, the transaction is rolled back at once; when the thread's end gives up, because the
//! closure stood still or its time is over, the closure is dropped.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, mpsc},
};

use backstop_core::{
    call::CallContext,
    clock,
    error::{Executed, Failure, FailureKind},
    outcome::Outcome,
};
use backstop_sql::{
    AsyncTx, AsyncTxEngine, Request, TxError, TxOptions, Written,
    message::AsyncTxBody,
    seen::Watched,
    transaction::{AfterCommit, SavepointVerb},
};
use futures_util::{
    FutureExt as _,
    future::{Either, LocalBoxFuture, select},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    Sqlite,
    error::{self, During, Fault},
    job::{Job, Reply, Ticket, Withdraw, Work},
    session,
    unwind::{bury, caught},
    writer::{Bench, verdict},
};

enum Command {
    Run(Arc<Watched>, Request, oneshot::Sender<Result<Written, Failure>>),
    Savepoint(SavepointVerb, oneshot::Sender<Result<(), Failure>>),
    Commit,
}

/// The thread's end.
pub(crate) struct Held {
    begun: oneshot::Sender<()>,
    commands: mpsc::Receiver<Command>,
}

impl Held {
    /// Runs what the lane sends, inside the open transaction of `bench`; `Ok` when it asks for the commit.
    pub(crate) fn serve(self, bench: &Bench<'_>, ticket: &Arc<Ticket>) -> Result<(), Failure> {
        // a lane that has gone shows in the channel of commands
        let _ = self.begun.send(());
        loop {
            let left = ticket.deadline().remaining(clock::now());
            match self.commands.recv_timeout(bench.options.transaction_idle.min(left)) {
                Ok(Command::Run(statement, request, reply)) => {
                    let _ = reply.send(statement_of(bench, ticket, &statement, &request));
                }
                Ok(Command::Savepoint(verb, reply)) => {
                    let _ = reply.send(savepoint(bench, ticket, verb));
                }
                Ok(Command::Commit) => return session::goes_on(bench, ticket),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(left_open()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    session::goes_on(bench, ticket)?;
                    return Err(session::idle());
                }
            }
        }
    }
}

fn statement_of(
    bench: &Bench<'_>,
    ticket: &Arc<Ticket>,
    statement: &Watched,
    request: &Request,
) -> Result<Written, Failure> {
    session::goes_on(bench, ticket)?;
    let _watching = bench.watch.job(ticket);
    let result = bench.inside(statement, request);
    result.map_err(|failure| verdict(failure, ticket))
}

fn savepoint(bench: &Bench<'_>, ticket: &Ticket, verb: SavepointVerb) -> Result<(), Failure> {
    session::goes_on(bench, ticket)?;
    let done = bench.connection.prepare_cached(&verb.sql()).and_then(|mut own| own.raw_execute());
    done.map(drop).map_err(|error| Fault::from(error).into_failure(During::Statement))
}

/// The closure ended without a commit; its own error is what the caller hears.
fn left_open() -> Failure {
    Failure::new(FailureKind::Cancelled, "the transaction was left before its commit")
        .executed_is(Executed::No)
}

/// A statement was given up by the closure while it ran.
fn in_doubt() -> Failure {
    Failure::refused("the closure dropped a statement before its end, so the transaction was rolled back")
        .counts_as(Outcome::NotCounted)
        .with_code("statement_dropped")
}

/// The lane's end.
struct Lane<'a> {
    backend: &'a Sqlite,
    commands: mpsc::Sender<Command>,
    ticket: Arc<Ticket>,
    /// Whether a statement runs, or was dropped while it ran.
    busy: bool,
    /// Whether the thread had given up before it answered a statement.
    lost: bool,
}

impl Lane<'_> {
    /// Sends a command and waits for its answer.
    async fn ask<T>(
        &mut self,
        command: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Command,
    ) -> Result<T, Failure> {
        if self.busy {
            return Err(in_doubt());
        }
        let (reply, answer) = oneshot::channel();
        self.busy = true;
        let stop = Stop(Some(Arc::clone(&self.ticket)));
        let sent = self.commands.send(command(reply)).is_ok();
        let answer = if sent { answer.await.ok() } else { None };
        stop.disarm();
        self.busy = false;
        answer.unwrap_or_else(|| {
            // the reason is on its way as the answer of the call
            self.lost = true;
            Err(left_open())
        })
    }
}

/// Interrupts a statement whose future is dropped.
struct Stop(Option<Arc<Ticket>>);

impl Stop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(ticket) = &self.0 {
            ticket.withdraw();
        }
    }
}

impl AsyncTxEngine for Lane<'_> {
    fn run<'a>(&'a mut self, request: &'a Request) -> LocalBoxFuture<'a, Result<Written, Failure>> {
        Box::pin(async move {
            let known = self.backend.checked(request)?;
            session::joins(&known.statement)?;
            let (statement, request) = (Arc::clone(&known.statement), request.clone());
            drop(known);
            self.ask(|reply| Command::Run(statement, request, reply)).await
        })
    }

    fn savepoint(&mut self, verb: SavepointVerb) -> LocalBoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.ask(move |reply| Command::Savepoint(verb, reply)))
    }
}

type Answer = oneshot::Receiver<Result<Reply, Failure>>;

/// Runs a closure in a transaction that one of the threads holds.
pub(crate) async fn transact(
    backend: &Sqlite,
    body: &dyn AsyncTxBody,
    options: TxOptions,
    call: &CallContext,
) -> Result<Box<dyn Any + Send>, Failure> {
    let (sender, commands) = mpsc::channel();
    let (begun, is_begun) = oneshot::channel();
    let work = Work::Held(Mutex::new(Some(Held { begun, commands })), options);
    let (job, mut answer) = Job::new(work, call.deadline());
    let ticket = Arc::clone(&job.ticket);
    let withdraw = Withdraw::new(Arc::clone(&ticket), call, backend.pool_counts());
    // until the commit is asked for, a caller that leaves has changed nothing
    withdraw.may_last(false);
    backend.submit_transaction(job, options, call).await?;
    let result = if is_begun.await.is_ok() {
        let mut lane = Lane { backend, commands: sender, ticket, busy: false, lost: false };
        run(&mut lane, body, &mut answer, &withdraw).await
    } else {
        // the thread had no use for its end
        answer.await.unwrap_or_else(|_| Err(error::lost())).and_then(|_| Err(error::lost()))
    };
    withdraw.answered();
    result
}

async fn run(
    lane: &mut Lane<'_>,
    body: &dyn AsyncTxBody,
    answer: &mut Answer,
    withdraw: &Withdraw<'_>,
) -> Result<Box<dyn Any + Send>, Failure> {
    let mut tx = AsyncTx::new(lane);
    let closure = Box::pin(AssertUnwindSafe(async { body.run(&mut tx).await }).catch_unwind());
    let ended = match select(closure, &mut *answer).await {
        Either::Left((ended, _)) => ended,
        Either::Right((given_up, closure)) => {
            // the user's code drops what it holds
            caught(|| drop(closure));
            let failure = given_up.unwrap_or_else(|_| Err(error::lost())).err().unwrap_or_else(error::lost);
            return Err(in_doubt_or(failure));
        }
    };
    let hooks = tx.into_hooks();
    match ended {
        Ok(Ok(reply)) => commit(lane, reply, hooks, answer, withdraw).await,
        Ok(Err(error)) => {
            let reason = roll_back(lane, answer).await.filter(|_| lane.lost);
            let own = TxError::into_failure(error);
            Err(reason.unwrap_or(own))
        }
        Err(payload) => {
            bury(payload);
            roll_back(lane, answer).await;
            Err(Failure::new(FailureKind::CallerPanicked, "the transaction's closure panicked")
                .executed_is(Executed::No))
        }
    }
}

/// A caller that left does not hear this: what was cancelled is a statement that the closure dropped.
fn in_doubt_or(failure: Failure) -> Failure {
    if failure.kind() == FailureKind::Cancelled { in_doubt() } else { failure }
}

async fn commit(
    lane: &mut Lane<'_>,
    reply: Box<dyn Any + Send>,
    hooks: Vec<AfterCommit>,
    answer: &mut Answer,
    withdraw: &Withdraw<'_>,
) -> Result<Box<dyn Any + Send>, Failure> {
    let ended = if lane.busy {
        roll_back(lane, answer).await;
        Err(in_doubt())
    } else {
        withdraw.may_last(true);
        // where the thread has given up, its answer says why
        let _ = lane.commands.send(Command::Commit);
        answer.await.unwrap_or_else(|_| Err(error::lost()))
    };
    match ended {
        Ok(_) => {
            for hook in hooks {
                if caught(hook).is_none() {
                    tracing::error!("a hook that runs after a commit panicked; the transaction is committed");
                }
            }
            Ok(reply)
        }
        Err(failure) => {
            // nobody gets the closure's reply, and it is the user's code that drops it
            caught(|| drop(reply));
            Err(failure)
        }
    }
}

/// Has the thread roll back, and waits for it; returns what it says.
async fn roll_back(lane: &mut Lane<'_>, answer: &mut Answer) -> Option<Failure> {
    let (closed, _) = mpsc::channel();
    lane.commands = closed;
    answer.await.unwrap_or_else(|_| Err(error::lost())).err()
}

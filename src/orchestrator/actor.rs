//! The orchestrator as an actor: one on each thread that sends to it, so that a message never changes
//! threads.

use std::{cell::RefCell, fmt, future::IntoFuture, task::Poll, time::Duration};

use actix::{
    Actor, Addr, AsyncContext, Context, Handler, Message,
    dev::{MessageResponse, OneshotSender},
};
use backstop_core::{error::CallError, local};
use backstop_supervisor::can_host;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use super::{Batch, BatchError, BatchReport, Orchestrator};

/// An actix actor that calls backends for others; made by [`Orchestrator::local_addr`].
///
/// It takes [`Execute`], [`RunBatch`] and [`Collect`]. A message whose sender goes away is cancelled.
pub struct OrchestratorActor {
    orchestrator: Orchestrator,
}

/// Asks a backend by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Execute {
    /// The name of the backend.
    pub backend: String,
    /// The name of the operation.
    pub operation: String,
    /// Its arguments.
    pub arguments: Value,
    /// Time it has; the policy of its backend decides by default.
    pub timeout: Option<Duration>,
}

/// Runs several operations as data.
#[derive(Clone, Debug, PartialEq)]
pub struct RunBatch(pub Batch);

/// Waits for a [`Gather`](super::Gather), a race or a [`Fallback`](super::Fallback), on the actor's thread.
#[derive(Debug)]
pub struct Collect<G>(pub G);

/// A thread cannot hold an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this thread runs no actix arbiter and was not attached, so no actor can live on it; use the `Orchestrator` itself, or call `Runtime::attach_worker` where the thread has a `LocalSet`"
)]
pub struct ThreadError;

impl Execute {
    /// Asks `backend` for `operation`.
    pub fn new(backend: impl Into<String>, operation: impl Into<String>, arguments: Value) -> Self {
        Self { backend: backend.into(), operation: operation.into(), arguments, timeout: None }
    }

    /// Sets the time that it has.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

thread_local! {
    static ACTORS: RefCell<Vec<(Orchestrator, Addr<OrchestratorActor>)>> = const { RefCell::new(Vec::new()) };
}

impl Orchestrator {
    /// Returns the actor of the current thread; the first use starts it.
    ///
    /// # Errors
    /// [`ThreadError`] where no actor can live: neither an actix arbiter nor an attached worker.
    pub fn local_addr(&self) -> Result<Addr<OrchestratorActor>, ThreadError> {
        if !can_host() {
            return Err(ThreadError);
        }
        ACTORS.with_borrow_mut(|actors| {
            actors.retain(|(of, addr)| addr.connected() && !of.is_closed());
            if let Some((_, addr)) = actors.iter().find(|(of, _)| of.shared.id == self.shared.id) {
                return Ok(addr.clone());
            }
            let context = Context::new();
            let addr = context.address();
            local::spawn(context.into_future(OrchestratorActor { orchestrator: self.clone() }));
            actors.push((self.clone(), addr.clone()));
            Ok(addr)
        })
    }
}

impl Actor for OrchestratorActor {
    type Context = Context<Self>;
}

impl Message for Execute {
    type Result = Result<Value, CallError>;
}

impl Message for RunBatch {
    type Result = Result<BatchReport, BatchError>;
}

impl<G: IntoFuture> Message for Collect<G>
where
    G::Output: 'static,
{
    type Result = G::Output;
}

/// Work that ends with the wish of its sender: as a task of its own, since futures in an actor's own list
/// would cost quadratic wake-ups.
pub struct Deferred<R>(LocalBoxFuture<'static, R>);

impl<M> MessageResponse<OrchestratorActor, M> for Deferred<M::Result>
where
    M: Message,
{
    fn handle(self, _: &mut Context<OrchestratorActor>, reply: Option<OneshotSender<M::Result>>) {
        if let Some(reply) = reply {
            tokio::task::spawn_local(answer(self.0, reply));
        }
    }
}

/// Works until there is an answer or nobody waits for it any more.
async fn answer<R>(mut work: LocalBoxFuture<'static, R>, mut reply: OneshotSender<R>) {
    let ended = std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => reply.poll_closed(cx).map(|()| None),
    })
    .await;
    if let Some(result) = ended {
        // The sender may have gone away in this very moment; then nobody needs the answer.
        let _ = reply.send(result);
    }
}

impl Handler<Execute> for OrchestratorActor {
    type Result = Deferred<Result<Value, CallError>>;

    fn handle(&mut self, execute: Execute, _: &mut Self::Context) -> Self::Result {
        let Execute { backend, operation, arguments, timeout } = execute;
        let ask = self.orchestrator.execute(backend, operation, arguments);
        Deferred(match timeout {
            Some(timeout) => Box::pin(ask.within(timeout)),
            None => Box::pin(ask),
        })
    }
}

impl Handler<RunBatch> for OrchestratorActor {
    type Result = Deferred<Result<BatchReport, BatchError>>;

    fn handle(&mut self, RunBatch(batch): RunBatch, _: &mut Self::Context) -> Self::Result {
        let orchestrator = self.orchestrator.clone();
        Deferred(Box::pin(async move { orchestrator.batch(batch).await }))
    }
}

impl<G> Handler<Collect<G>> for OrchestratorActor
where
    G: IntoFuture + 'static,
    G::IntoFuture: 'static,
    G::Output: 'static,
{
    type Result = Deferred<G::Output>;

    fn handle(&mut self, Collect(gather): Collect<G>, _: &mut Self::Context) -> Self::Result {
        Deferred(Box::pin(async move { gather.into_future().await }))
    }
}

impl fmt::Debug for OrchestratorActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrchestratorActor").field("orchestrator", &self.orchestrator).finish()
    }
}

impl<R> fmt::Debug for Deferred<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").finish_non_exhaustive()
    }
}

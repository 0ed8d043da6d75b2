//! The data-plane actor of one thread: it takes calls, answers what is ready at once, and keeps its own
//! instance of the backend.

mod core;
mod flight;
mod instance;

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message as ActixMessage, MessageResult,
    ResponseActFuture, Supervised,
    dev::{MessageResponse, OneshotSender},
    fut::wrap_future,
};
use backstop_core::{
    backend::{Backend, Serve},
    call::{Deadline, OpId},
    clock::Instant,
    error::CallError,
    guard::Ticket,
    local,
    message::{Class, Message},
    snapshot::PoolSnapshot,
};
use serde::Serialize;

pub(crate) use self::{
    core::{Core, Gauge, HEARTBEAT},
    flight::{Launched, launch},
};
use crate::host::Turn;

/// A lane hands the thread on after so many messages, so that other tasks of the thread get their turn.
const MESSAGES_PER_TURN: u32 = 128;

/// Says that the current thread runs this `LocalSet` for its whole life, so that lanes may live on it; to be called
/// inside it.
///
/// Arbiters of actix need no such word. actix-web workers under `#[tokio::main]` do: their thread has a
/// `LocalSet` but no arbiter.
///
/// # Panics
/// Outside a `LocalSet`.
pub fn attach_thread() {
    local::attach();
}

/// Says whether a lane can live on the current thread, and sees to it that tasks beside the `LocalSet` may call it.
pub fn can_host() -> bool {
    if let Some(arbiter) = actix_rt::Arbiter::try_current() {
        local::attach_by(|begin| arbiter.spawn_fn(begin));
        return true;
    }
    local::is_attached()
}

/// The data-plane actor of one thread.
pub(crate) struct Lane<B: Backend> {
    core: Rc<Core<B>>,
    turn: Turn,
}

impl<B: Backend> Lane<B> {
    pub(crate) fn new(core: Rc<Core<B>>, turn: Turn) -> Self {
        Self { core, turn }
    }
}

impl<B: Backend> Actor for Lane<B> {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.core.started();
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.core.stopped();
    }
}

impl<B: Backend> Supervised for Lane<B> {}

/// One admitted message on its way to a lane.
pub(crate) struct Call<M> {
    pub(crate) message: M,
    pub(crate) class: Class,
    pub(crate) op: OpId,
    pub(crate) deadline: Deadline,
    pub(crate) started: Instant,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) ticket: Ticket,
    /// Shared with a caller on another thread, who must know at the deadline whether work began.
    pub(crate) progress: Option<Arc<Progress>>,
}

/// Whether a lane has taken a call that came from another thread.
#[derive(Debug, Default)]
pub(crate) struct Progress(std::sync::atomic::AtomicU8);

impl Progress {
    const QUEUED: u8 = 0;
    const TAKEN: u8 = 1;
    const WITHDRAWN: u8 = 2;

    fn step(&self, to: u8) -> bool {
        use std::sync::atomic::Ordering::{AcqRel, Acquire};
        self.0.compare_exchange(Self::QUEUED, to, AcqRel, Acquire).is_ok()
    }

    /// The lane takes the call; `false` when its caller has withdrawn it.
    pub(crate) fn take(&self) -> bool {
        self.step(Self::TAKEN)
    }

    /// The caller withdraws the call; `false` when work has begun.
    pub(crate) fn withdraw(&self) -> bool {
        self.step(Self::WITHDRAWN)
    }
}

impl<M: Message> ActixMessage for Call<M> {
    type Result = Result<M::Reply, CallError>;
}

/// Takes actix's own reply sender along with the call, so that no second channel is needed.
pub(crate) struct Deferred<B: Backend, M> {
    core: Rc<Core<B>>,
    call: Call<M>,
}

impl<B, M> Handler<Call<M>> for Lane<B>
where
    B: Serve<M>,
    M: Message,
{
    type Result = Deferred<B, M>;

    fn handle(&mut self, call: Call<M>, ctx: &mut Self::Context) -> Deferred<B, M> {
        let handled = self.turn.get() + 1;
        self.turn.set(handled);
        if handled == MESSAGES_PER_TURN {
            ctx.wait(wrap_future::<_, Self>(tokio::task::yield_now()));
        }
        Deferred { core: Rc::clone(&self.core), call }
    }
}

impl<B, M> MessageResponse<Lane<B>, Call<M>> for Deferred<B, M>
where
    B: Serve<M>,
    M: Message,
{
    fn handle(self, _: &mut Context<Lane<B>>, reply: Option<OneshotSender<Result<M::Reply, CallError>>>) {
        let Some(reply) = reply else { return };
        if self.call.progress.as_ref().is_some_and(|progress| !progress.take()) {
            return;
        }
        match launch(self.core, self.call) {
            Launched::Ready(result) => drop(reply.send(result)),
            Launched::Waiting(waiting) => waiting.answer_to(reply),
        }
    }
}

/// Orders a lane to end: calls under way are given up, then the instance is closed.
pub(crate) struct StopLane(pub(crate) Deadline);

impl ActixMessage for StopLane {
    type Result = usize;
}

impl<B: Backend> Handler<StopLane> for Lane<B> {
    type Result = ResponseActFuture<Self, usize>;

    fn handle(&mut self, stop: StopLane, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        let closing = wrap_future::<_, Self>(async move { core.stop(stop.0).await });
        Box::pin(closing.map(|abandoned, _, ctx: &mut Context<Self>| {
            actix::ActorContext::stop(ctx);
            abandoned
        }))
    }
}

/// Orders a lane to build an instance from the newest recipe.
pub(crate) struct Rebuild;

impl ActixMessage for Rebuild {
    type Result = ();
}

impl<B: Backend> Handler<Rebuild> for Lane<B> {
    type Result = ();

    fn handle(&mut self, _: Rebuild, _: &mut Self::Context) {
        self.core.ensure_current();
    }
}

/// Asks the instance of a lane for a sign of life, past all policies.
pub(crate) struct ProbeLane(pub(crate) Duration);

impl ActixMessage for ProbeLane {
    type Result = Result<(), CallError>;
}

impl<B: Backend> Handler<ProbeLane> for Lane<B> {
    type Result = actix::ResponseFuture<Result<(), CallError>>;

    fn handle(&mut self, probe: ProbeLane, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        Box::pin(async move { core.probe(Deadline::after(probe.0)).await })
    }
}

/// One call under way, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct InFlightCall {
    /// The call.
    pub op: OpId,
    /// The kind of message.
    pub message: &'static str,
    /// The lane that serves it.
    pub lane: u64,
    /// How long it has been under way, in milliseconds.
    pub age_ms: u64,
}

/// Asks a lane what it shows.
pub(crate) struct Inspect;

/// What a lane shows.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) pool: PoolSnapshot,
    pub(crate) calls: Vec<InFlightCall>,
}

impl ActixMessage for Inspect {
    type Result = Inspected;
}

impl<B: Backend> Handler<Inspect> for Lane<B> {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.core.inspect())
    }
}

/// Gives up one call under way; answers whether this lane had it.
pub(crate) struct CancelCall(pub(crate) OpId);

impl ActixMessage for CancelCall {
    type Result = bool;
}

impl<B: Backend> Handler<CancelCall> for Lane<B> {
    type Result = bool;

    fn handle(&mut self, cancel: CancelCall, _: &mut Self::Context) -> bool {
        self.core.cancel(cancel.0)
    }
}

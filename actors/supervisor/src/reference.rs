//! The stable reference to a backend: it survives restarts and works from any thread.

use std::{
    any::Any,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as Cx, Poll, ready},
    time::Duration,
};

use actix::{Addr, dev::Request};
use backstop_core::{
    backend::{Backend, Serve},
    call::{Deadline, OpId},
    clock,
    error::{CallError, Executed, Failure, FailureKind, Phase, RejectionReason},
    event::EventRing,
    guard::{Guard, SlowCall},
    message::{Class, Message},
    policy::circuit_breaker::BreakerState,
    snapshot::PoolSnapshot,
};
use tokio::{sync::oneshot, task::coop::poll_proceed};

use crate::{
    control::{Order, OrderError},
    hub::{BackendSnapshot, Hub},
    lane::{Call, CancelCall, Core, InFlightCall, Lane, Launched, Progress, launch},
    slots::{self, At, Slot, SlotKey},
};

/// Time beyond its deadline after which a caller on another thread stops waiting for the lane.
const GRACE: Duration = Duration::from_millis(45);

/// A reference to a backend; cheap to clone, `Send`, and valid over every restart.
pub struct BackendRef<B: Backend> {
    pub(crate) hub: Arc<Hub<B>>,
    logical: u32,
}

impl<B: Backend> Clone for BackendRef<B> {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), logical: self.logical }
    }
}

impl<B: Backend> fmt::Debug for BackendRef<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendRef").field(self.hub.guard.name()).finish()
    }
}

impl<B: Backend> BackendRef<B> {
    pub(crate) fn new(hub: Arc<Hub<B>>) -> Self {
        Self { hub, logical: 0 }
    }

    /// Names the backend.
    #[must_use]
    pub fn name(&self) -> &str {
        self.hub.guard.name().as_str()
    }

    /// Prepares one message; nothing happens until the [`Ask`] is polled.
    #[inline]
    pub fn ask<M>(&self, message: M) -> Ask<B, M>
    where
        B: Serve<M>,
        M: Message,
    {
        Ask {
            hub: Arc::clone(&self.hub),
            logical: self.logical,
            timeout: None,
            class: None,
            client: None,
            step: Step::Prepared(message),
        }
    }

    /// Asks from a plain thread and blocks it until the answer is there.
    ///
    /// # Errors
    /// [`BlockingError::InsideRuntime`] where blocking would stop other tasks; else as [`Ask`].
    pub fn ask_blocking<M>(&self, message: M) -> Result<M::Reply, BlockingError>
    where
        B: Serve<M>,
        M: Message,
    {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(BlockingError::InsideRuntime);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.ask(message)).map_err(BlockingError::Call)
    }

    /// Uses the `number`th of several logical lanes on this thread; for tests under `Placement::Single`.
    #[must_use]
    pub fn on_logical_lane(&self, number: u32) -> Self {
        Self { hub: Arc::clone(&self.hub), logical: number }
    }

    /// Starts the lane of the current thread now instead of at its first call.
    ///
    /// # Errors
    /// A rejection when the backend has stopped.
    pub fn start_lane(&self) -> Result<(), CallError> {
        let key = self.key();
        if slots::with::<B, _>(key, |_| ()).is_some() {
            return Ok(());
        }
        self.hub.find_lane(key).map_err(|reason| self.hub.guard.reject(reason).into())
    }

    fn key(&self) -> SlotKey {
        SlotKey { hub: self.hub.id, logical: self.logical }
    }

    /// Gives an order to the control actor: restart, trip, drain, reconfigure.
    ///
    /// Orders overtake calls: they have a mailbox of their own.
    ///
    /// # Errors
    /// [`OrderError`] when the order cannot be carried out or the backend is gone.
    pub async fn order(&self, order: Order) -> Result<(), OrderError> {
        crate::control::give(&self.hub, order).await
    }

    /// Returns the policies at work.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.hub.guard
    }

    /// Returns the state of the circuit breaker.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.hub.guard.breaker_state()
    }

    /// Returns the stream of facts that this backend writes to.
    #[must_use]
    pub fn events(&self) -> &Arc<EventRing> {
        self.hub.guard.events()
    }

    /// Shows the backend without asking a lane.
    #[must_use]
    pub fn snapshot(&self) -> BackendSnapshot {
        self.hub.snapshot()
    }

    /// Shows the connections of all lanes; a lane that does not answer in time is left out.
    pub async fn pool(&self) -> PoolSnapshot {
        self.hub.inspect(GRACE * 4).await.0
    }

    /// Lists the calls under way; a lane that does not answer in time is left out.
    pub async fn in_flight(&self) -> Vec<InFlightCall> {
        self.hub.inspect(GRACE * 4).await.1
    }

    /// Lists the slowest calls of late, newest first, at most `limit`.
    #[must_use]
    pub fn slow_calls(&self, limit: usize) -> Vec<SlowCall> {
        self.hub.guard.slow_calls(limit)
    }

    /// Returns what the backend lends out of its work (see `Connect::insight`); `None` where it lends nothing of
    /// this type, or has ended.
    #[must_use]
    pub fn insight<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.hub.insight()?.downcast().ok()
    }

    /// Gives up one call under way; its caller gets `cancelled`, executed unknown.
    pub async fn cancel(&self, op: OpId) -> bool {
        for lane in self.hub.addresses() {
            // A lane on a blocked thread cannot answer, and must not keep the others from it.
            if matches!(tokio::time::timeout(GRACE * 4, lane.send(CancelCall(op))).await, Ok(Ok(true))) {
                return true;
            }
        }
        false
    }
}

/// Why a blocking call has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// The thread runs a runtime; blocking it would stop its other tasks. Use [`BackendRef::ask`].
    #[error("a blocking call inside an async runtime would stop its other tasks; await `ask` instead")]
    InsideRuntime,
    /// No runtime could be made for the wait.
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
    /// The call ended without a reply.
    #[error(transparent)]
    Call(CallError),
}

/// One message on its way: a future that resolves to the reply or to a [`CallError`].
///
/// It is lazy: nothing happens before the first poll, which also picks the lane of that thread. It must be
/// polled inside a tokio runtime with its timer enabled.
///
/// On a thread whose lanes live there (an arbiter, an actix-web worker) any task may poll it, those of `tokio::spawn`
/// too: the work itself always runs on the thread's `LocalSet`.
///
/// # Cancel safety
/// Dropping it cancels the call: a queued one is dropped, one under way is cancelled where its driver can.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<B: Backend, M: Message>
where
    B: Serve<M>,
{
    hub: Arc<Hub<B>>,
    logical: u32,
    timeout: Option<Duration>,
    class: Option<Class>,
    client: Option<Arc<str>>,
    step: Step<B, M>,
}

// Nothing inside is pinned in place: what needs a fixed address is boxed.
impl<B: Serve<M>, M: Message> Unpin for Ask<B, M> {}

type Answer<M> = Result<<M as Message>::Reply, CallError>;

enum Step<B: Backend, M: Message>
where
    B: Serve<M>,
{
    Prepared(M),
    /// With the lane of this thread.
    Here(oneshot::Receiver<Answer<M>>),
    /// With a lane on another thread.
    Elsewhere(Box<Remote<B, M>>),
    Done,
}

/// A call to a lane on another thread, which may be blocked: the caller watches the deadline itself.
struct Remote<B: Backend, M: Message>
where
    B: Serve<M>,
{
    request: Pin<Box<Request<Lane<B>, Call<M>>>>,
    late: Pin<Box<tokio::time::Sleep>>,
    progress: Arc<Progress>,
}

impl<B: Serve<M>, M: Message> Remote<B, M> {
    fn poll(&mut self, cx: &mut Cx<'_>, hub: &Hub<B>) -> Poll<Answer<M>> {
        if let Poll::Ready(answer) = self.request.as_mut().poll(cx) {
            return Poll::Ready(answer.unwrap_or_else(|_| Err(lane_gone(hub))));
        }
        self.late.as_mut().poll(cx).map(|()| Err(lane_late(hub, self.progress.withdraw())))
    }
}

impl<B: Serve<M>, M: Message> Ask<B, M> {
    /// Gives the call `timeout` from its first poll on, at most the policy's `timeout_max`.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(self.timeout.map_or(timeout, |present| present.min(timeout)));
        self
    }

    /// Says what may happen to the message after a failure, in place of its own class.
    pub fn class(mut self, class: Class) -> Self {
        self.class = Some(class);
        self
    }

    /// Names the client on whose behalf the call is made, for per-client limits.
    pub fn for_client(mut self, client: impl Into<Arc<str>>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// Names the backend.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.hub.guard.name().as_str()
    }
}

impl<B: Serve<M>, M: Message> fmt::Debug for Ask<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("backend", &self.backend())
            .field("message", &M::NAME)
            .finish_non_exhaustive()
    }
}

impl<B: Serve<M>, M: Message> Future for Ask<B, M> {
    type Output = Answer<M>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.step, Step::Prepared(_)) {
            // Counted like any other progress, so that a loop of answers that are ready lets other tasks run.
            let progress = ready!(poll_proceed(cx));
            progress.made_progress();
            if let Some(answer) = this.send() {
                return Poll::Ready(answer);
            }
        }
        let answer = match &mut this.step {
            Step::Here(answer) => {
                let answer = ready!(Pin::new(answer).poll(cx));
                answer.unwrap_or_else(|_| Err(lane_gone(&this.hub)))
            }
            Step::Elsewhere(remote) => ready!(remote.poll(cx, &this.hub)),
            Step::Prepared(_) | Step::Done => Err(finished(&this.hub)),
        };
        this.step = Step::Done;
        Poll::Ready(answer)
    }
}

impl<B: Serve<M>, M: Message> Ask<B, M> {
    /// Sends the message to the lane at hand; returns an answer that is known at once.
    fn send(&mut self) -> Option<Answer<M>> {
        let Step::Prepared(message) = mem::replace(&mut self.step, Step::Done) else { return None };
        let guard = &self.hub.guard;
        let ticket = match guard.admit() {
            Ok(ticket) => ticket,
            Err(rejection) => {
                let open = matches!(rejection.reason(), RejectionReason::CircuitOpen(_));
                let cached = open.then(|| guard.cached(&message)).flatten();
                return Some(cached.ok_or_else(|| rejection.into()));
            }
        };
        let started = clock::now();
        let deadline = guard.deadline(self.timeout, started);
        let class = self.class.unwrap_or_else(|| message.class());
        let (op, client) = (OpId::next(), self.client.take());
        let call = Call { message, class, op, deadline, started, client, ticket, progress: None };
        match find(&self.hub, self.logical) {
            Err(reason) => Some(Err(guard.reject(reason).into())),
            // No slot is borrowed here, so the backend's own code may ask other backends.
            Ok(Found::Here(core)) => match launch(core, call) {
                Launched::Ready(answer) => Some(answer),
                Launched::Waiting(waiting) => {
                    let (reply, answer) = oneshot::channel();
                    waiting.answer_to(reply);
                    self.step = Step::Here(answer);
                    None
                }
            },
            Ok(Found::Elsewhere(lane)) => {
                self.step = Step::Elsewhere(Box::new(post(&lane, call, deadline)));
                None
            }
        }
    }
}

/// The lane that a call goes to.
enum Found<B: Backend> {
    Here(Rc<Core<B>>),
    Elsewhere(Addr<Lane<B>>),
}

/// Finds the lane at hand, or starts one.
fn find<B: Backend>(hub: &Arc<Hub<B>>, logical: u32) -> Result<Found<B>, RejectionReason> {
    let key = SlotKey { hub: hub.id, logical };
    let look = |slot: &Slot<B>| match &slot.at {
        At::Here(core) => core.upgrade().map(Found::Here),
        At::Elsewhere => Some(Found::Elsewhere(slot.addr.clone())),
    };
    if let Some(found) = slots::with(key, look).flatten() {
        return Ok(found);
    }
    hub.find_lane(key)?;
    slots::with(key, look).flatten().ok_or(RejectionReason::Stopped)
}

/// Puts a call into the mailbox of a lane on another thread.
fn post<B, M>(lane: &Addr<Lane<B>>, mut call: Call<M>, deadline: Deadline) -> Remote<B, M>
where
    B: Serve<M>,
    M: Message,
{
    let progress = Arc::<Progress>::default();
    call.progress = Some(Arc::clone(&progress));
    let late = Box::pin(tokio::time::sleep_until(deadline.instant() + GRACE));
    Remote { request: Box::pin(lane.send(call)), late, progress }
}

/// The lane ended with the call still in its mailbox, so nothing was sent.
fn lane_gone<B: Backend>(hub: &Hub<B>) -> CallError {
    hub.guard.reject(RejectionReason::Stopped).into()
}

/// The lane's thread did not answer in time.
fn lane_late<B: Backend>(hub: &Hub<B>, withdrawn: bool) -> CallError {
    if withdrawn {
        return hub.guard.reject(RejectionReason::Expired).into();
    }
    let failure = Failure::new(FailureKind::Timeout, "the lane's thread did not answer in time")
        .in_phase(Phase::Execute)
        .executed_is(Executed::Unknown);
    hub.guard.stamped(failure).into()
}

fn finished<B: Backend>(hub: &Hub<B>) -> CallError {
    hub.guard.reject(RejectionReason::Invalid("the ask was polled after its end".into())).into()
}

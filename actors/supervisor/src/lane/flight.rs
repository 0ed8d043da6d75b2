//! One call at work on a lane.
//!
//! The first poll runs inline, where the call arrives, unless the backend wants none there: what is ready needs no
//! task and no timer. Whatever waits becomes a task of its own; futures kept in an actor's own list would cost quadratic wake-ups.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context as Cx, Poll, Waker},
};

use actix::dev::OneshotSender;
use backstop_core::{
    backend::{Backend, Serve},
    call::CallContext,
    clock,
    error::{CallError, Executed, Failure, FailureKind, RejectionReason},
    guard, local,
    message::Message,
    operation::LocalBoxFuture,
};

use super::{Call, Core, instance::InUse};

/// A call after its first poll.
pub(crate) enum Launched<B: Backend, R> {
    /// It has its end.
    Ready(Result<R, CallError>),
    /// It goes on once it knows whom to answer.
    Waiting(Waiting<B, R>),
}

/// A call that waits for its backend and has no task yet; dropped, it is cancelled.
pub(crate) struct Waiting<B: Backend, R>(Flight<B, R>);

impl<B: Backend, R: Send + 'static> Waiting<B, R> {
    /// Leaves the call to a task that answers `reply`.
    pub(crate) fn answer_to(mut self, reply: OneshotSender<Result<R, CallError>>) {
        self.0.reply = Some(reply);
        local::spawn(self.0);
    }
}

struct Flight<B: Backend, R> {
    core: Rc<Core<B>>,
    work: Option<LocalBoxFuture<'static, Result<R, CallError>>>,
    reply: Option<OneshotSender<Result<R, CallError>>>,
    key: usize,
}

/// Starts a call on the lane of this thread.
pub(crate) fn launch<B, M>(core: Rc<Core<B>>, call: Call<M>) -> Launched<B, M::Reply>
where
    B: Serve<M>,
    M: Message,
{
    let (op, name, started) = (call.op, call.message.name(), call.started);
    let mut work: LocalBoxFuture<'static, _> = Box::pin(serve(Rc::clone(&core), call));
    let polled = match B::POLLS_AT_ONCE {
        true => poll_contained(&core, &mut work, &mut Cx::from_waker(Waker::noop())),
        false => Poll::Pending,
    };
    match polled {
        Poll::Ready(result) => {
            drop_contained(&core, work);
            Launched::Ready(swapped::reply(&core, result))
        }
        Poll::Pending => {
            let key = core.register(op, name, started);
            Launched::Waiting(Waiting(Flight { core, work: Some(work), reply: None, key }))
        }
    }
}

impl<B: Backend, R: Send + 'static> Flight<B, R> {
    fn answer(&mut self, result: Result<R, CallError>) {
        if let Some(reply) = self.reply.take() {
            // The caller may have gone away in this very moment; then nobody needs the answer.
            let _ = reply.send(swapped::reply(&self.core, result));
        }
        self.cancel();
    }

    /// Drops the work, which cancels it and gives every place back.
    fn cancel(&mut self) {
        if let Some(work) = self.work.take() {
            drop_contained(&self.core, work);
        }
    }
}

impl<B: Backend, R: Send + 'static> Future for Flight<B, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        local::inside(|| self.advance(cx))
    }
}

impl<B: Backend, R: Send + 'static> Flight<B, R> {
    fn advance(&mut self, cx: &mut Cx<'_>) -> Poll<()> {
        let this = self;
        if let Some(work) = this.work.as_mut()
            && let Poll::Ready(result) = poll_contained(&this.core, work, cx)
        {
            this.answer(result);
            return Poll::Ready(());
        }
        if this.core.is_cancelled(this.key) {
            this.core.last_words.set(true);
            this.cancel();
            this.answer(Err(given_up(&this.core, "cancelled by an operator", RejectionReason::Cancelled)));
            return Poll::Ready(());
        }
        match this.reply.as_mut().map(|reply| reply.poll_closed(cx)) {
            Some(Poll::Pending) => {
                this.core.set_waker(this.key, cx.waker());
                Poll::Pending
            }
            // The caller is gone.
            _ => {
                this.reply = None;
                this.cancel();
                Poll::Ready(())
            }
        }
    }
}

impl<B: Backend, R> Drop for Flight<B, R> {
    fn drop(&mut self) {
        self.core.deregister(self.key);
        self.core.last_words.set(true);
        // The thread may be ending: no instance is replaced any more.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.work.take())));
        if let Some(reply) = self.reply.take() {
            let _ =
                reply.send(Err(given_up(&self.core, "the lane's thread ended", RejectionReason::Stopped)));
        }
    }
}

/// The planted bug that answers each call with the reply of the one before.
mod swapped {
    use super::{Backend, CallError, Core};

    #[cfg(not(feature = "planted"))]
    pub(super) fn reply<B: Backend, R>(_: &Core<B>, result: Result<R, CallError>) -> Result<R, CallError> {
        result
    }

    #[cfg(feature = "planted")]
    pub(super) fn reply<B: Backend, R: 'static>(
        core: &Core<B>,
        result: Result<R, CallError>,
    ) -> Result<R, CallError> {
        use std::{any::Any, cell::RefCell};

        use backstop_core::planted::{self, Bug};

        thread_local! {
            static KEPT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
        }
        if !planted::is(Bug::AnswersSwapped) {
            return result;
        }
        let earlier = KEPT.replace(Some(Box::new(result?)));
        match earlier.map(Box::<dyn Any>::downcast::<R>) {
            Some(Ok(earlier)) => Ok(*earlier),
            _ => Err(core.hub.guard.reject(super::RejectionReason::Stopped).into()),
        }
    }
}

/// Serves one call on the lane's instance; everything it holds is given back on drop.
///
/// A block and no `async fn`, whose arguments would stand in the future twice.
#[allow(clippy::manual_async_fn)]
fn serve<B, M>(core: Rc<Core<B>>, call: Call<M>) -> impl Future<Output = Result<M::Reply, CallError>>
where
    B: Serve<M>,
    M: Message,
{
    async move {
        let context = CallContext::started_at(call.op, call.started, call.deadline).for_client(call.client);
        let guard = call.ticket.guard();
        let _words = LastWords { core: &core, call: &context };
        let instance = match core.current() {
            Some(instance) => Ok(instance),
            None => Box::pin(core.instance(call.deadline)).await,
        };
        let result = match instance {
            Err(rejection) => Err(rejection.into()),
            Ok(instance) => {
                let using = InUse::new(&core, instance);
                let run = pin!(guard.run(&using.get().backend, &call.message, &context, call.class));
                let result = core.until_stopped(run, &context).await;
                if let Err(error) = &result
                    && guard::is_crash(error)
                {
                    core.crashed(using.get(), error.as_failure().map_or("", Failure::message));
                }
                result
            }
        };
        let ended = context.ended().unwrap_or_else(clock::now);
        let elapsed = ended.saturating_duration_since(call.started);
        core.recorder.record(call.message.name(), &result, elapsed);
        guard.note_slow(call.message.name(), &context, elapsed, result.is_ok());
        call.ticket.settle();
        result
    }
}

/// Polls the work of a call; a panic that no layer below has caught still ends this call alone.
fn poll_contained<B: Backend, R>(
    core: &Rc<Core<B>>,
    work: &mut LocalBoxFuture<'static, Result<R, CallError>>,
    cx: &mut Cx<'_>,
) -> Poll<Result<R, CallError>> {
    match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => {
            let text = guard::panic_text(&*panic);
            core.crashed_in_drop(&text);
            let executed = if core.last_words.get() { Executed::Unknown } else { Executed::No };
            let failure = Failure::new(FailureKind::Panicked, text).executed_is(executed);
            Poll::Ready(Err(core.hub.guard.stamped(failure).into()))
        }
    }
}

/// Drops the work of a call; a panic in a drop costs the instance and nothing else.
fn drop_contained<B: Backend, R>(core: &Rc<Core<B>>, work: LocalBoxFuture<'static, R>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(work))) {
        core.crashed_in_drop(&guard::panic_text(&*panic));
    }
}

/// Notes, when a call is dropped, whether it had been sent; its drop guards have spoken by then.
struct LastWords<'a, B: Backend> {
    core: &'a Core<B>,
    call: &'a CallContext,
}

impl<B: Backend> Drop for LastWords<'_, B> {
    fn drop(&mut self) {
        self.core.last_words.set(self.call.was_ever_sent());
    }
}

/// The end of a call whose work was just dropped: `unknown` if it had been sent, our refusal otherwise.
fn given_up<B: Backend>(core: &Core<B>, why: &'static str, unsent: RejectionReason) -> CallError {
    if !core.last_words.get() {
        return core.hub.guard.reject(unsent).into();
    }
    let failure = Failure::new(FailureKind::Cancelled, why).executed_is(Executed::Unknown);
    core.hub.guard.stamped(failure).into()
}

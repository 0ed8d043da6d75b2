//! One call at work on a lane.
//!
//! The first poll runs inline, in the handler: what is ready needs no task and no timer. Whatever waits
//! becomes a task of its own; futures kept in an actor's own list would cost quadratic wake-ups.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context as Cx, Poll, Waker},
};

use actix::dev::OneshotSender;
use backstop_core::{
    backend::{Backend, Serve},
    call::CallContext,
    clock,
    error::{CallError, Executed, Failure, FailureKind, RejectionReason},
    guard,
    message::Message,
    operation::LocalBoxFuture,
};

use super::{Call, Core, instance::InUse};

pub(super) struct Flight<B: Backend, R> {
    core: Rc<Core<B>>,
    work: Option<LocalBoxFuture<'static, Result<R, CallError>>>,
    reply: Option<OneshotSender<Result<R, CallError>>>,
    key: usize,
}

impl<B: Backend, R: Send + 'static> Flight<B, R> {
    /// Starts a call: answers it now if it is ready, or leaves it to a task.
    pub(super) fn launch<M>(core: Rc<Core<B>>, call: Call<M>, reply: OneshotSender<Result<R, CallError>>)
    where
        B: Serve<M>,
        M: Message<Reply = R>,
    {
        let (op, name, started) = (call.op, call.message.name(), call.started);
        let mut work: LocalBoxFuture<'static, _> = Box::pin(serve(Rc::clone(&core), call));
        match poll_contained(&mut work, &mut Cx::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                let _ = reply.send(result);
                drop_contained(work);
            }
            Poll::Pending => {
                let key = core.register(op, name, started);
                let flight = Self { core, work: Some(work), reply: Some(reply), key };
                tokio::task::spawn_local(flight);
            }
        }
    }

    fn answer(&mut self, result: Result<R, CallError>) {
        if let Some(reply) = self.reply.take() {
            // The caller may have gone away in this very moment; then nobody needs the answer.
            let _ = reply.send(result);
        }
        self.work.take().map(drop_contained);
    }
}

impl<B: Backend, R: Send + 'static> Future for Flight<B, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(work) = this.work.as_mut() {
            if let Poll::Ready(result) = poll_contained(work, cx) {
                this.answer(result);
                return Poll::Ready(());
            }
        }
        if this.core.is_cancelled(this.key) {
            this.answer(Err(given_up(&this.core, "cancelled by an operator")));
            return Poll::Ready(());
        }
        match this.reply.as_mut().map(|reply| reply.poll_closed(cx)) {
            Some(Poll::Pending) => {
                this.core.set_waker(this.key, cx.waker());
                Poll::Pending
            }
            // The caller is gone: dropping the work cancels it and gives every place back.
            _ => {
                this.reply = None;
                this.work.take().map(drop_contained);
                Poll::Ready(())
            }
        }
    }
}

impl<B: Backend, R> Drop for Flight<B, R> {
    fn drop(&mut self) {
        self.core.deregister(self.key);
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(given_up(&self.core, "the lane's thread ended")));
        }
        self.work.take().map(drop_contained);
    }
}

/// Serves one call on the lane's instance; everything it holds is given back on drop.
async fn serve<B, M>(core: Rc<Core<B>>, call: Call<M>) -> Result<M::Reply, CallError>
where
    B: Serve<M>,
    M: Message,
{
    let Call { message, class, op, deadline, started, client, ticket, .. } = call;
    let context = CallContext::started_at(op, started, deadline).for_client(client);
    let guard = ticket.guard();
    let result = match core.instance(deadline).await {
        Err(rejection) => Err(rejection.into()),
        Ok(instance) => {
            let using = InUse::new(Rc::clone(&core), instance);
            let result = match using.get() {
                Some(instance) => {
                    let run = guard.run(&instance.backend, &message, &context, class);
                    core.until_stopped(run, &context).await
                }
                None => Err(guard.reject(RejectionReason::Stopped).into()),
            };
            if let (Err(error), Some(instance)) = (&result, using.get()) {
                if guard::is_crash(error) {
                    core.crashed(instance, error);
                }
            }
            result
        }
    };
    let ended = context.ended().unwrap_or_else(clock::now);
    let elapsed = ended.saturating_duration_since(started);
    core.recorder.record(message.name(), &result, elapsed);
    guard.note_slow(message.name(), &context, elapsed, result.is_ok());
    ticket.settle();
    result
}

/// Polls the work of a call; a panic that no layer below has caught still ends this call alone.
fn poll_contained<R>(
    work: &mut LocalBoxFuture<'static, Result<R, CallError>>,
    cx: &mut Cx<'_>,
) -> Poll<Result<R, CallError>> {
    match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => {
            let text = guard::panic_text(&*panic);
            Poll::Ready(Err(Failure::new(FailureKind::Panicked, text).into()))
        }
    }
}

/// Drops the work of a call; a panic in a drop ends nothing but itself.
fn drop_contained<R>(work: LocalBoxFuture<'static, R>) {
    if catch_unwind(AssertUnwindSafe(|| drop(work))).is_err() {
        tracing::error!("a call panicked while it was dropped");
    }
}

/// The end of a call that began and whose execution nobody can tell any more.
fn given_up<B: Backend>(core: &Core<B>, why: &'static str) -> CallError {
    let failure = Failure::new(FailureKind::Cancelled, why).executed_is(Executed::Unknown);
    core.hub.guard.stamped(failure).into()
}

//! What can be gathered: an ask of any backend, by type or by name.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use backstop_core::{
    backend::Serve,
    error::{CallError, Executed, Failure, FailureKind},
    guard::panic_text,
    message::Message,
};
use backstop_supervisor::Ask;
use futures_util::future::BoxFuture;

/// One ask: a future that resolves to a reply or a [`CallError`], and whose time can be limited.
pub trait Member: Future<Output = Result<Self::Reply, CallError>> + Send + Sized + 'static {
    /// What a success returns.
    type Reply: Send + 'static;

    /// Gives the ask at most `timeout` from its first poll on.
    #[must_use]
    fn limited(self, timeout: Duration) -> Self;

    /// Forgets the type of the backend, so that asks of different ones fit into one list.
    fn boxed_ask(self) -> BoxAsk<Self::Reply> {
        BoxAsk::new(move |timeout| match timeout {
            Some(timeout) => Box::pin(self.limited(timeout)),
            None => Box::pin(self),
        })
    }
}

impl<B, M> Member for Ask<B, M>
where
    B: Serve<M>,
    M: Message,
{
    type Reply = M::Reply;

    fn limited(self, timeout: Duration) -> Self {
        self.within(timeout)
    }
}

type Start<R> = Box<dyn FnOnce(Option<Duration>) -> BoxFuture<'static, Result<R, CallError>> + Send>;

/// An ask whose backend is known at run time alone.
///
/// Made by [`Member::boxed_ask`] and by [`Orchestrator::execute`](crate::orchestrator::Orchestrator::execute).
///
/// # Cancel safety
/// As [`Ask`]: dropping it cancels the call.
#[must_use = "an ask does nothing until it is awaited"]
pub struct BoxAsk<R> {
    timeout: Option<Duration>,
    step: Step<R>,
}

enum Step<R> {
    Prepared(Option<Start<R>>),
    Running(BoxFuture<'static, Result<R, CallError>>),
}

impl<R: Send + 'static> BoxAsk<R> {
    /// Makes an ask that is started by `start` at its first poll, with its timeout if it has one.
    pub fn new(
        start: impl FnOnce(Option<Duration>) -> BoxFuture<'static, Result<R, CallError>> + Send + 'static,
    ) -> Self {
        Self { timeout: None, step: Step::Prepared(Some(Box::new(start))) }
    }

    /// Gives the ask `timeout` from its first poll on; the shortest one counts.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(self.timeout.map_or(timeout, |present| present.min(timeout)));
        self
    }
}

impl<R: Send + 'static> Member for BoxAsk<R> {
    type Reply = R;

    fn limited(self, timeout: Duration) -> Self {
        self.within(timeout)
    }
}

impl<R> Future for BoxAsk<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let timeout = self.timeout;
        if let Step::Prepared(start) = &mut self.step
            && let Some(start) = start.take()
        {
            self.step = Step::Running(start(timeout));
        }
        match &mut self.step {
            Step::Running(running) => running.as_mut().poll(cx),
            // Only after `start` panicked, and who caught that must not poll again.
            Step::Prepared(_) => Poll::Pending,
        }
    }
}

impl<R> fmt::Debug for BoxAsk<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxAsk").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Runs a call so that a panic on the caller's thread ends this call alone.
pub(crate) async fn contained<R>(call: impl Future<Output = Result<R, CallError>>) -> Result<R, CallError> {
    let mut call = std::pin::pin!(call);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => {
            let failure = Failure::new(FailureKind::CallerPanicked, panic_text(&*panic));
            Poll::Ready(Err(failure.executed_is(Executed::Unknown).into()))
        }
    })
    .await
}

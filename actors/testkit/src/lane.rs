//! One lane of a backend without the actors around it, driven as the guard does: a deadline, a little patience beyond
//! it, then the future is dropped.

use std::{fmt, future::Future, rc::Rc, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline, OpId},
    clock,
    error::{Executed, Failure, FailureKind},
    message::Message,
};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

/// Long enough for anything that should end by itself.
pub const LONG: Duration = Duration::from_secs(20);

/// Runs a test on one thread, as a lane would.
pub fn lane<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// A backend with one lane.
#[derive(Clone, Debug)]
pub struct OneLane<C: Connect> {
    /// The recipe.
    pub options: C,
    /// What its lanes share.
    pub shared: Arc<C::Shared>,
    /// The lane.
    pub lane: Rc<C::Backend>,
}

impl<C: Connect> OneLane<C> {
    /// Opens a lane of a new backend.
    pub async fn new(options: C) -> Self {
        let shared = Arc::new(options.share().unwrap());
        let lane = Rc::new(options.connect(&shared).await.unwrap());
        Self { options, shared, lane }
    }

    /// Opens one more lane of the same backend.
    pub async fn another_lane(&self) -> Rc<C::Backend> {
        Rc::new(self.options.connect(&self.shared).await.unwrap())
    }

    /// Asks with more time than is needed.
    ///
    /// # Errors
    /// How the call ended without a reply.
    pub async fn ask<M: Message>(&self, message: M) -> Result<M::Reply, End>
    where
        C::Backend: Serve<M>,
    {
        ask(&*self.lane, &message, LONG).await
    }

    /// Asks with a deadline.
    ///
    /// # Errors
    /// How the call ended without a reply.
    pub async fn ask_in<M: Message>(&self, timeout: Duration, message: M) -> Result<M::Reply, End>
    where
        C::Backend: Serve<M>,
    {
        ask(&*self.lane, &message, timeout).await
    }

    /// Starts a call in the background.
    pub fn start<M: Message>(&self, timeout: Duration, message: M) -> JoinHandle<Result<M::Reply, End>>
    where
        C::Backend: Serve<M>,
    {
        let lane = Rc::clone(&self.lane);
        spawn_local(async move { ask(&*lane, &message, timeout).await })
    }
}

/// How a call ended without a reply.
#[derive(Debug)]
pub enum End {
    /// The backend said what went wrong.
    Failed(Failure),
    /// The future was dropped.
    Dropped {
        /// Whether the backend says that something was sent.
        sent: bool,
    },
}

impl End {
    /// The failure of a call that must not have been dropped.
    #[track_caller]
    #[must_use]
    pub fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Dropped { sent } => panic!("the call was dropped (sent: {sent}), it should have failed"),
        }
    }

    /// What the caller would be told.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            Self::Failed(failure) => failure.executed(),
            Self::Dropped { sent: true } => Executed::Unknown,
            Self::Dropped { sent: false } => Executed::No,
        }
    }
}

/// Asks a lane, and drops the call when its backend has had its time to settle beyond the deadline.
///
/// # Errors
/// How the call ended without a reply.
pub async fn ask<B, M>(lane: &B, message: &M, timeout: Duration) -> Result<M::Reply, End>
where
    B: Backend + Serve<M>,
    M: Message,
{
    let call = CallContext::new(OpId::next(), Deadline::after(timeout));
    let patience = call.deadline().instant() + B::SETTLE;
    match tokio::time::timeout_at(patience, lane.serve(message, &call)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(failure)) => Err(End::Failed(failure)),
        Err(_) => Err(End::Dropped { sent: call.was_sent() }),
    }
}

/// Checks how a call failed, and hands the failure on.
#[track_caller]
pub fn assert_failed<T: fmt::Debug>(
    result: Result<T, End>,
    kind: FailureKind,
    executed: Executed,
) -> Failure {
    let failure = result.unwrap_err().failure();
    assert_eq!((failure.kind(), failure.executed()), (kind, executed), "{failure}");
    failure
}

/// Looks again until it is so; what is looked at gives no event to wait for.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let given_up = clock::now() + LONG;
    while !done().await {
        assert!(clock::now() < given_up, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

//! What is called: a backend that owns its pool, and the recipe that builds it again.
//!
//! A backend is plain async Rust. It never sees an actor, a supervisor, a policy or another backend. It
//! lives on one thread, so it may hold `Rc` and `RefCell`; it is shared by all calls of its lane.

use std::{any::Any, future::Future, sync::Arc, time::Duration};

use crate::{
    call::{CallContext, Deadline},
    error::{ConfigError, Failure},
    message::{Class, Message},
    snapshot::PoolSnapshot,
};

/// The recipe of a backend: settings that were checked, and how to build an instance from them.
///
/// It is kept for the life of the backend, because an instance is built anew after each panic, on each
/// thread that calls it, and when an operator asks for a restart.
pub trait Connect: Clone + Send + Sync + 'static {
    /// What all instances share: caps, the one writer of a database file, schema epochs.
    type Shared: Send + Sync + 'static;
    /// The backend that is built.
    type Backend: Backend;

    /// Checks the settings and builds what all instances share; called once per backend.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot work. A server that is down is no such error.
    fn share(&self) -> Result<Self::Shared, ConfigError>;

    /// Builds one instance for the thread it is called on; no network I/O, connections come on demand.
    ///
    /// # Errors
    /// [`ConfigError`] when it can never work; an outage must wait for the first call, so that it
    /// charges the breaker and not the restart limit.
    fn connect(&self, shared: &Arc<Self::Shared>)
    -> impl Future<Output = Result<Self::Backend, ConfigError>>;

    /// Shows the connections that the instances share and that none of them counts; none unless overridden.
    fn shared_pool(&self, shared: &Self::Shared) -> PoolSnapshot {
        let _ = shared;
        PoolSnapshot::default()
    }

    /// Lends out what the instances note of their work, to those who know its type; nothing unless overridden.
    ///
    /// SQL backends lend a `backstop_sql::seen::Seen`.
    fn insight(&self, shared: &Self::Shared) -> Option<Arc<dyn Any + Send + Sync>> {
        let _ = shared;
        None
    }

    /// Takes what an operator should look at and was not told yet; nothing unless overridden.
    ///
    /// It is asked every few seconds, beside the path of calls. Each text becomes an
    /// [`Alert`](crate::event::EventKind::Alert).
    fn warnings(&self, shared: &Self::Shared) -> Vec<Arc<str>> {
        let _ = shared;
        Vec::new()
    }

    /// Says what is wrong right now with what the instances share; nothing unless overridden.
    ///
    /// It is asked every few seconds, beside the path of calls. A text that is new becomes an
    /// [`Alert`](crate::event::EventKind::Alert), one that is gone an
    /// [`AlertEnded`](crate::event::EventKind::AlertEnded); so a text has no number in it that moves.
    fn alarms(&self, shared: &Self::Shared) -> Vec<Arc<str>> {
        let _ = shared;
        Vec::new()
    }

    /// The most lanes (threads with an instance of their own) this backend may have; unbounded by default.
    ///
    /// A backend with a pool cap returns cap / 2, so that every lane can own at least two connections.
    fn lanes_max(&self) -> usize {
        usize::MAX
    }
}

/// An instance of a backend: it owns its connections and answers messages on one thread.
pub trait Backend: Sized + 'static {
    /// The kind in events, metrics and configuration, such as `sqlite`.
    const KIND: &'static str;

    /// How long after a deadline the guard waits for the backend's own verdict; at most 40 ms.
    ///
    /// Not zero for a backend that can tell soon after an interrupt whether the work was undone.
    const SETTLE: Duration = Duration::ZERO;

    /// Whether a call is polled for the first time where it arrives; `true` unless overridden.
    ///
    /// That may be beside the `LocalSet` of the thread, where `tokio::task::spawn_local` panics: `false` for a backend
    /// whose driver starts local tasks of its own. Everything after the first poll runs inside the `LocalSet`.
    const POLLS_AT_ONCE: bool = true;

    /// Asks the backend for a sign of life, as cheaply as it can: `SELECT 1`, `PING`, a chain's head.
    ///
    /// # Errors
    /// A [`Failure`] as a call would see it.
    ///
    /// # Cancel safety
    /// The future may be dropped at any await.
    fn probe(&self, call: &CallContext) -> impl Future<Output = Result<(), Failure>>;

    /// Closes the connections of this instance, at the latest at `deadline`; no call is under way.
    fn close(&self, deadline: Deadline) -> impl Future<Output = ()>;

    /// Shows the connections of this instance; [`Connect::shared_pool`] shows the others.
    fn pool(&self) -> PoolSnapshot {
        PoolSnapshot::default()
    }
}

/// A backend answers messages of type `M`.
pub trait Serve<M: Message>: Backend {
    /// Does the work of one message.
    ///
    /// It calls [`CallContext::sending`] before anything can take effect. A panic ends this call alone;
    /// the instance is then replaced.
    ///
    /// # Errors
    /// A [`Failure`] with the phase, whether the work was done, and what it says about the backend.
    ///
    /// # Cancel safety
    /// The future is dropped when the caller goes away or the deadline passes. Work that goes on
    /// elsewhere is cancelled by a drop guard, and a connection whose state is in doubt is closed.
    fn serve(&self, message: &M, call: &CallContext) -> impl Future<Output = Result<M::Reply, Failure>>;
}

/// The message behind a health probe; every backend serves it by [`Backend::probe`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe;

impl Message for Probe {
    type Reply = ();
    const NAME: &'static str = "probe";

    fn class(&self) -> Class {
        Class::Read
    }
}

impl<B: Backend> Serve<Probe> for B {
    async fn serve(&self, _: &Probe, call: &CallContext) -> Result<(), Failure> {
        self.probe(call).await
    }
}

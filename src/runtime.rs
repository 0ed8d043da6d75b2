//! Backends by name: starts them in order, hands out typed references, and stops them in reverse.

mod builder;
pub mod catalog;
mod connector;
mod error;

use std::{fmt, sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Connect},
    call::Deadline,
    event::EventRing,
    operation::Wire,
    policy::Policy,
};
use backstop_supervisor::{BackendRef, BackendSnapshot, DrainReport, Order, ShutdownReport, SupervisorRef};

pub use self::{
    builder::Builder,
    connector::Connector,
    error::{AttachError, RuntimeError, StartStep},
};
use crate::orchestrator::{Directory, LookupError, Orchestrator};

/// Time that backends have to end after the last handle was dropped without a shutdown.
const DROP_DRAIN: Duration = Duration::from_secs(10);

/// Several supervised backends; a handle that is cheap to clone and usable from any thread.
///
/// When the last handle is dropped, the backends are stopped in the background; [`Self::shutdown`] does it
/// with a report. An [`Orchestrator`] or a [`BackendRef`] does not keep them alive.
///
/// ```
/// use backstop::prelude::*;
/// # use backstop::core::{backend::{Backend, Connect, Serve}, call::{CallContext, Deadline}};
/// # use backstop::core::{error::{ConfigError, Failure}, message::Message};
/// # #[derive(Clone)] struct EchoOptions;
/// # struct Echo;
/// # struct Say(&'static str);
/// # impl Connect for EchoOptions {
/// #     type Shared = (); type Backend = Echo;
/// #     fn share(&self) -> Result<(), ConfigError> { Ok(()) }
/// #     async fn connect(&self, _: &std::sync::Arc<()>) -> Result<Echo, ConfigError> { Ok(Echo) }
/// # }
/// # impl Backend for Echo {
/// #     const KIND: &'static str = "echo";
/// #     async fn probe(&self, _: &CallContext) -> Result<(), Failure> { Ok(()) }
/// #     async fn close(&self, _: Deadline) {}
/// # }
/// # impl Message for Say { type Reply = &'static str; const NAME: &'static str = "say"; }
/// # impl Serve<Say> for Echo {
/// #     async fn serve(&self, say: &Say, _: &CallContext) -> Result<&'static str, Failure> { Ok(say.0) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::builder().typed_backend("echo", EchoOptions, Policy::default()).start().await?;
/// let echo: BackendRef<Echo> = runtime.backend("echo")?;
/// assert_eq!(echo.ask(Say("hello")).await?, "hello");
/// assert!(runtime.shutdown(Deadline::after(std::time::Duration::from_secs(1))).await.is_clean());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    supervisor: SupervisorRef,
    orchestrator: Orchestrator,
}

impl Runtime {
    /// Starts to describe a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(supervisor: SupervisorRef, orchestrator: Orchestrator) -> Self {
        Self { inner: Arc::new(Inner { supervisor, orchestrator }) }
    }

    /// Finds a backend by name and type; the reference survives restarts and replaced settings.
    ///
    /// # Errors
    /// [`LookupError::Unknown`] lists near names; [`LookupError::WrongKind`] says what it is instead.
    pub fn backend<B: Backend>(&self, name: &str) -> Result<BackendRef<B>, LookupError> {
        self.directory().typed(name)
    }

    /// Returns a handle for calls by name, gathers and batches.
    #[must_use]
    pub fn orchestrator(&self) -> Orchestrator {
        self.inner.orchestrator.clone()
    }

    fn directory(&self) -> &Arc<Directory> {
        self.inner.orchestrator.directory()
    }

    /// Adds a backend while others run; it can be asked by type and by name.
    ///
    /// # Errors
    /// [`RuntimeError::Start`] names the step that failed; nothing was added then.
    ///
    /// # Cancel safety
    /// When it is dropped midway, the backend may run without being found; [`Self::remove`] ends it.
    pub async fn add<C>(
        &self,
        name: &str,
        connect: C,
        policy: Policy,
    ) -> Result<BackendRef<C::Backend>, RuntimeError>
    where
        C: Connect,
        C::Backend: Wire,
    {
        self.add_connector(name, Connector::new(connect), policy).await?;
        Ok(self.backend(name)?)
    }

    /// Adds a backend without a wire form while others run; it can be asked by type alone.
    ///
    /// # Errors
    /// As [`Self::add`].
    ///
    /// # Cancel safety
    /// As [`Self::add`].
    pub async fn add_typed<C: Connect>(
        &self,
        name: &str,
        connect: C,
        policy: Policy,
    ) -> Result<BackendRef<C::Backend>, RuntimeError> {
        self.add_connector(name, Connector::typed(connect), policy).await?;
        Ok(self.backend(name)?)
    }

    /// Adds a backend whose kind is known at run time alone.
    ///
    /// # Errors
    /// As [`Self::add`].
    ///
    /// # Cancel safety
    /// As [`Self::add`].
    pub async fn add_connector(
        &self,
        name: &str,
        connector: Connector,
        policy: Policy,
    ) -> Result<(), RuntimeError> {
        let added = connector.start(&self.inner.supervisor, self.directory(), name, policy, None).await;
        added.map_err(|source| RuntimeError::start(name, source))
    }

    /// Replaces the recipe of a backend while it runs; calls under way end on the old instances.
    ///
    /// References stay valid, and the policies keep their state.
    ///
    /// # Errors
    /// [`RuntimeError::Lookup`] when there is no such backend of this kind, [`RuntimeError::Start`] when a
    /// setting cannot work; nothing changes then.
    pub async fn replace<C: Connect>(&self, name: &str, connect: C) -> Result<(), RuntimeError> {
        let backend = self.backend::<C::Backend>(name)?;
        let replaced = self.inner.supervisor.replace(&backend, connect).await;
        replaced.map_err(|source| RuntimeError::start(name, source))
    }

    /// Replaces the recipe of a backend by one whose kind is known at run time alone.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub async fn replace_connector(&self, name: &str, connector: Connector) -> Result<(), RuntimeError> {
        connector.replace(self, name).await
    }

    /// Stops a backend by `deadline` and forgets it; `None` when there is none of this name.
    ///
    /// New calls are refused at once, those under way may end.
    pub async fn remove(&self, name: &str, deadline: Deadline) -> Option<DrainReport> {
        self.directory().remove(name);
        self.inner.supervisor.remove(name, deadline).await
    }

    /// Gives an order to a backend: restart, trip, pause, reconfigure.
    ///
    /// # Errors
    /// [`RuntimeError::Order`] when it cannot be carried out, [`RuntimeError::Lookup`] for an unknown name.
    pub async fn order(&self, name: &str, order: Order) -> Result<(), RuntimeError> {
        match self.inner.supervisor.order(name, order).await {
            Some(result) => result.map_err(RuntimeError::Order),
            None => Err(self.directory().unknown(name).into()),
        }
    }

    /// Shows all backends, in the order in which they were started.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendSnapshot> {
        self.inner.supervisor.snapshot()
    }

    /// Returns the stream of facts of all backends.
    #[must_use]
    pub fn events(&self) -> &Arc<EventRing> {
        self.inner.supervisor.events()
    }

    /// Waits until a backend escalates, and says why; everything has been stopped by then.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn failed(&self) -> String {
        self.inner.supervisor.failed().await
    }

    /// Starts the lanes of all backends on the current thread, which must run a `LocalSet` for its whole
    /// life, such as a worker of actix-web; call it where the worker builds its `App`.
    ///
    /// Without it, a worker under `#[tokio::main]` uses lanes on other threads.
    ///
    /// # Errors
    /// [`AttachError::NoLocalSet`] on any other thread, [`AttachError::Stopped`] when a backend has ended.
    pub fn attach_worker(&self) -> Result<(), AttachError> {
        // tokio has no way to ask, and panics when there is none.
        std::panic::catch_unwind(backstop_supervisor::attach_thread).map_err(|_| AttachError::NoLocalSet)?;
        let entries = self.directory().entries();
        entries.iter().try_for_each(|entry| entry.start_lane().map_err(AttachError::Stopped))
    }

    /// Stops all backends, the last one started first: no new calls, time for those under way, then the
    /// pools are closed. Says what became of the calls.
    pub async fn shutdown(&self, deadline: Deadline) -> ShutdownReport {
        let report = self.inner.supervisor.shutdown(deadline).await;
        self.inner.orchestrator.close();
        report
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.orchestrator.is_closed() {
            return;
        }
        self.orchestrator.close();
        let supervisor = self.supervisor.clone();
        // actix forgets a message whose sender has gone away, so somebody has to wait for the report.
        let stop = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            runtime.block_on(supervisor.shutdown(Deadline::after(DROP_DRAIN)));
            Ok::<_, std::io::Error>(())
        };
        if let Err(error) = std::thread::Builder::new().name("backstop-drop".into()).spawn(stop) {
            tracing::warn!(%error, "the backends of a dropped runtime run on: there is no thread to stop them");
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("backends", self.directory()).finish_non_exhaustive()
    }
}

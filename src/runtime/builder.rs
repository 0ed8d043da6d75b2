//! Describes a runtime and starts it.

use std::{fmt, sync::Arc, time::Duration};

use backstop_core::{backend::Connect, call::Deadline, operation::Wire, policy::Policy};
use backstop_supervisor::{Placement, Strategy, Supervisor, SupervisorOptions};

use super::{Connector, Runtime, RuntimeError};
use crate::orchestrator::{BatchLimits, Directory, Orchestrator};

/// Time that the backends which were started have to end when a later one could not be.
const ROLLBACK: Duration = Duration::from_secs(5);

/// Describes a runtime; made by [`Runtime::builder`].
#[must_use = "a builder does nothing until `start` is awaited"]
#[derive(Default)]
pub struct Builder {
    options: SupervisorOptions,
    limits: BatchLimits,
    backends: Vec<(String, Connector, Policy)>,
    places: Vec<(String, Placement)>,
}

impl Builder {
    /// Adds a backend that can be asked by type and by the names of its operations.
    pub fn backend<C>(self, name: impl Into<String>, connect: C, policy: Policy) -> Self
    where
        C: Connect,
        C::Backend: Wire,
    {
        self.connector(name, Connector::new(connect), policy)
    }

    /// Adds a backend that can be asked by type alone, because it has no wire form.
    pub fn typed_backend<C: Connect>(self, name: impl Into<String>, connect: C, policy: Policy) -> Self {
        self.connector(name, Connector::typed(connect), policy)
    }

    /// Adds a backend whose kind is known at run time alone.
    pub fn connector(mut self, name: impl Into<String>, connector: Connector, policy: Policy) -> Self {
        self.backends.push((name.into(), connector, policy));
        self
    }

    /// Sets what happens to the others when one backend loses an instance; nothing by default.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// Sets where lanes run; on the threads of the callers by default.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.options.placement = placement;
        self
    }

    /// Sets where the lanes of one backend run, in place of [`Self::placement`].
    pub fn place(mut self, backend: impl Into<String>, placement: Placement) -> Self {
        self.places.push((backend.into(), placement));
        self
    }

    /// Sets how many threads run lanes for callers without one; one a processor by default, at most 8.
    pub fn home_threads(mut self, threads: usize) -> Self {
        self.options.home_threads = threads;
        self
    }

    /// Sets how many events are kept for replay; 1,024 by default.
    pub fn events(mut self, events: usize) -> Self {
        self.options.events = events;
        self
    }

    /// Sets the bounds of a batch.
    pub fn batch_limits(mut self, limits: BatchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts all backends in the order in which they were added.
    ///
    /// A server that is down is no error: its calls fail and its breaker opens.
    ///
    /// # Errors
    /// [`RuntimeError::Start`] names the backend and the step; those before it have been stopped again.
    ///
    /// # Cancel safety
    /// When it is dropped midway, what was started is stopped in the background.
    pub async fn start(self) -> Result<Runtime, RuntimeError> {
        let Self { options, limits, backends, places } = self;
        if let Some((name, _)) =
            places.iter().find(|(name, _)| backends.iter().all(|(added, ..)| added != name))
        {
            return Err(RuntimeError::PlacedNobody(name.clone()));
        }
        let supervisor = Supervisor::start(options).map_err(RuntimeError::Supervisor)?;
        let directory = Arc::<Directory>::default();
        // From here on, dropping the runtime stops what was started.
        let runtime = Runtime::new(supervisor.clone(), Orchestrator::new(Arc::clone(&directory), limits));
        for (name, connector, policy) in backends {
            let placement =
                places.iter().rfind(|(placed, _)| *placed == name).map(|(_, placement)| *placement);
            if let Err(source) = connector.start(&supervisor, &directory, &name, policy, placement).await {
                roll_back(&runtime).await;
                return Err(RuntimeError::start(&name, source));
            }
        }
        Ok(runtime)
    }
}

async fn roll_back(runtime: &Runtime) {
    let report = runtime.shutdown(Deadline::after(ROLLBACK)).await;
    if !report.is_clean() {
        tracing::warn!(?report, "backends did not end in time after a failed start");
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backends: Vec<_> = self.backends.iter().map(|(name, connector, _)| (name, connector)).collect();
        f.debug_struct("Builder")
            .field("backends", &backends)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

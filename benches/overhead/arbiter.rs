//! A thread of the kind that lanes live on, driven by criterion.

use std::future::Future;

use backstop_core::policy::Policy;
use backstop_supervisor::{BackendRef, Supervisor, SupervisorOptions, SupervisorRef};
use criterion::async_executor::AsyncExecutor;
use tokio::{runtime::Runtime, task::LocalSet};

use super::echo::{Echo, EchoOptions, Ready};

/// A current-thread runtime with a `LocalSet`, as an arbiter or an actix-web worker has it.
pub(crate) struct Arbiter {
    runtime: Runtime,
    tasks: LocalSet,
}

impl Arbiter {
    pub(crate) fn start() -> Self {
        backstop_supervisor::attach_thread();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, tasks: LocalSet::new() }
    }

    /// Hosts the echo backend with `policy`; its lane has answered once when this returns.
    pub(crate) fn host(&self, policy: Policy) -> (SupervisorRef, BackendRef<Echo>) {
        self.block_on(async {
            let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
            let echo = supervisor.add("echo", EchoOptions, policy).await.unwrap();
            assert_eq!(echo.ask(Ready(1)).await.unwrap(), 2);
            (supervisor, echo)
        })
    }
}

impl AsyncExecutor for &Arbiter {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, future)
    }
}

impl Arbiter {
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, future)
    }
}

//! A thread of the kind that lanes live on, driven by criterion.

use std::{
    future::Future,
    hint::black_box,
    time::{Duration, Instant},
};

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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async { backstop_supervisor::attach_thread() });
        Self { runtime, tasks }
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

    /// Shares `calls` among callers that are tasks of this thread, and returns the time that `calls` took.
    pub(crate) fn callers<F>(&self, callers: u64, calls: u64, echo: &BackendRef<Echo>, ask: F) -> Duration
    where
        F: AsyncFn(&BackendRef<Echo>, u64) -> u64 + Copy + 'static,
    {
        let share = calls.div_ceil(callers);
        let elapsed = self.block_on(async {
            let start = Instant::now();
            let tasks = (0..callers).map(|_| {
                let echo = echo.clone();
                tokio::task::spawn_local(async move {
                    for value in 0..share {
                        black_box(ask(&echo, value).await);
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            start.elapsed()
        });
        elapsed.mul_f64(calls as f64 / (share * callers) as f64)
    }
}

//! Where callers run: on one thread, on threads with lanes of their own, or on a work-stealing runtime.

use std::{future::Future, pin::Pin, sync::mpsc, thread};

use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc as mailbox,
    task::LocalSet,
};

use crate::contender::{Caller, Sample, Stopwatch};

/// A thread with a runtime and a `LocalSet`, like an actix-web worker.
pub struct Arbiter {
    runtime: Runtime,
    tasks: LocalSet,
}

impl Arbiter {
    /// Makes the current thread one.
    pub fn here() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async { backstop_supervisor::attach_thread() });
        Self { runtime, tasks }
    }

    /// Runs a future on it.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, future)
    }

    /// Takes a turn with all callers on this thread.
    pub fn turn<Fut>(&self, callers: usize, watch: &Stopwatch, caller: impl Fn(Caller) -> Fut) -> Sample
    where
        Fut: Future<Output = Caller> + 'static,
    {
        let turn = watch.start();
        let seen = self.run(asked((0..callers).map(|_| caller(watch.caller()))));
        Sample::of(seen, turn)
    }
}

/// Runs these callers as tasks of the current thread.
async fn asked<Fut>(callers: impl Iterator<Item = Fut>) -> Vec<Caller>
where
    Fut: Future<Output = Caller> + 'static,
{
    let tasks: Vec<_> = callers.map(tokio::task::spawn_local).collect();
    let mut seen = Vec::with_capacity(tasks.len());
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen
}

/// Takes a turn on a runtime without a `LocalSet`, as users of the peers run them.
pub fn turn_on<Fut>(
    runtime: &Runtime,
    callers: usize,
    watch: &Stopwatch,
    caller: impl Fn(Caller) -> Fut,
) -> Sample
where
    Fut: Future<Output = Caller> + Send + 'static,
{
    let turn = watch.start();
    let seen = runtime.block_on(async {
        let tasks: Vec<_> = (0..callers).map(|_| tokio::spawn(caller(watch.caller()))).collect();
        let mut seen = Vec::with_capacity(tasks.len());
        for task in tasks {
            seen.push(task.await.unwrap());
        }
        seen
    });
    Sample::of(seen, turn)
}

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Several threads that each host callers and the lanes they use, like the workers of actix-web.
///
/// They run between turns too, so that a lane can give up connections that another one waits for.
pub struct Workers {
    jobs: Vec<mailbox::UnboundedSender<Job>>,
}

impl Workers {
    /// Starts so many threads.
    pub fn start(count: usize) -> Self {
        let start = |_| {
            let (jobs, mut queue) = mailbox::unbounded_channel::<Job>();
            thread::spawn(move || {
                Arbiter::here().run(async {
                    while let Some(job) = queue.recv().await {
                        job().await;
                    }
                });
            });
            jobs
        };
        Self { jobs: (0..count).map(start).collect() }
    }

    /// Runs something on the first thread, and waits for it.
    pub fn run<T, Fut>(&self, work: impl FnOnce() -> Fut + Send + 'static) -> T
    where
        T: Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (tx, result) = mpsc::channel();
        let job: Job = Box::new(move || {
            Box::pin(async move {
                let _ = tx.send(work().await);
            })
        });
        assert!(self.jobs[0].send(job).is_ok(), "a worker has ended");
        result.recv().unwrap()
    }

    /// Takes a turn with the callers spread over the threads.
    pub fn turn<Fut>(
        &self,
        callers: usize,
        watch: &Stopwatch,
        caller: impl Fn(Caller) -> Fut + Clone + Send + 'static,
    ) -> Sample
    where
        Fut: Future<Output = Caller> + 'static,
    {
        let turn = watch.start();
        let (tx, seen) = mpsc::channel();
        for (worker, jobs) in self.jobs.iter().enumerate() {
            let (watch, caller, tx) = (watch.clone(), caller.clone(), tx.clone());
            let share = (worker..callers).step_by(self.jobs.len());
            let job: Job = Box::new(move || {
                Box::pin(async move {
                    let _ = tx.send(asked(share.map(|_| caller(watch.caller()))).await);
                })
            });
            assert!(jobs.send(job).is_ok(), "a worker has ended");
        }
        drop(tx);
        Sample::of(seen.iter().flatten(), turn)
    }
}

/// A current-thread runtime, for peers on one thread.
pub fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A work-stealing runtime with two workers.
pub fn stealing() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

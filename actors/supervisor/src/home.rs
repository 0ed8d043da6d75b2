//! Threads of ours: a current-thread runtime with a `LocalSet`, no actix `System` needed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::{sync::mpsc, task::LocalSet};

use crate::lane::attach_thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that runs actors for callers without a thread that can host them.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Home {
    /// Starts the thread; it ends when the last handle is dropped.
    ///
    /// `hosts_lanes` is false for the thread of the control actors: their own asks go to other threads.
    pub(crate) fn start(name: &str, hosts_lanes: bool) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(name.into()).spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                if hosts_lanes {
                    attach_thread();
                }
                while let Some(job) = queue.recv().await {
                    job();
                }
            });
        })?;
        Ok(Self { jobs })
    }

    /// Runs `job` on the thread; `false` when the thread has ended.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.jobs.send(Box::new(job)).is_ok()
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }
}

/// The homes of one supervisor: one for orders, and a few for lanes, each started at its first use.
#[derive(Debug)]
pub(crate) struct Homes {
    control: Mutex<Option<Home>>,
    lanes: Vec<Mutex<Option<Home>>>,
    next: AtomicUsize,
}

impl Homes {
    pub(crate) fn new(lanes: usize) -> Arc<Self> {
        let lanes = (0..lanes.max(1)).map(|_| Mutex::new(None)).collect();
        Arc::new(Self { control: Mutex::new(None), lanes, next: AtomicUsize::new(0) })
    }

    /// The thread that runs control actors, so that a blocked lane cannot hold up an order.
    pub(crate) fn control(&self) -> std::io::Result<Home> {
        living(&self.control, "backstop-control", false)
    }

    /// One of the threads that run lanes, in turn.
    pub(crate) fn lane(&self) -> std::io::Result<(usize, Home)> {
        let index = self.next.fetch_add(1, Relaxed) % self.lanes.len();
        Ok((index, living(&self.lanes[index], &format!("backstop-lane-{index}"), true)?))
    }
}

fn living(place: &Mutex<Option<Home>>, name: &str, hosts_lanes: bool) -> std::io::Result<Home> {
    let mut home = place.lock();
    if let Some(home) = home.as_ref().filter(|home| home.is_alive()) {
        return Ok(home.clone());
    }
    let started = Home::start(name, hosts_lanes)?;
    *home = Some(started.clone());
    Ok(started)
}

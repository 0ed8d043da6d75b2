//! A backend of the demo's own, written against `backstop-core` alone: its code can panic.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    call::{CallContext, Deadline},
    error::{ConfigError, Failure},
    message::{Class, Message},
};
use parking_lot::Mutex;

/// What all instances share, and the demo holds as well: the log of what was done, and the fuse.
#[derive(Debug, Default)]
pub(super) struct Desk {
    done: Mutex<Vec<u64>>,
    fuse: AtomicU32,
    burning: AtomicU32,
}

impl Desk {
    /// Makes the next `calls` calls panic.
    pub(super) fn light_fuse(&self, calls: u32) {
        self.fuse.store(calls, Relaxed);
    }

    /// Says whether calls are still to panic.
    pub(crate) fn is_lit(&self) -> bool {
        self.fuse.load(Relaxed) > 0 || self.burning.load(Relaxed) > 0
    }

    /// Counts how often each piece of work was done.
    #[must_use]
    pub(super) fn counts(&self) -> HashMap<u64, u32> {
        let mut counts = HashMap::new();
        for op in self.done.lock().iter() {
            *counts.entry(*op).or_default() += 1;
        }
        counts
    }

    /// Chooses a call to panic, if one is still to do so.
    fn choose(&self) -> Option<Burning<'_>> {
        self.burning.fetch_add(1, Relaxed);
        let burning = Burning(self);
        self.fuse.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok().then_some(burning)
    }
}

/// A call that is going to panic; it no longer is when it has, or when its caller went away.
struct Burning<'a>(&'a Desk);

impl Drop for Burning<'_> {
    fn drop(&mut self) {
        self.0.burning.fetch_sub(1, Relaxed);
    }
}

/// The recipe of a worker.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerOptions {
    /// What its instances share.
    pub desk: Arc<Desk>,
}

impl Connect for WorkerOptions {
    type Shared = ();
    type Backend = Worker;

    fn share(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    async fn connect(&self, _: &Arc<()>) -> Result<Worker, ConfigError> {
        Ok(Worker { desk: Arc::clone(&self.desk) })
    }
}

/// An instance of a worker.
#[derive(Debug)]
pub(super) struct Worker {
    desk: Arc<Desk>,
}

impl Backend for Worker {
    const KIND: &'static str = "worker";

    async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(&self, _: Deadline) {}
}

/// A piece of work that must not be done twice; the reply is its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Its number.
    pub op: u64,
    /// How long it takes.
    pub takes: Duration,
}

impl Message for Work {
    type Reply = u64;
    const NAME: &'static str = "work";

    fn class(&self) -> Class {
        Class::Unsafe
    }
}

impl Serve<Work> for Worker {
    async fn serve(&self, work: &Work, call: &CallContext) -> Result<u64, Failure> {
        // even numbers panic after their effect, odd ones before anything is sent
        let burning = self.desk.choose();
        if burning.is_some() && !work.op.is_multiple_of(2) {
            explode();
        }
        tokio::time::sleep(work.takes).await;
        call.sending();
        self.desk.done.lock().push(work.op);
        if burning.is_some() {
            explode();
        }
        Ok(work.op)
    }
}

/// Unwinds as a panic does, but without the panic hook's page on stderr: this one is meant to happen.
fn explode() {
    std::panic::resume_unwind(Box::new("the demo made the worker panic".to_owned()))
}

//! What the threads of a database hold and do: its shared pool.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use rusqlite::Connection;

/// Counts of the threads; nothing is decided by them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    busy: AtomicUsize,
    opened: AtomicU64,
    closed: AtomicU64,
    timeouts: AtomicU64,
}

impl Pool {
    /// Counts a thread as busy until the guard is dropped.
    pub(crate) fn work(&self) -> Working<'_> {
        self.busy.fetch_add(1, Relaxed);
        Working(self)
    }

    /// Counts a connection of a thread as long as it lives.
    pub(crate) fn keep(self: &Arc<Self>, connection: Connection) -> Kept {
        self.opened.fetch_add(1, Relaxed);
        Kept { connection, pool: Arc::clone(self) }
    }

    /// Counts a call that nobody took before its deadline.
    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    /// Threads at work, connections opened, closed, and calls that waited too long.
    pub(crate) fn read(&self) -> (usize, u64, u64, u64) {
        // what is closed first, so that there are never more of those
        let closed = self.closed.load(Relaxed);
        (self.busy.load(Relaxed), self.opened.load(Relaxed), closed, self.timeouts.load(Relaxed))
    }
}

/// A thread at work.
pub(crate) struct Working<'a>(&'a Pool);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// A connection of a thread.
#[derive(Debug)]
pub(crate) struct Kept {
    connection: Connection,
    pool: Arc<Pool>,
}

impl Deref for Kept {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.pool.closed.fetch_add(1, Relaxed);
    }
}

//! One read transaction for many reads of a lane, so that the file is locked once and not for each of them.
//!
//! It ends with the next commit of this process (the version of [`Core`]), after its length, and by itself when
//! no read comes: an open snapshot would keep the log from being written back.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
    time::Duration,
};

use backstop_core::clock::{self, Instant};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use tokio::runtime::Handle;

use crate::shared::Core;

/// A connection for reads, and the transaction that they share for a while.
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    shared: Option<Shared>,
    /// Whether a task will end the transaction.
    watched: bool,
}

/// The transaction that reads share now.
#[derive(Clone, Copy, Debug)]
struct Shared {
    /// The data that its snapshot shows at least.
    version: u64,
    until: Instant,
}

/// The connection, for one read.
pub(super) struct Entered<'a>(MutexGuard<'a, Inner>);

impl Deref for Entered<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}

impl Window {
    pub(super) fn new(connection: Connection, length: Duration) -> Self {
        let inner = Inner { connection, shared: None, watched: false };
        Self { length, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Hands out the connection for a read that sees every commit acknowledged before `now`.
    ///
    /// `close` says that another read was just before, so that sharing is worth its BEGIN.
    pub(super) fn enter(&self, core: &Core, now: Instant, close: bool) -> Entered<'_> {
        let mut inner = self.inner.lock();
        // before the snapshot is taken, so that it shows this version or a later one
        let version = core.settled();
        if inner.shared.is_some_and(|shared| Some(shared.version) == version && now < shared.until) {
            return Entered(inner);
        }
        inner.end();
        if let Some(version) = version.filter(|_| close && !self.length.is_zero()) {
            self.begin(&mut inner, Shared { version, until: now + self.length });
        }
        Entered(inner)
    }

    fn begin(&self, inner: &mut Inner, shared: Shared) {
        if !inner.watched {
            // outside a runtime nobody could end it
            let Ok(runtime) = Handle::try_current() else { return };
            inner.watched = true;
            drop(runtime.spawn(watch(Watched(Arc::downgrade(&self.inner)), shared.until)));
        }
        if inner.run("BEGIN") {
            inner.shared = Some(shared);
        }
    }
}

impl Inner {
    fn end(&mut self) {
        if self.shared.take().is_some() {
            // nothing was written, so nothing is lost; after some errors there is none to end any more
            self.run("ROLLBACK");
        }
    }

    fn run(&self, sql: &str) -> bool {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).is_ok()
    }
}

/// Ends the transaction when its time has come, and goes when there is none.
async fn watch(watched: Watched, mut until: Instant) {
    loop {
        tokio::time::sleep_until(until).await;
        match watched.0.upgrade().and_then(|inner| inner.lock().shared) {
            Some(shared) if clock::now() < shared.until => until = shared.until,
            _ => return,
        }
    }
}

/// What a watching task holds; it ends the transaction however the task ends, with its runtime too.
struct Watched(Weak<Mutex<Inner>>);

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            let mut inner = inner.lock();
            inner.end();
            inner.watched = false;
        }
    }
}

//! One pooled session: its client, what its session is set to, its statements, its age.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use backstop_core::clock::{self, Instant};
use deadpool_postgres::ClientWrapper;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::Client;

use crate::{
    cache::{Cache, Prepared},
    connector::{Opened, Peer},
    driver::{self, Reported},
    shared::Core,
};

/// Dropped, it closes its socket; its permit goes back when that has happened.
pub(crate) struct Connection {
    client: ClientWrapper,
    pub(crate) peer: Peer,
    pub(crate) cache: Mutex<Cache<Prepared>>,
    reported: Arc<Reported>,
    /// What we set, for servers that do not report it.
    set_read_only: AtomicBool,
    dies_at: Instant,
    idle_since: Mutex<Instant>,
    doubt: AtomicU64,
    route: u64,
    /// Statements that the server keeps and nobody knows.
    left: AtomicUsize,
}

impl Connection {
    pub(crate) fn new(opened: Opened, permit: OwnedSemaphorePermit, core: &Core, epochs: Epochs) -> Self {
        let options = core.options();
        let reported = Arc::<Reported>::default();
        let task = driver::drive(opened.wire, Arc::clone(&reported), permit);
        let now = clock::now();
        // so that connections of one moment do not all end in one moment
        let lifetime = options.max_lifetime.mul_f64(1.0 - fastrand::f64() / 10.0);
        Self {
            client: ClientWrapper::new(opened.client, task),
            peer: opened.peer,
            cache: Mutex::new(Cache::new(options.statement_cache, core.schema())),
            reported,
            set_read_only: AtomicBool::new(false),
            dies_at: now + lifetime,
            idle_since: Mutex::new(now),
            doubt: AtomicU64::new(epochs.doubt),
            route: epochs.route,
            left: AtomicUsize::new(0),
        }
    }

    /// Notes a statement that stays behind at the server; returns how many they are.
    pub(crate) fn leave_statement(&self) -> usize {
        self.left.fetch_add(1, Relaxed) + 1
    }

    /// Says whether the session refuses to write.
    pub(crate) fn is_read_only(&self) -> bool {
        self.reported.read_only().unwrap_or_else(|| self.set_read_only.load(Relaxed))
    }

    /// Says whether it ended at a message that was too long.
    pub(crate) fn was_too_long(&self) -> bool {
        self.reported.was_too_long()
    }

    pub(crate) fn note_read_only(&self, read_only: bool) {
        self.set_read_only.store(read_only, Relaxed);
    }

    pub(crate) fn is_too_old(&self, now: Instant) -> bool {
        now >= self.dies_at
    }

    /// Says whether it is open, on the right host, and not too old.
    pub(crate) fn is_fresh(&self, core: &Core, now: Instant) -> bool {
        !self.client.is_closed() && !self.is_rerouted(core) && !self.is_too_old(now)
    }

    pub(crate) fn is_rerouted(&self, core: &Core) -> bool {
        self.route != core.route()
    }

    /// Says whether a sign of life is due before it is used.
    pub(crate) fn is_in_doubt(&self, core: &Core, now: Instant) -> bool {
        self.doubt.load(Relaxed) != core.doubt() || self.idle_for(now) > core.options().verify_after
    }

    pub(crate) fn note_alive(&self, doubt: u64) {
        self.doubt.store(doubt, Relaxed);
    }

    pub(crate) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.idle_since.lock())
    }

    pub(crate) fn note_idle(&self, now: Instant) {
        *self.idle_since.lock() = now;
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// What was known when a connection was asked for; what happens while it is opened counts against it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    doubt: u64,
    route: u64,
}

impl Epochs {
    pub(crate) fn now(core: &Core) -> Self {
        Self { doubt: core.doubt(), route: core.route() }
    }
}

//! Opens connections for the pool of a lane and says which ones may be lent again.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use backstop_core::{clock, error::Failure};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use parking_lot::Mutex;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    connection::{Connection, Epochs},
    lane::ASK_AGAIN,
    shared::Core,
    stats::Reason,
};

pub(crate) struct Manager {
    pub(crate) core: Arc<Core>,
    lane: usize,
    /// The permits of those who are about to open a connection.
    lent: Mutex<Vec<OwnedSemaphorePermit>>,
    /// Opened ahead: nobody has used them yet.
    ready: Mutex<Vec<Connection>>,
    /// Connections in the pool that nobody has taken out, and those that are ready.
    idle: AtomicUsize,
    created: AtomicU64,
    /// Closed when they were about to be lent.
    refused: AtomicU64,
}

impl Manager {
    pub(crate) fn new(core: Arc<Core>, lane: usize) -> Self {
        Self {
            core,
            lane,
            lent: Mutex::default(),
            ready: Mutex::default(),
            idle: AtomicUsize::new(0),
            created: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Leaves a permit for the connection that the caller is about to ask for.
    pub(crate) fn lend(&self, permit: OwnedSemaphorePermit) {
        self.lent.lock().push(permit);
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Relaxed)
    }

    pub(crate) fn created(&self) -> u64 {
        self.created.load(Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Keeps a connection that was opened ahead for the next one who finds no other.
    pub(crate) fn keep_ready(&self, connection: Connection) {
        self.ready.lock().push(connection);
        self.put();
    }

    /// How many were opened ahead and never used.
    pub(crate) fn ready(&self) -> usize {
        self.ready.lock().len()
    }

    /// Closes some of those that were opened ahead; returns how many.
    pub(crate) fn close_ready(&self, mut ends: impl FnMut(&Connection) -> bool) -> usize {
        let mut ready = self.ready.lock();
        let before = ready.len();
        ready.retain(|connection| !ends(connection));
        before - ready.len()
    }

    /// Takes one that was opened ahead and may be lent.
    fn take_ready(&self) -> Option<Connection> {
        loop {
            let connection = self.ready.lock().pop()?;
            self.took(1);
            match self.judge(&connection) {
                Ok(()) => return Some(connection),
                Err(reason) => self.refuse(reason),
            }
        }
    }

    fn refuse(&self, reason: Reason) {
        self.refused.fetch_add(1, Relaxed);
        self.core.counts.closed(reason, 1);
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// What the last host said.
    ///
    /// # Cancel safety
    /// Dropped, it closes what it had opened, and gives the permit back.
    pub(crate) async fn open(&self, permit: OwnedSemaphorePermit) -> Result<Connection, Failure> {
        let epochs = Epochs::now(&self.core);
        match self.core.connector.open().await {
            Ok(opened) => {
                self.created.fetch_add(1, Relaxed);
                self.core.counts.created.fetch_add(1, Relaxed);
                Ok(Connection::new(opened, permit, &self.core, epochs))
            }
            Err(failure) => {
                self.core.counts.connect_failures.fetch_add(1, Relaxed);
                Err(failure)
            }
        }
    }

    pub(crate) fn put(&self) {
        self.idle.fetch_add(1, Relaxed);
    }

    pub(crate) fn took(&self, count: usize) {
        self.idle.fetch_sub(count, Relaxed);
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Some(permit) = self.lent.lock().pop() {
            return Ok(permit);
        }
        // what was idle turned out to be dead, and its permit is on its way back, here or to another lane
        let _hunger = self.core.hunger(self.lane, clock::now());
        let mut permit = pin!(Arc::clone(&self.core.permits).acquire_owned());
        loop {
            match timeout(ASK_AGAIN, permit.as_mut()).await {
                Ok(permit) => return permit.map_err(|_| Failure::unavailable("the pool is closed")),
                Err(_) => self.core.wanted.notify_waiters(),
            }
        }
    }

    fn judge(&self, connection: &Connection) -> Result<(), Reason> {
        if connection.is_closed() {
            return Err(Reason::Broken);
        }
        if connection.is_rerouted(&self.core) {
            return Err(Reason::Rerouted);
        }
        if connection.is_too_old(clock::now()) {
            return Err(Reason::Lifetime);
        }
        Ok(())
    }
}

impl managed::Manager for Manager {
    // boxed, because it is moved through the futures of those who wait for it
    type Type = Box<Connection>;
    type Error = Failure;

    async fn create(&self) -> Result<Box<Connection>, Failure> {
        if let Some(ready) = self.take_ready() {
            return Ok(Box::new(ready));
        }
        // what only a new connection needs is boxed, so that a call on an idle one carries no room for it
        let permit = Box::pin(self.permit()).await?;
        Box::pin(self.open(permit)).await.map(Box::new)
    }

    /// Never waits, so that what is idle can be had at once; who gets a connection in doubt asks it for a sign of life.
    async fn recycle(&self, connection: &mut Box<Connection>, _: &Metrics) -> RecycleResult<Failure> {
        self.took(1);
        self.judge(connection).map_err(|reason| {
            self.refuse(reason);
            RecycleError::message("closed")
        })
    }
}

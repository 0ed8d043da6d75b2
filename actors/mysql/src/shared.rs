//! What all lanes of a backend share: the cap on connections, who waits for one, and what made them all suspect.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use backstop_core::clock::{self, Instant};
use backstop_sql::seen::Seen;
use mysql_async::Opts;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{options::MySqlOptions, pool::Pool, session::Ceilings};

/// How many sessions are killed at the same time; each takes a connection of its own beyond the cap.
const KILLERS: usize = 2;

/// What all lanes of a MySQL backend share.
pub struct MySqlShared {
    pub(crate) core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) options: MySqlOptions,
    pub(crate) opts: Opts,
    pub(crate) ceilings: Ceilings,
    pub(crate) seen: Arc<Seen>,
    /// One permit per connection there may be; fair, so that no lane starves.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) killers: Semaphore,
    /// Who waits for a connection, in order.
    queue: Mutex<VecDeque<Ticket>>,
    waiting: AtomicUsize,
    /// Connections on their way out: they hold their permits still, and are no part of the pool any more.
    leaving: AtomicUsize,
    lanes: Mutex<Vec<Weak<Pool>>>,
    next: AtomicU64,
    /// Counts lost connections: older ones are checked before they are used.
    suspect: AtomicU64,
    /// Counts signs of a server that must not be written to: older connections are closed.
    evicted: AtomicU64,
}

#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    number: u64,
    pub(crate) lane: u64,
    pub(crate) since: Instant,
}

/// The moment at which a connection was opened, by what happened before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) suspect: u64,
    pub(crate) evicted: u64,
}

impl MySqlShared {
    pub(crate) fn new(options: MySqlOptions, opts: Opts) -> Self {
        let permits = Arc::new(Semaphore::new(options.cap()));
        let seen = Arc::new(Seen::new(options.slow_query_threshold, options.leak_after));
        Self {
            core: Arc::new(Core {
                ceilings: Ceilings::new(&options),
                options,
                opts,
                seen,
                permits,
                killers: Semaphore::new(KILLERS),
                queue: Mutex::default(),
                waiting: AtomicUsize::new(0),
                leaving: AtomicUsize::new(0),
                lanes: Mutex::default(),
                next: AtomicU64::new(0),
                suspect: AtomicU64::new(0),
                evicted: AtomicU64::new(0),
            }),
        }
    }
}

impl fmt::Debug for MySqlShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlShared").field("open", &self.core.open()).finish_non_exhaustive()
    }
}

impl Core {
    /// Counts the connections of all lanes, those that are being opened or killed too.
    pub(crate) fn open(&self) -> usize {
        self.options.cap().saturating_sub(self.permits.available_permits())
    }

    /// Says whether there are more connections than are kept, those on their way out left aside.
    pub(crate) fn overflows(&self) -> bool {
        self.open().saturating_sub(self.leaving.load(Ordering::Acquire)) > self.options.pool_size
    }

    /// Counts a connection that is on its way out.
    pub(crate) fn leave(self: &Arc<Self>) -> Leaving {
        self.leaving.fetch_add(1, Ordering::AcqRel);
        Leaving(Arc::clone(self))
    }

    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn add_lane(&self, lane: &Arc<Pool>) {
        let mut lanes = self.lanes.lock();
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(lane));
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch { suspect: self.suspect.load(Ordering::Acquire), evicted: self.evicted.load(Ordering::Acquire) }
    }

    /// A connection was lost, so the others may be.
    pub(crate) fn suspect_all(&self) {
        self.suspect.fetch_add(1, Ordering::AcqRel);
    }

    /// The server refuses to write: it may not be the primary any more, so every connection goes.
    pub(crate) fn evict_all(&self) {
        self.evicted.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes a place in the queue for a connection.
    pub(crate) fn wait(self: &Arc<Self>, lane: u64) -> Place {
        let ticket = Ticket { number: self.number(), lane, since: clock::now() };
        self.queue.lock().push_back(ticket);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Place { core: Arc::clone(self), number: ticket.number }
    }

    /// Counts who waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Counts the connections that a lane keeps while its own calls wait.
    pub(crate) fn share(&self) -> usize {
        let lanes = self.lanes.lock().iter().filter(|lane| lane.strong_count() > 0).count();
        self.options.cap() / lanes.max(1)
    }

    /// Counts the connections of a lane.
    pub(crate) fn open_in(&self, lane: u64) -> usize {
        let lanes: Vec<_> = self.lanes.lock().iter().filter_map(Weak::upgrade).collect();
        lanes.iter().find(|other| other.number() == lane).map_or(0, |other| other.open())
    }

    /// Finds who waits longest.
    pub(crate) fn first_waiting(&self) -> Option<Ticket> {
        if self.waiting() == 0 {
            return None;
        }
        self.queue.lock().front().copied()
    }

    /// Has another lane close an idle connection, so that its permit comes free.
    pub(crate) fn close_one_elsewhere(&self, lane: u64) {
        let lanes: Vec<_> = self.lanes.lock().iter().filter_map(Weak::upgrade).collect();
        for other in lanes.iter().filter(|other| other.number() != lane) {
            if other.give_one_up() {
                return;
            }
        }
    }
}

/// A place in the queue; given back on drop.
pub(crate) struct Place {
    core: Arc<Core>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.core.queue.lock().retain(|ticket| ticket.number != self.number);
        self.core.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection on its way out; counted until this is dropped.
pub(crate) struct Leaving(Arc<Core>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leaving.fetch_sub(1, Ordering::AcqRel);
    }
}

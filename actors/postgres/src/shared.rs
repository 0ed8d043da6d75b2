//! What all lanes share: the cap on connections, the connector, epochs, counts.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use backstop_core::{clock::Instant, stats::LatencySnapshot};
use backstop_sql::seen::Seen;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{
    HolderSnapshot, PostgresOptions, PostgresSnapshot,
    cache::{Cache, Described},
    check::Settings,
    connector::Connector,
    holder::Holders,
    lane::Lane,
    naming::Naming,
    stats::Counts,
};

/// What the lanes of one backend share.
pub struct PostgresShared {
    pub(crate) core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) connector: Connector,
    /// One permit a connection: leased, idle, being cleaned, listening. First come, first served.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) seen: Arc<Seen>,
    /// What the server said of statements that have no name, see [`crate::pooled`].
    pub(crate) described: Mutex<Cache<Described>>,
    pub(crate) holders: Holders,
    pub(crate) counts: Counts,
    /// Wakes lanes that may have an idle connection to close for another one.
    pub(crate) wanted: Notify,
    lanes: Mutex<Vec<Weak<Lane>>>,
    next_lane: AtomicUsize,
    /// Lanes whose first waiter cannot be served from their own connections.
    hungry: Mutex<Vec<Hungry>>,
    hungry_count: AtomicUsize,
    /// Changes with the schema: statements prepared under another one are forgotten.
    schema: AtomicU64,
    /// Changes when a connection is lost: older ones are asked for a sign of life before use.
    doubt: AtomicU64,
    /// Changes when the server turns out to be the wrong one: older connections are closed.
    route: AtomicU64,
}

#[derive(Clone, Copy)]
struct Hungry {
    lane: usize,
    since: Instant,
}

impl Core {
    pub(crate) fn options(&self) -> &PostgresOptions {
        &self.connector.settings().options
    }

    pub(crate) fn naming(&self) -> &Naming {
        self.connector.naming()
    }

    pub(crate) fn cap(&self) -> usize {
        self.options().cap()
    }

    /// Counts the connections that are open or being opened.
    pub(crate) fn connections(&self) -> usize {
        self.cap().saturating_sub(self.permits.available_permits())
    }

    pub(crate) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    pub(crate) fn next_lane(&self) -> usize {
        self.next_lane.fetch_add(1, Relaxed)
    }

    pub(crate) fn join(&self, lane: &Arc<Lane>) {
        let mut lanes = self.lanes.lock();
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(lane));
    }

    /// The connections that each lane may hold while another one waits.
    pub(crate) fn share(&self) -> usize {
        let lanes = self.lanes.lock().iter().filter(|lane| lane.strong_count() > 0).count();
        self.cap() / lanes.max(1)
    }

    /// The idle connections that a lane keeps: its part of `min_idle`, as even as it can be.
    pub(crate) fn idle_share(&self, lane: usize) -> usize {
        let min_idle = self.options().min_idle;
        if min_idle == 0 {
            return 0;
        }
        let lanes = self.lanes.lock();
        let alive = || lanes.iter().filter_map(Weak::upgrade);
        let count = alive().count().max(1);
        let place = alive().position(|other| other.id() == lane).unwrap_or(count);
        min_idle / count + usize::from(place < min_idle % count)
    }

    /// Says whether another lane has fewer idle connections than it is to keep.
    pub(crate) fn lacks_idle(&self, lane: usize) -> bool {
        let others: Vec<_> = self.lanes.lock().iter().filter_map(Weak::upgrade).collect();
        others
            .iter()
            .any(|other| other.id() != lane && other.pool().manager().idle() < self.idle_share(other.id()))
    }

    pub(crate) fn hunger(self: &Arc<Self>, lane: usize, since: Instant) -> Hunger {
        self.hungry.lock().push(Hungry { lane, since });
        self.hungry_count.fetch_add(1, Relaxed);
        Hunger { core: Arc::clone(self), lane }
    }

    /// Says since when another lane has been waiting.
    pub(crate) fn other_waits_since(&self, lane: usize) -> Option<Instant> {
        if self.hungry_count.load(Relaxed) == 0 {
            return None;
        }
        let hungry = self.hungry.lock();
        hungry.iter().filter(|other| other.lane != lane).map(|other| other.since).min()
    }

    /// Says whether a call waits in another lane that has less than its share.
    pub(crate) fn one_below_its_share_waits(&self, lane: usize) -> bool {
        let share = self.share();
        let hungry: Vec<usize> = self.hungry.lock().iter().map(|hungry| hungry.lane).collect();
        let lanes: Vec<_> = self.lanes.lock().iter().filter_map(Weak::upgrade).collect();
        lanes.iter().any(|other| other.id() != lane && hungry.contains(&other.id()) && other.size() < share)
    }

    pub(crate) fn schema(&self) -> u64 {
        self.schema.load(Relaxed)
    }

    pub(crate) fn schema_changed(&self) {
        self.schema.fetch_add(1, Relaxed);
    }

    pub(crate) fn doubt(&self) -> u64 {
        self.doubt.load(Relaxed)
    }

    pub(crate) fn connection_lost(&self) {
        self.doubt.fetch_add(1, Relaxed);
    }

    pub(crate) fn route(&self) -> u64 {
        self.route.load(Relaxed)
    }

    /// The server takes no writes any more: connections to it end, and another host is asked first.
    pub(crate) fn wrong_node(&self) {
        self.connector.prefer_another();
        self.route.fetch_add(1, Relaxed);
    }
}

/// A lane waits for what others hold, as long as this lives.
pub(crate) struct Hunger {
    core: Arc<Core>,
    lane: usize,
}

impl Drop for Hunger {
    fn drop(&mut self) {
        let mut hungry = self.core.hungry.lock();
        if let Some(at) = hungry.iter().position(|one| one.lane == self.lane) {
            hungry.swap_remove(at);
            self.core.hungry_count.fetch_sub(1, Relaxed);
        }
    }
}

impl PostgresShared {
    pub(crate) fn new(settings: Settings) -> Self {
        let (cap, options) = (settings.options.cap(), &settings.options);
        let seen = Arc::new(Seen::new(options.slow_query_threshold, options.leak_after));
        let described = Mutex::new(Cache::new(options.statement_cache, 0));
        Self {
            core: Arc::new(Core {
                connector: Connector::new(settings),
                permits: Arc::new(Semaphore::new(cap)),
                holders: seen.lent().clone(),
                seen,
                described,
                counts: Counts::default(),
                wanted: Notify::new(),
                lanes: Mutex::default(),
                next_lane: AtomicUsize::new(0),
                hungry: Mutex::default(),
                hungry_count: AtomicUsize::new(0),
                schema: AtomicU64::new(0),
                doubt: AtomicU64::new(0),
                route: AtomicU64::new(0),
            }),
        }
    }

    /// Shows the connections of all lanes.
    #[must_use]
    pub fn snapshot(&self) -> PostgresSnapshot {
        let core = &self.core;
        let mut snapshot = PostgresSnapshot {
            connections: core.connections(),
            max: core.cap(),
            min_idle: core.options().min_idle,
            prepares: core.naming().is_on(),
            last_connect_error: core.connector.last_error(),
            created_total: core.counts.created.load(Relaxed),
            connect_failures_total: core.counts.connect_failures.load(Relaxed),
            closed_total: core.counts.closed_snapshot(),
            timeouts_total: core.counts.timeouts.load(Relaxed),
            cancels_total: core.counts.cancels.load(Relaxed),
            cleaned_total: core.counts.cleaned.load(Relaxed),
            prepared_total: core.counts.prepared.load(Relaxed),
            shared_total: core.counts.shared.load(Relaxed),
            merged_total: core.counts.merged.load(Relaxed),
            schema_epoch: core.schema(),
            long_leases: core.seen.leases().iter().filter(|lease| lease.is_long).count(),
            ..PostgresSnapshot::default()
        };
        let mut waits = LatencySnapshot::default();
        for lane in core.lanes.lock().iter().filter_map(Weak::upgrade) {
            let pool = lane.snapshot();
            snapshot.active += pool.active;
            snapshot.idle += pool.idle;
            snapshot.waiting += pool.waiting;
            waits.add(lane.waits());
        }
        let ms = |share| waits.percentile(share).as_secs_f64() * 1e3;
        (snapshot.acquire_p50_ms, snapshot.acquire_p99_ms) = (ms(50.0), ms(99.0));
        snapshot.oldest_holder = core.holders.oldest().map(|(operation, held)| HolderSnapshot {
            operation,
            held_ms: u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
        });
        snapshot
    }
}

impl fmt::Debug for PostgresShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = &self.core;
        f.debug_struct("PostgresShared")
            .field("hosts", &core.connector.settings().hosts)
            .field("connections", &core.connections())
            .field("max", &core.cap())
            .finish_non_exhaustive()
    }
}

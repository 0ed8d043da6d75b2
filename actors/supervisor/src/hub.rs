//! What all lanes and references of one backend share.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread::ThreadId,
};

use actix::{Addr, dev::channel::channel};
use backstop_core::{
    backend::{Backend, Connect},
    error::{ConfigError, RejectionReason},
    event::EventKind,
    guard::{Guard, GuardSnapshot},
    operation::LocalBoxFuture,
    snapshot::PoolSnapshot,
    stats::{LaneStats, OpSnapshot},
};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use crate::{
    control::Control,
    home::{Home, Homes},
    host,
    lane::{Core, Gauge, InFlightCall, Inspect, Lane, can_host},
    placement::Placement,
    slots::{self, At, Slot, SlotKey},
};

/// How to build an instance, and what all of them share.
pub(crate) struct Recipe<B> {
    build: Arc<Build<B>>,
    pool: Arc<dyn Fn() -> PoolSnapshot + Send + Sync>,
    warnings: Arc<dyn Fn() -> Vec<Arc<str>> + Send + Sync>,
    alarms: Arc<dyn Fn() -> Vec<Arc<str>> + Send + Sync>,
    insight: Option<Arc<dyn Any + Send + Sync>>,
}

type Build<B> = dyn Fn() -> LocalBoxFuture<'static, Result<B, ConfigError>> + Send + Sync;

impl<B> Recipe<B> {
    /// Builds an instance for the thread it is called on.
    pub(crate) fn build(&self) -> LocalBoxFuture<'static, Result<B, ConfigError>> {
        (self.build)()
    }

    /// Shows what the instances share; nothing where the backend's own code panics.
    fn pool(&self) -> PoolSnapshot {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.pool)())).unwrap_or_default()
    }

    /// Takes what the backend warns of; nothing where its own code panics.
    fn warnings(&self) -> Vec<Arc<str>> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.warnings)())).unwrap_or_default()
    }

    /// Says what is wrong with what is shared; nothing where its own code panics.
    fn alarms(&self) -> Vec<Arc<str>> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.alarms)())).unwrap_or_default()
    }
}

impl<B> Clone for Recipe<B> {
    fn clone(&self) -> Self {
        Self {
            build: Arc::clone(&self.build),
            pool: Arc::clone(&self.pool),
            warnings: Arc::clone(&self.warnings),
            alarms: Arc::clone(&self.alarms),
            insight: self.insight.clone(),
        }
    }
}

/// Makes a recipe from settings; checks them and builds what the instances share.
pub(crate) fn recipe<C: Connect>(connect: C) -> Result<(Recipe<C::Backend>, usize), ConfigError> {
    let shared = Arc::new(connect.share()?);
    let lanes_max = connect.lanes_max().max(1);
    let pool = {
        let (connect, shared) = (connect.clone(), Arc::clone(&shared));
        Arc::new(move || connect.shared_pool(&shared))
    };
    let insight = connect.insight(&shared);
    let warnings = {
        let (connect, shared) = (connect.clone(), Arc::clone(&shared));
        Arc::new(move || connect.warnings(&shared))
    };
    let alarms = {
        let (connect, shared) = (connect.clone(), Arc::clone(&shared));
        Arc::new(move || connect.alarms(&shared))
    };
    let build: Arc<Build<C::Backend>> = Arc::new(move || {
        let (connect, shared) = (connect.clone(), Arc::clone(&shared));
        Box::pin(async move { connect.connect(&shared).await })
    });
    Ok((Recipe { build, pool, warnings, alarms, insight }, lanes_max))
}

pub(crate) struct Hub<B: Backend> {
    pub(crate) id: u64,
    pub(crate) guard: Arc<Guard>,
    pub(crate) control: OnceLock<Addr<Control<B>>>,
    /// Gone when the backend has ended, with everything that its instances shared.
    recipe: RwLock<Option<Recipe<B>>>,
    epoch: AtomicU64,
    lanes: Mutex<Vec<LaneEntry<B>>>,
    next_lane: AtomicU64,
    lanes_max: usize,
    placement: Placement,
    thread: ThreadId,
    homes: Arc<Homes>,
    dedicated: Mutex<Option<Home>>,
    ending: AtomicBool,
    /// What happened on lanes that have ended.
    ended: Mutex<BTreeMap<&'static str, OpSnapshot>>,
}

struct LaneEntry<B: Backend> {
    number: u64,
    addr: Addr<Lane<B>>,
    thread: LaneThread,
    stats: Arc<LaneStats>,
    gauge: Arc<Gauge>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LaneThread {
    /// The thread of a caller.
    Caller,
    /// A thread of ours, by a number that names it.
    Home(usize),
}

/// A lane as others see it.
#[derive(Clone, Debug, Serialize)]
pub struct LaneSnapshot {
    /// Its number.
    pub lane: u64,
    /// Whether it runs on a thread of ours.
    pub home: bool,
    /// Calls that wait in it or are with the backend.
    pub in_flight: usize,
    /// Calls that have ended.
    pub finished_total: u64,
    /// The instance that serves it.
    pub incarnation: u64,
}

/// A backend as others see it; tests, REST, dashboard and metrics read this one.
#[derive(Clone, Debug, Serialize)]
pub struct BackendSnapshot {
    /// Its name.
    pub name: String,
    /// Its kind, such as `sqlite`.
    pub kind: &'static str,
    /// The state of its policies.
    #[serde(flatten)]
    pub guard: GuardSnapshot,
    /// What happened to its messages, by kind.
    pub operations: BTreeMap<&'static str, OpSnapshot>,
    /// Its lanes.
    pub lanes: Vec<LaneSnapshot>,
}

impl<B: Backend> Hub<B> {
    pub(crate) fn new(
        guard: Arc<Guard>,
        recipe: Recipe<B>,
        lanes_max: usize,
        placement: Placement,
        homes: Arc<Homes>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Relaxed),
            guard,
            control: OnceLock::new(),
            recipe: RwLock::new(Some(recipe)),
            epoch: AtomicU64::new(1),
            lanes: Mutex::default(),
            next_lane: AtomicU64::new(0),
            lanes_max,
            placement,
            thread: std::thread::current().id(),
            homes,
            dedicated: Mutex::new(None),
            ending: AtomicBool::new(false),
            ended: Mutex::default(),
        })
    }

    /// Begins the end: no order and no probe is carried out any more.
    pub(crate) fn begin_end(&self) {
        self.ending.store(true, Release);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Acquire)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// The newest recipe and its epoch; `None` when the backend has ended.
    pub(crate) fn recipe(&self) -> Option<(u64, Recipe<B>)> {
        let recipe = self.recipe.read();
        Some((self.epoch(), recipe.clone()?))
    }

    /// Makes every instance of before stale; lanes replace theirs, calls under way end on the old ones.
    pub(crate) fn renew(&self, recipe: Option<Recipe<B>>) {
        let mut current = self.recipe.write();
        if let Some(recipe) = recipe
            && current.is_some()
        {
            *current = Some(recipe);
        }
        self.epoch.fetch_add(1, AcqRel);
    }

    /// Finds or starts the lane for the current thread and puts it in the thread's slot.
    #[cold]
    pub(crate) fn find_lane(self: &Arc<Self>, key: SlotKey) -> Result<(), RejectionReason> {
        if self.is_ending() {
            return Err(RejectionReason::Draining);
        }
        let own_thread = match self.placement {
            Placement::Single => std::thread::current().id() == self.thread,
            Placement::Local => can_host(),
            Placement::Dedicated => false,
        };
        let slot = if own_thread && self.has_room() {
            self.start_here()?
        } else {
            Slot { addr: self.neighbour(own_thread)?, at: At::Elsewhere }
        };
        slots::put(key, slot);
        Ok(())
    }

    fn has_room(&self) -> bool {
        let mut lanes = self.lanes.lock();
        self.forget_ended(&mut lanes);
        lanes.len() < self.lanes_max
    }

    /// Drops lanes that have ended, and keeps their counts.
    fn forget_ended(&self, lanes: &mut Vec<LaneEntry<B>>) {
        let ended: Vec<_> = lanes.extract_if(.., |lane| !lane.addr.connected()).collect();
        self.keep_counts(ended);
    }

    fn keep_counts(&self, ended: Vec<LaneEntry<B>>) {
        let mut counts = self.ended.lock();
        for lane in ended {
            lane.stats.merge_into(&mut counts);
        }
    }

    /// Picks a lane on another thread, the least busy one of those that fit.
    fn neighbour(self: &Arc<Self>, could_host: bool) -> Result<Addr<Lane<B>>, RejectionReason> {
        if could_host || self.placement == Placement::Single {
            let lanes = self.lanes.lock();
            let least = lanes.iter().min_by_key(|lane| lane.gauge.in_flight.load(Relaxed));
            return least.map(|lane| lane.addr.clone()).ok_or(RejectionReason::Stopped);
        }
        let (index, home) = self.home().map_err(|_| RejectionReason::Stopped)?;
        let thread = LaneThread::Home(index);
        let mut lanes = self.lanes.lock();
        self.forget_ended(&mut lanes);
        let full = lanes.len() >= self.lanes_max;
        let same = lanes.iter().find(|lane| lane.thread == thread || full);
        if let Some(lane) = same {
            return Ok(lane.addr.clone());
        }
        let (tx, rx) = channel(0);
        let addr = Addr::new(tx);
        let core = self.enter(&mut lanes, addr.clone(), thread);
        drop(lanes);
        let started = home.run(move || {
            let turn = host::Turn::default();
            host::start_on(Lane::new(core(), turn.clone()), turn, rx);
        });
        if started { Ok(addr) } else { Err(RejectionReason::Stopped) }
    }

    fn home(&self) -> std::io::Result<(usize, Home)> {
        if self.placement != Placement::Dedicated {
            return self.homes.lane();
        }
        let mut dedicated = self.dedicated.lock();
        if let Some(home) = dedicated.as_ref().filter(|home| home.is_alive()) {
            return Ok((usize::MAX, home.clone()));
        }
        let home = Home::start(&format!("backstop-{}", self.guard.name()), true)?;
        *dedicated = Some(home.clone());
        Ok((usize::MAX, home))
    }

    fn start_here(self: &Arc<Self>) -> Result<Slot<B>, RejectionReason> {
        let (tx, rx) = channel(0);
        let addr = Addr::new(tx);
        let core = self.enter(&mut self.lanes.lock(), addr.clone(), LaneThread::Caller);
        let (core, turn) = (core(), host::Turn::default());
        let at = At::Here(Rc::downgrade(&core));
        host::start_on(Lane::new(core, turn.clone()), turn, rx);
        Ok(Slot { addr, at })
    }

    /// Adds a lane to the list; the returned function builds its core on the lane's own thread.
    fn enter(
        self: &Arc<Self>,
        lanes: &mut Vec<LaneEntry<B>>,
        addr: Addr<Lane<B>>,
        thread: LaneThread,
    ) -> impl FnOnce() -> Rc<Core<B>> + Send + use<B> {
        let number = self.next_lane.fetch_add(1, Relaxed);
        let (stats, gauge) = (Arc::<LaneStats>::default(), Arc::<Gauge>::default());
        lanes.push(LaneEntry { number, addr, thread, stats: Arc::clone(&stats), gauge: Arc::clone(&gauge) });
        let hub = Arc::clone(self);
        move || Core::new(hub, number, stats, gauge)
    }

    /// Returns the addresses of the living lanes.
    pub(crate) fn addresses(&self) -> Vec<Addr<Lane<B>>> {
        let lanes = self.lanes.lock();
        lanes.iter().filter(|lane| lane.addr.connected()).map(|lane| lane.addr.clone()).collect()
    }

    /// Lists number, finished calls, heartbeats and calls under way of the living lanes.
    pub(crate) fn progress(&self) -> Vec<(u64, u64, u64, usize)> {
        let lanes = self.lanes.lock();
        let living = lanes.iter().filter(|lane| lane.addr.connected());
        living
            .map(|lane| {
                let in_flight = lane.gauge.in_flight.load(Relaxed);
                (lane.number, lane.stats.finished(), lane.stats.beats(), in_flight)
            })
            .collect()
    }

    /// Shows everything that needs no word from a lane.
    pub(crate) fn snapshot(&self) -> BackendSnapshot {
        let lanes = self.lanes.lock();
        let mut operations = self.ended.lock().clone();
        for lane in lanes.iter() {
            lane.stats.merge_into(&mut operations);
        }
        let living = lanes.iter().filter(|lane| lane.addr.connected());
        let lanes = living.map(LaneEntry::snapshot).collect();
        let name = self.guard.name().to_string();
        BackendSnapshot { name, kind: B::KIND, guard: self.guard.snapshot(), operations, lanes }
    }

    /// Asks every lane for its pool and its calls under way, and adds what all lanes share; a lane that does not
    /// answer is left out.
    pub(crate) async fn inspect(&self, within: std::time::Duration) -> (PoolSnapshot, Vec<InFlightCall>) {
        let asked = self
            .addresses()
            .into_iter()
            .map(|lane| tokio::time::timeout(within, async move { lane.send(Inspect).await }));
        let shared = self.recipe().map_or_else(PoolSnapshot::default, |(_, recipe)| recipe.pool());
        let mut all = (shared, Vec::new());
        for inspected in futures_util::future::join_all(asked).await.into_iter().flatten().flatten() {
            all.0 = all.0.plus(inspected.pool);
            all.1.extend(inspected.calls);
        }
        all
    }

    /// Takes what the backend warns of.
    pub(crate) fn warnings(&self) -> Vec<Arc<str>> {
        self.recipe().map_or_else(Vec::new, |(_, recipe)| recipe.warnings())
    }

    /// Says what is wrong right now with what the instances share.
    pub(crate) fn alarms(&self) -> Vec<Arc<str>> {
        self.recipe().map_or_else(Vec::new, |(_, recipe)| recipe.alarms())
    }

    /// What the newest instances lend out of their work; `None` when there is none or the backend has ended.
    pub(crate) fn insight(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.recipe.read().as_ref()?.insight.clone()
    }

    /// Forgets everything that keeps threads and lanes alive.
    pub(crate) fn disband(&self) {
        let mut lanes = self.lanes.lock();
        self.keep_counts(std::mem::take(&mut lanes));
        drop(lanes);
        self.dedicated.lock().take();
        let recipe = self.recipe.write().take();
        drop(recipe); // without the lock: what is shared is the backend's own code
        slots::forget(self.id);
    }

    pub(crate) fn event(&self, kind: EventKind) {
        self.guard.events().push(self.guard.name(), kind);
    }
}

impl<B: Backend> LaneEntry<B> {
    fn snapshot(&self) -> LaneSnapshot {
        LaneSnapshot {
            lane: self.number,
            home: self.thread != LaneThread::Caller,
            in_flight: self.gauge.in_flight.load(Relaxed),
            finished_total: self.stats.finished(),
            incarnation: self.gauge.incarnation.load(Relaxed),
        }
    }
}

impl<B: Backend> fmt::Debug for Hub<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("name", self.guard.name()).finish_non_exhaustive()
    }
}

//! The control-plane actor of one backend: it takes orders, probes, and watches over the lanes.
//!
//! It has a mailbox of its own, so an order is carried out under a full intake; and it is never on the
//! path of a call.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Message, ResponseFuture, Supervised};
use backstop_core::{
    backend::{Backend, Probe},
    call::Deadline,
    clock::{self, Instant},
    error::{CallError, ConfigError, RejectionReason},
    event::EventKind,
    guard::Admission,
    policy::{
        Policy,
        circuit_breaker::{BreakerState, Override},
    },
};
use tokio::sync::Notify;

use crate::{
    hub::Hub,
    lane::{ProbeLane, Rebuild, StopLane},
    reference::BackendRef,
    shutdown::DrainReport,
};

/// What can be ordered of a backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Order {
    /// Open the breaker, for some time or until it heals as after any trip.
    Trip {
        /// Why; shown to those who are refused.
        reason: Arc<str>,
        /// For how long; `None` for the usual open time.
        open_for: Option<Duration>,
    },
    /// Close the breaker and forget what it has seen.
    Reset,
    /// Override the breaker until lifted (`None`).
    Force(Option<Override>),
    /// Build new instances on all lanes; calls under way end on the old ones.
    Restart {
        /// Why.
        reason: Arc<str>,
    },
    /// Change the settings while running.
    Reconfigure(Box<Policy>),
    /// Take no new calls and finish those under way.
    Pause,
    /// Take new calls again.
    Resume,
    /// Ask for a sign of life now.
    Probe,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The settings cannot work; nothing was changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The backend did not give the sign of life.
    #[error(transparent)]
    Probe(CallError),
    /// The backend is gone.
    #[error("the backend has stopped")]
    Stopped,
}

impl Message for Order {
    type Result = Result<(), OrderError>;
}

/// Gives an order and waits until it is carried out.
pub(crate) async fn give<B: Backend>(hub: &Hub<B>, order: Order) -> Result<(), OrderError> {
    let control = hub.control.get().ok_or(OrderError::Stopped)?;
    control.send(order).await.map_err(|_| OrderError::Stopped)?
}

/// The control-plane actor.
pub(crate) struct Control<B: Backend> {
    hub: Arc<Hub<B>>,
    woken: Arc<Notify>,
}

impl<B: Backend> Control<B> {
    pub(crate) fn new(hub: Arc<Hub<B>>) -> Self {
        Self { hub, woken: Arc::default() }
    }
}

impl<B: Backend> Actor for Control<B> {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let woken = Arc::clone(&self.woken);
        self.hub.guard.watch(Box::new(move |_| woken.notify_one()));
        tokio::task::spawn_local(heal(Arc::clone(&self.hub), Arc::clone(&self.woken)));
        tokio::task::spawn_local(watch_lanes(Arc::clone(&self.hub)));
    }
}

impl<B: Backend> Supervised for Control<B> {}

impl<B: Backend> Handler<Order> for Control<B> {
    type Result = ResponseFuture<Result<(), OrderError>>;

    fn handle(&mut self, order: Order, _: &mut Self::Context) -> Self::Result {
        let hub = Arc::clone(&self.hub);
        Box::pin(carry_out(hub, order))
    }
}

async fn carry_out<B: Backend>(hub: Arc<Hub<B>>, order: Order) -> Result<(), OrderError> {
    let guard = &hub.guard;
    if hub.is_ending() {
        return Err(OrderError::Stopped);
    }
    match order {
        Order::Trip { reason, open_for } => guard.trip(&reason, open_for),
        Order::Reset => guard.reset(),
        Order::Force(order) => guard.force(order),
        Order::Restart { reason } => {
            tracing::info!(backend = %guard.name(), %reason, "restart by order");
            hub.renew(None);
            rebuild(&hub).await;
        }
        Order::Reconfigure(policy) => guard.reconfigure(*policy)?,
        Order::Pause => guard.set_admission(Admission::Draining),
        Order::Resume => guard.set_admission(Admission::Open),
        Order::Probe => probe(&hub).await.map_err(OrderError::Probe)?,
    }
    Ok(())
}

/// Tells idle lanes that their instance is stale; one on a blocked thread hears of it when it can.
pub(crate) async fn rebuild<B: Backend>(hub: &Hub<B>) {
    let told = hub
        .addresses()
        .into_iter()
        .map(|lane| tokio::time::timeout(REBUILD_WITHIN, async move { lane.send(Rebuild).await }));
    futures_util::future::join_all(told).await;
}

/// How long a lane is waited for until it has heard that its instance is stale.
const REBUILD_WITHIN: Duration = Duration::from_millis(500);

/// Orders the backend to end and waits for its report.
pub(crate) struct Drain(pub(crate) Deadline);

impl Message for Drain {
    type Result = DrainReport;
}

impl<B: Backend> Handler<Drain> for Control<B> {
    type Result = ResponseFuture<DrainReport>;

    fn handle(&mut self, drain: Drain, _: &mut Self::Context) -> Self::Result {
        Box::pin(end(Arc::clone(&self.hub), drain.0))
    }
}

/// Share of the drain's time that is kept for closing connections.
const CLOSING: Duration = Duration::from_millis(500);

/// Stops intake, lets calls finish, gives up the rest, closes the pools.
async fn end<B: Backend>(hub: Arc<Hub<B>>, deadline: Deadline) -> DrainReport {
    let guard = Arc::clone(&hub.guard);
    let (name, started) = (guard.name().clone(), clock::now());
    let under_way = guard.in_flight();
    hub.begin_end();
    guard.set_admission(Admission::Draining);
    hub.event(EventKind::Draining);
    let finish_by = deadline.instant() - CLOSING.min(deadline.remaining(started) / 4);
    let drained = tokio::time::timeout_at(finish_by, guard.idle()).await.is_ok();
    let left = if drained { 0 } else { guard.in_flight() };
    let stops = hub.addresses().into_iter().map(|lane| async move {
        tokio::time::timeout_at(deadline.instant(), lane.send(StopLane(deadline))).await
    });
    let stopped = futures_util::future::join_all(stops).await;
    let stuck_lanes = stopped.iter().filter(|stop| stop.is_err()).count();
    guard.set_admission(Admission::Stopped);
    hub.event(EventKind::Stopped { abandoned: left });
    hub.disband();
    DrainReport {
        name: name.to_string(),
        finished: under_way.saturating_sub(left),
        abandoned: left,
        stuck_lanes,
        took: clock::now().saturating_duration_since(started),
    }
}

/// Asks one lane for a sign of life; starts a lane where none lives.
async fn probe<B: Backend>(hub: &Arc<Hub<B>>) -> Result<(), CallError> {
    let timeout = hub.guard.policy().probe.timeout;
    let reference = BackendRef::new(Arc::clone(hub));
    if hub.addresses().is_empty() {
        reference.start_lane()?;
    }
    let gone = || CallError::from(hub.guard.reject(RejectionReason::Stopped));
    let lane = hub.addresses().into_iter().next().ok_or_else(gone)?;
    match tokio::time::timeout(timeout * 2, lane.send(ProbeLane(timeout))).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(gone()),
        // The lane's thread is blocked: for a probe that is as bad as no answer.
        Err(_) => Err(hub.guard.reject(RejectionReason::Expired).into()),
    }
}

/// Heals a breaker by probes, so that no user call has to be the guinea pig, and lets its time pass.
async fn heal<B: Backend>(hub: Arc<Hub<B>>, woken: Arc<Notify>) {
    let mut routine_since = clock::now();
    while !hub.is_ending() {
        let settings = hub.guard.policy().probe.clone();
        let (tick_at, probe_at) = hub.guard.tick();
        let probe_at = probe_at.filter(|_| settings.enabled);
        let routine_at = settings.interval.map(|interval| routine_since + interval);
        let closed = hub.guard.breaker_state() == BreakerState::Closed;
        let look_at = clock::now() + IDLE_LOOK;
        let due =
            [tick_at, probe_at, routine_at, Some(look_at)].into_iter().flatten().min().unwrap_or(look_at);
        if tokio::time::timeout_at(due, woken.notified()).await.is_ok() {
            continue;
        }
        if hub.is_ending() {
            return;
        }
        if let Some(pass) = settings.enabled.then(|| hub.guard.begin_probe()).flatten() {
            let result = probe(&hub).await;
            pass.finish(&result);
        } else if Some(due) == routine_at {
            routine_since = clock::now();
            if !closed {
                continue;
            }
            // A routine probe is a call like any other, so its result counts in the window.
            let ask = BackendRef::new(Arc::clone(&hub)).ask(Probe).within(settings.timeout);
            if let Err(error) = ask.await {
                tracing::debug!(backend = %hub.guard.name(), %error, "routine probe failed");
            }
        }
    }
}

/// How often a backend is looked at though nothing is due; catches a change of settings.
const IDLE_LOOK: Duration = Duration::from_secs(10);

/// What was last seen of a lane, and since when it has not moved.
struct Seen {
    finished: u64,
    beats: u64,
    since: Instant,
    reported: bool,
}

/// Finds lanes that have work and make no progress, or whose thread does not beat.
async fn watch_lanes<B: Backend>(hub: Arc<Hub<B>>) {
    let mut seen: HashMap<u64, Seen> = HashMap::new();
    while !hub.is_ending() {
        let stuck_after = hub.guard.policy().stuck_after;
        tokio::time::sleep((stuck_after / 4).max(Duration::from_millis(10))).await;
        let now = clock::now();
        let lanes = hub.progress();
        seen.retain(|number, _| lanes.iter().any(|lane| lane.0 == *number));
        let mut renew = false;
        for (number, finished, beats, in_flight) in lanes {
            let fresh = Seen { finished, beats, since: now, reported: false };
            let last = seen.entry(number).or_insert(fresh);
            let moved = last.finished != finished || in_flight == 0;
            let alive = last.beats != beats;
            if moved && alive {
                *last = Seen { finished, beats, since: now, reported: false };
                continue;
            }
            let stuck_for = now.saturating_duration_since(last.since);
            // A beat a second is due; a thread that misses them for the whole time is blocked.
            if last.reported || stuck_for < stuck_after.max(crate::lane::HEARTBEAT * 2) {
                continue;
            }
            last.reported = true;
            let for_ms = u64::try_from(stuck_for.as_millis()).unwrap_or(u64::MAX);
            hub.event(EventKind::LaneStuck { lane: number, for_ms });
            renew |= alive;
        }
        if renew {
            // A lane whose thread runs gets a new instance; a blocked thread can only be reported.
            hub.renew(None);
            rebuild(&hub).await;
        }
    }
}

impl<B: Backend> fmt::Debug for Control<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(self.hub.guard.name()).finish()
    }
}

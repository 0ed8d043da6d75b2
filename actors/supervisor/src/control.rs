//! The control-plane actor of one backend: it takes orders, probes, and watches over the lanes.
//!
//! It has a mailbox of its own, so an order is carried out under a full intake; and it is never on the
//! path of a call.

mod alert;
mod health;
mod progress;

use std::{fmt, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, Context, Handler, Message, ResponseActFuture, ResponseFuture,
    Supervised, fut::wrap_future,
};
use backstop_core::{
    backend::Backend,
    call::Deadline,
    clock,
    error::{CallError, ConfigError},
    event::EventKind,
    guard::Admission,
    policy::{Policy, circuit_breaker::Override},
};
use tokio::task::JoinSet;

use self::{
    alert::watch_alerts,
    health::{Wakes, heal, keep_time, probe},
    progress::watch_lanes,
};
use crate::{
    hub::Hub,
    lane::{Rebuild, StopLane},
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
    wakes: Arc<Wakes>,
    /// What it does without an order; ends with the actor.
    duties: JoinSet<()>,
}

impl<B: Backend> Control<B> {
    pub(crate) fn new(hub: Arc<Hub<B>>) -> Self {
        Self { hub, wakes: Arc::default(), duties: JoinSet::new() }
    }
}

impl<B: Backend> Actor for Control<B> {
    type Context = Context<Self>;

    /// Takes up its duties; also after a panic, when the earlier ones are given up.
    fn started(&mut self, _: &mut Self::Context) {
        let wakes = Arc::clone(&self.wakes);
        self.hub.guard.watch(Box::new(move |_| wakes.wake()));
        self.duties = JoinSet::new();
        self.duties.spawn_local(keep_time(Arc::clone(&self.hub), Arc::clone(&self.wakes)));
        self.duties.spawn_local(heal(Arc::clone(&self.hub), Arc::clone(&self.wakes)));
        self.duties.spawn_local(watch_lanes(Arc::clone(&self.hub)));
        self.duties.spawn_local(watch_alerts(Arc::clone(&self.hub)));
    }
}

impl<B: Backend> Drop for Control<B> {
    fn drop(&mut self) {
        self.hub.guard.unwatch();
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
    type Result = ResponseActFuture<Self, DrainReport>;

    /// The actor ends with its backend: it and the hub hold each other.
    fn handle(&mut self, drain: Drain, _: &mut Self::Context) -> Self::Result {
        self.hub.begin_end();
        self.hub.guard.unwatch();
        self.duties.abort_all();
        let ending = wrap_future::<_, Self>(end(Arc::clone(&self.hub), drain.0));
        Box::pin(ending.map(|report, _, ctx: &mut Context<Self>| {
            ctx.stop();
            report
        }))
    }
}

/// Share of the drain's time that is kept for closing connections.
const CLOSING: Duration = Duration::from_millis(500);

/// Stops intake, lets calls finish, gives up the rest, closes the pools.
async fn end<B: Backend>(hub: Arc<Hub<B>>, deadline: Deadline) -> DrainReport {
    let guard = Arc::clone(&hub.guard);
    let (name, started) = (guard.name().clone(), clock::now());
    let under_way = guard.in_flight();
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

impl<B: Backend> fmt::Debug for Control<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(self.hub.guard.name()).finish()
    }
}

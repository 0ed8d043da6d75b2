//! The supervisor: starts backends in order, acts between them, and stops them in reverse.

use std::{fmt, sync::Arc, time::Duration};

use actix::{
    Actor, Addr, Context, Handler, Message, MessageResult, ResponseFuture, Supervised, dev::channel::channel,
};
use backstop_core::{
    backend::Connect,
    call::Deadline,
    clock,
    error::ConfigError,
    event::{Event, EventKind, EventRing},
    guard::Guard,
    name::Name,
    policy::Policy,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    control::{Control, Order, rebuild},
    erased::Child,
    home::Homes,
    host,
    hub::{self, BackendSnapshot, Hub},
    placement::Placement,
    reference::BackendRef,
    shutdown::{DrainReport, ShutdownReport},
};

/// What happens to the other backends when one loses an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nothing (default).
    #[default]
    OneForOne,
    /// All of them get new instances.
    OneForAll,
    /// Those that were started after it get new instances.
    RestForOne,
}

/// Settings of a supervisor.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// What happens to the other backends when one loses an instance.
    pub strategy: Strategy,
    /// Where lanes run.
    pub placement: Placement,
    /// Threads of ours that run lanes for callers without one; default: one a processor, at most 8.
    pub home_threads: usize,
    /// Events that are kept for replay; default 1,024.
    pub events: usize,
}

impl Default for SupervisorOptions {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let home_threads = processors.min(8);
        Self { strategy: Strategy::default(), placement: Placement::default(), home_threads, events: 1_024 }
    }
}

/// Why a backend could not be started.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error("{name}: {error}")]
    Config {
        /// The backend.
        name: String,
        /// The setting.
        error: ConfigError,
    },
    /// The name is taken.
    #[error("a backend named `{0}` is already there; choose another name or replace it")]
    NameTaken(String),
    /// The name is none.
    #[error("`{0}` is no name: use 1 to 64 of a-z, 0-9, `-` and `_`")]
    BadName(String),
    /// A panic could not be contained in this program.
    #[error("Backstop needs unwinding panics; remove `panic = \"abort\"` from the profile")]
    PanicAborts,
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(Arc<std::io::Error>),
    /// The supervisor has ended.
    #[error("the supervisor has ended")]
    Ended,
}

/// The supervisor actor; talk to it through a [`SupervisorRef`].
pub struct Supervisor {
    children: Vec<Arc<dyn Child>>,
    strategy: Strategy,
    events: Arc<EventRing>,
    published: watch::Sender<Vec<Arc<dyn Child>>>,
    failed: watch::Sender<Option<String>>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("children", &self.children.len()).finish_non_exhaustive()
    }
}

/// A reference to a supervisor; cheap to clone and usable from any thread.
#[derive(Clone)]
pub struct SupervisorRef {
    addr: Addr<Supervisor>,
    homes: Arc<Homes>,
    events: Arc<EventRing>,
    placement: Placement,
    children: watch::Receiver<Vec<Arc<dyn Child>>>,
    failed: watch::Receiver<Option<String>>,
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorRef").field("placement", &self.placement).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Starts a supervisor on a thread of ours; under [`Placement::Single`] on the current thread, which must
    /// then run a `LocalSet`.
    ///
    /// # Errors
    /// [`StartError::PanicAborts`] when panics cannot be contained, [`StartError::Thread`] when the system
    /// has no thread left.
    pub fn start(options: SupervisorOptions) -> Result<SupervisorRef, StartError> {
        if cfg!(panic = "abort") {
            return Err(StartError::PanicAborts);
        }
        let events = Arc::new(EventRing::new(options.events));
        let (published, children) = watch::channel(Vec::new());
        let (failed, failure) = watch::channel(None);
        let (tx, rx) = channel(0);
        let addr = Addr::new(tx);
        let homes = Homes::new(options.home_threads);
        let strategy = options.strategy;
        let supervisor =
            Self { children: Vec::new(), strategy, events: Arc::clone(&events), published, failed };
        let start = move || host::start_on(supervisor, host::Turn::default(), rx);
        run_control(options.placement, &homes, start)?;
        Ok(SupervisorRef { addr, homes, events, placement: options.placement, children, failed: failure })
    }
}

/// Runs `start` where control actors live.
fn run_control(
    placement: Placement,
    homes: &Homes,
    start: impl FnOnce() + Send + 'static,
) -> Result<(), StartError> {
    if placement == Placement::Single {
        start();
        return Ok(());
    }
    let home = homes.control().map_err(|error| StartError::Thread(Arc::new(error)))?;
    if home.run(start) { Ok(()) } else { Err(StartError::Ended) }
}

impl SupervisorRef {
    /// Adds a backend and starts it; returns when it takes calls.
    ///
    /// # Errors
    /// [`StartError`] names the backend and what is wrong; nothing was started then. A server that is down
    /// is no error here: its calls fail and its breaker opens.
    pub async fn add<C: Connect>(
        &self,
        name: &str,
        connect: C,
        policy: Policy,
    ) -> Result<BackendRef<C::Backend>, StartError> {
        self.add_placed(name, connect, policy, self.placement).await
    }

    /// Adds a backend whose lanes run elsewhere than the supervisor's default.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn add_placed<C: Connect>(
        &self,
        name: &str,
        connect: C,
        policy: Policy,
        placement: Placement,
    ) -> Result<BackendRef<C::Backend>, StartError> {
        check_name(name)?;
        if self.children.borrow().iter().any(|child| child.name() == name) {
            return Err(StartError::NameTaken(name.into()));
        }
        let bad = |error| StartError::Config { name: name.into(), error };
        let guard = Guard::new(Name::from(name), policy, Arc::clone(&self.events)).map_err(bad)?;
        let (recipe, lanes_max) = hub::recipe(connect).map_err(bad)?;
        let hub = Hub::new(guard, recipe, lanes_max, placement, Arc::clone(&self.homes));
        // The control actor starts where the name is taken, in one step: a refused or dropped `add` leaves none.
        let (tx, rx) = channel(0);
        let control = Control::new(Arc::clone(&hub));
        let _ = hub.control.set(Addr::new(tx));
        let start = Box::new(move || host::start_on(control, host::Turn::default(), rx));
        let child: Arc<dyn Child> = Arc::new(Arc::clone(&hub));
        self.addr.send(Adopt { child, start }).await.map_err(|_| StartError::Ended)??;
        hub.event(EventKind::Started);
        Ok(BackendRef::new(hub))
    }

    /// Replaces the recipe of a backend while it runs; calls under way end on the old instances.
    ///
    /// # Errors
    /// [`StartError::Config`] names the setting that cannot work; nothing changes then.
    pub async fn replace<C: Connect>(
        &self,
        backend: &BackendRef<C::Backend>,
        connect: C,
    ) -> Result<(), StartError> {
        let name = backend.name();
        let (recipe, _) =
            hub::recipe(connect).map_err(|error| StartError::Config { name: name.into(), error })?;
        backend.hub.renew(Some(recipe));
        backend.hub.event(EventKind::Replaced);
        rebuild(&backend.hub).await;
        Ok(())
    }

    /// Stops one backend, by `deadline`, and forgets it; `None` when there is none of this name.
    pub async fn remove(&self, name: &str, deadline: Deadline) -> Option<DrainReport> {
        let child = self.addr.send(Forget(name.into())).await.ok().flatten()?;
        Some(child.drain(deadline).await)
    }

    /// Stops all backends, the last one started first, and says what became of their calls.
    pub async fn shutdown(&self, deadline: Deadline) -> ShutdownReport {
        self.addr.send(Shutdown(deadline)).await.unwrap_or_default()
    }

    /// Shows all backends, in the order in which they were started.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendSnapshot> {
        self.children.borrow().iter().map(|child| child.snapshot()).collect()
    }

    /// Gives an order to a backend by name; `None` when there is none of this name.
    pub async fn order(&self, name: &str, order: Order) -> Option<Result<(), crate::control::OrderError>> {
        let child = self.children.borrow().iter().find(|child| child.name() == name).cloned()?;
        Some(child.order(order).await)
    }

    /// Returns the stream of facts of all backends.
    #[must_use]
    pub fn events(&self) -> &Arc<EventRing> {
        &self.events
    }

    /// Waits until a backend escalates, and says why; everything has been stopped by then.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the supervisor has ended".into(),
        }
    }
}

fn check_name(name: &str) -> Result<(), StartError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(StartError::BadName(name.into()));
    }
    Ok(())
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        use actix::AsyncContext;
        tokio::task::spawn_local(follow(Arc::clone(&self.events), ctx.address()));
    }
}

impl Supervised for Supervisor {}

/// Hands losses of instances to the supervisor, which acts on them between backends.
async fn follow(events: Arc<EventRing>, supervisor: Addr<Supervisor>) {
    let mut seen = 0;
    while supervisor.connected() {
        events.wait_after(seen).await;
        let replay = events.since(seen);
        for event in replay.events {
            seen = event.seq;
            if matches!(event.kind, EventKind::Panicked { .. } | EventKind::RestartLimit { .. }) {
                let _ = supervisor.send(Lost(event)).await;
            }
        }
    }
}

/// Takes a backend under supervision and starts its control actor.
struct Adopt {
    child: Arc<dyn Child>,
    start: Box<dyn FnOnce() + Send>,
}

impl Message for Adopt {
    type Result = Result<(), StartError>;
}

impl Handler<Adopt> for Supervisor {
    type Result = Result<(), StartError>;

    fn handle(&mut self, Adopt { child, start }: Adopt, _: &mut Self::Context) -> Self::Result {
        if self.children.iter().any(|present| present.name() == child.name()) {
            return Err(StartError::NameTaken(child.name().into()));
        }
        self.children.push(child);
        self.published.send_replace(self.children.clone());
        start();
        Ok(())
    }
}

struct Forget(String);
impl Message for Forget {
    type Result = Option<Arc<dyn Child>>;
}

impl Handler<Forget> for Supervisor {
    type Result = MessageResult<Forget>;

    fn handle(&mut self, Forget(name): Forget, _: &mut Self::Context) -> Self::Result {
        let position = self.children.iter().position(|child| child.name() == name);
        let child = position.map(|position| self.children.remove(position));
        self.published.send_replace(self.children.clone());
        MessageResult(child)
    }
}

struct Shutdown(Deadline);
impl Message for Shutdown {
    type Result = ShutdownReport;
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseFuture<ShutdownReport>;

    fn handle(&mut self, Shutdown(deadline): Shutdown, _: &mut Self::Context) -> Self::Result {
        let children = std::mem::take(&mut self.children);
        self.published.send_replace(Vec::new());
        Box::pin(stop_in_reverse(children, deadline))
    }
}

/// Gives each backend an equal share of the time that is left, so that one cannot use up all of it.
async fn stop_in_reverse(children: Vec<Arc<dyn Child>>, deadline: Deadline) -> ShutdownReport {
    let mut report = ShutdownReport::default();
    let mut left = u32::try_from(children.len()).unwrap_or(u32::MAX);
    for child in children.into_iter().rev() {
        let share = deadline.remaining(clock::now()) / left.max(1);
        report.backends.push(child.drain(Deadline::after(share)).await);
        left -= 1;
    }
    report
}

/// A backend lost an instance, or too many of them.
struct Lost(Arc<Event>);
impl Message for Lost {
    type Result = ();
}

impl Handler<Lost> for Supervisor {
    type Result = ();

    fn handle(&mut self, Lost(event): Lost, _: &mut Self::Context) {
        match &event.kind {
            EventKind::RestartLimit { action } if &**action == "escalate" => self.escalate(&event.backend),
            EventKind::Panicked { .. } => self.restart_others(&event.backend),
            _ => {}
        }
    }
}

/// Time that all backends together have to end after an escalation.
const ESCALATION_DRAIN: Duration = Duration::from_secs(10);

impl Supervisor {
    fn restart_others(&self, lost: &Name) {
        let Some(position) = self.children.iter().position(|child| child.name() == lost.as_str()) else {
            return;
        };
        let others = self.children.iter().enumerate().filter(|(index, _)| match self.strategy {
            Strategy::OneForOne => false,
            Strategy::OneForAll => *index != position,
            Strategy::RestForOne => *index > position,
        });
        for (_, child) in others {
            let reason = format!("{lost} lost an instance").into();
            let order = child.order(Order::Restart { reason });
            tokio::task::spawn_local(async move { drop(order.await) });
        }
    }

    fn escalate(&mut self, lost: &Name) {
        let children = std::mem::take(&mut self.children);
        self.published.send_replace(Vec::new());
        let failed = self.failed.clone();
        let reason = format!("{lost} lost too many instances and its policy escalates");
        tokio::task::spawn_local(async move {
            stop_in_reverse(children, Deadline::after(ESCALATION_DRAIN)).await;
            failed.send_replace(Some(reason));
        });
    }
}

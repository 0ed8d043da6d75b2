//! What a lane keeps: its instance, the calls under way, and its counters.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};

use backstop_core::{
    backend::Backend,
    call::{CallContext, Deadline, OpId},
    clock::{self, Instant},
    error::{CallError, Executed, Failure, FailureKind, Rejection, RejectionReason},
    event::EventKind,
    guard, local,
    planted::{self, Bug},
    policy::restart::RestartDecision,
    snapshot::PoolSnapshot,
    stats::{LaneStats, Recorder},
};
use futures_util::{FutureExt, future::FusedFuture};
use slab::Slab;
use tokio::sync::Notify;

use super::{
    InFlightCall, Inspected,
    instance::{InUse, Instance},
};
use crate::hub::{Hub, Recipe};

/// Time an instance has to be built; no network is involved, so only a mistake takes so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Time a retired instance has to close its connections.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Time between two heartbeats of a lane.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// What other threads may read of a lane.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) in_flight: AtomicUsize,
    pub(crate) incarnation: AtomicU64,
}

pub(crate) struct Core<B: Backend> {
    pub(crate) hub: Arc<Hub<B>>,
    pub(crate) number: u64,
    pub(super) recorder: Recorder,
    gauge: Arc<Gauge>,
    state: RefCell<State<B>>,
    changed: Notify,
    retry_at: Cell<Option<Instant>>,
    calls: RefCell<Slab<Entry>>,
    emptied: Notify,
    stopping: Cell<bool>,
    closing: RefCell<Vec<Rc<Instance<B>>>>,
    /// Closes that are under way.
    closers: Cell<usize>,
    housekeeping: Notify,
    /// Whether the call that was dropped last had been sent.
    pub(super) last_words: Cell<bool>,
    /// The instance whose code panicked in a drop.
    suspect: RefCell<Option<Rc<Instance<B>>>>,
}

enum State<B> {
    Empty,
    Building,
    Ready(Rc<Instance<B>>),
}

struct Entry {
    op: OpId,
    message: &'static str,
    started: Instant,
    waker: Option<Waker>,
    cancelled: bool,
}

impl<B: Backend> Core<B> {
    pub(crate) fn new(hub: Arc<Hub<B>>, number: u64, stats: Arc<LaneStats>, gauge: Arc<Gauge>) -> Rc<Self> {
        Rc::new(Self {
            hub,
            number,
            recorder: Recorder::new(stats),
            gauge,
            state: RefCell::new(State::Empty),
            changed: Notify::new(),
            retry_at: Cell::new(None),
            calls: RefCell::default(),
            emptied: Notify::new(),
            stopping: Cell::new(false),
            closing: RefCell::default(),
            closers: Cell::new(0),
            housekeeping: Notify::new(),
            last_words: Cell::new(true),
            suspect: RefCell::default(),
        })
    }

    pub(super) fn started(self: &Rc<Self>) {
        self.event(EventKind::LaneStarted { lane: self.number });
        local::spawn(Rc::clone(self).keep_house());
        self.ensure_current();
    }

    pub(super) fn stopped(&self) {
        self.event(EventKind::LaneStopped { lane: self.number });
    }

    fn event(&self, kind: EventKind) {
        self.hub.guard.events().push(self.hub.guard.name(), kind);
    }

    /// The instance for a new call, where one of the newest recipe is ready.
    pub(super) fn current(&self) -> Option<Rc<Instance<B>>> {
        if self.stopping.get() { None } else { self.ready() }
    }

    fn ready(&self) -> Option<Rc<Instance<B>>> {
        match &*self.state.borrow() {
            State::Ready(instance)
                if instance.epoch == self.hub.epoch() || planted::is(Bug::StaleInstance) =>
            {
                Some(Rc::clone(instance))
            }
            _ => None,
        }
    }

    /// Returns the instance for a new call; waits while one is being built.
    pub(super) async fn instance(self: &Rc<Self>, deadline: Deadline) -> Result<Rc<Instance<B>>, Rejection> {
        loop {
            if self.stopping.get() {
                return Err(self.hub.guard.reject(RejectionReason::Draining));
            }
            if let Some(instance) = self.ready() {
                return Ok(instance);
            }
            self.ensure_current();
            let changed = self.changed.notified();
            if tokio::time::timeout_at(deadline.instant(), changed).await.is_err() {
                let retry_at = self.retry_at.get();
                return Err(self.hub.guard.reject(RejectionReason::Restarting { retry_at }));
            }
        }
    }

    /// Builds an instance unless there is one of the newest recipe, or one is being built.
    pub(super) fn ensure_current(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        match &*state {
            State::Building => return,
            State::Ready(instance) if instance.epoch == self.hub.epoch() => return,
            State::Ready(_) if planted::is(Bug::StaleInstance) => return,
            State::Ready(_) | State::Empty => {}
        }
        let old = std::mem::replace(&mut *state, State::Building);
        drop(state);
        if let State::Ready(instance) = old {
            self.retire(instance);
        }
        local::spawn(Rc::clone(self).build(None, "first use or new recipe".into()));
    }

    /// Replaces the instance that panicked; the second panic of one instance changes nothing more.
    pub(super) fn crashed(self: &Rc<Self>, instance: &Rc<Instance<B>>, text: &str) {
        if planted::is(Bug::PanicIgnored) || instance.retired.replace(true) {
            return;
        }
        let mut state = self.state.borrow_mut();
        let current = matches!(&*state, State::Ready(ready) if Rc::ptr_eq(ready, instance));
        let old = current.then(|| std::mem::replace(&mut *state, State::Building));
        drop(state);
        let delay = self.charge(text);
        if let Some(State::Ready(old)) = old {
            self.close_when_unused(old);
            local::spawn(Rc::clone(self).build(Some(delay), text.into()));
        }
    }

    /// Remembers the instance of a call whose drop panics, until the panic is caught.
    pub(super) fn suspect(&self, instance: &Rc<Instance<B>>) {
        self.suspect.replace(Some(Rc::clone(instance)));
    }

    /// Replaces the instance of a call whose drop has panicked.
    pub(super) fn crashed_in_drop(self: &Rc<Self>, text: &str) {
        tracing::error!(text, "a call panicked while it was dropped");
        if let Some(instance) = self.suspect.take() {
            self.crashed(&instance, text);
        }
    }

    /// Charges the restart limit and returns the delay before the next instance.
    fn charge(&self, text: &str) -> Duration {
        match self.hub.guard.crashed(self.number, text) {
            RestartDecision::After(delay) => delay,
            // The breaker is open now; be ready when it probes again. While it probes, that is no time at all.
            RestartDecision::Exceeded => {
                let probe_at = self.hub.guard.next_probe_at();
                probe_at.map_or(HEARTBEAT, |at| at.saturating_duration_since(clock::now()).max(HEARTBEAT))
            }
        }
    }

    async fn build(self: Rc<Self>, mut delay: Option<Duration>, mut reason: String) {
        loop {
            if let Some(delay) = delay {
                let after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                let reason = reason.as_str().into();
                self.event(EventKind::Restarting { lane: self.number, after_ms, reason });
                self.retry_at.set(Some(clock::now() + delay));
                tokio::time::sleep(delay).await;
            }
            if self.stopping.get() {
                break;
            }
            let Some((epoch, recipe)) = self.hub.recipe() else { break };
            match self.connect(epoch, recipe).await {
                Ok(instance) if self.stopping.get() => {
                    close(&instance.backend, Deadline::after(CLOSE_WITHIN)).await;
                    break;
                }
                Ok(instance) => {
                    self.install(instance);
                    return;
                }
                Err(text) => {
                    delay = Some(self.charge(&text));
                    reason = text;
                }
            }
        }
        *self.state.borrow_mut() = State::Empty;
        self.changed.notify_waiters();
    }

    async fn connect(&self, epoch: u64, recipe: Recipe<B>) -> Result<Instance<B>, String> {
        let connecting = std::panic::AssertUnwindSafe(async move { recipe.build().await }).catch_unwind();
        let backend = match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
            Ok(Ok(Ok(backend))) => backend,
            Ok(Ok(Err(error))) => return Err(error.to_string()),
            Ok(Err(panic)) => return Err(guard::panic_text(&*panic)),
            Err(_) => return Err("the instance was not built in time".into()),
        };
        let incarnation = self.hub.guard.next_incarnation();
        Ok(Instance { backend, incarnation, epoch, retired: Cell::new(false) })
    }

    fn install(self: &Rc<Self>, instance: Instance<B>) {
        let (lane, incarnation) = (self.number, instance.incarnation);
        let first = self.gauge.incarnation.swap(incarnation, Relaxed) == 0;
        let delayed = self.retry_at.take().is_some();
        *self.state.borrow_mut() = State::Ready(Rc::new(instance));
        // The first instance of a lane that came at once replaces none.
        if delayed || !first {
            self.event(EventKind::Restarted { lane, incarnation });
        }
        self.changed.notify_waiters();
    }

    fn retire(&self, instance: Rc<Instance<B>>) {
        instance.retired.set(true);
        self.close_when_unused(instance);
    }

    /// Keeps a retired instance until no call uses it, and then has it closed.
    fn close_when_unused(&self, instance: Rc<Instance<B>>) {
        self.closing.borrow_mut().push(instance);
        self.housekeeping.notify_one();
    }

    /// A call has ended on a retired instance; it may have been the last one.
    pub(super) fn release(&self, instance: &Rc<Instance<B>>) {
        // The list holds one reference and the ending call another.
        if Rc::strong_count(instance) == 2 {
            self.housekeeping.notify_one();
        }
    }

    /// Beats the heart of the lane and closes retired instances, until the lane ends.
    async fn keep_house(self: Rc<Self>) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        // A close takes its time; the heart beats on.
        let mut closing = std::pin::pin!(futures_util::future::Fuse::terminated());
        while !self.stopping.get() {
            tokio::select! {
                biased;
                _ = beat.tick() => self.recorder.stats().beat(),
                () = &mut closing => {}
                () = self.housekeeping.notified(), if closing.is_terminated() => {
                    closing.set(self.close_retired(CLOSE_WITHIN).fuse());
                }
            }
        }
        closing.await;
    }

    async fn close_retired(&self, within: Duration) {
        let unused = |instance: &mut Rc<Instance<B>>| Rc::strong_count(instance) == 1;
        let retired: Vec<_> = self.closing.borrow_mut().extract_if(.., unused).collect();
        self.closers.set(self.closers.get() + retired.len());
        let deadline = Deadline::after(within);
        let closes = retired.iter().map(|instance| async move {
            close(&instance.backend, deadline).await;
            self.closers.set(self.closers.get() - 1);
        });
        futures_util::future::join_all(closes).await;
        self.emptied.notify_waiters();
    }

    /// Runs a call until it ends or the lane is stopped.
    pub(super) async fn until_stopped<R>(
        &self,
        mut run: Pin<&mut impl Future<Output = Result<R, CallError>>>,
        call: &CallContext,
    ) -> Result<R, CallError> {
        std::future::poll_fn(|cx| match run.as_mut().poll(cx) {
            Poll::Pending if self.stopping.get() && !planted::is(Bug::DrainSilent) => {
                Poll::Ready(Err(self.abandoned(call)))
            }
            poll => poll,
        })
        .await
    }

    fn abandoned(&self, call: &CallContext) -> CallError {
        if !call.was_ever_sent() {
            return self.hub.guard.reject(RejectionReason::Draining).into();
        }
        let failure = Failure::new(FailureKind::Cancelled, "given up when the backend was stopped")
            .executed_is(Executed::Unknown)
            .in_phase(call.phase());
        self.hub.guard.stamped(failure).into()
    }

    /// Ends the lane: gives up what is under way, closes the instance, and counts the calls given up.
    pub(super) async fn stop(self: Rc<Self>, deadline: Deadline) -> usize {
        self.stopping.set(true);
        self.changed.notify_waiters();
        self.housekeeping.notify_one();
        let abandoned = self.calls.borrow().len();
        let wakers: Vec<_> =
            self.calls.borrow_mut().iter_mut().filter_map(|(_, call)| call.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
        self.wait_until(deadline, || self.calls.borrow().is_empty()).await;
        let old = std::mem::replace(&mut *self.state.borrow_mut(), State::Empty);
        if let State::Ready(instance) = old {
            close(&instance.backend, deadline).await;
        }
        self.close_retired(deadline.remaining(clock::now())).await;
        self.wait_until(deadline, || self.closers.get() == 0).await;
        abandoned
    }

    /// Waits for calls or closes to end, at the longest until `deadline`.
    async fn wait_until(&self, deadline: Deadline, done: impl Fn() -> bool) {
        loop {
            let emptied = self.emptied.notified();
            if done() || tokio::time::timeout_at(deadline.instant(), emptied).await.is_err() {
                return;
            }
        }
    }

    /// Asks the instance for a sign of life, past all policies.
    pub(super) async fn probe(self: Rc<Self>, deadline: Deadline) -> Result<(), CallError> {
        let instance = self.instance(deadline).await?;
        let using = InUse::new(&self, instance);
        let instance = using.get();
        let call = CallContext::new(OpId::next(), deadline);
        let result = self.hub.guard.probe(&instance.backend, &call).await;
        if let Err(error) = &result
            && guard::is_crash(error)
        {
            self.crashed(instance, error.as_failure().map_or("", Failure::message));
        }
        result
    }

    pub(super) fn register(&self, op: OpId, message: &'static str, started: Instant) -> usize {
        self.gauge.in_flight.fetch_add(1, Relaxed);
        let entry = Entry { op, message, started, waker: None, cancelled: false };
        self.calls.borrow_mut().insert(entry)
    }

    pub(super) fn deregister(&self, key: usize) {
        self.gauge.in_flight.fetch_sub(1, Relaxed);
        let mut calls = self.calls.borrow_mut();
        calls.try_remove(key);
        if calls.is_empty() && self.stopping.get() {
            self.emptied.notify_waiters();
        }
    }

    pub(super) fn set_waker(&self, key: usize, waker: &Waker) {
        if let Some(entry) = self.calls.borrow_mut().get_mut(key) {
            match &mut entry.waker {
                Some(present) => present.clone_from(waker),
                empty => *empty = Some(waker.clone()),
            }
        }
    }

    pub(super) fn is_cancelled(&self, key: usize) -> bool {
        self.calls.borrow().get(key).is_some_and(|entry| entry.cancelled)
    }

    pub(super) fn cancel(&self, op: OpId) -> bool {
        let waker = {
            let mut calls = self.calls.borrow_mut();
            let Some((_, entry)) = calls.iter_mut().find(|(_, entry)| entry.op == op) else { return false };
            entry.cancelled = true;
            entry.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
        true
    }

    pub(super) fn inspect(&self) -> Inspected {
        let pool = match &*self.state.borrow() {
            State::Ready(instance) => instance.backend.pool(),
            _ => PoolSnapshot::default(),
        };
        let now = clock::now();
        let lane = self.number;
        let show = |entry: &Entry| {
            let age = now.saturating_duration_since(entry.started).as_millis();
            let age_ms = u64::try_from(age).unwrap_or(u64::MAX);
            InFlightCall { op: entry.op, message: entry.message, lane, age_ms }
        };
        Inspected { pool, calls: self.calls.borrow().iter().map(|(_, entry)| show(entry)).collect() }
    }
}

/// Closes an instance by `deadline`; a panic in there ends nothing but the close.
async fn close<B: Backend>(backend: &B, deadline: Deadline) {
    let closing = std::panic::AssertUnwindSafe(async { backend.close(deadline).await }).catch_unwind();
    if !matches!(tokio::time::timeout_at(deadline.instant(), closing).await, Ok(Ok(()))) {
        tracing::warn!(kind = B::KIND, "an instance did not close in time, or panicked while it closed");
    }
}

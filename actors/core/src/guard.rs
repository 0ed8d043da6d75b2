//! Takes one call through the policies in a fixed order; the only asynchronous part of the policies.
//!
//! ```text
//! admit    breaker peek → intake                                   refused calls end here, at once
//! run      cache / coalesce → per attempt: concurrency place → breaker permit → rate limiter →
//!          serve under the attempt's deadline → outcome, read by breaker, limiter, budget and retry alike
//! ```
//! One guard belongs to one backend and is shared by all of its lanes. What it holds is shared state: an
//! atomic, or a lock that is held for a few nanoseconds and never across an await.

mod attempt;
mod breaker;
mod hot;
mod intake;
mod limit;
mod orders;
mod probe;
mod sharing;
mod slow;
mod stale;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;

pub use self::{
    attempt::panic_text,
    intake::{Admission, Ticket},
    probe::ProbePass,
    slow::SlowCall,
};
use self::{breaker::Breaker, hot::Hot, intake::Intake, limit::Limit, slow::SlowCalls};
use crate::{
    backend::Serve,
    call::{CallContext, Deadline},
    clock::{self, Instant},
    error::{CallError, ConfigError, Failure, FailureKind, Rejection, RejectionReason},
    event::{EventKind, EventRing},
    message::{Class, Message},
    name::Name,
    planted::{self, Bug},
    policy::{
        Policy,
        budget::RetryBudget,
        cache::{Cache, CacheSnapshot},
        circuit_breaker::{BreakerSnapshot, Transition},
        coalesce::Flights,
        rate_limiter::{ClientLimiter, RateLimiter},
        restart::{RestartDecision, RestartWindow},
    },
};

/// The policies of one backend, at work.
pub struct Guard {
    name: Name,
    policy: ArcSwap<Policy>,
    hot: Hot,
    events: Arc<EventRing>,
    intake: Intake,
    breaker: Breaker,
    limit: Limit,
    has_rate: AtomicBool,
    has_client_rate: AtomicBool,
    rate: Mutex<Option<RateLimiter>>,
    client_rate: Mutex<Option<ClientLimiter>>,
    budget: RetryBudget,
    flights: Flights,
    cache: Cache,
    crashes: Mutex<RestartWindow>,
    slow: SlowCalls,
    rng: Mutex<fastrand::Rng>,
    incarnations: AtomicU64,
    retries: AtomicU64,
    watcher: OnceLock<Watcher>,
}

/// Hears of breaker transitions right after they happened, on the thread that caused them.
pub type Watcher = Box<dyn Fn(&Transition) + Send + Sync>;

/// A view of the policies of one backend.
#[derive(Clone, Debug, Serialize)]
pub struct GuardSnapshot {
    /// Whether new calls are taken.
    pub admission: Admission,
    /// Calls that were admitted and have not ended.
    pub in_flight: usize,
    /// Calls that were ever asked for.
    pub asked_total: u64,
    /// Calls that were refused at the door.
    pub refused_total: u64,
    /// Admitted calls whose caller went away before they ended.
    pub abandoned_total: u64,
    /// Attempts after the first.
    pub retries_total: u64,
    /// Instances built so far.
    pub incarnations: u64,
    /// Instances lost within the restart window.
    pub restarts_in_window: usize,
    /// The circuit breaker.
    pub breaker: BreakerSnapshot,
    /// The answers that are kept in this process.
    pub cache: CacheSnapshot,
}

impl Guard {
    /// Puts the policies of `name` to work.
    ///
    /// # Errors
    /// Names the setting that cannot work.
    pub fn new(name: Name, policy: Policy, events: Arc<EventRing>) -> Result<Arc<Self>, ConfigError> {
        policy.validate().map_err(|error| error.within(name.as_str()))?;
        let mut rng = policy.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let now = clock::now();
        Ok(Arc::new(Self {
            intake: Intake::new(policy.intake),
            breaker: Breaker::new(name.clone(), policy.breaker.clone(), rng.u64(..), now),
            limit: Limit::new(policy.concurrency, &policy.queue),
            has_rate: AtomicBool::new(policy.rate.is_some()),
            has_client_rate: AtomicBool::new(policy.client_rate.is_some()),
            rate: Mutex::new(policy.rate.as_ref().map(|rate| RateLimiter::new(rate.clone()))),
            client_rate: Mutex::new(policy.client_rate.as_ref().map(|rate| ClientLimiter::new(rate.clone()))),
            budget: RetryBudget::new(policy.retry.budget.clone(), now),
            flights: Flights::new(policy.cache.followers_max),
            cache: Cache::new(policy.cache.clone(), rng.u64(..)),
            crashes: Mutex::new(RestartWindow::new(policy.restart.clone())),
            slow: SlowCalls::new(policy.slow_calls),
            rng: Mutex::new(rng),
            incarnations: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            watcher: OnceLock::new(),
            hot: Hot::new(&policy),
            policy: ArcSwap::from_pointee(policy),
            name,
            events,
        }))
    }

    /// Names the backend.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Returns the stream of facts.
    #[must_use]
    pub fn events(&self) -> &Arc<EventRing> {
        &self.events
    }

    /// Lets `watcher` hear of breaker transitions; only the first one is kept.
    ///
    /// Whoever watches keeps the breaker's time: it calls [`Self::tick`] after each transition and whenever that
    /// says so, until [`Self::unwatch`]. Refusals then need no look at the clock, except about each sixty-fourth, in case
    /// the tick is late.
    pub fn watch(&self, watcher: Watcher) {
        if self.watcher.set(watcher).is_ok() {
            self.breaker.set_timed(true);
        }
    }

    /// Says that nobody keeps the breaker's time any more; the watcher goes on hearing of transitions.
    pub fn unwatch(&self) {
        self.breaker.set_timed(false);
    }

    /// Computes the deadline of a call that asks for `timeout`, or for the default.
    #[inline]
    #[must_use]
    pub fn deadline(&self, timeout: Option<std::time::Duration>, now: Instant) -> Deadline {
        Deadline::at(now + self.hot.timeout(timeout))
    }

    /// Lets a call in, or refuses it at once; never waits.
    ///
    /// # Errors
    /// `CircuitOpen`, `Full`, `Draining` or `Stopped`.
    #[inline]
    pub fn admit(self: &Arc<Self>) -> Result<Ticket, Rejection> {
        if let Err(open) = self.breaker.peek(|| self.intake.refused_total()) {
            self.intake.refused();
            return Err(open);
        }
        self.intake.enter(self).map_err(|reason| self.reject(reason))
    }

    /// Makes a rejection in the name of this backend.
    #[must_use]
    pub fn reject(&self, reason: RejectionReason) -> Rejection {
        Rejection::new(self.name.clone(), reason)
    }

    /// Serves one admitted message: from the cache, from an equal call under way, or by the backend.
    ///
    /// # Errors
    /// A rejection when nothing was sent, a failure otherwise; see [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping it cancels the call: every permit and place is given back, and the breaker counts nothing.
    pub async fn run<B, M>(
        &self,
        backend: &B,
        message: &M,
        call: &CallContext,
        class: Class,
    ) -> Result<M::Reply, CallError>
    where
        B: Serve<M>,
        M: Message,
    {
        match message.sharing() {
            None => {
                let stale = stale::Stale::after(self, message);
                let result = self.attempts(backend, message, call, class).await;
                stale.ended(&result);
                result
            }
            // Boxed, so that messages without sharing carry no room for it.
            Some(sharing) => Box::pin(self.shared(backend, message, call, class, sharing)).await,
        }
    }

    /// Reserves the next incarnation number for a new instance.
    #[must_use]
    pub fn next_incarnation(&self) -> u64 {
        self.incarnations.fetch_add(1, Relaxed) + 1
    }

    /// Charges the restart limit with one lost instance, and says when the next one may be built.
    ///
    /// When the limit is passed and the policy says `trip`, the breaker is opened; it tries again after its
    /// growing open time.
    pub fn crashed(&self, lane: u64, message: &str) -> RestartDecision {
        let now = clock::now();
        let decision = self.crashes.lock().crashed(now, &mut self.rng.lock());
        self.events.push(&self.name, EventKind::Panicked { lane, message: message.into() });
        if matches!(decision, RestartDecision::Exceeded) {
            let action = self.policy.load().restart.on_exceeded;
            self.events.push(&self.name, EventKind::RestartLimit { action: action.as_str().into() });
            self.trip("restart limit exceeded", None);
        }
        decision
    }

    /// Asks the backend for a sign of life, past breaker, intake and limits.
    ///
    /// # Errors
    /// As a call would see it.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn probe<B: crate::backend::Backend>(
        &self,
        backend: &B,
        call: &CallContext,
    ) -> Result<(), CallError> {
        call.begin_attempt(None);
        let served = {
            let probe = std::pin::pin!(async { backend.probe(call).await });
            attempt::contained(probe, call, call.call_deadline().instant()).await
        };
        served.unwrap_or_else(|| Err(attempt::timed_out(call))).map_err(|failure| self.stamp(failure, call))
    }

    /// Changes settings while calls are under way; window, state and counts are kept.
    ///
    /// # Errors
    /// Names the setting that cannot work; nothing changes then.
    pub fn reconfigure(&self, policy: Policy) -> Result<(), ConfigError> {
        policy.validate().map_err(|error| error.within(self.name.as_str()))?;
        let now = clock::now();
        self.intake.set_limit(policy.intake);
        self.limit.set_limit(policy.concurrency, &policy.queue);
        self.on_breaker(|machine| machine.reconfigure(policy.breaker.clone(), now));
        self.has_rate.store(policy.rate.is_some(), Relaxed);
        self.has_client_rate.store(policy.client_rate.is_some(), Relaxed);
        // A limiter that stays keeps what it has let through, or a change of settings would allow a burst.
        let mut rate = self.rate.lock();
        *rate = policy.rate.clone().map(|policy| match rate.take() {
            Some(mut rate) => {
                rate.set_policy(policy);
                rate
            }
            None => RateLimiter::new(policy),
        });
        drop(rate);
        let mut rate = self.client_rate.lock();
        *rate = policy.client_rate.clone().map(|policy| match rate.take() {
            Some(mut rate) => {
                rate.set_policy(policy);
                rate
            }
            None => ClientLimiter::new(policy),
        });
        drop(rate);
        self.budget.set_policy(policy.retry.budget.clone());
        self.cache.set_max_entries(policy.cache.max_entries);
        self.crashes.lock().set_policy(policy.restart.clone());
        self.hot.set(&policy);
        self.policy.store(Arc::new(policy));
        self.events.push(&self.name, EventKind::Reconfigured);
        Ok(())
    }

    /// Takes new calls, or refuses them while it drains or has stopped.
    pub fn set_admission(&self, admission: Admission) {
        self.intake.set_admission(admission);
    }

    /// Says whether new calls are taken.
    #[must_use]
    pub fn admission(&self) -> Admission {
        self.intake.admission()
    }

    /// Counts the calls that were admitted and have not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.intake.in_flight()
    }

    /// Waits until no admitted call is under way.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn idle(&self) {
        self.intake.idle().await;
    }

    /// Drops every cached answer that carries `tag`.
    pub fn invalidate_tag(&self, tag: &str) {
        self.cache.invalidate_tag(tag);
    }

    /// Returns the slowest calls of late, newest first.
    #[must_use]
    pub fn slow_calls(&self, limit: usize) -> Vec<SlowCall> {
        self.slow.list(limit)
    }

    /// Remembers a call that took longer than the breaker's slow threshold.
    #[inline]
    pub fn note_slow(
        &self,
        message: &'static str,
        call: &CallContext,
        elapsed: std::time::Duration,
        ok: bool,
    ) {
        if self.hot.is_slow(elapsed) {
            self.slow.push(SlowCall::new(message, call, elapsed, ok));
        }
    }

    /// Shows the state of the policies.
    #[must_use]
    pub fn snapshot(&self) -> GuardSnapshot {
        let now = clock::now();
        GuardSnapshot {
            admission: self.intake.admission(),
            in_flight: self.intake.in_flight(),
            asked_total: self.intake.asked(),
            refused_total: self.intake.refused_total(),
            abandoned_total: self.intake.abandoned(),
            retries_total: self.retries.load(Relaxed),
            incarnations: self.incarnations.load(Relaxed),
            restarts_in_window: self.crashes.lock().restarts_in_window(now),
            breaker: self.read_breaker(|machine| machine.snapshot(now)),
            cache: self.cache.snapshot(),
        }
    }

    /// Puts the backend's name on a failure that was made outside of an attempt.
    #[must_use]
    pub fn stamped(&self, failure: Failure) -> Failure {
        let attempts = failure.attempts();
        failure.stamped(&self.name, attempts)
    }

    fn stamp(&self, failure: Failure, call: &CallContext) -> CallError {
        CallError::Failed(failure.stamped(&self.name, call.attempt()))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Says whether an error is the panic of a backend, which costs its instance.
#[must_use]
pub fn is_crash(error: &CallError) -> bool {
    let outage = planted::is(Bug::OutageIsCrash).then_some(FailureKind::Unavailable);
    error
        .as_failure()
        .is_some_and(|failure| failure.kind() == FailureKind::Panicked || Some(failure.kind()) == outage)
}

#[cfg(test)]
mod tests;

//! One attempt after the other, until there is an answer or a reason to stop.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::atomic::Ordering::Relaxed,
    task::Poll,
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Sleep, sleep_until},
};

use super::Guard;
use crate::{
    backend::Serve,
    call::{CallContext, Deadline},
    clock::{self, Instant},
    error::{CallError, Executed, Failure, FailureKind, Phase, RejectionReason},
    message::{Class, Message},
    outcome::Outcome,
    planted::{self, Bug},
    policy::{
        circuit_breaker::{BreakerState, Permit},
        rate_limiter::RateLimited,
        retry::Decision,
    },
};

impl Guard {
    /// Sends the message, and sends it again where class, outcome, budget and deadline allow.
    pub(super) async fn attempts<B, M>(
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
        self.budget.deposit(call.started());
        let mut earlier: Option<Failure> = None;
        loop {
            let failure = match self.attempt(backend, message, call).await {
                Ok(reply) => return Ok(reply),
                // What an earlier attempt may have done outweighs our refusal to make another one.
                Err(CallError::Rejected(rejection)) => {
                    return Err(earlier.map_or(CallError::Rejected(rejection), CallError::Failed));
                }
                Err(CallError::Failed(failure)) => after(earlier.as_ref(), failure),
            };
            let Some(delay) = self.retry_delay(class, &failure, call) else {
                return Err(CallError::Failed(failure));
            };
            // No place and no permit is held while it waits.
            Box::pin(tokio::time::sleep(delay)).await;
            self.retries.fetch_add(1, Relaxed);
            earlier = Some(failure);
        }
    }

    async fn attempt<B, M>(&self, backend: &B, message: &M, call: &CallContext) -> Result<M::Reply, CallError>
    where
        B: Serve<M>,
        M: Message,
    {
        let mut now = clock::now();
        if call.call_deadline().is_past(now) {
            return Err(self.reject(RejectionReason::Expired).into());
        }
        let attempt_timeout = self.hot.attempt_timeout();
        call.begin_attempt(attempt_timeout.map(|timeout| Deadline::at(now + timeout)));
        let place = match self.limit.try_acquire() {
            Some(place) => place,
            None => {
                // What only some calls need is boxed, so that the others carry no room for it.
                let place = Box::pin(self.limit.acquire(call.deadline(), now)).await;
                now = clock::now();
                place.map_err(|reason| self.reject(reason))?
            }
        };
        let pass = self.pass(now)?;
        if self.has_rate.load(Relaxed) || self.has_client_rate.load(Relaxed) {
            now = Box::pin(self.wait_for_send(call, now)).await?;
        }

        call.note_serve(now);
        let until = call.deadline().instant() + B::SETTLE;
        // The block ends the backend's future before `timed_out` asks what was sent: its drop guards speak first.
        let served = {
            let serve = pin!(async { backend.serve(message, call).await });
            contained(serve, call, until).await
        };
        let ended = clock::now();
        call.note_end(ended);
        drop(place);

        let result = served.unwrap_or_else(|| Err(timed_out(call)));
        let elapsed = ended.saturating_duration_since(now);
        match &result {
            Ok(_) => pass.record(Outcome::Success, elapsed, ended, None, None),
            Err(failure) => {
                let text = failure.outcome().is_bad().then(|| failure.to_string());
                pass.record(failure.outcome(), elapsed, ended, failure.retry_after(), text.as_deref());
            }
        }
        result.map_err(|failure| self.stamp(failure, call))
    }

    /// Takes the right to make one attempt.
    fn pass(&self, now: Instant) -> Result<Pass<'_>, CallError> {
        let (permit, transitions) = self.breaker.acquire(now);
        self.announce(transitions);
        let permit = permit.map_err(|info| self.reject(RejectionReason::CircuitOpen(info)))?;
        Ok(Pass { guard: self, permit: Some(permit) })
    }

    /// Waits for the next places of the rate limits; returns the time at which the send may leave.
    async fn wait_for_send(&self, call: &CallContext, mut now: Instant) -> Result<Instant, CallError> {
        let latest = call.deadline().instant();
        let refused = |limited: RateLimited| {
            CallError::from(self.reject(RejectionReason::RateLimited { retry_at: limited.retry_at }))
        };
        // The client waits first, so that its place in the backend's own limit is not taken long before.
        if let Some(client) = call.client()
            && self.has_client_rate.load(Relaxed)
        {
            let reserved = self.client_rate.lock().as_mut().map(|rate| rate.reserve(client, now, latest));
            if let Some(go_at) = reserved {
                let unused = |at| {
                    self.client_rate.lock().iter_mut().for_each(|r| r.give_back(client, at, clock::now()))
                };
                now = send_at(go_at.map_err(refused)?, now, unused).await;
            }
        }
        if self.has_rate.load(Relaxed) {
            let reserved = self.rate.lock().as_mut().map(|rate| rate.reserve(now, latest));
            if let Some(go_at) = reserved {
                let unused =
                    |at| self.rate.lock().iter_mut().for_each(|rate| rate.give_back(at, clock::now()));
                now = send_at(go_at.map_err(refused)?, now, unused).await;
            }
        }
        Ok(now)
    }

    /// Says how long to wait before the next attempt; `None` ends the call.
    fn retry_delay(&self, class: Class, failure: &Failure, call: &CallContext) -> Option<Duration> {
        let now = call.ended().unwrap_or_else(clock::now);
        let closed = self.breaker.state() == BreakerState::Closed;
        let remaining = call.call_deadline().remaining(now);
        let policy = self.policy.load();
        let decision =
            policy.retry.decide(class, failure, call.attempt(), closed, remaining, &mut self.rng.lock());
        match decision {
            Decision::RetryAfter(delay) => self.budget.try_withdraw(now).then_some(delay),
            Decision::GiveUp(_) => None,
        }
    }
}

/// The right to make one attempt; dropped unused, it leaves no trace.
struct Pass<'a> {
    guard: &'a Guard,
    permit: Option<Permit>,
}

impl Pass<'_> {
    fn record(
        mut self,
        outcome: Outcome,
        elapsed: Duration,
        now: Instant,
        hint: Option<Duration>,
        error: Option<&str>,
    ) {
        let outcome = if planted::is(Bug::BreakerBlind) { Outcome::Success } else { outcome };
        if let Some(permit) = self.permit.take() {
            let guard = self.guard;
            guard.announce(guard.breaker.record(permit, outcome, elapsed, now, hint, error));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.guard.on_breaker(|machine| machine.release(permit, clock::now()));
        }
    }
}

/// Waits for a reserved place; gives it back through `unused` when the caller goes away before.
async fn send_at(go_at: Instant, now: Instant, unused: impl FnMut(Instant)) -> Instant {
    if go_at <= now {
        return now;
    }
    let mut reserved = Reserved { at: Some(go_at), unused };
    tokio::time::sleep_until(go_at).await;
    reserved.at = None;
    clock::now()
}

struct Reserved<F: FnMut(Instant)> {
    at: Option<Instant>,
    unused: F,
}

impl<F: FnMut(Instant)> Drop for Reserved<F> {
    fn drop(&mut self) {
        self.at.take().map(&mut self.unused);
    }
}

/// What is known after a failure that followed an earlier one: doubt about the earlier one remains.
fn after(earlier: Option<&Failure>, failure: Failure) -> Failure {
    let doubt = earlier.is_some_and(|earlier| earlier.executed() == Executed::Unknown);
    if doubt && failure.executed() == Executed::No { failure.executed_is(Executed::Unknown) } else { failure }
}

/// Runs the backend's code until `until`; a panic becomes a failure, a passed deadline `None`.
///
/// The timer is made once the code waits; what is ready at once needs none. Nothing is polled again after its
/// end: the result ends the wait.
pub(super) async fn contained<T>(
    mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    call: &CallContext,
    until: Instant,
) -> Option<Result<T, Failure>> {
    let mut late = pin!(None::<Sleep>);
    poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Ready(result)) => return Poll::Ready(Some(result)),
            Err(panic) => return Poll::Ready(Some(Err(panicked(&*panic, call)))),
            Ok(Poll::Pending) => {}
        }
        if late.is_none() {
            late.set(Some(sleep_until(until)));
        }
        match late.as_mut().as_pin_mut() {
            // Outside of tokio's budget, which the code may have used up: its deadline must count all the same.
            Some(late) => pin!(unconstrained(late)).poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

fn panicked(panic: &(dyn Any + Send), call: &CallContext) -> Failure {
    let executed = if call.was_sent() { Executed::Unknown } else { Executed::No };
    Failure::new(FailureKind::Panicked, panic_text(panic)).executed_is(executed).in_phase(call.phase())
}

/// Returns the text of a panic.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
        .into()
}

/// The failure of an attempt whose deadline passed; the backend's future is gone by now.
pub(super) fn timed_out(call: &CallContext) -> Failure {
    let phase = call.phase();
    let (kind, text) = match phase {
        Phase::Acquire => (FailureKind::Exhausted, "no connection became free before the deadline"),
        Phase::Connect => (FailureKind::Timeout, "no connection could be opened before the deadline"),
        _ => (FailureKind::Timeout, "no answer before the deadline"),
    };
    let sent = call.was_sent() && !planted::is(Bug::TimeoutSaysNo);
    let executed = if sent { Executed::Unknown } else { Executed::No };
    Failure::new(kind, text).in_phase(phase).executed_is(executed)
}

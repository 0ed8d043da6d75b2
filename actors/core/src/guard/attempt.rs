//! One attempt after the other, until there is an answer or a reason to stop.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, sync::atomic::Ordering::Relaxed};

use futures_util::FutureExt;

use super::Guard;
use crate::{
    backend::Serve,
    call::{CallContext, Deadline},
    clock::{self, Instant},
    error::{CallError, Executed, Failure, FailureKind, Phase, RejectionReason},
    message::{Class, Message},
    outcome::Outcome,
    policy::{circuit_breaker::BreakerState, retry::Decision},
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
            tokio::time::sleep(delay).await;
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
        let attempt_timeout = self.policy.load().attempt_timeout;
        call.begin_attempt(attempt_timeout.map(|timeout| Deadline::at(now + timeout)));
        let place = match self.limit.try_acquire() {
            Some(place) => place,
            None => {
                let place = self.limit.acquire(call.deadline(), now).await;
                now = clock::now();
                place.map_err(|reason| self.reject(reason))?
            }
        };
        let (pass, transition) = self.breaker.acquire(now);
        self.announce(transition);
        let pass = pass.map_err(|info| self.reject(RejectionReason::CircuitOpen(info)))?;
        if let Some(go_at) = self.reserve_send(call, now)? {
            tokio::time::sleep_until(go_at).await;
            now = clock::now();
        }

        let until = call.deadline().instant() + B::SETTLE;
        let served = contained(async { backend.serve(message, call).await }, call, until).await;
        let ended = clock::now();
        call.note_end(ended);
        drop(place);

        let result = served.unwrap_or_else(|| Err(timed_out(call)));
        let elapsed = ended.saturating_duration_since(now);
        let transition = match &result {
            Ok(_) => pass.record(Outcome::Success, elapsed, ended, None, None),
            Err(failure) => {
                let text = failure.outcome().is_bad().then(|| failure.to_string());
                pass.record(failure.outcome(), elapsed, ended, failure.retry_after(), text.as_deref())
            }
        };
        self.announce(transition);
        result.map_err(|failure| self.stamp(failure, call))
    }

    /// Takes the next places of the rate limits; `Some` says when the send may leave.
    fn reserve_send(&self, call: &CallContext, now: Instant) -> Result<Option<Instant>, CallError> {
        let latest = call.deadline().instant();
        let refused = |retry_at| CallError::from(self.reject(RejectionReason::RateLimited { retry_at }));
        let mut go_at = now;
        if let Some(client) = call.client()
            && let Some(limiter) = self.client_rate.lock().as_mut()
        {
            go_at = limiter.reserve(client, now, latest).map_err(|refusal| refused(refusal.retry_at))?;
        }
        if self.has_rate.load(Relaxed)
            && let Some(limiter) = self.rate.lock().as_mut()
        {
            go_at = limiter.reserve(go_at, latest).map_err(|refusal| refused(refusal.retry_at))?;
        }
        Ok((go_at > now).then_some(go_at))
    }

    /// Says how long to wait before the next attempt; `None` ends the call.
    fn retry_delay(&self, class: Class, failure: &Failure, call: &CallContext) -> Option<std::time::Duration> {
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

/// What is known after a failure that followed an earlier one: doubt about the earlier one remains.
fn after(earlier: Option<&Failure>, failure: Failure) -> Failure {
    let doubt = earlier.is_some_and(|earlier| earlier.executed() == Executed::Unknown);
    if doubt && failure.executed() == Executed::No { failure.executed_is(Executed::Unknown) } else { failure }
}

/// Runs the backend's code until `until`; a panic becomes a failure, a passed deadline `None`.
pub(super) async fn contained<T>(
    work: impl Future<Output = Result<T, Failure>>,
    call: &CallContext,
    until: Instant,
) -> Option<Result<T, Failure>> {
    match tokio::time::timeout_at(until, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => Some(result),
        Ok(Err(panic)) => Some(Err(panicked(&*panic, call))),
        Err(_) => None,
    }
}

fn panicked(panic: &(dyn Any + Send), call: &CallContext) -> Failure {
    let executed = if call.was_sent() { Executed::Unknown } else { Executed::No };
    Failure::new(FailureKind::Panicked, panic_text(panic)).executed_is(executed).in_phase(call.phase())
}

/// Returns the text of a panic.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text").into()
}

/// The failure of an attempt whose deadline passed; the backend's future is gone by now.
pub(super) fn timed_out(call: &CallContext) -> Failure {
    let phase = call.phase();
    let (kind, text) = match phase {
        Phase::Acquire => (FailureKind::Exhausted, "no connection became free before the deadline"),
        Phase::Connect => (FailureKind::Timeout, "no connection could be opened before the deadline"),
        _ => (FailureKind::Timeout, "no answer before the deadline"),
    };
    let executed = if call.was_sent() { Executed::Unknown } else { Executed::No };
    Failure::new(kind, text).in_phase(phase).executed_is(executed)
}

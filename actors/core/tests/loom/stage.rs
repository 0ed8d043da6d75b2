//! One guard and a backend that answers at once.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline, OpId},
    error::{CallError, Failure},
    event::EventRing,
    guard::Guard,
    message::{Class, Message},
    name::Name,
    policy::{Policy, cache::CachePolicy, retry::RetryPolicy},
};
use loom::future::block_on;

/// Longer than any run.
pub(crate) const LONG: Duration = Duration::from_secs(100_000);

/// Explores `threads`; how deep, the environment may say.
pub(crate) fn explore(threads: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(3));
    model.check(threads);
}

/// One failure opens the breaker; nothing is sent twice, and nothing is large, since each order builds it anew.
pub(crate) fn guard(intake: usize) -> Arc<Guard> {
    let mut policy = Policy::default().seed(1).intake(intake);
    policy.retry = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
    policy.cache = CachePolicy { max_entries: 1, tag_slots: 1, followers_max: 0 };
    policy.breaker.consecutive_failures = 1;
    policy.breaker.open_for = LONG;
    policy.breaker.open_max = LONG;
    Guard::new(Name::from("backend"), policy, Arc::new(EventRing::new(8))).unwrap()
}

/// Somebody keeps the time.
pub(crate) fn watched() -> Arc<Guard> {
    let guard = guard(4);
    guard.watch(Box::new(|_| {}));
    guard
}

pub(crate) struct Echo;

/// Is answered, or fails.
pub(crate) struct Ask {
    pub(crate) fails: bool,
}

impl Message for Ask {
    type Reply = ();
    const NAME: &'static str = "ask";

    fn class(&self) -> Class {
        Class::Read
    }
}

impl Backend for Echo {
    const KIND: &'static str = "echo";

    async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(&self, _: Deadline) {}
}

impl Serve<Ask> for Echo {
    async fn serve(&self, ask: &Ask, call: &CallContext) -> Result<(), Failure> {
        call.sending();
        if ask.fails { Err(Failure::unavailable("planned")) } else { Ok(()) }
    }
}

/// Goes the whole way of a call: door, breaker, backend, result.
pub(crate) fn call(guard: &Arc<Guard>, fails: bool) -> Result<(), CallError> {
    let ticket = guard.admit()?;
    let context = CallContext::new(OpId::next(), Deadline::after(LONG));
    let result = block_on(guard.run(&Echo, &Ask { fails }, &context, Class::Read));
    ticket.settle();
    result
}

/// Whether the breaker refuses a call, at the door or behind it.
pub(crate) fn refused(guard: &Arc<Guard>) -> bool {
    call(guard, false).is_err_and(|error| error.code() == "circuit_open")
}

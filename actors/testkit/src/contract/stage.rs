//! Hosts a subject for one check.

use std::{future::Future, io::Write as _, time::Duration};

use backstop_core::{
    call::Deadline,
    clock,
    event::EventKind,
    policy::{Policy, retry::RetryPolicy},
};
use backstop_supervisor::SupervisorRef;
use tokio::task::LocalSet;

use super::{Ability, ContractSubject, Ref};
use crate::sim;

/// Time enough for anything that is not meant to be late.
pub(super) const AMPLE: Duration = Duration::from_secs(5);

/// What a machine with other work to do may add to a duration on real time.
const NOISE: Duration = Duration::from_millis(250);

pub(super) struct Stage<S: ContractSubject> {
    pub(super) subject: S,
    pub(super) supervisor: SupervisorRef,
    pub(super) backend: Ref<S>,
}

/// Runs a check on a runtime of its own.
pub(super) fn run<S: ContractSubject, F: Future<Output = ()>>(check: impl FnOnce(S) -> F) {
    let test = async move { check(S::start().await).await };
    if S::VIRTUAL {
        return sim::run(test);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

/// Runs a check against a hosted backend without retries, and stops it afterwards.
pub(super) fn host<S: ContractSubject, F: Future<Output = Stage<S>>>(check: impl FnOnce(Stage<S>) -> F) {
    host_with(policy(), check);
}

pub(super) fn host_with<S, F>(policy: Policy, check: impl FnOnce(Stage<S>) -> F)
where
    S: ContractSubject,
    F: Future<Output = Stage<S>>,
{
    run(async move |subject: S| {
        let supervisor = sim::supervisor();
        let backend =
            supervisor.add("subject", subject.connect(), policy).await.expect("a recipe that works");
        let stage = check(Stage { subject, supervisor, backend }).await;
        stage.supervisor.shutdown(Deadline::after(AMPLE)).await;
    });
}

pub(super) fn policy() -> Policy {
    Policy::default().retry(RetryPolicy { max_retries: 0, ..RetryPolicy::default() })
}

impl<S: ContractSubject> Stage<S> {
    /// Waits until `done`; the condition is looked at, not guessed by a sleep.
    pub(super) async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let given_up = clock::now() + AMPLE * 2;
        while !done().await {
            assert!(clock::now() < given_up, "waited for {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Instances that were lost to a panic.
    pub(super) fn crashes(&self) -> usize {
        let events = self.backend.events().since(0).events;
        events.iter().filter(|event| matches!(event.kind, EventKind::Panicked { .. })).count()
    }
}

/// The latest end of a call with this timeout.
pub(super) fn latest<S: ContractSubject>(timeout: Duration) -> Duration {
    let noise = if S::VIRTUAL { Duration::ZERO } else { NOISE };
    timeout + Duration::from_millis(50) + noise
}

/// What the subject offers; `None` if it lacks it by its own declaration, which is said aloud.
pub(super) fn offered<S: ContractSubject, T>(ability: Ability, offer: Option<T>) -> Option<T> {
    let lacks = S::LACKS.iter().find(|(lacking, _)| *lacking == ability);
    match (&offer, lacks) {
        (Some(_), None) => {}
        (None, Some((_, reason))) => {
            let thread = std::thread::current();
            let check = thread.name().unwrap_or("a check");
            // Straight to the stream: what a test prints is hidden while it passes.
            writeln!(std::io::stderr(), "{check}: not checked, the subject lacks {ability:?}: {reason}")
                .expect("standard error output can be written to");
        }
        (None, None) => panic!("the subject has no {ability:?}; if that is right, LACKS says why"),
        (Some(_), Some(_)) => panic!("LACKS says that the subject has no {ability:?}, but it has"),
    }
    offer
}

/// Takes the server away; `false` for a subject without one.
pub(super) async fn outage<S: ContractSubject>(subject: &S) -> bool {
    let gone = subject.make_unreachable().await;
    offered::<S, ()>(Ability::Outage, gone.then_some(())).is_some()
}

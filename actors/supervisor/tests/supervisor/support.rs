//! What the tests of this crate share.

use std::{future::Future, time::Duration};

use backstop_core::{
    error::CallError,
    event::EventKind,
    policy::{Policy, restart::RestartPolicy, retry::RetryPolicy},
};
use backstop_supervisor::{BackendRef, SupervisorRef};
use backstop_testkit::{
    fake::{Do, Done, Fake, FakeOptions, World},
    sim,
};

/// One fake backend under a supervisor of its own, all on this thread.
pub(crate) struct Stage {
    pub(crate) supervisor: SupervisorRef,
    pub(crate) fake: BackendRef<Fake>,
    pub(crate) world: World,
}

impl Stage {
    pub(crate) async fn new(policy: Policy) -> Self {
        let (supervisor, world) = (sim::supervisor(), World::new());
        let fake = supervisor.add("fake", FakeOptions::new(&world), policy.seed(7)).await.unwrap();
        Self { supervisor, fake, world }
    }

    /// The one lane is number 0; calls on any other number go through its mailbox, as from another thread.
    pub(crate) async fn with_one_lane(policy: Policy) -> Self {
        let (supervisor, world) = (sim::supervisor(), World::new());
        let fake =
            supervisor.add("fake", FakeOptions::new(&world).lanes_max(1), policy.seed(7)).await.unwrap();
        assert!(fake.ask(Do::echo(u64::MAX)).await.is_ok());
        Self { supervisor, fake, world }
    }

    /// The kinds of events so far that `pick` picks.
    pub(crate) fn events<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        let events = self.fake.events().since(0).events;
        events.iter().filter_map(|event| pick(&event.kind)).collect()
    }

    pub(crate) fn panicked(&self) -> usize {
        self.events(|kind| matches!(kind, EventKind::Panicked { .. }).then_some(())).len()
    }

    /// The delays before restarts so far, in milliseconds.
    pub(crate) fn restart_delays(&self) -> Vec<u64> {
        self.events(|kind| match kind {
            EventKind::Restarting { after_ms, .. } => Some(*after_ms),
            _ => None,
        })
    }

    /// Every counter adds up, every place is back, and no rule of instances was broken.
    pub(crate) fn assert_idle(&self) {
        assert_balanced(&self.fake);
        assert_eq!(self.fake.guard().in_flight(), 0);
        assert_eq!(self.world.active(), 0);
        assert_eq!(self.world.breaches(), Vec::<String>::new());
    }
}

/// asked = refused + ok + failed + rejected + abandoned + in flight
pub(crate) fn assert_balanced(fake: &BackendRef<Fake>) {
    let snapshot = fake.snapshot();
    let ended: u64 = snapshot.operations.values().map(|operation| operation.total()).sum();
    let guard = &snapshot.guard;
    let sum = guard.refused_total + ended + guard.abandoned_total + guard.in_flight as u64;
    assert_eq!(guard.asked_total, sum, "{snapshot:?}");
}

/// Runs a call as a task of its own and lets it get as far as it can.
pub(crate) async fn started<F>(call: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let task = tokio::task::spawn_local(call);
    sim::settle().await;
    task
}

/// The code of the error of a call that must not succeed.
pub(crate) fn code(result: Result<Done, CallError>) -> &'static str {
    result.unwrap_err().code()
}

pub(crate) fn no_retries() -> Policy {
    Policy::default().retry(RetryPolicy { max_retries: 0, ..RetryPolicy::default() })
}

/// Restarts at once, as often as it takes.
pub(crate) fn eager_restarts() -> RestartPolicy {
    RestartPolicy {
        min_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(2),
        max_restarts: 10_000,
        ..RestartPolicy::default()
    }
}

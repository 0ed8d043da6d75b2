//! Calls from tasks that run on a lane's thread beside its `LocalSet`, as `tokio::spawn` starts them on an arbiter.

use std::sync::mpsc;

use backstop_core::{call::Deadline, error::Executed, policy::Policy};
use backstop_supervisor::{BackendRef, Supervisor, SupervisorOptions, SupervisorRef, attach_thread};
use backstop_testkit::{
    fake::{Do, End, Fake, FakeOptions, World},
    sim::{ms, secs},
};
use tokio::task::LocalSet;

use crate::support::{assert_balanced, no_retries};

async fn supervised(world: &World, policy: Policy) -> (SupervisorRef, BackendRef<Fake>) {
    let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
    let fake = supervisor.add("fake", FakeOptions::new(world), policy).await.unwrap();
    (supervisor, fake)
}

/// Calls of all kinds, each from a task of its own that `tokio::spawn` started on this thread.
async fn calls_from_strangers(fake: &BackendRef<Fake>, world: &World) {
    let first = tokio::spawn(fake.ask(Do::slow(1, ms(5)))).await.unwrap();
    assert_eq!(first.unwrap().nonce, 1, "the call that starts the lane");
    let calls: Vec<_> = (2..200)
        .map(|nonce| {
            let message = if nonce % 2 == 0 { Do::slow(nonce, ms(nonce % 7)) } else { Do::echo(nonce) };
            (nonce, tokio::spawn(fake.ask(message)))
        })
        .collect();
    for (nonce, call) in calls {
        assert_eq!(call.await.unwrap().unwrap().nonce, nonce);
    }
    let late = tokio::spawn(fake.ask(Do::ends(300, End::Hang)).within(ms(20))).await.unwrap().unwrap_err();
    assert_eq!((late.code(), late.executed()), ("timeout", Executed::Unknown));
    let left = tokio::spawn(fake.ask(Do::ends(301, End::Hang)).within(secs(60)));
    while world.attempts(301) == 0 {
        tokio::task::yield_now().await;
    }
    left.abort();
    while fake.guard().in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_balanced(fake);
    let lanes = fake.snapshot().lanes;
    assert!(lanes.len() == 1 && !lanes[0].home, "all were served on this thread: {lanes:?}");
}

#[test]
fn tasks_beside_the_local_set_of_an_attached_thread_may_call() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        attach_thread();
        let world = World::new();
        let (supervisor, fake) = supervised(&world, no_retries()).await;
        calls_from_strangers(&fake, &world).await;
        assert!(supervisor.shutdown(Deadline::after(secs(5))).await.is_clean());
        assert_eq!(world.breaches(), Vec::<String>::new());
    });
}

#[test]
fn tasks_beside_the_local_set_of_an_arbiter_may_call() {
    actix_rt::System::new().block_on(async {
        let world = World::new();
        let (supervisor, fake) = supervised(&world, no_retries()).await;
        let (done, is_done) = mpsc::channel();
        let arbiter = actix_rt::Arbiter::new();
        let (calls, seen) = (fake.clone(), world.clone());
        arbiter.spawn(async move {
            calls_from_strangers(&calls, &seen).await;
            done.send(()).unwrap();
        });
        let outcome = tokio::task::spawn_blocking(move || is_done.recv_timeout(secs(20))).await.unwrap();
        assert!(outcome.is_ok(), "the arbiter's task panicked or hangs");
        assert!(supervisor.shutdown(Deadline::after(secs(5))).await.is_clean());
        arbiter.stop();
        assert!(arbiter.join().is_ok());
    });
}

#[test]
fn a_call_of_a_stranger_ends_when_the_local_set_does() {
    let world = World::new();
    let (supervisor, call) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        let (supervisor, call) = tasks.block_on(&runtime, async {
            attach_thread();
            let (supervisor, fake) = supervised(&world, no_retries().timeout(secs(60))).await;
            assert!(fake.ask(Do::echo(1)).await.is_ok());
            let call = tokio::spawn(fake.ask(Do::ends(2, End::Hang)));
            while world.attempts(2) == 0 {
                tokio::task::yield_now().await;
            }
            (supervisor, call)
        });
        drop(tasks);
        (supervisor, runtime.block_on(call).unwrap())
    };
    let error = call.unwrap_err();
    assert_eq!(error.executed(), Executed::Unknown, "{error}");
    drop(supervisor);
}

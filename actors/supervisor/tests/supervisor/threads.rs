//! Calls that cross threads; real threads and real time, with gates instead of sleeps.

use std::{sync::mpsc, thread, time::Duration};

use backstop_core::{call::Deadline, error::Executed, event::EventKind, policy::Policy};
use backstop_supervisor::{
    BlockingError, Placement, Supervisor, SupervisorOptions, SupervisorRef, attach_thread,
};
use backstop_testkit::{
    fake::{Do, Done, End, Fake, FakeOptions, Gate, World},
    sim::{ms, secs},
};
use tokio::{runtime::Runtime, task::LocalSet, time::Instant};

use crate::support::{assert_balanced, no_retries};

fn supervisor(placement: Placement) -> SupervisorRef {
    let options = SupervisorOptions { placement, home_threads: 2, ..SupervisorOptions::default() };
    Supervisor::start(options).unwrap()
}

fn many_threads() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Waits, on real time, for something that another thread does soon.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let given_up = Instant::now() + secs(10);
    while !done() {
        assert!(Instant::now() < given_up, "waited for {what}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn tasks_of_a_multi_thread_runtime_use_lanes_on_threads_of_ours() {
    many_threads().block_on(async {
        let (supervisor, world) = (supervisor(Placement::Local), World::new());
        let fake = supervisor.add("fake", FakeOptions::new(&world), no_retries()).await.unwrap();
        let tasks: Vec<_> = (0..64_u64)
            .map(|task| {
                let fake = fake.clone();
                tokio::spawn(async move {
                    for n in 0..50 {
                        let nonce = task * 1_000 + n;
                        assert_eq!(fake.ask(Do::echo(nonce)).await.unwrap().nonce, nonce);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let lanes = fake.snapshot().lanes;
        assert!((1..=2).contains(&lanes.len()) && lanes.iter().all(|lane| lane.home), "{lanes:?}");
        until("idle", || fake.guard().in_flight() == 0).await;
        assert_eq!(fake.snapshot().operations["do"].ok, 3_200);
        assert_balanced(&fake);
        let report = supervisor.shutdown(Deadline::after(secs(5))).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(world.breaches(), Vec::<String>::new());
    });
}

#[test]
fn a_thread_that_can_host_serves_its_own_calls() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        attach_thread();
        let (supervisor, world) = (supervisor(Placement::Local), World::new());
        let fake = supervisor.add("fake", FakeOptions::new(&world), Policy::default()).await.unwrap();
        assert!(fake.ask(Do::echo(1)).await.is_ok());
        assert!(fake.snapshot().lanes.iter().all(|lane| !lane.home));
        assert!(supervisor.shutdown(Deadline::after(secs(5))).await.is_clean());
    });
}

/// Blocks the only lane, sends one call behind it, and returns what both callers were told, and when.
fn behind_a_blocked_thread() -> [(Result<Done, backstop_core::error::CallError>, Duration); 2] {
    many_threads().block_on(async {
        let (supervisor, world, gate) = (supervisor(Placement::Dedicated), World::new(), Gate::new());
        let fake = supervisor.add("fake", FakeOptions::new(&world), no_retries()).await.unwrap();
        assert!(fake.ask(Do::echo(0)).await.is_ok());
        let timed = |message: Do| {
            let (fake, start) = (fake.clone(), Instant::now());
            tokio::spawn(async move { (fake.ask(message).within(ms(300)).await, start.elapsed()) })
        };
        let blocked = timed(Do::ends(1, End::Block(gate.clone())));
        let reached = gate.clone();
        tokio::task::spawn_blocking(move || reached.wait_reached(1)).await.unwrap();
        let queued = timed(Do::echo(2));
        let ends = [blocked.await.unwrap(), queued.await.unwrap()];
        gate.open();
        until("the blocked call", || fake.guard().in_flight() == 0).await;
        assert_eq!(world.attempts(2), 0, "a withdrawn call is never sent");
        assert!(fake.ask(Do::echo(3)).await.is_ok(), "the lane lives");
        until("idle", || fake.guard().in_flight() == 0).await;
        assert_balanced(&fake);
        ends
    })
}

#[test]
fn a_blocked_thread_holds_no_caller_beyond_its_deadline() {
    let [(blocked, took), (queued, waited)] = behind_a_blocked_thread();
    let blocked = blocked.unwrap_err();
    assert_eq!((blocked.code(), blocked.executed()), ("timeout", Executed::Unknown));
    let queued = queued.unwrap_err();
    assert_eq!((queued.code(), queued.executed()), ("expired", Executed::No));
    for elapsed in [took, waited] {
        assert!(
            elapsed >= ms(300) && elapsed < ms(600),
            "deadline of 300 ms, 50 ms of grace, noise: {elapsed:?}"
        );
    }
}

#[test]
fn a_blocked_lane_holds_up_neither_orders_nor_the_report_of_the_end() {
    many_threads().block_on(async {
        let (supervisor, world, gate) = (supervisor(Placement::Dedicated), World::new(), Gate::new());
        let mut policy = no_retries();
        policy.stuck_after = secs(1);
        let fake = supervisor.add("fake", FakeOptions::new(&world), policy).await.unwrap();
        assert!(fake.ask(Do::echo(0)).await.is_ok());
        let blocked = tokio::spawn(fake.ask(Do::ends(1, End::Block(gate.clone()))).within(secs(20)));
        let reached = gate.clone();
        tokio::task::spawn_blocking(move || reached.wait_reached(1)).await.unwrap();
        let start = Instant::now();
        fake.order(backstop_supervisor::Order::Reset).await.unwrap();
        fake.order(backstop_supervisor::Order::Restart { reason: "test".into() }).await.unwrap();
        assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
        let events = fake.events().clone();
        let is_stuck = move || {
            events.since(0).events.iter().any(|event| matches!(event.kind, EventKind::LaneStuck { .. }))
        };
        until("the report of a stuck lane", is_stuck).await;
        let report = supervisor.shutdown(Deadline::after(secs(1))).await;
        assert_eq!((report.backends[0].abandoned, report.backends[0].stuck_lanes), (1, 1), "{report:?}");
        gate.open();
        assert!(blocked.await.is_ok());
    });
}

/// A thread that hosts the only lane, and ends when told to.
struct LaneThread {
    end: tokio::sync::oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl LaneThread {
    fn start(fake: backstop_supervisor::BackendRef<Fake>) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                attach_thread();
                assert!(fake.ask(Do::echo(u64::MAX)).await.is_ok());
                ready.send(()).unwrap();
                let _ = ended.await;
            });
        });
        is_ready.recv().unwrap();
        Self { end, thread }
    }
}

#[test]
fn calls_of_a_lane_that_dies_with_its_thread_are_unknown_if_sent_and_every_place_comes_back() {
    many_threads().block_on(async {
        let (supervisor, world) = (supervisor(Placement::Local), World::new());
        let policy = no_retries().concurrency(1).timeout(secs(20));
        let fake = supervisor.add("fake", FakeOptions::new(&world).lanes_max(1), policy).await.unwrap();
        let lane = LaneThread::start(fake.clone());
        let sent = tokio::spawn(fake.ask(Do::ends(1, End::Hang)));
        until("the sent call", || world.attempts(1) == 1).await;
        let unsent = tokio::spawn(fake.ask(Do::echo(2)));
        until("the queued call", || fake.guard().in_flight() == 2).await;
        until("its turn", || fake.snapshot().lanes[0].in_flight == 2).await;
        lane.end.send(()).unwrap();
        lane.thread.join().unwrap();

        let sent = sent.await.unwrap().unwrap_err();
        assert_eq!(sent.executed(), Executed::Unknown, "{sent}");
        let unsent = unsent.await.unwrap().unwrap_err();
        assert_eq!(unsent.executed(), Executed::No, "{unsent}");
        assert!(unsent.as_rejection().is_some());
        until("idle", || fake.guard().in_flight() == 0).await;
        assert!(fake.ask(Do::echo(3)).await.is_ok(), "a new lane, and the one place came back");
        until("idle", || fake.guard().in_flight() == 0).await;
        assert_balanced(&fake);
        assert_eq!(fake.snapshot().operations["do"].ok, 2, "the counts of the dead lane are kept");
    });
}

#[test]
fn calls_in_the_mailbox_of_a_lane_that_dies_are_refused() {
    many_threads().block_on(async {
        let (supervisor, world, gate) = (supervisor(Placement::Local), World::new(), Gate::new());
        let policy = no_retries().timeout(secs(20));
        let fake = supervisor.add("fake", FakeOptions::new(&world).lanes_max(1), policy).await.unwrap();
        let lane = LaneThread::start(fake.clone());
        let blocking = tokio::spawn(fake.ask(Do::ends(1, End::Block(gate.clone()))));
        let reached = gate.clone();
        tokio::task::spawn_blocking(move || reached.wait_reached(1)).await.unwrap();
        let queued: Vec<_> = (2..12).map(|nonce| tokio::spawn(fake.ask(Do::slow(nonce, secs(1))))).collect();
        until("the queue", || fake.guard().in_flight() == 11).await;
        // The thread ends in the turn in which the gate opens.
        lane.end.send(()).unwrap();
        gate.open();
        lane.thread.join().unwrap();
        let _ = blocking.await.unwrap();
        for (nonce, call) in (2..).zip(queued) {
            let error = call.await.unwrap().unwrap_err();
            let sent = world.attempts(nonce) > 0;
            assert_eq!(error.executed() == Executed::No, !sent, "{error}");
        }
        until("idle", || fake.guard().in_flight() == 0).await;
        assert_balanced(&fake);
    });
}

#[test]
fn a_plain_thread_may_block_and_a_runtime_may_not() {
    let runtime = many_threads();
    let (supervisor, world) = (supervisor(Placement::Local), World::new());
    let fake = runtime.block_on(supervisor.add("fake", FakeOptions::new(&world), Policy::default())).unwrap();
    assert_eq!(fake.ask_blocking(Do::echo(1)).unwrap().nonce, 1);
    let threads: Vec<_> = (2..10)
        .map(|nonce| {
            let fake = fake.clone();
            thread::spawn(move || fake.ask_blocking(Do::echo(nonce)).unwrap().nonce)
        })
        .collect();
    for (thread, nonce) in threads.into_iter().zip(2..) {
        assert_eq!(thread.join().unwrap(), nonce);
    }
    runtime.block_on(async {
        assert!(matches!(fake.ask_blocking(Do::echo(99)), Err(BlockingError::InsideRuntime)));
    });
    assert_eq!(world.attempts(99), 0);
}

//! What real threads share: intake, breaker, places, flights, under calls, cancels, panics and orders at once.
//!
//! The pieces are tokio's and parking_lot's, so a model checker would have to replace them; real threads and
//! many rounds stand in for it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use backstop_core::{call::Deadline, error::Failure, message::Class, policy::Policy};
use backstop_supervisor::{BackendRef, Order, Placement, Supervisor, SupervisorOptions, attach_thread};
use backstop_testkit::{
    fake::{Do, End, Fake, FakeOptions, Get, Step, World},
    ledger::{Fate, Ledger},
    sim::{ms, secs},
};
use tokio::task::LocalSet;

use crate::support::{assert_balanced, eager_restarts};

const THREADS: u64 = 6;
const CALLS: u64 = 1_500;
const INTAKE: usize = 24;
const PLACES: usize = 4;

fn policy() -> Policy {
    let mut policy = Policy::default().intake(INTAKE).concurrency(PLACES).restart(eager_restarts()).seed(3);
    policy.breaker.open_for = ms(2);
    policy.breaker.open_max = ms(4);
    policy.breaker.probe_grace = ms(1);
    policy
}

fn step(rng: &mut fastrand::Rng) -> Step {
    match rng.u8(..100) {
        0..60 => Step::default(),
        60..85 => Step { after: ms(rng.u64(0..3)), ..Step::default() },
        85..93 => Step::fails(Failure::unavailable("planned")),
        93..98 => Step { end: End::Hang, ..Step::default() },
        _ => Step { end: End::Panic, ..Step::default() },
    }
}

/// One thread: asks, leaves early, checks each answer.
async fn caller(fake: BackendRef<Fake>, thread: u64) -> Ledger {
    let rng = &mut fastrand::Rng::with_seed(thread);
    let mut ledger = Ledger::default();
    for n in 0..CALLS {
        let nonce = thread << 32 | n;
        let within = ms(rng.u64(1..20));
        if rng.u8(..4) == 0 {
            let key = rng.u64(..3);
            let read = Get { step: step(rng), ..Get::slow(key, nonce | key << 60, ms(1)) };
            if let Ok(done) = fake.ask(read).within(within).await {
                assert_eq!(done.nonce >> 60, key, "an answer of another key");
            }
            continue;
        }
        let class = if rng.bool() { Class::Unsafe } else { Class::Idempotent };
        ledger.sent(nonce, class);
        let ask = fake.ask(Do::step_of(nonce, step(rng)).of(class)).within(within);
        let result =
            if rng.u8(..5) == 0 { tokio::time::timeout(ms(1), ask).await.ok() } else { Some(ask.await) };
        if let Some(Ok(done)) = &result {
            assert_eq!(done.nonce, nonce, "an answer of another call");
        }
        ledger.told(nonce, result.as_ref().map_or(Fate::WentAway, Fate::of));
        if fake.guard().in_flight() > INTAKE + THREADS as usize {
            panic!("{} calls under way; each thread may be refused at this moment", fake.guard().in_flight());
        }
    }
    ledger
}

#[test]
fn threads_that_share_a_backend_break_no_promise() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options =
        SupervisorOptions { placement: Placement::Local, home_threads: 2, ..SupervisorOptions::default() };
    let (supervisor, world) = (Supervisor::start(options).unwrap(), World::new());
    let fake = runtime.block_on(supervisor.add("fake", FakeOptions::new(&world), policy())).unwrap();
    let running = AtomicU64::new(THREADS);
    let ledgers: Vec<Ledger> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (fake, running, runtime) = (fake.clone(), &running, &runtime);
                scope.spawn(move || {
                    // Half of the threads host lanes of their own, the others use ours.
                    let ledger = if number % 2 == 0 {
                        let runtime =
                            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                        LocalSet::new().block_on(&runtime, async {
                            attach_thread();
                            caller(fake, number).await
                        })
                    } else {
                        runtime.block_on(caller(fake, number))
                    };
                    running.fetch_sub(1, Relaxed);
                    ledger
                })
            })
            .collect();
        let orders = scope.spawn(|| {
            runtime.block_on(async {
                let mut round = 0_usize;
                while running.load(Relaxed) > 0 {
                    round += 1;
                    let order = match round % 4 {
                        0 => Order::Trip { reason: "stress".into(), open_for: Some(ms(1)) },
                        1 => Order::Reset,
                        2 => Order::Restart { reason: "stress".into() },
                        _ => Order::Reconfigure(Box::new(policy())),
                    };
                    fake.order(order).await.unwrap();
                    tokio::time::sleep(ms(2)).await;
                }
            });
        });
        let ledgers = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        orders.join().unwrap();
        ledgers
    });
    runtime.block_on(async {
        let given_up = tokio::time::Instant::now() + secs(10);
        while fake.guard().in_flight() > 0 {
            assert!(tokio::time::Instant::now() < given_up, "{} calls never ended", fake.guard().in_flight());
            tokio::task::yield_now().await;
        }
        fake.order(Order::Reset).await.unwrap();
        assert!(world.take_active_max() <= PLACES, "the places hold over all lanes");
        let calls = (0..PLACES as u64).map(|n| fake.ask(Do::slow(1 << 50 | n, ms(50))).within(secs(5)));
        assert!(
            futures_util::future::join_all(calls).await.iter().all(Result::is_ok),
            "every place came back"
        );
        for key in 0..3 {
            assert!(
                fake.ask(Get::slow(key, key << 60, ms(1))).within(secs(5)).await.is_ok(),
                "no flight is stuck"
            );
        }
        assert_balanced(&fake);
        let report = supervisor.shutdown(Deadline::after(secs(5))).await;
        assert!(report.is_clean(), "{report:?}");
    });
    for ledger in &ledgers {
        assert_eq!(ledger.breaches(|nonce| world.executions(nonce)), Vec::<String>::new());
    }
    assert_eq!(world.breaches(), Vec::<String>::new());
}

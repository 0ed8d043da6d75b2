//! The intake is one bound over all clones and all lanes.

use backstop_testkit::{
    fake::{Do, FakeOptions, World},
    sim::{self, ms, secs},
};
use futures_util::future::join_all;

use crate::support::{Stage, assert_balanced, code, no_retries, started};

#[test]
fn a_thousand_clones_on_eight_lanes_never_pass_the_bound() {
    sim::run(async {
        let stage = Stage::new(no_retries().intake(64)).await;
        let clones: Vec<_> = (0..1_000).map(|n| stage.fake.clone().on_logical_lane(n % 8)).collect();
        for round in 0..5_u64 {
            let calls = clones.iter().zip(0..).map(|(fake, n)| {
                let call = fake.ask(Do::slow(round * 1_000 + n, ms(5)));
                let (fake, world) = (fake.clone(), stage.world.clone());
                async move {
                    let result = call.await;
                    assert!(fake.guard().in_flight() <= 64 && world.active() <= 64);
                    result
                }
            });
            let results = join_all(calls).await;
            let ok = results.iter().filter(|result| result.is_ok()).count();
            assert_eq!(ok, 64, "exactly as many as the bound");
            assert!(results.into_iter().filter(Result::is_err).all(|refused| code(refused) == "full"));
        }
        assert!(stage.world.take_active_max() <= 64);
        assert_eq!(stage.fake.snapshot().lanes.len(), 8);
        stage.assert_idle();
    });
}

#[test]
fn a_refused_call_costs_no_time_and_no_lane() {
    sim::run(async {
        let stage = Stage::new(no_retries().intake(1)).await;
        let holder = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        let start = backstop_core::clock::now();
        assert_eq!(code(stage.fake.ask(Do::echo(2)).await), "full");
        assert_eq!(sim::millis_since(start), 0);
        assert!(holder.await.unwrap().is_ok());
        stage.assert_idle();
    });
}

#[test]
fn a_concurrency_of_three_holds_over_all_lanes_and_nobody_starves() {
    sim::run(async {
        let stage = Stage::new(no_retries().concurrency(3)).await;
        let calls = (0..200)
            .map(|n| stage.fake.on_logical_lane(n % 4).ask(Do::slow(n.into(), ms(10))).within(secs(30)));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!(stage.world.take_active_max(), 3);
        stage.assert_idle();
    });
}

#[test]
fn a_backend_with_a_cap_on_lanes_shares_them() {
    sim::run(async {
        let (supervisor, world) = (sim::supervisor(), World::new());
        let fake = supervisor.add("fake", FakeOptions::new(&world).lanes_max(2), no_retries()).await.unwrap();
        let calls = (0..40).map(|n| fake.on_logical_lane(n).ask(Do::slow(n.into(), ms(10))));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!((fake.snapshot().lanes.len(), world.instances()), (2, 2));
        assert_balanced(&fake);
    });
}

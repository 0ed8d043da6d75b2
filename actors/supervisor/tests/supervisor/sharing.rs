//! Equal reads share one answer, and nobody depends on the one who asked first.

use backstop_core::{error::Failure, policy::circuit_breaker::BreakerState};
use backstop_testkit::{
    fake::{Do, End, Get, Step},
    sim::{self, ms, secs},
};
use futures_util::future::join_all;

use crate::support::{Stage, eager_restarts, no_retries, started};

fn asked(stage: &Stage) -> usize {
    stage.world.count(|fact| matches!(fact, backstop_testkit::fake::Fact::Received { .. }))
}

#[test]
fn equal_reads_on_several_lanes_ask_the_backend_once() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let calls = (0..100).map(|n| stage.fake.on_logical_lane(n % 4).ask(Get::slow(7, n.into(), ms(50))));
        let done = join_all(calls).await;
        let first = done[0].as_ref().unwrap().nonce;
        assert!(done.iter().all(|done| done.as_ref().unwrap().nonce == first), "one answer for all");
        assert_eq!(asked(&stage), 1);
        stage.assert_idle();
    });
}

#[test]
fn different_reads_and_writes_share_nothing() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let reads = join_all((0..10).map(|n| stage.fake.ask(Get::slow(n, n, ms(50)))));
        let writes = join_all((10..20).map(|n| stage.fake.ask(Do::slow(n, ms(50)))));
        let (reads, writes) = tokio::join!(reads, writes);
        assert!(reads.iter().chain(&writes).zip(0..).all(|(done, n)| done.as_ref().unwrap().nonce == n));
        assert_eq!(asked(&stage), 20);
    });
}

#[test]
fn a_follower_takes_over_when_the_leader_goes_away() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let leader = started(stage.fake.ask(Get::slow(7, 1, secs(1)))).await;
        let followers: Vec<_> = (2..6).map(|n| stage.fake.ask(Get::slow(7, n, secs(1)))).collect();
        let followers = started(join_all(followers)).await;
        assert_eq!(asked(&stage), 1);
        leader.abort();
        let done = followers.await.unwrap();
        let nonces: Vec<_> = done.into_iter().map(|done| done.unwrap().nonce).collect();
        assert_eq!(nonces, [2, 2, 2, 2], "exactly one of them asked again, for all");
        stage.assert_idle();
    });
}

#[test]
fn a_leader_with_a_short_deadline_does_not_end_those_with_a_long_one() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let hasty = started(stage.fake.ask(Get::slow(7, 1, ms(300))).within(ms(100))).await;
        let patient = started(stage.fake.ask(Get::slow(7, 2, ms(300))).within(secs(5))).await;
        assert_eq!(hasty.await.unwrap().unwrap_err().code(), "timeout");
        assert_eq!(patient.await.unwrap().unwrap().nonce, 2, "it asked for itself");
        stage.assert_idle();
    });
}

#[test]
fn a_follower_keeps_its_own_deadline() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let leader = started(stage.fake.ask(Get::slow(7, 1, secs(1)))).await;
        let start = backstop_core::clock::now();
        let hasty = stage.fake.ask(Get::slow(7, 2, secs(1))).within(ms(100)).await.unwrap_err();
        assert_eq!((hasty.code(), sim::millis_since(start)), ("expired", 100));
        assert!(leader.await.unwrap().is_ok());
        stage.assert_idle();
    });
}

#[test]
fn a_leader_that_panics_costs_one_instance_and_a_follower_takes_over() {
    sim::run(async {
        let stage = Stage::new(no_retries().restart(eager_restarts())).await;
        let poison = Get {
            step: Step { after: ms(50), end: End::Panic, ..Step::default() },
            ..Get::slow(7, 1, ms(50))
        };
        for lane in 0..3 {
            assert!(stage.fake.on_logical_lane(lane).ask(Do::echo(90 + u64::from(lane))).await.is_ok());
        }
        let leader = started(stage.fake.on_logical_lane(0).ask(poison)).await;
        let first = started(stage.fake.on_logical_lane(1).ask(Get::slow(7, 2, ms(50)))).await;
        let second = started(stage.fake.on_logical_lane(2).ask(Get::slow(7, 3, ms(50)))).await;
        assert_eq!(leader.await.unwrap().unwrap_err().code(), "panicked");
        assert_eq!(first.await.unwrap().unwrap().nonce, 2);
        assert_eq!(second.await.unwrap().unwrap().nonce, 2);
        assert_eq!(stage.panicked(), 1, "the instances of the followers are sound");
        stage.assert_idle();
    });
}

#[test]
fn an_error_of_the_backend_is_shared_like_an_answer() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let refused = |n| Get {
            step: Step { after: ms(50), ..Step::fails(Failure::refused("planned")) },
            ..Get::slow(7, n, ms(50))
        };
        let done = join_all((0..10).map(|n| stage.fake.ask(refused(n)))).await;
        assert!(done.into_iter().all(|done| done.unwrap_err().code() == "refused"));
        assert_eq!(asked(&stage), 1);
    });
}

#[test]
fn a_cached_answer_is_given_while_the_breaker_is_open() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        assert!(stage.fake.ask(Get::slow(7, 1, ms(1)).cached(secs(60))).await.is_ok());
        stage.fake.guard().trip("test", Some(secs(30)));
        assert_eq!(stage.fake.breaker_state(), BreakerState::Open);
        assert_eq!(stage.fake.ask(Get::slow(7, 2, ms(1)).cached(secs(60))).await.unwrap().nonce, 1);
        assert_eq!(
            stage.fake.ask(Get::slow(8, 3, ms(1)).cached(secs(60))).await.unwrap_err().code(),
            "circuit_open"
        );
        stage.fake.guard().invalidate_tag("fake");
        assert_eq!(
            stage.fake.ask(Get::slow(7, 4, ms(1)).cached(secs(60))).await.unwrap_err().code(),
            "circuit_open"
        );
        assert_eq!(asked(&stage), 1);
        let cache = stage.fake.snapshot().guard.cache;
        assert_eq!((cache.hits, cache.misses, cache.stale, cache.inserted), (1, 3, 1, 1));
        stage.assert_idle();
    });
}

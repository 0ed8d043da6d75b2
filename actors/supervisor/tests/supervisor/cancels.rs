//! A caller that goes away takes its work with it, at every stage, and every place comes back.

use backstop_core::{error::Executed, policy::Policy};
use backstop_testkit::{
    fake::{Do, Effect, End, Fact, Step},
    sim::{self, ms, secs},
};
use futures_util::FutureExt;

use crate::support::{Stage, no_retries, started};

fn left_unfinished(stage: &Stage, nonce: u64) -> usize {
    stage.world.count(|fact| matches!(fact, Fact::Left { nonce: left, ended: false, .. } if *left == nonce))
}

#[test]
fn a_call_that_is_dropped_before_its_first_poll_never_was() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        drop(stage.fake.ask(Do::echo(1)));
        assert_eq!(stage.fake.snapshot().guard.asked_total, 0);
    });
}

#[test]
fn a_call_that_is_dropped_in_the_mailbox_never_reaches_the_backend() {
    sim::run(async {
        let stage = Stage::with_one_lane(Policy::default()).await;
        let call = stage.fake.on_logical_lane(1).ask(Do::echo(1));
        assert!(call.now_or_never().is_none(), "sent to the lane, which had no turn yet");
        sim::settle().await;
        assert_eq!(stage.world.attempts(1), 0);
        assert_eq!(stage.fake.snapshot().guard.abandoned_total, 1);
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_is_dropped_in_the_queue_for_a_place_gives_its_turn_away() {
    sim::run(async {
        let stage = Stage::new(no_retries().concurrency(1)).await;
        let holder = started(stage.fake.ask(Do::slow(1, ms(100)))).await;
        let dropped = started(stage.fake.ask(Do::echo(2))).await;
        let patient = started(stage.fake.ask(Do::echo(3))).await;
        dropped.abort();
        assert!(holder.await.unwrap().is_ok() && patient.await.unwrap().is_ok());
        assert_eq!(stage.world.attempts(2), 0);
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_is_dropped_while_it_is_served_is_cancelled_and_its_place_comes_back() {
    sim::run(async {
        let stage = Stage::new(no_retries().concurrency(1)).await;
        let call = started(stage.fake.ask(Do::ends(1, End::Hang))).await;
        assert_eq!(stage.world.active(), 1);
        call.abort();
        sim::settle().await;
        assert_eq!((stage.world.active(), left_unfinished(&stage, 1)), (0, 1));
        assert!(stage.fake.ask(Do::echo(2)).await.is_ok());
        assert_eq!(stage.fake.snapshot().guard.breaker.failures, 0, "a cancelled call says nothing");
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_is_dropped_while_it_waits_for_a_new_instance_is_gone() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let _ = stage.fake.ask(Do::ends(1, End::Panic)).await.unwrap_err();
        let call = started(stage.fake.ask(Do::echo(2))).await;
        call.abort();
        sim::pass(secs(1)).await;
        assert_eq!(stage.world.attempts(2), 0);
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_is_dropped_between_two_attempts_makes_no_other() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let down = backstop_core::error::Failure::unavailable("planned").retry_in(ms(200));
        let call = started(stage.fake.ask(Do::step_of(1, Step { sends: false, ..Step::fails(down) }))).await;
        assert_eq!(stage.world.attempts(1), 1);
        call.abort();
        sim::pass(secs(2)).await;
        assert_eq!(stage.world.attempts(1), 1);
        stage.assert_idle();
    });
}

#[test]
fn a_probe_of_half_open_that_is_dropped_leaves_its_place_to_another() {
    sim::run(async {
        let mut policy = no_retries();
        policy.probe.enabled = false;
        policy.breaker.probes = 1;
        policy.breaker.probe_first = false;
        let stage = Stage::new(policy).await;
        stage.fake.guard().trip("test", Some(secs(1)));
        sim::pass(secs(2)).await;
        for nonce in 0..10 {
            let call = started(stage.fake.ask(Do::ends(nonce, End::Hang))).await;
            assert_eq!(stage.world.active(), 1, "admitted");
            call.abort();
            sim::settle().await;
        }
        assert!(stage.fake.ask(Do::echo(99)).await.is_ok());
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_an_operator_cancels_ends_as_unknown_if_it_was_sent() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let call = started(stage.fake.ask(Do::ends(1, End::Hang))).await;
        let op = stage.fake.in_flight().await[0].op;
        assert!(stage.fake.cancel(op).await);
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(
            (error.code(), error.executed(), error.backend()),
            ("cancelled", Executed::Unknown, "fake")
        );
        assert!(!stage.fake.cancel(op).await, "it is gone");
        sim::settle().await;
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_an_operator_cancels_ends_as_not_executed_if_nothing_was_sent() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let step = Step { sends: false, effect: Effect::Never, end: End::Hang, ..Step::default() };
        let call = started(stage.fake.ask(Do::step_of(1, step))).await;
        let op = stage.fake.in_flight().await[0].op;
        assert!(stage.fake.cancel(op).await);
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.executed()), ("cancelled", Executed::No));
        assert!(error.as_rejection().is_some(), "our own refusal: {error}");
        sim::settle().await;
        stage.assert_idle();
    });
}

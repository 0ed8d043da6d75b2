//! A lane that has work and makes no progress is found; a slow one that moves is not.

use backstop_core::event::EventKind;
use backstop_supervisor::Order;
use backstop_testkit::{
    fake::{CloseEnd, Do, End},
    sim::{self, ms, secs},
};

use crate::support::{Stage, no_retries, started};

fn stuck(stage: &Stage) -> Vec<u64> {
    stage.events(|kind| match kind {
        EventKind::LaneStuck { lane, .. } => Some(*lane),
        _ => None,
    })
}

#[test]
fn a_lane_without_progress_is_reported_once_and_gets_a_new_instance() {
    sim::run(async {
        let mut policy = no_retries();
        policy.stuck_after = secs(10);
        let stage = Stage::new(policy).await;
        let hung = started(stage.fake.ask(Do::ends(1, End::Hang)).within(secs(60))).await;
        sim::pass(secs(30)).await;
        assert_eq!(stuck(&stage), [0]);
        assert_eq!(stage.fake.snapshot().guard.incarnations, 2);
        assert_eq!(stage.fake.snapshot().guard.restarts_in_window, 0, "that is no crash");
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().instance, 2);
        assert!(hung.await.unwrap().is_err());
        stage.assert_idle();
    });
}

#[test]
fn a_slow_lane_that_progresses_is_left_alone() {
    sim::run(async {
        let mut policy = no_retries();
        policy.stuck_after = secs(10);
        let stage = Stage::new(policy).await;
        let calls: Vec<_> =
            (0..20).map(|n| stage.fake.ask(Do::slow(n, secs(3 * n))).within(secs(60))).collect();
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!(stuck(&stage), Vec::<u64>::new());
        assert_eq!(stage.fake.snapshot().guard.incarnations, 1);
    });
}

#[test]
fn an_idle_lane_is_never_stuck() {
    sim::run(async {
        let mut policy = no_retries();
        policy.stuck_after = secs(1);
        let stage = Stage::new(policy).await;
        assert!(stage.fake.ask(Do::echo(1)).await.is_ok());
        sim::pass(secs(600)).await;
        assert_eq!(stuck(&stage), Vec::<u64>::new());
    });
}

#[test]
fn instances_that_are_slow_to_close_do_not_stop_the_heart_of_their_lane() {
    sim::run(async {
        let mut policy = no_retries();
        policy.stuck_after = secs(4);
        let stage = Stage::new(policy).await;
        stage.world.set_close(CloseEnd::Hang);
        for nonce in 0..100 {
            assert!(stage.fake.ask(Do::echo(nonce)).await.is_ok());
            stage.fake.order(Order::Restart { reason: "test".into() }).await.unwrap();
            sim::pass(ms(400)).await;
        }
        assert_eq!(stuck(&stage), Vec::<u64>::new());
    });
}

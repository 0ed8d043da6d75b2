//! What an operator is told though the backend still works.

use backstop_core::{error::Failure, event::EventKind};
use backstop_testkit::{
    fake::{Do, FakeOptions, Step, World},
    sim::{self, secs},
};

use crate::support::{Stage, no_retries, started};

/// Alerts in order; those that are over with a minus.
fn alerts(stage: &Stage) -> Vec<String> {
    stage.events(|kind| match kind {
        EventKind::Alert { message } => Some(message.to_string()),
        EventKind::AlertEnded { message } => Some(format!("-{message}")),
        _ => None,
    })
}

#[test]
fn a_pool_in_use_over_its_mark_is_told_once_and_once_when_it_is_over() {
    sim::run(async {
        let (supervisor, world) = (sim::supervisor(), World::new());
        let recipe = FakeOptions::new(&world).pool_max(10);
        let fake = supervisor.add("fake", recipe, no_retries()).await.unwrap();
        let stage = Stage { supervisor, fake, world };
        let mut calls = Vec::new();
        for nonce in 0..8 {
            calls.push(started(stage.fake.ask(Do::slow(nonce, secs(50))).within(secs(60))).await);
        }
        sim::pass(secs(11)).await;
        assert_eq!(alerts(&stage), Vec::<String>::new(), "80 % is not over 80 %");
        calls.push(started(stage.fake.ask(Do::slow(8, secs(30))).within(secs(60))).await);
        sim::pass(secs(15)).await;
        assert_eq!(alerts(&stage), ["pool utilisation is 90 %, over 80 %"]);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        sim::pass(secs(10)).await;
        assert_eq!(alerts(&stage)[1..], ["-pool utilisation is 0 %, the alert was over 80 %"]);
    });
}

#[test]
fn failures_that_do_not_open_the_breaker_are_told_once() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        for nonce in 0..40 {
            let failure = Step::fails(Failure::unavailable("planned"));
            let ask = if nonce % 4 == 0 { Do::step_of(nonce, failure) } else { Do::echo(nonce) };
            let _ = stage.fake.ask(ask).await;
        }
        sim::pass(secs(20)).await;
        assert_eq!(alerts(&stage), ["failure share is 25 %, over 10 %"]);
    });
}

#[test]
fn alerts_can_be_switched_off() {
    sim::run(async {
        let mut policy = no_retries();
        policy.alert.interval = None;
        let stage = Stage::new(policy).await;
        for nonce in 0..40 {
            let failure = Step::fails(Failure::unavailable("planned"));
            let ask = if nonce % 4 == 0 { Do::step_of(nonce, failure) } else { Do::echo(nonce) };
            let _ = stage.fake.ask(ask).await;
        }
        sim::pass(secs(60)).await;
        assert_eq!(alerts(&stage), Vec::<String>::new());
    });
}

#[test]
fn what_a_backend_finds_wrong_is_told_once_and_once_when_it_is_over() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        stage.world.set_alarms(&["the log is long"]);
        sim::pass(secs(20)).await;
        assert_eq!(alerts(&stage), ["the log is long"]);
        stage.world.set_alarms(&["the log is long", "a file is gone"]);
        sim::pass(secs(6)).await;
        stage.world.set_alarms(&[]);
        sim::pass(secs(6)).await;
        let told = ["the log is long", "a file is gone", "-the log is long", "-a file is gone"];
        assert_eq!(alerts(&stage), told);
    });
}

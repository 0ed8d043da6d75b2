//! Every call ends by its deadline and says whether it was executed, wherever it is.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{Executed, FailureKind, Phase},
    policy::Policy,
};
use backstop_testkit::{
    fake::{Do, Effect, End, Step},
    sim::{self, ms, secs},
};

use crate::support::{Stage, no_retries, started};

/// Asks with a deadline of 100 ms and returns how long it took, the code, and what is known.
async fn late(stage: &Stage, message: Do) -> (u64, &'static str, Executed) {
    let start = clock::now();
    let error = stage.fake.ask(message).within(ms(100)).await.unwrap_err();
    (sim::millis_since(start), error.code(), error.executed())
}

fn unsent() -> Step {
    Step { sends: false, effect: Effect::Never, end: End::Hang, ..Step::default() }
}

#[test]
fn a_call_that_hangs_with_the_backend_ends_as_unknown() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let (took, code, executed) = late(&stage, Do::ends(1, End::Hang)).await;
        assert!((100..=150).contains(&took), "{took}");
        assert_eq!((code, executed), ("timeout", Executed::Unknown));
        stage.assert_idle();
    });
}

#[test]
fn a_call_that_was_never_sent_ends_as_not_executed() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let error = stage.fake.ask(Do::step_of(1, unsent())).within(ms(100)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.executed(), error.phase()),
            ("timeout", Executed::No, Phase::Connect)
        );
        stage.assert_idle();
    });
}

#[test]
fn a_call_in_the_queue_for_a_place_expires_there() {
    sim::run(async {
        let stage = Stage::new(no_retries().concurrency(1)).await;
        let holder = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        let (took, code, executed) = late(&stage, Do::echo(2)).await;
        assert!((100..=150).contains(&took), "{took}");
        assert_eq!((code, executed), ("expired", Executed::No));
        assert!(holder.await.unwrap().is_ok());
        assert_eq!(stage.world.attempts(2), 0, "it never reached the backend");
        stage.assert_idle();
    });
}

#[test]
fn a_call_during_a_restart_is_refused_at_its_deadline() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let _ = stage.fake.ask(Do::ends(1, End::Panic)).await.unwrap_err();
        let (took, code, executed) = late(&stage, Do::echo(2)).await;
        assert!((100..=150).contains(&took), "{took}");
        assert_eq!((code, executed), ("restarting", Executed::No));
        stage.assert_idle();
    });
}

#[test]
fn a_deadline_of_no_time_sends_nothing() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        assert!(stage.fake.ask(Do::echo(0)).await.is_ok());
        let error = stage.fake.ask(Do::echo(1)).within(Duration::ZERO).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), ("expired", Executed::No));
        assert_eq!(stage.world.attempts(1), 0);
    });
}

#[test]
fn no_call_may_ask_for_more_than_the_cap() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let start = clock::now();
        let error = stage.fake.ask(Do::ends(1, End::Hang)).within(secs(3_600)).await.unwrap_err();
        assert_eq!(error.as_failure().unwrap().kind(), FailureKind::Timeout);
        assert!((60_000..=60_050).contains(&sim::millis_since(start)));
    });
}

#[test]
fn the_shortest_of_several_timeouts_counts() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let start = clock::now();
        let _ = stage.fake.ask(Do::ends(1, End::Hang)).within(ms(50)).within(secs(9)).await.unwrap_err();
        assert!(sim::millis_since(start) <= 100);
    });
}

#[test]
fn retries_and_their_delays_stay_inside_the_deadline() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        for nonce in 0..50 {
            let start = clock::now();
            let down = backstop_core::error::Failure::unavailable("planned")
                .counts_as(backstop_core::outcome::Outcome::NotCounted);
            let message = Do::step_of(nonce, Step { before: ms(40), sends: false, ..Step::fails(down) });
            assert!(stage.fake.ask(message).within(ms(100)).await.is_err());
            assert!(sim::millis_since(start) <= 150);
        }
        stage.assert_idle();
    });
}

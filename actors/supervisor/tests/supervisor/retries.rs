//! The retry table, from the caller to the backend and back.

use backstop_core::{
    error::{Executed, Failure, FailureKind},
    message::Class,
    outcome::Outcome,
    policy::Policy,
};
use backstop_testkit::{
    fake::{Do, End, Step},
    sim::{self, ms, secs},
};

use crate::support::{Stage, started};

/// A failure that leaves the breaker alone, so that the table alone decides.
fn failure(executed: Executed, transient: bool) -> Failure {
    Failure::new(FailureKind::Lost, "planned")
        .executed_is(executed)
        .transient(transient)
        .counts_as(Outcome::NotCounted)
        .retry_in(ms(10))
}

/// How often the backend saw a message whose attempts all fail.
async fn attempts(stage: &Stage, nonce: u64, class: Class, failure: Failure) -> usize {
    let error = stage.fake.ask(Do::step_of(nonce, Step::fails(failure)).of(class)).await.unwrap_err();
    let attempts = stage.world.attempts(nonce);
    assert_eq!(error.attempts() as usize, attempts);
    attempts
}

#[test]
fn every_cell_of_the_table_holds() {
    use Class::{Idempotent, Keyed, Read, Transaction, Unsafe};
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let mut nonce = 0;
        for (class, after_no, after_unknown) in
            [(Read, 3, 3), (Idempotent, 3, 3), (Keyed, 3, 3), (Unsafe, 3, 1), (Transaction, 3, 1)]
        {
            for (executed, transient, expected) in [
                (Executed::No, true, after_no),
                (Executed::Unknown, true, after_unknown),
                (Executed::Yes, true, 1),
                (Executed::No, false, 1),
                (Executed::Unknown, false, 1),
            ] {
                nonce += 1;
                sim::pass(secs(30)).await; // the budget fills up again
                let seen = attempts(&stage, nonce, class, failure(executed, transient)).await;
                assert_eq!(seen, expected, "{class:?}, executed {executed}, transient {transient}");
            }
        }
        stage.assert_idle();
    });
}

#[test]
fn a_retry_that_works_is_a_success() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let steps = vec![Step::fails(failure(Executed::No, true)), Step::default()];
        assert_eq!(stage.fake.ask(Do::steps(1, steps)).await.unwrap().nonce, 1);
        assert_eq!((stage.world.attempts(1), stage.world.executions(1)), (2, 1));
        assert_eq!(stage.fake.snapshot().guard.retries_total, 1);
    });
}

#[test]
fn the_class_that_the_caller_names_decides() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let steps = vec![Step::fails(failure(Executed::Unknown, true)), Step::default()];
        assert!(stage.fake.ask(Do::steps(1, steps.clone())).await.is_err());
        assert!(stage.fake.ask(Do::steps(2, steps)).class(Class::Keyed).await.is_ok());
    });
}

#[test]
fn doubt_about_an_earlier_attempt_outweighs_a_later_no() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let steps =
            vec![Step::fails(failure(Executed::Unknown, true)), Step::fails(failure(Executed::No, false))];
        let error = stage.fake.ask(Do::steps(1, steps).of(Class::Idempotent)).await.unwrap_err();
        assert_eq!((error.executed(), error.attempts()), (Executed::Unknown, 2));
    });
}

#[test]
fn doubt_about_an_earlier_attempt_outweighs_our_own_refusal() {
    sim::run(async {
        let stage = Stage::new(Policy::default().concurrency(1)).await;
        let steps = vec![Step::fails(failure(Executed::Unknown, true).retry_in(ms(50))), Step::default()];
        let call = started(stage.fake.ask(Do::steps(1, steps).of(Class::Idempotent)).within(ms(200))).await;
        let holder = started(stage.fake.ask(Do::slow(2, secs(1)))).await;
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.executed(), error.attempts()), (Executed::Unknown, 1), "{error}");
        assert!(holder.await.unwrap().is_ok());
    });
}

#[test]
fn doubt_about_an_earlier_attempt_survives_a_breaker_that_opens_meanwhile() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let steps = vec![Step::fails(failure(Executed::Unknown, true).retry_in(ms(50))), Step::default()];
        let call = started(stage.fake.ask(Do::steps(1, steps).of(Class::Read))).await;
        stage.fake.guard().trip("test", Some(secs(30)));
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.executed()), ("lost", Executed::Unknown));
        assert_eq!(stage.world.attempts(1), 1);
        stage.assert_idle();
    });
}

#[test]
fn nothing_is_sent_again_while_the_breaker_is_not_closed() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.fake.guard().trip("test", Some(secs(1)));
        sim::pass(ms(1_100)).await;
        let down = Failure::unavailable("planned").retry_in(ms(1));
        let error =
            stage.fake.ask(Do::step_of(1, Step { sends: false, ..Step::fails(down) })).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), ("unavailable", 1));
    });
}

#[test]
fn a_panic_is_never_sent_again() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let error = stage.fake.ask(Do::ends(1, End::Panic).of(Class::Read)).await.unwrap_err();
        assert_eq!((error.code(), stage.world.attempts(1)), ("panicked", 1));
    });
}

#[test]
fn under_total_failure_retries_add_at_most_a_fifth() {
    sim::run(async {
        let mut policy = Policy::default();
        policy.breaker.consecutive_failures = 0;
        policy.breaker.failure_percent = 0;
        let stage = Stage::new(policy).await;
        for nonce in 0..2_000 {
            let down = Failure::unavailable("planned").retry_in(ms(1));
            let _ = stage.fake.ask(Do::step_of(nonce, Step { sends: false, ..Step::fails(down) })).await;
        }
        let retries = stage.fake.snapshot().guard.retries_total;
        assert!((100..=450).contains(&retries), "{retries} retries of 2000 calls");
    });
}

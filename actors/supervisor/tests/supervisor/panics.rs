//! A panic ends its own call and nothing else, wherever it happens.

use backstop_core::{
    call::Deadline,
    error::{Executed, FailureKind},
    policy::Policy,
};
use backstop_supervisor::Order;
use backstop_testkit::{
    fake::{CloseEnd, ConnectEnd, Do, End, Fact, Step},
    sim::{self, ms, secs},
};

use crate::support::{Stage, eager_restarts, started};

#[test]
fn a_panic_fails_its_call_and_the_next_call_gets_a_new_instance() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let fake = &stage.fake;
        assert_eq!(fake.ask(Do::echo(1)).await.unwrap().instance, 1);
        let waiting = started(fake.ask(Do::slow(7, secs(1)))).await;
        let error = fake.ask(Do::ends(2, End::Panic)).await.unwrap_err();
        let failure = error.as_failure().unwrap();
        assert_eq!(failure.kind(), FailureKind::Panicked);
        assert_eq!(
            (failure.message(), failure.executed(), failure.backend()),
            ("planned", Executed::Unknown, "fake")
        );
        assert_eq!(fake.ask(Do::echo(3)).await.unwrap().instance, 2, "waits for the new instance");
        assert_eq!(waiting.await.unwrap().unwrap().instance, 1, "the old instance finishes its calls");
        sim::settle().await;
        assert_eq!(stage.world.count(|fact| *fact == Fact::Closed { instance: 1 }), 1, "and is closed");
        assert_eq!((fake.snapshot().guard.incarnations, stage.panicked()), (2, 1));
        stage.assert_idle();
        let report = stage.supervisor.shutdown(Deadline::after(secs(5))).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(fake.ask(Do::echo(4)).await.unwrap_err().code(), "stopped");
    });
}

#[test]
fn several_calls_that_panic_on_one_instance_charge_it_once() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let mut calls = Vec::new();
        for nonce in 0..5 {
            calls.push(started(stage.fake.ask(Do::ends_after(nonce, ms(10 + nonce), End::Panic))).await);
        }
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap_err().code(), "panicked");
        }
        assert_eq!(stage.panicked(), 1);
        assert_eq!(stage.fake.snapshot().guard.restarts_in_window, 1);
        assert_eq!(stage.fake.ask(Do::echo(9)).await.unwrap().instance, 2);
        stage.assert_idle();
    });
}

#[test]
fn a_panic_before_anything_was_sent_is_executed_no() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let step = Step {
            sends: false,
            end: End::Panic,
            effect: backstop_testkit::fake::Effect::Never,
            ..Step::default()
        };
        let error = stage.fake.ask(Do::step_of(1, step)).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), ("panicked", Executed::No));
    });
}

#[test]
fn a_panic_in_a_closure_of_the_caller_costs_no_instance() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let error = stage.fake.ask(Do::ends(1, End::CallerPanics)).await.unwrap_err();
        assert_eq!(error.code(), "caller_panicked");
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().instance, 1);
        assert_eq!(stage.panicked(), 0);
    });
}

#[test]
fn a_panic_in_the_drop_of_an_expired_call_is_a_failure_and_costs_the_instance() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let step = Step { end: End::Hang, drop_panics: true, ..Step::default() };
        let error = stage.fake.ask(Do::step_of(1, step)).within(ms(100)).await.unwrap_err();
        let failure = error.as_failure().unwrap();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Panicked, Executed::Unknown));
        assert_eq!(failure.backend(), "fake");
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().instance, 2);
        assert_eq!(stage.panicked(), 1);
        stage.assert_idle();
    });
}

#[test]
fn a_panic_in_the_drop_of_a_cancelled_call_costs_the_instance_and_nothing_else() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let neighbour = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        let step = Step { end: End::Hang, drop_panics: true, ..Step::default() };
        let cancelled = started(stage.fake.ask(Do::step_of(2, step))).await;
        cancelled.abort();
        sim::settle().await;
        assert_eq!(stage.panicked(), 1);
        assert_eq!(stage.fake.ask(Do::echo(3)).await.unwrap().instance, 2);
        assert_eq!(neighbour.await.unwrap().unwrap().instance, 1);
        stage.assert_idle();
    });
}

#[test]
fn panics_while_connecting_are_retried_with_growing_delays_and_calls_wait() {
    sim::run(async {
        let stage = Stage::new(Policy::default().timeout(secs(30))).await;
        stage.world.plan_connects([ConnectEnd::Panic, ConnectEnd::Refuse, ConnectEnd::Build]);
        assert_eq!(stage.fake.ask(Do::echo(1)).await.unwrap().instance, 1);
        assert_eq!(stage.panicked(), 2);
        let delays = stage.restart_delays();
        assert_eq!(delays.len(), 2);
        assert!(delays[0] >= 200 && delays[1] >= 400, "{delays:?}");
    });
}

#[test]
fn a_connect_that_hangs_ends_calls_at_their_deadline_as_restarting() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.world.plan_connects([ConnectEnd::Hang]);
        let start = backstop_core::clock::now();
        let error = stage.fake.ask(Do::echo(1)).within(secs(1)).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), ("restarting", Executed::No));
        assert!(sim::millis_since(start) <= 1_050);
    });
}

#[test]
fn a_connect_that_hangs_is_given_up_in_the_end() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.world.plan_connects([ConnectEnd::Hang]);
        stage.fake.start_lane().unwrap();
        sim::pass(secs(60)).await;
        assert_eq!(stage.fake.ask(Do::echo(1)).await.unwrap().instance, 1);
    });
}

#[test]
fn a_panic_in_a_probe_fails_the_probe_and_costs_the_instance() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        assert_eq!(stage.fake.ask(Do::echo(1)).await.unwrap().instance, 1);
        stage.world.plan_probe_panics(1);
        let error = stage.fake.order(Order::Probe).await.unwrap_err();
        assert!(error.to_string().contains("planned, in probe"), "{error}");
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().instance, 2);
        assert_eq!(stage.panicked(), 1);
        stage.fake.order(Order::Probe).await.unwrap();
    });
}

#[test]
fn a_panic_in_close_does_no_harm() {
    sim::run(async {
        let stage = Stage::new(Policy::default().restart(eager_restarts())).await;
        stage.world.set_close(CloseEnd::Panic);
        assert_eq!(stage.fake.ask(Do::echo(1)).await.unwrap().instance, 1);
        stage.fake.order(Order::Restart { reason: "test".into() }).await.unwrap();
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().instance, 2);
        assert_eq!(stage.panicked(), 0, "a close is no work of a caller");
        let report = stage.supervisor.shutdown(Deadline::after(secs(2))).await;
        assert!(report.is_clean(), "{report:?}");
    });
}

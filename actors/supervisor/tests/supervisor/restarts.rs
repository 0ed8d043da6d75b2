//! Restarts have a delay and a limit.

use backstop_core::{
    clock,
    event::EventKind,
    policy::{
        Policy,
        circuit_breaker::BreakerState,
        restart::{OnExceeded, RestartPolicy},
    },
};
use backstop_testkit::{
    fake::{Do, End},
    sim::{self, ms, secs},
};

use crate::support::{Stage, eager_restarts};

#[test]
fn calls_wait_out_the_restart_delay_in_order() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let start = clock::now();
        let _ = stage.fake.ask(Do::ends(0, End::Panic)).await.unwrap_err();
        let calls = (1..=20).map(|nonce| stage.fake.ask(Do::slow(nonce, ms(nonce))));
        let done = futures_util::future::join_all(calls).await;
        assert!(done.iter().zip(1..).all(|(done, nonce)| done.as_ref().unwrap().nonce == nonce));
        let waited = sim::millis_since(start);
        assert!((200..=450).contains(&waited), "200 to 400 ms of delay, 20 ms of work: {waited}");
    });
}

#[test]
fn delays_grow_and_a_healthy_spell_makes_them_short_again() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        for nonce in 0..3 {
            let _ = stage.fake.ask(Do::ends(nonce, End::Panic)).await.unwrap_err();
            assert!(stage.fake.ask(Do::echo(100 + nonce)).await.is_ok());
        }
        sim::pass(secs(31)).await;
        let _ = stage.fake.ask(Do::ends(9, End::Panic)).await.unwrap_err();
        sim::pass(secs(1)).await;
        let delays = stage.restart_delays();
        assert!(delays[1] >= 400 && delays[2] >= 800 && delays[3] <= 400, "{delays:?}");
    });
}

#[test]
fn one_crash_too_many_trips_the_breaker_and_it_heals_by_itself() {
    sim::run(async {
        let restart = RestartPolicy { max_restarts: 3, ..eager_restarts() };
        let stage = Stage::new(Policy::default().restart(restart)).await;
        for nonce in 0..3 {
            assert_eq!(stage.fake.ask(Do::ends(nonce, End::Panic)).await.unwrap_err().code(), "panicked");
            assert_eq!(
                stage.fake.breaker_state(),
                BreakerState::Closed,
                "a panic says nothing about the backend"
            );
        }
        assert_eq!(stage.fake.ask(Do::ends(3, End::Panic)).await.unwrap_err().code(), "panicked");
        assert_eq!(stage.fake.breaker_state(), BreakerState::Open);
        let refused = stage.fake.ask(Do::echo(4)).await.unwrap_err();
        assert_eq!(refused.code(), "circuit_open");
        assert!(refused.to_string().contains("restart limit"), "{refused}");
        let limits = stage.events(|kind| match kind {
            EventKind::RestartLimit { action } => Some(action.to_string()),
            _ => None,
        });
        assert_eq!(limits, ["trip"]);
        sim::pass(secs(12)).await;
        assert_eq!(stage.fake.breaker_state(), BreakerState::Closed, "probes closed it without any user");
        assert!(stage.fake.ask(Do::echo(5)).await.is_ok());
        stage.assert_idle();
    });
}

#[test]
fn an_escalating_backend_stops_everything_and_the_owner_hears_why() {
    sim::run(async {
        let restart =
            RestartPolicy { max_restarts: 0, on_exceeded: OnExceeded::Escalate, ..eager_restarts() };
        let stage = Stage::new(Policy::default().restart(restart)).await;
        let failed = tokio::task::spawn_local({
            let supervisor = stage.supervisor.clone();
            async move { supervisor.failed().await }
        });
        assert!(stage.fake.ask(Do::echo(0)).await.is_ok());
        assert_eq!(stage.fake.ask(Do::ends(1, End::Panic)).await.unwrap_err().code(), "panicked");
        let reason = failed.await.unwrap();
        assert!(reason.contains("fake") && reason.contains("escalates"), "{reason}");
        assert!(stage.supervisor.snapshot().is_empty());
        assert!(stage.fake.ask(Do::echo(2)).await.is_err());
    });
}

#[test]
fn a_backend_that_always_panics_while_connecting_is_tried_at_a_bounded_rate() {
    use backstop_testkit::fake::ConnectEnd;
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.world.plan_connects(std::iter::repeat_n(ConnectEnd::Panic, 100_000));
        stage.fake.start_lane().unwrap();
        sim::pass(secs(600)).await;
        // 5 restarts in 60 s, then one try per open time of 30 to 60 s, and the probes in between.
        let crashes = stage.panicked();
        assert!((10..=80).contains(&crashes), "{crashes} crashes in ten minutes");
    });
}

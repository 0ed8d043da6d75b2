//! An outage is not a crash: it charges the breaker, never the restart limit.

use backstop_core::call::Deadline;
use backstop_core::{
    event::EventKind,
    policy::{Policy, circuit_breaker::BreakerState},
};
use backstop_supervisor::Order;
use backstop_testkit::{
    fake::{Do, Fact, Mode},
    sim::{self, ms, secs},
};

use crate::support::{Stage, no_retries};

#[test]
fn a_backend_that_is_down_for_an_hour_costs_no_restart_and_heals_within_one_probe_interval() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        assert!(stage.fake.ask(Do::echo(0)).await.is_ok());
        stage.world.set_mode(Mode::Down);
        for nonce in 1..=3_600 {
            assert!(stage.fake.ask(Do::echo(nonce)).await.is_err());
            sim::pass(secs(1)).await;
        }
        assert_eq!(stage.fake.breaker_state(), BreakerState::Open);
        let guard = stage.fake.snapshot().guard;
        assert_eq!((guard.incarnations, guard.restarts_in_window, stage.panicked()), (1, 0, 0));
        let sent = stage.world.count(|fact| matches!(fact, Fact::Received { .. }));
        assert!(sent < 20, "an open breaker sends nothing: {sent}");
        let probes = stage.world.count(|fact| matches!(fact, Fact::Probed { .. }));
        assert!((60..=130).contains(&probes), "one probe each 30 to 60 s: {probes}");

        stage.world.set_mode(Mode::Up);
        sim::pass(secs(60)).await;
        assert_ne!(stage.fake.breaker_state(), BreakerState::Open, "healed by the next probe");
        assert!(stage.fake.ask(Do::echo(4_000)).await.is_ok());
        stage.assert_idle();
    });
}

#[test]
fn the_breaker_closes_without_any_user_call() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        stage.fake.order(Order::Trip { reason: "test".into(), open_for: Some(secs(5)) }).await.unwrap();
        sim::pass(secs(10)).await;
        assert_eq!(stage.fake.breaker_state(), BreakerState::Closed);
    });
}

#[test]
fn transitions_form_one_chain_without_a_gap() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        for round in 0..20_u64 {
            stage.world.set_mode(if round % 2 == 0 { Mode::Down } else { Mode::Up });
            for nonce in 0..30 {
                let _ = stage.fake.ask(Do::slow(round * 100 + nonce, ms(5))).within(ms(100)).await;
                sim::pass(ms(700)).await;
            }
        }
        let chain = stage.events(|kind| match kind {
            EventKind::Transition { from, to, .. } => Some((*from, *to)),
            _ => None,
        });
        assert!(chain.len() > 10, "{chain:?}");
        let mut state = BreakerState::Closed;
        for (from, to) in chain {
            assert_eq!(from, state);
            state = to;
        }
    });
}

#[test]
fn routine_probes_keep_their_interval_however_long_it_is() {
    sim::run(async {
        let mut policy = Policy::default();
        policy.probe.interval = Some(secs(30));
        let stage = Stage::new(policy).await;
        sim::pass(secs(301)).await;
        let probes = stage.world.count(|fact| matches!(fact, Fact::Probed { .. }));
        assert!((9..=10).contains(&probes), "{probes} probes in five minutes");
    });
}

#[test]
fn a_stopped_backend_is_never_probed_again() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        stage.fake.order(Order::Trip { reason: "test".into(), open_for: Some(secs(5)) }).await.unwrap();
        let report = stage.supervisor.shutdown(Deadline::after(secs(1))).await;
        assert!(report.is_clean());
        let instances = stage.world.instances();
        sim::pass(secs(120)).await;
        assert_eq!(stage.world.instances(), instances, "no lane comes back to life");
        assert_eq!(stage.world.count(|fact| matches!(fact, Fact::Probed { .. })), 0);
    });
}

#[test]
fn an_open_time_ends_by_itself_though_probes_are_off() {
    sim::run(async {
        let mut policy = no_retries();
        policy.probe.enabled = false;
        let stage = Stage::new(policy).await;
        stage.fake.order(Order::Trip { reason: "test".into(), open_for: Some(secs(5)) }).await.unwrap();
        assert!(stage.fake.ask(Do::echo(1)).await.is_err());
        sim::pass(secs(4)).await;
        assert!(stage.fake.ask(Do::echo(2)).await.is_err());
        // With the grace that probes have, though none comes.
        sim::pass(secs(4)).await;
        assert!(
            stage.fake.ask(Do::echo(3)).await.is_ok(),
            "the third call does not look at the clock itself"
        );
        assert_eq!(stage.fake.breaker_state(), BreakerState::HalfOpen);
    });
}

//! Orders have a mailbox of their own.

use backstop_core::{
    clock,
    policy::{
        Policy,
        circuit_breaker::{BreakerState, Override, OverrideMode},
    },
};
use backstop_supervisor::{Order, OrderError};
use backstop_testkit::{
    fake::{Do, End, Mode},
    sim::{self, ms, secs},
};
use futures_util::future::join_all;

use crate::support::{Stage, code, no_retries, started};

#[test]
fn orders_overtake_a_full_intake() {
    sim::run(async {
        let stage = Stage::new(no_retries().intake(100)).await;
        for nonce in 0..100 {
            drop(started(stage.fake.ask(Do::ends(nonce, End::Hang)).within(secs(30))).await);
        }
        assert_eq!(code(stage.fake.ask(Do::echo(900)).await), "full");
        let start = clock::now();
        stage.fake.order(Order::Probe).await.unwrap();
        stage.fake.order(Order::Trip { reason: "test".into(), open_for: None }).await.unwrap();
        assert_eq!(stage.fake.breaker_state(), BreakerState::Open);
        stage.fake.order(Order::Reset).await.unwrap();
        stage.fake.order(Order::Restart { reason: "test".into() }).await.unwrap();
        assert!(sim::millis_since(start) <= 10);
    });
}

#[test]
fn a_restart_by_order_charges_nothing_and_calls_under_way_end_on_the_old_instance() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let slow = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        stage.fake.order(Order::Restart { reason: "test".into() }).await.unwrap();
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().instance, 2);
        assert_eq!(slow.await.unwrap().unwrap().instance, 1);
        assert_eq!((stage.panicked(), stage.fake.snapshot().guard.restarts_in_window), (0, 0));
        sim::settle().await;
        stage.assert_idle();
    });
}

#[test]
fn a_restart_by_order_reaches_every_lane() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        for lane in 0..4 {
            assert!(stage.fake.on_logical_lane(lane).ask(Do::echo(lane.into())).await.is_ok());
        }
        stage.fake.order(Order::Restart { reason: "test".into() }).await.unwrap();
        for lane in 0..4 {
            let done = stage.fake.on_logical_lane(lane).ask(Do::echo(u64::from(lane) + 10)).await.unwrap();
            assert!(done.instance > 4, "{done:?}");
        }
        stage.assert_idle();
    });
}

#[test]
fn pausing_refuses_new_calls_and_resuming_takes_them() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let slow = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        stage.fake.order(Order::Pause).await.unwrap();
        assert_eq!(code(stage.fake.ask(Do::echo(2)).await), "draining");
        assert!(slow.await.unwrap().is_ok());
        stage.fake.order(Order::Resume).await.unwrap();
        assert!(stage.fake.ask(Do::echo(3)).await.is_ok());
    });
}

#[test]
fn an_override_is_sticky_until_it_is_lifted() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        let closed = Override::new(OverrideMode::ForcedClosed, "ann", "test");
        stage.fake.order(Order::Force(Some(closed))).await.unwrap();
        stage.world.set_mode(Mode::Down);
        for nonce in 0..20 {
            assert_eq!(code(stage.fake.ask(Do::echo(nonce)).await), "unavailable");
        }
        stage.fake.order(Order::Force(None)).await.unwrap();
        assert_eq!(code(stage.fake.ask(Do::echo(30)).await), "unavailable");
        assert_eq!(code(stage.fake.ask(Do::echo(31)).await), "circuit_open");
        let open = Override::new(OverrideMode::ForcedOpen, "ann", "test");
        stage.fake.order(Order::Force(Some(open))).await.unwrap();
        stage.world.set_mode(Mode::Up);
        sim::pass(secs(600)).await;
        assert_eq!(code(stage.fake.ask(Do::echo(32)).await), "circuit_open");
        stage.fake.order(Order::Force(None)).await.unwrap();
        sim::pass(secs(20)).await;
        assert!(stage.fake.ask(Do::echo(33)).await.is_ok());
    });
}

#[test]
fn settings_change_while_calls_are_under_way() {
    sim::run(async {
        let stage = Stage::new(no_retries().concurrency(1)).await;
        let calls: Vec<_> = (0..4).map(|n| stage.fake.ask(Do::slow(n, ms(100)))).collect();
        let all = started(join_all(calls)).await;
        assert_eq!(stage.world.active(), 1);
        stage.fake.order(Order::Reconfigure(Box::new(no_retries().concurrency(4).intake(5)))).await.unwrap();
        sim::settle().await;
        assert_eq!(stage.world.active(), 4, "those that waited are let in at once");
        assert!(started(stage.fake.ask(Do::slow(8, ms(100)))).await.await.unwrap().is_ok());
        assert!(all.await.unwrap().iter().all(Result::is_ok));
        assert_eq!(stage.fake.guard().policy().intake, 5);
        let wrong = no_retries().intake(0);
        let refused = stage.fake.order(Order::Reconfigure(Box::new(wrong))).await.unwrap_err();
        assert!(
            matches!(refused, OrderError::Config(_)) && refused.to_string().contains("intake"),
            "{refused}"
        );
        assert_eq!(stage.fake.guard().policy().intake, 5, "nothing changed");
        stage.assert_idle();
    });
}

#[test]
fn settings_that_do_not_concern_the_breaker_leave_its_window() {
    sim::run(async {
        let stage = Stage::new(no_retries()).await;
        stage.world.set_mode(Mode::Down);
        for nonce in 0..4 {
            assert_eq!(code(stage.fake.ask(Do::echo(nonce)).await), "unavailable");
        }
        stage.fake.order(Order::Reconfigure(Box::new(no_retries().intake(9)))).await.unwrap();
        assert_eq!(stage.fake.snapshot().guard.breaker.failures, 4);
        assert_eq!(code(stage.fake.ask(Do::echo(5)).await), "unavailable");
        assert_eq!(code(stage.fake.ask(Do::echo(6)).await), "circuit_open", "the fifth in a row opened it");
    });
}

#[test]
fn an_order_to_an_ended_backend_says_so() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.supervisor.shutdown(backstop_core::call::Deadline::after(secs(1))).await;
        for order in [Order::Probe, Order::Reset, Order::Pause, Order::Restart { reason: "test".into() }] {
            assert!(matches!(stage.fake.order(order).await, Err(OrderError::Stopped)));
        }
        assert!(stage.supervisor.order("fake", Order::Reset).await.is_none(), "it is not listed any more");
    });
}

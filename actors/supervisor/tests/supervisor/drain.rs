//! An orderly end: intake stops, calls finish, the rest is given up by the deadline and reported.

use backstop_core::{call::Deadline, clock, error::Executed, policy::Policy};
use backstop_supervisor::Order;
use backstop_testkit::{
    fake::{CloseEnd, ConnectEnd, Do, End, Fact, FakeOptions, Step, World},
    sim::{self, ms, secs},
};

use crate::support::{Stage, code, started};

#[test]
fn a_drain_finishes_what_it_can_and_reports_what_it_gave_up() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let quick = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        let sent = started(stage.fake.ask(Do::ends(2, End::Hang)).within(secs(60))).await;
        let unsent = Step {
            sends: false,
            effect: backstop_testkit::fake::Effect::Never,
            end: End::Hang,
            ..Step::default()
        };
        let unsent = started(stage.fake.ask(Do::step_of(3, unsent)).within(secs(60))).await;
        let start = clock::now();
        let ending = {
            let supervisor = stage.supervisor.clone();
            started(async move { supervisor.shutdown(Deadline::after(secs(4))).await }).await
        };
        assert_eq!(code(stage.fake.ask(Do::echo(4)).await), "draining");
        let report = ending.await.unwrap();
        assert!(sim::millis_since(start) <= 4_000);
        let report = &report.backends[0];
        assert_eq!((report.finished, report.abandoned, report.stuck_lanes), (1, 2, 0));
        assert!(quick.await.unwrap().is_ok());
        let given_up = sent.await.unwrap().unwrap_err();
        assert_eq!((given_up.code(), given_up.executed()), ("cancelled", Executed::Unknown));
        let refused = unsent.await.unwrap().unwrap_err();
        assert_eq!((refused.code(), refused.executed()), ("draining", Executed::No));
        assert_eq!(code(stage.fake.ask(Do::echo(5)).await), "stopped");
        assert_eq!(stage.world.count(|fact| matches!(fact, Fact::Closed { .. })), 1);
        stage.assert_idle();
    });
}

#[test]
fn backends_end_in_reverse_order_of_their_start() {
    sim::run(async {
        let supervisor = sim::supervisor();
        let world = World::new();
        for name in ["a", "b", "c"] {
            let fake = supervisor.add(name, FakeOptions::new(&world), Policy::default()).await.unwrap();
            assert!(fake.ask(Do::echo(name.as_bytes()[0].into())).await.is_ok());
        }
        let report = supervisor.shutdown(Deadline::after(secs(3))).await;
        assert!(report.is_clean());
        let names: Vec<_> = report.backends.iter().map(|backend| backend.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
        let closed: Vec<_> = world
            .log()
            .into_iter()
            .filter_map(|(_, fact)| match fact {
                Fact::Closed { instance } => Some(instance),
                _ => None,
            })
            .collect();
        assert_eq!(closed, [3, 2, 1]);
    });
}

#[test]
fn one_backend_that_does_not_end_leaves_the_others_their_time() {
    sim::run(async {
        let supervisor = sim::supervisor();
        let (first, last) = (World::new(), World::new());
        let patient = supervisor.add("first", FakeOptions::new(&first), Policy::default()).await.unwrap();
        let hanging = supervisor.add("last", FakeOptions::new(&last), Policy::default()).await.unwrap();
        let slow = started(patient.ask(Do::slow(1, secs(4)))).await;
        let hung = started(hanging.ask(Do::ends(2, End::Hang)).within(secs(60))).await;
        let report = supervisor.shutdown(Deadline::after(secs(10))).await;
        assert_eq!(report.backends[0].abandoned, 1);
        assert_eq!(report.backends[1].abandoned, 0, "{report:?}");
        assert!(slow.await.unwrap().is_ok());
        assert_eq!(hung.await.unwrap().unwrap_err().executed(), Executed::Unknown);
    });
}

#[test]
fn a_close_that_hangs_does_not_outlast_the_deadline() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        assert!(stage.fake.ask(Do::echo(1)).await.is_ok());
        stage.world.set_close(CloseEnd::Hang);
        let start = clock::now();
        let report = stage.supervisor.shutdown(Deadline::after(secs(2))).await;
        assert!(sim::millis_since(start) <= 2_050, "{report:?}");
    });
}

#[test]
fn a_close_that_takes_its_time_is_waited_for() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        assert!(stage.fake.ask(Do::echo(1)).await.is_ok());
        stage.world.set_close(CloseEnd::After(secs(1)));
        stage.fake.order(Order::Restart { reason: "test".into() }).await.unwrap();
        assert!(stage.fake.ask(Do::echo(2)).await.is_ok());
        let report = stage.supervisor.shutdown(Deadline::after(secs(5))).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(stage.world.count(|fact| matches!(fact, Fact::Closed { .. })), 2, "the retired one too");
    });
}

#[test]
fn an_instance_that_is_ready_only_after_the_end_is_closed() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.world.plan_connects([ConnectEnd::Panic]);
        stage.fake.start_lane().unwrap();
        sim::settle().await;
        assert!(stage.supervisor.shutdown(Deadline::after(ms(50))).await.is_clean());
        sim::pass(secs(10)).await;
        let closed = stage.world.count(|fact| matches!(fact, Fact::Closed { .. }));
        assert_eq!(stage.world.instances(), closed as u64);
    });
}

#[test]
fn calls_that_wait_for_a_new_instance_are_refused_by_a_drain() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        stage.world.plan_connects([ConnectEnd::Hang]);
        let waiting = started(stage.fake.ask(Do::echo(1)).within(secs(60))).await;
        let report = stage.supervisor.shutdown(Deadline::after(secs(2))).await;
        assert_eq!(report.backends[0].abandoned, 1);
        let refused = waiting.await.unwrap().unwrap_err();
        assert_eq!((refused.code(), refused.executed()), ("draining", Executed::No));
        stage.assert_idle();
    });
}

#[test]
fn a_drain_keeps_the_counts_of_what_was_done() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        for nonce in 0..10 {
            assert!(stage.fake.ask(Do::echo(nonce)).await.is_ok());
        }
        assert!(stage.supervisor.shutdown(Deadline::after(secs(2))).await.is_clean());
        assert_eq!(stage.fake.snapshot().operations["do"].ok, 10);
        stage.assert_idle();
    });
}

#[test]
fn resuming_cannot_undo_the_end() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let hung = started(stage.fake.ask(Do::ends(1, End::Hang)).within(secs(60))).await;
        let supervisor = stage.supervisor.clone();
        let ending = started(async move { supervisor.shutdown(Deadline::after(secs(4))).await }).await;
        assert!(stage.fake.order(Order::Resume).await.is_err(), "while it drains");
        assert_eq!(code(stage.fake.ask(Do::echo(2)).await), "draining");
        ending.await.unwrap();
        assert!(stage.fake.order(Order::Resume).await.is_err(), "when it has ended");
        assert_eq!(code(stage.fake.ask(Do::echo(3)).await), "stopped");
        assert!(hung.await.unwrap().is_err());
    });
}

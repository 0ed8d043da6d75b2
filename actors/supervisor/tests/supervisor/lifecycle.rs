//! Backends come, change and go while the supervisor runs.

use backstop_core::{call::Deadline, event::EventKind, policy::Policy};
use backstop_supervisor::StartError;
use backstop_testkit::{
    fake::{Do, Fact, FakeOptions, World},
    sim::{self, secs},
};

use crate::support::{Stage, code, started};

#[test]
fn a_replaced_recipe_serves_new_calls_and_old_ones_end_where_they_began() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let slow = started(stage.fake.ask(Do::slow(1, secs(1)))).await;
        let recipe = FakeOptions::new(&stage.world).label(8);
        stage.supervisor.replace(&stage.fake, recipe).await.unwrap();
        assert_eq!(stage.fake.ask(Do::echo(2)).await.unwrap().label, 8);
        assert_eq!(slow.await.unwrap().unwrap().label, 0);
        sim::settle().await;
        assert_eq!(stage.world.count(|fact| *fact == Fact::Closed { instance: 1 }), 1);
        assert_eq!(stage.events(|kind| (*kind == EventKind::Replaced).then_some(())).len(), 1);
        stage.assert_idle();
    });
}

#[test]
fn a_recipe_that_cannot_work_changes_nothing() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        let wrong = FakeOptions::new(&stage.world).label(u64::MAX);
        let refused = stage.supervisor.replace(&stage.fake, wrong.clone()).await.unwrap_err();
        assert!(refused.to_string().contains("label"), "{refused}");
        assert_eq!(stage.fake.ask(Do::echo(1)).await.unwrap().label, 0);
        let refused = stage.supervisor.add("other", wrong, Policy::default()).await.unwrap_err();
        assert!(matches!(refused, StartError::Config { .. }), "{refused}");
        assert_eq!(stage.supervisor.snapshot().len(), 1);
    });
}

#[test]
fn a_removed_backend_is_drained_and_its_name_is_free_again() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        assert!(stage.fake.ask(Do::echo(1)).await.is_ok());
        let taken = stage.supervisor.add("fake", FakeOptions::new(&World::new()), Policy::default()).await;
        assert!(matches!(taken, Err(StartError::NameTaken(_))));
        let report = stage.supervisor.remove("fake", Deadline::after(secs(1))).await.unwrap();
        assert_eq!((report.abandoned, report.stuck_lanes), (0, 0));
        assert_eq!(code(stage.fake.ask(Do::echo(2)).await), "stopped");
        assert!(stage.supervisor.remove("fake", Deadline::after(secs(1))).await.is_none());
        let again =
            stage.supervisor.add("fake", FakeOptions::new(&World::new()), Policy::default()).await.unwrap();
        assert!(again.ask(Do::echo(3)).await.is_ok());
        assert_eq!(code(stage.fake.ask(Do::echo(4)).await), "stopped", "the old reference stays at its end");
    });
}

#[test]
fn names_are_checked() {
    sim::run(async {
        let supervisor = sim::supervisor();
        for name in ["", "A", "a b", &"x".repeat(65)] {
            let refused = supervisor.add(name, FakeOptions::new(&World::new()), Policy::default()).await;
            assert!(matches!(refused, Err(StartError::BadName(_))), "{name}");
        }
    });
}

#[test]
fn what_instances_shared_is_gone_when_the_backend_has_ended() {
    sim::run(async {
        let stage = Stage::new(Policy::default()).await;
        assert!(stage.fake.ask(Do::echo(1)).await.is_ok());
        let before = stage.world.shares();
        assert_eq!(before, 1);
        let started = backstop_core::clock::now();
        stage.supervisor.remove("fake", Deadline::after(secs(1))).await.unwrap();
        sim::settle().await;
        assert_eq!(backstop_core::clock::now(), started, "nothing that lives on has to be waited for");
        assert_eq!(stage.world.shares(), 0, "though the reference is still held");
    });
}

#[test]
fn a_backend_that_has_ended_is_dropped_with_its_last_reference() {
    sim::run(async {
        let Stage { supervisor, fake, world: _ } = Stage::new(Policy::default()).await;
        assert!(fake.ask(Do::echo(1)).await.is_ok());
        let guard = std::sync::Arc::downgrade(fake.guard());
        supervisor.shutdown(Deadline::after(secs(1))).await;
        let started = backstop_core::clock::now();
        drop(fake);
        sim::settle().await;
        assert_eq!(backstop_core::clock::now(), started);
        assert!(guard.upgrade().is_none(), "no actor and no task holds it");
    });
}

#[test]
fn what_the_lanes_share_is_counted_once_in_the_pool_however_many_lanes_there_are() {
    sim::run(async {
        let (supervisor, world) = (sim::supervisor(), World::new());
        let recipe = FakeOptions::new(&world).shared_idle(3);
        let fake = supervisor.add("fake", recipe, Policy::default()).await.unwrap();
        assert_eq!(fake.pool().await.idle, 3, "before the first lane");
        for lane in 0..2 {
            fake.on_logical_lane(lane).ask(Do::echo(u64::from(lane))).await.unwrap();
        }
        assert_eq!(fake.pool().await.idle, 3);
    });
}

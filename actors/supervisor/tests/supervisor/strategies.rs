//! What the loss of one instance means for the other backends.

use backstop_core::policy::Policy;
use backstop_supervisor::{BackendRef, Strategy, Supervisor, SupervisorOptions};
use backstop_testkit::{
    fake::{Do, End, Fake, FakeOptions, World},
    sim,
};

use crate::support::eager_restarts;

/// Starts three backends, lets the middle one panic, and returns the instances that serve afterwards.
fn instances_after_a_panic_in_the_middle(strategy: Strategy) -> Vec<u64> {
    sim::run(async {
        let supervisor = Supervisor::start(SupervisorOptions { strategy, ..sim::single() }).unwrap();
        let mut all: Vec<BackendRef<Fake>> = Vec::new();
        for name in ["first", "second", "third"] {
            let policy = Policy::default().restart(eager_restarts());
            let fake = supervisor.add(name, FakeOptions::new(&World::new()), policy).await.unwrap();
            assert_eq!(fake.ask(Do::echo(0)).await.unwrap().instance, 1);
            all.push(fake);
        }
        assert!(all[1].ask(Do::ends(1, End::Panic)).await.is_err());
        sim::pass(sim::ms(50)).await;
        let mut instances = Vec::new();
        for fake in &all {
            instances.push(fake.ask(Do::echo(2)).await.unwrap().instance);
        }
        instances
    })
}

#[test]
fn one_for_one_replaces_the_one_that_panicked() {
    assert_eq!(instances_after_a_panic_in_the_middle(Strategy::OneForOne), [1, 2, 1]);
}

#[test]
fn one_for_all_replaces_all_of_them() {
    assert_eq!(instances_after_a_panic_in_the_middle(Strategy::OneForAll), [2, 2, 2]);
}

#[test]
fn rest_for_one_replaces_those_that_were_started_later() {
    assert_eq!(instances_after_a_panic_in_the_middle(Strategy::RestForOne), [1, 2, 2]);
}

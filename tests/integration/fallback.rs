//! Ordered alternatives.

use std::time::Duration;

use backstop::{
    orchestrator::{Ended, Member},
    prelude::*,
};

use crate::fake::{Do, Fake, FakeOptions, World, end, policy};

async fn two(world: &World) -> (Runtime, BackendRef<Fake>, BackendRef<Fake>) {
    let runtime = Runtime::builder()
        .backend("primary", FakeOptions::new(world), policy())
        .backend("replica", FakeOptions::new(world), policy())
        .start()
        .await
        .unwrap();
    let (primary, replica) = (runtime.backend("primary").unwrap(), runtime.backend("replica").unwrap());
    (runtime, primary, replica)
}

#[tokio::test]
async fn the_first_answer_ends_it_and_names_who_gave_it() {
    let world = World::new();
    let (runtime, primary, replica) = two(&world).await;
    let answer = Fallback::ask(&primary, Do::reply(1)).or(&replica, Do::reply(2)).await.unwrap();
    assert_eq!((answer.value, answer.by.as_str(), answer.earlier.len()), (1.into(), "primary", 0));
    assert_eq!(world.seen().begun.len(), 1, "the second alternative was not begun");

    let answer = Fallback::ask(&primary, Do::fail(Executed::No)).or(&replica, Do::reply(2)).await.unwrap();
    assert_eq!((answer.value, answer.by.as_str()), (2.into(), "replica"));
    assert_eq!(answer.earlier[0].backend(), "primary");

    let none = Fallback::ask(&primary, Do::fail(Executed::No))
        .or(&replica, Do::fail(Executed::No))
        .await
        .unwrap_err();
    assert_eq!((none.ended, none.errors.len(), none.executed()), (Ended::Exhausted, 2, Executed::No));
    end(runtime).await;
}

#[tokio::test]
async fn a_write_whose_execution_is_unknown_goes_nowhere_else_unless_the_caller_says_so() {
    let world = World::new();
    let (runtime, primary, replica) = two(&world).await;
    for class in [Class::Unsafe, Class::Transaction, Class::Idempotent, Class::Keyed] {
        let doubtful = || Do::fail(Executed::Unknown).of(class);
        let none = Fallback::ask(&primary, doubtful()).or(&replica, Do::reply(2)).await.unwrap_err();
        assert_eq!((none.ended, none.executed()), (Ended::InDoubt, Executed::Unknown), "{class:?}");
        assert_eq!(none.untried, ["replica"]);
        let none = Fallback::ask(&primary, doubtful()).or_value(|| 0.into()).await.unwrap_err();
        assert_eq!(none.ended, Ended::InDoubt, "a value must not hide a write in doubt");
        let answer =
            Fallback::ask(&primary, doubtful()).or(&replica, Do::reply(2)).even_if_unknown().await.unwrap();
        assert_eq!(answer.by, "replica");
    }
    let done = Do::fail(Executed::Yes);
    let none = Fallback::ask(&primary, done).or(&replica, Do::reply(2)).even_if_unknown().await.unwrap_err();
    assert_eq!(
        (none.ended, none.executed()),
        (Ended::InDoubt, Executed::Yes),
        "what was done is never done again"
    );

    let read = Do::fail(Executed::Unknown).of(Class::Read);
    assert_eq!(Fallback::ask(&primary, read).or(&replica, Do::reply(2)).await.unwrap().by, "replica");
    let same =
        Fallback::ask(&primary, Do::fail(Executed::Unknown).of(Class::Idempotent)).or(&primary, Do::reply(3));
    assert_eq!(same.await.unwrap().value, 3, "its own backend may see an idempotent write again");
    end(runtime).await;
}

#[tokio::test]
async fn one_deadline_is_shared_so_that_a_hanging_primary_leaves_time_for_the_replica() {
    let world = World::new();
    let (runtime, primary, replica) = two(&world).await;
    let hang = || Do::hold("never").of(Class::Read);
    let fallback =
        Fallback::ask(&primary, hang()).or(&replica, Do::reply(2)).within(Duration::from_millis(800));
    let answer = fallback.await.unwrap();
    assert_eq!((answer.by.as_str(), answer.earlier[0].code()), ("replica", "timeout"));
    assert!(answer.elapsed >= Duration::from_millis(395) && answer.elapsed < Duration::from_secs(5));

    let fallback = Fallback::ask(&primary, hang()).or(&replica, hang()).or_value(|| 9.into());
    let answer = fallback.within(Duration::from_millis(600)).await.unwrap();
    assert_eq!((answer.value, answer.by.as_str(), answer.earlier.len()), (9.into(), "value", 2));

    let none = Fallback::ask(&primary, Do::reply(1)).within(Duration::ZERO).await.unwrap_err();
    assert_eq!((none.ended, none.errors.len()), (Ended::Deadline, 0));
    world.until(|seen| seen.active == 0).await;
    end(runtime).await;
}

#[tokio::test]
async fn the_caller_decides_after_which_errors_to_go_on() {
    let world = World::new();
    let (runtime, primary, replica) = two(&world).await;
    let only = |code: &'static str| {
        Fallback::ask(&primary, Do::fail(Executed::No))
            .or(&replica, Do::reply(2))
            .only_when(move |error| error.code() == code)
    };
    assert_eq!(only("refused").await.unwrap().by, "replica");
    assert_eq!(only("unavailable").await.unwrap_err().ended, Ended::Declined);
    end(runtime).await;
}

#[tokio::test]
async fn an_open_breaker_falls_through_at_once_and_asks_by_name_take_part() {
    let world = World::new();
    let (runtime, primary, _) = two(&world).await;
    primary.order(backstop::Order::Trip { reason: "test".into(), open_for: None }).await.unwrap();
    let by_name = runtime.orchestrator().execute("replica", "reply", serde_json::json!({"value": 4}));
    let answer = Fallback::ask(&primary, Do::reply(1))
        .or_member("replica", Class::Read, by_name.boxed_ask())
        .await
        .unwrap();
    assert_eq!((answer.value, answer.earlier[0].code()), (4.into(), "circuit_open"));
    end(runtime).await;
}

//! Start, names, changes while running, and the end.

use std::{future::IntoFuture, time::Duration};

use backstop::{
    core::error::RejectionReason,
    orchestrator::LookupError,
    prelude::*,
    runtime::{RuntimeError, StartStep},
};

use crate::fake::{Act, Do, Fake, FakeOptions, World, end, one, policy};

/// A backend of another kind, without a wire form.
mod plain {
    use std::sync::Arc;

    use backstop::{
        core::{
            backend::{Backend, Connect, Serve},
            call::CallContext,
            error::{ConfigError, Failure},
        },
        prelude::*,
    };

    #[derive(Clone)]
    pub(super) struct PlainOptions;
    pub(super) struct Plain;
    pub(super) struct Double(pub(super) u64);

    impl Connect for PlainOptions {
        type Shared = ();
        type Backend = Plain;
        fn share(&self) -> Result<(), ConfigError> {
            Ok(())
        }
        async fn connect(&self, _: &Arc<()>) -> Result<Plain, ConfigError> {
            Ok(Plain)
        }
    }
    impl Backend for Plain {
        const KIND: &'static str = "plain";
        async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
            Ok(())
        }
        async fn close(&self, _: Deadline) {}
    }
    impl Message for Double {
        type Reply = u64;
        const NAME: &'static str = "double";
    }
    impl Serve<Double> for Plain {
        async fn serve(&self, double: &Double, _: &CallContext) -> Result<u64, Failure> {
            Ok(double.0 * 2)
        }
    }
}
use plain::{Double, Plain, PlainOptions};

#[tokio::test]
async fn a_wrong_name_lists_near_ones_and_a_wrong_kind_says_what_it_is() {
    let world = World::new();
    let runtime = Runtime::builder()
        .backend("users", FakeOptions::new(&world), policy())
        .typed_backend("numbers", PlainOptions, policy())
        .start()
        .await
        .unwrap();
    let error = runtime.backend::<Fake>("usres").unwrap_err();
    assert!(matches!(&error, LookupError::Unknown { near, .. } if near == &["users"]), "{error:?}");
    assert_eq!(error.to_string(), "no backend is named `usres`; did you mean `users`?");
    let error = runtime.backend::<Fake>("payments").unwrap_err();
    assert!(error.to_string().contains("there are `users`, `numbers`"), "{error}");
    let error = runtime.backend::<Fake>("numbers").unwrap_err();
    assert_eq!(error.to_string(), "backend `numbers` is of kind `plain`, not `fake`");

    let error = runtime.orchestrator().execute("usres", "reply", 1.into()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), ("unknown_backend", Executed::No));
    assert!(error.to_string().contains("`users`"), "{error}");
    let error = runtime.orchestrator().execute("numbers", "double", 1.into()).await.unwrap_err();
    assert!(error.to_string().contains("typed messages"), "{error}");
    let error = runtime.orchestrator().execute("users", "repyl", 1.into()).await.unwrap_err();
    assert!(matches!(error.as_rejection().unwrap().reason(), RejectionReason::Invalid(_)));
    assert!(error.to_string().contains("there are: reply, hold"), "{error}");

    let numbers = runtime.backend::<Plain>("numbers").unwrap();
    assert_eq!(numbers.ask(Double(21)).await.unwrap(), 42);
    end(runtime).await;
}

#[tokio::test]
async fn a_failed_start_stops_what_was_started_and_names_backend_and_step() {
    let world = World::new();
    let mut probed = policy();
    probed.probe.interval = Some(Duration::from_millis(1));
    let started = Runtime::builder()
        .backend("first", FakeOptions::new(&world), probed)
        .backend("second", FakeOptions::recipe(&world, 0), policy())
        .backend("third", FakeOptions::new(&world), policy())
        .start();
    let error = started.await.unwrap_err();
    assert_eq!(error.step(), Some(StartStep::Settings));
    let text = error.to_string();
    assert!(text.contains("`second`") && text.contains("settings") && text.contains("recipe"), "{text}");
    let seen = world.seen();
    assert_eq!((seen.connected, seen.closed), (1, 1), "the instance of the first one was closed again");

    for (name, step) in [("Bad Name", StartStep::Name), ("first", StartStep::Name)] {
        let started = Runtime::builder()
            .backend("first", FakeOptions::new(&world), policy())
            .backend(name, FakeOptions::new(&world), policy())
            .start();
        assert_eq!(started.await.unwrap_err().step(), Some(step), "{name}");
    }
    let placed = Runtime::builder().place("nobody", backstop::Placement::Dedicated).start().await;
    assert!(matches!(placed, Err(RuntimeError::PlacedNobody(name)) if name == "nobody"));
}

#[tokio::test]
async fn backends_are_added_replaced_and_removed_while_others_run() {
    let world = World::new();
    let runtime = one(&world, "first").await;
    let first = runtime.backend::<Fake>("first").unwrap();
    let held = tokio::spawn(first.ask(Do::hold("h")).into_future());
    world.until(|seen| seen.active == 1).await;

    let second = runtime.add("second", FakeOptions::recipe(&world, 2), policy()).await.unwrap();
    assert_eq!(second.ask(Do::new("r", Act::Recipe)).await.unwrap(), 2);
    let again = runtime.add("second", FakeOptions::new(&world), policy()).await.unwrap_err();
    assert_eq!(again.step(), Some(StartStep::Name));
    assert_eq!(second.ask(Do::new("r", Act::Recipe)).await.unwrap(), 2, "the first one stays");

    runtime.replace("second", FakeOptions::recipe(&world, 3)).await.unwrap();
    assert_eq!(second.ask(Do::new("r", Act::Recipe)).await.unwrap(), 3, "old references see the new recipe");
    let broken = runtime.replace("second", FakeOptions::recipe(&world, 0)).await.unwrap_err();
    assert_eq!(broken.step(), Some(StartStep::Settings));
    assert_eq!(second.ask(Do::new("r", Act::Recipe)).await.unwrap(), 3, "a wrong recipe changes nothing");
    let missing = runtime.replace("secnd", FakeOptions::new(&world)).await.unwrap_err();
    assert!(missing.to_string().contains("`second`"), "{missing}");

    assert_eq!(
        runtime.orchestrator().execute("second", "reply", serde_json::json!({"value": 5})).await.unwrap(),
        5
    );
    let deadline = || Deadline::after(Duration::from_secs(5));
    let report = runtime.remove("second", deadline()).await.unwrap();
    assert_eq!((report.name.as_str(), report.abandoned), ("second", 0));
    assert!(runtime.backend::<Fake>("second").is_err());
    assert_eq!(second.ask(Do::reply(1)).await.unwrap_err().code(), "stopped");
    assert!(runtime.remove("second", deadline()).await.is_none());
    runtime.add("second", FakeOptions::recipe(&world, 4), policy()).await.unwrap();
    assert_eq!(runtime.backend::<Fake>("second").unwrap().ask(Do::new("r", Act::Recipe)).await.unwrap(), 4);

    world.release("h");
    assert_eq!(held.await.unwrap().unwrap(), "h", "the call that was under way all the time is untouched");
    let names: Vec<_> = runtime.snapshot().into_iter().map(|backend| backend.name).collect();
    assert_eq!(names, ["first", "second"]);
    end(runtime).await;
}

#[tokio::test]
async fn shutdown_waits_for_calls_and_refuses_new_ones() {
    let world = World::new();
    let runtime = one(&world, "first").await;
    let first = runtime.backend::<Fake>("first").unwrap();
    let held = tokio::spawn(first.ask(Do::hold("h")).into_future());
    world.until(|seen| seen.active == 1).await;
    let stopping = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.shutdown(Deadline::after(Duration::from_secs(10))).await }
    });
    let mut seq = 0;
    while !runtime.events().since(0).events.iter().any(|event| format!("{:?}", event.kind) == "Draining") {
        runtime.events().wait_after(seq).await;
        seq = runtime.events().newest();
    }
    assert_eq!(first.ask(Do::reply(1)).await.unwrap_err().code(), "draining");
    world.release("h");
    assert_eq!(held.await.unwrap().unwrap(), "h");
    let report = stopping.await.unwrap();
    assert!(report.is_clean());
    assert_eq!(report.backends[0].finished, 1);
}

#[tokio::test]
async fn dropping_the_last_handle_stops_the_backends_in_the_background() {
    let world = World::new();
    let runtime = one(&world, "first").await;
    let (first, events) = (runtime.backend::<Fake>("first").unwrap(), runtime.events().clone());
    first.ask(Do::reply(1)).await.unwrap();
    let handle = runtime.clone();
    drop(runtime);
    first.ask(Do::reply(1)).await.unwrap();
    drop(handle);
    let mut seq = 0;
    while !events.since(0).events.iter().any(|event| format!("{:?}", event.kind).starts_with("Stopped")) {
        events.wait_after(seq).await;
        seq = events.newest();
    }
    world.until(|seen| seen.closed >= 1).await;
    assert_eq!(first.ask(Do::reply(1)).await.unwrap_err().code(), "stopped");
}

#[tokio::test]
async fn orders_reach_a_backend_by_name() {
    let world = World::new();
    let runtime = one(&world, "first").await;
    let first = runtime.backend::<Fake>("first").unwrap();
    let trip = backstop::Order::Trip { reason: "test".into(), open_for: None };
    runtime.order("first", trip).await.unwrap();
    let error = first.ask(Do::reply(1)).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), ("circuit_open", Executed::No));
    runtime.order("first", backstop::Order::Reset).await.unwrap();
    first.ask(Do::reply(1)).await.unwrap();
    let unknown = runtime.order("frist", backstop::Order::Reset).await.unwrap_err();
    assert!(unknown.to_string().contains("`first`"), "{unknown}");
    end(runtime).await;
}

#[tokio::test]
async fn statistics_count_by_backend_and_kind_of_message() {
    let world = World::new();
    let runtime = Runtime::builder()
        .backend("a", FakeOptions::new(&world), policy())
        .backend("b", FakeOptions::new(&world), policy())
        .start()
        .await
        .unwrap();
    let (a, b) = (runtime.backend::<Fake>("a").unwrap(), runtime.backend::<Fake>("b").unwrap());
    a.ask(Do::reply(1)).await.unwrap();
    a.ask(Do::fail(Executed::No)).await.unwrap_err();
    b.ask(Do::reply(1)).await.unwrap();
    let statistics = runtime.orchestrator().statistics();
    assert_eq!((statistics.totals.ok, statistics.totals.failed), (2, 1));
    assert_eq!(statistics.backends.len(), 2);
    assert_eq!(statistics.backends[0].name, "a");
    let operation = &statistics.backends[0].operations["do"];
    assert_eq!((operation.ok, operation.failed_not_executed), (1, 1));
    end(runtime).await;
}

#[tokio::test]
async fn slow_calls_of_all_backends_come_in_one_list() {
    let world = World::new();
    let mut slow = policy();
    slow.breaker.slow_after = Duration::from_millis(1);
    let runtime = Runtime::builder()
        .backend("a", FakeOptions::new(&world), slow.clone())
        .backend("b", FakeOptions::new(&world), slow)
        .start()
        .await
        .unwrap();
    for (number, name) in ["a", "b", "a"].into_iter().enumerate() {
        let label = number.to_string();
        let held = tokio::spawn(runtime.backend::<Fake>(name).unwrap().ask(Do::hold(&label)).into_future());
        world.until(|seen| seen.active == 1).await;
        tokio::time::sleep(Duration::from_millis(2)).await; // what makes the call slow
        world.release(&label);
        held.await.unwrap().unwrap();
    }
    let names = |limit| -> Vec<_> {
        runtime.orchestrator().slow_calls(limit).into_iter().map(|slow| slow.backend).collect()
    };
    assert_eq!(names(10), ["a", "b", "a"]);
    assert_eq!(names(1).len(), 1);
    end(runtime).await;
}

#[tokio::test]
async fn of_two_backends_that_are_added_under_one_name_at_once_the_refused_one_leaves_nothing_behind() {
    let world = World::new();
    let runtime = Runtime::builder().start().await.unwrap();
    let mut probed = policy();
    probed.probe.interval = Some(Duration::from_millis(1));
    let add = || runtime.add("twin", FakeOptions::new(&world), probed.clone());
    let (first, second) = tokio::join!(add(), add());
    assert!(first.is_ok() != second.is_ok());
    world.until(|seen| seen.probed >= 20).await;
    runtime.remove("twin", Deadline::after(Duration::from_secs(5))).await.unwrap();
    let seen = world.seen();
    assert_eq!(seen.connected, seen.closed, "every instance that was built is closed again");
    end(runtime).await;
}

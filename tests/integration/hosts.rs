//! The same runtime under every host: tokio, actix, plain threads, attached workers.

use std::{future::IntoFuture, time::Duration};

use backstop::{BlockingError, Placement, prelude::*, runtime::AttachError};
use serde_json::Value;

use crate::fake::{Act, Do, Fake, FakeOptions, World, end, one, policy};

fn here() -> Value {
    format!("{:?}", std::thread::current().id()).into()
}

fn where_am_i() -> Do {
    Do::new("thread", Act::Thread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_a_multi_thread_tokio_runtime_calls_come_from_everywhere() {
    let world = World::new();
    let runtime = tokio::spawn(async move { one(&world, "b").await }).await.unwrap();
    let b = runtime.backend::<Fake>("b").unwrap();
    let tasks: Vec<_> = (0..200_u64).map(|n| tokio::spawn(b.ask(Do::reply(n)).into_future())).collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), n);
    }
    let (one, two) = Gather::all((b.ask(Do::reply(1)), b.ask(Do::reply(2)))).await;
    assert_eq!((one.unwrap(), two.unwrap()), (1.into(), 2.into()));
    end(runtime).await;
}

#[actix_rt::test]
async fn under_an_actix_system_a_call_stays_on_its_thread() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    assert_eq!(b.ask(where_am_i()).await.unwrap(), here());
    let arbiter = actix_rt::Arbiter::new();
    let (told, other) = tokio::sync::oneshot::channel();
    arbiter.spawn(async move {
        let served = b.ask(where_am_i()).await.unwrap();
        let _ = told.send((served, here()));
    });
    let (served, there) = other.await.unwrap();
    assert_eq!(served, there);
    assert_ne!(there, here());
    end(runtime).await;
    arbiter.stop();
}

#[test]
fn plain_threads_ask_by_blocking_and_without_any_runtime_of_their_own() {
    let world = World::new();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = tokio.block_on(one(&world, "b"));
    let b = runtime.backend::<Fake>("b").unwrap();
    let threads: Vec<_> = (0..8_u64)
        .map(|n| {
            let b = b.clone();
            std::thread::spawn(move || b.ask_blocking(Do::reply(n)).unwrap())
        })
        .collect();
    for (n, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), n);
    }
    let inside = tokio.block_on(async { b.ask_blocking(Do::reply(1)) });
    assert!(matches!(inside, Err(BlockingError::InsideRuntime)));
    tokio.block_on(end(runtime));
}

#[test]
fn an_attached_worker_serves_on_its_own_thread_and_other_threads_are_refused() {
    let world = World::new();
    let tokio = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = tokio().block_on(one(&world, "b"));
    let worker = std::thread::spawn({
        let runtime = runtime.clone();
        move || {
            tokio::task::LocalSet::new().block_on(&tokio(), async {
                let b = runtime.backend::<Fake>("b").unwrap();
                runtime.attach_worker().unwrap();
                assert_eq!(b.ask(where_am_i()).await.unwrap(), here());
                runtime.orchestrator().local_addr().unwrap();
            });
        }
    });
    worker.join().unwrap();
    let elsewhere = std::thread::spawn({
        let runtime = runtime.clone();
        move || tokio().block_on(async move { runtime.attach_worker() })
    });
    assert!(matches!(elsewhere.join().unwrap(), Err(AttachError::NoLocalSet)));
    tokio().block_on(end(runtime));
}

#[tokio::test]
async fn a_dedicated_backend_runs_on_a_thread_of_its_own() {
    let world = World::new();
    let runtime = Runtime::builder()
        .backend("a", FakeOptions::new(&world), policy())
        .backend("b", FakeOptions::new(&world), policy())
        .place("b", Placement::Dedicated)
        .home_threads(1)
        .start()
        .await
        .unwrap();
    let (a, b) = (runtime.backend::<Fake>("a").unwrap(), runtime.backend::<Fake>("b").unwrap());
    let (a, b) = Gather::all((a.ask(where_am_i()), b.ask(where_am_i()))).within(Duration::from_secs(5)).await;
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a != b && b != here());
    end(runtime).await;
}

#[test]
fn the_start_and_everything_else_can_be_spawned() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let world = World::new();
    drop(is_send(Runtime::builder().backend("b", FakeOptions::new(&world), policy()).start()));
    fn of(runtime: &Runtime, b: &BackendRef<Fake>) {
        drop(is_send(runtime.shutdown(Deadline::after(Duration::ZERO))));
        drop(is_send(runtime.orchestrator().execute("b", "reply", Value::Null)));
        drop(is_send(Gather::all((b.ask(Do::reply(1)),)).into_future()));
        drop(is_send(Fallback::ask(b, Do::reply(1)).into_future()));
    }
    let _ = of;
}

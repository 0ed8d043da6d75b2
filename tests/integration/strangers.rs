//! Every kind of backend, called from tasks that `tokio::spawn` started on an arbiter, beside its `LocalSet`.
#![cfg(feature = "demo")]

use std::{
    future::{Future, IntoFuture},
    time::Duration,
};

use crate::fake::policy;
use actix_web::{App, HttpResponse, HttpServer, web};
use backstop::{
    core::backend::{Backend, Serve},
    http::{Get, HttpOptions},
    mysql::MySqlOptions,
    postgres::PostgresOptions,
    prelude::*,
    sql::{Query, crud::SelectOne},
    sqlite::SqliteOptions,
};
use backstop_servers::{MariaDb, MariaDbSetup, Postgres, PostgresSetup};

/// Calls one after the other, with pauses in which idle connections end, and many at once; each from a new task.
async fn calls<B, M>(backend: BackendRef<B>, message: impl Fn() -> M)
where
    B: Backend + Serve<M>,
    M: Message,
    M::Reply: Send,
{
    let ask = || tokio::spawn(backend.ask(message()).into_future());
    for _ in 0..6 {
        assert!(ask().await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let many: Vec<_> = (0..40).map(|_| ask()).collect();
    for call in many {
        let answer = call.await.unwrap();
        assert!(answer.is_ok(), "{}: {:?}", backend.name(), answer.err());
    }
    assert!(backend.snapshot().lanes.iter().all(|lane| !lane.home), "served on the arbiter itself");
}

/// Runs something on an arbiter of its own; a panic there fails the test.
async fn on_an_arbiter<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let arbiter = actix_rt::Arbiter::new();
    let (done, is_done) = tokio::sync::oneshot::channel();
    arbiter.spawn_fn(move || {
        actix_rt::spawn(async move {
            work().await;
            let _ = done.send(());
        });
    });
    let waited = tokio::time::timeout(Duration::from_secs(60), is_done).await;
    assert!(matches!(waited, Ok(Ok(()))), "the work panicked or hangs");
    arbiter.stop();
}

#[actix_rt::test]
async fn every_backend_answers_tasks_beside_the_local_set() {
    let (postgres, mariadb) = (
        Postgres::start(PostgresSetup::default()).unwrap(),
        MariaDb::start(MariaDbSetup::default()).unwrap(),
    );
    let web = HttpServer::new(|| App::new().route("/", web::get().to(HttpResponse::Ok)));
    let web = web.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let mut http = HttpOptions::new(&format!("http://{}", web.addrs()[0])).unwrap();
    http.keep_alive = Duration::from_millis(5);
    let web = web.run();
    let stop = web.handle();
    let serving = actix_rt::spawn(web);

    let runtime = Runtime::builder()
        .backend("http", http, policy())
        .backend("lite", SqliteOptions::memory(), policy())
        .backend("pg", PostgresOptions::url(postgres.url()), policy())
        .backend("my", MySqlOptions::url(mariadb.url()), policy())
        .start()
        .await
        .unwrap();
    let backends = runtime.clone();
    on_an_arbiter(async move || {
        calls(backends.backend::<backstop::http::Http>("http").unwrap(), || Get::new("/").build().unwrap())
            .await;
        let one = || Query::new("SELECT 1");
        calls(backends.backend::<backstop::sqlite::Sqlite>("lite").unwrap(), one).await;
        calls(backends.backend::<backstop::mysql::MySql>("my").unwrap(), one).await;
        let pg = backends.backend::<backstop::postgres::Postgres>("pg").unwrap();
        calls(pg.clone(), one).await;
        calls(pg, || SelectOne::new("pg_type", ("typname", "int8")).columns(["typlen"])).await;
        let orchestrator = backends.orchestrator().clone();
        let actor = tokio::spawn(async move { orchestrator.local_addr() }).await.unwrap().unwrap();
        let query =
            backstop::orchestrator::Execute::new("lite", "query", serde_json::json!({"sql": "SELECT 1"}));
        assert!(actor.send(query).await.unwrap().is_ok());
    })
    .await;
    assert!(runtime.shutdown(Deadline::after(Duration::from_secs(5))).await.is_clean());
    stop.stop(false).await;
    serving.await.unwrap().unwrap();
}

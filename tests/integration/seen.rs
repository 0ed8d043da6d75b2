//! What an application sees: slow queries and statements of SQL backends, and what it records itself.
#![cfg(feature = "sqlite")]

use std::time::Duration;

use backstop::{
    SqlInsight as _, api_operation, background_task, catalog,
    core::event::EventKind,
    database_operation, durations,
    prelude::*,
    sql::{Explain, Query, Transact},
    sqlite::{Sqlite, SqliteOptions},
};
use serde_json::json;

use crate::fake::end;

const SELECT: &str = "SELECT ? AS n";

async fn with(options: SqliteOptions) -> (Runtime, BackendRef<Sqlite>) {
    let mut policy = Policy::default();
    policy.alert.interval = Some(Duration::from_millis(100));
    let runtime = Runtime::builder().backend("db", options, policy).start().await.unwrap();
    let db = runtime.backend::<Sqlite>("db").unwrap();
    (runtime, db)
}

#[tokio::test]
async fn slow_queries_are_read_by_type_and_over_all_backends_and_each_can_be_explained() {
    let settings = json!({"path": ":memory:", "slow_query_threshold": "1ns", "leak_after": "0s"});
    let connector = catalog::connector("sqlite", settings).unwrap();
    let runtime = Runtime::builder().connector("db", connector, Policy::default()).start().await.unwrap();
    let db = runtime.backend::<Sqlite>("db").unwrap();
    for n in 0..3 {
        db.ask(Query::new(SELECT).bind(n)).await.unwrap();
    }
    assert_eq!(db.statements(10)[0].calls(), 3);
    let slow = runtime.orchestrator().slow_queries(2);
    assert_eq!(slow.len(), 2);
    let json = serde_json::to_value(&slow[0]).unwrap();
    assert_eq!((&json["backend"], &json["sql"], &json["rows"]), (&json!("db"), &json!(SELECT), &json!(1)));
    assert!(!db.ask(Explain::new(slow[0].query.sql.clone())).await.unwrap().lines.is_empty());
    let by_name = runtime.orchestrator().execute("db", "explain", json!({"sql": SELECT})).await.unwrap();
    assert!(by_name["lines"].is_array(), "{by_name}");
    end(runtime).await;
    assert!(db.slow_queries(10).is_empty(), "what has ended shows nothing");
}

#[tokio::test]
async fn the_view_of_a_backend_that_is_replaced_begins_anew() {
    let (runtime, db) = with(SqliteOptions::memory()).await;
    db.ask(Query::new(SELECT).bind(1)).await.unwrap();
    assert_eq!(db.statements(10).len(), 1);
    runtime.replace("db", SqliteOptions::memory()).await.unwrap();
    assert!(db.statements(10).is_empty());
    end(runtime).await;
}

#[tokio::test]
async fn a_connection_that_is_held_for_too_long_is_one_alert() {
    let (runtime, db) = with(SqliteOptions::memory().leak_after(Duration::from_millis(1))).await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let holding = db.ask(Transact::new(move |_| {
        let _ = released.lock().unwrap().recv();
        Ok(())
    }));
    let holding = tokio::spawn(holding.within(Duration::from_secs(20)));
    let alerts = || {
        let events = db.events().since(0).events;
        let alert = |kind: &EventKind| matches!(kind, EventKind::Alert { message } if message.contains("`transaction`"));
        events.iter().filter(|event| alert(&event.kind)).count()
    };
    loop {
        let newest = db.events().newest();
        if alerts() > 0 {
            break;
        }
        db.events().wait_after(newest).await;
    }
    assert!(db.leases()[0].is_long);
    drop(release);
    // it was idle for too long or not, which is not what this test is about
    let _ = holding.await.unwrap();
    assert_eq!(alerts(), 1);
    end(runtime).await;
}

#[database_operation("seen_users", "select")]
async fn find(id: i64) -> Result<i64, String> {
    if id < 0 { Err("no such user".to_owned()) } else { Ok(id) }
}

#[api_operation("seen_crm", "GET", "/users")]
async fn fetch() -> Result<&'static str, String> {
    Ok("users")
}

#[background_task]
async fn seen_mail(to: String) -> Result<usize, String> {
    tokio::task::yield_now().await;
    Ok(to.len())
}

#[tokio::test]
async fn what_the_application_records_is_shown_with_the_statistics() {
    durations().record("seen_checkout", Duration::from_millis(40));
    drop(durations().time("seen_checkout"));
    find(1).await.unwrap();
    find(-1).await.unwrap_err();
    fetch().await.unwrap();
    assert_eq!(seen_mail("ada@example.org".into()).await.unwrap(), Ok(15));
    let (runtime, _db) = with(SqliteOptions::memory()).await;
    let statistics = runtime.orchestrator().statistics();
    let counted =
        |name: &str| (statistics.durations[name].latency.count(), statistics.durations[name].failed);
    assert_eq!(counted("seen_checkout"), (2, 0));
    assert_eq!(counted("seen_users.select"), (2, 1));
    assert_eq!(counted("seen_crm.GET /users"), (1, 0));
    assert_eq!(counted("background.seen_mail"), (1, 0));
    let json = serde_json::to_value(&statistics).unwrap();
    assert!(json["durations"]["seen_checkout"]["p99_ms"].as_f64().unwrap() >= 40.0, "{json}");
    end(runtime).await;
}

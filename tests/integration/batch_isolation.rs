//! One member's failure, panic or slowness changes no other.

use std::time::Duration;

use backstop::{Batch, BatchItem, Order, Runtime, core::error::Executed, orchestrator::Outcome};
use serde_json::json;

use crate::fake::{Fake, FakeOptions, World, end, policy};

#[tokio::test]
async fn every_kind_of_end_stays_with_its_own_operation() {
    let world = World::new();
    let runtime = Runtime::builder()
        .backend("b", FakeOptions::new(&world), policy())
        .backend("open", FakeOptions::new(&world), policy())
        .start()
        .await
        .unwrap();
    let open = runtime.backend::<Fake>("open").unwrap();
    open.order(Order::Trip { reason: "test".into(), open_for: None }).await.unwrap();

    let item = |backend: &str, operation: &str| BatchItem::new(backend, operation, json!({"value": 1}));
    let unknown = BatchItem::new("b", "fail", json!({"executed": "unknown"}));
    let batch = Batch::new()
        .then(item("b", "reply"))
        .then(item("b", "panic"))
        .then(item("b", "panic_in_decode"))
        .then(item("b", "fail"))
        .then(unknown)
        .then(item("open", "reply"))
        .then(item("opne", "reply"))
        .then(item("b", "no such operation"))
        .then(BatchItem::new("b", "hold", json!({"label": "never"})).within(Duration::from_millis(300)))
        .then(item("b", "reply"));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    let codes: Vec<_> =
        report.results.iter().map(|item| item.error().map_or("ok", |error| error.code())).collect();
    assert_eq!(
        codes,
        [
            "ok",
            "panicked",
            "panicked",
            "refused",
            "refused",
            "circuit_open",
            "unknown_backend",
            "invalid",
            "timeout",
            "ok"
        ]
    );
    let executed: Vec<_> = report.results.iter().map(|item| item.executed()).collect();
    use Executed::{No, Unknown, Yes};
    assert_eq!(executed, [Yes, Unknown, No, No, Unknown, No, No, No, Unknown, Yes]);
    let summary = report.summary();
    assert_eq!((summary.succeeded, summary.failed, summary.rejected, summary.skipped), (2, 5, 3, 0));
    assert!(report.results.iter().all(|item| item.error().is_none_or(|error| !error.backend().is_empty())));
    end(runtime).await;
}

#[tokio::test]
async fn a_slow_member_delays_no_other() {
    let world = World::new();
    let runtime = crate::fake::one(&world, "b").await;
    let orchestrator = runtime.orchestrator();
    let labelled = |label: &str| BatchItem::new("b", "reply", json!({"label": label, "value": label}));
    let batch = Batch::new()
        .then(BatchItem::new("b", "hold", json!({"label": "slow"})))
        .then(labelled("x"))
        .then(labelled("y"))
        .max_concurrency(2);
    let task = tokio::spawn(async move { orchestrator.batch(batch).await.unwrap() });
    world.until(|seen| seen.done.len() == 2).await;
    world.release("slow");
    assert_eq!(task.await.unwrap().results[0].outcome(), Outcome::Ok);
    end(runtime).await;
}

#[tokio::test]
async fn dropping_a_batch_cancels_what_runs_and_begins_nothing_more() {
    let world = World::new();
    let runtime = crate::fake::one(&world, "b").await;
    let orchestrator = runtime.orchestrator();
    let batch = (0..4).fold(Batch::new().max_concurrency(2), |batch, n| {
        batch.then(BatchItem::new("b", "hold", json!({"label": n.to_string()})))
    });
    let task = tokio::spawn(async move { orchestrator.batch(batch).await });
    world.until(|seen| seen.active == 2).await;
    task.abort();
    let seen = world.until(|seen| seen.active == 0).await;
    assert_eq!((seen.begun.len(), seen.cancelled.len()), (2, 2));
    end(runtime).await;
}

//! Batches: graphs, references, modes, bounds.

use std::time::Duration;

use backstop::{
    Batch, BatchItem, Runtime,
    orchestrator::{BatchError, BatchLimits, End, Mode, Outcome, Skipped},
};
use serde_json::{Value, json};

use crate::fake::{FakeOptions, World, end, one, policy};

fn reply(value: Value) -> BatchItem {
    BatchItem::new("b", "reply", json!({"value": value}))
}

fn hold(label: &str) -> BatchItem {
    BatchItem::new("b", "hold", json!({"label": label})).id(label)
}

fn fail() -> BatchItem {
    BatchItem::new("b", "fail", json!({}))
}

fn reference(text: &str) -> Value {
    json!({"type": "ref", "value": text})
}

async fn refused(batch: Batch) -> BatchError {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let error = runtime.orchestrator().batch(batch).await.unwrap_err();
    assert!(world.seen().begun.is_empty(), "nothing may run");
    end(runtime).await;
    error
}

#[tokio::test]
async fn n_in_n_out_in_request_order_with_results_flowing_along_references() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let batch = Batch::new()
        .then(
            BatchItem::new(
                "b",
                "reply",
                json!({"value": {"sum": reference("#/cust/rows/0/1"), "all": reference("#/cust")}}),
            )
            .id("use"),
        )
        .then(reply(json!({"rows": [["7", "Ada"]]})).id("cust"))
        .then(reply(json!(3)))
        .then(reply(json!(4)).after("use"));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    let ids: Vec<_> = report.results.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["use", "cust", "2", "3"]);
    assert_eq!(report.results[0].result().unwrap(), &json!({"sum": "Ada", "all": {"rows": [["7", "Ada"]]}}));
    assert!(report.is_ok());
    let view = serde_json::to_value(&report).unwrap();
    assert_eq!(
        view["summary"],
        json!({"total": 4, "succeeded": 4, "failed": 0, "rejected": 0, "skipped": 0})
    );
    assert_eq!((&view["ok"], &view["results"][2]["result"]), (&json!(true), &json!(3)));
    assert!(runtime.orchestrator().batch(Batch::new()).await.unwrap().results.is_empty());
    end(runtime).await;
}

#[tokio::test]
async fn dependants_wait_and_the_independent_do_not() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let orchestrator = runtime.orchestrator();
    let batch = Batch::new()
        .then(hold("first"))
        .then(BatchItem::new("b", "reply", json!({"label": "after", "value": reference("#/first")})))
        .then(BatchItem::new("b", "reply", json!({"label": "free", "value": 1})));
    let task = tokio::spawn(async move { orchestrator.batch(batch).await.unwrap() });
    let seen = world.until(|seen| seen.done.contains(&"free".to_owned()) && seen.active == 1).await;
    assert!(!seen.begun.contains(&"after".to_owned()));
    world.release("first");
    let report = task.await.unwrap();
    assert_eq!(report.results[1].result().unwrap(), "first");
    end(runtime).await;
}

#[tokio::test]
async fn no_more_run_at_once_than_the_batch_allows() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    for (asked, expected) in [(Some(3), 3), (None, Batch::CONCURRENCY)] {
        let orchestrator = runtime.orchestrator();
        let mut batch = (0..20).fold(Batch::new(), |batch, n| batch.then(hold(&format!("{expected}-{n}"))));
        batch.max_concurrency = asked;
        let task = tokio::spawn(async move { orchestrator.batch(batch).await.unwrap() });
        for n in 0..20 {
            let full = expected.min(20 - n);
            world.until(|seen| seen.active == full).await;
            world.release(&format!("{expected}-{n}"));
        }
        assert!(task.await.unwrap().is_ok());
        assert_eq!(world.seen().active_max, expected);
    }
    end(runtime).await;
}

#[tokio::test]
async fn a_failure_skips_those_that_depend_on_it_and_nobody_else() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let batch = Batch::new()
        .then(fail().id("bad"))
        .then(reply(reference("#/bad")).id("uses"))
        .then(reply(json!(1)).id("far").after("uses"))
        .then(reply(json!(2)).id("free"));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    let outcomes: Vec<_> = report.results.iter().map(|item| item.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Skipped, Outcome::Skipped, Outcome::Ok]);
    assert!(matches!(&report.results[2].end, End::Skipped(Skipped::BlockedBy(id)) if id == "bad"));
    assert_eq!(report.results[1].attempts(), Some(0));
    let view = serde_json::to_value(&report).unwrap();
    assert_eq!(view["results"][1]["blocked_by"], "bad");
    assert_eq!(view["results"][0]["error"]["executed"], "no");
    end(runtime).await;
}

#[tokio::test]
async fn a_sequence_keeps_its_order_and_ends_at_the_first_failure() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let labelled = |label: &str| BatchItem::new("b", "reply", json!({"label": label, "value": label}));
    let batch = Batch::with_mode(Mode::Sequential)
        .then(labelled("x"))
        .then(labelled("y"))
        .then(reply(reference("#/1")))
        .then(fail().id("bad"))
        .then(labelled("z"));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    assert_eq!(world.seen().begun, ["x", "y", "reply", "fail"]);
    assert_eq!(world.seen().active_max, 1);
    assert_eq!(report.results[2].result().unwrap(), "y");
    assert!(matches!(&report.results[4].end, End::Skipped(Skipped::StoppedAfter(id)) if id == "bad"));
    end(runtime).await;
}

#[tokio::test]
async fn stop_on_error_begins_nothing_more() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let batch = Batch::new().stop_on_error().max_concurrency(1).then(fail()).then(reply(json!(1)));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    assert_eq!(report.summary().skipped, 1);
    assert_eq!(world.seen().begun, ["fail"]);
    end(runtime).await;
}

#[tokio::test]
async fn wrong_graphs_are_refused_before_anything_runs() {
    let ring = Batch::new()
        .then(reply(json!(1)).id("entry").after("a"))
        .then(reply(json!(1)).id("a").after("b"))
        .then(reply(reference("#/c")).id("b"))
        .then(reply(json!(1)).id("c").after("a"));
    assert_eq!(refused(ring).await, BatchError::Cycle { ids: vec!["a".into(), "b".into(), "c".into()] });
    let own = Batch::new().then(reply(reference("#/a/x")).id("a"));
    assert_eq!(refused(own).await, BatchError::DependsOnItself { id: "a".into() });
    let unknown = Batch::new().then(reply(json!(1)).id("cust")).then(reply(reference("#/cusr/x")).id("b"));
    let near = Some("cust".to_owned());
    assert_eq!(
        refused(unknown).await,
        BatchError::UnknownId { id: "b".into(), unknown: "cusr".into(), near }
    );
    let twice = Batch::new().then(reply(json!(1)).id("1")).then(reply(json!(1)));
    assert_eq!(refused(twice).await, BatchError::DuplicateId { id: "1".into() });
    let empty = Batch::new().then(reply(json!(1)).id(""));
    assert_eq!(refused(empty).await, BatchError::BadId { position: 0 });
    let bad = Batch::new().then(reply(reference("cust.rows")));
    assert!(
        matches!(refused(bad).await, BatchError::BadReference { reference, .. } if reference == "cust.rows")
    );
    let later = Batch::with_mode(Mode::Sequential).then(reply(json!(1)).after("1")).then(reply(json!(1)));
    assert_eq!(refused(later).await, BatchError::OutOfOrder { id: "0".into(), later: "1".into() });
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let many = (0..101).fold(Batch::new(), |batch, n| batch.then(reply(json!(n))));
    assert_eq!(refused(many).await, BatchError::TooMany { count: 101, max: 100 });
    let deep = (0..100).fold(json!(1), |value, _| json!([value]));
    assert_eq!(
        refused(Batch::new().then(reply(deep))).await,
        BatchError::TooDeep { id: "0".into(), max: 64 }
    );
    assert_eq!(refused(Batch::new().max_concurrency(0)).await, BatchError::NoConcurrency);

    let world = World::new();
    let limits = BatchLimits { bytes: 10_000, ..BatchLimits::default() };
    let builder = Runtime::builder().batch_limits(limits).backend("b", FakeOptions::new(&world), policy());
    let runtime = builder.start().await.unwrap();
    let twice = |n: usize| {
        let all = reference(&format!("#/{}", n - 1));
        reply(json!([all, all]))
    };
    let doubling = (1..40).fold(Batch::new().then(reply(json!("x"))), |batch, n| batch.then(twice(n)));
    let report = runtime.orchestrator().batch(doubling).await.unwrap();
    let too_large = report.results.iter().find(|item| item.outcome() == Outcome::Rejected).unwrap();
    assert!(too_large.error().unwrap().to_string().contains("too large"));
    end(runtime).await;
}

#[tokio::test]
async fn one_deadline_holds_for_the_whole_batch() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let batch = Batch::new()
        .max_concurrency(1)
        .within(Duration::from_millis(300))
        .then(hold("never"))
        .then(reply(json!(1)).id("late"));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    assert_eq!(report.results[0].error().unwrap().code(), "timeout");
    assert_eq!(report.results[1].error().unwrap().code(), "expired");
    assert!(report.elapsed < Duration::from_secs(2));

    let own = Batch::new().then(hold("never").within(Duration::from_millis(200))).then(reply(json!(1)));
    let report = runtime.orchestrator().batch(own).await.unwrap();
    assert_eq!((report.results[0].outcome(), report.results[1].outcome()), (Outcome::Failed, Outcome::Ok));
    end(runtime).await;
}

#[tokio::test]
async fn a_path_that_leads_nowhere_rejects_only_its_own_operation() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let batch = Batch::new()
        .then(reply(json!({"rows": []})).id("a"))
        .then(reply(reference("#/a/rows/0/0")).id("b"))
        .then(reply(json!(1)).id("c").after("b"))
        .then(reply(json!(2)).id("d"));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    let outcomes: Vec<_> = report.results.iter().map(|item| item.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Rejected, Outcome::Skipped, Outcome::Ok]);
    assert!(report.get("b").unwrap().error().unwrap().to_string().contains("#/a/rows/0/0"));
    end(runtime).await;
}

#[test]
fn a_batch_as_data_knows_its_keys() {
    let batch: Batch = serde_json::from_value(json!({
        "mode": "sequential", "on_error": "stop", "max_concurrency": 8, "timeout_ms": 2500,
        "operations": [{"id": "a", "backend": "b", "operation": "reply", "arguments": {"value": 1},
                        "depends_on": [], "timeout_ms": 100}]}))
    .unwrap();
    assert_eq!((batch.mode, batch.timeout), (Mode::Sequential, Some(Duration::from_millis(2_500))));
    assert_eq!(batch.operations[0].timeout, Some(Duration::from_millis(100)));
    let unknown = serde_json::from_value::<Batch>(json!({"operations": [], "mod": "atomic"})).unwrap_err();
    assert!(unknown.to_string().contains("mod"), "{unknown}");
}

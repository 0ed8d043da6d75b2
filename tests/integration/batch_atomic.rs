//! All or nothing on one SQL backend; anything else is refused.
#![cfg(feature = "sqlite")]

use backstop::{
    Batch, BatchItem, Runtime,
    core::error::Executed,
    orchestrator::{BatchError, Mode, Outcome},
    prelude::*,
    sql::{Execute, Query},
    sqlite::{Sqlite, SqliteOptions},
};
use serde_json::json;

use crate::fake::{FakeOptions, World, end, policy};

async fn bank() -> (Runtime, BackendRef<Sqlite>) {
    let world = World::new();
    let runtime = Runtime::builder()
        .backend("bank", SqliteOptions::memory(), policy())
        .backend("fake", FakeOptions::new(&world), policy())
        .start()
        .await
        .unwrap();
    let bank = runtime.backend::<Sqlite>("bank").unwrap();
    bank.ask(Execute::new("CREATE TABLE account (id INTEGER PRIMARY KEY, cents INTEGER CHECK (cents >= 0))"))
        .await
        .unwrap();
    bank.ask(Execute::new("INSERT INTO account VALUES (1, 100), (2, 0)")).await.unwrap();
    (runtime, bank)
}

fn add(id: i64, cents: i64) -> BatchItem {
    let sql = "UPDATE account SET cents = cents + ? WHERE id = ?";
    BatchItem::new("bank", "execute", json!({"sql": sql, "params": [cents, id]}))
}

async fn cents(bank: &BackendRef<Sqlite>) -> serde_json::Value {
    let rows = bank.ask(Query::new("SELECT cents FROM account ORDER BY id")).await.unwrap();
    serde_json::to_value(&rows).unwrap()["rows"].clone()
}

#[tokio::test]
async fn all_take_effect_and_each_has_its_own_result() {
    let (runtime, bank) = bank().await;
    let select = BatchItem::new("bank", "query", json!({"sql": "SELECT count(*) FROM account"})).id("count");
    let batch = Batch::with_mode(Mode::Atomic).then(add(1, -30)).then(add(2, 30)).then(select);
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(report.results[0].result().unwrap()["affected"], 1);
    assert_eq!(report.get("count").unwrap().result().unwrap()["rows"], json!([["2"]]));
    assert_eq!(cents(&bank).await, json!([["70"], ["30"]]));
    end(runtime).await;
}

#[tokio::test]
async fn one_failure_rolls_all_of_them_back() {
    let (runtime, bank) = bank().await;
    let batch = Batch::with_mode(Mode::Atomic).then(add(2, 500)).then(add(1, -500));
    let report = runtime.orchestrator().batch(batch).await.unwrap();
    for item in &report.results {
        assert_eq!((item.outcome(), item.executed()), (Outcome::Failed, Executed::No), "{item:?}");
    }
    assert_eq!(cents(&bank).await, json!([["100"], ["0"]]), "rolled back");
    end(runtime).await;
}

#[tokio::test]
async fn what_cannot_be_one_transaction_is_refused_and_names_who_is_in_the_way() {
    let (runtime, bank) = bank().await;
    let refused = async |batch: Batch| match runtime.orchestrator().batch(batch).await.unwrap_err() {
        BatchError::NotAtomic { ids, .. } => ids,
        other => panic!("{other}"),
    };
    let other = BatchItem::new("fake", "reply", json!({"value": 1})).id("other");
    assert_eq!(refused(Batch::with_mode(Mode::Atomic).then(add(1, 1)).then(other.clone())).await, ["other"]);
    assert_eq!(refused(Batch::with_mode(Mode::Atomic).then(other)).await, ["other"], "no transactions there");
    let uses = BatchItem::new("bank", "execute", json!({"sql": {"type": "ref", "value": "#/0"}})).id("uses");
    assert_eq!(refused(Batch::with_mode(Mode::Atomic).then(add(1, 1)).then(uses)).await, ["uses"]);
    let timed = add(1, 1).id("timed").within(std::time::Duration::from_secs(1));
    assert_eq!(refused(Batch::with_mode(Mode::Atomic).then(timed)).await, ["timed"]);
    let nobody = Batch::with_mode(Mode::Atomic).then(BatchItem::new("bnak", "execute", json!({})));
    let error = runtime.orchestrator().batch(nobody).await.unwrap_err();
    assert!(error.to_string().contains("`bank`"), "{error}");
    assert_eq!(cents(&bank).await, json!([["100"], ["0"]]));
    end(runtime).await;
}

#[tokio::test]
async fn results_of_sql_flow_into_later_statements() {
    let (runtime, bank) = bank().await;
    let find =
        BatchItem::new("bank", "query", json!({"sql": "SELECT id FROM account WHERE cents = 0"})).id("poor");
    let sql = "UPDATE account SET cents = 5 WHERE id = ?";
    let id = json!({"type": "ref", "value": "#/poor/rows/0/0"});
    let give = BatchItem::new("bank", "execute", json!({"sql": sql, "params": [id]}));
    let report = runtime.orchestrator().batch(Batch::new().then(find).then(give)).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(cents(&bank).await, json!([["100"], ["5"]]));
    end(runtime).await;
}

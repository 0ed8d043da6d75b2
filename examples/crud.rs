//! Messages on a table: insert, select, update, delete, upsert, count, with a cache key.
//!
//! Run it with `cargo run --example crud`. It needs no server and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use backstop::{
    Failure,
    prelude::*,
    sql::{
        Execute,
        crud::{Count, DeleteOne, Filter, InsertMany, InsertOne, SelectMany, SelectOne, UpdateOne, Upsert},
    },
    sqlite::{Sqlite, SqliteOptions},
};
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct User {
    id: i64,
    name: String,
    age: Option<u8>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        Runtime::builder().backend("main", SqliteOptions::memory(), Policy::default()).start().await?;
    let db = runtime.backend::<Sqlite>("main")?;
    db.ask(Execute::new("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, age INTEGER)"))
        .await?;

    let id = db.ask(InsertOne::new("users", (("name", "Ada"), ("age", 36)))).await?.int_id().unwrap();
    let rows = [(("name", "Bob"), ("age", 17)), (("name", "Cy"), ("age", 40))];
    assert_eq!(db.ask(InsertMany::new("users", rows)).await?.affected, 2);

    // kept in the process under its key, until a write to the table or five minutes later
    let find = || SelectOne::new("users", ("id", id)).cache_key(format!("user:{id}")).typed::<User>();
    println!("found: {:?}", db.ask(find()).await?);
    db.ask(UpdateOne::new("users", ("id", id), [("name", "Ada L.")])).await?;
    assert_eq!(db.ask(find()).await?.unwrap().name, "Ada L.");

    let adults =
        SelectMany::new("users", Filter::ge("age", 18)).order_by_desc("age").limit(10).typed::<User>();
    let adults = db.ask(adults).await?;
    println!("adults: {}", adults.iter().map(|user| user.name.as_str()).collect::<Vec<_>>().join(", "));
    assert_eq!(adults.len(), 2);

    // a write for one row that fits more is undone, and says so
    let wide = db.ask(DeleteOne::new("users", Filter::gt("id", 0))).await.unwrap_err();
    println!("refused: {wide}");
    assert_eq!((wide.code(), wide.executed()), ("refused", Executed::No));
    assert_eq!(wide.as_failure().and_then(Failure::code), Some("wrong_row_count"));

    db.ask(Upsert::new("users", (("name", "Bob"), ("age", 18)), ["name"])).await?;
    assert_eq!(db.ask(Count::new("users", Filter::ge("age", 18))).await?, 3);
    assert_eq!(db.ask(DeleteOne::new("users", ("name", "Cy"))).await?.affected, 1);

    // the same as data, for those that have no types
    let wanted = serde_json::json!({"table": "users", "where": {"age": {"lt": 20}}, "columns": ["name"]});
    let young = runtime.orchestrator().execute("main", "select_many", wanted).await?;
    assert_eq!(young["rows"], serde_json::json!([["Bob"]]));

    let report = runtime.shutdown(Deadline::after(std::time::Duration::from_secs(2))).await;
    assert!(report.is_clean());
    Ok(())
}

//! Repositories over a real database.

use std::collections::BTreeMap;

use backstop::{
    Repository,
    prelude::*,
    sql::{Execute, crud::Filter},
    sqlite::{Sqlite, SqliteOptions},
};
use serde::{Deserialize, Serialize};

use crate::fake::end;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: Option<i64>,
    name: String,
}

struct Users(BackendRef<Sqlite>);

impl Repository for Users {
    type Backend = Sqlite;
    type Row = User;
    const TABLE: &'static str = "users";

    fn backend(&self) -> &BackendRef<Sqlite> {
        &self.0
    }
}

async fn users() -> (Runtime, Users) {
    let runtime =
        Runtime::builder().backend("db", SqliteOptions::memory(), Policy::default()).start().await.unwrap();
    let db = runtime.backend::<Sqlite>("db").unwrap();
    db.ask(Execute::new("CREATE TABLE users(id INTEGER PRIMARY KEY, name ANY)")).await.unwrap();
    (runtime, Users(db))
}

fn named(name: &str) -> User {
    User { id: None, name: name.into() }
}

#[tokio::test]
async fn rows_are_created_found_changed_counted_and_deleted() {
    let (runtime, users) = users().await;
    let id = users.create(&named("Ada")).await.unwrap().as_int().unwrap();
    users.create(&BTreeMap::from([("name", "Bob")])).await.unwrap();
    assert_eq!(users.find(id).await.unwrap(), Some(User { id: Some(id), name: "Ada".into() }));
    assert_eq!(users.find(99).await.unwrap(), None);
    assert!(users.update(id, [("name", "Ada L.")]).await.unwrap());
    assert!(!users.update(99, [("name", "x")]).await.unwrap());
    let all = users.find_many(()).await.unwrap();
    assert_eq!(all.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["Ada L.", "Bob"]);
    assert_eq!(users.find_page((), 1, 1).await.unwrap()[0].name, "Bob");
    assert_eq!(users.find_one(Filter::like("name", "B%")).await.unwrap().unwrap().name, "Bob");
    assert_eq!(users.count(Filter::gt("id", 0)).await.unwrap(), 2);
    assert!(users.delete(id).await.unwrap());
    assert!(!users.delete(id).await.unwrap());
    end(runtime).await;
}

#[tokio::test]
async fn a_row_that_does_not_fit_its_type_names_the_backend_and_the_column() {
    let (runtime, users) = users().await;
    let id = users.create(&BTreeMap::from([("name", 7)])).await.unwrap();
    let error = users.find(id).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), ("decode", Executed::No));
    assert!(error.to_string().starts_with("db: ") && error.to_string().contains("name"), "{error}");
    let odd = users.create(&("Ada",)).await.unwrap_err();
    assert_eq!(odd.executed(), Executed::No);
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_futures_of_a_repository_can_move_to_another_thread() {
    let (runtime, users) = users().await;
    let users = std::sync::Arc::new(users);
    let tasks: Vec<_> = (0..8)
        .map(|at| {
            let users = std::sync::Arc::clone(&users);
            tokio::spawn(async move {
                let id = users.create(&named(&format!("user {at}"))).await.unwrap();
                users.find(id).await.unwrap().unwrap().name
            })
        })
        .collect();
    for (at, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), format!("user {at}"));
    }
    end(runtime).await;
}

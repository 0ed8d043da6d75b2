//! Repository and service: a table as rows of one type, and rules that need more than one backend.
//!
//! `UserService` asks an HTTP API whether a user may be created, and writes to SQLite by `UserRepository`.
//! Neither opens a connection, counts a retry or handles an outage: the backends behind them do.
//!
//! Run it with `cargo run --example repository_service`. It brings its own API and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

mod api;
mod repository;
mod service;

use backstop::{
    Repository,
    http::{Http, HttpOptions},
    prelude::*,
    sql::Execute,
    sqlite::{Sqlite, SqliteOptions},
};

use repository::UserRepository;
use service::{CreateError, NewUser, UserService};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = api::Api::start()?;
    let runtime = Runtime::builder()
        .backend("main_db", SqliteOptions::memory(), Policy::default())
        .backend("validation", HttpOptions::new(&api.base)?, Policy::default())
        .start()
        .await?;
    let db = runtime.backend::<Sqlite>("main_db")?;
    db.ask(Execute::new(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE NOT NULL, name TEXT NOT NULL, active INTEGER NOT NULL)",
    ))
    .await?;

    let users = UserRepository::new(db);
    let service = UserService::new(users.clone(), runtime.backend::<Http>("validation")?);
    let new = |name: &str, email: &str| NewUser { name: name.into(), email: email.into(), active: true };

    let ada = service.create_user_with_validation(&new("Ada", "ada@example.com")).await?;
    println!("created {ada:?}");
    assert_eq!(users.find(ada.id).await?.as_ref(), Some(&ada));
    assert_eq!(users.find_by_email("ada@example.com").await?.as_ref(), Some(&ada));

    // the API says no: nothing was written
    let refused = service.create_user_with_validation(&new("Eve", "eve at example")).await.unwrap_err();
    println!("refused: {refused}");
    assert!(matches!(refused, CreateError::Invalid(_)));
    assert_eq!(users.count(()).await?, 1);

    // the same address twice: the database says no
    let twice = service.create_user_with_validation(&new("Ada II", "ada@example.com")).await.unwrap_err();
    println!("twice: {twice}");
    let CreateError::Call(twice) = twice else { panic!("{twice}") };
    assert_eq!(twice.executed(), Executed::No);

    let bob = service.create_user_with_validation(&new("Bob", "bob@example.com")).await?;
    assert!(users.update(bob.id, [("active", false)]).await?);
    let active = users.find_active().await?;
    println!("active: {}", active.iter().map(|user| user.name.as_str()).collect::<Vec<_>>().join(", "));
    assert_eq!(active, [ada]);
    assert!(users.delete(bob.id).await?);
    assert!(!users.delete(bob.id).await?);

    api.stop().await?;
    let report = runtime.shutdown(Deadline::after(std::time::Duration::from_secs(2))).await;
    assert!(report.is_clean());
    Ok(())
}

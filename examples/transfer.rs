//! Money from one account to another in a closure: savepoints, a hook after the commit, and a conflict that is
//! run again as a whole.
//!
//! Run it with `cargo run --example transfer`. It starts a PostgreSQL of its own, or uses that of `DATABASE_URL`
//! (tables `transfer_account` and `transfer_coupon`, which it removes), and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/database.rs"]
mod database;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use backstop::{
    postgres::{Postgres, PostgresOptions},
    prelude::*,
    sql::{AsyncTx, Execute, Isolation, Query, TransactAsync, TxError, TxOptions},
};
use tokio::sync::Barrier;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = database::Database::open()?;
    let bank = PostgresOptions::url(database.url());
    let runtime = Runtime::builder().backend("bank", bank, Policy::default()).start().await?;
    let db = runtime.backend::<Postgres>("bank")?;
    reset(&db).await?;
    db.ask(Execute::new("CREATE TABLE transfer_account (name TEXT PRIMARY KEY, cents BIGINT NOT NULL)"))
        .await?;
    db.ask(Execute::new("CREATE TABLE transfer_coupon (code TEXT PRIMARY KEY)")).await?;
    db.ask(Execute::new("INSERT INTO transfer_account VALUES ('ada', 1000), ('bob', 1000)")).await?;
    db.ask(Execute::new("INSERT INTO transfer_coupon VALUES ('SPENT')")).await?;

    pays_and_tells(&db).await?;
    gives_up(&db).await;
    meets_another(&db).await?;

    assert_eq!(balances(&db).await?, [("ada".to_owned(), 770), ("bob".to_owned(), 1230)]);
    reset(&db).await?;
    assert!(runtime.shutdown(Deadline::after(Duration::from_secs(2))).await.is_clean());
    Ok(())
}

/// A part that fails is undone alone; the hook runs after the commit and at no other time.
async fn pays_and_tells(db: &BackendRef<Postgres>) -> Result<(), CallError> {
    let receipts = Arc::new(AtomicU32::new(0));
    let written = Arc::clone(&receipts);
    let message = TransactAsync::new(async move |tx| {
        pay(tx, "ada", "bob", 130).await?;
        let coupon = tx.savepoint(async |tx| {
            tx.execute("UPDATE transfer_account SET cents = cents + 5 WHERE name = $1", ["bob"]).await?;
            tx.execute("INSERT INTO transfer_coupon VALUES ($1)", ["SPENT"]).await
        });
        let is_new = coupon.await.is_ok();
        let written = Arc::clone(&written);
        tx.after_commit(move || {
            written.fetch_add(1, SeqCst);
        });
        Ok(is_new)
    });
    let coupon_was_new = db.ask(message).within(Duration::from_secs(5)).await?;
    println!("130 cents moved, coupon taken: {coupon_was_new}, receipts: {}", receipts.load(SeqCst));
    assert!(!coupon_was_new);
    assert_eq!(receipts.load(SeqCst), 1);
    Ok(())
}

/// An error of the closure rolls everything back, and its caller knows that nothing was done.
async fn gives_up(db: &BackendRef<Postgres>) {
    let message = TransactAsync::new(async |tx| pay(tx, "ada", "bob", 5_000).await);
    let error = db.ask(message).within(Duration::from_secs(5)).await.unwrap_err();
    println!("refused: {error}");
    assert_eq!((error.code(), error.executed()), ("refused", Executed::No));
}

/// Two that read what the other writes cannot both be right: one is run again from its beginning.
async fn meets_another(db: &BackendRef<Postgres>) -> Result<(), CallError> {
    let (runs, meeting) = (Arc::new(AtomicU32::new(0)), Arc::new(Barrier::new(2)));
    let spend = |name: &'static str| {
        let (runs, meeting) = (Arc::clone(&runs), Arc::clone(&meeting));
        let message = TransactAsync::new(async move |tx| {
            let all: Vec<i64> = tx.query_as("SELECT cents FROM transfer_account", ()).await?;
            // both have read before either of them writes; not so in the second run
            if runs.fetch_add(1, SeqCst) < 2 {
                meeting.wait().await;
            }
            if all.iter().sum::<i64>() < 2_000 {
                return Err(TxError::abort("only while the bank is full"));
            }
            tx.execute("UPDATE transfer_account SET cents = cents - 100 WHERE name = $1", [name]).await?;
            Ok(())
        });
        let options = TxOptions::new().isolation(Isolation::Serializable);
        db.ask(message.with_options(options)).within(Duration::from_secs(5))
    };
    let (ada, bob) = Gather::all((spend("ada"), spend("bob"))).await;
    println!("two at once: {} and {}, in {} runs", outcome(&ada), outcome(&bob), runs.load(SeqCst));
    assert_eq!((ada.is_ok(), runs.load(SeqCst)), (bob.is_err(), 3));
    // whoever was first is given back what it spent, so that the example ends the same each time
    let name = if ada.is_ok() { "ada" } else { "bob" };
    let back = "UPDATE transfer_account SET cents = cents + 100 WHERE name = ?";
    db.ask(Execute::new(back).bind(name).expecting(1)).await?;
    db.ask(TransactAsync::new(async |tx| pay(tx, "ada", "bob", 100).await)).await
}

async fn pay(tx: &mut AsyncTx<'_>, from: &str, to: &str, cents: i64) -> Result<(), TxError> {
    let held = "SELECT cents FROM transfer_account WHERE name = $1 FOR UPDATE";
    let held: Vec<i64> = tx.query_as(held, [from]).await?;
    if held.first().is_none_or(|held| *held < cents) {
        return Err(TxError::abort("not enough money"));
    }
    let change = "UPDATE transfer_account SET cents = cents + $1 WHERE name = $2";
    tx.execute(change, (-cents, from)).await?;
    tx.execute(change, (cents, to)).await?;
    Ok(())
}

fn outcome(end: &Result<(), CallError>) -> &'static str {
    if end.is_ok() { "done" } else { "given up" }
}

async fn balances(db: &BackendRef<Postgres>) -> Result<Vec<(String, i64)>, CallError> {
    db.ask(Query::new("SELECT name, cents FROM transfer_account ORDER BY name").typed()).await
}

async fn reset(db: &BackendRef<Postgres>) -> Result<(), CallError> {
    for table in ["transfer_account", "transfer_coupon"] {
        db.ask(Execute::new(format!("DROP TABLE IF EXISTS {table}"))).await?;
    }
    Ok(())
}

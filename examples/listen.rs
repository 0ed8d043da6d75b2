//! Notifications of PostgreSQL: they arrive in order, and a lost connection shows as a gap.
//!
//! Run it with `cargo run --example listen`. It starts a PostgreSQL of its own, or uses that of `DATABASE_URL`,
//! and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/database.rs"]
mod database;

use std::time::Duration;

use backstop::{
    postgres::{Listen, Notice, NoticeStream, Postgres, PostgresOptions},
    prelude::*,
    sql::Execute,
};

/// How the sessions of this example are known to the server.
const NAME: &str = "backstop-listen-example";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = database::Database::open()?;
    let options = PostgresOptions::url(database.url()).application_name(NAME);
    let runtime = Runtime::builder().backend("events", options, Policy::default()).start().await?;
    let db = runtime.backend::<Postgres>("events")?;

    // from here on the stream holds every notification, or a gap
    let mut news = db.ask(Listen::new(["orders"])).await?;
    for order in ["1", "2"] {
        notify(&db, order).await?;
        assert_eq!(next(&mut news).await, Some(message(order)));
    }

    // somebody ends the connection that listens; it is opened again, and the stream says that something may be missing
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'LISTEN%'";
    db.ask(Execute::new(end).bind(NAME)).await?;
    assert_eq!(next(&mut news).await, Some(Notice::Gap));
    println!("now is the time to read the orders again");

    notify(&db, "3").await?;
    assert_eq!(next(&mut news).await, Some(message("3")));
    drop(news);
    assert!(runtime.shutdown(Deadline::after(Duration::from_secs(2))).await.is_clean());
    Ok(())
}

async fn notify(db: &BackendRef<Postgres>, order: &str) -> Result<(), CallError> {
    db.ask(Execute::new("SELECT pg_notify('orders', $1)").bind(order)).await.map(drop)
}

/// The next notice, or `None` where none comes in ten seconds.
async fn next(news: &mut NoticeStream) -> Option<Notice> {
    let notice = tokio::time::timeout(Duration::from_secs(10), news.next_notice()).await.ok().flatten();
    match &notice {
        Some(Notice::Message { channel, payload }) => println!("{channel}: {payload}"),
        Some(Notice::Gap) => println!("a gap: the connection was lost"),
        None => println!("nothing"),
    }
    notice
}

fn message(order: &str) -> Notice {
    Notice::Message { channel: "orders".into(), payload: order.into() }
}

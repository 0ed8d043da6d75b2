//! A backend of your own: it needs `backstop-core` alone and gets every policy, restart and order for free.
//!
//! It is a client of a small key-value server that speaks one line per request over TCP: a pool of its own,
//! requests grouped by `core::batch::Batcher`, errors with phase and outcome, a planned fault. Only `main`
//! uses `backstop`, to host it.
//!
//! Run it with `cargo run --example custom_backend`. It brings its own server and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

#[path = "custom_backend/backend.rs"]
mod backend;
#[path = "custom_backend/server.rs"]
mod server;

use std::time::Duration;

use backstop::prelude::*;
use serde_json::json;

use backend::{Get, Kv, KvOptions, Put, Shout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = server::Server::start().await?;
    let runtime = Runtime::builder()
        .backend("words", KvOptions::new(server.address()).pool_max(2), Policy::default())
        .start()
        .await?;
    let words = runtime.backend::<Kv>("words")?;

    // by type
    words.ask(Put::new("greeting", "hello")).await?;
    assert_eq!(words.ask(Get::new("greeting")).await?.as_deref(), Some("hello"));
    assert_eq!(words.ask(Get::new("nothing")).await?, None);

    // many callers batch themselves: far fewer round trips than requests
    let before = server.round_trips();
    let asks: Vec<_> = (0..200).map(|_| words.ask(Get::new("greeting"))).collect();
    let answers = Gather::all(asks).within(Duration::from_secs(5)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(value)) if value == "hello")));
    let trips = server.round_trips() - before;
    println!("200 reads in {trips} round trips, {:?}", words.pool().await);
    assert!(trips < 100, "{trips}");

    // by name, through the wire form
    let answer = runtime.orchestrator().execute("words", "get", json!({"key": "greeting"})).await?;
    assert_eq!(answer, "hello");

    // a panic in the backend's code ends its own call; the next one gets a new instance
    let error = words.ask(Shout).await.unwrap_err();
    println!("a panic becomes: {error}");
    assert_eq!(error.code(), "panicked");
    assert_eq!(words.ask(Get::new("greeting")).await?.as_deref(), Some("hello"));
    assert!(words.snapshot().guard.incarnations >= 2);

    // an outage: reads are tried again, a write whose fate is unknown is not
    server.drop_next_reply();
    assert_eq!(words.ask(Get::new("greeting")).await?.as_deref(), Some("hello"), "the retry answered");
    server.drop_next_reply();
    let error = words.ask(Put::new("greeting", "good bye").once()).await.unwrap_err();
    println!("a lost reply of a write: {error}");
    assert_eq!(error.executed(), Executed::Unknown);

    let report = runtime.shutdown(Deadline::after(Duration::from_secs(2))).await;
    assert!(report.is_clean());
    Ok(())
}

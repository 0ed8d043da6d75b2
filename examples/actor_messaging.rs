//! An actix actor that asks backends, and an orchestrator that is an actor itself.
//!
//! Run it with `cargo run --example actor_messaging`. It needs no server and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use backstop::{
    Batch, BatchItem,
    orchestrator::{Collect, Execute as ByName, OrchestratorActor, RunBatch},
    prelude::*,
    sql::{Execute, Query},
    sqlite::{Sqlite, SqliteOptions},
};
use serde_json::json;

/// Registers guests: an actor of the application. It owns references, not connections.
struct Reception {
    guests: BackendRef<Sqlite>,
    orchestrator: Addr<OrchestratorActor>,
}

/// Registers a guest and returns how many there are.
struct Welcome(&'static str);

impl actix::Message for Welcome {
    type Result = Result<i64, CallError>;
}

impl Actor for Reception {
    type Context = Context<Self>;
}

impl Handler<Welcome> for Reception {
    type Result = ResponseFuture<Result<i64, CallError>>;

    fn handle(&mut self, Welcome(name): Welcome, _: &mut Context<Self>) -> Self::Result {
        let guests = self.guests.clone();
        Box::pin(async move {
            // A restart of the backend in between would not be noticed: the reference survives it.
            guests.ask(Execute::new("INSERT INTO guest (name) VALUES (?)").bind(name)).await?;
            let count = Query::new("SELECT count(*) FROM guest").typed::<i64>();
            Ok(guests.ask(count).within(Duration::from_millis(250)).await?.first().copied().unwrap_or(0))
        })
    }
}

/// Looks at both tables at once.
struct Survey;

impl actix::Message for Survey {
    type Result = Result<(usize, usize), CallError>;
}

impl Handler<Survey> for Reception {
    type Result = ResponseFuture<Result<(usize, usize), CallError>>;

    fn handle(&mut self, _: Survey, _: &mut Context<Self>) -> Self::Result {
        let asks = (
            self.guests.ask(Query::new("SELECT name FROM guest")),
            self.guests.ask(Query::new("SELECT number FROM room")),
        );
        // The orchestrator's actor lives on this very thread, so the message stays here.
        let asked = self.orchestrator.send(Collect(Gather::all(asks).within(Duration::from_secs(1))));
        Box::pin(async move {
            let (guests, rooms) = asked.await.expect("the actor lives as long as its thread");
            Ok((guests?.len(), rooms.map_or(0, |rooms| rooms.len()))) // no rooms is no reason to fail
        })
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        Runtime::builder().backend("hotel", SqliteOptions::memory(), Policy::default()).start().await?;
    let guests = runtime.backend::<Sqlite>("hotel")?;
    guests.ask(Execute::new("CREATE TABLE guest (id INTEGER PRIMARY KEY, name TEXT)")).await?;
    let orchestrator = runtime.orchestrator().local_addr()?;
    let reception = Reception { guests, orchestrator: orchestrator.clone() }.start();

    assert_eq!(reception.send(Welcome("Ada")).await??, 1);
    assert_eq!(reception.send(Welcome("Grace")).await??, 2);
    let (guests, rooms) = reception.send(Survey).await??;
    println!("{guests} guests, {rooms} rooms");
    assert_eq!((guests, rooms), (2, 0));

    let names =
        orchestrator.send(ByName::new("hotel", "query", json!({"sql": "SELECT name FROM guest"}))).await??;
    println!("by name: {}", names["rows"]);
    assert_eq!(names["rows"], json!([["Ada"], ["Grace"]]));

    let last = json!({"type": "ref", "value": "#/last/rows/0/0"});
    let batch = Batch::new()
        .then(BatchItem::new("hotel", "query", json!({"sql": "SELECT max(id) FROM guest"})).id("last"))
        .then(BatchItem::new(
            "hotel",
            "query",
            json!({"sql": "SELECT name FROM guest WHERE id = ?", "params": [last]}),
        ))
        .then(BatchItem::new("hotle", "query", json!({"sql": "SELECT 1"})));
    let report = orchestrator.send(RunBatch(batch)).await??;
    println!("batch: {}", serde_json::to_string(&report.summary())?);
    assert_eq!(report.results[1].result().unwrap()["rows"], json!([["Grace"]]));
    println!("  and one of three was refused: {}", report.results[2].error().unwrap());

    assert!(runtime.shutdown(Deadline::after(Duration::from_secs(2))).await.is_clean());
    Ok(())
}

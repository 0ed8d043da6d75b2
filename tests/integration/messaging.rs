//! The orchestrator as an actor, and actors that use backends.

use std::{future::IntoFuture, time::Duration};

use actix::{Actor, Context, Handler, ResponseFuture};
use backstop::{
    Batch, BatchItem,
    orchestrator::{Collect, Execute, OrchestratorActor, RunBatch},
    prelude::*,
};
use serde_json::{Value, json};

use crate::fake::{Act, Do, Fake, World, end, one};

#[actix_rt::test]
async fn the_actor_executes_batches_and_collects() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let b = runtime.backend::<Fake>("b").unwrap();
    let actor = runtime.orchestrator().local_addr().unwrap();
    assert_eq!(actor.send(Execute::new("b", "reply", json!({"value": 7}))).await.unwrap().unwrap(), 7);
    let error = actor.send(Execute::new("c", "reply", json!({}))).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "unknown_backend");
    let short = Execute::new("b", "hold", json!({"label": "never"})).within(Duration::from_millis(200));
    assert_eq!(actor.send(short).await.unwrap().unwrap_err().code(), "timeout");

    let batch = Batch::new().then(BatchItem::new("b", "reply", json!({"value": 1})));
    assert!(actor.send(RunBatch(batch)).await.unwrap().unwrap().is_ok());

    let gather = Gather::all((b.ask(Do::reply(1)), b.ask(Do::fail(Executed::No))));
    let (one, two) = actor.send(Collect(gather)).await.unwrap();
    assert!(one.is_ok() && two.is_err());
    let race = Gather::all(vec![b.ask(Do::hold("loser")), b.ask(Do::reply(2))]).first_ok();
    assert_eq!(actor.send(Collect(race)).await.unwrap().unwrap().position, 1);
    let fallback = Fallback::ask(&b, Do::fail(Executed::No)).or(&b, Do::reply(3));
    assert_eq!(actor.send(Collect(fallback)).await.unwrap().unwrap().value, 3);
    world.until(|seen| seen.active == 0).await;
    end(runtime).await;
}

#[actix_rt::test]
async fn a_thread_has_one_actor_of_a_runtime_and_a_call_through_it_stays_on_the_thread() {
    let (world, other) = (World::new(), World::new());
    let (runtime, second) = (one(&world, "b").await, one(&other, "b").await);
    let actor = runtime.orchestrator().local_addr().unwrap();
    assert_eq!(runtime.orchestrator().local_addr().unwrap(), actor);
    assert_ne!(second.orchestrator().local_addr().unwrap(), actor);
    let b = runtime.backend::<Fake>("b").unwrap();
    let (thread,) = actor.send(Collect(Gather::all((b.ask(Do::new("t", Act::Thread)),)))).await.unwrap();
    assert_eq!(thread.unwrap(), format!("{:?}", std::thread::current().id()));
    end(second).await;
    end(runtime).await;
}

#[actix_rt::test]
async fn a_message_whose_sender_goes_away_is_cancelled_and_a_panic_ends_only_its_own() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let actor = runtime.orchestrator().local_addr().unwrap();
    let sender = actix_rt::spawn(actor.send(Execute::new("b", "hold", json!({"label": "x"}))));
    world.until(|seen| seen.active == 1).await;
    sender.abort();
    let seen = world.until(|seen| seen.active == 0).await;
    assert_eq!(seen.cancelled, ["x"]);

    let lost = actor.send(Collect(async { panic!("planned, in a caller's future") as () })).await;
    assert!(lost.is_err());
    let error = actor.send(Execute::new("b", "panic_in_decode", json!({}))).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.executed()), ("panicked", Executed::No));
    assert_eq!(actor.send(Execute::new("b", "reply", json!({"value": 7}))).await.unwrap().unwrap(), 7);
    end(runtime).await;
}

#[test]
fn a_thread_without_an_arbiter_gets_an_error_that_says_what_to_do() {
    let world = World::new();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = tokio.block_on(one(&world, "b"));
    let error = runtime.orchestrator().local_addr().unwrap_err();
    assert!(error.to_string().contains("attach_worker"), "{error}");
    tokio.block_on(end(runtime));
}

/// An actor of an application: it asks backends in a handler and answers its own sender.
struct Pricing {
    backend: BackendRef<Fake>,
    orchestrator: actix::Addr<OrchestratorActor>,
}

struct Quote(u64);
impl actix::Message for Quote {
    type Result = Result<Vec<Value>, CallError>;
}

impl Actor for Pricing {
    type Context = Context<Self>;
}

impl Handler<Quote> for Pricing {
    type Result = ResponseFuture<Result<Vec<Value>, CallError>>;

    fn handle(&mut self, quote: Quote, _: &mut Context<Self>) -> Self::Result {
        let asks = (self.backend.ask(Do::reply(quote.0)), self.backend.ask(Do::fail(Executed::No)));
        let asked = self.orchestrator.send(Collect(Gather::all(asks).within(Duration::from_secs(1))));
        Box::pin(async move {
            let (price, discount) = asked.await.unwrap();
            Ok(vec![price?, discount.unwrap_or_default()])
        })
    }
}

#[actix_rt::test]
async fn an_actor_of_the_application_gathers_through_the_orchestrator_actor() {
    let world = World::new();
    let runtime = one(&world, "b").await;
    let orchestrator = runtime.orchestrator().local_addr().unwrap();
    let pricing = Pricing { backend: runtime.backend("b").unwrap(), orchestrator }.start();
    assert_eq!(pricing.send(Quote(5)).await.unwrap().unwrap(), [json!(5), Value::Null]);
    drop(pricing.send(Quote(6)).into_future());
    end(runtime).await;
}

//! actix without anything around it, to show what Backstop adds.

use std::hint::black_box;

use actix::{Actor, Context, Handler, Message};

use crate::{contender::Contender, spread::Arbiter};

struct Adder;

struct Add(u64);

impl Message for Add {
    type Result = u64;
}

impl Actor for Adder {
    type Context = Context<Self>;
}

impl Handler<Add> for Adder {
    type Result = u64;

    fn handle(&mut self, message: Add, _: &mut Self::Context) -> u64 {
        message.0 + 1
    }
}

/// Callers on the actor's thread.
pub fn same_thread() -> Contender {
    let arbiter = Arbiter::here();
    let adder = arbiter.run(async { Adder.start() });
    Contender::new("actix `send`", move |callers, watch| {
        arbiter.turn(callers, watch, |mut caller| {
            let adder = adder.clone();
            async move {
                while let Some(turn) = caller.next() {
                    black_box(adder.send(Add(turn)).await.unwrap());
                }
                caller
            }
        })
    })
}

//! kameo's `ask`, on the runtime its users have.

use std::hint::black_box;

use kameo::{
    Actor,
    actor::Spawn,
    message::{Context, Message},
};
use tokio::runtime::Runtime;

use crate::{
    contender::Contender,
    spread::{self, one_thread, turn_on},
};

#[derive(Actor)]
struct Adder;

struct Add(u64);

impl Message<Add> for Adder {
    type Reply = u64;

    async fn handle(&mut self, message: Add, _: &mut Context<Self, u64>) -> u64 {
        message.0 + 1
    }
}

fn contender(name: &'static str, callers_on: Runtime, actor_on: Option<Runtime>) -> Contender {
    let adder = actor_on.as_ref().unwrap_or(&callers_on).block_on(async { Adder::spawn(Adder) });
    let actor_on = actor_on.map(drive);
    Contender::new(name, move |callers, watch| {
        let _keep = &actor_on;
        turn_on(&callers_on, callers, watch, |mut caller| {
            let adder = adder.clone();
            async move {
                while let Some(turn) = caller.next() {
                    black_box(adder.ask(Add(turn)).await.unwrap());
                }
                caller
            }
        })
    })
}

/// Runs a current-thread runtime on a thread of its own for the rest of the program.
pub(super) fn drive(runtime: Runtime) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || runtime.block_on(std::future::pending()))
}

/// Callers and actor on one thread.
pub fn same_thread() -> Contender {
    contender("kameo", one_thread(), None)
}

/// Callers and actor on one work-stealing runtime, where one caller and the actor end up on one worker.
pub fn stealing() -> Contender {
    contender("kameo, same runtime", spread::stealing(), None)
}

/// Callers on a work-stealing runtime, the actor on a thread of its own.
pub fn own_thread() -> Contender {
    contender("kameo, own thread", spread::stealing(), Some(one_thread()))
}

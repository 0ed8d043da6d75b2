//! ractor's `call`, on the runtime its users have.

use std::hint::black_box;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::runtime::Runtime;

use crate::{
    contender::Contender,
    messaging::kameo_peer::drive,
    spread::{self, one_thread, turn_on},
};

struct Adder;

enum Add {
    One(u64, RpcReplyPort<u64>),
}

impl Actor for Adder {
    type Msg = Add;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Add>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Add>, message: Add, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let Add::One(value, reply) = message;
        let _ = reply.send(value + 1);
        Ok(())
    }
}

fn contender(name: &'static str, callers_on: Runtime, actor_on: Option<Runtime>) -> Contender {
    let spawn = async { Actor::spawn(None, Adder, ()).await.unwrap().0 };
    let adder = actor_on.as_ref().unwrap_or(&callers_on).block_on(spawn);
    let actor_on = actor_on.map(drive);
    Contender::new(name, move |callers, watch| {
        let _keep = &actor_on;
        turn_on(&callers_on, callers, watch, |mut caller| {
            let adder = adder.clone();
            async move {
                while let Some(turn) = caller.next() {
                    black_box(ractor::call!(adder, Add::One, turn).unwrap());
                }
                caller
            }
        })
    })
}

/// Callers and actor on one thread.
pub fn same_thread() -> Contender {
    contender("ractor", one_thread(), None)
}

/// Callers and actor on one work-stealing runtime, where one caller and the actor end up on one worker.
pub fn stealing() -> Contender {
    contender("ractor, same runtime", spread::stealing(), None)
}

/// Callers on a work-stealing runtime, the actor on a thread of its own.
pub fn own_thread() -> Contender {
    contender("ractor, own thread", spread::stealing(), Some(one_thread()))
}

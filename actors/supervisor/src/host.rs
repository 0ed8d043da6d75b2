//! The supervising future: an actor that panics keeps its address and its queue.
//!
//! Tried: callers of a panicked actor future are released only when `restart` runs, so it runs at once,
//! inside the catch; polling is then held back for the delay. Dropping a panicked actix context would
//! handle the queued messages on the broken actor.

use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context as Cx, Poll},
    time::Duration,
};

use actix::{
    Actor, Context, Supervised,
    dev::{ContextFut, channel::AddressReceiver},
};
use backstop_core::local;

/// Delay before a panicked actor is polled again; panics of messages are caught before they get here, so
/// this one is rare and needs no growth.
const HOLD_BACK: Duration = Duration::from_millis(200);

/// Messages that an actor handled since it was last polled.
pub(crate) type Turn = Rc<Cell<u32>>;

pub(crate) struct Host<A: Actor<Context = Context<A>> + Supervised> {
    actor: Option<ContextFut<A, Context<A>>>,
    turn: Turn,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Runs an actor behind an existing mailbox, on the current thread's `LocalSet`.
///
/// A mailbox is made with capacity 0, which is none: the intake is the bound.
pub(crate) fn start_on<A>(actor: A, turn: Turn, mailbox: AddressReceiver<A>)
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let actor = Context::with_receiver(mailbox).into_future(actor);
    local::spawn(Host { actor: Some(actor), turn, pause: None });
}

impl<A> Future for Host<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        let this = &mut *self;
        this.turn.set(0);
        loop {
            if let Some(pause) = this.pause.as_mut() {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.pause = None;
            }
            let Some(actor) = this.actor.as_mut() else { return Poll::Ready(()) };
            match catch_unwind(AssertUnwindSafe(|| local::inside(|| Pin::new(&mut *actor).poll(cx)))) {
                Ok(ended) => return ended,
                Err(_) => {
                    // `restarting` may panic too; the actor is then restarted once more after the pause.
                    let restarted = catch_unwind(AssertUnwindSafe(|| actor.restart()));
                    if matches!(restarted, Ok(false)) {
                        return Poll::Ready(());
                    }
                    tracing::error!("an actor panicked outside a message and is restarted");
                    this.pause = Some(Box::pin(tokio::time::sleep(HOLD_BACK)));
                }
            }
        }
    }
}

impl<A> Drop for Host<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn drop(&mut self) {
        // actix runs `stopping` and `stopped` in the drop of the context; a panic there must not abort.
        let actor = self.actor.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(actor)));
    }
}

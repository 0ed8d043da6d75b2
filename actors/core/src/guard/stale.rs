//! Cached answers that a write makes stale, dropped before its caller hears of the end.

use super::Guard;
use crate::{
    error::{CallError, Executed},
    message::Message,
};

/// Drops the tags of a message when it ends, unless nothing was executed; so it does when the call is given up.
///
/// A write whose fate is unknown may commit after its tags were dropped: an answer that is read in between
/// lives to the end of its time.
pub(super) struct Stale<'a, M: Message> {
    guard: &'a Guard,
    message: &'a M,
    unexecuted: bool,
}

impl<'a, M: Message> Stale<'a, M> {
    pub(super) fn after(guard: &'a Guard, message: &'a M) -> Self {
        Self { guard, message, unexecuted: false }
    }

    pub(super) fn ended(mut self, result: &Result<M::Reply, CallError>) {
        self.unexecuted = result.as_ref().is_err_and(|error| error.executed() == Executed::No);
    }
}

impl<M: Message> Drop for Stale<'_, M> {
    fn drop(&mut self) {
        if !self.unexecuted {
            self.message.invalidates(&mut |tag| self.guard.invalidate_tag(tag));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        backend::{Backend, Serve},
        call::{CallContext, Deadline, OpId},
        error::{Failure, FailureKind},
        event::EventRing,
        message::{CallKey, Class, Sharing},
        policy::Policy,
    };

    /// A number, and a way to end each write.
    #[derive(Default)]
    struct Store(Cell<u32>);

    #[derive(Clone, Copy, Debug)]
    enum Write {
        Ends(Executed),
        Succeeds,
        Hangs,
    }
    struct Read;

    impl Backend for Store {
        const KIND: &'static str = "store";
        async fn probe(&self, _: &CallContext) -> Result<(), Failure> {
            Ok(())
        }
        async fn close(&self, _: Deadline) {}
    }

    impl Message for Read {
        type Reply = u32;
        const NAME: &'static str = "read";
        fn class(&self) -> Class {
            Class::Read
        }
        fn sharing(&self) -> Option<Sharing<u32>> {
            Some(Sharing::cache(CallKey::new("number"), Duration::from_secs(60), ["store"]))
        }
    }

    impl Message for Write {
        type Reply = ();
        const NAME: &'static str = "write";
        fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
            tag("store");
        }
    }

    impl Serve<Read> for Store {
        async fn serve(&self, _: &Read, _: &CallContext) -> Result<u32, Failure> {
            Ok(self.0.get())
        }
    }

    impl Serve<Write> for Store {
        async fn serve(&self, write: &Write, call: &CallContext) -> Result<(), Failure> {
            call.sending();
            self.0.set(self.0.get() + 1);
            match *write {
                Write::Ends(executed) => {
                    Err(Failure::new(FailureKind::Lost, "x").executed_is(executed).transient(false))
                }
                Write::Succeeds => Ok(()),
                Write::Hangs => pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_write_that_did_nothing_keeps_what_is_cached() {
        let guard = Guard::new("store".into(), Policy::default(), Arc::new(EventRing::new(8))).unwrap();
        let store = Store::default();
        let call = || CallContext::new(OpId::next(), Deadline::after(Duration::from_secs(5)));
        for (write, is_fresh) in [
            (Write::Succeeds, true),
            (Write::Ends(Executed::No), false),
            (Write::Ends(Executed::Unknown), true),
            (Write::Ends(Executed::Yes), true),
            (Write::Hangs, true),
        ] {
            guard.invalidate_tag("store");
            let before = guard.run(&store, &Read, &call(), Class::Read).await.unwrap();
            let call_of_write = call();
            let ends = guard.run(&store, &write, &call_of_write, Class::Unsafe);
            // a caller that goes away drops the future
            let _ = tokio::time::timeout(Duration::from_secs(1), ends).await;
            let after = guard.run(&store, &Read, &call(), Class::Read).await.unwrap();
            assert_eq!(after != before, is_fresh, "{write:?}");
        }
    }
}

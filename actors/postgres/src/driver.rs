//! Moves the bytes of one connection, and sees what the server reports of its session.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
};

use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};
use tokio_postgres::AsyncMessage;

use crate::{connector::Wire, framing::TooLong};

/// What the server says of the session; versions before 14 say nothing.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    read_only: AtomicU8,
    was_too_long: AtomicBool,
}

const OFF: u8 = 1;
const ON: u8 = 2;

impl Reported {
    /// Says whether new transactions are read-only, where the server says so.
    pub(crate) fn read_only(&self) -> Option<bool> {
        match self.read_only.load(Relaxed) {
            OFF => Some(false),
            ON => Some(true),
            _ => None,
        }
    }

    /// Says whether the connection ended at a message that was too long.
    pub(crate) fn was_too_long(&self) -> bool {
        self.was_too_long.load(Relaxed)
    }

    fn look(&self, wire: &Wire) {
        let value = match wire.parameter("default_transaction_read_only") {
            Some("on") => ON,
            Some(_) => OFF,
            None => return,
        };
        self.read_only.store(value, Relaxed);
    }
}

/// Drives a connection until it ends or its task is aborted. The permit goes back when the socket is closed.
///
/// It runs on the `LocalSet`, as its callers do: from there to the runtime's own tasks and back would be one more look
/// at the sockets for each answer. So connections are opened by tasks of the `LocalSet` alone.
pub(crate) fn drive(mut wire: Wire, reported: Arc<Reported>, permit: OwnedSemaphorePermit) -> JoinHandle<()> {
    reported.look(&wire);
    tokio::task::spawn_local(async move {
        loop {
            let message = poll_fn(|context| {
                let polled = wire.poll_message(context);
                // A report precedes the end of the statement that caused it, and is seen in the same poll. The
                // one who waits for the statement runs after this poll, on the same thread.
                reported.look(&wire);
                polled
            });
            match message.await {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(target: "backstop::postgres", "{}: {}", notice.severity(), notice.message());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    reported.was_too_long.store(TooLong::ended(&error), Relaxed);
                    tracing::debug!(target: "backstop::postgres", "connection lost: {error}");
                    break;
                }
                None => break,
            }
        }
        drop(wire);
        drop(permit);
    })
}

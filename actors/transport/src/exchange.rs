//! One request and its response, as the connection and the driver share it.
//!
//! awc gives no way from a request to its connection. But all of its work happens inside polls of its
//! future, on one thread: the driver puts the exchange in a slot of the thread for the length of each poll,
//! and a connection takes it from there at the first byte it is asked to write. From then on the two know
//! each other, whatever polls them.

use std::{
    cell::{Cell, RefCell},
    io,
    ops::Deref,
    rc::{Rc, Weak},
};

use crate::{
    connection::Connection,
    error::TransportError,
    head::{Framing, HeadError},
};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Exchange>>> = const { RefCell::new(None) };
}

/// What is known about one request and its response.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    to_head: bool,
    gate: Cell<Gate>,
    dialing: Cell<bool>,
    reused: Cell<bool>,
    written: Cell<u64>,
    framing: Cell<Option<Framing>>,
    received: Cell<u64>,
    payload: Cell<u64>,
    complete: Cell<bool>,
    tainted: Cell<bool>,
    ended: Cell<bool>,
    fault: RefCell<Option<Fault>>,
    connection: RefCell<Weak<Connection>>,
}

/// Whether bytes of the request may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    /// None has been asked for.
    #[default]
    Closed,
    /// A connection is ready and waits.
    Wanted,
    /// They may.
    Open,
}

/// What a connection found; it explains an error of awc better than awc does.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It could not be opened.
    Dial(TransportError),
    /// The head of the response is refused.
    Head(HeadError),
    /// The system reported an error.
    Io(io::Error),
}

impl Exchange {
    /// Starts an exchange; `to_head` says that the request is HEAD, so that its response has no body.
    pub(crate) fn new(to_head: bool) -> Rc<Self> {
        Rc::new(Self { to_head, ..Self::default() })
    }

    /// Runs `poll` with this exchange in the slot of the thread.
    pub(crate) fn scope<T>(self: &Rc<Self>, poll: impl FnOnce() -> T) -> T {
        /// Puts back what was there before, also when `poll` panics.
        struct Restore(Option<Rc<Exchange>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(Rc::clone(self))));
        poll()
    }

    /// Returns the exchange whose poll is under way.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Option::clone)
    }

    pub(crate) fn to_head(&self) -> bool {
        self.to_head
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate.get()
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        self.gate.set(gate);
    }

    pub(crate) fn is_dialing(&self) -> bool {
        self.dialing.get()
    }

    pub(crate) fn set_dialing(&self) {
        self.dialing.set(true);
    }

    /// Notes the connection that will carry the request.
    pub(crate) fn bind(&self, connection: &Rc<Connection>, reused: bool) {
        self.reused.set(reused);
        *self.connection.borrow_mut() = Rc::downgrade(connection);
    }

    pub(crate) fn add_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    pub(crate) fn framing(&self) -> Option<Framing> {
        self.framing.get()
    }

    pub(crate) fn set_framing(&self, framing: Framing) {
        self.framing.set(Some(framing));
    }

    /// Counts the bytes of the body on the wire, chunk headers included.
    pub(crate) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Counts the bytes of the body on the wire without chunk headers: what awc has to hand out.
    pub(crate) fn payload(&self) -> u64 {
        self.payload.get()
    }

    pub(crate) fn add_received(&self, bytes: usize, payload: u64) {
        self.received.set(self.received.get() + bytes as u64);
        self.payload.set(self.payload.get() + payload);
    }

    /// Says whether the response came to the end that its own framing gives it.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    pub(crate) fn set_complete(&self) {
        self.complete.set(true);
    }

    /// Says whether the stream ended while more of the response was expected.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get() && !self.complete.get()
    }

    pub(crate) fn set_ended(&self) {
        self.ended.set(true);
    }

    /// Notes that the connection must not be used again, such as for bytes behind the end of the response.
    pub(crate) fn set_tainted(&self) {
        self.tainted.set(true);
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        let mut slot = self.fault.borrow_mut();
        // the first one explains those that follow
        if slot.is_none() {
            *slot = Some(fault);
        }
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.borrow_mut().take()
    }

    /// Describes a connection that ended without an answer.
    pub(crate) fn lost(&self, source: Option<io::Error>) -> TransportError {
        TransportError::Lost { written: self.written.get(), reused: self.reused.get(), source }
    }

    /// Describes a body that ended before its end.
    pub(crate) fn truncated(&self) -> TransportError {
        let expected = match self.framing.get() {
            Some(Framing::Length(length)) => Some(length),
            _ => None,
        };
        TransportError::Truncated { received: self.received.get(), expected }
    }

    /// Ends the exchange: the connection is idle from now on, or closed if there is any doubt about it.
    pub(crate) fn finish(&self) {
        let connection = self.connection.take();
        if let Some(connection) = connection.upgrade() {
            connection.finish(self.complete.get() && !self.tainted.get());
        }
    }
}

/// An exchange that somebody still has to end; dropped before that, its connection is closed.
#[derive(Debug)]
pub(crate) struct Ongoing(pub(crate) Rc<Exchange>);

impl Deref for Ongoing {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.0
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if let Some(connection) = self.0.connection.take().upgrade() {
            connection.finish(false);
        }
    }
}

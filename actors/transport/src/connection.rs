//! A connection that knows which exchange it carries and where the response ends.
//!
//! It sits between awc and the socket (above TLS), holds the first byte of a request back until the driver
//! has said that it may leave, reads each response head before awc sees it, and never hands awc a byte
//! behind the end of a response.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_rt::net::ActixStream;
use backstop_core::clock::{self, Instant};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Ready};

use crate::{
    cap::Place,
    exchange::{Exchange, Fault, Gate},
    head::{self, HEAD_MAX, Head, HeadError},
    registry::Registry,
    stream::Stream,
    tail::Tail,
};

/// The stream of a connection, as awc holds it; dropping it closes the connection.
pub(crate) struct Watched(Rc<Connection>);

/// What awc, the exchange and the registry share of a connection.
pub(crate) struct Connection {
    /// The socket and its place under the cap; `None` when it was shut.
    io: RefCell<Option<(Stream, Place)>>,
    mode: RefCell<Mode>,
    exchange: RefCell<Option<Rc<Exchange>>>,
    idle_since: Cell<Option<Instant>>,
    used: Cell<bool>,
    registry: Rc<Registry>,
}

/// Where a connection is in its exchange.
enum Mode {
    /// Between two exchanges: whatever arrives now was not asked for.
    Idle,
    /// Before the end of the head of a response: what has been read, and how much interim heads took.
    Head { inbox: BytesMut, interim: usize },
    /// Behind the head: what awc has not read yet, and how much of the response is to come.
    Body { inbox: BytesMut, tail: Tail },
}

impl Watched {
    /// Wraps a connection that was just opened.
    pub(crate) fn new(stream: Stream, place: Place, registry: Rc<Registry>) -> Self {
        let connection = Rc::new(Connection {
            io: RefCell::new(Some((stream, place))),
            mode: RefCell::new(Mode::Idle),
            exchange: RefCell::default(),
            idle_since: Cell::default(),
            used: Cell::default(),
            registry,
        });
        connection.registry.add(&connection);
        Self(connection)
    }
}

impl Connection {
    /// Since when it waits for a request, if it does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle_since.get()
    }

    /// Closes the socket; awc finds the shell at its next look and throws it away.
    pub(crate) fn shut(&self) {
        self.idle_since.set(None);
        if let Some((stream, place)) = self.io.borrow_mut().take() {
            // in this order: the place is free when the socket is closed
            drop(stream);
            drop(place);
            self.registry.note_closed();
        }
    }

    /// Ends the exchange; a connection in doubt is closed.
    pub(crate) fn finish(&self, reusable: bool) {
        self.exchange.take();
        *self.mode.borrow_mut() = Mode::Idle;
        if reusable {
            self.idle_since.set(Some(clock::now()));
            self.registry.note_idle();
        } else {
            self.shut();
        }
    }

    /// Takes up the exchange whose poll is under way, once its gate is open.
    fn begin(self: &Rc<Self>) -> Poll<io::Result<()>> {
        if !matches!(*self.mode.borrow(), Mode::Idle) {
            return Poll::Ready(Ok(()));
        }
        let Some(exchange) = Exchange::current() else {
            return Poll::Ready(Err(io::Error::other("a request outside an exchange")));
        };
        if exchange.gate() != Gate::Open {
            // no waker is needed: the driver opens the gate and polls again at once
            exchange.set_gate(Gate::Wanted);
            return Poll::Pending;
        }
        exchange.bind(self, self.used.replace(true));
        self.idle_since.set(None);
        *self.exchange.borrow_mut() = Some(exchange);
        *self.mode.borrow_mut() = Mode::Head { inbox: BytesMut::new(), interim: 0 };
        Poll::Ready(Ok(()))
    }

    fn poll_write(self: &Rc<Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.begin())?;
        let result = ready!(self.with_io(|io| io.poll_write(cx, bytes)));
        match &result {
            Ok(written) => self.note(|exchange| exchange.add_written(*written)),
            Err(error) => self.note(|exchange| exchange.set_fault(Fault::Io(copy(error)))),
        }
        Poll::Ready(result)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut mode = self.mode.borrow_mut();
        if matches!(*mode, Mode::Idle) {
            // awc looks whether an idle connection is still usable
            return self.with_open_io(|io| io.poll_read(cx, buf));
        }
        if matches!(*mode, Mode::Head { .. }) {
            let (inbox, tail) = match ready!(self.poll_head(cx, &mut mode)) {
                Ok(Some(body)) => body,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            };
            *mode = Mode::Body { inbox, tail };
        }
        let Mode::Body { inbox, tail } = &mut *mode else { return Poll::Ready(Ok(())) };
        if !inbox.is_empty() {
            let step = inbox.len().min(buf.remaining());
            buf.put_slice(&inbox[..step]);
            inbox.advance(step);
            return Poll::Ready(Ok(()));
        }
        if matches!(tail, Tail::Done) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Err(error) = ready!(self.with_open_io(|io| io.poll_read(cx, buf))) {
            self.note(|exchange| exchange.set_fault(Fault::Io(copy(&error))));
            return Poll::Ready(Err(error));
        }
        self.note(|exchange| {
            let arrived = &buf.filled()[before..];
            if arrived.is_empty() {
                tail.end(exchange);
            } else {
                let kept = tail.account(arrived, exchange);
                buf.set_filled(before + kept);
            }
        });
        Poll::Ready(Ok(()))
    }

    /// Reads until the final head is whole; `None` when the connection ends before that.
    fn poll_head(&self, cx: &mut Context<'_>, mode: &mut Mode) -> Poll<io::Result<Option<(BytesMut, Tail)>>> {
        let Mode::Head { inbox, interim } = mode else { return Poll::Ready(Ok(None)) };
        loop {
            let mut chunk = [0; 8 * 1024];
            let mut chunk = ReadBuf::new(&mut chunk);
            if let Err(error) = ready!(self.with_open_io(|io| io.poll_read(cx, &mut chunk))) {
                self.note(|exchange| exchange.set_fault(Fault::Io(copy(&error))));
                return Poll::Ready(Err(error));
            }
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            inbox.extend_from_slice(chunk.filled());
            match self.read_head(inbox, interim) {
                Ok(Some(tail)) => return Poll::Ready(Ok(Some((std::mem::take(inbox), tail)))),
                Ok(None) => {}
                Err(error) => {
                    self.note(|exchange| exchange.set_fault(Fault::Head(error)));
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData)));
                }
            }
        }
    }

    /// Reads what has arrived of the heads; leaves the final head and what belongs to its body in `inbox`.
    fn read_head(&self, inbox: &mut BytesMut, interim: &mut usize) -> Result<Option<Tail>, HeadError> {
        let Some(exchange) = self.exchange.borrow().clone() else { return Ok(None) };
        loop {
            match head::parse(inbox, exchange.to_head())? {
                Head::Partial => return Ok(None),
                Head::Interim(len) => {
                    inbox.advance(len);
                    *interim += len;
                    if *interim > HEAD_MAX {
                        return Err(HeadError::TooLarge);
                    }
                    if inbox.is_empty() {
                        return Ok(None);
                    }
                }
                Head::Final { len, .. } if len > HEAD_MAX => return Err(HeadError::TooLarge),
                Head::Final { len, framing, persists, downgrade_at } => {
                    if let Some(digit) = downgrade_at.and_then(|at| inbox.get_mut(at)) {
                        *digit = b'0';
                    }
                    if !persists {
                        exchange.set_tainted();
                    }
                    exchange.set_framing(framing);
                    let mut tail = Tail::of(framing, &exchange);
                    let kept = tail.account(&inbox[len..], &exchange);
                    inbox.truncate(len + kept);
                    return Ok(Some(tail));
                }
            }
        }
    }

    fn note(&self, what: impl FnOnce(&Exchange)) {
        if let Some(exchange) = &*self.exchange.borrow() {
            what(exchange);
        }
    }

    /// Works on the socket; an error when it was shut.
    fn with_io<T>(&self, work: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut *self.io.borrow_mut() {
            Some((io, _)) => work(Pin::new(io)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Reads from the socket; its end when it was shut.
    fn with_open_io<T: Default>(
        &self,
        work: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.io.borrow_mut() {
            Some((io, _)) => work(Pin::new(io)),
            None => Poll::Ready(Ok(T::default())),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_open_io(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_open_io(|io| io.poll_shutdown(cx))
    }
}

impl ActixStream for Watched {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        // awc reads and writes without asking; the answer "try it" is always allowed
        Poll::Ready(Ok(Ready::READABLE))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::WRITABLE))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.shut();
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.0).finish()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("idle_since", &self.idle_since.get()).finish_non_exhaustive()
    }
}

/// Copies an error of the system, which is not `Clone`, as far as it goes.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

//! The connector under the HTTP backends of Backstop.
//!
//! It adds to awc what awc 3.11 does not do: it knows one target and can reach no other, it tells before
//! the first byte of a request leaves, it holds each response against its own framing, so that a body that
//! was cut is never a success, and it bounds head, body, inflation and time.
//!
//! - [`Transport`] sends one request at a time over the pool of one lane and returns an [`Incoming`] head;
//!   [`Incoming::read`] reads the body.
//! - [`Cap`] bounds the connections over all lanes of a backend.
//! - [`TransportError`] says what went wrong; [`TransportError::into_failure`] turns it into a failure.
//!
//! HTTP/1.1 only: the h2 0.3 that awc links has an open advisory, and no connection here ever speaks it.
//! Environment proxies are not read and redirects are not followed.

mod body;
mod cap;
mod chunks;
mod connection;
mod dial;
mod drive;
mod error;
mod exchange;
mod head;
mod inflate;
mod registry;
mod stream;
mod tail;
mod target;
mod tls;
mod transport;

pub use self::{
    body::{Answer, BodyLimits, Incoming},
    cap::Cap,
    error::{ConnectStep, TransportError},
    target::Target,
    tls::{Tls, TlsOptions},
    transport::{Outgoing, Timeouts, Transport},
};

//! Polls a request up to the head of its answer.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use awc::error::{ConnectError, SendRequestError};
use backstop_core::{call::CallContext, error::Phase};
use tokio::time::{Sleep, sleep};

use crate::{
    error::TransportError,
    exchange::{Exchange, Fault, Gate},
    head::{HEAD_MAX, HeadError},
};

/// Polls `request` until its head is there, and calls [`CallContext::sending`] before its first byte
/// leaves: the connection holds that byte back until the gate is open.
pub(crate) async fn drive<T>(
    mut request: Pin<&mut impl Future<Output = Result<T, SendRequestError>>>,
    exchange: &Rc<Exchange>,
    first_byte: Duration,
    call: &CallContext,
) -> Result<T, TransportError> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = exchange.scope(|| request.as_mut().poll(cx)) {
                return Poll::Ready(result.map_err(|error| explain(exchange, error)));
            }
            if exchange.gate() == Gate::Wanted {
                call.sending();
                exchange.set_gate(Gate::Open);
                timer = Some(Box::pin(sleep(first_byte)));
                continue;
            }
            if exchange.is_dialing() && exchange.gate() == Gate::Closed {
                call.enter(Phase::Connect);
            }
            return match &mut timer {
                Some(timer) => {
                    timer.as_mut().poll(cx).map(|()| Err(TransportError::FirstByteTimeout(first_byte)))
                }
                None => Poll::Pending,
            };
        }
    })
    .await
}

/// What the connection saw explains more than what awc makes of it.
fn explain(exchange: &Exchange, error: SendRequestError) -> TransportError {
    match exchange.take_fault() {
        Some(Fault::Dial(error)) => return error,
        Some(Fault::Head(HeadError::TooLarge)) => {
            return TransportError::HeadTooLarge { limit: HEAD_MAX };
        }
        Some(Fault::Head(HeadError::Malformed(why))) => return TransportError::Malformed(why.into()),
        Some(Fault::Io(source)) => return exchange.lost(Some(source)),
        None => {}
    }
    match error {
        SendRequestError::Url(error) => TransportError::Unsendable(error.to_string()),
        SendRequestError::Http(error) => TransportError::Unsendable(error.to_string()),
        SendRequestError::Response(error) => TransportError::Malformed(error.to_string()),
        SendRequestError::Send(source) => exchange.lost(Some(source)),
        SendRequestError::Connect(ConnectError::Io(source)) => exchange.lost(Some(source)),
        SendRequestError::Connect(_) => exchange.lost(None),
        other => exchange.lost(Some(io::Error::other(other.to_string()))),
    }
}

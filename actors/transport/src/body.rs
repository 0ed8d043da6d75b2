//! The answer: its head first, then its body, whole or not at all.

use std::{pin::Pin, time::Duration};

use awc::error::PayloadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use crate::{
    cap::Slot,
    error::TransportError,
    exchange::{Fault, Ongoing},
    head::Framing,
    inflate::{Coding, Sink},
};

/// How much of a body is read, and how long one waits for more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// The most bytes, on the wire and after decoding each; 16 MiB by default.
    pub max_bytes: usize,
    /// How many times its size a body may have after decoding, above 1 MiB; 100 by default.
    pub max_ratio: u64,
    /// The longest wait between two pieces; 10 s by default.
    pub idle: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { max_bytes: 16 * 1024 * 1024, max_ratio: 100, idle: Duration::from_secs(10) }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: u16,
    /// Names in lower case and values, in the order of their arrival as far as names differ.
    pub headers: Vec<(String, Bytes)>,
    /// The decoded body.
    pub body: Bytes,
    /// Whether only the end of the connection marked the end of the body, so that it may have been cut.
    pub close_delimited: bool,
}

pub(crate) type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

/// An answer whose body has not been read; dropping it closes the connection.
pub struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) stream: BodyStream,
    pub(crate) exchange: Ongoing,
    // behind the stream: the connection goes back before the right to it does
    pub(crate) _slot: Slot,
}

impl Incoming {
    /// Returns the status, 200 to 599.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the first value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// [`TransportError`] when the body is cut, too large, too slow or cannot be decoded; never a part.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn read(mut self, limits: BodyLimits) -> Result<Answer, TransportError> {
        let framing = self.exchange.framing().unwrap_or(Framing::Close);
        let body = match framing {
            Framing::Empty => Bytes::new(),
            Framing::Length(length) if length > limits.max_bytes as u64 => {
                return Err(TransportError::BodyTooLarge { limit: limits.max_bytes });
            }
            _ => self.collect(framing, limits).await?,
        };
        self.exchange.finish();
        let Self { status, headers, .. } = self;
        Ok(Answer { status, headers, body, close_delimited: framing == Framing::Close })
    }

    /// Reads and drops a short body, so that the connection can be used again; a longer or slower one is
    /// given up, which closes the connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn discard(mut self, max_bytes: usize, patience: Duration) {
        let short = match self.exchange.framing() {
            Some(Framing::Empty) => true,
            Some(Framing::Length(length)) => length <= max_bytes as u64,
            Some(Framing::Chunked) => true,
            _ => false,
        };
        if short && timeout(patience, self.skip(max_bytes)).await.is_ok() {
            self.exchange.finish();
        }
    }

    async fn skip(&mut self, max_bytes: usize) {
        if self.exchange.framing() == Some(Framing::Empty) {
            return;
        }
        while let Some(Ok(_)) = self.stream.next().await {
            if self.exchange.received() > max_bytes as u64 {
                return;
            }
        }
    }

    async fn collect(&mut self, framing: Framing, limits: BodyLimits) -> Result<Bytes, TransportError> {
        let codings = self.headers.iter().filter(|(name, _)| name == "content-encoding");
        let coding = Coding::of(codings.map(|(_, value)| &**value))?;
        let hint = if let Framing::Length(length) = framing { Some(length) } else { None };
        let mut sink = Sink::new(coding, limits, hint);
        let mut delivered = 0;
        loop {
            let Ok(next) = timeout(limits.idle, self.stream.next()).await else {
                return Err(TransportError::BodyIdle(limits.idle));
            };
            match next {
                Some(Ok(chunk)) => {
                    delivered += chunk.len() as u64;
                    sink.push(&chunk)?;
                }
                Some(Err(error)) => return Err(self.explain(&error)),
                None => break,
            }
        }
        if !self.exchange.is_complete() {
            return Err(self.exchange.truncated());
        }
        if delivered != self.exchange.payload() {
            // awc leaves out a body that comes with `Upgrade: websocket`, for one
            return Err(TransportError::MalformedBody("the head hides the body".into()));
        }
        match sink.finish()? {
            Some(body) => Ok(body),
            None => Err(self.exchange.truncated()),
        }
    }

    /// An error of the socket or an early end cut the body; the rest is a body that breaks the protocol.
    fn explain(&self, error: &PayloadError) -> TransportError {
        let socket_failed = matches!(self.exchange.take_fault(), Some(Fault::Io(_)));
        if socket_failed || self.exchange.is_ended() || matches!(error, PayloadError::Incomplete(None)) {
            return self.exchange.truncated();
        }
        TransportError::MalformedBody(error.to_string())
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("status", &self.status).finish_non_exhaustive()
    }
}

//! What can go wrong between a request and its answer, and what it says about the work.

use std::{fmt, io, time::Duration};

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};

/// Why a request has no complete answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The name of the target could not be resolved; nothing was sent.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection could be opened; nothing was sent.
    #[error("cannot connect to {target}")]
    Connect {
        /// Host and port.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed; nothing was sent, and there is no fallback to plain text.
    #[error("TLS handshake with {target} failed: {source}")]
    Tls {
        /// Host and port.
        target: String,
        /// What rustls said.
        source: io::Error,
    },
    /// The connection was not ready in time; nothing was sent.
    #[error("{step} did not end within {limit:?}")]
    ConnectTimeout {
        /// What was under way.
        step: ConnectStep,
        /// The limit that passed.
        limit: Duration,
    },
    /// The request cannot be written as HTTP; nothing was sent.
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
    /// The connection ended before there was an answer.
    #[error("connection lost before an answer came{}", reused_note(*.reused))]
    Lost {
        /// Bytes of the request that the system took.
        written: u64,
        /// Whether the connection had served an earlier request.
        reused: bool,
        /// What the system said, unless the connection was closed in an orderly way.
        source: Option<io::Error>,
    },
    /// No head came in time.
    #[error("no answer within {0:?}")]
    FirstByteTimeout(Duration),
    /// The head of the answer breaks the protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The body of the answer breaks the protocol.
    #[error("malformed body: {0}")]
    MalformedBody(String),
    /// The head of the answer has too many headers or bytes.
    #[error("the head of the answer is larger than {limit} bytes or 96 headers")]
    HeadTooLarge {
        /// The most bytes a head may have.
        limit: usize,
    },
    /// The body ended before its end.
    #[error("the answer was cut short after {received} bytes on the wire{}", expected_note(.expected))]
    Truncated {
        /// Bytes that arrived, before decoding.
        received: u64,
        /// Bytes that were announced, if a number was.
        expected: Option<u64>,
    },
    /// Nothing of the body came for too long.
    #[error("no byte of the body for {0:?}")]
    BodyIdle(Duration),
    /// The body is larger than the limit, before or after decoding.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body grows too much when it is decoded.
    #[error("the body inflates to more than {limit} times its size")]
    Inflation {
        /// The largest ratio.
        limit: u64,
    },
    /// The body has a coding that was not asked for, or it is damaged.
    #[error("the body cannot be decoded: {0}")]
    Encoding(String),
}

/// A step on the way to a connection that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectStep {
    /// Waiting until an idle connection of another lane is closed, because the cap is reached.
    Place,
    /// Resolving the name.
    Resolve,
    /// Opening the TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
}

impl fmt::Display for ConnectStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Place => "waiting for a place under the cap",
            Self::Resolve => "name resolution",
            Self::Tcp => "connecting",
            Self::Tls => "the TLS handshake",
        })
    }
}

impl TransportError {
    /// A stable code in lower snake case, for [`Failure::code`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "dns",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Unsendable(_) => "unsendable",
            Self::Lost { .. } => "disconnected",
            Self::FirstByteTimeout(_) => "first_byte_timeout",
            Self::Malformed(_) | Self::MalformedBody(_) => "malformed",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::Truncated { .. } => "truncated",
            Self::BodyIdle(_) => "body_idle_timeout",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::Inflation { .. } => "inflation",
            Self::Encoding(_) => "encoding",
        }
    }

    /// Says how far the exchange had come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Tls { .. } | Self::ConnectTimeout { .. } => {
                Phase::Connect
            }
            Self::Unsendable(_) => Phase::Admission,
            Self::Lost { .. }
            | Self::FirstByteTimeout(_)
            | Self::Malformed(_)
            | Self::HeadTooLarge { .. } => Phase::Execute,
            Self::MalformedBody(_)
            | Self::Truncated { .. }
            | Self::BodyIdle(_)
            | Self::BodyTooLarge { .. }
            | Self::Inflation { .. }
            | Self::Encoding(_) => Phase::Decode,
        }
    }

    /// Says whether the work can have been done, as far as the transport knows: `No` as long as no byte of
    /// the request had left, `Unknown` after that.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::ConnectTimeout { .. }
            | Self::Unsendable(_)
            | Self::Lost { written: 0, .. } => Executed::No,
            _ => Executed::Unknown,
        }
    }

    /// Turns the error into a failure. `confirmed` is what the status of the answer proved, if there was
    /// one; it stands where the transport itself knows no more than `unknown`.
    #[must_use]
    pub fn into_failure(self, confirmed: Option<Executed>) -> Failure {
        let executed = match (self.executed(), confirmed) {
            (Executed::Unknown, Some(confirmed)) => confirmed,
            (known, _) => known,
        };
        let (kind, transient, outcome) = self.verdict();
        let failure = Failure::new(kind, self.to_string())
            .in_phase(self.phase())
            .executed_is(executed)
            .transient(transient)
            .counts_as(outcome)
            .with_code(self.code());
        failure.caused_by(self)
    }

    /// Kind, whether it may pass by itself, and what it says about the backend.
    fn verdict(&self) -> (FailureKind, bool, Outcome) {
        use FailureKind as K;
        match self {
            Self::Resolve { .. } | Self::Connect { .. } => (K::Unavailable, true, Outcome::Failure),
            // a wrong certificate stays wrong, and asking again would only hide it
            Self::Tls { .. } => (K::Unavailable, false, Outcome::Failure),
            Self::ConnectTimeout { .. } | Self::FirstByteTimeout(_) | Self::BodyIdle(_) => {
                (K::Timeout, true, Outcome::Failure)
            }
            Self::Unsendable(_) => (K::Refused, false, Outcome::NotCounted),
            // a server may close an idle connection at any time: that is no sign of ill health
            Self::Lost { written: 0, reused: true, .. } => (K::Unavailable, true, Outcome::NotCounted),
            Self::Lost { written: 0, .. } => (K::Unavailable, true, Outcome::Failure),
            Self::Lost { reused: true, .. } => (K::Lost, true, Outcome::NotCounted),
            Self::Lost { .. } | Self::Truncated { .. } => (K::Lost, true, Outcome::Failure),
            Self::Malformed(_) | Self::MalformedBody(_) | Self::Encoding(_) => {
                (K::Protocol, false, Outcome::Failure)
            }
            Self::HeadTooLarge { .. } | Self::BodyTooLarge { .. } | Self::Inflation { .. } => {
                (K::TooLarge, false, Outcome::Success)
            }
        }
    }
}

fn reused_note(reused: bool) -> &'static str {
    if reused { " on a reused connection" } else { "" }
}

fn expected_note(expected: &Option<u64>) -> String {
    expected.map_or_else(String::new, |bytes| format!(" of {bytes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(written: u64, reused: bool) -> TransportError {
        TransportError::Lost { written, reused, source: None }
    }

    #[test]
    fn a_loss_before_the_first_byte_was_not_executed() {
        let failure = lost(0, true).into_failure(None);
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Unavailable, Executed::No));
        assert_eq!((failure.is_transient(), failure.outcome()), (true, Outcome::NotCounted));
        let failure = lost(1, true).into_failure(None);
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Lost, Executed::Unknown));
        assert_eq!(lost(1, false).into_failure(None).outcome(), Outcome::Failure);
    }

    #[test]
    fn a_status_settles_what_the_transport_leaves_open_and_nothing_else() {
        let idle = || TransportError::BodyIdle(Duration::from_secs(1));
        assert_eq!(idle().into_failure(Some(Executed::Yes)).executed(), Executed::Yes);
        assert_eq!(idle().into_failure(None).executed(), Executed::Unknown);
        assert_eq!(lost(0, false).into_failure(Some(Executed::Yes)).executed(), Executed::No);
    }
}

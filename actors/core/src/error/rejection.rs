//! Our own refusals: nothing was sent, so `executed` is always `no`.

use std::{fmt, sync::Arc, time::Duration};

use super::Phase;
use crate::{clock::Instant, name::Name};

/// A refusal of ours; the backend never heard of the call. Cloning copies a pointer, so an open breaker keeps
/// one ready for everybody.
#[derive(Clone)]
pub struct Rejection(Arc<Parts>);

struct Parts {
    backend: Name,
    reason: RejectionReason,
}

/// Why a call was refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RejectionReason {
    /// The message or its options cannot be served by anyone.
    Invalid(Arc<str>),
    /// No backend has this name; the near ones are listed.
    UnknownBackend {
        /// Names that differ little.
        near: Arc<[Name]>,
    },
    /// The intake holds as many calls as it may.
    Full {
        /// The bound that was reached.
        limit: usize,
    },
    /// The backend takes no new calls because it is being stopped.
    Draining,
    /// The backend, its lane or its thread has ended.
    Stopped,
    /// The backend is being rebuilt and was not ready by the deadline.
    Restarting {
        /// When it will be tried again.
        retry_at: Option<Instant>,
    },
    /// The circuit breaker refuses calls.
    CircuitOpen(Arc<OpenInfo>),
    /// The rate limit leaves no place before the deadline.
    RateLimited {
        /// When there will be a place.
        retry_at: Instant,
    },
    /// The call waited too long in a queue that stands, or the queue for a slot was full.
    Shed {
        /// How long it had waited.
        waited: Duration,
    },
    /// The deadline passed before anything was sent.
    Expired,
    /// The caller or an operator gave the call up before anything was sent.
    Cancelled,
}

/// What an open breaker tells those it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInfo {
    /// What opened it, such as `failure share 62 % of 40 calls`.
    pub cause: Arc<str>,
    /// The last error of the backend, if any.
    pub last_error: Option<Arc<str>>,
    /// When the next probe is due; `None` while it is forced open without an end.
    pub retry_at: Option<Instant>,
}

impl RejectionReason {
    /// A stable code in lower snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::UnknownBackend { .. } => "unknown_backend",
            Self::Full { .. } => "full",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Restarting { .. } => "restarting",
            Self::CircuitOpen(_) => "circuit_open",
            Self::RateLimited { .. } => "rate_limited",
            Self::Shed { .. } => "shed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Rejection {
    /// Refuses a call to `backend`.
    #[must_use]
    pub fn new(backend: Name, reason: RejectionReason) -> Self {
        Self(Arc::new(Parts { backend, reason }))
    }

    /// Refuses a call that nobody could serve; `message` says what is wrong and what would be right.
    pub fn invalid(backend: impl Into<Name>, message: impl Into<Arc<str>>) -> Self {
        Self::new(backend.into(), RejectionReason::Invalid(message.into()))
    }

    /// Names the backend.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.0.backend.as_str()
    }

    /// Says why.
    #[must_use]
    pub fn reason(&self) -> &RejectionReason {
        &self.0.reason
    }

    /// Says how far the call had come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.reason {
            RejectionReason::Restarting { .. }
            | RejectionReason::Shed { .. }
            | RejectionReason::Expired
            | RejectionReason::Cancelled => Phase::Queue,
            _ => Phase::Admission,
        }
    }

    /// Says how long to wait before trying again, where that is known.
    #[must_use]
    pub fn retry_after(&self, now: Instant) -> Option<Duration> {
        let at = match &self.0.reason {
            RejectionReason::CircuitOpen(info) => info.retry_at,
            RejectionReason::RateLimited { retry_at } => Some(*retry_at),
            RejectionReason::Restarting { retry_at } => *retry_at,
            _ => None,
        }?;
        Some(at.saturating_duration_since(now))
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { backend, reason } = &*self.0;
        f.debug_struct("Rejection").field("backend", backend).field("reason", reason).finish()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = &self.0.backend;
        match &self.0.reason {
            RejectionReason::Invalid(message) => write!(f, "{backend}: {message}"),
            RejectionReason::UnknownBackend { near } => {
                write!(f, "no backend is named `{backend}`")?;
                let mut separator = "; did you mean ";
                for name in near.iter() {
                    write!(f, "{separator}`{name}`")?;
                    separator = ", ";
                }
                Ok(())
            }
            RejectionReason::Full { limit } => {
                write!(f, "{backend}: intake is full ({limit} calls); try again later or raise `intake`")
            }
            RejectionReason::Draining => write!(f, "{backend}: draining, takes no new calls"),
            RejectionReason::Stopped => write!(f, "{backend}: stopped"),
            RejectionReason::Restarting { .. } => {
                write!(f, "{backend}: restarting, not ready by the deadline")
            }
            RejectionReason::CircuitOpen(info) => {
                write!(f, "{backend}: circuit breaker is open ({})", info.cause)?;
                match &info.last_error {
                    Some(error) => write!(f, "; last error: {error}"),
                    None => Ok(()),
                }
            }
            RejectionReason::RateLimited { .. } => write!(f, "{backend}: rate limit reached"),
            RejectionReason::Shed { waited } => write!(f, "{backend}: shed after {waited:?} in the queue"),
            RejectionReason::Expired => write!(f, "{backend}: deadline passed before anything was sent"),
            RejectionReason::Cancelled => write!(f, "{backend}: cancelled before anything was sent"),
        }
    }
}

impl std::error::Error for Rejection {}

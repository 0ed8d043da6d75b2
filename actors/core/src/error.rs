//! How a call can end without a reply: our refusal, or the backend's failure.
//!
//! Every error answers four questions: what failed, in which [`Phase`], was it [`Executed`], and when may
//! it be tried again.

mod failure;
mod rejection;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    failure::{Failure, FailureKind},
    rejection::{OpenInfo, Rejection, RejectionReason},
};
use crate::clock::Instant;

/// Whether the backend did the work of a call that has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Executed {
    /// It did; only the reply is missing.
    Yes,
    /// It did not, and it never will.
    No,
    /// It was sent and there is no proof either way.
    Unknown,
}

/// How far a call had come when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At the door: breaker, intake, rate limit.
    Admission,
    /// Waiting in a lane or for a concurrency slot.
    Queue,
    /// Waiting for a connection of the pool.
    Acquire,
    /// Opening a connection.
    Connect,
    /// With the backend.
    Execute,
    /// Reading the reply.
    Decode,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admission => "admission",
            Self::Queue => "queue",
            Self::Acquire => "acquire",
            Self::Connect => "connect",
            Self::Execute => "execute",
            Self::Decode => "decode",
        })
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        })
    }
}

/// What a caller sees instead of a reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// We refused; nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The backend's side failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl CallError {
    /// Says whether the backend did the work.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            Self::Rejected(_) => Executed::No,
            Self::Failed(failure) => failure.executed(),
        }
    }

    /// Says how far the call had come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Rejected(rejection) => rejection.phase(),
            Self::Failed(failure) => failure.phase(),
        }
    }

    /// Names the backend.
    #[must_use]
    pub fn backend(&self) -> &str {
        match self {
            Self::Rejected(rejection) => rejection.backend(),
            Self::Failed(failure) => failure.backend(),
        }
    }

    /// Counts how often the message was handed to the backend.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Rejected(_) => 0,
            Self::Failed(failure) => failure.attempts(),
        }
    }

    /// Says how long to wait before trying again, where that is known.
    #[must_use]
    pub fn retry_after(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Rejected(rejection) => rejection.retry_after(now),
            Self::Failed(failure) => failure.retry_after(),
        }
    }

    /// A stable code in lower snake case, such as `circuit_open` or `timeout`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason().code(),
            Self::Failed(failure) => failure.kind().code(),
        }
    }

    /// The rejection, where it is one.
    #[must_use]
    pub fn as_rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Failed(_) => None,
        }
    }

    /// The failure, where it is one.
    #[must_use]
    pub fn as_failure(&self) -> Option<&Failure> {
        match self {
            Self::Rejected(_) => None,
            Self::Failed(failure) => Some(failure),
        }
    }
}

/// A setting or a recipe that cannot work; found before anything runs.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", .setting)]
pub struct ConfigError {
    setting: String,
    message: String,
}

impl ConfigError {
    /// Says which setting is wrong and what it must be.
    pub fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self { setting: setting.into(), message: message.into() }
    }

    /// Names the setting, dotted, such as `breaker.failure_rate`.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// Puts `outer` before the setting's name.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.setting = format!("{outer}.{}", self.setting);
        self
    }
}

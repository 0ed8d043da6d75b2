//! The backend's side of an error: what it is, whether the work was done, whether it may pass.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::{Executed, Phase};
use crate::{name::Name, outcome::Outcome};

/// What went wrong on the backend's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// It could not be reached; nothing was sent.
    Unavailable,
    /// The connection was lost after something was sent, or the answer was cut short.
    Lost,
    /// No answer came in time.
    Timeout,
    /// It refused for a reason that stays, such as a syntax error or a missing right.
    Refused,
    /// It refused because of its data, such as a unique or foreign key.
    Conflict,
    /// It aborted the work for a reason that passes, such as a deadlock or a lock.
    Aborted,
    /// It has too much to do.
    Overloaded,
    /// It answered with its own failure, such as HTTP 500.
    Server,
    /// Our credentials were refused.
    Auth,
    /// What it sent breaks the protocol.
    Protocol,
    /// The answer is larger than the limit.
    TooLarge,
    /// The answer could not be turned into the reply's type.
    Decode,
    /// No connection of the pool became free in time.
    Exhausted,
    /// The work was cancelled while it ran.
    Cancelled,
    /// The backend's code panicked; its instance is replaced.
    Panicked,
    /// A closure of the caller panicked; the instance is sound.
    CallerPanicked,
    /// Its files or data are damaged.
    Corrupt,
}

impl FailureKind {
    /// A stable code in lower snake case.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::Aborted => "aborted",
            Self::Overloaded => "overloaded",
            Self::Server => "server_error",
            Self::Auth => "auth",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Decode => "decode",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::CallerPanicked => "caller_panicked",
            Self::Corrupt => "corrupt",
        }
    }

    /// What a failure of this kind says about the backend, unless the backend says otherwise.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Unavailable
            | Self::Lost
            | Self::Timeout
            | Self::Server
            | Self::Auth
            | Self::Protocol
            | Self::Corrupt => Outcome::Failure,
            Self::Overloaded => Outcome::Overload,
            Self::Refused | Self::Conflict | Self::Aborted | Self::TooLarge | Self::Decode => {
                Outcome::Success
            }
            Self::Exhausted | Self::Cancelled | Self::Panicked | Self::CallerPanicked => Outcome::NotCounted,
        }
    }

    /// Whether a failure of this kind may pass by itself, unless the backend says otherwise.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unavailable
                | Self::Lost
                | Self::Timeout
                | Self::Aborted
                | Self::Overloaded
                | Self::Server
                | Self::Exhausted
        )
    }
}

/// A failure of the backend's side; cloning it copies a pointer and its small fields.
#[derive(Clone)]
pub struct Failure(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: FailureKind,
    phase: Phase,
    executed: Executed,
    outcome: Outcome,
    transient: bool,
    retry_after: Option<Duration>,
    backend: Option<Name>,
    attempts: u32,
    code: Option<Arc<str>>,
    message: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// Reports a failure in the phase `execute` whose execution is unknown; the setters below refine it.
    pub fn new(kind: FailureKind, message: impl Into<Arc<str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            phase: Phase::Execute,
            executed: Executed::Unknown,
            outcome: kind.outcome(),
            transient: kind.is_transient(),
            retry_after: None,
            backend: None,
            attempts: 1,
            code: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Reports that the backend could not be reached, so that nothing was sent.
    pub fn unavailable(message: impl Into<Arc<str>>) -> Self {
        Self::new(FailureKind::Unavailable, message).in_phase(Phase::Connect).executed_is(Executed::No)
    }

    /// Reports that the backend refused for a reason that stays.
    pub fn refused(message: impl Into<Arc<str>>) -> Self {
        Self::new(FailureKind::Refused, message).executed_is(Executed::No)
    }

    /// Sets how far the call had come.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    /// Sets whether the work was done.
    #[must_use]
    pub fn executed_is(mut self, executed: Executed) -> Self {
        self.0.executed = executed;
        self
    }

    /// Sets what the failure says about the backend.
    #[must_use]
    pub fn counts_as(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Sets whether the failure may pass by itself.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Self {
        self.0.transient = transient;
        self
    }

    /// Sets the backend's own hint about when to try again.
    #[must_use]
    pub fn retry_in(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Sets the backend's own code, such as an SQLSTATE or an HTTP status.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Arc<str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Puts other words in place of the message; all else stays.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Arc<str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Sets the cause; it must hold no secret.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Puts backend and attempts on the failure; the guard does it, a backend need not.
    #[must_use]
    pub(crate) fn stamped(mut self, backend: &Name, attempts: u32) -> Self {
        self.0.backend = Some(backend.clone());
        self.0.attempts = attempts;
        self
    }

    /// Says what went wrong.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// Says how far the call had come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Says whether the work was done.
    #[must_use]
    pub fn executed(&self) -> Executed {
        self.0.executed
    }

    /// Says what the failure means for the health of the backend.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Says whether the failure may pass by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// The backend's own hint about when to try again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Names the backend; empty until the guard has stamped the failure.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.0.backend.as_ref().map_or("", Name::as_str)
    }

    /// Counts how often the message was handed to the backend.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The backend's own code, such as an SQLSTATE or an HTTP status.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What happened, in the backend's words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, phase, executed, backend, attempts, code, message, .. } = &*self.0;
        if let Some(backend) = backend {
            write!(f, "{backend}: ")?;
        }
        write!(f, "{} in {phase}: {message}", kind.code())?;
        if let Some(code) = code {
            write!(f, " [{code}]")?;
        }
        write!(f, " (executed: {executed}, attempts: {attempts})")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, phase, executed, message, source, .. } = &*self.0;
        f.debug_struct("Failure")
            .field("kind", kind)
            .field("phase", phase)
            .field("executed", executed)
            .field("message", message)
            .field("source", source)
            .finish_non_exhaustive()
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

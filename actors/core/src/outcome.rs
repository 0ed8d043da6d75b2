//! How one attempt ended, as the policies see it: classified once, read by all of them.

use std::time::Duration;

use serde::Serialize;

/// What an attempt says about the health of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The backend did its work; constraint violations, cache misses, reverts and 404s count here.
    Success,
    /// The backend did not do its work.
    Failure,
    /// The backend did its work, but took longer than the slow threshold.
    Slow,
    /// The backend said that it has too much to do (429, too many connections); a failure for the
    /// breaker's share, but never one in a row of consecutive failures.
    Overload,
    /// Says nothing about the backend: our own refusal, a cancelled call, a panic of our own.
    NotCounted,
}

impl Outcome {
    /// Says whether the outcome counts against the backend.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failure | Self::Overload)
    }

    /// Turns a success that took at least `slow_after` into [`Outcome::Slow`].
    #[must_use]
    pub fn timed(self, elapsed: Duration, slow_after: Duration) -> Self {
        if self == Self::Success && elapsed >= slow_after { Self::Slow } else { self }
    }
}

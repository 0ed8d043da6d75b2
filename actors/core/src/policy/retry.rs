//! Whether a failed attempt is repeated, and after which delay: a pure decision.

#[cfg(test)]
mod tests;

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::{backoff::BackoffPolicy, budget::BudgetPolicy};
use crate::{
    error::{ConfigError, Executed, Failure, FailureKind},
    message::Class,
    planted::{self, Bug},
};

/// How often and how soon a failed message is sent again.
///
/// | class | executed `no`, transient | executed `unknown`, transient | executed `yes`, or permanent |
/// |---|---|---|---|
/// | Read, Idempotent, Keyed | again | again | never |
/// | Unsafe | again | never | never |
/// | Transaction | again, as a whole | never | never |
///
/// Panics and cancelled work are never repeated, and nothing is while the breaker is not closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts after the first one; 2. None with 0.
    pub max_retries: u32,
    /// The delay before each; full jitter, base 100 ms, cap 5 s.
    pub backoff: BackoffPolicy,
    /// What retries and hedges of a backend may add to its load; 20 %, at least one a second.
    pub budget: BudgetPolicy,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The failure is final.
    GiveUp(GiveUp),
    /// Send the same message again after this delay, if the budget allows it.
    RetryAfter(Duration),
}

/// Why a failure is final; in the order in which the reasons are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GiveUp {
    /// The work was done; only the reply is missing.
    Executed,
    /// A panic or a cancellation, which a repetition would only repeat.
    NotRepeatable,
    /// The failure does not pass by itself.
    Permanent,
    /// It may have been executed, and its class does not survive a second time.
    Unknown,
    /// All attempts are used.
    Attempts,
    /// The breaker is not closed.
    Breaker,
    /// The delay does not fit before the deadline.
    Deadline,
    /// The budget of the backend is used; said by the caller of [`RetryPolicy::decide`].
    Budget,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 2, backoff: BackoffPolicy::default(), budget: BudgetPolicy::default() }
    }
}

impl RetryPolicy {
    /// Decides what follows `failure`, the end of attempt number `attempt` (1 for the first).
    ///
    /// `remaining` is the time to the deadline. The backend's own hint is taken as it is, in place of the
    /// back-off. The budget is asked by the caller, after this decision and before the delay.
    #[must_use]
    pub fn decide(
        &self,
        class: Class,
        failure: &Failure,
        attempt: u32,
        breaker_closed: bool,
        remaining: Duration,
        rng: &mut Rng,
    ) -> Decision {
        if let Some(reason) = forbidden(class, failure) {
            return Decision::GiveUp(reason);
        }
        if attempt > self.max_retries {
            return Decision::GiveUp(GiveUp::Attempts);
        }
        if !breaker_closed {
            return Decision::GiveUp(GiveUp::Breaker);
        }
        let backoff = || self.backoff.delay(attempt.saturating_sub(1), rng);
        let delay = failure.retry_after().unwrap_or_else(backoff);
        if delay >= remaining {
            return Decision::GiveUp(GiveUp::Deadline);
        }
        Decision::RetryAfter(delay)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names `max_retries` over 20, and what [`BackoffPolicy::validate`] and [`BudgetPolicy::validate`] name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.max_retries > 20 {
            let message = format!("must be from 0 to 20, is {}", self.max_retries);
            return Err(ConfigError::new("max_retries", message));
        }
        self.backoff.validate().map_err(|error| error.within("backoff"))?;
        self.budget.validate().map_err(|error| error.within("budget"))
    }
}

impl GiveUp {
    /// A stable code in lower snake case.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::NotRepeatable => "not_repeatable",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
            Self::Attempts => "attempts",
            Self::Breaker => "breaker",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

/// The table above: what no setting can allow.
fn forbidden(class: Class, failure: &Failure) -> Option<GiveUp> {
    use FailureKind::{CallerPanicked, Cancelled, Panicked};

    if failure.executed() == Executed::Yes {
        return Some(GiveUp::Executed);
    }
    if matches!(failure.kind(), Panicked | CallerPanicked | Cancelled) {
        return Some(GiveUp::NotRepeatable);
    }
    if !failure.is_transient() {
        return Some(GiveUp::Permanent);
    }
    let survives = class.survives_unknown() || planted::is(Bug::UnsafeRetried);
    if failure.executed() == Executed::Unknown && !survives {
        return Some(GiveUp::Unknown);
    }
    None
}

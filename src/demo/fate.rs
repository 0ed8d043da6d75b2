//! How a message ended, as its caller saw it.

use std::collections::BTreeMap;

use backstop_core::error::{CallError, Executed};
use serde::Serialize;

/// The one end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// With a reply.
    Ok,
    /// Refused by the runtime, for this reason; nothing was sent.
    Rejected(&'static str),
    /// Failed on the backend's side, in this way.
    Failed(&'static str, Executed),
    /// The caller went away.
    Cancelled,
}

impl Fate {
    /// Reads the fate from the end of a call.
    #[must_use]
    pub fn of<T>(result: &Result<T, CallError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => Self::of_error(error),
        }
    }

    /// Reads the fate from an error.
    #[must_use]
    pub fn of_error(error: &CallError) -> Self {
        match error {
            CallError::Rejected(rejection) => Self::Rejected(rejection.reason().code()),
            other => Self::Failed(other.code(), other.executed()),
        }
    }

    /// What the caller knows of the effect.
    #[must_use]
    pub fn executed(self) -> Executed {
        match self {
            Self::Ok => Executed::Yes,
            Self::Rejected(_) => Executed::No,
            Self::Failed(_, executed) => executed,
            Self::Cancelled => Executed::Unknown,
        }
    }
}

/// How many messages ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// With a reply.
    pub ok: u64,
    /// Refused by the runtime, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Failed, by what is known of the effect.
    pub failed: Failed,
    /// Failed, by the way of it; the same messages as in `failed`.
    pub failures: BTreeMap<&'static str, u64>,
    /// Given up by their caller.
    pub cancelled: u64,
}

/// Failures by what is known of the effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// It happened; only the reply is missing.
    pub executed_yes: u64,
    /// It did not happen.
    pub executed_no: u64,
    /// Nobody knows.
    pub executed_unknown: u64,
}

impl Failed {
    /// Counts all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.executed_yes + self.executed_no + self.executed_unknown
    }
}

impl Fates {
    /// Counts one end.
    pub fn add(&mut self, fate: Fate) {
        match fate {
            Fate::Ok => self.ok += 1,
            Fate::Rejected(reason) => *self.rejected.entry(reason).or_default() += 1,
            Fate::Failed(kind, executed) => {
                *self.failures.entry(kind).or_default() += 1;
                *match executed {
                    Executed::Yes => &mut self.failed.executed_yes,
                    Executed::No => &mut self.failed.executed_no,
                    Executed::Unknown => &mut self.failed.executed_unknown,
                } += 1;
            }
            Fate::Cancelled => self.cancelled += 1,
        }
    }

    /// Adds the counts of another backend.
    pub fn merge(&mut self, other: &Self) {
        self.ok += other.ok;
        self.cancelled += other.cancelled;
        self.failed.executed_yes += other.failed.executed_yes;
        self.failed.executed_no += other.failed.executed_no;
        self.failed.executed_unknown += other.failed.executed_unknown;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
    }

    /// Counts the rejected ones.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Counts all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ok + self.rejected_total() + self.failed.total() + self.cancelled
    }

    /// Counts those that are neither a success nor the caller's own wish.
    #[must_use]
    pub fn trouble(&self) -> u64 {
        self.rejected_total() + self.failed.total()
    }
}

#[cfg(test)]
mod tests {
    use backstop_core::error::{Failure, Rejection, RejectionReason};

    use super::*;

    #[test]
    fn every_end_is_counted_once() {
        let expired = CallError::from(Rejection::new("b".into(), RejectionReason::Expired));
        let failed = CallError::from(Failure::refused("no"));
        let mut fates = Fates::default();
        for result in [Ok(()), Err(expired), Err(failed)] {
            fates.add(Fate::of(&result));
        }
        fates.add(Fate::Cancelled);
        assert_eq!((fates.total(), fates.trouble()), (4, 2));
        assert_eq!(fates.rejected["expired"], 1);
        assert_eq!((fates.failures["refused"], fates.failed.executed_no), (1, 1));
        let mut sum = fates.clone();
        sum.merge(&fates);
        assert_eq!(sum.total(), 8);
    }

    #[test]
    fn a_caller_that_went_away_knows_nothing() {
        assert_eq!(Fate::Cancelled.executed(), Executed::Unknown);
        assert_eq!(Fate::Rejected("full").executed(), Executed::No);
    }
}

//! Known bugs that can be planted: a check that never fails proves nothing.

use super::checks::Rule;

/// A bug to plant into a run; the run must then end with exit code 1 and name the check that caught it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bug {
    /// A write that was acknowledged is deleted.
    LoseAck,
    /// A write that must happen once at most happens twice.
    DoubleWrite,
    /// A failure after the send is reported as not executed.
    LieExecutedNo,
    /// The end of some messages is not counted.
    DropFate,
    /// Two callers get each other's answers.
    SwapAnswers,
    /// Answers come long after their deadline.
    AnswerLate,
    /// Half of a transaction is undone.
    TearTransaction,
    /// An account on a server is credited, and none is debited.
    MintMoney,
    /// A breaker stays open after its backend has recovered.
    StayOpen,
    /// A message is still under way when the runtime has to stop.
    LeaveCall,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::LoseAck,
        Self::DoubleWrite,
        Self::LieExecutedNo,
        Self::DropFate,
        Self::SwapAnswers,
        Self::AnswerLate,
        Self::TearTransaction,
        Self::MintMoney,
        Self::StayOpen,
        Self::LeaveCall,
    ];

    /// Finds a bug by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }

    /// The name to plant it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What goes wrong.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.row().1
    }

    /// The check that must catch it.
    #[must_use]
    pub fn caught_by(self) -> &'static str {
        self.row().2.name()
    }

    /// Says whether it shows only while faults happen.
    #[must_use]
    pub fn needs_faults(self) -> bool {
        matches!(self, Self::LieExecutedNo | Self::StayOpen)
    }

    fn row(self) -> (&'static str, &'static str, Rule) {
        match self {
            Self::LoseAck => {
                ("lose-ack", "an acknowledged write is deleted behind the runtime's back", Rule::AckedExist)
            }
            Self::DoubleWrite => {
                ("double-write", "a write that must happen once at most happens twice", Rule::NothingTwice)
            }
            Self::LieExecutedNo => (
                "lie-executed-no",
                "a failure after the send is reported as not executed",
                Rule::NoMeansAbsent,
            ),
            Self::DropFate => ("drop-fate", "the end of some messages is not counted", Rule::OneFate),
            Self::SwapAnswers => ("swap-answers", "two callers get each other's answers", Rule::RightCaller),
            Self::AnswerLate => ("answer-late", "answers come long after their deadline", Rule::InTime),
            Self::TearTransaction => ("tear-transaction", "half of a transaction is undone", Rule::Whole),
            Self::MintMoney => (
                "mint-money",
                "an account on a server is credited, and none is debited; needs PostgreSQL or MariaDB",
                Rule::MoneyKept,
            ),
            Self::StayOpen => {
                ("stay-open", "a breaker stays open after its backend has recovered", Rule::Recovered)
            }
            Self::LeaveCall => {
                ("leave-call", "a message is still under way when the runtime has to stop", Rule::CleanStop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_found_by_its_name() {
        for bug in Bug::ALL {
            assert_eq!(Bug::named(bug.name()), Some(bug));
        }
        assert_eq!(Bug::named("lose-nothing"), None);
    }
}

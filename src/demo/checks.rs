//! The checks at the end: what callers were told against ledgers outside the runtime.

mod effects;
mod messages;
mod operation;

use backstop_supervisor::{BackendSnapshot, ShutdownReport};
use serde::{Serialize, Serializer};

use super::{
    Options, Role,
    books::{Books, Told},
    chronicle::Chronicle,
    director::Episode,
    ledger::Ledgers,
    pulse::Pulse,
};

/// A promise that a run is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Every message ended once.
    OneFate,
    /// The runtime counted what the callers counted.
    CountsAgree,
    /// Every answer reached the caller it was for.
    RightCaller,
    /// Every message ended by its deadline.
    InTime,
    /// What was acknowledged is in the ledger.
    AckedExist,
    /// What was reported as not executed is not in the ledger.
    NoMeansAbsent,
    /// Nothing is in a ledger twice.
    NothingTwice,
    /// Nothing is in a ledger that nobody asked for.
    NoStrangers,
    /// Transactions took effect as a whole or not at all.
    Whole,
    /// Money on the servers is neither made nor lost, and each account is what was moved.
    MoneyKept,
    /// The database file is sound.
    FileSound,
    /// The faults really happened.
    FaultsBit,
    /// Every backend recovered after every fault.
    Recovered,
    /// Without faults nothing is refused and nothing fails.
    NothingFailed,
    /// The runtime stopped with nothing left.
    CleanStop,
}

impl Rule {
    /// The name in the summary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneFate => "one-fate-per-message",
            Self::CountsAgree => "counts-agree",
            Self::RightCaller => "answers-reach-their-caller",
            Self::InTime => "answers-in-time",
            Self::AckedExist => "acknowledged-writes-exist",
            Self::NoMeansAbsent => "not-executed-means-absent",
            Self::NothingTwice => "nothing-twice",
            Self::NoStrangers => "nothing-unasked",
            Self::Whole => "transactions-are-whole",
            Self::MoneyKept => "money-is-conserved",
            Self::FileSound => "database-is-sound",
            Self::FaultsBit => "faults-were-real",
            Self::Recovered => "backends-recover",
            Self::NothingFailed => "nothing-failed",
            Self::CleanStop => "clean-shutdown",
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which promise.
    #[serde(rename = "name")]
    pub rule: Rule,
    /// Whether it was kept.
    pub ok: bool,
    /// What was compared, and the first things that are wrong.
    pub detail: String,
}

impl Check {
    fn of(rule: Rule, wrong: Wrong, kept: String) -> Self {
        let ok = wrong.count == 0;
        Self { rule, ok, detail: if ok { kept } else { wrong.into_text() } }
    }
}

/// Everything that a run left behind.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// How the run was meant to go.
    pub options: &'a Options,
    /// What callers asked and were told.
    pub books: &'a Books,
    /// When their thread stood still.
    pub pulse: &'a Pulse,
    /// What the runtime said.
    pub chronicle: &'a Chronicle,
    /// The faults.
    pub episodes: &'a [Episode],
    /// What the ledgers hold.
    pub ledgers: &'a Ledgers,
    /// The runtime's own counts once all callers were done, less those of the start.
    pub counts: &'a [RuntimeCounts],
    /// How many backends took part.
    pub backends: usize,
    /// How the runtime stopped.
    pub shutdown: &'a ShutdownReport,
}

/// What the runtime counted for one backend.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RuntimeCounts {
    /// Messages asked.
    pub asked: u64,
    /// Refused at the door.
    pub refused: u64,
    /// Given up by their caller.
    pub abandoned: u64,
    /// Ended on a lane, in whatever way.
    pub ended: u64,
    /// Ended with a reply.
    pub ok: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Still under way.
    pub in_flight: u64,
}

impl RuntimeCounts {
    /// Reads the counts from the view of a backend.
    #[must_use]
    pub fn of(snapshot: &BackendSnapshot) -> Self {
        let operations = snapshot.operations.values();
        Self {
            asked: snapshot.guard.asked_total,
            refused: snapshot.guard.refused_total,
            abandoned: snapshot.guard.abandoned_total,
            ended: operations.clone().map(|operation| operation.total()).sum(),
            ok: operations.map(|operation| operation.ok).sum(),
            retries: snapshot.guard.retries_total,
            in_flight: u64::try_from(snapshot.guard.in_flight).unwrap_or(u64::MAX),
        }
    }

    /// Takes the counts of an earlier view away.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            asked: self.asked - earlier.asked,
            refused: self.refused - earlier.refused,
            abandoned: self.abandoned - earlier.abandoned,
            ended: self.ended - earlier.ended,
            ok: self.ok - earlier.ok,
            retries: self.retries - earlier.retries,
            in_flight: self.in_flight,
        }
    }
}

/// Holds a run against every promise that applies to it.
#[must_use]
pub(super) fn run(evidence: &Evidence<'_>) -> Vec<Check> {
    let told = evidence.books.told();
    let mut checks = vec![
        messages::one_fate(evidence),
        messages::counts_agree(evidence),
        messages::right_caller(evidence),
        messages::in_time(evidence),
        effects::acknowledged(evidence.ledgers, &told),
        effects::absent(evidence.ledgers, &told),
        effects::nothing_twice(evidence.ledgers),
        effects::no_strangers(evidence.ledgers, &told),
        effects::whole(evidence.ledgers, &told),
        operation::file_sound(evidence),
    ];
    if !evidence.ledgers.money.is_empty() {
        checks.push(effects::money_kept(evidence.ledgers));
    }
    if evidence.options.faults {
        checks.push(operation::faults_bit(evidence));
        checks.push(operation::recovered(evidence));
    } else {
        checks.push(messages::nothing_failed(evidence));
    }
    checks.push(operation::clean_stop(evidence));
    checks
}

/// How many examples a failed check names.
const EXAMPLES: usize = 3;

/// What is wrong: how often, and the first examples.
#[derive(Debug, Default)]
struct Wrong {
    count: u64,
    examples: Vec<String>,
    named: Vec<Role>,
}

impl Wrong {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    /// As [`Self::add`], but of each backend the first example is kept, however many others have.
    fn add_of(&mut self, role: Role, example: impl FnOnce() -> String) {
        self.count += 1;
        let is_new = !self.named.contains(&role);
        if is_new {
            self.named.push(role);
        }
        if is_new || self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    fn into_text(self) -> String {
        let examples = self.examples.join("; ");
        match self.count - self.examples.len() as u64 {
            0 => examples,
            more => format!("{examples}; and {more} more"),
        }
    }
}

/// The numbers that a write stands for.
fn ops(told: &Told) -> impl Iterator<Item = u64> {
    use super::books::Effect;
    let (first, second) = match told.effect {
        Effect::Read => (None, None),
        Effect::Write(op) => (Some(op), None),
        Effect::Pair(one, other) => (Some(one), Some(other)),
    };
    first.into_iter().chain(second)
}

fn each_role() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter()
}

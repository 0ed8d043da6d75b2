//! Every SQLSTATE that means something of its own, as data; each row is a test.

use std::time::Duration;

use backstop_core::{error::FailureKind, outcome::Outcome};

use super::During;

/// `read_only_sql_transaction`.
pub(super) const READ_ONLY: &str = "25006";

/// How often a refused login may be tried again.
const LOGIN_PAUSE: Duration = Duration::from_secs(5);

/// What the server said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) code: &'a str,
    pub(super) routine: &'a str,
    pub(super) message: &'a str,
}

/// What an answer proves about the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The server undid it, or never began it.
    Undone,
    /// The same, but the session ended: in the answer to COMMIT that proves nothing.
    UndoneUnlessCommit,
    /// Nothing.
    None,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: FailureKind,
    pub(super) proof: Proof,
    pub(super) outcome: Outcome,
    pub(super) transient: bool,
    /// When to try again, where chance is no better.
    pub(super) wait: Option<Duration>,
}

/// What must hold beside the code.
#[derive(Clone, Copy, Debug)]
pub(super) enum If {
    Always,
    During(During),
    Routine(&'static str),
    /// Internal errors are not translated, so their words can be relied on.
    Internal(&'static str),
}

/// A row: the start of the code, a condition, the meaning.
pub(super) struct Row {
    pub(super) code: &'static str,
    pub(super) when: If,
    pub(super) verdict: Verdict,
}

const fn row(code: &'static str, kind: FailureKind, outcome: Outcome, transient: bool) -> Row {
    let verdict = Verdict { kind, proof: Proof::Undone, outcome, transient, wait: None };
    Row { code, when: If::Always, verdict }
}

impl Row {
    const fn when(mut self, when: If) -> Self {
        self.when = when;
        self
    }

    const fn proof(mut self, proof: Proof) -> Self {
        self.verdict.proof = proof;
        self
    }

    const fn wait(mut self, wait: Duration) -> Self {
        self.verdict.wait = Some(wait);
        self
    }

    pub(super) fn holds(&self, said: Said<'_>, during: During) -> bool {
        said.code.starts_with(self.code)
            && match self.when {
                If::Always => true,
                If::During(at) => at == during,
                If::Routine(routine) => said.routine == routine,
                If::Internal(words) => said.message.starts_with(words),
            }
    }
}

use FailureKind::{
    Aborted, Auth, Conflict, Corrupt, Lost, Overloaded, Protocol, Refused, Server, Timeout, Unavailable,
};
use Outcome::{Failure, NotCounted, Overload, Success};

/// The first row that holds decides; a code without a row is a refusal that stays.
pub(super) static ROWS: &[Row] = &[
    // conflicts of transactions: the whole transaction may be tried again
    row("40001", Aborted, Success, true),
    row("40P01", Aborted, Success, true),
    row("40002", Conflict, Success, false),
    row("40003", Lost, Failure, true).proof(Proof::None),
    row("40", Aborted, Success, true),
    row("72000", Aborted, Success, true),
    // data
    row("23", Conflict, Success, false),
    // statements that were prepared against what has changed; nothing ran, so it may be tried at once
    row("0A000", Aborted, Success, true).when(If::Routine("RevalidateCachedQuery")).wait(Duration::ZERO),
    row("XX000", Aborted, Success, true).when(If::Internal("cache lookup failed")).wait(Duration::ZERO),
    row("26000", Aborted, Success, true).wait(Duration::ZERO),
    row("42P05", Aborted, Success, true).wait(Duration::ZERO),
    // who we are
    row("28", Auth, NotCounted, false).wait(LOGIN_PAUSE),
    row("3D000", Unavailable, Failure, false).when(If::During(During::Connect)),
    // the node
    row(READ_ONLY, Unavailable, Failure, true),
    row("57P03", Unavailable, Failure, true),
    row("53300", Overloaded, Overload, true),
    // the session
    row("25P03", Lost, Success, true).proof(Proof::UndoneUnlessCommit),
    row("25P04", Lost, Success, true).proof(Proof::UndoneUnlessCommit),
    row("57P05", Lost, Success, true).proof(Proof::UndoneUnlessCommit),
    row("57P01", Lost, Failure, true).proof(Proof::UndoneUnlessCommit),
    // a server that crashes stops anywhere, also between the commit and its answer
    row("57P02", Lost, Failure, true).proof(Proof::None),
    row("57P04", Unavailable, Failure, false).proof(Proof::UndoneUnlessCommit),
    row("08", Unavailable, Failure, true).when(If::During(During::Connect)),
    // poolers use it for everything, a server that they lost among it
    row("08P01", Protocol, Failure, true).proof(Proof::None),
    row("08", Lost, Failure, true).proof(Proof::None),
    // time
    row("57014", Timeout, Failure, false),
    row("55P03", Aborted, Success, true),
    row("55006", Aborted, Success, true),
    // resources
    row("53100", Server, Failure, false),
    row("53", Overloaded, Overload, true),
    row("58000", Server, Failure, true),
    row("58030", Server, Failure, true),
    row("58", Server, Failure, false),
    // its own bugs and damage
    row("XX001", Corrupt, Failure, false),
    row("XX002", Corrupt, Failure, false),
    row("XX", Server, Failure, false),
    row("F0", Server, Failure, false),
    row("57", Server, Failure, true),
    // the rest: 0A, 22, 25, 42, 54, P0, and codes of users
    row("", Refused, Success, false),
];

const REST: Verdict =
    Verdict { kind: Refused, proof: Proof::Undone, outcome: Success, transient: false, wait: None };

/// Looks an answer up.
pub(super) fn verdict(said: Said<'_>, during: During) -> Verdict {
    ROWS.iter().find(|row| row.holds(said, during)).map_or(REST, |row| row.verdict)
}

//! The driver's errors as failures: what they are, whether the work was done, what they say of the backend.
//!
//! What the server says is looked up in a [table](table) by SQLSTATE and by the routine that raised it, because
//! messages are translated. What the driver says comes from its own words, which are not.

mod driver;
mod table;

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use tokio_postgres::{Error, error::DbError};

use self::table::{Proof, Said, Verdict};

/// What was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    /// Opening a session; nothing of a caller can have run.
    Connect,
    /// Preparing a statement, which runs nothing.
    Prepare,
    /// A statement, alone or inside a transaction.
    Statement,
    /// COMMIT.
    Commit,
}

/// What the server said with an error, without the values of rows that its detail may show.
#[derive(Debug, thiserror::Error)]
#[error("{severity} {sqlstate} raised by {routine}")]
pub(crate) struct ServerError {
    severity: String,
    sqlstate: String,
    routine: String,
}

impl ServerError {
    fn of(error: &DbError) -> Self {
        Self {
            severity: error.severity().to_owned(),
            sqlstate: error.code().code().to_owned(),
            routine: error.routine().unwrap_or("an unnamed routine").to_owned(),
        }
    }
}

/// Turns an error of the driver into a failure; `sent` says whether the message had begun to leave.
///
/// A cell that cannot be read is `executed: unknown` here: who has seen the statement's end sets `yes`.
pub(crate) fn failure(error: Error, during: During, sent: bool) -> Failure {
    match error.as_db_error() {
        Some(answer) => of_server(answer, during, sent),
        None => driver::failure(error, during, sent),
    }
}

/// A reply that was left because one message of it was too long; the connection went with it.
pub(crate) fn too_long(during: During, sent: bool) -> Failure {
    Failure::new(
        FailureKind::TooLarge,
        "one message of the reply is longer than any may be (see `bytes_max`)",
    )
    .in_phase(Phase::Decode)
    .executed_is(executed(Proof::None, during, sent))
}

fn of_server(answer: &DbError, during: During, sent: bool) -> Failure {
    let said = Said {
        code: answer.code().code(),
        routine: answer.routine().unwrap_or_default(),
        message: answer.message(),
    };
    let verdict = table::verdict(said, during);
    let mut message = answer.message().to_owned();
    // `undefined_function` of a routine that writes results: the type has no binary form
    if said.code == "42883" && (said.routine == "getTypeBinaryOutputInfo" || said.routine.ends_with("_send"))
    {
        message.push_str("; cast the column to text (`column::text`)");
    }
    let failure = applied(verdict, message, during, sent);
    failure.with_code(said.code).caused_by(ServerError::of(answer))
}

fn applied(verdict: Verdict, message: String, during: During, sent: bool) -> Failure {
    let failure = Failure::new(verdict.kind, message)
        .in_phase(phase(during))
        .executed_is(executed(verdict.proof, during, sent))
        .counts_as(verdict.outcome)
        .transient(verdict.transient);
    match verdict.wait {
        Some(wait) => failure.retry_in(wait),
        None => failure,
    }
}

fn phase(during: During) -> Phase {
    if during == During::Connect { Phase::Connect } else { Phase::Execute }
}

/// Connecting and preparing run nothing, and so does what was never sent.
fn executed(proof: Proof, during: During, sent: bool) -> Executed {
    let ran = sent && matches!(during, During::Statement | During::Commit);
    let in_doubt = match proof {
        Proof::Undone => false,
        Proof::UndoneUnlessCommit => during == During::Commit,
        Proof::None => true,
    };
    if ran && in_doubt { Executed::Unknown } else { Executed::No }
}

/// Says whether prepared statements of this backend are out of date, on all connections.
pub(crate) fn invalidates_statements(failure: &Failure) -> bool {
    // these codes are a transient abort only in the rows of the table that mean a stale statement
    failure.kind() == FailureKind::Aborted
        && matches!(failure.code(), Some("0A000" | "26000" | "42P05" | "XX000"))
}

/// Says whether the node takes no writes: a standby, or a primary that was demoted.
///
/// In a session that we made read-only it means nothing of the kind; see [`refused_by_us`].
pub(crate) fn is_wrong_node(failure: &Failure) -> bool {
    failure.kind() == FailureKind::Unavailable && failure.code() == Some(table::READ_ONLY)
}

/// In a session that we made read-only, a refused write is the caller's error and says nothing of the node.
pub(crate) fn refused_by_us(failure: Failure) -> Failure {
    if !is_wrong_node(&failure) {
        return failure;
    }
    Failure::refused("the message reads only, and its statement writes; send it as `Execute`")
        .counts_as(Outcome::Success)
        .with_code(table::READ_ONLY)
        .caused_by(failure)
}

#[cfg(test)]
mod tests;

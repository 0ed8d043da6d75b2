//! Stand-in for the real table of errors.

use std::error::Error as _;

use backstop_core::error::{Executed, Failure, FailureKind, Phase};
use tokio_postgres::{Error, error::Severity};

/// What was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    Connect,
    Prepare,
    Statement,
    Commit,
}

pub(crate) fn failure(error: Error, during: During, sent: bool) -> Failure {
    let phase = if during == During::Connect { Phase::Connect } else { Phase::Execute };
    let Some(said) = error.as_db_error() else {
        let why = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        if error.to_string().starts_with("error serializing parameter") {
            return Failure::refused(why);
        }
        return match (during, sent) {
            (During::Connect, _) => Failure::unavailable(why),
            (_, false) => Failure::new(FailureKind::Lost, why).executed_is(Executed::No),
            (_, true) => Failure::new(FailureKind::Lost, why),
        };
    };
    let code = said.code().code();
    let kind = match code {
        "40001" | "40P01" | "55P03" => FailureKind::Aborted,
        "57014" => FailureKind::Timeout,
        "53300" => FailureKind::Overloaded,
        _ if code.starts_with("23") => FailureKind::Conflict,
        _ if code.starts_with("28") => FailureKind::Auth,
        _ if code.starts_with("57P") => FailureKind::Unavailable,
        _ if code.starts_with("53") || code.starts_with("58") || code.starts_with("XX") => {
            FailureKind::Server
        }
        _ => FailureKind::Refused,
    };
    let is_lost = matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    let executed = if is_lost && during == During::Commit { Executed::Unknown } else { Executed::No };
    let revalidate = code == "0A000" && said.routine() == Some("RevalidateCachedQuery");
    let failure = Failure::new(kind, said.message().to_owned()).in_phase(phase).executed_is(executed);
    let failure = if code == "25006" { failure.transient(true) } else { failure };
    failure.with_code(if revalidate { REVALIDATE.to_owned() } else { code.to_owned() }).caused_by(error)
}

const REVALIDATE: &str = "0A000 RevalidateCachedQuery";

pub(crate) fn invalidates_statements(failure: &Failure) -> bool {
    match failure.code() {
        Some(REVALIDATE | "26000") => true,
        Some("XX000") => failure.message().starts_with("cache lookup failed"),
        _ => false,
    }
}

pub(crate) fn is_wrong_node(failure: &Failure) -> bool {
    failure.code() == Some("25006") && failure.is_transient()
}

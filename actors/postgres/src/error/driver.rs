//! What the driver says by itself: no answer of the server, or none that it understands.

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use tokio_postgres::Error;

use super::{During, executed, phase, table::Proof};
use crate::codec::{CellError, ParamError};

/// Turns an error without an answer of the server into a failure.
pub(super) fn failure(error: Error, during: During, sent: bool) -> Failure {
    let words = error.to_string();
    let Some(cause) = error.into_source() else { return by_words(&words, None, during, sent) };
    let cause = match cause.downcast::<ParamError>() {
        Ok(wrong) => return unbound(&words, *wrong),
        Err(cause) => cause,
    };
    match cause.downcast::<CellError>() {
        Ok(unreadable) => unread(*unreadable, during, sent),
        Err(cause) => {
            let failure = by_words(&words, Some(&cause.to_string()), during, sent);
            failure.caused_by(cause)
        }
    }
}

/// A parameter that does not fit; the driver counts them from 0 and SQL from 1.
fn unbound(words: &str, wrong: ParamError) -> Failure {
    let index = words.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
    let place = index.map(|index| format!("parameter ${}: ", index.saturating_add(1))).unwrap_or_default();
    ours(format!("{place}{wrong}"), "invalid_value").caused_by(wrong)
}

/// A refusal of ours: the server never heard of it.
fn ours(message: String, code: &'static str) -> Failure {
    Failure::refused(message).in_phase(Phase::Admission).counts_as(Outcome::NotCounted).with_code(code)
}

fn unread(unreadable: CellError, during: During, sent: bool) -> Failure {
    let kind = match unreadable {
        CellError::Unknown(..) => FailureKind::Decode,
        CellError::Malformed(..) => FailureKind::Protocol,
    };
    Failure::new(kind, unreadable.to_string())
        .in_phase(Phase::Decode)
        .executed_is(executed(Proof::None, during, sent))
        .transient(false)
        .caused_by(unreadable)
}

/// The driver has no public kinds, but its words are fixed; the tests provoke each of them. What is not known is
/// taken for a lost connection, which promises least.
fn by_words(words: &str, cause: Option<&str>, during: During, sent: bool) -> Failure {
    let message = cause.map_or_else(|| words.to_owned(), |cause| format!("{words}: {cause}"));
    let in_doubt = executed(Proof::None, during, sent);
    let told = |kind| Failure::new(kind, message.as_str()).in_phase(phase(during)).executed_is(in_doubt);
    let starts = |start: &str| words.starts_with(start);
    if starts("error serializing parameter") {
        ours(message, "invalid_value")
    } else if starts("expected ") {
        ours(message, "missing_parameters")
    } else if starts("error encoding message") {
        ours(message, "too_large")
    } else if starts("invalid con") {
        ours(message, "invalid_options").in_phase(phase(during))
    } else if starts("authentication error") {
        told(FailureKind::Auth).counts_as(Outcome::NotCounted).retry_in(std::time::Duration::from_secs(5))
    } else if starts("error performing TLS handshake") {
        told(FailureKind::Unavailable).transient(false).with_code("tls")
    } else if starts("timeout waiting for server") {
        told(FailureKind::Timeout)
    } else if starts("error parsing response") || starts("unexpected message") {
        told(FailureKind::Protocol)
    } else if starts("error deserializing column") || starts("invalid column") || starts("query returned") {
        told(FailureKind::Decode).in_phase(Phase::Decode)
    } else {
        lost(&message, during, in_doubt)
    }
}

/// The connection is gone.
fn lost(message: &str, during: During, in_doubt: Executed) -> Failure {
    let kind = match (during, in_doubt) {
        (During::Connect, _) | (_, Executed::No) => FailureKind::Unavailable,
        _ => FailureKind::Lost,
    };
    Failure::new(kind, message).in_phase(phase(during)).executed_is(in_doubt)
}

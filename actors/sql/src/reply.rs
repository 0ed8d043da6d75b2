//! How the SQL backends answer, where all of them answer alike.

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use serde::de::DeserializeOwned;

use crate::{Request, Rows, Transaction, Written};

/// Turns rows that were read into a list of a type.
///
/// # Errors
/// `too_large` for rows that were cut off, `decode` for a row that is no `T`. A read has no effect, so a reply that
/// cannot be used leaves nothing executed.
pub fn typed<T: DeserializeOwned>(rows: Rows) -> Result<Vec<T>, Failure> {
    let unusable =
        |kind, text: String| Failure::new(kind, text).in_phase(Phase::Decode).executed_is(Executed::No);
    if rows.is_truncated() {
        let text = format!("the reply exceeds the limit after {} rows", rows.len());
        return Err(unusable(FailureKind::TooLarge, text));
    }
    rows.into_typed().map_err(|error| unusable(FailureKind::Decode, error.to_string()).caused_by(error))
}

/// Refuses a `Query` whose statement does not read.
#[must_use]
pub fn not_a_read() -> Failure {
    Failure::refused("the statement writes or returns no rows, and `Query` reads; use `Execute`")
        .counts_as(Outcome::NotCounted)
        .with_code("not_a_read")
}

/// Says which statement of a list failed; the failure stays what it is.
#[must_use]
pub fn at_statement(failure: Failure, at: usize) -> Failure {
    let text = format!("statement {at}: {}", failure.message());
    failure.with_message(text)
}

/// Runs one statement as a transaction of its own: what may have to be undone is not committed by itself.
///
/// # Errors
/// Those of [`Transaction`].
///
/// # Cancel safety
/// That of [`Transaction`].
pub async fn undoable<B: Serve<Transaction>>(
    backend: &B,
    request: &Request,
    call: &CallContext,
) -> Result<Written, Failure> {
    let mut replies = backend.serve(&Transaction::from_iter([request.clone()]), call).await?;
    replies.pop().ok_or_else(|| {
        Failure::new(FailureKind::Protocol, "the transaction returned no reply").executed_is(Executed::Yes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_named_and_all_else_of_the_failure_stays() {
        let failure = Failure::new(FailureKind::Aborted, "deadlock")
            .executed_is(Executed::No)
            .with_code("40P01")
            .retry_in(std::time::Duration::from_millis(7))
            .caused_by("the driver's error");
        let named = at_statement(failure.clone(), 1);
        assert_eq!(named.message(), "statement 1: deadlock");
        assert_eq!((named.code(), named.retry_after()), (failure.code(), failure.retry_after()));
        assert_eq!((named.outcome(), named.is_transient()), (failure.outcome(), failure.is_transient()));
        // kind, phase, fate and cause
        assert_eq!(format!("{:?}", named.with_message("deadlock")), format!("{failure:?}"));
    }
}

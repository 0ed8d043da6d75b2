//! What a status says: a table, each row a test.

use std::time::Duration;

use backstop_core::{
    error::{Executed, Failure, FailureKind, Phase},
    message::Class,
    outcome::Outcome,
};

/// What a status means when it is not expected; see the table in [`crate::error`].
struct Row {
    kind: FailureKind,
    executed: Executed,
    transient: bool,
    outcome: Outcome,
}

fn row(status: u16, has_hint: bool) -> Row {
    use FailureKind as K;
    let (kind, executed, transient, outcome) = match status {
        401 => (K::Auth, Executed::No, false, Outcome::Success),
        408 | 425 | 429 => (K::Overloaded, Executed::No, true, Outcome::Overload),
        409 | 412 => (K::Conflict, Executed::No, false, Outcome::Success),
        400..=499 => (K::Refused, Executed::No, false, Outcome::Success),
        501 | 505 => (K::Server, Executed::No, false, Outcome::Failure),
        503 if has_hint => (K::Overloaded, Executed::No, true, Outcome::Overload),
        _ => (K::Server, Executed::Unknown, true, Outcome::Failure),
    };
    Row { kind, executed, transient, outcome }
}

/// Turns a status into a failure; `None` when it is an answer: 2xx, 3xx or expected.
pub(crate) fn refusal(
    method: &str,
    status: u16,
    expected: &[u16],
    retry_after: Option<Duration>,
) -> Option<Failure> {
    if status < 400 || (status < 500 && expected.contains(&status)) {
        return None;
    }
    let hint = retry_after.filter(|_| matches!(status, 429 | 503));
    let Row { kind, executed, transient, outcome } = row(status, hint.is_some());
    let mut failure = Failure::new(kind, format!("{method} was answered with status {status}"))
        .in_phase(Phase::Execute)
        .executed_is(executed)
        .transient(transient)
        .counts_as(outcome)
        .with_code(status.to_string());
    if let Some(after) = hint {
        failure = failure.retry_in(after);
    }
    Some(failure)
}

/// What a status proves about the work of a request whose answer is then lost; a read has nothing to have
/// been done, so that it may be repeated.
pub(crate) fn proof(class: Class, status: u16) -> Executed {
    if class != Class::Read && (200..=299).contains(&status) { Executed::Yes } else { Executed::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_status_table_holds() {
        use FailureKind as K;
        let second = Some(Duration::from_secs(1));
        let (no, unknown) = (Executed::No, Executed::Unknown);
        let table = [
            (400, None, K::Refused, no, false, Outcome::Success),
            (401, None, K::Auth, no, false, Outcome::Success),
            (403, None, K::Refused, no, false, Outcome::Success),
            (404, None, K::Refused, no, false, Outcome::Success),
            (404, second, K::Refused, no, false, Outcome::Success),
            (405, None, K::Refused, no, false, Outcome::Success),
            (408, None, K::Overloaded, no, true, Outcome::Overload),
            (409, None, K::Conflict, no, false, Outcome::Success),
            (410, None, K::Refused, no, false, Outcome::Success),
            (412, None, K::Conflict, no, false, Outcome::Success),
            (413, None, K::Refused, no, false, Outcome::Success),
            (422, None, K::Refused, no, false, Outcome::Success),
            (425, None, K::Overloaded, no, true, Outcome::Overload),
            (429, None, K::Overloaded, no, true, Outcome::Overload),
            (429, second, K::Overloaded, no, true, Outcome::Overload),
            (500, None, K::Server, unknown, true, Outcome::Failure),
            (500, second, K::Server, unknown, true, Outcome::Failure),
            (501, None, K::Server, no, false, Outcome::Failure),
            (502, None, K::Server, unknown, true, Outcome::Failure),
            (503, None, K::Server, unknown, true, Outcome::Failure),
            (503, second, K::Overloaded, no, true, Outcome::Overload),
            (504, None, K::Server, unknown, true, Outcome::Failure),
            (505, None, K::Server, no, false, Outcome::Failure),
            (599, None, K::Server, unknown, true, Outcome::Failure),
        ];
        for (status, hint, kind, executed, transient, outcome) in table {
            let failure = refusal("POST", status, &[], hint).unwrap();
            assert_eq!(failure.kind(), kind, "{status}");
            assert_eq!(failure.executed(), executed, "{status}");
            assert_eq!(failure.is_transient(), transient, "{status}");
            assert_eq!(failure.outcome(), outcome, "{status}");
            assert_eq!(failure.code(), Some(status.to_string().as_str()));
            assert_eq!(failure.retry_after(), hint.filter(|_| matches!(status, 429 | 503)), "{status}");
        }
    }

    #[test]
    fn answers_and_expected_refusals_are_no_failures() {
        for status in [200, 201, 204, 226, 299, 300, 301, 302, 304, 307, 308, 399] {
            assert!(refusal("GET", status, &[], None).is_none(), "{status}");
        }
        assert!(refusal("GET", 404, &[404, 409], None).is_none());
        assert!(refusal("GET", 410, &[404, 409], None).is_some());
        assert!(refusal("GET", 500, &[500], None).is_some(), "a failure of the server is never expected");
    }

    #[test]
    fn only_a_confirmed_write_was_done() {
        assert_eq!(proof(Class::Unsafe, 201), Executed::Yes);
        assert_eq!(proof(Class::Read, 200), Executed::Unknown);
        assert_eq!(proof(Class::Unsafe, 302), Executed::Unknown);
    }
}

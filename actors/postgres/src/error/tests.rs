//! The table row by row, and the real server's own errors.

mod provoked;

use std::time::Duration;

use backstop_core::{
    error::{Executed, FailureKind},
    outcome::Outcome,
};

use super::{
    During, applied,
    table::{ROWS, Said, verdict},
};

/// Code, routine, message, what was under way; kind, executed, outcome, transient, hint in seconds.
type Case =
    (&'static str, &'static str, &'static str, During, FailureKind, Executed, Outcome, bool, Option<u64>);

fn cases() -> Vec<Case> {
    use During::{Commit, Connect, Prepare, Statement};
    use Executed::{No, Unknown};
    use FailureKind::{
        Aborted, Auth, Conflict, Corrupt, Lost, Overloaded, Protocol, Refused, Server, Timeout, Unavailable,
    };
    use Outcome::{Failure, NotCounted, Overload, Success};
    vec![
        ("40001", "", "", Statement, Aborted, No, Success, true, None),
        ("40001", "", "", Commit, Aborted, No, Success, true, None),
        ("40P01", "", "", Statement, Aborted, No, Success, true, None),
        ("40002", "", "", Commit, Conflict, No, Success, false, None),
        ("40003", "", "", Statement, Lost, Unknown, Failure, true, None),
        ("40000", "", "", Statement, Aborted, No, Success, true, None),
        ("72000", "", "", Statement, Aborted, No, Success, true, None),
        ("23505", "", "", Statement, Conflict, No, Success, false, None),
        ("23503", "", "", Commit, Conflict, No, Success, false, None),
        ("0A000", "RevalidateCachedQuery", "", Statement, Aborted, No, Success, true, Some(0)),
        ("0A000", "other", "", Statement, Refused, No, Success, false, None),
        ("XX000", "x", "cache lookup failed for type 5", Statement, Aborted, No, Success, true, Some(0)),
        ("26000", "", "", Statement, Aborted, No, Success, true, Some(0)),
        ("42P05", "", "", Prepare, Aborted, No, Success, true, Some(0)),
        ("28P01", "", "", Connect, Auth, No, NotCounted, false, Some(5)),
        ("28000", "", "", Connect, Auth, No, NotCounted, false, Some(5)),
        ("3D000", "", "", Connect, Unavailable, No, Failure, false, None),
        ("3D000", "", "", Statement, Refused, No, Success, false, None),
        ("25006", "", "", Statement, Unavailable, No, Failure, true, None),
        ("57P03", "", "", Connect, Unavailable, No, Failure, true, None),
        ("53300", "", "", Connect, Overloaded, No, Overload, true, None),
        ("25P03", "", "", Statement, Lost, No, Success, true, None),
        ("25P04", "", "", Commit, Lost, Unknown, Success, true, None),
        ("57P05", "", "", Statement, Lost, No, Success, true, None),
        ("57P01", "", "", Statement, Lost, No, Failure, true, None),
        ("57P01", "", "", Commit, Lost, Unknown, Failure, true, None),
        ("57P02", "", "", Statement, Lost, Unknown, Failure, true, None),
        ("57P04", "", "", Statement, Unavailable, No, Failure, false, None),
        ("08001", "", "", Connect, Unavailable, No, Failure, true, None),
        ("08004", "", "", Connect, Unavailable, No, Failure, true, None),
        ("08P01", "", "", Connect, Unavailable, No, Failure, true, None),
        ("08P01", "", "", Statement, Protocol, Unknown, Failure, true, None),
        ("08006", "", "", Statement, Lost, Unknown, Failure, true, None),
        ("08006", "", "", Prepare, Lost, No, Failure, true, None),
        ("57014", "", "", Statement, Timeout, No, Failure, false, None),
        ("55P03", "", "", Statement, Aborted, No, Success, true, None),
        ("55006", "", "", Statement, Aborted, No, Success, true, None),
        ("53100", "", "", Statement, Server, No, Failure, false, None),
        ("53200", "", "", Statement, Overloaded, No, Overload, true, None),
        ("53400", "", "", Statement, Overloaded, No, Overload, true, None),
        ("58000", "", "", Statement, Server, No, Failure, true, None),
        ("58030", "", "", Commit, Server, No, Failure, true, None),
        ("58P01", "", "", Statement, Server, No, Failure, false, None),
        ("XX001", "", "", Statement, Corrupt, No, Failure, false, None),
        ("XX002", "", "", Statement, Corrupt, No, Failure, false, None),
        ("XX000", "", "boom", Statement, Server, No, Failure, false, None),
        ("F0000", "", "", Statement, Server, No, Failure, false, None),
        ("57000", "", "", Statement, Server, No, Failure, true, None),
        ("25P02", "", "", Statement, Refused, No, Success, false, None),
        ("22P02", "", "", Statement, Refused, No, Success, false, None),
        ("42P01", "", "", Prepare, Refused, No, Success, false, None),
        ("P0001", "", "", Statement, Refused, No, Success, false, None),
        ("54000", "", "", Statement, Refused, No, Success, false, None),
        ("ABC12", "", "", Statement, Refused, No, Success, false, None),
    ]
}

#[test]
fn every_row_of_the_table_holds() {
    for (code, routine, message, during, kind, executed, outcome, transient, hint) in cases() {
        let failure = applied(verdict(Said { code, routine, message }, during), String::new(), during, true);
        let found = (failure.kind(), failure.executed(), failure.outcome(), failure.is_transient());
        assert_eq!(found, (kind, executed, outcome, transient), "{code} during {during:?}");
        assert_eq!(failure.retry_after(), hint.map(Duration::from_secs), "{code} during {during:?}");
        let unsent = applied(verdict(Said { code, routine, message }, during), String::new(), during, false);
        assert_eq!(unsent.executed(), Executed::No, "{code} during {during:?}");
    }
}

#[test]
fn no_row_of_the_table_is_without_a_case_and_none_is_hidden_by_another() {
    let cases = cases();
    for row in ROWS {
        let reached = cases.iter().any(|(code, routine, message, during, ..)| {
            let said = Said { code, routine, message };
            let first = ROWS.iter().find(|row| row.holds(said, *during));
            first.is_some_and(|first| std::ptr::eq(first, row))
        });
        assert!(reached, "no case reaches the row {:?} {:?}", row.code, row.when);
    }
}

use backstop_core::outcome::Outcome;

use super::{table::TABLE, *};

fn server(code: u16, state: &str) -> Error {
    Error::Server(ServerError { code, message: "said the server".to_owned(), state: state.to_owned() })
}

use Executed::{No, Unknown};
use FailureKind as Kind;

/// The promises of the design, row by row; the table must agree.
#[rustfmt::skip]
const EXPECTED: &[(u16, During, Kind, Executed, Outcome, bool, After)] = &[
    (1205, During::Autocommit, Kind::Aborted, No, Outcome::Success, true, After::Keep),
    (1213, During::Statement, Kind::Aborted, No, Outcome::Success, true, After::Keep),
    (1213, During::Commit, Kind::Aborted, No, Outcome::Success, true, After::Keep),
    (1020, During::Statement, Kind::Aborted, No, Outcome::Success, true, After::Keep),
    (1040, During::Connect, Kind::Overloaded, No, Outcome::Overload, true, After::Close),
    (1203, During::Connect, Kind::Overloaded, No, Outcome::Overload, true, After::Close),
    (1129, During::Connect, Kind::Unavailable, No, Outcome::Failure, false, After::Close),
    (1045, During::Connect, Kind::Auth, No, Outcome::Failure, false, After::Close),
    (1053, During::Connect, Kind::Unavailable, No, Outcome::Failure, true, After::Lost),
    (1053, During::Autocommit, Kind::Unavailable, No, Outcome::Failure, true, After::Lost),
    (1053, During::Commit, Kind::Unavailable, Unknown, Outcome::Failure, true, After::Lost),
    (1290, During::Autocommit, Kind::Unavailable, No, Outcome::Failure, true, After::Evict),
    (1836, During::Autocommit, Kind::Unavailable, No, Outcome::Failure, true, After::Evict),
    (1792, During::Statement, Kind::Refused, No, Outcome::NotCounted, false, After::Keep),
    (2006, During::Autocommit, Kind::Lost, Unknown, Outcome::Failure, true, After::Lost),
    (2013, During::Autocommit, Kind::Lost, Unknown, Outcome::Failure, true, After::Lost),
    (2013, During::Statement, Kind::Lost, No, Outcome::Failure, true, After::Lost),
    (4031, During::Autocommit, Kind::Lost, Unknown, Outcome::Failure, true, After::Lost),
    (1927, During::Autocommit, Kind::Lost, No, Outcome::Failure, true, After::Lost),
    (1927, During::Commit, Kind::Lost, Unknown, Outcome::Failure, true, After::Lost),
    (1615, During::Autocommit, Kind::Aborted, No, Outcome::Success, true, After::Close),
    (3024, During::Statement, Kind::Timeout, No, Outcome::Failure, false, After::Keep),
    (1969, During::Statement, Kind::Timeout, No, Outcome::Failure, false, After::Keep),
    (1969, During::Autocommit, Kind::Timeout, No, Outcome::Failure, false, After::Keep),
    (1969, During::Commit, Kind::Timeout, Unknown, Outcome::Failure, false, After::Keep),
    (1317, During::Autocommit, Kind::Timeout, No, Outcome::Failure, false, After::Keep),
    (1317, During::Commit, Kind::Timeout, Unknown, Outcome::Failure, false, After::Keep),
    (1062, During::Autocommit, Kind::Conflict, No, Outcome::Success, false, After::Keep),
    (1451, During::Autocommit, Kind::Conflict, No, Outcome::Success, false, After::Keep),
    (1452, During::Autocommit, Kind::Conflict, No, Outcome::Success, false, After::Keep),
    (1064, During::Autocommit, Kind::Refused, No, Outcome::Success, false, After::Keep),
    (1146, During::Autocommit, Kind::Refused, No, Outcome::Success, false, After::Keep),
    (1054, During::Autocommit, Kind::Refused, No, Outcome::Success, false, After::Keep),
    (1153, During::Autocommit, Kind::TooLarge, No, Outcome::Success, false, After::Close),
    (1180, During::Commit, Kind::Server, Unknown, Outcome::Failure, true, After::Close),
];

#[test]
fn each_promised_error_means_what_it_should() {
    for (code, during, kind, executed, outcome, transient, then) in EXPECTED.iter().copied() {
        let error = server(code, "HY000");
        let found = failure(&error, during);
        let place = format!("{code} {during:?}: {found:?}");
        assert_eq!((found.kind(), found.executed()), (kind, executed), "{place}");
        assert_eq!((found.outcome(), found.is_transient()), (outcome, transient), "{place}");
        assert_eq!(after(&error), then, "{place}");
        assert_eq!(found.code(), Some(format!("{code}/HY000").as_str()));
    }
}

#[test]
fn each_row_is_there_once_and_only_a_lost_connection_or_a_commit_leaves_doubt() {
    for entry in TABLE {
        assert_eq!(TABLE.iter().filter(|other| other.code == entry.code).count(), 1, "{}", entry.code);
        let error = server(entry.code, "HY000");
        for during in [During::Connect, During::Statement, During::Autocommit] {
            let found = failure(&error, during);
            assert_eq!(found.kind(), entry.kind, "{}", entry.code);
            let in_doubt = entry.silent && during == During::Autocommit;
            assert_eq!(found.executed() == Unknown, in_doubt, "{} {during:?}", entry.code);
        }
        // a transaction never commits on a connection that is not kept
        assert!(dooms(&error) || after(&error) == After::Keep, "{}", entry.code);
    }
}

#[test]
fn an_error_that_no_row_names_goes_by_the_class_of_its_state() {
    for (state, kind) in [
        ("08S01", Kind::Lost),
        ("40001", Kind::Aborted),
        ("23000", Kind::Conflict),
        ("22003", Kind::Refused),
        ("42000", Kind::Refused),
        ("HY000", Kind::Refused),
        ("", Kind::Refused),
    ] {
        assert_eq!(failure(&server(9_999, state), During::Autocommit).kind(), kind, "{state}");
    }
}

#[test]
fn a_connection_that_ends_leaves_doubt_only_where_something_could_commit() {
    let ended = || Error::Io(IoError::Io(io::Error::from(io::ErrorKind::UnexpectedEof)));
    for (during, kind, executed) in [
        (During::Connect, Kind::Unavailable, No),
        (During::Statement, Kind::Lost, No),
        (During::Autocommit, Kind::Lost, Unknown),
        (During::Commit, Kind::Lost, Unknown),
    ] {
        let found = failure(&ended(), during);
        assert_eq!((found.kind(), found.executed()), (kind, executed), "{during:?}");
        assert_eq!(after(&ended()), After::Lost);
    }
}

#[test]
fn what_breaks_the_protocol_closes_the_connection_and_shows_none_of_its_bytes() {
    let payload = b"hunter2".to_vec();
    let error = Error::Driver(DriverError::UnexpectedPacket { payload });
    let found = failure(&error, During::Autocommit);
    assert_eq!((found.kind(), found.executed(), after(&error)), (Kind::Protocol, Unknown, After::Close));
    assert!(!format!("{found} {found:?}").contains("hunter2"));
}

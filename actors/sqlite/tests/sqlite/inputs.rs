//! Bad input is refused before anything runs, and says what is wrong.

use backstop_core::{
    error::{Executed, FailureKind, Phase},
    outcome::Outcome,
};
use backstop_sqlite::sql::{Execute, Params, Query, Request, Transaction, Value};

use crate::support::{Db, assert_failed, lane};

#[test]
fn every_kind_of_bad_input_has_a_code_and_touches_no_file() {
    lane(async {
        let db = Db::new().await;
        let cases: [(Execute, &str); 14] = [
            (Execute::new(""), "empty_statement"),
            (Execute::new(" -- nothing\n;"), "empty_statement"),
            (Execute::new("DELETE FROM t; DROP TABLE t"), "multiple_statements"),
            (Execute::new("SELECT 'open"), "malformed_statement"),
            (Execute::new("SELECT 1\0"), "malformed_statement"),
            (Execute::new("BEGIN"), "refused_statement"),
            (Execute::new("ATTACH 'other.db' AS o"), "refused_statement"),
            (Execute::new("VACUUM INTO 'copy.db'"), "refused_statement"),
            (Execute::new("PRAGMA synchronous = OFF"), "refused_statement"),
            (Execute::new("SELECT load_extension('x')"), "refused_statement"),
            (Execute::new("SELECT ?, :a").bind(1), "mixed_parameters"),
            (Execute::new("SELECT ?, ?").bind(1), "missing_parameters"),
            (Execute::new("SELECT ?").bind(1).bind(2), "unused_parameters"),
            (Execute::new("SELECT :a").bind_named("b", 1), "missing_parameters"),
        ];
        for (message, code) in cases {
            let text = message.request().sql.clone();
            let failure = assert_failed(db.ask(message).await, FailureKind::Refused, Executed::No);
            assert_eq!(failure.code(), Some(code), "{text:?}: {failure}");
            assert_eq!(
                (failure.phase(), failure.outcome()),
                (Phase::Admission, Outcome::NotCounted),
                "{text:?}"
            );
        }
        assert!(!db.path().exists());
    });
}

#[test]
fn an_error_names_the_parameter_and_shows_no_value() {
    lane(async {
        let db = Db::new().await;
        let query =
            Query::new("SELECT :user, :token").bind_named("token", "hunter2").bind_named("extra", "hunter2");
        let failure = db.ask(query).await.unwrap_err().failure();
        assert!(failure.message().contains(":user") && failure.message().contains(":extra"), "{failure}");
        assert!(!format!("{failure} {failure:?}").contains("hunter2"));
    });
}

#[test]
fn a_bad_statement_in_a_list_is_named_before_the_first_one_runs() {
    lane(async {
        let db = Db::with_table().await;
        let list = Transaction::new()
            .then(Request::new("INSERT INTO t(v) VALUES (1)"))
            .then(Request::with_params("INSERT INTO t(v) VALUES (?)", Params::default()));
        let failure = assert_failed(db.ask(list).await, FailureKind::Refused, Executed::No);
        assert!(failure.message().starts_with("statement 1: missing parameters: $1"), "{failure}");
        assert_failed(db.ask(Transaction::new()).await, FailureKind::Refused, Executed::No);
        assert!(db.values().await.is_empty());
    });
}

#[test]
fn a_value_that_sqlite_would_change_is_refused() {
    lane(async {
        let db = Db::with_table().await;
        let nan = db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(f64::NAN)).await;
        assert_failed(nan, FailureKind::Refused, Executed::No);
        let decimal = Execute::new("INSERT INTO t(v) VALUES (?)").bind(Value::Decimal("1.50".into()));
        db.ask(decimal).await.unwrap();
        let rows = db.ask(Query::new("SELECT v FROM t")).await.unwrap();
        assert_eq!(rows.get(0).unwrap()[0], Value::Text("1.50".into()));
    });
}

#[test]
fn an_engine_error_says_where_and_is_the_callers() {
    lane(async {
        let db = Db::with_table().await;
        let failure =
            assert_failed(db.ask(Query::new("SELECT nope FROM t")).await, FailureKind::Refused, Executed::No);
        assert!(
            failure.message().contains("no such column: nope") && failure.message().contains("byte 7"),
            "{failure}"
        );
        assert_eq!(failure.outcome(), Outcome::Success);
    });
}

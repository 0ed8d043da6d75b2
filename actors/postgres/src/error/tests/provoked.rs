//! Errors that the real server is brought to.

use backstop_core::error::{Executed, Failure, FailureKind, Phase};
use tokio_postgres::{Client, Error};

use crate::{
    codec::{Cell, Param},
    error::{During, failure, invalidates_statements, is_wrong_node, refused_by_us},
    session::{Session, connect},
};

fn told(error: Error) -> Failure {
    failure(error, During::Statement, true)
}

async fn refusal(client: &Client, sql: &str) -> Failure {
    told(client.execute(sql, &[]).await.expect_err(sql))
}

/// Code, kind, and that nothing was executed.
fn assert_undone(failure: &Failure, code: &str, kind: FailureKind) {
    assert_eq!(
        (failure.code(), failure.kind(), failure.executed()),
        (Some(code), kind, Executed::No),
        "{failure}"
    );
}

#[tokio::test]
async fn any_code_that_the_server_raises_finds_its_row() {
    let session = Session::open().await;
    for (code, routine, message, during, kind, executed, outcome, transient, _) in super::cases() {
        // conditions on routines and words need the real thing, see below
        if during != During::Statement || !routine.is_empty() || !message.is_empty() {
            continue;
        }
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = '{code}'; END $$");
        let failure = refusal(&session.client, &sql).await;
        let found = (failure.kind(), failure.executed(), failure.outcome(), failure.is_transient());
        assert_eq!((failure.code(), found), (Some(code), (kind, executed, outcome, transient)));
    }
}

#[tokio::test]
async fn a_second_key_is_a_conflict_and_shows_no_value_of_the_row() {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id text PRIMARY KEY); INSERT INTO t VALUES ('hunter2')").await;
    let failure = refusal(&session.client, "INSERT INTO t VALUES ('hunter2')").await;
    assert_undone(&failure, "23505", FailureKind::Conflict);
    assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure:?}");
}

#[tokio::test]
async fn transactions_that_meet_are_aborted_and_may_be_tried_again() {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)").await;
    let other = session.another().await;
    for client in [&session.client, &other] {
        client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(n) FROM t").await.unwrap();
    }
    session.run("UPDATE t SET n = 1 WHERE id = 1; COMMIT").await;
    let failure = refusal(&other, "UPDATE t SET n = 2 WHERE id = 1").await;
    assert_undone(&failure, "40001", FailureKind::Aborted);
    assert!(failure.is_transient());
    let doomed = refusal(&other, "SELECT 1").await;
    assert_undone(&doomed, "25P02", FailureKind::Refused);
    other.batch_execute("ROLLBACK; BEGIN; UPDATE t SET n = 3 WHERE id = 2").await.unwrap();
    session.run("BEGIN; SET LOCAL deadlock_timeout = '10ms'; UPDATE t SET n = 4 WHERE id = 1").await;
    let (left, right) = tokio::join!(
        session.client.execute("UPDATE t SET n = 5 WHERE id = 2", &[]),
        other.execute("UPDATE t SET n = 6 WHERE id = 1", &[])
    );
    let victims: Vec<Failure> = [left, right].into_iter().filter_map(Result::err).map(told).collect();
    assert_eq!(victims.len(), 1);
    assert_undone(&victims[0], "40P01", FailureKind::Aborted);
}

#[tokio::test]
async fn locks_and_time_limits_are_told_apart() {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id int)").await;
    session.run("BEGIN; LOCK TABLE t").await;
    let other = session.another().await;
    assert_undone(
        &refusal(&other, "DO 'BEGIN LOCK TABLE t NOWAIT; END'").await,
        "55P03",
        FailureKind::Aborted,
    );
    other.batch_execute("SET statement_timeout = '20ms'").await.unwrap();
    let failure = refusal(&other, "SELECT * FROM t").await;
    assert_undone(&failure, "57014", FailureKind::Timeout);
    assert!(!failure.is_transient());
}

#[tokio::test]
async fn statements_that_a_change_of_the_table_made_stale_are_known() {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id int)").await;
    let statement = session.client.prepare("SELECT * FROM t").await.unwrap();
    session.run("ALTER TABLE t ADD COLUMN name text").await;
    let failure = told(session.client.query(&statement, &[]).await.unwrap_err());
    assert_undone(&failure, "0A000", FailureKind::Aborted);
    assert!(invalidates_statements(&failure) && failure.is_transient());
    session.run("DEALLOCATE ALL").await;
    let failure = told(session.client.query(&statement, &[]).await.unwrap_err());
    assert_undone(&failure, "26000", FailureKind::Aborted);
    assert!(invalidates_statements(&failure));
    let other = refusal(&session.client, "SELECT count(*) FROM t FOR UPDATE").await;
    assert_undone(&other, "0A000", FailureKind::Refused);
    assert!(!invalidates_statements(&other), "{other}");
}

#[tokio::test]
async fn a_write_where_none_is_allowed_is_a_wrong_node_unless_we_forbade_it() {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id int); SET default_transaction_read_only = on").await;
    let failure = refusal(&session.client, "INSERT INTO t VALUES (1)").await;
    assert!(is_wrong_node(&failure) && failure.is_transient() && failure.executed() == Executed::No);
    let ours = refused_by_us(failure);
    assert!(!is_wrong_node(&ours) && !ours.is_transient());
    assert_undone(&ours, "25006", FailureKind::Refused);
}

#[tokio::test]
async fn a_session_that_is_ended_is_lost() {
    let session = Session::open().await;
    let other = session.another().await;
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let running = other.execute("SELECT pg_sleep(60)", &[]);
    let end = async {
        // it must be in the statement, or the end comes before it
        let active = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active' AND query LIKE '%pg_sleep%'"
        );
        while session.one(&active, &[]).await.unwrap() != 1.into() {
            tokio::task::yield_now().await;
        }
        session.one(&format!("SELECT pg_terminate_backend({pid})"), &[]).await.unwrap();
    };
    let (failed, ()) = tokio::join!(running, end);
    assert_undone(&told(failed.unwrap_err()), "57P01", FailureKind::Lost);
    let closed = other.execute("SELECT 1", &[]).await.unwrap_err();
    assert!(closed.is_closed());
    let failure = failure(closed, During::Commit, true);
    assert_eq!((failure.kind(), failure.executed()), (FailureKind::Lost, Executed::Unknown));
    let unsent = other.execute("SELECT 1", &[]).await.unwrap_err();
    let unsent = super::super::failure(unsent, During::Statement, false);
    assert_eq!((unsent.kind(), unsent.executed()), (FailureKind::Unavailable, Executed::No));
}

#[tokio::test]
async fn what_is_wrong_at_the_door_was_never_executed() {
    let session = Session::open().await;
    let url = session.database.url().to_owned();
    let (head, tail) = url.split_once('@').unwrap();
    let (user, _) = head.rsplit_once(':').unwrap();
    let wrong = connect(&format!("{user}:hunter2@{tail}")).await.map(drop).unwrap_err();
    let failed = failure(wrong, During::Connect, true);
    assert_undone(&failed, "28P01", FailureKind::Auth);
    assert_eq!(failed.phase(), Phase::Connect);
    assert!(!format!("{failed} {failed:?}").contains("hunter2"));
    let wrong = connect(&format!("{url}_none")).await.map(drop).unwrap_err();
    assert_undone(&failure(wrong, During::Connect, true), "3D000", FailureKind::Unavailable);
    let none = connect(&format!("postgres://u@{tail}")).await.map(drop).unwrap_err();
    let none = failure(none, During::Connect, true);
    assert_eq!((none.kind(), none.executed()), (FailureKind::Refused, Executed::No), "{none}");
}

#[tokio::test]
async fn the_drivers_own_words_are_understood() {
    let session = Session::open().await;
    let bad = told(session.client.execute("SELECT $1::int4", &[&Param(&"x".into())]).await.unwrap_err());
    assert_eq!(
        (bad.kind(), bad.phase(), bad.executed()),
        (FailureKind::Refused, Phase::Admission, Executed::No)
    );
    assert!(bad.message().starts_with("parameter $1: ") && bad.code() == Some("invalid_value"), "{bad}");
    let foreign = told(session.client.execute("SELECT $1::int4", &[&"x"]).await.unwrap_err());
    assert_eq!((foreign.kind(), foreign.code()), (FailureKind::Refused, Some("invalid_value")), "{foreign}");
    let few = told(session.client.execute("SELECT $1::int4", &[]).await.unwrap_err());
    assert_eq!((few.kind(), few.code()), (FailureKind::Refused, Some("missing_parameters")), "{few}");
    let row = session.client.query_one("SELECT 'a'::tsvector", &[]).await.unwrap();
    let unread = told(row.try_get::<_, Cell>(0).unwrap_err());
    assert_eq!((unread.kind(), unread.executed()), (FailureKind::Decode, Executed::Unknown));
    assert!(!unread.is_transient() && unread.phase() == Phase::Decode);
    let column = told(row.try_get::<_, Cell>(7).unwrap_err());
    assert_eq!(column.kind(), FailureKind::Decode, "{column}");
    let rows = told(session.client.query_one("SELECT 1 WHERE false", &[]).await.unwrap_err());
    assert_eq!(rows.kind(), FailureKind::Decode, "{rows}");
    let no_binary = refusal(&session.client, "SELECT relacl FROM pg_class WHERE relacl IS NOT NULL").await;
    assert!(no_binary.message().contains("::text"), "{no_binary:?}");
}

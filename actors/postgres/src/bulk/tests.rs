//! Batches with the real server.

use std::time::Duration;

use backstop_core::{
    call::{CallContext, Deadline, OpId},
    clock,
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{BatchInsert, InsertReport, Params, Value};
use tokio_postgres::Client;

use crate::session::{Session, connect};

fn call() -> CallContext {
    CallContext::new(OpId::next(), Deadline::at(clock::now() + Duration::from_secs(60)))
}

async fn insert(client: &Client, batch: &BatchInsert, call: &CallContext) -> Result<InsertReport, Failure> {
    let session = super::Session { has_names: true, begin: "BEGIN".into() };
    super::insert(client, batch, call, &session).await
}

/// Rows `0..count` of (id, name); the row `poison` repeats the key of the one before.
fn rows(count: i64, poison: Option<i64>) -> BatchInsert {
    let id = move |at: i64| if Some(at) == poison { at - 1 } else { at };
    BatchInsert::new("t", ["id", "name"])
        .rows((0..count).map(move |at| Params::from((id(at), format!("n{at}")))))
}

async fn table() -> Session {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id int8 PRIMARY KEY, name text)").await;
    session
}

async fn count(session: &Session) -> Value {
    session.one("SELECT count(*) FROM t WHERE name = 'n' || id", &[]).await.unwrap()
}

/// No transaction was left open: VACUUM is refused inside of one.
async fn assert_idle(client: &Client) {
    client.batch_execute("VACUUM pg_am").await.unwrap();
}

#[tokio::test]
async fn every_number_of_rows_arrives_once() {
    let session = table().await;
    for number in [0, 1, 2, 999, 1_000, 1_001, 30_000] {
        session.run("TRUNCATE t").await;
        let report = insert(&session.client, &rows(number, None), &call()).await.unwrap();
        assert_eq!(count(&session).await, Value::Int(number));
        assert_eq!(report.affected, number.cast_unsigned());
        assert_eq!(
            report.chunks.iter().map(|chunk| chunk.rows).sum::<usize>().cast_signed(),
            number as isize
        );
        assert_idle(&session.client).await;
    }
}

#[tokio::test]
async fn one_bad_row_undoes_all_and_its_chunk_is_named() {
    let session = table().await;
    for (number, poison) in [(1, None), (50, Some(20)), (999, Some(998)), (60_000, Some(50_000))] {
        session.run("TRUNCATE t; INSERT INTO t VALUES (0, 'old')").await;
        let call = call();
        let poison = poison.map_or(rows(number, None), |poison| {
            BatchInsert::new("t", ["id", "name"]).rows(
                (1..=number).map(|at| Params::from((if at == poison { 0 } else { at }, format!("n{at}")))),
            )
        });
        let failure = insert(&session.client, &poison, &call).await.unwrap_err();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Conflict, Executed::No), "{failure}");
        assert_eq!(failure.code(), Some("23505"));
        assert!(failure.message().starts_with("row"), "{failure}");
        assert_eq!(session.one("SELECT count(*) FROM t", &[]).await.unwrap(), Value::Int(1));
        assert_idle(&session.client).await;
    }
}

#[tokio::test]
async fn independent_chunks_fail_alone_and_say_so() {
    let session = table().await;
    let batch = rows(60_000, Some(50_000)).independent_chunks();
    let report = insert(&session.client, &batch, &call()).await.unwrap();
    let failed: Vec<_> = report.chunks.iter().filter(|chunk| chunk.error.is_some()).collect();
    assert!(report.chunks.len() > 1 && failed.len() == 1, "{report:?}");
    let failed = failed[0];
    assert!((failed.first_row..failed.first_row + failed.rows).contains(&50_000));
    let error = failed.error.as_ref().unwrap();
    assert_eq!((error.kind(), error.executed()), (FailureKind::Conflict, Executed::No));
    let whole = 60_000 - i64::try_from(failed.rows).unwrap();
    assert_eq!((report.affected, count(&session).await), (whole.cast_unsigned(), Value::Int(whole)));
    assert_idle(&session.client).await;
}

#[tokio::test]
async fn a_constraint_that_fails_at_commit_fails_the_batch_by_every_way() {
    let session = Session::open().await;
    session.run("CREATE TABLE p (id int8 PRIMARY KEY); CREATE TABLE t (id int8 REFERENCES p DEFERRABLE INITIALLY DEFERRED)").await;
    for number in [1, 2, 1_000] {
        for independent in [false, true] {
            let batch = BatchInsert::new("t", ["id"]).rows((0..number).map(|at| [at]));
            let batch = if independent { batch.independent_chunks() } else { batch };
            let failure = match insert(&session.client, &batch, &call()).await {
                Ok(report) => report.chunks[0].error.clone().unwrap(),
                Err(failure) => failure,
            };
            assert_eq!(
                (failure.kind(), failure.executed()),
                (FailureKind::Conflict, Executed::No),
                "{failure}"
            );
            assert_eq!(session.one("SELECT count(*) FROM t", &[]).await.unwrap(), Value::Int(0));
            assert_idle(&session.client).await;
        }
    }
}

/// Why COPY runs between BEGIN and COMMIT: by itself, the driver calls it done before the server commits.
#[tokio::test]
async fn copy_by_itself_does_not_hear_of_a_failed_commit() {
    let session = Session::open().await;
    session.run("CREATE TABLE p (id int8 PRIMARY KEY); CREATE TABLE t (id int8 REFERENCES p DEFERRABLE INITIALLY DEFERRED)").await;
    let sink: tokio_postgres::CopyInSink<bytes::Bytes> =
        session.client.copy_in("COPY t FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    futures_util::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"7\n")).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 1);
    assert_eq!(session.one("SELECT count(*) FROM t", &[]).await.unwrap(), Value::Int(0));
}

#[tokio::test]
async fn a_value_that_does_not_fit_names_row_and_column_and_inserts_nothing() {
    let session = Session::open().await;
    session.run("CREATE TABLE t (id int4)").await;
    for number in [1, 2, 1_000] {
        let batch = BatchInsert::new("t", ["id"]).rows((1..number).map(|at| [at])).row([3_000_000_000_i64]);
        let failure = insert(&session.client, &batch, &call()).await.unwrap_err();
        let text = failure.message();
        assert!(text.contains("3000000000") && text.contains("int4") && text.starts_with("row"), "{failure}");
        assert_eq!((failure.executed(), failure.code()), (Executed::No, Some("invalid_value")));
        assert_eq!(session.one("SELECT count(*) FROM t", &[]).await.unwrap(), Value::Int(0));
        assert_idle(&session.client).await;
    }
}

#[tokio::test]
async fn columns_of_every_kind_arrive_by_every_way() {
    let session = Session::open().await;
    session.run("CREATE SCHEMA \"S\"; CREATE TYPE \"S\".\"Mood\" AS ENUM ('ok', 'a \"b\"');
        CREATE DOMAIN day AS date CHECK (value > '1900-01-01'); CREATE TYPE pair AS (a int, b text);
        CREATE TABLE t (n numeric(10,2), m \"S\".\"Mood\", d day, i interval, \"q\"\"x\" int4[], p pair, j jsonb, c char(3))").await;
    let all = ["n", "m", "d", "i", "q\"x", "p", "j", "c"];
    let row = |columns: &[&str]| {
        let values = columns.iter().map(|column| match *column {
            "n" => Value::Decimal("1.50".into()),
            "m" => "a \"b\"".into(),
            "d" => Value::Date(jiff::civil::date(2024, 2, 29)),
            "i" => "P1D".into(),
            "q\"x" => Value::Array(vec![Value::Array(vec![1.into(), Value::Null])]),
            "p" => "(1,\"x y\")".into(),
            "j" => serde_json::json!({"a": 1}).into(),
            _ => "ab".into(),
        });
        Params::Positional(values.collect())
    };
    for columns in
        [&all[..], &["n", "m", "d", "j", "c"], &["n", "m", "d", "i", "j", "c"], &["n", "m", "d", "q\"x"]]
    {
        for number in [1, 3, 1_000] {
            session.run("TRUNCATE t").await;
            let batch =
                BatchInsert::new("t", columns.iter().copied()).rows((0..number).map(|_| row(columns)));
            insert(&session.client, &batch, &call())
                .await
                .unwrap_or_else(|error| panic!("{columns:?}: {error}"));
            let shown = session
                .one("SELECT string_agg(DISTINCT t::text, ' ') || count(*) FROM t", &[])
                .await
                .unwrap();
            let cell = |column: &str, text: &str| {
                if columns.contains(&column) { text.to_owned() } else { String::new() }
            };
            let expected = format!(
                "(1.50,\"a \"\"b\"\"\",2024-02-29,{},{},{},{},{}){number}",
                cell("i", "\"1 day\""),
                cell("q\"x", "\"{{1,NULL}}\""),
                cell("p", "\"(1,\"\"x y\"\")\""),
                cell("j", "\"{\"\"a\"\": 1}\""),
                cell("c", "\"ab \""),
            );
            assert_eq!(shown.as_text(), Some(expected.as_str()), "{columns:?}");
        }
    }
}

#[tokio::test]
async fn where_the_server_does_not_copy_the_rows_are_inserted() {
    let session = table().await;
    session.run("CREATE VIEW v AS SELECT * FROM t").await;
    for independent in [false, true] {
        session.run("TRUNCATE t").await;
        let batch =
            BatchInsert::new("v", ["id", "name"]).rows((0..1_500_i64).map(|at| (at, format!("n{at}"))));
        let batch = if independent { batch.independent_chunks() } else { batch };
        let report = insert(&session.client, &batch, &call()).await.unwrap();
        assert_eq!((report.affected, count(&session).await), (1_500, Value::Int(1_500)));
        assert!(report.chunks.len() > 1 && report.chunks.iter().all(|chunk| chunk.error.is_none()));
        assert_idle(&session.client).await;
    }
}

#[tokio::test]
async fn what_cannot_be_inserted_is_refused_before_anything_is_sent() {
    let session = table().await;
    session.run("CREATE TABLE g (id int8 GENERATED ALWAYS AS IDENTITY, name text)").await;
    for batch in [
        BatchInsert::new("none", ["id"]).row([1]),
        BatchInsert::new("t", ["none"]).row([1]),
        BatchInsert::new("t", ["id"]).row((1, 2)),
        // COPY alone would take the value
        BatchInsert::new("g", ["id"]).rows((0..1_000).map(|at| [at])),
    ] {
        let call = call();
        let failure = insert(&session.client, &batch, &call).await.unwrap_err();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Refused, Executed::No), "{failure}");
        assert!(!call.was_sent());
    }
}

#[tokio::test]
async fn a_session_that_ends_before_commit_has_inserted_nothing() {
    let session = table().await;
    session.run("CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.id = 40000 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END';
        CREATE TRIGGER die BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION die()").await;
    let failure = insert(&session.client, &rows(60_000, None), &call()).await.unwrap_err();
    assert_eq!((failure.kind(), failure.executed()), (FailureKind::Lost, Executed::No), "{failure}");
    let (client, wire) = connect(session.database.url()).await.unwrap();
    tokio::spawn(wire);
    assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 0);
}

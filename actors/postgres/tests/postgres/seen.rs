//! What the backend sees of its own work.

use std::{sync::Arc, time::Duration};

use backstop_core::backend::Connect as _;
use backstop_postgres::sql::{
    BatchInsert, Execute, Explain, Query, QueryStream, Request, Transaction,
    seen::{Seen, StatementSnapshot},
};
use serde_json::Value as Json;

use crate::support::{Db, lane, until};

const INSERT: &str = "INSERT INTO t(v) VALUES (?)";
const SELECT: &str = "SELECT v FROM t WHERE id >= :id";
const THRESHOLD: Duration = Duration::from_millis(100);

pub(crate) fn seen(db: &Db<'_>) -> Arc<Seen> {
    db.options.insight(&db.shared).unwrap().downcast().unwrap()
}

fn of(db: &Db<'_>, text: &str) -> StatementSnapshot {
    let all = seen(db).statements(usize::MAX);
    let found = all.iter().find(|statement| statement.sql.as_str() == text);
    found.unwrap_or_else(|| panic!("{text} is not in {all:?}")).clone()
}

async fn table(db: &Db<'_>) {
    db.run("CREATE TABLE t(id bigserial PRIMARY KEY, v text UNIQUE)").await;
}

#[test]
fn each_run_is_counted_under_its_text_over_all_lanes_and_no_parameter_is_kept() {
    lane(async {
        let db = Db::new().await;
        table(&db).await;
        for value in ["canary-1", "canary-2"] {
            db.ask(Execute::new(INSERT).bind(value)).await.unwrap();
        }
        db.ask(Execute::new(INSERT).bind("canary-1")).await.unwrap_err();
        db.ask(Transaction::new().then(Request::with_params(INSERT, ["canary-3"]))).await.unwrap();
        let inserts = of(&db, INSERT);
        assert_eq!((inserts.calls(), inserts.rows, inserts.errors), (4, 3, 1));
        assert_eq!(inserts.last_error.as_deref(), Some("23505"));
        let select = || Query::new(SELECT).bind_named("id", 2);
        db.ask(select()).await.unwrap();
        let other = db.another_lane().await;
        crate::support::ask(&*other, &select(), crate::support::LONG).await.unwrap();
        drop(other);
        let selects = of(&db, SELECT);
        // an id was spent on the row that was refused
        assert_eq!((selects.calls(), selects.rows, selects.errors), (2, 4, 0));
        let shown = serde_json::to_string(&seen(&db).statements(usize::MAX)).unwrap();
        assert!(shown.contains(SELECT) && !shown.contains("canary"), "{shown}");
    });
}

#[test]
fn the_rows_of_streams_and_batches_are_counted() {
    lane(async {
        let db = Db::new().await;
        table(&db).await;
        db.ask(BatchInsert::new("t", ["v"]).rows((0..7).map(|v| [v.to_string()]))).await.unwrap();
        assert_eq!(of(&db, "INSERT INTO t (v) VALUES …").rows, 7);
        let mut rows = db.ask(QueryStream::new("SELECT v FROM t").chunk_rows(2)).await.unwrap();
        while let Some(chunk) = rows.next_chunk().await {
            chunk.unwrap();
        }
        let stream = of(&db, "SELECT v FROM t");
        assert_eq!((stream.calls(), stream.rows), (1, 7));
    });
}

#[test]
fn a_slow_query_is_listed_however_it_ends() {
    const SLEEP: &str = "SELECT pg_sleep(?::float8)";
    lane(async {
        let db = Db::with(|options| options.slow_query_threshold(THRESHOLD)).await;
        let sleep = |seconds: f64| Query::new(SLEEP).bind(seconds);
        db.ask(sleep(0.0)).await.unwrap();
        db.ask(sleep(0.15)).await.unwrap();
        db.ask_in(2 * THRESHOLD, sleep(30.0)).await.unwrap_err();
        let given_up = db.start(crate::support::LONG, sleep(30.0));
        db.until_session(
            "query LIKE '%pg_sleep%' AND state = 'active' AND clock_timestamp() - query_start > '200 ms'",
        )
        .await;
        given_up.abort();
        until("the end of all", async || seen(&db).slow_queries(10).len() == 3).await;
        let slow = seen(&db).slow_queries(10);
        let ends: Vec<_> = slow.iter().map(|query| query.error.as_deref()).collect();
        assert_eq!(ends, [Some("abandoned"), Some("57014"), None], "{slow:?}");
        assert!(slow.iter().all(|query| query.sql.as_str() == SLEEP && query.elapsed >= THRESHOLD));
    });
}

fn text(json: Option<Json>) -> String {
    json.map(|json| json.to_string()).unwrap_or_default()
}

#[test]
fn a_plan_is_told_for_values_or_for_all_of_them_and_nothing_is_run() {
    lane(async {
        let db = Db::new().await;
        table(&db).await;
        db.run("INSERT INTO t(v) SELECT n::text FROM generate_series(1, 100) n").await;
        let plan = db.ask(Explain::new("SELECT v FROM t WHERE v = :v").bind_named("v", "77")).await.unwrap();
        let json = plan.json.unwrap();
        assert!(json[0]["Plan"]["Node Type"].is_string(), "{json}");
        assert!(json.to_string().contains("'77'"), "{json}");
        let generic = db.ask(Explain::new("SELECT v FROM t WHERE v = :v AND id > :id")).await.unwrap();
        assert!(text(generic.json).contains("$1"));
        let delete = Execute::new("DELETE FROM t WHERE id = $1").bind(5);
        let plan = db.ask(Explain::of(delete.request())).await.unwrap();
        assert!(text(plan.json).contains("Delete"));
        assert!(
            text(db.ask(Explain::new("DELETE FROM t WHERE id = $1")).await.unwrap().json).contains("Delete")
        );
        assert_eq!(db.int("SELECT count(*) FROM t").await, 100);
        // a second one of the same name: the session was reset
        db.ask(Explain::new("SELECT v FROM t WHERE id = ?")).await.unwrap();
        db.ask(Explain::new("ANALYZE DELETE FROM t")).await.unwrap_err();
        assert_eq!(db.int("SELECT count(*) FROM t").await, 100);
    });
}

#[test]
fn a_connection_that_is_lent_for_too_long_is_told_of_once() {
    lane(async {
        let db = Db::with(|options| options.leak_after(Duration::from_millis(50))).await;
        let mut rows = db.ask(QueryStream::new("SELECT n FROM generate_series(1, 1000000) n")).await.unwrap();
        until("a long lease", async || db.shared.snapshot().long_leases == 1).await;
        let warnings = seen(&db).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("`query_stream`"), "{warnings:?}");
        assert!(seen(&db).warnings().is_empty());
        rows.next_chunk().await.unwrap().unwrap();
        drop(rows);
        until("its end", async || seen(&db).leases().is_empty()).await;
        assert_eq!(db.shared.snapshot().long_leases, 0);
    });
}

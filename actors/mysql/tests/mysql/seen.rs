//! What the backend sees of its own work.

use std::{sync::Arc, time::Duration};

use backstop_core::backend::Connect as _;
use backstop_mysql::sql::{
    BatchInsert, Execute, Explain, Query, QueryStream, Request, Transaction,
    seen::{Seen, StatementSnapshot},
};

use crate::support::{Db, LONG, ask, lane, until};

const INSERT: &str = "INSERT INTO t(id, v) VALUES (?, ?)";
const SELECT: &str = "SELECT v FROM t WHERE id >= :id";
const THRESHOLD: Duration = Duration::from_millis(100);

fn seen(db: &Db<'_>) -> Arc<Seen> {
    db.options.insight(&db.shared).unwrap().downcast().unwrap()
}

fn of(db: &Db<'_>, text: &str) -> StatementSnapshot {
    let all = seen(db).statements(usize::MAX);
    let found = all.iter().find(|statement| statement.sql.as_str() == text);
    found.unwrap_or_else(|| panic!("{text} is not in {all:?}")).clone()
}

#[test]
fn each_run_is_counted_under_its_text_over_all_lanes_and_no_parameter_is_kept() {
    lane(async {
        let db = Db::with_table().await;
        for value in [775_531, 775_532] {
            db.ask(Execute::new(INSERT).bind(value).bind(value)).await.unwrap();
        }
        db.ask(Execute::new(INSERT).bind(775_531).bind(1)).await.unwrap_err();
        db.ask(Transaction::new().then(Request::with_params(INSERT, (775_533, 775_533)))).await.unwrap();
        let inserts = of(&db, INSERT);
        assert_eq!((inserts.calls(), inserts.rows, inserts.errors), (4, 3, 1));
        assert_eq!(inserts.last_error.as_deref(), Some("1062/23000"));
        let select = || Query::new(SELECT).bind_named("id", 775_532);
        db.ask(select()).await.unwrap();
        let other = db.another_lane().await;
        ask(&*other, &select(), LONG).await.unwrap();
        drop(other);
        let selects = of(&db, SELECT);
        assert_eq!((selects.calls(), selects.rows, selects.errors), (2, 4, 0));
        let shown = serde_json::to_string(&seen(&db).statements(usize::MAX)).unwrap();
        assert!(shown.contains(SELECT) && !shown.contains("77553"), "{shown}");
    });
}

#[test]
fn the_rows_of_streams_and_batches_are_counted() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(BatchInsert::new("t", ["id", "v"]).rows((0..7).map(|v| (v, v)))).await.unwrap();
        assert_eq!(of(&db, "INSERT INTO t (id, v) VALUES …").rows, 7);
        let mut rows = db.ask(QueryStream::new("SELECT v FROM t").chunk_rows(2)).await.unwrap();
        while let Some(chunk) = rows.next_chunk().await {
            chunk.unwrap();
        }
        let stream = of(&db, "SELECT v FROM t");
        assert_eq!((stream.calls(), stream.rows), (1, 7));
    });
}

#[test]
fn a_slow_query_is_listed_with_its_end_and_a_quick_one_is_not() {
    const SLEEP: &str = "SELECT SLEEP(?)";
    lane(async {
        let db = Db::with(|options| options.slow_query_threshold(THRESHOLD)).await;
        let sleep = |seconds: f64| Query::new(SLEEP).bind(seconds);
        db.ask(sleep(0.0)).await.unwrap();
        db.ask(sleep(0.15)).await.unwrap();
        db.ask_in(2 * THRESHOLD, sleep(30.0)).await.unwrap_err();
        let slow = seen(&db).slow_queries(10);
        let ends: Vec<_> = slow.iter().map(|query| query.error.as_deref()).collect();
        assert_eq!(ends, [Some("abandoned"), None], "{slow:?}");
        assert!(slow.iter().all(|query| query.sql.as_str() == SLEEP && query.elapsed >= THRESHOLD));
    });
}

#[test]
fn a_plan_is_told_for_the_values_of_a_run_and_nothing_is_run() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(Execute::new(INSERT).bind(1).bind(1)).await.unwrap();
        let plan = db.ask(Explain::new("SELECT v FROM t WHERE v > :v").bind_named("v", 0)).await.unwrap();
        assert!(plan.json.unwrap()["query_block"].is_object());
        let delete = Execute::new("DELETE FROM t WHERE id = ?").bind(1);
        let plan = db.ask(Explain::of(delete.request())).await.unwrap();
        assert!(plan.to_string().contains("delete"), "{plan}");
        assert_eq!(db.ids().await, [1]);
        let failure = db.ask(Explain::new("SELECT v FROM t WHERE v = ?")).await.unwrap_err().failure();
        assert!(failure.message().contains("give the parameters"), "{failure}");
    });
}

#[test]
fn a_connection_that_is_lent_for_too_long_is_told_of_once() {
    lane(async {
        let db = Db::with(|options| options.leak_after(Duration::from_millis(50))).await;
        let rows = db.ask(QueryStream::new("SELECT seq FROM seq_1_to_1000000")).await.unwrap();
        until("a long lease", async || seen(&db).leases().iter().any(|lease| lease.is_long)).await;
        let warnings = seen(&db).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("`query_stream`"), "{warnings:?}");
        assert!(seen(&db).warnings().is_empty());
        drop(rows);
        until("its end", async || seen(&db).leases().is_empty()).await;
    });
}

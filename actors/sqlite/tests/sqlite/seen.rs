//! What the backend sees of its own work.

use std::{sync::Arc, time::Duration};

use backstop_core::{backend::Connect as _, clock};
use backstop_sqlite::{
    SqliteOptions,
    sql::{
        BatchInsert, Execute, Explain, Query, QueryStream, Request, Transact, Transaction,
        seen::{Seen, StatementSnapshot},
    },
};

use crate::support::{Db, ENDLESS, LONG, lane};

fn seen(db: &Db) -> Arc<Seen> {
    db.options.insight(&db.shared).unwrap().downcast().unwrap()
}

fn of(db: &Db, text: &str) -> StatementSnapshot {
    let all = seen(db).statements(usize::MAX);
    let found = all.iter().find(|statement| statement.sql.as_str() == text);
    found.unwrap_or_else(|| panic!("{text} is not in {all:?}")).clone()
}

async fn with_table(change: impl FnOnce(SqliteOptions) -> SqliteOptions) -> Db {
    let db = Db::with(change).await;
    db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
    db
}

/// Looks again until it is so.
async fn until(what: &str, done: impl Fn() -> bool) {
    let given_up = clock::now() + LONG;
    while !done() {
        assert!(clock::now() < given_up, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const INSERT: &str = "INSERT INTO t(v) VALUES (?)";
const SELECT: &str = "SELECT v FROM t WHERE id >= :id";

#[test]
fn each_run_is_counted_under_its_text_wherever_it_ran_and_no_parameter_is_kept() {
    lane(async {
        let db = Db::with_table().await;
        for value in ["canary-1", "canary-2"] {
            db.ask(Execute::new(INSERT).bind(value)).await.unwrap();
        }
        db.ask(Execute::new(INSERT).bind("canary-1")).await.unwrap_err();
        let list = Transaction::new().then(Request::with_params(INSERT, ["canary-3"]));
        db.ask(list).await.unwrap();
        let closure = Transact::new(|tx: &mut backstop_sqlite::sql::Tx<'_>| tx.execute(INSERT, ["canary-4"]));
        db.ask(closure).await.unwrap();
        let inserts = of(&db, INSERT);
        assert_eq!((inserts.calls(), inserts.rows, inserts.errors), (5, 4, 1));
        assert_eq!(inserts.last_error.as_deref(), Some("2067"), "{inserts:?}");
        for _ in 0..3 {
            db.ask(Query::new(SELECT).bind_named("id", 2)).await.unwrap();
        }
        let selects = of(&db, SELECT);
        assert_eq!((selects.calls(), selects.rows, selects.errors), (3, 9, 0));
        assert!(selects.latency.total() >= selects.max && !selects.max.is_zero());
        let shown = serde_json::to_string(&seen(&db).statements(usize::MAX)).unwrap();
        assert!(shown.contains(SELECT) && !shown.contains("canary"), "{shown}");
    });
}

#[test]
fn a_read_that_moves_to_a_thread_is_counted_once() {
    const HEAVY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT sum(i) FROM n";
    lane(async {
        let db = Db::with(|options| options.inline_steps(1_000)).await;
        db.ask(Query::new(HEAVY)).await.unwrap();
        assert_eq!(db.shared.snapshot().thread_reads_total, 1);
        let heavy = of(&db, HEAVY);
        assert_eq!((heavy.calls(), heavy.rows, heavy.errors), (1, 1, 0));
    });
}

#[test]
fn the_rows_of_streams_and_batches_are_counted() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(BatchInsert::new("t", ["v"]).rows((0..7).map(|v| [v]))).await.unwrap();
        let mut rows = db.ask(QueryStream::new("SELECT v FROM t").chunk_rows(2)).await.unwrap();
        while let Some(chunk) = rows.next_chunk().await {
            chunk.unwrap();
        }
        let stream = of(&db, "SELECT v FROM t");
        assert_eq!((stream.calls(), stream.rows), (1, 7));
        let all = seen(&db).statements(usize::MAX);
        let inserts = all.iter().filter(|statement| statement.sql.as_str().starts_with("INSERT"));
        assert_eq!(inserts.map(|statement| statement.rows).sum::<u64>(), 7);
    });
}

#[test]
fn a_statement_that_is_stopped_at_its_deadline_is_a_slow_query_and_a_quick_one_is_none() {
    lane(async {
        let db = Db::with(|options| options.slow_query_threshold(Duration::from_millis(50))).await;
        db.ask(Query::new("SELECT 1")).await.unwrap();
        db.ask_patiently(Duration::from_millis(200), Query::new(ENDLESS)).await.unwrap_err();
        let slow = seen(&db).slow_queries(10);
        assert_eq!(slow.len(), 1, "{slow:?}");
        assert_eq!((slow[0].sql.as_str(), slow[0].operation), (ENDLESS, "query"));
        assert!(slow[0].error.is_some() && slow[0].elapsed >= Duration::from_millis(50), "{slow:?}");
    });
}

#[test]
fn the_plan_of_a_slow_query_is_told_from_its_text_alone_and_a_write_is_not_run() {
    lane(async {
        let db = with_table(|options| options.slow_query_threshold(Duration::from_nanos(1))).await;
        db.ask(Query::new("SELECT v FROM t WHERE v = ?").bind("secret")).await.unwrap();
        let slow = seen(&db).slow_queries(1).remove(0);
        let plan = db.ask(Explain::new(slow.sql)).await.unwrap();
        assert!(plan.lines.iter().any(|line| line.contains("INDEX") && line.contains("v=?")), "{plan}");
        let write = db.ask(Execute::new(INSERT).bind(1)).await;
        write.unwrap();
        let delete = Execute::new("DELETE FROM t WHERE id = ?").bind(1);
        let plan = db.ask(Explain::of(delete.request())).await.unwrap();
        assert!(plan.to_string().contains("PRIMARY KEY"), "{plan}");
        assert_eq!(db.count("t").await, 1);
        db.ask(Explain::new("PRAGMA user_version")).await.unwrap_err();
    });
}

#[test]
fn the_plan_of_a_database_in_memory_is_told_too() {
    lane(async {
        let options = SqliteOptions::memory();
        let shared = Arc::new(options.share().unwrap());
        let lane = options.connect(&shared).await.unwrap();
        let plan = crate::support::ask(&lane, &Explain::new("SELECT 1 ORDER BY 1"), LONG).await.unwrap();
        assert!(!plan.lines.is_empty());
    });
}

#[test]
fn a_closure_that_holds_the_writer_for_too_long_is_told_of_once() {
    lane(async {
        let db = with_table(|options| options.leak_after(Duration::from_millis(1))).await;
        let hold = db.hold_writer().await;
        until("a long lease", || seen(&db).leases().iter().any(|lease| lease.is_long)).await;
        let warnings = seen(&db).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("`transaction`"), "{warnings:?}");
        assert!(seen(&db).warnings().is_empty());
        drop(hold);
        until("its end", || seen(&db).leases().is_empty()).await;
    });
}

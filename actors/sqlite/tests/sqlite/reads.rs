//! Inline reads, reader threads, limits.

use std::time::Duration;

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::{
    SqliteOptions,
    sql::{Execute, Query, QueryAs, Value},
};
use serde::Deserialize;

use crate::support::{Db, ENDLESS, LONG, assert_failed, lane};

async fn filled(change: impl FnOnce(SqliteOptions) -> SqliteOptions) -> Db {
    let db = Db::with(change).await;
    db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
    db.run(
        "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n",
    )
    .await;
    db
}

#[test]
fn a_short_read_ends_on_its_callers_thread() {
    lane(async {
        let db = filled(|options| options).await;
        let rows = db.ask(Query::new("SELECT v FROM t WHERE id = $1").bind(7)).await.unwrap();
        assert_eq!(rows.get(0).unwrap().get("v"), Some(&Value::Int(7)));
        assert_eq!(rows.columns()[0].name.as_ref(), "v");
        assert_eq!(db.shared.snapshot().thread_reads_total, 0);
    });
}

#[test]
fn a_long_read_moves_to_a_reader_thread_and_is_remembered() {
    lane(async {
        let db = filled(|options| options.inline_steps(1_000)).await;
        let long = Query::new("SELECT count(*) FROM t a, t b WHERE a.v < 30");
        for _ in 0..5 {
            let rows = db.ask(long.clone()).await.unwrap();
            assert_eq!(rows.get(0).unwrap()[0], Value::Int(29_000));
        }
        assert_eq!(db.shared.snapshot().thread_reads_total, 5);
    });
}

#[test]
fn a_typed_read_fills_a_struct_and_names_a_column_that_does_not_fit() {
    #[derive(Debug, Deserialize)]
    struct T {
        id: u32,
        v: Option<i64>,
    }
    lane(async {
        let db = filled(|options| options).await;
        let all =
            db.ask(QueryAs::<T>::new("SELECT id, v FROM t WHERE id < :n").bind_named("n", 3)).await.unwrap();
        assert_eq!((all[1].id, all[1].v), (2, Some(2)));
        let wrong = db.ask(QueryAs::<T>::new("SELECT 'x' AS id, 1 AS v")).await;
        let failure = assert_failed(wrong, FailureKind::Decode, Executed::No);
        assert!(failure.message().contains("column `id`"), "{failure}");
    });
}

#[test]
fn too_many_rows_are_cut_off_when_dynamic_and_an_error_when_typed() {
    lane(async {
        let db = filled(|options| options.rows_max(100)).await;
        let rows = db.ask(Query::new("SELECT v FROM t")).await.unwrap();
        assert_eq!((rows.len(), rows.is_truncated()), (100, true));
        let rows = db.ask(Query::new("SELECT v FROM t WHERE id <= 100")).await.unwrap();
        assert_eq!((rows.len(), rows.is_truncated()), (100, false));
        let rows = db.ask(Query::new("SELECT v FROM t").limit_rows(7)).await.unwrap();
        assert_eq!((rows.len(), rows.is_truncated()), (7, true));
        let typed = db.ask(QueryAs::<i64>::new("SELECT v FROM t")).await;
        assert_failed(typed, FailureKind::TooLarge, Executed::No);
    });
}

#[test]
fn too_many_bytes_are_bounded_too() {
    lane(async {
        let db = filled(|options| options.bytes_max(64 << 10)).await;
        let rows = db.ask(Query::new("SELECT zeroblob(1000) FROM t")).await.unwrap();
        assert!(rows.is_truncated() && rows.len() < 65, "{}", rows.len());
        let huge = db.ask(Query::new("SELECT zeroblob(500000000)")).await;
        assert_failed(huge, FailureKind::TooLarge, Executed::No);
    });
}

#[test]
fn a_query_that_writes_is_refused_before_it_runs() {
    lane(async {
        let db = filled(|options| options).await;
        for sql in [
            "INSERT INTO t(v) VALUES (-1) RETURNING v",
            "DELETE FROM t",
            "PRAGMA user_version = 9",
            "CREATE TABLE u(x)",
        ] {
            let failure = assert_failed(db.ask(Query::new(sql)).await, FailureKind::Refused, Executed::No);
            assert!(!failure.outcome().is_bad(), "{sql}: {failure}");
        }
        assert_eq!(db.count("t").await, 1_000);
        assert_eq!(db.ask(QueryAs::<i64>::new("PRAGMA user_version")).await.unwrap(), [0]);
    });
}

#[test]
fn readers_go_on_while_the_writer_is_held() {
    lane(async {
        let db = filled(|options| options.inline_steps(1_000)).await;
        let hold = db.hold_writer().await;
        assert_eq!(
            db.ask_in(Duration::from_secs(5), Query::new("SELECT v FROM t WHERE id = 1"))
                .await
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            db.ask_in(Duration::from_secs(5), Query::new("SELECT sum(v) FROM t, (SELECT 1 UNION SELECT 2)"))
                .await
                .unwrap()
                .len(),
            1
        );
        drop(hold);
    });
}

#[test]
fn a_read_sees_every_write_that_was_acknowledged() {
    lane(async {
        let db = Db::with_table().await;
        for v in 0..50 {
            db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)).await.unwrap();
            assert_eq!(db.count("t").await, v + 1);
        }
    });
}

#[test]
fn a_minute_long_read_ends_at_its_deadline_and_frees_its_thread() {
    lane(async {
        let db = filled(|options| options.readers(1)).await;
        let started = std::time::SystemTime::now();
        let late = db.ask_in(Duration::from_secs(1), Query::new(ENDLESS)).await;
        assert_failed(late, FailureKind::Timeout, Executed::No);
        let took = started.elapsed().unwrap();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(1_050), "{took:?}");
        // the only reader thread serves the next long read at once
        let next = Query::new("SELECT count(*) FROM t a, t b WHERE a.v < 100");
        db.ask_in(Duration::from_millis(500), next).await.unwrap();
    });
}

#[test]
fn a_caller_that_leaves_frees_the_reader_thread() {
    lane(async {
        let db = filled(|options| options.readers(1)).await;
        let running = db.start(LONG, Query::new(ENDLESS)).await;
        while db.shared.snapshot().reads_waiting > 0 {
            tokio::task::yield_now().await;
        }
        running.abort();
        let next = Query::new("SELECT count(*) FROM t a, t b WHERE a.v < 100");
        db.ask_in(Duration::from_secs(2), next).await.unwrap();
    });
}

#[test]
fn a_change_of_the_schema_changes_the_columns_of_the_same_text() {
    lane(async {
        let db = Db::with_table().await;
        let all = Query::new("SELECT * FROM t");
        assert_eq!(db.ask(all.clone()).await.unwrap().columns().len(), 2);
        db.run("ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'x'").await;
        assert_eq!(db.ask(all.clone()).await.unwrap().columns().len(), 3);
        db.run("ALTER TABLE t RENAME COLUMN w TO z").await;
        let columns = db.ask(all).await.unwrap().columns().clone();
        assert_eq!((columns[2].name.as_ref(), columns[2].db_type.as_deref()), ("z", Some("TEXT")));
    });
}

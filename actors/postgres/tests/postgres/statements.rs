//! Prepared statements: kept, bounded, and healed when the schema changes under them.

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::sql::{Execute, Query, QueryAs, Request, TransactAsync, Transaction};

use crate::support::{Db, LONG, ask, assert_failed, lane};

#[test]
fn a_statement_is_prepared_once_a_connection_and_the_cache_has_a_bound() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0).statement_cache(4)).await;
        for _ in 0..3 {
            db.int("SELECT 1").await;
        }
        assert_eq!(db.shared.snapshot().prepared_total, 1);
        for n in 0..20 {
            db.ask(Query::new(format!("SELECT {n}"))).await.unwrap();
        }
        assert!(db.int("SELECT count(*) FROM pg_prepared_statements").await <= 5);
    });
}

#[test]
fn a_select_star_survives_a_column_that_another_client_adds() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (a int)").await;
        db.run("INSERT INTO t VALUES (1)").await;
        let star = || Query::new("SELECT * FROM t");
        assert_eq!(db.ask(star()).await.unwrap().columns().len(), 1);
        db.database.sql("ALTER TABLE t ADD b int DEFAULT 2;").unwrap();
        assert_eq!(db.ask(star()).await.unwrap().columns().len(), 2);
        assert_eq!(db.shared.snapshot().schema_epoch, 2);
    });
}

#[test]
fn a_change_of_the_schema_through_us_is_known_before_any_statement_fails() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (a int)").await;
        let star = || Query::new("SELECT * FROM t");
        db.ask(star()).await.unwrap();
        let change = Transaction::new().then(Request::new("ALTER TABLE t ADD b int"));
        let epoch = db.shared.snapshot().schema_epoch;
        db.ask(change).await.unwrap();
        assert_eq!(db.shared.snapshot().schema_epoch, epoch + 1);
        assert_eq!(db.ask(star()).await.unwrap().columns().len(), 2);
        assert_eq!(db.shared.snapshot().schema_epoch, epoch + 1);
    });
}

#[test]
fn inside_a_transaction_a_changed_table_asks_for_another_run() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (a int)").await;
        let star = || TransactAsync::new(async |tx| tx.query("SELECT * FROM t", ()).await);
        db.ask(star()).await.unwrap();
        db.database.sql("ALTER TABLE t ADD b int;").unwrap();
        let failure = db.ask(star()).await.unwrap_err().failure();
        assert!(failure.is_transient() && failure.executed() == Executed::No, "{failure}");
        assert_eq!(db.ask(star()).await.unwrap().columns().len(), 2);
    });
}

async fn one(lane: &backstop_postgres::Postgres, is_read: bool) -> Result<(), crate::support::End> {
    if is_read {
        return ask(lane, &Query::new("SELECT * FROM t"), LONG).await.map(drop);
    }
    ask(lane, &Execute::new("UPDATE t SET a = a + 1 RETURNING *"), LONG).await.map(drop)
}

#[test]
fn reads_and_writes_go_on_while_the_schema_changes_again_and_again() {
    lane(async {
        let db = Db::with(|options| options.pool_size(4).max_overflow(0)).await;
        db.run("CREATE TABLE t (a int)").await;
        db.run("INSERT INTO t VALUES (1)").await;
        let load: Vec<_> = (0..6)
            .map(|at| {
                let lane = std::rc::Rc::clone(&db.lane);
                tokio::task::spawn_local(async move {
                    for _ in 0..60 {
                        // the guard repeats what did not happen and may pass
                        while let Err(end) = one(&lane, at % 2 == 0).await {
                            let failure = end.failure();
                            assert!(
                                failure.is_transient() && failure.executed() == Executed::No,
                                "{failure}"
                            );
                        }
                    }
                })
            })
            .collect();
        for at in 0..8 {
            db.ask(Execute::new(format!("ALTER TABLE t ADD c{at} int"))).await.unwrap();
            db.database.sql(&format!("ALTER TABLE t ADD d{at} int;")).unwrap();
        }
        for one in load {
            one.await.unwrap();
        }
        assert_eq!(db.ask(QueryAs::<i64>::new("SELECT a FROM t")).await.unwrap(), [181]);
        assert_eq!(db.shared.snapshot().closed_total.broken, 0);
    });
}

#[test]
fn a_reply_beyond_its_limit_is_cut_and_the_connection_is_used_again() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0).rows_max(100)).await;
        let rows = db.ask(Query::new("SELECT generate_series(1, 10000000)")).await.unwrap();
        assert!(rows.is_truncated() && rows.len() == 100, "{}", rows.len());
        assert_eq!(db.int("SELECT 1").await, 1);
        let typed = QueryAs::<i64>::new("SELECT generate_series(1, 101)");
        assert_failed(db.ask(typed).await, FailureKind::TooLarge, Executed::No);
        let wide = Db::with(|options| options.bytes_max(1 << 12)).await;
        let rows =
            wide.ask(Query::new("SELECT repeat('x', 1000) FROM generate_series(1, 50)")).await.unwrap();
        assert!(rows.is_truncated() && rows.len() < 4, "{}", rows.len());
    });
}

#[test]
fn a_parameter_that_does_not_fit_never_leaves_and_costs_no_connection() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (a int)").await;
        let wide = Execute::new("INSERT INTO t VALUES ($1)").bind(1_i64 << 40);
        assert_failed(db.ask(wide).await, FailureKind::Refused, Executed::No);
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
        assert_eq!(db.shared.snapshot().created_total, 1);
    });
}

#[test]
fn rows_that_were_written_are_counted_and_rows_that_were_read_are_not() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (a int)").await;
        for (sql, affected, rows) in [
            ("INSERT INTO t VALUES (1), (2), (3)", 3, None),
            ("UPDATE t SET a = 9 WHERE a > 1 RETURNING a", 2, Some(2)),
            (
                "WITH gone AS (DELETE FROM t WHERE a = 1 RETURNING a) INSERT INTO t SELECT 5 FROM gone",
                1,
                None,
            ),
            ("SELECT a FROM t", 0, Some(3)),
            ("WITH x AS (SELECT a FROM t) SELECT a FROM x", 0, Some(3)),
            ("MERGE INTO t USING (VALUES (5)) v(a) ON t.a = v.a WHEN MATCHED THEN DELETE", 1, None),
        ] {
            let written = db.ask(Execute::new(sql)).await.unwrap();
            assert_eq!((written.affected, written.rows.map(|rows| rows.len())), (affected, rows), "{sql}");
        }
    });
}

//! One statement, many callers, one commit.

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::{
    Synchronous,
    sql::{Execute, Params, QueryAs, Request, Transaction, Value},
};
use futures_util::future::join_all;

use crate::support::{Db, assert_failed, lane};

#[test]
fn a_write_is_read_back_with_every_type() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE all_types(i INTEGER, r REAL, t TEXT, b BLOB, n)").await;
        let insert = Execute::new("INSERT INTO all_types VALUES (?, ?, ?, ?, ?)")
            .bind(i64::MIN)
            .bind(0.1)
            .bind("grüße")
            .bind(vec![0_u8, 255])
            .bind(Value::Null);
        assert_eq!(db.ask(insert).await.unwrap().affected, 1);
        let rows =
            db.ask(QueryAs::<(i64, f64, String, Vec<u8>, Option<i64>)>::new("SELECT * FROM all_types")).await;
        assert_eq!(rows.unwrap(), [(i64::MIN, 0.1, "grüße".into(), vec![0, 255], None)]);
    });
}

#[test]
fn a_thousand_concurrent_writers_share_commits_and_never_see_busy() {
    lane(async {
        let db = Db::with(|options| options.synchronous(Synchronous::Full)).await;
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
        let before = db.shared.snapshot();
        let writes = (0..1_000).map(|v| db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)));
        let replies: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
        let mut ids: Vec<_> = replies.iter().map(|reply| reply.last_insert_id.unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=1_000).collect::<Vec<_>>());
        assert_eq!(db.count("t").await, 1_000);
        let after = db.shared.snapshot();
        let commits = after.commits_total - before.commits_total;
        assert_eq!(after.operations_total - before.operations_total, 1_000);
        assert!(commits <= 20, "{commits} commits for 1000 operations");
        assert_eq!(after.busy_total, 0);
    });
}

#[test]
fn each_answer_reaches_its_own_caller() {
    lane(async {
        let db = Db::with_table().await;
        let writes = (0..300).map(|v| {
            let db = &db;
            async move {
                let insert = Execute::new("INSERT INTO t(v) VALUES (?) RETURNING id, v").bind(v);
                let reply = db.ask(insert).await.unwrap();
                let rows = reply.rows.unwrap();
                assert_eq!(rows.get(0).unwrap()[1], Value::Int(v));
                assert_eq!(reply.last_insert_id, rows.get(0).unwrap()[0].as_int());
            }
        });
        join_all(writes).await;
    });
}

#[test]
fn an_id_of_another_callers_insert_is_never_reported() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE plain(k TEXT PRIMARY KEY, v) WITHOUT ROWID").await;
        db.run("INSERT INTO t(id, v) VALUES (77, 1)").await;
        for sql in [
            "INSERT INTO plain VALUES ('a', 1)",
            "INSERT OR IGNORE INTO t(v) VALUES (1)",
            "INSERT INTO t(v) VALUES (1) ON CONFLICT(v) DO UPDATE SET v = 1",
            "UPDATE t SET v = 2",
            "CREATE TABLE u(x)",
        ] {
            assert_eq!(db.ask(Execute::new(sql)).await.unwrap().last_insert_id, None, "{sql}");
        }
        let insert = db.ask(Execute::new("INSERT INTO t(v) VALUES (9)")).await.unwrap();
        assert_eq!(insert.last_insert_id, Some(78));
    });
}

#[test]
fn a_change_of_the_schema_affects_no_rows() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1), (2), (3)").await;
        assert_eq!(db.ask(Execute::new("CREATE TABLE u(x)")).await.unwrap().affected, 0);
        assert_eq!(db.ask(Execute::new("DELETE FROM t")).await.unwrap().affected, 3);
    });
}

#[test]
fn a_conflict_is_the_callers_and_says_so() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1)").await;
        let again = db.ask(Execute::new("INSERT INTO t(v) VALUES (1)")).await;
        let failure = assert_failed(again, FailureKind::Conflict, Executed::No);
        assert!(!failure.outcome().is_bad() && !failure.is_transient());
        assert_eq!(failure.code(), Some("2067"));
        assert!(failure.message().contains("t.v"), "{failure}");
    });
}

#[test]
fn a_long_returning_is_cut_off_but_executed_in_full() {
    lane(async {
        let db = Db::with_table().await;
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
                      INSERT INTO t(v) SELECT i FROM n RETURNING v";
        let reply = db.ask(Execute::new(insert).limit_rows(10)).await.unwrap();
        let rows = reply.rows.unwrap();
        assert_eq!((rows.len(), rows.is_truncated(), reply.affected), (10, true, 50));
        assert_eq!(db.count("t").await, 50);
    });
}

#[test]
fn a_list_takes_effect_as_a_whole_or_not_at_all() {
    lane(async {
        let db = Db::with_table().await;
        let good = Transaction::new()
            .then(Request::with_params("INSERT INTO t(v) VALUES (?)", [1]))
            .then(Request::new("SELECT count(*) FROM t"))
            .then(Request::with_params("UPDATE t SET v = :new WHERE v = 1", Params::named([("new", 5)])));
        let replies = db.ask(good).await.unwrap();
        assert_eq!(replies[1].rows.as_ref().unwrap().get(0).unwrap()[0], Value::Int(1));
        assert_eq!(replies[2].affected, 1);
        let bad = Transaction::new()
            .then(Request::new("INSERT INTO t(v) VALUES (6)"))
            .then(Request::new("INSERT INTO t(v) VALUES (5)"));
        let failure = assert_failed(db.ask(bad).await, FailureKind::Conflict, Executed::No);
        assert!(failure.message().starts_with("statement 1:"), "{failure}");
        assert_eq!(db.values().await, [5]);
    });
}

#[test]
fn maintenance_runs_outside_every_transaction() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        let insert = db.start(crate::support::LONG, Execute::new("INSERT INTO t(v) VALUES (1)")).await;
        let vacuum = db.start(crate::support::LONG, Execute::new("VACUUM")).await;
        let pragma = db.start(crate::support::LONG, Execute::new("PRAGMA user_version = 7")).await;
        let last = db.start(crate::support::LONG, Execute::new("INSERT INTO t(v) VALUES (2)")).await;
        drop(hold);
        for task in [insert, vacuum, pragma, last] {
            task.await.unwrap().unwrap();
        }
        assert_eq!(db.ask(QueryAs::<i64>::new("PRAGMA user_version")).await.unwrap(), [7]);
        assert_eq!(db.values().await, [1, 2]);
        let into = db.ask(Execute::new("ATTACH 'x' AS y")).await;
        assert_failed(into, FailureKind::Refused, Executed::No);
    });
}

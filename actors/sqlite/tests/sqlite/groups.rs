//! One member's failure never sinks its neighbours, and nobody is answered twice.

use std::time::Duration;

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::sql::{Execute, Request, Transaction};

use crate::support::{Db, End, LONG, assert_failed, lane};

fn insert(v: i64) -> Execute {
    Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)
}

/// An insert that never ends by itself.
fn endless() -> Execute {
    Execute::new(
        "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000)
         SELECT i FROM n WHERE i < 1010 OR i % 1000000000 = 0",
    )
}

#[test]
fn a_constraint_error_undoes_its_own_statement_alone() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        let mut tasks = Vec::new();
        for v in [1, 2, 2, 3] {
            tasks.push(db.start(LONG, insert(v)).await);
        }
        drop(hold);
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        let failed = results.remove(2);
        assert_failed(failed, FailureKind::Conflict, Executed::No);
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(db.values().await, [1, 2, 3]);
        assert_eq!(db.shared.snapshot().group_largest, 3);
    });
}

#[test]
fn a_failed_list_is_undone_while_its_neighbours_stay() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        let first = db.start(LONG, insert(1)).await;
        let list = Transaction::new()
            .then(Request::new("INSERT INTO t(v) VALUES (10)"))
            .then(Request::new("INSERT INTO t(v) VALUES (1)"));
        let list = db.start(LONG, list).await;
        let last = db.start(LONG, insert(2)).await;
        drop(hold);
        assert!(first.await.unwrap().is_ok() && last.await.unwrap().is_ok());
        assert_failed(list.await.unwrap(), FailureKind::Conflict, Executed::No);
        assert_eq!(db.values().await, [1, 2]);
    });
}

#[test]
fn an_interrupted_member_is_rolled_back_and_the_others_are_run_again() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        let first = db.start(LONG, insert(1)).await;
        let stuck = db.start(Duration::from_millis(300), endless()).await;
        let last = db.start(LONG, insert(2)).await;
        drop(hold);
        let failure = assert_failed(stuck.await.unwrap(), FailureKind::Timeout, Executed::No);
        assert_eq!(failure.code(), Some("9"));
        let ids =
            [first.await.unwrap().unwrap(), last.await.unwrap().unwrap()].map(|reply| reply.last_insert_id);
        assert_eq!(ids, [Some(1), Some(2)]);
        assert_eq!(db.values().await, [1, 2]);
        assert_eq!(db.shared.snapshot().reruns_total, 1);
    });
}

#[test]
fn statements_that_end_the_transaction_take_nobody_with_them() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE strict(k UNIQUE ON CONFLICT ROLLBACK)").await;
        db.run("INSERT INTO strict VALUES (1)").await;
        db.run("CREATE TABLE guarded(k)").await;
        db.run("CREATE TRIGGER g BEFORE INSERT ON guarded BEGIN SELECT RAISE(ROLLBACK, 'no'); END").await;
        let hold = db.hold_writer().await;
        let first = db.start(LONG, insert(1)).await;
        let culprits = [
            db.start(LONG, Execute::new("INSERT INTO strict VALUES (1)")).await,
            db.start(LONG, Execute::new("INSERT OR ROLLBACK INTO t(v) VALUES (1)")).await,
            db.start(LONG, Execute::new("INSERT INTO guarded VALUES (1)")).await,
        ];
        let last = db.start(LONG, insert(2)).await;
        drop(hold);
        for culprit in culprits {
            assert_failed(culprit.await.unwrap(), FailureKind::Conflict, Executed::No);
        }
        assert!(first.await.unwrap().is_ok() && last.await.unwrap().is_ok());
        assert_eq!(db.values().await, [1, 2]);
    });
}

#[test]
fn a_deferred_foreign_key_fails_its_own_member_at_the_commit() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE child(p REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)").await;
        let hold = db.hold_writer().await;
        let first = db.start(LONG, insert(1)).await;
        let orphan = db.start(LONG, Execute::new("INSERT INTO child VALUES (999)")).await;
        let orphans = Transaction::new().then(Request::new("INSERT INTO child VALUES (998)"));
        let orphans = db.start(LONG, orphans).await;
        let last = db.start(LONG, insert(2)).await;
        drop(hold);
        assert_failed(orphan.await.unwrap(), FailureKind::Conflict, Executed::No);
        assert_failed(orphans.await.unwrap(), FailureKind::Conflict, Executed::No);
        assert!(first.await.unwrap().is_ok() && last.await.unwrap().is_ok());
        assert_eq!((db.values().await, db.count("child").await), (vec![1, 2], 0));
    });
}

#[test]
fn rows_that_on_conflict_fail_keeps_are_reported_as_executed() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (2)").await;
        let partly = || Execute::new("INSERT OR FAIL INTO t(v) VALUES (?), (2)");
        assert_failed(db.ask(partly().bind(1)).await, FailureKind::Conflict, Executed::Yes);
        let hold = db.hold_writer().await;
        let grouped = db.start(LONG, partly().bind(3)).await;
        let neighbour = db.start(LONG, insert(4)).await;
        drop(hold);
        assert_failed(grouped.await.unwrap(), FailureKind::Conflict, Executed::Yes);
        assert!(neighbour.await.unwrap().is_ok());
        assert_eq!(db.values().await, [1, 2, 3, 4]);
    });
}

#[test]
fn a_queued_write_whose_deadline_passes_was_never_sent_and_never_runs() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        let expired = db.ask_in(Duration::from_millis(50), insert(1)).await;
        assert!(matches!(expired, Err(End::Dropped { sent: false })), "{expired:?}");
        let dropped = db.start(LONG, insert(2)).await;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());
        drop(hold);
        db.ask(insert(3)).await.unwrap();
        assert_eq!(db.values().await, [3]);
    });
}

#[test]
fn a_caller_that_leaves_stops_its_running_write() {
    lane(async {
        let db = Db::with_table().await;
        let running = db.start(LONG, endless()).await;
        // the next write can only be answered once the running one has been interrupted
        while db.shared.snapshot().writes_waiting > 0 {
            tokio::task::yield_now().await;
        }
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        db.ask_in(Duration::from_secs(5), insert(1)).await.unwrap();
        assert_eq!(db.values().await, [1]);
    });
}

#[test]
fn a_write_that_outlives_its_deadline_is_proved_rolled_back() {
    lane(async {
        let db = Db::with_table().await;
        let started = std::time::SystemTime::now();
        let late = db.ask_in(Duration::from_millis(200), endless()).await;
        assert_failed(late, FailureKind::Timeout, Executed::No);
        assert!(started.elapsed().unwrap() < Duration::from_millis(400));
        assert_eq!(db.count("t").await, 0);
    });
}

#[test]
fn everyone_is_answered_once_while_members_fail_and_new_ones_arrive() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE child(p REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)").await;
        let callers = (0..64_i64).map(|caller| {
            let db = &db;
            async move {
                let mut acknowledged = Vec::new();
                for round in 0..20 {
                    let v = caller * 100 + round;
                    let kind = (caller + round) % 8;
                    let result = match kind {
                        0 => {
                            db.ask(Execute::new(
                                "INSERT OR ROLLBACK INTO t(id, v) VALUES (0, NULL), (0, NULL)",
                            ))
                            .await
                        }
                        1 => db.ask(Execute::new("INSERT INTO child VALUES (-1)")).await,
                        2 => db.ask_in(Duration::from_millis(20), endless()).await,
                        _ => db.ask(insert(v)).await,
                    };
                    match result {
                        Ok(_) => acknowledged.push(v),
                        Err(End::Failed(failure)) => {
                            assert_eq!(failure.executed(), Executed::No, "{failure}")
                        }
                        // a busy machine may settle the endless one too late; it is in doubt, and never in the table
                        Err(End::Dropped { sent }) => assert!(kind == 2 || !sent),
                    }
                }
                acknowledged
            }
        });
        let mut acknowledged: Vec<i64> = futures_util::future::join_all(callers).await.concat();
        acknowledged.sort_unstable();
        assert_eq!(db.values().await, acknowledged);
        assert_eq!((acknowledged.len(), db.count("child").await), (64 * 20 * 5 / 8, 0));
    });
}

//! How transactions run: isolation, read-only, the wait for a lock; and how many rows a statement must hit.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_sqlite::sql::{
    AsyncTx, Execute, Isolation, Request, Transact, TransactAsync, Transaction, Tx, TxOptions,
};

use crate::support::{Db, LONG, assert_failed, lane};

const INSERT: &str = "INSERT INTO t(v) VALUES (1)";

#[test]
fn every_isolation_is_accepted_because_sqlite_is_always_serializable() {
    lane(async {
        let db = Db::with_table().await;
        for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable] {
            let options = TxOptions::new().isolation(isolation).deferrable();
            let list = Transaction::new().then(Request::new("INSERT INTO t(v) VALUES (NULL)"));
            db.ask(list.with_options(options)).await.unwrap();
            let closure = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
                tx.execute("INSERT INTO t(v) VALUES (NULL)", ()).await
            });
            db.ask(closure.with_options(options)).await.unwrap();
        }
        assert_eq!(db.count("t").await, 6);
    });
}

#[test]
fn a_read_only_transaction_refuses_to_write_and_holds_up_no_writer() {
    lane(async {
        let db = Db::with_table().await;
        let options = TxOptions::new().read_only();
        let list = Transaction::new().then(Request::new(INSERT)).with_options(options);
        let closure = Transact::new(|tx: &mut Tx<'_>| tx.execute(INSERT, ())).with_options(options);
        let awaiting = TransactAsync::new(async |tx: &mut AsyncTx<'_>| tx.execute(INSERT, ()).await);
        for result in [
            db.ask(list).await.map(drop),
            db.ask(closure).await.map(drop),
            db.ask(awaiting.with_options(options)).await.map(drop),
        ] {
            let failure = assert_failed(result, FailureKind::Refused, Executed::No);
            assert_eq!(failure.code(), Some("read_only_transaction"));
        }
        let hold = db.hold_writer().await;
        let count = || Request::new("SELECT count(*) AS n FROM t");
        let list = Transaction::new().then(count()).then(count()).with_options(options);
        assert_eq!(db.ask(list).await.unwrap().len(), 2);
        let report = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.query_as::<i64>("SELECT count(*) FROM t", ()).await
        });
        assert_eq!(db.ask(report.with_options(options)).await.unwrap(), [0]);
        drop(hold);
        db.run(INSERT).await;
    });
}

#[test]
fn a_read_only_transaction_sees_one_state_from_its_first_statement_on() {
    lane(async {
        let db = Db::with_table().await;
        let other = std::sync::Arc::clone(&db.shared);
        let lane = std::sync::Arc::new(tokio::sync::Mutex::new(Vec::<i64>::new()));
        let (seen, ready) = (std::sync::Arc::clone(&lane), std::sync::Arc::new(tokio::sync::Notify::new()));
        let (first_read, written) =
            (std::sync::Arc::clone(&ready), std::sync::Arc::new(tokio::sync::Notify::new()));
        let go_on = std::sync::Arc::clone(&written);
        let report = TransactAsync::new(async move |tx: &mut AsyncTx<'_>| {
            for _ in 0..2 {
                let count: Vec<i64> = tx.query_as("SELECT count(*) FROM t", ()).await?;
                seen.lock().await.push(count[0]);
                first_read.notify_one();
                go_on.notified().await;
            }
            Ok(())
        });
        let report = db.start(LONG, report.with_options(TxOptions::new().read_only())).await;
        ready.notified().await;
        db.run(INSERT).await;
        written.notify_one();
        ready.notified().await;
        written.notify_one();
        report.await.unwrap().unwrap();
        assert_eq!(*lane.lock().await, [0, 0]);
        assert_eq!(other.snapshot().commits_total, 2);
    });
}

#[test]
fn a_lock_timeout_bounds_the_wait_for_another_process() {
    lane(async {
        let db = Db::with_table().await;
        let stranger = db.stranger();
        stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
        let options = TxOptions::new().lock_timeout(Duration::from_millis(50));
        let list = Transaction::new().then(Request::new(INSERT)).with_options(options);
        let closure = Transact::new(|tx: &mut Tx<'_>| tx.execute(INSERT, ())).with_options(options);
        let awaiting = TransactAsync::new(async |tx: &mut AsyncTx<'_>| tx.execute(INSERT, ()).await);
        let started = clock::now();
        for result in [
            db.ask(list).await.map(drop),
            db.ask(closure).await.map(drop),
            db.ask(awaiting.with_options(options)).await.map(drop),
        ] {
            assert_failed(result, FailureKind::Aborted, Executed::No);
        }
        // three waits of 50 ms, and not of the 5 s that the backend waits by default
        assert!(clock::now() - started < Duration::from_secs(4));
        stranger.execute_batch("ROLLBACK").unwrap();
        db.run(INSERT).await;
    });
}

#[test]
fn a_wrong_row_count_rolls_its_list_back_and_nothing_else() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1), (2)").await;
        let hold = db.hold_writer().await;
        let before = db.start(LONG, Execute::new("INSERT INTO t(v) VALUES (3)")).await;
        let list = Transaction::new()
            .then(Request::new("INSERT INTO t(v) VALUES (10)").expecting(1))
            .then(Request::new("UPDATE t SET v = v + 100 WHERE v < 3").expecting(..=1));
        let list = db.start(LONG, list).await;
        let after = db.start(LONG, Execute::new("INSERT INTO t(v) VALUES (4)")).await;
        drop(hold);
        let failure = assert_failed(list.await.unwrap(), FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("wrong_row_count"));
        assert!(
            failure.message().contains("statement 1") && failure.message().contains("at most 1"),
            "{failure}"
        );
        before.await.unwrap().unwrap();
        after.await.unwrap().unwrap();
        assert_eq!(db.values().await, [1, 2, 3, 4]);
    });
}

#[test]
fn a_single_statement_may_say_how_many_rows_it_must_hit() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1), (2)").await;
        let update = |sql| Execute::from(Request::new(sql).expecting(1));
        let failure = db.ask(update("DELETE FROM t")).await;
        assert_failed(failure, FailureKind::Refused, Executed::No);
        assert_eq!(db.ask(update("DELETE FROM t WHERE v = 1")).await.unwrap().affected, 1);
        assert_failed(db.ask(update("DELETE FROM t WHERE v = 1")).await, FailureKind::Refused, Executed::No);
        assert_eq!(db.values().await, [2]);
    });
}

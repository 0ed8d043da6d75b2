//! Deadlocks and lock waits: a definite abort, and never half of a transaction.

use std::{sync::Arc, time::Duration};

use backstop_core::error::{Executed, FailureKind};
use backstop_mysql::sql::{Execute, QueryAs, TransactAsync, TxOptions};
use tokio::sync::{Barrier, Notify};

use crate::support::{Db, LONG, assert_failed, lane};

async fn two_rows() -> Db<'static> {
    filled(Db::new().await).await
}

async fn filled(db: Db<'static>) -> Db<'static> {
    db.make_table();
    db.run("ALTER TABLE t DROP INDEX v").await;
    db.run("INSERT INTO t VALUES (1, 0), (2, 0)").await;
    db
}

/// Sets one row to `mark`, waits for the other transaction to have done so, and goes for the other row.
fn crossing(mark: i64, barrier: &Arc<Barrier>) -> TransactAsync<()> {
    let barrier = Arc::clone(barrier);
    TransactAsync::new(async move |tx| {
        tx.execute("UPDATE t SET v = ? WHERE id = ?", (mark, mark)).await?;
        barrier.wait().await;
        tx.execute("UPDATE t SET v = ? WHERE id = ?", (mark, 3 - mark)).await?;
        Ok(())
    })
}

#[test]
fn of_two_transactions_in_a_deadlock_one_is_aborted_as_a_whole_and_one_commits() {
    lane(async {
        let db = two_rows().await;
        let barrier = Arc::new(Barrier::new(2));
        let (one, two) = (db.start(LONG, crossing(1, &barrier)), db.start(LONG, crossing(2, &barrier)));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        let (winner, loser) = if one.is_ok() { (1, two) } else { (2, one) };
        let failure = assert_failed(loser, FailureKind::Aborted, Executed::No);
        assert!(failure.is_transient() && failure.code() == Some("1213/40001"), "{failure}");
        let values = db.ask(QueryAs::<i64>::new("SELECT v FROM t ORDER BY id")).await.unwrap();
        assert_eq!(values, [winner, winner]);
    });
}

/// Holds a lock on row 1 until it is told to end.
fn holding(db: &Db<'static>, locked: &Arc<Notify>, end: &Arc<Notify>) -> tokio::task::JoinHandle<()> {
    let (locked, end) = (Arc::clone(locked), Arc::clone(end));
    let closure = TransactAsync::new(async move |tx| {
        tx.execute("UPDATE t SET v = 7 WHERE id = 1", ()).await?;
        locked.notify_one();
        end.notified().await;
        Ok(())
    });
    let call = db.start(LONG, closure);
    tokio::task::spawn_local(async move { call.await.unwrap().unwrap() })
}

#[test]
fn a_lock_that_does_not_come_free_aborts_the_statement_and_never_commits_the_rest() {
    lane(async {
        let db = two_rows().await;
        let (locked, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let holder = holding(&db, &locked, &end);
        locked.notified().await;
        // the server undoes the one statement alone; a closure that goes on must not commit what is left
        let closure = TransactAsync::new(async |tx| {
            tx.execute("INSERT INTO t VALUES (3, 3)", ()).await?;
            assert!(tx.execute("UPDATE t SET v = 8 WHERE id = 1", ()).await.is_err());
            Ok(())
        });
        let options = TxOptions::new().lock_timeout(Duration::from_secs(1));
        let failure =
            assert_failed(db.ask(closure.with_options(options)).await, FailureKind::Aborted, Executed::No);
        assert!(failure.is_transient() && failure.code() == Some("1205/HY000"), "{failure}");
        end.notify_one();
        holder.await.unwrap();
        assert_eq!(db.ids().await, [1, 2]);
        let values = db.ask(QueryAs::<i64>::new("SELECT v FROM t ORDER BY id")).await.unwrap();
        assert_eq!(values, [7, 0]);
    });
}

#[test]
fn a_write_that_waits_for_a_lock_is_killed_when_its_caller_goes_away() {
    lane(async {
        let db = two_rows().await;
        let (locked, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let holder = holding(&db, &locked, &end);
        locked.notified().await;
        let waits = db.start(LONG, Execute::new("UPDATE t SET v = 9 WHERE id = 1"));
        crate::support::until("the wait", async || db.sessions_with("SET v = 9") == 1).await;
        waits.abort();
        crate::support::until("its end on the server", async || db.sessions_with("SET v = 9") == 0).await;
        end.notify_one();
        holder.await.unwrap();
        let values = db.ask(QueryAs::<i64>::new("SELECT v FROM t ORDER BY id")).await.unwrap();
        assert_eq!(values, [7, 0]);
    });
}

#[test]
fn a_wait_for_a_lock_ends_at_its_ceiling() {
    lane(async {
        let db = filled(Db::with(|options| options.lock_timeout(Duration::from_secs(1))).await).await;
        let (locked, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let holder = holding(&db, &locked, &end);
        locked.notified().await;
        // a row, and the definition of the table
        for sql in ["UPDATE t SET v = 9 WHERE id = 1", "ALTER TABLE t ADD COLUMN w INT"] {
            let failure = assert_failed(db.ask(Execute::new(sql)).await, FailureKind::Aborted, Executed::No);
            assert_eq!(failure.code(), Some("1205/HY000"), "{sql}: {failure}");
        }
        end.notify_one();
        holder.await.unwrap();
        let values = db.ask(QueryAs::<i64>::new("SELECT v FROM t ORDER BY id")).await.unwrap();
        assert_eq!(values, [7, 0]);
    });
}

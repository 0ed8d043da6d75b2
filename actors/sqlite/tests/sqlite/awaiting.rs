//! Transactions whose closures await.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backstop_core::{
    backend::Serve as _,
    call::{CallContext, Deadline, OpId},
    clock,
    error::{Executed, FailureKind},
};
use backstop_sqlite::sql::{AsyncTx, Execute, Params, Request, TransactAsync, TxError};
use tokio::sync::Notify;

use crate::support::{Db, ENDLESS, End, LONG, assert_failed, lane};

fn insert(v: i64) -> Execute {
    Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)
}

/// A closure that writes, says so, and then waits for ever.
fn stuck(entered: Arc<Notify>) -> TransactAsync<()> {
    TransactAsync::new(async move |tx: &mut AsyncTx<'_>| {
        tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
        entered.notify_one();
        std::future::pending::<()>().await;
        Ok(())
    })
}

#[test]
fn an_awaiting_closure_reads_its_own_writes_and_commits() {
    lane(async {
        let db = Db::with_table().await;
        let double = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (?)", [21]).await?;
            tokio::task::yield_now().await;
            let seen: Vec<i64> = tx.query_as("SELECT v FROM t", ()).await?;
            tx.execute("UPDATE t SET v = :v", Params::named([("v", seen[0] * 2)])).await?;
            Ok(seen[0])
        });
        assert_eq!(db.ask(double).await.unwrap(), 21);
        assert_eq!(db.values().await, [42]);
    });
}

#[test]
fn an_awaiting_closure_that_gives_up_or_panics_leaves_nothing() {
    lane(async {
        let db = Db::with_table().await;
        let given_up = TransactAsync::new(async |tx: &mut AsyncTx<'_>| -> Result<(), TxError> {
            tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
            Err(TxError::abort("out of stock"))
        });
        let failure = assert_failed(db.ask(given_up).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("given_up"));
        let panics = TransactAsync::new(async |tx: &mut AsyncTx<'_>| -> Result<(), TxError> {
            tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
            panic!("a bug of the caller");
        });
        assert_failed(db.ask(panics).await, FailureKind::CallerPanicked, Executed::No);
        db.run("INSERT INTO t(v) VALUES (2)").await;
        assert_eq!(db.values().await, [2]);
        assert_eq!(db.shared.snapshot().connections_total, 2, "the writer's connection was sound");
    });
}

#[test]
fn a_caller_that_goes_away_has_its_transaction_rolled_back_at_once() {
    lane(async {
        let db = Db::with(|options| options.transaction_idle(Duration::from_secs(60))).await;
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
        let entered = Arc::new(Notify::new());
        let held = db.start(LONG, stuck(Arc::clone(&entered))).await;
        entered.notified().await;
        let neighbour = db.start(LONG, insert(1)).await;
        held.abort();
        assert!(held.await.unwrap_err().is_cancelled());
        // with the uncommitted row in place this would be a conflict, and the idle limit is a minute
        neighbour.await.unwrap().unwrap();
        assert_eq!(db.values().await, [1]);
    });
}

#[test]
fn a_caller_that_leaves_before_the_commit_has_sent_nothing_that_lasts() {
    lane(async {
        let db = Db::with_table().await;
        let entered = Arc::new(Notify::new());
        let (held, call) =
            (stuck(Arc::clone(&entered)), CallContext::new(OpId::next(), Deadline::after(LONG)));
        let served = db.lane.serve(&held, &call);
        tokio::select! {
            ended = served => panic!("{ended:?}"),
            () = entered.notified() => {}
        }
        assert!(!call.was_sent(), "its fate is known: it was not executed");
        db.ask(insert(1)).await.unwrap();
        assert_eq!(db.values().await, [1]);
    });
}

#[test]
fn neighbours_wait_for_an_awaiting_transaction_and_are_not_lost() {
    lane(async {
        let db = Db::with_table().await;
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, released) = (Arc::clone(&entered), Arc::clone(&release));
        let held = TransactAsync::new(async move |tx: &mut AsyncTx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (0)", ()).await?;
            enter.notify_one();
            released.notified().await;
            Ok(())
        });
        let held = db.start(LONG, held).await;
        entered.notified().await;
        let mut neighbours = Vec::new();
        for v in 1..=20 {
            neighbours.push(db.start(LONG, insert(v)).await);
        }
        let late = db.ask_in(Duration::from_millis(30), insert(99)).await;
        assert!(matches!(late, Err(End::Dropped { sent: false })), "{late:?}");
        // readers see what was committed, and wait for nobody
        assert!(db.values().await.is_empty());
        release.notify_one();
        held.await.unwrap().unwrap();
        for neighbour in neighbours {
            neighbour.await.unwrap().unwrap();
        }
        assert_eq!(db.values().await, (0..=20).collect::<Vec<_>>());
    });
}

#[test]
fn an_idle_awaiting_closure_is_ended_while_it_waits() {
    lane(async {
        let db = Db::with(|options| options.transaction_idle(Duration::from_millis(20))).await;
        db.run("CREATE TABLE t(v)").await;
        let idle = stuck(Arc::default());
        let failure = assert_failed(db.ask(idle).await, FailureKind::Aborted, Executed::No);
        assert!(failure.message().contains("idle") && !failure.is_transient(), "{failure}");
        assert_eq!(db.count("t").await, 0);
    });
}

#[test]
fn an_awaiting_closure_ends_at_its_deadline_in_a_statement_or_between_two() {
    lane(async {
        let db = Db::with_table().await;
        let waits = db.ask_patiently(Duration::from_millis(100), stuck(Arc::default())).await;
        assert_failed(waits, FailureKind::Timeout, Executed::No);
        let counts = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
            tx.execute(ENDLESS, ()).await.map(drop)
        });
        let counts = db.ask_patiently(Duration::from_millis(100), counts).await;
        assert_failed(counts, FailureKind::Timeout, Executed::No);
        db.ask(insert(2)).await.unwrap();
        assert_eq!(db.values().await, [2]);
    });
}

#[test]
fn a_statement_that_the_closure_drops_ends_its_transaction() {
    lane(async {
        let db = Db::with_table().await;
        let impatient = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
            let dropped = tokio::time::timeout(Duration::from_millis(20), tx.execute(ENDLESS, ())).await;
            assert!(dropped.is_err());
            let refused = tx.execute("INSERT INTO t(v) VALUES (2)", ()).await;
            assert!(refused.is_err());
            Ok(())
        });
        let started = clock::now();
        let failure = assert_failed(db.ask(impatient).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("statement_dropped"));
        assert!(clock::now() - started < LONG / 2, "the statement ran on to the deadline");
        db.ask(insert(3)).await.unwrap();
        assert_eq!(db.values().await, [3]);
    });
}

#[test]
fn a_savepoint_undoes_its_part_and_the_hooks_of_it() {
    lane(async {
        let db = Db::with_table().await;
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&ran);
        let nested = TransactAsync::new(async move |tx: &mut AsyncTx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
            let (outer, inner) = (Arc::clone(&counter), Arc::clone(&counter));
            tx.after_commit(move || {
                outer.fetch_add(1, Ordering::Relaxed);
            });
            let undone = tx
                .savepoint(async |tx| {
                    tx.execute("INSERT INTO t(v) VALUES (2)", ()).await?;
                    tx.after_commit(move || {
                        inner.fetch_add(100, Ordering::Relaxed);
                    });
                    tx.execute("INSERT INTO t(v) VALUES (1)", ()).await
                })
                .await;
            let kept = tx
                .savepoint(async |tx| {
                    tx.execute("INSERT INTO t(v) VALUES (3)", ()).await?;
                    tx.savepoint(async |tx| tx.execute("INSERT INTO t(v) VALUES (4)", ()).await).await
                })
                .await;
            Ok((undone.is_err(), kept.is_ok()))
        });
        assert_eq!(db.ask(nested).await.unwrap(), (true, true));
        assert_eq!(db.values().await, [1, 3, 4]);
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn hooks_run_after_a_proven_commit_alone() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE child(p REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)").await;
        let ran = Arc::new(AtomicUsize::new(0));
        let hooked = |sql: &'static str| {
            let ran = Arc::clone(&ran);
            TransactAsync::new(async move |tx: &mut AsyncTx<'_>| {
                tx.after_commit(|| panic!("a bug in a hook"));
                let ran = Arc::clone(&ran);
                tx.after_commit(move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                });
                tx.execute(sql, ()).await.map(drop)
            })
        };
        // the first fails in its statement, the second at its COMMIT
        assert_failed(
            db.ask(hooked("INSERT INTO t(id) VALUES ('x')")).await,
            FailureKind::Refused,
            Executed::No,
        );
        assert_failed(
            db.ask(hooked("INSERT INTO child VALUES (9)")).await,
            FailureKind::Conflict,
            Executed::No,
        );
        assert_eq!(ran.load(Ordering::Relaxed), 0);
        db.ask(hooked("INSERT INTO t(v) VALUES (1)")).await.unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1, "the hook that panicked takes no other with it");
        assert_eq!(db.values().await, [1]);
    });
}

#[test]
fn an_awaiting_closure_may_say_how_many_rows_a_statement_must_hit() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1), (2)").await;
        let too_many = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.run(&Request::new("DELETE FROM t").expecting(1)).await.map(drop)
        });
        let failure = assert_failed(db.ask(too_many).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("wrong_row_count"));
        assert_eq!(db.values().await, [1, 2]);
    });
}

#[test]
fn what_has_no_place_in_a_transaction_is_refused_in_an_awaiting_one() {
    lane(async {
        let db = Db::with_table().await;
        for sql in ["COMMIT", "SAVEPOINT a", "PRAGMA user_version", "VACUUM"] {
            let sneaky =
                TransactAsync::new(async move |tx: &mut AsyncTx<'_>| tx.execute(sql, ()).await.map(drop));
            assert_failed(db.ask(sneaky).await, FailureKind::Refused, Executed::No);
        }
        let stubborn = TransactAsync::new(async |tx: &mut AsyncTx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ()).await?;
            let _ = tx.execute("INSERT OR ROLLBACK INTO t(v) VALUES (1)", ()).await;
            let _ = tx.execute("INSERT INTO t(v) VALUES (3)", ()).await;
            Ok(())
        });
        assert_failed(db.ask(stubborn).await, FailureKind::Aborted, Executed::No);
        assert!(db.values().await.is_empty());
    });
}

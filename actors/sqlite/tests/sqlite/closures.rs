//! Transactions as closures.

use std::time::Duration;

use backstop_core::error::{Executed, FailureKind};
use backstop_sqlite::sql::{Execute, Transact, Tx, TxError};

use crate::support::{Db, ENDLESS, assert_failed, lane};

#[test]
fn a_closure_reads_its_own_writes_and_commits() {
    lane(async {
        let db = Db::with_table().await;
        let double = Transact::new(|tx: &mut Tx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (?)", [21])?;
            let seen: Vec<i64> = tx.query_as("SELECT v FROM t", ())?;
            tx.execute("UPDATE t SET v = :v", backstop_sqlite::sql::Params::named([("v", seen[0] * 2)]))?;
            Ok(seen[0])
        });
        assert_eq!(db.ask(double).await.unwrap(), 21);
        assert_eq!(db.values().await, [42]);
    });
}

#[test]
fn a_closure_that_gives_up_leaves_nothing() {
    lane(async {
        let db = Db::with_table().await;
        let given_up = Transact::new(|tx: &mut Tx<'_>| -> Result<(), TxError> {
            tx.execute("INSERT INTO t(v) VALUES (1)", ())?;
            Err(TxError::abort("out of stock"))
        });
        let failure = assert_failed(db.ask(given_up).await, FailureKind::Refused, Executed::No);
        assert!(failure.message().contains("out of stock"));
        assert_eq!(failure.code(), Some("given_up"));
        assert!(db.values().await.is_empty());
    });
}

#[test]
fn a_closure_that_panics_ends_its_own_call_alone() {
    lane(async {
        let db = Db::with_table().await;
        let panics = Transact::new(|tx: &mut Tx<'_>| -> Result<(), TxError> {
            tx.execute("INSERT INTO t(v) VALUES (1)", ())?;
            panic!("a bug of the caller");
        });
        assert_failed(db.ask(panics).await, FailureKind::CallerPanicked, Executed::No);
        db.run("INSERT INTO t(v) VALUES (2)").await;
        assert_eq!(db.values().await, [2]);
    });
}

#[test]
fn a_handled_error_lets_a_closure_go_on() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1)").await;
        let upsert = Transact::new(|tx: &mut Tx<'_>| {
            let clash = tx.execute("INSERT INTO t(v) VALUES (1)", ()).is_err();
            tx.execute("INSERT INTO t(v) VALUES (2)", ())?;
            Ok(clash)
        });
        assert!(db.ask(upsert).await.unwrap());
        assert_eq!(db.values().await, [1, 2]);
    });
}

#[test]
fn nothing_runs_outside_a_transaction_that_an_error_has_ended() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1)").await;
        let stubborn = Transact::new(|tx: &mut Tx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (2)", ())?;
            let _ = tx.execute("INSERT OR ROLLBACK INTO t(v) VALUES (1)", ());
            let _ = tx.execute("INSERT INTO t(v) VALUES (3)", ());
            Ok(())
        });
        assert_failed(db.ask(stubborn).await, FailureKind::Aborted, Executed::No);
        assert_eq!(db.values().await, [1]);
    });
}

#[test]
fn transaction_control_is_refused_inside_a_closure() {
    lane(async {
        let db = Db::with_table().await;
        for sql in ["COMMIT", "SAVEPOINT a", "PRAGMA user_version", "VACUUM"] {
            let sneaky = Transact::new(move |tx: &mut Tx<'_>| tx.execute(sql, ()).map(drop));
            assert_failed(db.ask(sneaky).await, FailureKind::Refused, Executed::No);
        }
    });
}

#[test]
fn an_idle_closure_is_rolled_back() {
    lane(async {
        let db = Db::with(|options| options.transaction_idle(Duration::from_millis(20))).await;
        db.run("CREATE TABLE t(v)").await;
        let idle = Transact::new(|tx: &mut Tx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ())?;
            std::thread::park_timeout(Duration::from_millis(60));
            Ok(())
        });
        let failure = assert_failed(db.ask(idle).await, FailureKind::Aborted, Executed::No);
        assert!(failure.message().contains("idle"), "{failure}");
        assert_eq!(db.count("t").await, 0);
    });
}

#[test]
fn a_closure_is_interrupted_at_its_deadline() {
    lane(async {
        let db = Db::with_table().await;
        let late = Transact::new(|tx: &mut Tx<'_>| {
            tx.execute("INSERT INTO t(v) VALUES (1)", ())?;
            tx.execute(ENDLESS, ()).map(drop)
        });
        assert_failed(db.ask_in(Duration::from_millis(100), late).await, FailureKind::Timeout, Executed::No);
        db.ask(Execute::new("INSERT INTO t(v) VALUES (2)")).await.unwrap();
        assert_eq!(db.values().await, [2]);
    });
}

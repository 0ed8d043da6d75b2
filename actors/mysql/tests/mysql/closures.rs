//! Closures that await: savepoints, hooks, panics, and a commit whose answer is lost.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use backstop_core::error::{Executed, FailureKind};
use backstop_mysql::sql::{TransactAsync, TxError};
use backstop_testkit::{
    proxy::{Direction, Fault, Proxy},
    server::MariaDb,
};

use tokio::sync::Notify;

use crate::support::{Db, assert_failed, lane, until};

#[test]
fn a_closure_commits_and_its_hooks_run_after_that_alone() {
    lane(async {
        let db = Db::with_table().await;
        let ran = Arc::new(AtomicU32::new(0));
        let closure = |fails: bool| {
            let ran = Arc::clone(&ran);
            TransactAsync::new(async move |tx| {
                let ran = Arc::clone(&ran);
                tx.execute("INSERT INTO t VALUES (?, 1)", [if fails { 2 } else { 1 }]).await?;
                tx.after_commit(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                });
                if fails { Err(TxError::abort("out of stock")) } else { Ok("done") }
            })
        };
        assert_eq!(db.ask(closure(false)).await.unwrap(), "done");
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        db.run("DELETE FROM t").await;
        let failure = assert_failed(db.ask(closure(true)).await, FailureKind::Refused, Executed::No);
        assert_eq!(failure.code(), Some("given_up"));
        assert_eq!((ran.load(Ordering::SeqCst), db.ids().await), (1, vec![]));
    });
}

#[test]
fn a_savepoint_undoes_its_part_alone() {
    lane(async {
        let db = Db::with_table().await;
        let closure = TransactAsync::new(async |tx| {
            tx.execute("INSERT INTO t VALUES (1, 1)", ()).await?;
            let part = tx
                .savepoint(async |tx| {
                    tx.execute("INSERT INTO t VALUES (2, 2)", ()).await?;
                    tx.savepoint(async |tx| tx.execute("INSERT INTO t VALUES (3, 3)", ()).await).await?;
                    tx.execute("INSERT INTO t VALUES (1, 4)", ()).await
                })
                .await;
            assert!(part.is_err());
            tx.execute("INSERT INTO t VALUES (5, 5)", ()).await?;
            let ids: Vec<i64> = tx.query_as("SELECT id FROM t ORDER BY id", ()).await?;
            Ok(ids)
        });
        assert_eq!(db.ask(closure).await.unwrap(), [1, 5]);
        assert_eq!(db.ids().await, [1, 5]);
    });
}

#[test]
fn a_closure_that_panics_is_rolled_back_and_its_connection_serves_on() {
    lane(async {
        let db = Db::with_table().await;
        let closure: TransactAsync<()> = TransactAsync::new(async |tx| {
            tx.execute("INSERT INTO t VALUES (1, 1)", ()).await?;
            panic!("the caller's own")
        });
        assert_failed(db.ask(closure).await, FailureKind::CallerPanicked, Executed::No);
        db.run("INSERT INTO t VALUES (1, 1)").await;
        assert_eq!(db.ids().await, [1]);
    });
}

#[test]
fn a_statement_that_the_closure_gave_up_takes_the_transaction_with_it() {
    lane(async {
        let db = Db::with_table().await;
        let closure = TransactAsync::new(async |tx| {
            tx.execute("INSERT INTO t VALUES (1, 1)", ()).await?;
            let slow = tx.query("SELECT SLEEP(20)", ());
            let given_up = tokio::time::timeout(std::time::Duration::from_millis(100), slow).await;
            assert!(given_up.is_err());
            Ok(())
        });
        assert_failed(db.ask(closure).await, FailureKind::Cancelled, Executed::No);
        until("the statement's end on the server", async || db.sessions_with("SLEEP") == 0).await;
        assert!(db.ids().await.is_empty());
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_whatever_the_server_did() {
    lane(async {
        let server = MariaDb::shared().unwrap();
        for (direction, kept) in [(Direction::ToClient, vec![1]), (Direction::ToServer, vec![])] {
            let proxy = Arc::new(Proxy::start(server.address().unwrap(), 7).await.unwrap());
            let address = proxy.address();
            let db = Db::behind(server, address).await;
            db.make_table();
            let (held, holds) = (Arc::clone(&proxy), Arc::new(Notify::new()));
            let told = Arc::clone(&holds);
            let closure = TransactAsync::new(async move |tx| {
                tx.execute("INSERT INTO t VALUES (1, 1)", ()).await?;
                held.set(Fault::Hold(Some(direction)));
                told.notify_one();
                Ok(())
            });
            let call = db.start(crate::support::LONG, closure);
            if direction == Direction::ToClient {
                until("the commit on the server", async || {
                    db.database.sql("SELECT count(*) FROM t;").unwrap() == "1"
                })
                .await;
            } else {
                // the commit leaves in the moment the closure returns, and never reaches the server
                holds.notified().await;
            }
            proxy.cut_all(true);
            let failure = assert_failed(call.await.unwrap(), FailureKind::Lost, Executed::Unknown);
            assert!(failure.message().contains("lost"), "{failure}");
            until("the end of its sessions", async || db.sessions() == 0).await;
            let ids = db.database.sql("SELECT id FROM t;").unwrap();
            assert_eq!(ids, kept.iter().map(i32::to_string).collect::<Vec<_>>().join("\n"));
        }
    });
}

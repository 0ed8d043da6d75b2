//! Answers that are lost on their way.

use std::{rc::Rc, sync::Arc, time::Duration};

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, TransactAsync, TxError},
};
use backstop_testkit::{
    proxy::{Direction, Fault, Proxy},
    server::Postgres,
};

use crate::support::{Db, LONG, assert_failed, lane, until};

/// A lane whose bytes go through a proxy.
async fn proxied() -> (Arc<Proxy>, Db<'static>) {
    let server = Postgres::shared().unwrap();
    let address = server.address().unwrap();
    let proxy = Arc::new(Proxy::start(address, 7).await.unwrap());
    let database = server.fresh_database().unwrap();
    let url = database.url().replace(&address.to_string(), &proxy.address().to_string());
    let options = PostgresOptions::url(url).pool_size(1).max_overflow(0);
    let db = Db::of(database, options).await;
    db.run("CREATE TABLE t (n int)").await;
    (proxy, db)
}

/// Inserts a row and lets `fault` hold from the commit on.
fn insert_then(proxy: &Arc<Proxy>, fault: Fault) -> TransactAsync<()> {
    let proxy = Arc::clone(proxy);
    TransactAsync::new(async move |tx| {
        tx.execute("INSERT INTO t VALUES (1)", ()).await?;
        proxy.set(fault.clone());
        Ok::<_, TxError>(())
    })
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_was_done() {
    lane(async {
        let (proxy, db) = proxied().await;
        let call = db.start(LONG, insert_then(&proxy, Fault::Hold(Some(Direction::ToClient))));
        until("the commit", async || db.database.sql("SELECT count(*) FROM t;").unwrap() == "1").await;
        proxy.cut_all(true);
        let failure = assert_failed(call.await.unwrap(), FailureKind::Lost, Executed::Unknown);
        assert!(failure.message().len() > 3, "{failure}");
        proxy.heal();
        assert_eq!(db.int("SELECT count(*) FROM t").await, 1);
    });
}

#[test]
fn a_commit_that_never_arrived_is_unknown_too_and_was_not_done() {
    lane(async {
        let (proxy, db) = proxied().await;
        let call =
            db.start(Duration::from_millis(400), insert_then(&proxy, Fault::Hold(Some(Direction::ToServer))));
        let end = call.await.unwrap().unwrap_err();
        assert_eq!(end.executed(), Executed::Unknown, "{end:?}");
        until("the end of the connection", async || db.shared.snapshot().active == 0).await;
        proxy.cut_all(true);
        until("the end of what was held", async || proxy.open() == 0).await;
        proxy.heal();
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
    });
}

#[test]
fn a_connection_lost_before_the_commit_did_nothing() {
    lane(async {
        let (proxy, db) = proxied().await;
        let cutter = Arc::clone(&proxy);
        let call = TransactAsync::new(async move |tx| {
            tx.execute("INSERT INTO t VALUES (1)", ()).await?;
            cutter.cut_all(true);
            tx.execute("INSERT INTO t VALUES (2)", ()).await
        });
        let failure = db.ask(call).await.unwrap_err().failure();
        assert_eq!(failure.executed(), Executed::No, "{failure}");
        assert!(failure.is_transient(), "{failure}");
        assert_eq!(db.int("SELECT count(*) FROM t").await, 0);
    });
}

#[test]
fn a_reply_cut_after_any_byte_is_never_a_partial_success() {
    lane(async {
        let (proxy, db) = proxied().await;
        let want =
            db.ask(Query::new("SELECT n, repeat('x', 20) FROM generate_series(1, 5) n")).await.unwrap();
        let mut cut = 0;
        // the bytes of a new connection's greeting are cut too
        for after in (0..1200).step_by(13) {
            proxy.cut_all(true);
            until("the end of the connection", async || proxy.open() == 0).await;
            proxy.set(Fault::Cut { direction: Direction::ToClient, after, reset: after % 2 == 0 });
            let result = db
                .ask_in(
                    Duration::from_secs(5),
                    Query::new("SELECT n, repeat('x', 20) FROM generate_series(1, 5) n"),
                )
                .await;
            match result {
                Ok(rows) => assert_eq!(rows, want, "after {after} bytes"),
                Err(_) => cut += 1,
            }
            proxy.heal();
        }
        assert!(cut > 10, "{cut}");
        assert_eq!(db.int("SELECT 1").await, 1);
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_unknown() {
    lane(async {
        let (proxy, db) = proxied().await;
        let db = Rc::new(db);
        db.run("INSERT INTO t VALUES (5)").await;
        proxy.set(Fault::Hold(Some(Direction::ToClient)));
        let call = db.start(LONG, Execute::new("INSERT INTO t VALUES (5)"));
        until("the write", async || db.database.sql("SELECT count(*) FROM t;").unwrap() == "2").await;
        proxy.cut_all(true);
        assert_failed(call.await.unwrap(), FailureKind::Lost, Executed::Unknown);
    });
}

#[test]
fn a_connection_that_nobody_answers_any_more_is_replaced_before_it_is_lent() {
    lane(async {
        let server = Postgres::shared().unwrap();
        let address = server.address().unwrap();
        let proxy = Proxy::start(address, 7).await.unwrap();
        let database = server.fresh_database().unwrap();
        let url = database.url().replace(&address.to_string(), &proxy.address().to_string());
        let options = PostgresOptions::url(url).pool_size(1).max_overflow(0).verify_after(Duration::ZERO);
        let db = Db::of(database, options).await;
        assert_eq!(db.int("SELECT 1").await, 1);
        proxy.set(Fault::Hold(None));
        let call = db.start(LONG, Query::new("SELECT 2"));
        until("the doubt", async || db.shared.snapshot().closed_total.unverified == 1).await;
        proxy.heal();
        call.await.unwrap().unwrap();
        assert_eq!(db.shared.snapshot().created_total, 2);
    });
}

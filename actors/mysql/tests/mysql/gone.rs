//! A caller that goes away at any await: nothing stays locked, half done or leaked.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use backstop_core::backend::Backend as _;
use backstop_mysql::sql::{Execute, Query, QueryAs, Request, TransactAsync, Transaction};
use tokio::sync::Notify;

use crate::support::{Db, LONG, ask, lane, until};

/// Polls a future so many times at most, then drops it.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(context).map(Some);
        if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
    })
    .await
}

#[test]
fn a_transaction_that_is_given_up_at_any_await_is_there_as_a_whole_or_not_at_all() {
    lane(async {
        let db = Db::with_table().await;
        let mut ended = false;
        for polls in 1..200 {
            let base = i64::try_from(polls).unwrap() * 10;
            let insert = |id: i64| Request::with_params("INSERT INTO t VALUES (?, ?)", (id, id));
            let list = Transaction::new().then(insert(base)).then(insert(base + 1)).then(insert(base + 2));
            let done = give_up_after(polls, ask(&*db.lane, &list, LONG)).await;
            until("an idle pool", async || db.lane.pool().active == 0).await;
            let found = db
                .ask(QueryAs::<i64>::new("SELECT count(*) FROM t WHERE id DIV 10 = ?").bind(base / 10))
                .await
                .unwrap()[0];
            assert!(found == 0 || found == 3, "{found} of 3 rows after {polls} polls");
            if let Some(result) = done {
                result.unwrap();
                assert_eq!(found, 3);
                ended = true;
                break;
            }
        }
        assert!(ended, "the transaction never came to its end");
        // no lock and no open transaction is left
        let open = db.database.sql("SELECT count(*) FROM information_schema.innodb_trx;").unwrap();
        assert_eq!(open, "0");
        assert!(db.lane.pool().idle > 0);
    });
}

#[test]
fn reads_and_writes_that_are_given_up_at_any_await_leave_an_idle_pool() {
    lane(async {
        let db = Db::with_table().await;
        for polls in 1..30 {
            let id = i64::try_from(polls).unwrap();
            let write = Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id);
            give_up_after(polls, ask(&*db.lane, &write, LONG)).await;
            let read = Query::new("SELECT * FROM t, t AS u LIMIT 500");
            give_up_after(polls, ask(&*db.lane, &read, LONG)).await;
        }
        until("an idle pool", async || db.lane.pool().active == 0).await;
        assert!(db.ids().await.contains(&29), "the last write had time enough");
        let snapshot = db.lane.pool();
        assert_eq!(snapshot.created_total, snapshot.closed_total + snapshot.idle as u64, "{snapshot:?}");
        until("no session beyond the pool", async || db.sessions() == db.lane.pool().idle).await;
    });
}

#[test]
fn a_closure_that_is_given_up_between_statements_frees_its_locks_and_keeps_its_connection() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t VALUES (1, 1)").await;
        let locked = Arc::new(Notify::new());
        let told = Arc::clone(&locked);
        let closure: TransactAsync<()> = TransactAsync::new(async move |tx| {
            tx.execute("UPDATE t SET v = 2 WHERE id = 1", ()).await?;
            told.notify_one();
            std::future::pending().await
        });
        let call = db.start(LONG, closure);
        locked.notified().await;
        let created = db.lane.pool().created_total;
        call.abort();
        db.run("UPDATE t SET v = v + 10 WHERE id = 1").await;
        assert_eq!(db.ask(QueryAs::<i64>::new("SELECT v FROM t")).await.unwrap(), [11]);
        until("an idle pool", async || db.lane.pool().active == 0).await;
        assert!(db.lane.pool().created_total <= created + 2, "{:?}", db.lane.pool());
    });
}

#[test]
fn a_statement_that_nobody_waits_for_is_ended_on_the_server() {
    lane(async {
        let db = Db::new().await;
        // it computes for hours and never looks whether its client is there
        let endless = Query::new("SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 e");
        db.ask_in(crate::support::SHORT, endless).await.unwrap_err();
        until("its end on the server", async || db.sessions_with("seq_1_to_1000000 e") == 0).await;
        until("an idle pool", async || db.lane.pool().active == 0).await;
        assert_eq!(db.ask(QueryAs::<i64>::new("SELECT 1")).await.unwrap(), [1]);
    });
}

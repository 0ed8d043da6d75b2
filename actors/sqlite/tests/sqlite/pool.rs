//! The writer and the readers, shown as a pool.

use std::time::Duration;

use backstop_core::{backend::Connect as _, snapshot::PoolSnapshot};
use backstop_sqlite::{
    SqliteOptions,
    sql::{Execute, Query},
};
use backstop_testkit::lane::OneLane;

use crate::support::{Db, ENDLESS, LONG, lane, until};

fn pool(db: &OneLane<SqliteOptions>) -> PoolSnapshot {
    db.options.shared_pool(&db.shared)
}

#[test]
fn the_pool_shows_threads_at_work_and_calls_that_wait_for_one() {
    lane(async {
        let db = Db::with_table().await;
        until("a writer at rest", async || pool(&db).active == 0).await;
        let at_rest = pool(&db);
        assert_eq!((at_rest.idle, at_rest.waiting, at_rest.max), (1, 0, 5), "{at_rest:?}");
        let hold = db.hold_writer().await;
        let write = db.start(LONG, Execute::new("INSERT INTO t(v) VALUES (1)")).await;
        let mut reads = Vec::new();
        for _ in 0..3 {
            reads.push(db.start(LONG, Query::new(ENDLESS)).await);
        }
        // a thread at work opens its connection first
        let is_in_use = |pool: PoolSnapshot| (pool.active, pool.waiting, pool.created_total) == (3, 2, 3);
        until("a pool in use", async || is_in_use(pool(&db))).await;
        let in_use = pool(&db);
        assert_eq!((in_use.idle, in_use.utilization_percent()), (0, 60), "{in_use:?}");
        assert_eq!(in_use.closed_total, 0, "{in_use:?}");
        drop(hold);
        write.await.unwrap().unwrap();
        reads.iter().for_each(tokio::task::JoinHandle::abort);
        until("a pool at rest", async || (pool(&db).active, pool(&db).waiting) == (0, 0)).await;
        assert_eq!((pool(&db).idle, pool(&db).timeouts_total), (3, 0));
        db.close().await;
        until("a closed writer", async || pool(&db).closed_total == 1).await;
    });
}

#[test]
fn calls_that_no_thread_took_by_their_deadline_are_counted() {
    lane(async {
        let db = Db::with_table().await;
        let hold = db.hold_writer().await;
        for _ in 0..2 {
            let late = db.ask_in(Duration::from_millis(20), Execute::new("INSERT INTO t(v) VALUES (1)"));
            late.await.unwrap_err();
        }
        // one that leaves before is none of them
        let leaves = db.start(LONG, Execute::new("INSERT INTO t(v) VALUES (1)")).await;
        leaves.abort();
        assert!(leaves.await.unwrap_err().is_cancelled());
        drop(hold);
        assert_eq!(db.count("t").await, 0);
        assert_eq!(pool(&db).timeouts_total, 2);
    });
}

#[test]
fn a_database_in_memory_has_one_place() {
    lane(async {
        let db = OneLane::new(SqliteOptions::memory()).await;
        assert_eq!(db.int("SELECT 7").await, 7);
        until("a thread at rest", async || pool(&db).active == 0).await;
        assert_eq!((pool(&db).max, pool(&db).idle, pool(&db).created_total), (1, 1, 1));
    });
}

//! Opening late, closing cleanly, several lanes, databases in memory.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend as _, Connect as _, Probe},
    call::Deadline,
};
use backstop_sqlite::{
    SqliteOptions,
    sql::{Execute, Query, QueryAs, Request, Transaction},
};
use backstop_testkit::lane::OneLane;
use futures_util::future::join_all;

use crate::support::{Db, LONG, ask, lane};

#[test]
fn nothing_is_opened_before_the_first_call() {
    lane(async {
        let db = Db::new().await;
        assert!(!db.path().exists());
        assert_eq!(db.shared.snapshot().connections_total, 0);
        db.ask(Probe).await.unwrap();
        assert!(db.path().exists());
        assert_eq!(db.lane.pool().idle, 1);
    });
}

#[test]
fn closing_the_last_lane_writes_the_log_back() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1)").await;
        let wal = db.dir.path().join("test.db-wal");
        assert!(wal.exists());
        let second = db.options.connect(&db.shared).await.unwrap();
        db.lane.close(Deadline::after(LONG)).await;
        assert!(wal.exists(), "another lane is still there");
        drop(second);
        db.lane.close(Deadline::after(LONG)).await;
        assert!(!wal.exists());
        assert_eq!(db.values().await, [1], "a call after closing opens it again");
    });
}

#[test]
fn the_threads_end_with_the_last_reference() {
    lane(async {
        let db = Db::with_table().await;
        let Db { dir, one: OneLane { shared, lane, options }, .. } = db;
        drop((shared, lane));
        let wal = dir.path().join("test.db-wal");
        tokio::time::timeout(LONG, async {
            while wal.exists() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        let shared = Arc::new(options.share().unwrap());
        let lane = options.connect(&shared).await.unwrap();
        ask(&lane, &Query::new("SELECT * FROM t"), LONG).await.unwrap();
    });
}

#[test]
fn lanes_share_one_writer_and_see_each_others_writes() {
    let (db, options, shared) = lane(async {
        let db = Db::with_table().await;
        (db.dir, db.one.options, db.one.shared)
    });
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (options, shared) = (options.clone(), Arc::clone(&shared));
            std::thread::spawn(move || {
                lane(async move {
                    let lane = options.connect(&shared).await.unwrap();
                    let writes = (0..250).map(|v| {
                        let insert = Execute::new("INSERT INTO t(v) VALUES (?)").bind(thread * 250 + v);
                        let lane = &lane;
                        async move { ask(lane, &insert, LONG).await.unwrap() }
                    });
                    join_all(writes).await;
                    ask(&lane, &QueryAs::<i64>::new("SELECT count(*) FROM t"), LONG).await.unwrap()
                })
            })
        })
        .collect();
    let seen: Vec<i64> = threads.into_iter().map(|thread| thread.join().unwrap()[0]).collect();
    assert!(seen.iter().all(|seen| *seen >= 250) && seen.contains(&1_000), "{seen:?}");
    assert_eq!(shared.snapshot().busy_total, 0);
    drop(db);
}

#[test]
fn a_database_in_memory_is_shared_by_reads_and_writes() {
    lane(async {
        let options = SqliteOptions::file(":memory:");
        let shared = Arc::new(options.share().unwrap());
        let one = options.connect(&shared).await.unwrap();
        let other = options.connect(&shared).await.unwrap();
        ask(&one, &Execute::new("CREATE TABLE t(v)"), LONG).await.unwrap();
        ask(&one, &Execute::new("INSERT INTO t VALUES (1)"), LONG).await.unwrap();
        let list = Transaction::new().then(Request::new("INSERT INTO t VALUES (2)"));
        ask(&other, &list, LONG).await.unwrap();
        assert_eq!(ask(&other, &QueryAs::<i64>::new("SELECT v FROM t"), LONG).await.unwrap(), [1, 2]);
        assert!(ask(&other, &Query::new("DELETE FROM t RETURNING v"), LONG).await.is_err());
        ask(&other, &Probe, LONG).await.unwrap();
        assert!(ask(&one, &Query::new(crate::support::ENDLESS), Duration::from_millis(100)).await.is_err());
        assert_eq!(shared.snapshot().connections_total, 1);
    });
}

#[test]
fn an_acknowledged_write_is_there_for_a_stranger_at_once() {
    lane(async {
        let db = Db::with_table().await;
        let stranger = db.stranger();
        for v in 0..20 {
            db.ask(Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)).await.unwrap();
            let seen: i64 = stranger.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
            assert_eq!(seen, v + 1);
        }
        let check: String = stranger.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    });
}

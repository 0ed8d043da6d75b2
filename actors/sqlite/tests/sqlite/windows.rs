//! Reads that share a read transaction see what was acknowledged, and let go of the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use backstop_core::{backend::Connect, clock};
use backstop_sqlite::{
    Sqlite, SqliteOptions, SqliteShared,
    sql::{Execute, Query},
};

use crate::support::{Db, LONG, ask, lane};

const NEWEST: &str = "SELECT max(v) FROM t";

async fn newest(lane: &Sqlite) -> i64 {
    let rows = ask(lane, &Query::new(NEWEST), LONG).await.unwrap();
    rows.get(0).unwrap()[0].as_int().unwrap_or(0)
}

/// Reads without a pause, so that the reads share.
async fn read_hot(db: &Db) {
    for _ in 0..50 {
        newest(&db.lane).await;
    }
}

/// Polls until it holds; the test fails when it never does.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let give_up = clock::now() + LONG;
    while !holds().await {
        assert!(clock::now() < give_up, "never: {what}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn reads_that_share_see_every_commit_that_was_acknowledged_on_any_lane() {
    const WRITES: i64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::file(dir.path().join("test.db")).read_window(Duration::from_millis(100));
    let shared = Arc::new(options.share().unwrap());
    let acknowledged = Arc::new(AtomicI64::new(0));
    lane(async {
        let writer = options.connect(&shared).await.unwrap();
        ask(&writer, &Execute::new("CREATE TABLE t(v)"), LONG).await.unwrap();
    });
    let reader = |options: SqliteOptions, shared: Arc<SqliteShared>, acknowledged: Arc<AtomicI64>| {
        std::thread::spawn(move || {
            lane(async {
                let reader = options.connect(&shared).await.unwrap();
                let mut last = 0;
                while last < WRITES {
                    let known = acknowledged.load(SeqCst);
                    let seen = newest(&reader).await;
                    assert!(seen >= known, "{known} was acknowledged, and a later read saw {seen}");
                    assert!(seen >= last, "a read saw {last}, and a later one {seen}");
                    // what one thread saw, no other may miss
                    acknowledged.fetch_max(seen, SeqCst);
                    last = seen;
                }
            });
        })
    };
    let readers = [(); 2].map(|()| reader(options.clone(), Arc::clone(&shared), Arc::clone(&acknowledged)));
    lane(async {
        let writer = options.connect(&shared).await.unwrap();
        for value in 1..=WRITES {
            ask(&writer, &Execute::new("INSERT INTO t(v) VALUES ($1)").bind(value), LONG).await.unwrap();
            acknowledged.fetch_max(value, SeqCst);
            assert!(newest(&writer).await >= value, "a caller did not see its own write");
        }
    });
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn a_commit_of_another_process_is_seen_soon() {
    lane(async {
        let db = Db::with_table().await;
        read_hot(&db).await;
        db.stranger().execute("INSERT INTO t(v) VALUES (7)", []).unwrap();
        eventually("the other process's row", async || newest(&db.lane).await == 7).await;
    });
}

#[test]
fn without_a_window_a_commit_of_another_process_is_seen_at_once() {
    lane(async {
        let db = Db::with(|options| options.read_window(Duration::ZERO)).await;
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
        let stranger = db.stranger();
        for value in 1..100 {
            newest(&db.lane).await;
            stranger.execute("INSERT INTO t(v) VALUES ($1)", [value]).unwrap();
            assert_eq!(newest(&db.lane).await, value);
        }
    });
}

#[test]
fn a_lane_that_stops_reading_lets_go_of_the_log() {
    lane(async {
        let db = Db::with_table().await;
        db.run("INSERT INTO t(v) VALUES (1)").await;
        read_hot(&db).await;
        let stranger = db.stranger();
        // 0: every frame was written back and the log could be emptied, because no reader needed it
        eventually("the log is emptied", async || {
            let busy = stranger.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            tokio::time::sleep(Duration::from_millis(1)).await;
            busy.unwrap() == 0
        })
        .await;
    });
}

#[test]
fn a_window_that_is_too_long_is_refused() {
    let error = SqliteOptions::memory().read_window(Duration::from_millis(101)).share().unwrap_err();
    assert!(error.to_string().contains("read_window"), "{error}");
}

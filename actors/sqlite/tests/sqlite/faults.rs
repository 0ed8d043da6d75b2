//! Locks of other processes, files that vanish, files that are damaged.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use backstop_core::{
    backend::{Connect as _, Probe},
    call::Deadline,
    error::{Executed, FailureKind},
    outcome::Outcome,
    policy::Policy,
};
use backstop_sqlite::{
    SqliteOptions,
    sql::{Execute, Query, Transact, Tx},
};

use crate::support::{Db, LONG, ask, assert_failed, lane};

fn insert(v: i64) -> Execute {
    Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)
}

#[test]
fn a_lock_of_another_process_ends_each_write_by_its_deadline_while_readers_go_on() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(insert(1)).await.unwrap();
        let stranger = db.stranger();
        stranger.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let started = SystemTime::now();
        let long = db.start(Duration::from_secs(2), insert(2)).await;
        let list = db
            .start(
                Duration::from_millis(400),
                Transact::new(|tx: &mut Tx<'_>| tx.execute("DELETE FROM t", ()).map(drop)),
            )
            .await;
        // it arrives while the writer already waits for the lock
        let short = db.ask_in(Duration::from_millis(200), insert(3)).await;
        let failure = assert_failed(short, FailureKind::Aborted, Executed::No);
        assert!(failure.is_transient() && failure.code() == Some("5"), "{failure}");
        assert!(started.elapsed().unwrap() < Duration::from_millis(240), "{:?}", started.elapsed());
        assert_eq!(db.values().await, [1]);
        assert_failed(list.await.unwrap(), FailureKind::Aborted, Executed::No);
        assert!(started.elapsed().unwrap() < Duration::from_millis(440), "{:?}", started.elapsed());
        stranger.execute_batch("ROLLBACK").unwrap();
        long.await.unwrap().unwrap();
        assert_eq!(db.values().await, [1, 2]);
    });
}

#[test]
fn the_busy_timeout_ends_a_wait_before_the_deadline() {
    lane(async {
        let db = Db::with(|options| options.busy_timeout(Duration::from_millis(100))).await;
        db.run("CREATE TABLE t(v)").await;
        let stranger = db.stranger();
        stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
        let started = SystemTime::now();
        assert_failed(db.ask(insert(1)).await, FailureKind::Aborted, Executed::No);
        assert!(started.elapsed().unwrap() < Duration::from_secs(2));
        let vacuum = db.ask(Execute::new("VACUUM")).await;
        assert_failed(vacuum, FailureKind::Aborted, Executed::No);
    });
}

#[test]
fn a_writer_never_upgrades_so_a_strangers_write_cannot_make_it_fail() {
    lane(async {
        let db = Db::with_table().await;
        let stranger = db.stranger();
        for v in 0..100 {
            let read_then_write = Transact::new(move |tx: &mut Tx<'_>| {
                let seen: Vec<i64> = tx.query_as("SELECT count(*) FROM t", ())?;
                tx.execute("INSERT INTO t(v) VALUES (?)", [v])?;
                Ok(seen[0])
            });
            let ours = db.start(LONG, read_then_write).await;
            stranger.execute("INSERT INTO t(v) VALUES (?1)", [v + 1_000]).unwrap();
            ours.await.unwrap().unwrap();
        }
        assert_eq!(db.count("t").await, 200);
    });
}

#[test]
fn a_directory_that_takes_no_files_is_an_outage_and_no_bad_setting() {
    lane(async {
        let options = SqliteOptions::file("/proc/backstop.db");
        let shared = Arc::new(options.share().unwrap());
        let backend = options.connect(&shared).await.unwrap();
        let failure =
            assert_failed(ask(&backend, &insert(1), LONG).await, FailureKind::Unavailable, Executed::No);
        assert_eq!(failure.outcome(), Outcome::Failure);
        assert_failed(
            ask(&backend, &Query::new("SELECT 1"), LONG).await,
            FailureKind::Unavailable,
            Executed::No,
        );
        assert_failed(ask(&backend, &Probe, LONG).await, FailureKind::Unavailable, Executed::No);
    });
}

#[test]
fn a_missing_file_is_an_outage_unless_it_may_be_created() {
    lane(async {
        let db = Db::with(|options| options.create(false)).await;
        assert_failed(
            db.ask(Execute::new("CREATE TABLE t(v)")).await,
            FailureKind::Unavailable,
            Executed::No,
        );
        assert!(!db.path().exists());
        db.stranger().execute_batch("CREATE TABLE t(v)").unwrap();
        db.ask(insert(1)).await.unwrap();
    });
}

#[test]
fn writes_to_a_file_that_was_removed_fail_and_work_again_when_it_is_back() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(insert(1)).await.unwrap();
        let aside = db.dir.path().join("aside");
        fs::create_dir(&aside).unwrap();
        let files = ["test.db", "test.db-wal", "test.db-shm"];
        for file in files {
            fs::rename(db.dir.path().join(file), aside.join(file)).unwrap();
        }
        assert_failed(db.ask(insert(2)).await, FailureKind::Unavailable, Executed::No);
        assert!(!db.path().exists(), "an empty database would hide the loss");
        assert_failed(db.ask(Query::new("SELECT v FROM t")).await, FailureKind::Unavailable, Executed::No);
        for file in files {
            let _ = fs::rename(aside.join(file), db.dir.path().join(file));
        }
        db.ask(insert(3)).await.unwrap();
        assert_eq!(db.values().await, [1, 3]);
    });
}

#[test]
fn a_probe_notices_a_removed_file_without_any_write() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(Probe).await.unwrap();
        fs::remove_file(db.path()).unwrap();
        tokio::time::timeout(Duration::from_secs(2), async {
            while db.ask(Probe).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_file_that_is_no_database_is_corrupt() {
    lane(async {
        let db = Db::new().await;
        fs::write(db.path(), "this is a text and no database, and long enough to be sure of it".repeat(40))
            .unwrap();
        let failure = assert_failed(db.ask(Query::new("SELECT 1")).await, FailureKind::Corrupt, Executed::No);
        assert_eq!((failure.outcome(), failure.is_transient()), (Outcome::Failure, false));
        assert_failed(db.ask(insert(1)).await, FailureKind::Corrupt, Executed::No);
        assert_failed(db.ask(Probe).await, FailureKind::Corrupt, Executed::No);
    });
}

#[test]
fn a_damaged_file_is_reported_at_once_and_never_retried() {
    lane(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("test.db");
        fs::write(&file, "this is a text and no database, and long enough to be sure of it".repeat(40))
            .unwrap();
        let supervisor = backstop_testkit::sim::supervisor();
        let backend = supervisor.add("damaged", SqliteOptions::file(&file), Policy::default()).await.unwrap();
        let error = backend.ask(Query::new("SELECT 1")).await.unwrap_err();
        let failure = error.as_failure().unwrap();
        assert_eq!((failure.kind(), failure.attempts()), (FailureKind::Corrupt, 1), "{failure}");
        supervisor.shutdown(Deadline::after(LONG)).await;
    });
}

#[test]
fn flipped_bytes_are_never_served_in_silence() {
    lane(async {
        let db = Db::with_table().await;
        for v in 0..500 {
            db.ask(insert(v)).await.unwrap();
        }
        backstop_core::backend::Backend::close(&*db.lane, backstop_core::call::Deadline::after(LONG)).await;
        let length = fs::metadata(db.path()).unwrap().len();
        let mut file = fs::OpenOptions::new().write(true).open(db.path()).unwrap();
        for page in 1..length / 4_096 {
            file.seek(SeekFrom::Start(page * 4_096)).unwrap();
            file.write_all(&[0xff; 64]).unwrap();
        }
        drop(file);
        let failure = assert_failed(
            db.ask(Query::new("SELECT sum(v) FROM t")).await,
            FailureKind::Corrupt,
            Executed::No,
        );
        assert_eq!(failure.outcome(), Outcome::Failure);
        let write = db.ask(insert(1_000)).await.unwrap_err().failure();
        assert_eq!(write.kind(), FailureKind::Corrupt, "{write}");
    });
}

#[test]
fn a_file_that_was_cut_short_is_corrupt() {
    lane(async {
        let db = Db::with_table().await;
        for v in 0..500 {
            db.ask(insert(v)).await.unwrap();
        }
        db.close().await;
        let file = fs::OpenOptions::new().write(true).open(db.path()).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        let sum = db.ask(Query::new("SELECT sum(v) FROM t")).await;
        let failure = assert_failed(sum, FailureKind::Corrupt, Executed::No);
        assert_eq!((failure.outcome(), failure.is_transient()), (Outcome::Failure, false));
    });
}

#[test]
fn a_file_that_moves_away_and_back_is_served_again() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(insert(1)).await.unwrap();
        let aside = db.dir.path().join("aside.db");
        fs::rename(db.path(), &aside).unwrap();
        tokio::time::timeout(Duration::from_secs(2), async {
            while db.ask(Probe).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        fs::rename(&aside, db.path()).unwrap();
        assert_eq!(db.values().await, [1]);
        db.ask(insert(2)).await.unwrap();
        assert_eq!(db.values().await, [1, 2]);
    });
}

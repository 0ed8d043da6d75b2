//! Files that others lock, replace or deny.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use backstop_core::{
    backend::Probe,
    error::{Executed, FailureKind},
};
use backstop_sqlite::sql::{Execute, Query, QueryAs};

use crate::{
    child::{Child, command, say},
    support::{Db, LONG, assert_failed, lane},
};

fn insert(v: i64) -> Execute {
    Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)
}

/// Holds the lock until it is killed.
pub(crate) fn lock(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; INSERT INTO t(v) VALUES (-1);").unwrap();
    say("locked");
    std::thread::park();
}

/// Finds a database in a directory where this process may not write.
pub(crate) fn look_without_rights(file: &Path) {
    lane(async {
        let db = Db::at(file).await;
        for _ in 0..2 {
            let failure = db.ask(insert(2)).await.unwrap_err().failure();
            assert_eq!(failure.kind(), FailureKind::Unavailable, "{failure}");
            assert_eq!(failure.executed(), Executed::No, "{failure}");
            let read = db.ask(Query::new("SELECT v FROM t")).await;
            assert_failed(read, FailureKind::Unavailable, Executed::No);
            assert_failed(db.ask(Probe).await, FailureKind::Unavailable, Executed::No);
        }
        say("refused");
        std::thread::park();
    });
}

/// Reads a file that it may not write.
pub(crate) fn read_without_rights(file: &Path) {
    lane(async {
        let db = Db::at(file).await;
        assert_failed(db.ask(insert(2)).await, FailureKind::Unavailable, Executed::No);
        assert_eq!(db.values().await, [1]);
        say("read");
        std::thread::park();
    });
}

/// Rights mean nothing to root, so a test that runs as root has its other process run as nobody.
fn as_nobody(mut command: Command) -> Command {
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn a_process_that_locks_the_file_delays_writes_to_their_deadline_and_frees_them_by_its_death() {
    lane(async {
        let db = Db::with_table().await;
        let mut other = Child::start("lock", &db.path());
        other.wait_for("locked");
        let started = SystemTime::now();
        let failure = assert_failed(
            db.ask_in(Duration::from_millis(300), insert(1)).await,
            FailureKind::Aborted,
            Executed::No,
        );
        assert!(started.elapsed().unwrap() < Duration::from_millis(350), "{:?}", started.elapsed());
        assert_eq!(failure.code(), Some("5"), "{failure}");
        assert!(db.values().await.is_empty(), "readers go on");
        let waiting = db.start(LONG, insert(2)).await;
        other.kill();
        waiting.await.unwrap().unwrap();
        assert_eq!(db.values().await, [2], "what the dead process did not commit is gone");
    });
}

#[test]
fn a_directory_without_rights_is_an_outage_and_leaves_the_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (closed, file) = (dir.path().join("closed"), dir.path().join("closed/test.db"));
    fs::create_dir(&closed).unwrap();
    lane(async {
        let db = Db::at(&file).await;
        db.run("CREATE TABLE t(v)").await;
        db.ask(insert(1)).await.unwrap();
        db.close().await;
    });
    let before = fs::read(&file).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let mut other = Child::of(as_nobody(command("look", &file)));
    other.wait_for("refused");
    drop(other);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    lane(async { assert_eq!(Db::at(&file).await.values().await, [1]) });
}

#[test]
fn a_file_without_rights_takes_no_write_and_serves_reads() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.db");
    lane(async {
        let db = Db::at(&file).await;
        db.run("CREATE TABLE t(v)").await;
        db.ask(insert(1)).await.unwrap();
        db.close().await;
    });
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut other = Child::of(as_nobody(command("read", &file)));
    other.wait_for("read");
    other.kill();
    drop(other);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    lane(async { assert_eq!(Db::at(&file).await.values().await, [1]) });
}

/// Another database with the value 100 in the same table, in the place of the one that is open.
fn replace(db: &Db) {
    let other = db.dir.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection
        .execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t(v) VALUES (100)")
        .unwrap();
    drop(connection);
    fs::rename(&other, db.path()).unwrap();
}

#[test]
fn a_file_that_was_replaced_is_not_opened_with_the_log_of_the_old_one() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(insert(1)).await.unwrap();
        assert_eq!(db.values().await, [1]);
        replace(&db);
        for v in 2..4 {
            let failure = assert_failed(db.ask(insert(v)).await, FailureKind::Unavailable, Executed::No);
            assert!(failure.message().contains("replaced"), "{failure}");
        }
        assert_failed(db.ask(Query::new("SELECT v FROM t")).await, FailureKind::Unavailable, Executed::No);
        assert_failed(db.ask(Probe).await, FailureKind::Unavailable, Executed::No);
        // the new file is untouched
        let untouched = db.dir.path().join("untouched.db");
        fs::copy(db.path(), &untouched).unwrap();
        let seen: i64 = rusqlite::Connection::open(untouched)
            .unwrap()
            .query_row("SELECT sum(v) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(seen, 100);
        for end in ["-wal", "-shm"] {
            fs::remove_file(db.dir.path().join(format!("test.db{end}"))).unwrap();
        }
        db.ask(insert(5)).await.unwrap();
        assert_eq!(db.values().await, [5, 100]);
        let check: String = db.stranger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    });
}

#[test]
fn long_reads_notice_a_replaced_file_without_the_help_of_others() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(insert(1)).await.unwrap();
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                   SELECT sum(v) FROM n, t";
        let read = async || db.ask(QueryAs::<i64>::new(sql)).await;
        assert_eq!(read().await.unwrap(), [100_000]);
        assert_eq!(db.shared.snapshot().thread_reads_total, 1, "a reader thread has the old file open");
        replace(&db);
        tokio::time::timeout(Duration::from_secs(2), async {
            loop {
                match read().await {
                    Ok(values) => assert_eq!(values, [100_000], "the old file with nothing of the new one"),
                    end => break assert_failed(end, FailureKind::Unavailable, Executed::No),
                }
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_file_that_was_replaced_while_nobody_had_it_open_is_served() {
    lane(async {
        let db = Db::with_table().await;
        db.ask(insert(1)).await.unwrap();
        db.close().await;
        replace(&db);
        assert_eq!(db.values().await, [100]);
        db.ask(insert(2)).await.unwrap();
        assert_eq!(db.values().await, [2, 100]);
    });
}

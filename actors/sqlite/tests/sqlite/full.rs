//! The disk takes no more: what failed was not executed, what was acknowledged stays, and room heals it.
//!
//! The limit on the size of files is one of a process, so each test plays its part in one of its own. A write
//! past it fails as on a broken disk. (The engine's own "full" is tested beside the writer.)

use std::path::Path;

use backstop_core::error::{Executed, Failure, FailureKind};
use backstop_sqlite::sql::{Execute, Request, Transact, Transaction, Tx};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    child::{Child, play, say},
    support::{Db, LONG, assert_failed, lane},
};

/// SQLITE_IOERR_WRITE.
const WRITE_FAILED: &str = "778";
/// A page and its header in the log.
const FRAME: u64 = 4_096 + 24;

/// Lets files of this process grow to `bytes` and no further.
fn room(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

fn insert(v: i64) -> Execute {
    Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)
}

fn write_failed<T: std::fmt::Debug>(result: Result<T, crate::support::End>) -> Failure {
    let failure = assert_failed(result, FailureKind::Server, Executed::No);
    assert_eq!(failure.code(), Some(WRITE_FAILED), "{failure}");
    failure
}

/// A group of three whose COMMIT cannot write its last frame, and everything after it.
pub(crate) fn commit_without_room(file: &Path, what: &str) {
    lane(async {
        let db = Db::at(file).await;
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
        db.ask(insert(1)).await.unwrap();
        // the first frame of the commit and a part of the second fit
        room(Some(db.shared.snapshot().wal_bytes + FRAME + 100));
        let hold = db.hold_writer().await;
        let members = [db.start(LONG, insert(2)).await, db.start(LONG, insert(3)).await];
        let conflict = db.start(LONG, insert(1)).await;
        let list = Transaction::new().then(Request::new("INSERT INTO t(v) VALUES (4)"));
        let list = db.start(LONG, list).await;
        // it keeps its first row until the commit fails, which takes that too
        let part = db.start(LONG, Execute::new("INSERT OR FAIL INTO t(v) VALUES (8), (1)")).await;
        drop(hold);
        for member in members {
            write_failed(member.await.unwrap());
        }
        assert_failed(conflict.await.unwrap(), FailureKind::Conflict, Executed::No);
        write_failed(list.await.unwrap());
        write_failed(part.await.unwrap());
        // alone and in a closure it is the same
        write_failed(db.ask(insert(5)).await);
        let closure =
            Transact::new(|tx: &mut Tx<'_>| tx.execute("INSERT INTO t(v) VALUES (6)", ()).map(drop));
        write_failed(db.ask(closure).await);
        assert_eq!(db.values().await, [1]);
        if what == "and die" {
            say("it was not executed");
            std::thread::park();
        }
        room(None);
        db.ask(insert(7)).await.unwrap();
        assert_eq!(db.values().await, [1, 7]);
        assert_sound(file);
    });
}

/// A database that cannot be created, and then can.
pub(crate) fn grow_from_nothing(file: &Path) {
    lane(async {
        let db = Db::at(file).await;
        room(Some(0));
        let create = || Execute::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)");
        assert_failed(db.ask(create()).await, FailureKind::Server, Executed::No);
        room(None);
        db.ask(create()).await.unwrap();
        db.ask(insert(1)).await.unwrap();
        assert_eq!(db.values().await, [1]);
        assert_sound(file);
    });
}

/// A log that cannot be written back, because the database has its largest size.
pub(crate) fn checkpoint_without_room(file: &Path) {
    lane(async {
        let db = Db::at(file).await;
        db.run("CREATE TABLE big(v)").await;
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").await;
        let page = || Execute::new("INSERT INTO big VALUES (zeroblob(4000))");
        for _ in 0..400 {
            db.ask(page()).await.unwrap();
        }
        db.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let size = std::fs::metadata(file).unwrap().len();
        assert_eq!(db.shared.snapshot().wal_bytes, 0);
        // the pages past this end cannot be written back any more, and the log has its own end here too
        room(Some(size));
        let mut acknowledged = 0;
        let failure = loop {
            match db.ask(page()).await {
                Ok(_) => acknowledged += 1,
                end => break write_failed(end),
            }
        };
        assert!(failure.is_transient() && acknowledged > 50, "{acknowledged} writes: {failure}");
        let back = db.ask(Execute::new("PRAGMA wal_checkpoint(TRUNCATE)")).await;
        write_failed(back);
        assert_eq!(db.count("big").await, 400 + acknowledged);
        room(None);
        db.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
        db.ask(insert(1)).await.unwrap();
        assert_eq!(db.count("big").await, 400 + acknowledged);
        assert_sound(file);
    });
}

fn assert_sound(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_commit_that_cannot_be_written_was_not_executed_and_the_next_one_works() {
    let dir = tempfile::tempdir().unwrap();
    play("commit and live", &dir.path().join("test.db"));
}

#[test]
fn what_a_failed_commit_left_in_the_log_is_not_recovered_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.db");
    let mut child = Child::start("commit and die", &file);
    child.wait_for("it was not executed");
    child.kill();
    drop(child);
    lane(async {
        let db = Db::at(&file).await;
        assert_eq!(db.values().await, [1]);
        db.ask(insert(2)).await.unwrap();
        assert_eq!(db.values().await, [1, 2]);
    });
    assert_sound(&file);
}

#[test]
fn a_database_without_room_to_begin_is_a_failure_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    play("grow from nothing", &dir.path().join("test.db"));
}

#[test]
fn a_log_that_cannot_be_written_back_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    play("checkpoint", &dir.path().join("test.db"));
}

//! The write-ahead log: how it grows, and what is left when it is damaged.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    rc::Rc,
};

use backstop_core::clock;
use backstop_sqlite::{
    Synchronous,
    sql::{Execute, Query, QueryAs},
};

use crate::support::{Db, LONG, lane};

fn insert(v: i64) -> Execute {
    Execute::new("INSERT INTO t(v) VALUES (?)").bind(v)
}

/// Writes some 4 MB in ten commits.
async fn write_much(db: &Db) {
    for _ in 0..10 {
        let rows = "INSERT INTO big SELECT zeroblob(4000) FROM
                    (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n)";
        db.run(rows).await;
    }
}

#[test]
fn a_long_read_makes_the_log_grow_and_its_end_lets_it_be_used_anew() {
    lane(async {
        let db = Db::with_table().await;
        db.run("CREATE TABLE big(v)").await;
        db.ask(insert(1)).await.unwrap();
        let size = || db.shared.snapshot().wal_bytes;
        for _ in 0..3 {
            write_much(&db).await;
        }
        let calm = size();
        assert!(calm < 9_000_000, "{calm} bytes with nobody reading");
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000)
                   SELECT count(*) FROM n, t";
        let reader = db.start(LONG, Query::new(sql)).await;
        while db.shared.snapshot().reads_waiting > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            write_much(&db).await;
        }
        let grown = size();
        assert!(grown > calm + 4_000_000, "{grown} bytes under a long read, {calm} before");
        reader.abort();
        assert!(reader.await.is_err_and(|error| error.is_cancelled()));
        for _ in 0..6 {
            write_much(&db).await;
        }
        assert!(size() < grown + 9_000_000, "{} bytes, {grown} when the reader left", size());
    });
}

#[test]
fn sl7_reads_that_overlap_for_ever_do_not_keep_the_log_from_being_emptied() {
    lane(async {
        let db = Rc::new(Db::with(|options| options.synchronous(Synchronous::Normal)).await);
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v)").await;
        db.run("CREATE TABLE big(v)").await;
        write_much(&db).await;
        // each of some milliseconds on a thread of its own, and at any time there is one
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
                   SELECT count(*), (SELECT count(*) FROM t) FROM n";
        let readers: Vec<_> = (0..6)
            .map(|_| {
                let db = Rc::clone(&db);
                tokio::task::spawn_local(async move {
                    loop {
                        db.ask(Query::new(sql)).await.unwrap();
                    }
                })
            })
            .collect();
        let mut largest = 0;
        let given_up = clock::now() + LONG;
        while db.shared.snapshot().logs_emptied_total == 0 {
            assert!(clock::now() < given_up, "{largest} bytes and no end: {:?}", db.shared.snapshot());
            // what is equal would not be written again
            db.run("UPDATE big SET v = randomblob(4000)").await;
            largest = largest.max(db.shared.snapshot().wal_bytes);
        }
        let snapshot = db.shared.snapshot();
        assert!(largest > 90 << 20 && snapshot.wal_bytes < 90 << 20, "{largest} {snapshot:?}");
        assert!(snapshot.thread_reads_total > 100, "{snapshot:?}");
        readers.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(db.count("big").await, 1_000);
    });
}

/// Copies a database of ten commits with its log as they are, as a crash would leave them.
async fn crashed(db: &Db) -> tempfile::TempDir {
    for v in 0..10 {
        db.ask(insert(v)).await.unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    for end in ["", "-wal"] {
        let name = format!("test.db{end}");
        fs::copy(db.dir.path().join(&name), dir.path().join(&name)).unwrap();
    }
    dir
}

/// Opens what is left of ten commits; returns how many there are.
async fn survivors(dir: &Path) -> Vec<i64> {
    let db = Db::at(&dir.join("test.db")).await;
    let check = db.ask(QueryAs::<String>::new("PRAGMA integrity_check")).await.unwrap();
    assert_eq!(check, ["ok"]);
    let tables = db.count("sqlite_schema WHERE name = 't'").await;
    if tables == 0 { Vec::new() } else { db.values().await }
}

#[test]
fn a_log_that_was_cut_short_loses_whole_commits_from_its_end_alone() {
    lane(async {
        let db = Db::with_table().await;
        let original = crashed(&db).await;
        let wal = original.path().join("test.db-wal");
        let length = fs::metadata(&wal).unwrap().len();
        let mut seen = Vec::new();
        for kept in [length, length - 1, length / 2, length / 2 - 2_000, 5_000, 40, 3, 0] {
            let dir = tempfile::tempdir().unwrap();
            fs::copy(original.path().join("test.db"), dir.path().join("test.db")).unwrap();
            let copy = dir.path().join("test.db-wal");
            fs::copy(&wal, &copy).unwrap();
            fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(kept).unwrap();
            let values = survivors(dir.path()).await;
            let prefix: Vec<i64> = (0..i64::try_from(values.len()).unwrap()).collect();
            assert_eq!(values, prefix, "{kept} of {length} bytes");
            seen.push(values.len());
        }
        assert_eq!((seen[0], seen[1]), (10, 9));
        assert!(seen.is_sorted_by(|more, fewer| more >= fewer), "{seen:?}");
    });
}

#[test]
fn garbage_in_the_log_ends_it_there_and_is_never_served() {
    lane(async {
        let db = Db::with_table().await;
        let original = crashed(&db).await;
        let wal = original.path().join("test.db-wal");
        let length = fs::metadata(&wal).unwrap().len();
        for at in [0, 16, 32, length / 3, length / 2, length - 4_000] {
            let dir = tempfile::tempdir().unwrap();
            fs::copy(original.path().join("test.db"), dir.path().join("test.db")).unwrap();
            let copy = dir.path().join("test.db-wal");
            fs::copy(&wal, &copy).unwrap();
            let mut file = fs::OpenOptions::new().read(true).write(true).open(&copy).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            let mut bytes = [0; 16];
            file.read_exact(&mut bytes).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&bytes.map(|byte| !byte)).unwrap();
            drop(file);
            let values = survivors(dir.path()).await;
            let prefix: Vec<i64> = (0..i64::try_from(values.len()).unwrap()).collect();
            assert_eq!(values, prefix, "garbage at {at} of {length}");
            assert!(values.len() < 10, "garbage at {at} of {length} was not noticed");
        }
    });
}

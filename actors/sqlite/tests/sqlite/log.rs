//! The write-ahead log: how it grows, and what is left when it is damaged.

use std::{
    cell::Cell,
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    rc::Rc,
    time::Duration,
};

use backstop_core::{backend::Connect as _, clock};
use backstop_sqlite::{
    SqliteSnapshot, Synchronous,
    sql::{Execute, Query, QueryAs},
};

use crate::support::{Db, LONG, lane, until};

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

/// A database with a log of 8 MiB at most, 4 MB in `big`, and `t` for the readers.
async fn small_log(hold: Duration) -> Rc<Db> {
    let db = Db::with(|options| {
        options.synchronous(Synchronous::Normal).wal_limit(LIMIT).wal_hold(hold).readers(2)
    });
    let db = Rc::new(db.await);
    db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v)").await;
    db.run("CREATE TABLE big(v)").await;
    write_much(&db).await;
    db
}

const LIMIT: usize = 8 << 20;

/// A read that takes so many steps on a thread, and looks at the database.
fn steps(steps: i64) -> Query {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
               SELECT count(*), (SELECT count(*) FROM t) FROM n";
    Query::new(sql).bind(steps)
}

/// Makes a read that takes much longer than the writer's pause of 50 ms.
async fn longer_than_a_pause(db: &Db) -> i64 {
    let mut rows = 50_000;
    loop {
        let began = clock::now();
        db.ask(steps(rows)).await.unwrap();
        if clock::now() - began > Duration::from_millis(300) {
            return rows;
        }
        rows *= 2;
    }
}

/// Writes until `done`; returns the largest size of the log on the way.
async fn write_until(db: &Db, what: &str, done: impl Fn(&SqliteSnapshot) -> bool) -> u64 {
    let (mut largest, given_up) = (0, clock::now() + 2 * LONG);
    loop {
        let snapshot = db.shared.snapshot();
        largest = largest.max(snapshot.wal_bytes);
        if done(&snapshot) {
            return largest;
        }
        assert!(clock::now() < given_up, "waited for {what}: {snapshot:?}");
        // what is equal would not be written again
        db.run("UPDATE big SET v = randomblob(4000) WHERE rowid <= 500").await;
    }
}

#[test]
fn sl7_long_reads_that_overlap_for_ever_do_not_keep_the_log_from_being_emptied() {
    lane(async {
        let db = small_log(Duration::from_secs(5)).await;
        let rows = longer_than_a_pause(&db).await;
        let (reads, shortest) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(LONG)));
        // two threads are at it, and two reads wait for them at any time
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (db, reads, shortest) = (Rc::clone(&db), Rc::clone(&reads), Rc::clone(&shortest));
                tokio::task::spawn_local(async move {
                    loop {
                        let began = clock::now();
                        db.ask(steps(rows)).await.unwrap();
                        shortest.set(shortest.get().min(clock::now() - began));
                        reads.set(reads.get() + 1);
                    }
                })
            })
            .collect();
        for round in 1..=2 {
            let before = reads.get();
            let holds = db.shared.snapshot().log_holds_total;
            let is_emptied = |seen: &SqliteSnapshot| seen.logs_emptied_total == round;
            let largest = write_until(&db, "an empty log", is_emptied).await;
            let snapshot = db.shared.snapshot();
            assert!(largest > LIMIT as u64 && snapshot.wal_bytes <= LIMIT as u64, "{largest} {snapshot:?}");
            assert!(snapshot.log_holds_total > holds, "a pause was enough: {snapshot:?}");
            assert!(!snapshot.log_is_long && db.options.alarms(&db.shared).is_empty(), "{snapshot:?}");
            assert!(reads.get() > before, "no read ended while the log grew");
        }
        assert!(shortest.get() > Duration::from_millis(50), "{shortest:?}");
        readers.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn sl7_a_read_without_end_is_an_alarm_and_neither_stops_the_others_nor_those_who_write() {
    lane(async {
        let db = small_log(Duration::from_millis(100)).await;
        let endless = db.start(2 * LONG, steps(i64::MAX)).await;
        until("a read that runs", async || db.options.shared_pool(&db.shared).active > 0).await;
        assert!(db.options.alarms(&db.shared).is_empty());
        write_until(&db, "the alarm", |seen| seen.log_is_long).await;
        let alarms = db.options.alarms(&db.shared);
        assert!(alarms.len() == 1 && alarms[0].contains("8388608 bytes"), "{alarms:?}");
        assert_eq!(alarms, db.options.alarms(&db.shared), "the same words as long as it lasts");
        // the other thread reads, and short reads need none
        db.ask(steps(50_000)).await.unwrap();
        assert_eq!(db.count("t").await, 0);
        assert_eq!(db.shared.snapshot().logs_emptied_total, 0);
        endless.abort();
        // the engine uses the log anew by itself then
        write_until(&db, "a short log", |seen| !seen.log_is_long && seen.wal_bytes <= LIMIT as u64).await;
        assert!(db.options.alarms(&db.shared).is_empty());
    });
}

#[test]
fn reads_are_held_back_for_half_of_the_time_they_have_left_at_most_and_short_ones_never() {
    lane(async {
        let db = small_log(Duration::from_secs(10)).await;
        let endless = db.start(2 * LONG, steps(i64::MAX)).await;
        until("a read that runs", async || db.options.shared_pool(&db.shared).active > 0).await;
        let writes = Rc::clone(&db);
        let writer = tokio::task::spawn_local(async move { write_until(&writes, "ever", |_| false).await });
        until("reads held back", async || db.shared.snapshot().log_holds_total == 1).await;
        let (began, within) = (clock::now(), Duration::from_secs(4));
        assert_eq!(db.count("t").await, 0);
        assert!(clock::now() < began + within / 2, "a short read waited");
        // the other thread takes this one, and the urgent one is behind it
        let patient = db.start(2 * LONG, steps(50_000)).await;
        db.ask_in(within, steps(50_000)).await.unwrap();
        assert!(clock::now() >= began + within / 2, "a read on a thread did not wait");
        patient.await.unwrap().unwrap();
        endless.abort();
        writer.abort();
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

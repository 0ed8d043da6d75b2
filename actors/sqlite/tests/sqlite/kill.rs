//! SIGKILL in the middle of many writes: what was acknowledged is there, once.

use std::{collections::BTreeMap, path::Path, sync::Arc, thread};

use backstop_core::{backend::Connect as _, error::Executed, message::Class};
use backstop_sqlite::{
    SqliteOptions,
    sql::{Execute, QueryAs},
};
use backstop_testkit::ledger::{Fate, Ledger};
use futures_util::future::join_all;

use crate::{
    child::{Child, say},
    support::{LONG, ask, lane},
};

const LANES: u64 = 4;
const CALLERS: u64 = 16;
/// A writer that nobody kills ends by itself.
const WRITES_MAX: u64 = 10_000;
/// Large enough for a log that is written back several times in a test.
const PADDING: usize = 3_000;

/// When a caller is told that its write is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    AfterTheCommit,
    /// A planted defect, which the check must find.
    BeforeTheCommit,
}

/// The part of the process that is killed: many callers write, and each says what it was told.
pub(crate) fn write(file: &Path, round: u64, told: Told) {
    let options = SqliteOptions::file(file);
    let shared = Arc::new(options.share().unwrap());
    let lanes = (0..LANES).map(|number| {
        let (options, shared) = (options.clone(), Arc::clone(&shared));
        thread::spawn(move || {
            lane(async {
                let backend = options.connect(&shared).await.unwrap();
                join_all((0..CALLERS).map(async |caller| {
                    for nth in 0..WRITES_MAX {
                        let key = ((round * LANES + number) * CALLERS + caller) * WRITES_MAX + nth;
                        say(&format!("sent {key}"));
                        if told == Told::BeforeTheCommit {
                            say(&format!("done {key}"));
                        }
                        ask(&backend, &insert(key), LONG).await.unwrap();
                        if told == Told::AfterTheCommit {
                            say(&format!("done {key}"));
                        }
                    }
                }))
                .await;
            });
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.join().unwrap();
    }
}

fn insert(key: u64) -> Execute {
    let sql = "INSERT INTO entry(key, padding) VALUES (?, ?)";
    Execute::new(sql).bind(i64::try_from(key).unwrap()).bind(vec![0_u8; PADDING])
}

/// Kills a writer once it has said that `patience` writes are done; notes what it told its callers.
fn kill_a_writer(part: &str, file: &Path, patience: u64, ledger: &mut Ledger) {
    let mut child = Child::start(part, file);
    let (mut sent, mut done) = (Vec::new(), 0);
    while let Some(said) = child.hear() {
        let (word, key) = said.split_once(' ').unwrap();
        let key = key.parse().unwrap();
        if word == "sent" {
            ledger.sent(key, Class::Unsafe);
            sent.push(key);
            continue;
        }
        ledger.told(key, Fate::Acknowledged);
        sent.retain(|sent| *sent != key);
        done += 1;
        if done == patience {
            child.kill();
        }
    }
    assert!(done >= patience, "the writer ended by itself after {done} writes");
    for key in sent {
        ledger.told(key, Fate::WentAway);
    }
}

/// Opens the file with a backend, which must work at once, and compares it with what callers were told.
fn breaches(file: &Path, ledger: &Ledger) -> Vec<String> {
    lane(async {
        let options = SqliteOptions::file(file);
        let shared = Arc::new(options.share().unwrap());
        let backend = options.connect(&shared).await.unwrap();
        ask(&backend, &Execute::new("INSERT INTO opened DEFAULT VALUES"), LONG).await.unwrap();
        let check = QueryAs::<String>::new("PRAGMA integrity_check");
        assert_eq!(ask(&backend, &check, LONG).await.unwrap(), ["ok"]);
    });
    // a plain connection is the outside record
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut rows = connection.prepare("SELECT key, count(*) FROM entry GROUP BY key").unwrap();
    let counts = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let counts: BTreeMap<i64, u32> = counts.map(Result::unwrap).collect();
    let mut breaches =
        ledger.breaches(|key| i64::try_from(key).ok().and_then(|key| counts.get(&key).copied()).unwrap_or(0));
    if counts.len() > ledger.len() {
        breaches.push(format!("{} rows for {} writes", counts.len(), ledger.len()));
    }
    breaches
}

fn new_file(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let file = dir.path().join("test.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE entry(key INTEGER, padding); CREATE TABLE opened(at INTEGER PRIMARY KEY)",
        )
        .unwrap();
    file
}

#[test]
fn kill_9_loses_no_acknowledged_write_and_doubles_none() {
    let seed = 0x5e_ed;
    let mut chance = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let file = new_file(&dir);
    let mut ledger = Ledger::default();
    for round in 0..10 {
        let patience = chance.u64(1..900);
        kill_a_writer(&format!("write {round}"), &file, patience, &mut ledger);
        // every round looks at all earlier ones too: what one process acknowledged, the next one keeps
        let breaches = breaches(&file, &ledger);
        assert!(breaches.is_empty(), "seed {seed}, round {round}, after {patience} writes: {breaches:#?}");
    }
    assert!(ledger.count(Fate::WentAway) > 0, "no process was killed in the middle of a write");
    assert_eq!(ledger.count(Fate::Ended(Executed::Unknown)), 0);
}

#[test]
fn the_check_of_kill_9_finds_a_writer_that_acknowledges_before_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let file = new_file(&dir);
    let mut ledger = Ledger::default();
    let found = (0..20).any(|round| {
        kill_a_writer(&format!("lie {round}"), &file, 100 + round, &mut ledger);
        breaches(&file, &ledger).iter().any(|breach| breach.contains("executed 0 times"))
    });
    assert!(found, "{} writes were acknowledged too early, and none was missed", ledger.len());
}

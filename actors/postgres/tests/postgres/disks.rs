//! A server whose data and log stand on a disk that fills up, and gets room again.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::Duration,
};

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::sql::{Execute, Query, QueryAs};
use backstop_testkit::server::{Postgres, PostgresSetup, SmallDisk, in_namespaces};

use crate::support::{Db, assert_failed, lane, until};

/// Room for a new server and a few segments of its log.
const DISK: u64 = 144 << 20;
/// What is left of a disk that is called full, so that small things of the server go on.
const LEFT: u64 = 256 << 10;

/// Writes a file until there is no room, and gives the last bit of it back.
fn fill(path: &Path) {
    let (mut file, block) = (File::create(path).unwrap(), vec![0; 64 << 10]);
    let full = loop {
        if let Err(error) = file.write_all(&block) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    file.set_len(file.metadata().unwrap().len() - LEFT).unwrap();
}

/// Writes one row; says whether it is known to be there, known not to be, or neither.
async fn insert(db: &Db<'_>, n: i64) -> Executed {
    match db.ask(Execute::new("INSERT INTO t VALUES ($1)").bind(n)).await {
        Ok(_) => Executed::Yes,
        Err(end) => end.executed(),
    }
}

async fn fill_and_free(server: &Postgres, disk: &Path) {
    let db = Db::on(server, |options| options.pool_size(4).max_overflow(0)).await;
    db.run("CREATE TABLE t (n bigint)").await;
    db.run("CREATE TABLE big (text text)").await;
    let mut fates = Vec::new();
    for n in 0..20 {
        fates.push(insert(&db, n).await);
    }
    let filler = disk.join("filler");
    fill(&filler);
    // the table finds no room: it is refused, nothing is there of it, and all else goes on
    let grow = "INSERT INTO big SELECT repeat(md5(n::text), 30) FROM generate_series(1, 3000) n";
    for _ in 0..3 {
        let failure = assert_failed(db.ask(Execute::new(grow)).await, FailureKind::Server, Executed::No);
        assert_eq!((failure.code(), failure.is_transient()), (Some("53100"), false), "{failure}");
        assert_eq!(db.int("SELECT count(*) FROM big").await, 0);
    }
    let connections = db.shared.snapshot().created_total;
    fates.push(insert(&db, 20).await);
    assert_eq!(fates.last(), Some(&Executed::Yes), "a page with room takes a row");
    assert_eq!(db.shared.snapshot().created_total, connections, "no connection was lost");
    // the server's own log finds no room: it stops, and cannot recover either
    let log = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 500000))";
    let mut written = 0;
    let failure = loop {
        match db.ask(Execute::new(log)).await {
            Ok(_) => written += 1,
            Err(end) => break end.failure(),
        }
        assert!(written < 200, "the log has more room than the disk");
    };
    eprintln!("after {written} pieces of log: {failure}");
    assert_eq!((failure.kind(), failure.executed()), (FailureKind::Lost, Executed::Unknown), "{failure}");
    for n in 21..30 {
        let began = clock::now();
        fates.push(insert(&db, n).await);
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    }
    assert!(fates[21..].iter().all(|fate| *fate != Executed::Yes), "{fates:?}");
    assert_eq!(fates.last(), Some(&Executed::No), "a server that is down has executed nothing");
    // room again: the server comes back, and so do we
    fs::remove_file(&filler).unwrap();
    server.restart().unwrap();
    until("service", async || db.ask(Query::new("SELECT 1")).await.is_ok()).await;
    assert_eq!(insert(&db, 30).await, Executed::Yes);
    fates.push(Executed::Yes);
    db.run(grow).await;
    assert_eq!(db.int("SELECT count(*) FROM big").await, 3_000);
    let rows = db.ask(QueryAs::<i64>::new("SELECT n FROM t")).await.unwrap();
    for (n, fate) in (0..).zip(&fates) {
        let count = rows.iter().filter(|row| **row == n).count();
        let is_true = match fate {
            Executed::Yes => count == 1,
            Executed::No => count == 0,
            Executed::Unknown => count <= 1,
        };
        assert!(is_true, "{n}: {fate:?}, {count} times");
    }
    assert_eq!(db.shared.snapshot().active, 0);
}

#[test]
#[ignore = "mounts of its own, which not every machine grants: `cargo xtask ci --deep`"]
fn pg12_a_disk_that_fills_up_under_table_and_log_loses_no_row_and_service_comes_back_with_room() {
    const NAME: &str =
        "disks::pg12_a_disk_that_fills_up_under_table_and_log_loses_no_row_and_service_comes_back_with_room";
    let proof = in_namespaces(NAME, || {
        let disk = SmallDisk::of(DISK).unwrap();
        let settings = [("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
        let server = Postgres::start(PostgresSetup {
            place: Some(disk.path().to_owned()),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ..PostgresSetup::default()
        });
        let server = server.unwrap();
        lane(fill_and_free(&server, disk.path()));
        drop(server); // before its disk goes
    });
    proof.unwrap_or_else(|error| panic!("{error}"));
}

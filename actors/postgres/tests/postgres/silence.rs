//! A network that loses packets and tells nobody, with the defaults of sockets.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::{
    PostgresOptions, TlsMode,
    sql::{Execute, Query, TransactAsync, TxError},
};
use backstop_testkit::server::{Cable, Database, Postgres, PostgresSetup, in_namespaces};
use tokio::sync::Notify;

use crate::support::{Db, LONG, ask, lane, until};

/// When idle connections must be gone, and when every socket: twice the default of `user_timeout`.
const IDLE: Duration = Duration::from_secs(15);
const SOCKETS: Duration = Duration::from_secs(24);
const WITHIN: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 4;

/// Sockets of this thread's network that the kernel has not forgotten, of closed files too; those that wait out
/// their time after an orderly end are over.
fn sockets() -> usize {
    const OVER: &str = "06";
    let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    table.lines().skip(1).filter(|line| line.split_whitespace().nth(3) != Some(OVER)).count()
}

/// Open files of this process.
fn files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A transaction that waits for `go` before its COMMIT.
fn commit_after(go: &Arc<Notify>, ready: &Arc<AtomicBool>, n: i32) -> TransactAsync<()> {
    let (go, ready) = (Arc::clone(go), Arc::clone(ready));
    TransactAsync::new(async move |tx| {
        tx.execute("INSERT INTO t VALUES ($1)", (n,)).await?;
        ready.store(true, Relaxed);
        go.notified().await;
        Ok::<_, TxError>(())
    })
}

/// Loses packets while connections are idle, in a statement and before a COMMIT.
async fn lose(db: &Db<'_>, cable: &Cable, n: i32, (to_server, to_client): (bool, bool)) {
    let before = files() - sockets();
    let warm = (0..CONNECTIONS).map(|_| db.ask(Query::new("SELECT pg_sleep(0.2)")));
    for ended in futures_util::future::join_all(warm).await {
        ended.unwrap();
    }
    assert_eq!((db.shared.snapshot().connections, sockets()), (CONNECTIONS, CONNECTIONS));
    let (go, ready) = (Arc::new(Notify::new()), Arc::<AtomicBool>::default());
    let began = clock::now();
    let commit = db.start(WITHIN, commit_after(&go, &ready, n));
    let statement = db.start(WITHIN, Execute::new("INSERT INTO t SELECT -1 FROM pg_sleep(5)"));
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    until("both at work", async || ready.load(Relaxed) && db.int(at_work).await == 1).await;
    // being idle is what is wanted here: a reply that is not acknowledged yet would be repeated by the server, and
    // what is heard of it is a sign of life
    tokio::time::sleep(Duration::from_millis(300)).await;
    cable.lose(to_server, to_client).unwrap();
    let lost = clock::now();
    go.notify_one();
    for ended in [commit.await.unwrap().map(drop), statement.await.unwrap().map(drop)] {
        let end = ended.unwrap_err();
        assert_eq!(end.executed(), Executed::Unknown, "{end:?}");
        assert!(began.elapsed() < WITHIN + Duration::from_millis(500), "{:?}", began.elapsed());
    }
    until("the end of idle connections", async || db.shared.snapshot().connections == 0).await;
    let idle = lost.elapsed();
    while sockets() > 0 && lost.elapsed() <= SOCKETS {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let gone = lost.elapsed();
    eprintln!(
        "to server {to_server}, to client {to_client}: idle ones after {idle:?}, sockets after {gone:?}"
    );
    assert!(idle <= IDLE, "{idle:?}");
    assert!(gone <= SOCKETS, "{}", fs::read_to_string("/proc/thread-self/net/tcp").unwrap());
    assert_eq!(files(), before, "open files");
    let refused = ask(&*db.lane, &Query::new("SELECT 1"), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(refused.executed(), Executed::No, "{refused:?}");
    cable.lose(false, false).unwrap();
    until("service", async || ask(&*db.lane, &Query::new("SELECT 1"), LONG).await.is_ok()).await;
    // the COMMIT arrived where only its answer was lost, and nowhere else
    let arrived = i64::from(!to_server);
    assert_eq!(db.int(format!("SELECT count(*) FROM t WHERE n = {n}")).await, arrived);
}

async fn lose_all_ways(database: Database<'_>, url: String, cable: &Cable) {
    let options = PostgresOptions::url(url).tls(TlsMode::Disable).allow_plain_text_password(true);
    let options = options.pool_size(CONNECTIONS).max_overflow(0).connect_timeout(Duration::from_secs(2));
    let db = Db::of(database, options).await;
    db.run("CREATE TABLE t (n int)").await;
    for (n, ways) in (0..).zip([(true, true), (true, false), (false, true)]) {
        lose(&db, cable, n, ways).await;
        let closing = db.ask(Execute::new("SELECT pg_terminate_backend(pg_backend_pid())")).await;
        assert_ne!(closing.unwrap_err().failure().kind(), FailureKind::TooLarge);
        until("no connection", async || db.shared.snapshot().connections == 0 && sockets() == 0).await;
    }
}

#[test]
#[ignore = "a minute, and a network of its own, which not every machine grants: `cargo xtask ci --deep`"]
fn pg4_packets_lost_in_silence_end_idle_connections_statements_and_commits_in_time() {
    const NAME: &str =
        "silence::pg4_packets_lost_in_silence_end_idle_connections_statements_and_commits_in_time";
    let proof = in_namespaces(NAME, || {
        let cable = Cable::lay().unwrap();
        let server = Postgres::start(PostgresSetup {
            hba: vec!["host all all 10.77.0.0/24 scram-sha-256".to_owned()],
            settings: vec![("listen_addresses".to_owned(), "*".to_owned())],
            ..PostgresSetup::default()
        });
        let server = server.unwrap();
        let database = server.fresh_database().unwrap();
        let url = database.url().replace("127.0.0.1", &cable.server().to_string());
        // what this thread starts is with the client, so the server's own programs come from the other one
        let client = || {
            cable.enter().unwrap();
            lane(lose_all_ways(database, url, &cable));
        };
        thread::scope(|scope| scope.spawn(client).join()).unwrap();
    });
    proof.unwrap_or_else(|error| panic!("{error}"));
}

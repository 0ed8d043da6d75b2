//! A server that lets nobody in any more, and one whose disk is full.

use std::{fs, os::unix::fs::symlink, time::Duration};

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, crud::InsertOne},
};
use backstop_testkit::server::{Postgres, PostgresSetup};

use crate::support::{Db, LONG, ask, assert_failed, lane, until};

#[test]
fn pg11_a_server_that_lets_us_in_no_more_is_asked_rarely_and_live_sessions_go_on() {
    lane(async {
        let server = Postgres::start(PostgresSetup::default()).unwrap();
        server.create_user("app", "canary-71f").unwrap();
        let database = server.fresh_database().unwrap();
        let url = server.url_for("app", "canary-71f", database.name());
        let db = Db::of(database, PostgresOptions::url(url).pool_size(2).max_overflow(0)).await;
        assert_eq!(db.int("SELECT 1").await, 1);
        let hba = server.directory().unwrap().join("data/pg_hba.conf");
        let open = fs::read_to_string(&hba).unwrap();
        fs::write(&hba, format!("host all app all reject\n{open}")).unwrap();
        server.sql("SELECT pg_reload_conf();").unwrap();
        let app = server.url_for("app", "canary-71f", db.database.name());
        until("the rule", async || server.sql_at(&app, "SELECT 1;").is_err()).await;
        // the session that is open goes on
        for _ in 0..10 {
            assert_eq!(db.int("SELECT 1").await, 1);
        }
        server
            .sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app';")
            .unwrap();
        until("the end of the session", async || db.shared.snapshot().connections == 0).await;
        let began = clock::now();
        let mut asked = 0;
        while began.elapsed() < Duration::from_secs(1) {
            let call = clock::now();
            let failure = assert_failed(
                db.ask(Execute::new("INSERT INTO t VALUES (1)")).await,
                FailureKind::Auth,
                Executed::No,
            );
            assert!(call.elapsed() < Duration::from_secs(2), "{:?}", call.elapsed());
            assert_eq!(
                (failure.outcome(), failure.code()),
                (Outcome::NotCounted, Some("28000")),
                "{failure}"
            );
            assert!(!format!("{failure:?} {failure}").contains("canary"), "{failure:?}");
            asked += 1;
            tokio::task::yield_now().await;
        }
        let snapshot = db.shared.snapshot();
        assert!(asked > 50 && snapshot.connect_failures_total >= 1, "{asked} {snapshot:?}");
        let tries = fs::read_to_string(log_of(&server)).unwrap().matches("pg_hba.conf rejects").count();
        // one of the client program above, one of ours
        assert!(tries <= 2, "{tries} attempts");
        assert!(!format!("{snapshot:?}").contains("canary"));
        fs::write(&hba, open).unwrap();
        server.sql("SELECT pg_reload_conf();").unwrap();
        until("service", async || ask(&*db.lane, &Query::new("SELECT 1"), LONG).await.is_ok()).await;
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    });
}

fn log_of(server: &Postgres) -> std::path::PathBuf {
    let directory = server.directory().unwrap();
    let is_log =
        |path: &std::path::Path| path.extension().is_some_and(|end| end == "log") || path.ends_with("log");
    let found = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find(|path| is_log(path));
    found.unwrap()
}

#[test]
fn pg12_a_full_disk_refuses_writes_alone_and_the_next_one_works_when_there_is_room() {
    lane(async {
        // without fsync, which the device that stands for the full disk does not have
        let server = Postgres::start(PostgresSetup { fsync: false, ..PostgresSetup::default() }).unwrap();
        let db = Db::on(&server, |options| options.pool_size(4).max_overflow(0)).await;
        db.database.sql("CREATE TABLE t (n bigint); CREATE TABLE other (n bigint);").unwrap();
        let file = db.database.sql("SELECT pg_relation_filepath('t');").unwrap();
        let file = server.directory().unwrap().join("data").join(file);
        fs::remove_file(&file).unwrap();
        // the end of this device is at once, and all that is written there finds no space left
        symlink("/dev/full", &file).unwrap();
        let many = (0..40_i64).map(|n| db.ask(InsertOne::new("t", [("n", n)]).without_id()));
        for ended in futures_util::future::join_all(many).await {
            let failure = assert_failed(ended, FailureKind::Server, Executed::No);
            assert_eq!((failure.code(), failure.is_transient()), (Some("53100"), false), "{failure}");
        }
        for n in 0..5_i64 {
            let failed = db.ask(Execute::new("INSERT INTO t VALUES ($1)").bind(n)).await;
            assert_eq!(assert_failed(failed, FailureKind::Server, Executed::No).code(), Some("53100"));
            // what has room is served meanwhile
            db.run("INSERT INTO other VALUES (1)").await;
        }
        // room again: the table gets a new file, and the old name goes
        db.database.sql("TRUNCATE t;").unwrap();
        for n in 0..5_i64 {
            db.ask(Execute::new("INSERT INTO t VALUES ($1)").bind(n)).await.unwrap();
            db.ask(InsertOne::new("t", [("n", n)]).without_id()).await.unwrap();
        }
        assert_eq!(db.int("SELECT count(*) FROM t").await, 10);
        assert_eq!(db.int("SELECT count(*) FROM other").await, 5);
        let snapshot = db.shared.snapshot();
        assert_eq!((snapshot.closed_total.broken, snapshot.active), (0, 0), "{snapshot:?}");
    });
}

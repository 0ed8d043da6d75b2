//! Several hosts: the right one is found, and found again after a failover.

use std::{fs, time::Duration};

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::{
    PostgresOptions, TargetSession,
    sql::{Execute, QueryAs},
};
use backstop_testkit::server::{Postgres, PostgresSetup};

use crate::support::{Db, LONG, ask, assert_failed, lane, until};

/// A server with a user and a table that says which one it is.
fn node(name: &str) -> Postgres {
    let server = Postgres::start(PostgresSetup::default()).unwrap();
    server.create_user("app", "secret").unwrap();
    let sql = format!(
        "CREATE TABLE node (name text, n int); INSERT INTO node VALUES ('{name}', 0); GRANT ALL ON node TO app;"
    );
    server.sql(&sql).unwrap();
    server
}

/// Makes a server a standby, which takes no writes.
fn demote(server: &Postgres) {
    server.stop().unwrap();
    fs::write(server.directory().unwrap().join("data/standby.signal"), "").unwrap();
    server.restart().unwrap();
}

fn options(nodes: &[&Postgres]) -> PostgresOptions {
    PostgresOptions::hosts(nodes.iter().map(|node| node.address().unwrap().to_string()))
        .user("app")
        .password("secret")
        .database("postgres")
}

async fn name_of(db: &Db<'_>) -> String {
    db.ask(QueryAs::<String>::new("SELECT name FROM node")).await.unwrap().remove(0)
}

#[test]
fn a_host_that_is_down_is_passed_over() {
    lane(async {
        let (a, b) = (node("a"), node("b"));
        let db = Db::of(a.fresh_database().unwrap(), options(&[&a, &b])).await;
        assert_eq!(name_of(&db).await, "a");
        a.kill().unwrap();
        until("the other host", async || {
            ask(&*db.lane, &QueryAs::<String>::new("SELECT name FROM node"), LONG)
                .await
                .is_ok_and(|names| names == ["b"])
        })
        .await;
        b.kill().unwrap();
        until("an outage", async || {
            let ended = ask(&*db.lane, &QueryAs::<String>::new("SELECT name FROM node"), LONG).await;
            ended.is_err_and(|end| end.failure().kind() == FailureKind::Unavailable)
        })
        .await;
        let failure = assert_failed(
            db.ask(Execute::new("UPDATE node SET n = 1")).await,
            FailureKind::Unavailable,
            Executed::No,
        );
        assert!(failure.message().contains("cannot connect to 127.0.0.1:"), "{failure}");
    });
}

#[test]
fn writes_follow_the_primary_through_a_failover() {
    lane(async {
        let (a, b) = (node("a"), node("b"));
        demote(&b);
        let target = options(&[&b, &a]).target_session(TargetSession::ReadWrite);
        let db = Db::of(a.fresh_database().unwrap(), target).await;
        db.run("UPDATE node SET n = n + 1").await;
        assert_eq!(name_of(&db).await, "a");
        demote(&a);
        b.sql("SELECT pg_promote();").unwrap();
        until("the new primary", async || {
            ask(&*db.lane, &Execute::new("UPDATE node SET n = n + 10"), LONG).await.is_ok()
        })
        .await;
        assert_eq!(
            (a.sql("SELECT n FROM node;").unwrap(), b.sql("SELECT n FROM node;").unwrap()),
            ("1".into(), "10".into())
        );
    });
}

#[test]
fn a_write_on_a_standby_did_nothing_and_the_next_try_goes_elsewhere() {
    lane(async {
        let (a, b) = (node("a"), node("b"));
        demote(&a);
        let db = Db::of(b.fresh_database().unwrap(), options(&[&a, &b])).await;
        assert_eq!(name_of(&db).await, "a");
        let refused = db.ask(Execute::new("UPDATE node SET n = n + 1")).await.unwrap_err().failure();
        assert_eq!((refused.code(), refused.executed()), (Some("25006"), Executed::No), "{refused}");
        assert!(refused.is_transient());
        db.run("UPDATE node SET n = n + 1").await;
        assert_eq!(name_of(&db).await, "b");
        assert!(db.shared.snapshot().closed_total.rerouted >= 1);
        tokio::time::timeout(Duration::from_secs(5), name_of(&db)).await.unwrap();
    });
}
